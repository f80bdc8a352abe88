// Whole models on all executors: 64 generated tokens with the same ids and the same bits in all logits, in
// as many machine cycles as the roll says.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>

#include "tests/executors/play_model.h"
#include "tests/support/shared_files.h"

namespace pianola::test {
namespace {

constexpr int kTokens = 64;

struct Case {
  const char* model;
  const char* target;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.model << " " << c.target; }

std::filesystem::path path_of(const Case& c) {
  return std::string_view(c.model) == "nursery" ? nursery_path() : shared_path("data/stories260K/hf");
}

std::vector<int> prompt_of(const Case& c) {
  return std::string_view(c.model) == "nursery" ? nursery_prompt() : stories_prompt();
}

class ModelsTest : public testing::TestWithParam<Case> {};

TEST_P(ModelsTest, AllExecutorsGenerateTheSameBits) {
  const Case& c = GetParam();
  if (model_is_missing(path_of(c))) GTEST_SKIP() << path_of(c) << " is not there";
  const Model model = must(import_model(path_of(c)));
  const std::vector<int> prompt = prompt_of(c);
  const Roll roll = compile_verified(model.graph, c.target);
  const QuantizedGraph quantized = quantize_as(roll, model.graph);
  QuantizedInterpreter interpreter(quantized);
  const Generation expected = generate(interpreter, prompt, kTokens);
  for (const std::string& executor : executor_names()) {
    Player player(executor, roll);
    const auto start = std::chrono::steady_clock::now();
    const Generation found = generate(player.engine(), prompt, kTokens);
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    EXPECT_EQ(found.ids, expected.ids) << executor;
    EXPECT_TRUE(same_bits(expected.logits, found.logits)) << executor;
    EXPECT_EQ(found.logits.size(), expected.logits.size()) << executor;
    EXPECT_TRUE(cycles_as_predicted(player.engine(), roll)) << executor;
    uint64_t cycles = 0;
    for (const LaunchRecord& launch : player.engine().launches()) cycles += launch.cycles;
    std::printf("%s on %s, %s: %zu launches, %.2f Mcycles in %.2f s\n", c.model, c.target,
                executor.c_str(), player.engine().launches().size(),
                static_cast<double>(cycles) * 1e-6, seconds);
  }
}

INSTANTIATE_TEST_SUITE_P(All, ModelsTest,
                         testing::Values(Case{"nursery", "sim16"}, Case{"nursery", "sim32"},
                                         Case{"nursery", "duo16"}, Case{"stories260K", "sim16"},
                                         Case{"stories260K", "sim32"}, Case{"stories260K", "duo16"}),
                         [](const auto& info) {
                           return std::string(info.param.model) + "_" + info.param.target;
                         });

// The published chip, which no Verilated core has the size of.
TEST(WideMachine, EmulatorGeneratesTheInterpretersBits) {
  if (model_is_missing(nursery_path())) GTEST_SKIP() << nursery_path() << " is not there";
  const Model model = must(import_model(nursery_path()));
  CompileOptions options;
  options.context = 320;
  const Roll roll = compile_verified(model.graph, "tsp320", options);
  const QuantizedGraph quantized = quantize_as(roll, model.graph);
  QuantizedInterpreter interpreter(quantized);
  const Generation expected = generate(interpreter, nursery_prompt(), kTokens);
  Player player("emulator", roll);
  const Generation found = generate(player.engine(), nursery_prompt(), kTokens);
  EXPECT_EQ(found.ids, expected.ids);
  EXPECT_TRUE(same_bits(expected.logits, found.logits));
  EXPECT_TRUE(cycles_as_predicted(player.engine(), roll));
}

}  // namespace
}  // namespace pianola::test
