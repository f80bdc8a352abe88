// The quantized models against the float ones: perplexity, top-1 agreement and KL divergence, on
// held-out text. With PIANOLA_LONG=1 all of it, else every n-th sequence.
#include "reference/quantized_interpreter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/import/import_model.h"
#include "compiler/passes/quantize_graph.h"
#include "formats/parse_json.h"
#include "isa/target.h"
#include "reference/float_reference.h"
#include "tests/golden/evaluate_weights.h"
#include "tests/support/shared_files.h"

namespace pianola {
namespace {

using Sequences = std::vector<std::vector<int>>;
using Logits = std::vector<std::vector<float>>;  // [position][vocabulary]

struct Case {
  const char* model;   // under ../shared
  const char* target;
  WeightQuantization weights;
};

constexpr const char* name_of(WeightQuantization weights) {
  return weights == WeightQuantization::W8   ? "w8"
         : weights == WeightQuantization::W4 ? "w4"
                                             : "auto";
}

// Names the case in test listings; without it GoogleTest prints addresses.
void PrintTo(const Case& c, std::ostream* out) {
  *out << c.model << " " << c.target << " " << name_of(c.weights);
}

bool is_long() {
  const char* value = std::getenv("PIANOLA_LONG");
  return value != nullptr && std::string_view(value) == "1";
}

// 78 windows of 256 ids.
Sequences nursery_sequences() {
  const Result<Json> json =
      parse_json(read_file(shared_path("models/nursery-llama/heldout_ids.json")), "heldout_ids");
  CHECK(json.ok());
  const auto ids = json->get<std::vector<int>>();
  constexpr std::size_t kWindow = 256;
  Sequences out;
  for (std::size_t begin = 0; begin + kWindow <= ids.size(); begin += kWindow) {
    const auto first = ids.begin() + static_cast<std::ptrdiff_t>(begin);
    out.emplace_back(first, first + kWindow);
  }
  return out;
}

// 20 stories of up to 257 ids.
Sequences story_sequences() {
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

// All sequences, or the first and every stride-th after it.
Sequences choose(Sequences all, std::size_t stride) {
  if (is_long()) return all;
  Sequences out;
  for (std::size_t i = 0; i < all.size(); i += stride) out.push_back(std::move(all[i]));
  return out;
}

// The logits that predict ids[1..].
template <typename Engine>
Logits logits_of(Engine& engine, const std::vector<int>& ids) {
  engine.reset();
  Logits out;
  for (std::size_t p = 0; p + 1 < ids.size(); ++p) out.push_back(engine.step(ids[p]));
  return out;
}

// log softmax, in double.
std::vector<double> log_probabilities(const std::vector<float>& logits) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float x : logits) sum += std::exp(double{x} - top);
  std::vector<double> out;
  for (const float x : logits) out.push_back(double{x} - top - std::log(sum));
  return out;
}

// How one engine (b) does against another (a), summed over predictions.
struct Comparison {
  double loss_a = 0, loss_b = 0, divergence = 0;
  std::size_t agreements = 0, count = 0;

