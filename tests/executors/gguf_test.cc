// Quantized GGUF files: what passes through and what is quantized again, bit for bit on the emulator.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "tests/executors/play_model.h"
#include "tests/support/shared_files.h"

namespace pianola::test {
namespace {

struct Case {
  const char* file;  // under ../shared, without .gguf
  const char* target;
  WeightQuantization weights;
};
void PrintTo(const Case& c, std::ostream* out) {
  *out << c.file << " " << c.target << (c.weights == WeightQuantization::W4 ? " w4" : " auto");
}

class GgufTest : public testing::TestWithParam<Case> {};

TEST_P(GgufTest, GivesTheSameBitsAsTheInterpreter) {
  const Case& c = GetParam();
  const std::filesystem::path path = shared_path(std::string(c.file) + ".gguf");
  if (model_is_missing(path)) GTEST_SKIP() << path << " is not there";
  const Model model = must(import_model(path));
  CompileOptions options;
  options.weights = c.weights;
  options.context = 128;
  const Roll roll = compile_verified(model.graph, c.target, options);
  const QuantizedGraph quantized = quantize_as(roll, model.graph, c.weights);
  const bool nursery = std::string_view(c.file).find("nursery") != std::string_view::npos;
  const std::vector<int> prompt = nursery ? nursery_prompt() : stories_prompt();
  QuantizedInterpreter interpreter(quantized);
  const Generation expected = generate(interpreter, prompt, 48);
  Player player("emulator", roll);
  const Generation found = generate(player.engine(), prompt, 48);
  EXPECT_EQ(found.ids, expected.ids);
  EXPECT_TRUE(same_bits(expected.logits, found.logits));
  EXPECT_TRUE(cycles_as_predicted(player.engine(), roll));
  const auto bits4 = std::count_if(quantized.matrices.begin(), quantized.matrices.end(),
                                   [](const QuantizedMatrix& m) { return m.bits == 4; });
  std::printf("%s on %s: %zd of %zu matrices with 4 bits, requantization loss %.5f\n", c.file,
              c.target, bits4, quantized.matrices.size(), quantized.requantization_loss);
}

std::vector<Case> cases() {
  std::vector<Case> out;
  const auto add = [&](const char* file, bool all_targets) {
    for (const char* target : {"sim16", "sim32", "duo16"}) {
      if (!all_targets && std::string_view(target) != "sim16") continue;
      for (const auto weights : {WeightQuantization::Auto, WeightQuantization::W4}) {
        out.push_back({file, target, weights});
      }
    }
  };
  add("data/stories260K/stories260K-f32", false);
  add("data/stories260K/stories260K-f16", false);
  add("data/stories260K/stories260K-bf16", false);
  add("data/stories260K/stories260K-h192-q8_0", true);
  add("data/stories260K/stories260K-h192-q5_0", false);
  add("data/stories260K/stories260K-h192-q5_1", false);
  add("data/stories260K/stories260K-h192-q4_1", false);
  add("data/stories260K/stories260K-h192-q4_0", true);
  add("models/gguf/nursery-llama-f32", false);
  add("models/gguf/nursery-llama-q8_0", true);
  return out;
}

INSTANTIATE_TEST_SUITE_P(Files, GgufTest, testing::ValuesIn(cases()), [](const auto& info) {
  std::string name = std::filesystem::path(info.param.file).filename().string() + "_" +
                     info.param.target +
                     (info.param.weights == WeightQuantization::W4 ? "_w4" : "_auto");
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

// Q8_0 and Q4_0 blocks are the weights of the machine: nothing is quantized again.
TEST(GgufPassThrough, KeepsTheBlocks) {
  for (const char* file : {"data/stories260K/stories260K-h192-q8_0", "models/gguf/nursery-llama-q8_0",
                           "data/stories260K/stories260K-h192-q4_0"}) {
    const std::filesystem::path path = shared_path(std::string(file) + ".gguf");
    if (model_is_missing(path)) GTEST_SKIP() << path << " is not there";
    const Model model = must(import_model(path));
    for (const char* target : {"sim16", "sim32", "duo16"}) {
      CompileOptions options;
      options.context = 128;
      options.verify = 0;
      const Compilation compilation =
          must(compile_model(model.graph, must(load_target(target)), options));
      EXPECT_EQ(compilation.notes, std::vector<std::string>()) << file << " on " << target;
    }
  }
}

}  // namespace
}  // namespace pianola::test
