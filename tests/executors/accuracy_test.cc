// What playing costs in accuracy: rolls on the emulator against the float reference, on held-out text.
// With PIANOLA_LONG=1 all of it, else every n-th sequence.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <sstream>

#include "formats/parse_json.h"
#include "reference/float_reference.h"
#include "tests/executors/play_model.h"
#include "tests/support/shared_files.h"

namespace pianola::test {
namespace {

struct Case {
  const char* model;
  const char* target;
  WeightQuantization weights;
  double limit;  // of the relative change of perplexity
};
void PrintTo(const Case& c, std::ostream* out) {
  *out << c.model << " " << c.target << (c.weights == WeightQuantization::W4 ? " w4" : " w8");
}

using Sequences = std::vector<std::vector<int>>;

Sequences heldout_windows() {
  const std::filesystem::path own = nursery_path() / "heldout_ids.json";
  const std::filesystem::path path =
      std::filesystem::exists(own) ? own : shared_path("models/nursery-llama/heldout_ids.json");
  const auto ids = must(parse_json(read_file(path), path.string())).get<std::vector<int>>();
  constexpr size_t kWindow = 256;
  Sequences out;
  for (size_t begin = 0; begin + kWindow <= ids.size(); begin += kWindow) {
    const auto first = ids.begin() + static_cast<std::ptrdiff_t>(begin);
    out.emplace_back(first, first + kWindow);
  }
  return out;
}

Sequences stories() {
  std::istringstream lines(read_file(shared_path("data/stories260K/stories20.ids.txt")));
  Sequences out;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::vector<int> ids;
    for (int id = 0; words >> id;) ids.push_back(id);
    if (!ids.empty()) out.push_back(std::move(ids));
  }
  return out;
}

std::vector<double> log_softmax(std::span<const float> logits) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float x : logits) sum += std::exp(double{x} - top);
  std::vector<double> out;
  for (const float x : logits) out.push_back(double{x} - top - std::log(sum));
  return out;
}

class AccuracyTest : public testing::TestWithParam<Case> {};

TEST_P(AccuracyTest, KeepsThePerplexity) {
  const Case& c = GetParam();
  const bool nursery = std::string_view(c.model) == "nursery";
  const std::filesystem::path path =
      nursery ? nursery_path() : shared_path("data/stories260K/hf");
  if (model_is_missing(path)) GTEST_SKIP() << path << " is not there";
  const Model model = must(import_model(path));
  CompileOptions options;
  options.weights = c.weights;
  const Roll roll = compile_verified(model.graph, c.target, options);
  Player player("emulator", roll);
  FloatReference reference(model.graph);
  const Sequences sequences = nursery ? heldout_windows() : stories();
  const size_t stride = is_long() ? 1 : nursery ? 16 : 4;
  double loss_float = 0, loss = 0, divergence = 0;
  size_t agreements = 0, count = 0;
  for (size_t s = 0; s < sequences.size(); s += stride) {
    const std::vector<int>& ids = sequences[s];
    ASSERT_TRUE(player.engine().rewind(0).ok());
    const Logits found = must(player.engine().extend(std::span(ids).first(ids.size() - 1)));
    reference.reset();
    for (size_t p = 0; p + 1 < ids.size(); ++p) {
      const std::vector<float> exact = reference.step(ids[p]);
      const std::vector<double> a = log_softmax(exact), b = log_softmax(found[p]);
      loss_float -= a[static_cast<size_t>(ids[p + 1])];
      loss -= b[static_cast<size_t>(ids[p + 1])];
      for (size_t i = 0; i < a.size(); ++i) divergence += std::exp(a[i]) * (a[i] - b[i]);
      agreements += argmax(exact) == argmax(found[p]);
      ++count;
    }
  }
  ASSERT_GT(count, 0u);
  const auto n = static_cast<double>(count);
  const double ratio = std::exp((loss - loss_float) / n);
  std::printf("%s on %s, %s: %zu predictions, perplexity %.5f -> %.5f (%+.3f %%), "
              "top-1 %.2f %%, KL %.6f nats\n",
              c.model, c.target, c.weights == WeightQuantization::W4 ? "w4" : "w8", count,
              std::exp(loss_float / n), std::exp(loss / n), 100 * (ratio - 1),
              100 * static_cast<double>(agreements) / n, divergence / n);
  EXPECT_LT(std::abs(ratio - 1), c.limit);
}

constexpr auto W8 = WeightQuantization::W8, W4 = WeightQuantization::W4;
INSTANTIATE_TEST_SUITE_P(
    All, AccuracyTest,
    testing::Values(Case{"nursery", "sim16", W8, 0.01}, Case{"nursery", "sim32", W8, 0.01},
                    Case{"nursery", "duo16", W8, 0.01}, Case{"stories260K", "sim16", W8, 0.01},
                    Case{"stories260K", "sim32", W8, 0.01}, Case{"stories260K", "duo16", W8, 0.01},
                    Case{"nursery", "sim16", W4, 0.15}, Case{"stories260K", "sim16", W4, 0.25}),
    [](const auto& info) {
      return std::string(info.param.model) + "_" + info.param.target +
             (info.param.weights == W4 ? "_w4" : "_w8");
    });

}  // namespace
}  // namespace pianola::test