  void add(const Logits& a, const Logits& b, const std::vector<int>& ids) {
    for (std::size_t p = 0; p < a.size(); ++p) {
      const std::vector<double> log_a = log_probabilities(a[p]), log_b = log_probabilities(b[p]);
      const auto next = static_cast<std::size_t>(ids[p + 1]);
      loss_a -= log_a[next];
      loss_b -= log_b[next];
      for (std::size_t i = 0; i < log_a.size(); ++i) {
        divergence += std::exp(log_a[i]) * (log_a[i] - log_b[i]);
      }
      agreements += std::max_element(log_a.begin(), log_a.end()) - log_a.begin() ==
                    std::max_element(log_b.begin(), log_b.end()) - log_b.begin();
      ++count;
    }
  }
  double perplexity_a() const { return std::exp(loss_a / static_cast<double>(count)); }
  double perplexity_b() const { return std::exp(loss_b / static_cast<double>(count)); }
  double ratio() const { return perplexity_b() / perplexity_a(); }
  void print(const char* what) const {
    const auto n = static_cast<double>(count);
    std::printf("  against %-18s perplexity %.5f -> %.5f (%+.3f %%), top-1 %.2f %%, KL %.6f nats\n",
                what, perplexity_a(), perplexity_b(), 100 * (ratio() - 1),
                100 * static_cast<double>(agreements) / n, divergence / n);
  }
};

class QuantizedModelTest : public testing::TestWithParam<Case> {};

// With 8 bits the machine is compared with the model file; with 4 bits, where the weights
// themselves cost something, with the same weights in double precision.
TEST_P(QuantizedModelTest, KeepsThePerplexity) {
  if (shared_is_missing()) GTEST_SKIP() << kSharedSkip;
  const Case& c = GetParam();
  Result<Model> model = import_model(shared_path(c.model));
  ASSERT_TRUE(model.ok()) << to_string(model.error());
  Result<Target> target = load_target(c.target);
  ASSERT_TRUE(target.ok()) << to_string(target.error());
  const Result<QuantizedGraph> graph =
      quantize_graph(model->graph, *target, {.weights = c.weights, .context = 288});
  ASSERT_TRUE(graph.ok()) << to_string(graph.error());

  const bool nursery = std::string_view(c.model).find("nursery") != std::string_view::npos;
  const Sequences sequences =
      nursery ? choose(nursery_sequences(), 16) : choose(story_sequences(), 4);
  FloatReference reference(model->graph);
  WeightsInDouble weights(*graph);
  QuantizedInterpreter interpreter(*graph);
  Comparison with_file, with_weights;
  double seconds = 0;  // of this process, whatever else the machine does
  for (const std::vector<int>& ids : sequences) {
    const std::clock_t start = std::clock();
    const Logits quantized = logits_of(interpreter, ids);
    seconds += static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    with_file.add(logits_of(reference, ids), quantized, ids);
    with_weights.add(logits_of(weights, ids), quantized, ids);
  }
  std::printf("%s, %s, %s: %zu predictions, %.0f tokens/s, requantization loss %.5f\n", c.model,
              c.target, name_of(c.weights), with_file.count,
              static_cast<double>(with_file.count) / seconds, graph->requantization_loss);
  with_file.print("the file");
  with_weights.print("the same weights");
  EXPECT_NEAR(with_weights.ratio(), 1, 0.01);
  if (c.weights != WeightQuantization::W4) {
    EXPECT_NEAR(with_file.ratio(), 1, 0.01);
  }
}

std::vector<Case> make_cases() {
  std::vector<Case> out;
  for (const char* target : {"sim16", "sim32"}) {
    for (const auto weights : {WeightQuantization::W8, WeightQuantization::W4}) {
      out.push_back({"models/nursery-llama", target, weights});
      out.push_back({"data/stories260K/hf", target, weights});
    }
    out.push_back({"models/nursery-draft", target, WeightQuantization::W8});
    for (const char* model : {"models/gguf/nursery-llama-q8_0.gguf",
                              "data/stories260K/stories260K-h192-q8_0.gguf",
                              "data/stories260K/stories260K-h192-q5_0.gguf",
                              "data/stories260K/stories260K-h192-q4_1.gguf",
                              "data/stories260K/stories260K-h192-q4_0.gguf"}) {
      out.push_back({model, target, WeightQuantization::Auto});
    }
  }
  return out;
}

INSTANTIATE_TEST_SUITE_P(Models, QuantizedModelTest, testing::ValuesIn(make_cases()),
                         [](const auto& info) {
                           std::ostringstream text;
                           PrintTo(info.param, &text);
                           std::string name = text.str();
                           std::replace_if(
                               name.begin(), name.end(), [](char c) { return !std::isalnum(c); },
                               '_');
                           return name;
                         });

}  // namespace
}  // namespace pianola
