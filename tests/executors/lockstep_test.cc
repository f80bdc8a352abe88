// The Verilated core in lockstep with the emulator, every drive of every cycle: nursery-llama over 32
// tokens, and layers of a real model's dimensions.
#include <gtest/gtest.h>

#include "emulator/lockstep.h"
#include "isa/target.h"
#include "tests/executors/play_model.h"
#include "tests/support/make_llama.h"

namespace pianola::test {
namespace {

// Plays in lockstep: a drive that differs is an error of the engine.
void expect_lockstep(const Roll& roll, std::span<const int> prompt, int tokens,
                     const RtlDeviceOptions& options = {}) {
  const std::unique_ptr<Device> device = make_lockstep_device(options);
  const Status loaded = device->load(roll, 1);
  ASSERT_TRUE(loaded.ok()) << to_string(loaded.error());
  Engine engine = must(Engine::create(roll, *device));
  const Generation generation = generate(engine, prompt, tokens);
  EXPECT_EQ(generation.ids.size(), static_cast<size_t>(tokens));
  EXPECT_TRUE(cycles_as_predicted(engine, roll));
}

Roll random_roll(const LlamaShape& shape, const std::string& target, int context,
                 WeightQuantization weights = WeightQuantization::Auto) {
  CompileOptions options;
  options.weights = weights;
  options.context = context;
  return compile_verified(random_model(shape).graph, target, options);
}

std::string name_of(const testing::TestParamInfo<const char*>& info) { return info.param; }

class NurseryLockstep : public testing::TestWithParam<const char*> {};

TEST_P(NurseryLockstep, AgreesOverThirtyTwoTokens) {
  if (model_is_missing(nursery_path())) GTEST_SKIP() << nursery_path() << " is not there";
  const Model model = must(import_model(nursery_path()));
  expect_lockstep(compile_verified(model.graph, GetParam()), nursery_prompt(), 32);
}

// The core as it is synthesized, with as many clock edges a machine cycle as on its board.
TEST(FpgaLockstep, AgreesInTheSynthesisForm) {
  if (model_is_missing(nursery_path())) GTEST_SKIP() << nursery_path() << " is not there";
  const Model model = must(import_model(nursery_path()));
  RtlDeviceOptions options;
  options.build.synthesis_form = true;
  const std::vector<int> prompt = nursery_prompt();
  expect_lockstep(compile_verified(model.graph, "arty-a7-100t"), prompt, 3, options);
}

// duo16 has no room for such a layer.
class SmolLayersLockstep : public testing::TestWithParam<const char*> {};

TEST_P(SmolLayersLockstep, Agree) {
  const LlamaShape shape{.hidden = 576, .layers = 2, .heads = 9, .kv_heads = 3, .head_dim = 64,
                         .ffn = 1536, .vocab = 320, .seed = 11};
  const Roll roll = random_roll(shape, GetParam(), 128);
  // A prefill, a verify of what is left of the prompt, and tokens one by one.
  expect_lockstep(roll, random_ids(14, static_cast<int>(shape.vocab), 3), 3);
}

// Layers after the first few are copies: their memory is laid out in turns, that of the load is not, and
// both must have the weights at the same place.
class ManyLayersLockstep : public testing::TestWithParam<const char*> {};

TEST_P(ManyLayersLockstep, Agree) {
  const LlamaShape shape{.hidden = 96, .layers = 8, .heads = 6, .kv_heads = 2, .head_dim = 16,
                         .ffn = 160, .vocab = 320, .seed = 3};
  const Roll roll = random_roll(shape, GetParam(), 64);
  expect_lockstep(roll, random_ids(7, static_cast<int>(shape.vocab), 3), 2);
}

// Weights of four and of two bits, in both widths of machine.
class NarrowWeightsLockstep : public testing::TestWithParam<const char*> {};

TEST_P(NarrowWeightsLockstep, Agree) {
  const LlamaShape shape{.hidden = 96, .layers = 2, .heads = 6, .kv_heads = 2, .head_dim = 16,
                         .ffn = 160, .vocab = 320, .ternary = true, .seed = 7};
  for (const WeightQuantization weights : {WeightQuantization::W4, WeightQuantization::Ternary}) {
    expect_lockstep(random_roll(shape, GetParam(), 64, weights), random_ids(9, 320, 3), 2);
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, NarrowWeightsLockstep, testing::Values("sim16", "sim32"), name_of);
INSTANTIATE_TEST_SUITE_P(Targets, NurseryLockstep,
                         testing::Values("sim16", "sim32", "duo16", "tsp32"), name_of);
INSTANTIATE_TEST_SUITE_P(Targets, SmolLayersLockstep, testing::Values("sim16", "sim32", "tsp32"),
                         name_of);

INSTANTIATE_TEST_SUITE_P(Targets, ManyLayersLockstep, testing::Values("sim16", "duo16", "tsp32"),
                         name_of);

}  // namespace
}  // namespace pianola::test
