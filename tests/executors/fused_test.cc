// The emulator with fused products and without: equal bits over whole models, with the kernels of
// every instruction set of this host.
#include <gtest/gtest.h>

#include "emulator/emulator.h"
#include "tests/executors/play_model.h"
#include "tests/support/make_llama.h"

namespace pianola::test {
namespace {

struct Case {
  const char* target;
  WeightQuantization weights;
};
void PrintTo(const Case& c, std::ostream* out) {
  *out << c.target << (c.weights == WeightQuantization::W4        ? "_w4"
                       : c.weights == WeightQuantization::Ternary ? "_ternary"
                                                                  : "_w8");
}

size_t products_of(Emulator& emulator, const Roll& roll, EntryKind kind) {
  for (size_t i = 0; i < roll.metadata.entries.size(); ++i) {
    if (roll.metadata.entries[i].kind == kind) {
      return must(emulator.program(static_cast<int>(i)))->products.size();
    }
  }
  return 0;
}

class FusedTest : public testing::TestWithParam<Case> {};

TEST_P(FusedTest, GivesTheBitsOfTheUnfusedProgram) {
  const LlamaShape shape{.hidden = 96, .layers = 2, .heads = 6, .kv_heads = 2, .head_dim = 16,
                         .ffn = 160, .vocab = 300, .seed = 4};
  const Model model = random_model(shape);
  CompileOptions options;
  options.weights = GetParam().weights;
  const Roll roll = compile_verified(model.graph, GetParam().target, options);
  const std::vector<int> ids = random_ids(75, static_cast<int>(shape.vocab), 5);

  const auto play = [&](Emulator& emulator) {
    if (!emulator.load(roll, 3).ok()) throw std::runtime_error("load");
    Engine engine = must(Engine::create(roll, emulator));
    Logits logits = must(engine.extend(ids));
    for (const int id : {5, 9, 2}) logits.push_back(must(engine.extend(std::vector{id}))[0]);
    EXPECT_TRUE(cycles_as_predicted(engine, roll));
    return logits;
  };
  Emulator plain(nullptr, false);
  const Logits expected = play(plain);
  EXPECT_EQ(products_of(plain, roll, EntryKind::Decode), 0u);
  int count = 0;
  const Kernels* const* kernels = host_kernels(count);
  for (int k = 0; k < count; ++k) {
    Emulator fused(kernels[k]);
    EXPECT_TRUE(same_bits(expected, play(fused))) << kernels[k]->name;
    // Products with weights are fused, all of them, wherever the weights lie.
    const Program& program = *must(fused.program(static_cast<int>(roll.metadata.entries.size()) - 1));
    EXPECT_GT(products_of(fused, roll, EntryKind::Decode), 40u);
    EXPECT_GT(products_of(fused, roll, EntryKind::Prefill), 40u);
    EXPECT_EQ(program.products.size() > 0, !program.product_inputs.empty());
  }
}

INSTANTIATE_TEST_SUITE_P(All, FusedTest,
                         testing::Values(Case{"sim16", WeightQuantization::W8},
                                         Case{"sim16", WeightQuantization::W4},
                                         Case{"sim16", WeightQuantization::Ternary},
                                         Case{"sim32", WeightQuantization::Ternary},
                                         Case{"sim32", WeightQuantization::W8},
                                         Case{"sim32", WeightQuantization::W4},
                                         Case{"duo16", WeightQuantization::W8},
                                         Case{"tsp32", WeightQuantization::W8},
                                         Case{"tsp32", WeightQuantization::W4}),
                         [](const auto& info) {
                           std::ostringstream name;
                           PrintTo(info.param, &name);
                           return name.str();
                         });

}  // namespace
}  // namespace pianola::test
