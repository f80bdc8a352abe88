// Models whose dimensions fit no vector: bit for bit what the quantized interpreter says, and close to the
// float reference.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <sstream>

#include "tests/executors/play_model.h"
#include "tests/support/make_llama.h"
#include "reference/float_reference.h"

namespace pianola::test {
namespace {

struct Case {
  const char* target;
  LlamaShape shape;
  WeightQuantization weights = WeightQuantization::W8;
};
void PrintTo(const Case& c, std::ostream* out) {
  *out << c.target << "_hidden" << c.shape.hidden << "_heads" << c.shape.heads << "of"
       << c.shape.head_dim << "_kv" << c.shape.kv_heads << "_ffn" << c.shape.ffn << "_vocab"
       << c.shape.vocab << (c.shape.tied ? "_tied" : "_untied")
       << (c.weights == WeightQuantization::W4        ? "_w4"
           : c.weights == WeightQuantization::Ternary ? "_ternary"
                                                      : "");
}

class OddDimensionsTest : public testing::TestWithParam<Case> {};

TEST_P(OddDimensionsTest, GiveTheSameBitsAsTheInterpreter) {
  const Case& c = GetParam();
  std::ostringstream name;
  PrintTo(c, &name);
  const Model model = random_model(c.shape);
  CompileOptions options;
  options.weights = c.weights;
  const Roll roll = compile_verified(model.graph, c.target, options);
  const QuantizedGraph quantized = quantize_as(roll, model.graph, c.weights);
  // Across the first bucket's end, with a verify entry somewhere inside.
  const std::vector<int> ids = random_ids(140, static_cast<int>(c.shape.vocab), c.shape.seed);
  const Logits expected = interpret(quantized, ids);
  Player player("emulator", roll);
  const Logits found = must(player.engine().extend(ids));
  EXPECT_TRUE(same_bits(expected, found));
  EXPECT_TRUE(cycles_as_predicted(player.engine(), roll));

  FloatReference reference(model.graph);
  double error = 0, power = 0;
  for (size_t p = 0; p < found.size(); ++p) {
    const std::vector<float> exact = reference.step(ids[p]);
    double mean = 0;
    for (const float x : exact) mean += x / static_cast<double>(exact.size());
    for (size_t i = 0; i < exact.size(); ++i) {
      error += std::pow(double{found[p][i]} - exact[i], 2);
      power += std::pow(double{exact[i]} - mean, 2);
    }
  }
  const double relative = std::sqrt(error / power);
  std::printf("%s: %.4f of the logits' deviation away from float\n", name.str().c_str(), relative);
  EXPECT_LT(relative, c.weights == WeightQuantization::W4 ? 0.6 : 0.06);
}

std::vector<Case> cases() {
  std::vector<LlamaShape> shapes;
  const auto add = [&](LlamaShape shape) {
    shape.seed = 10 + shapes.size();
    shapes.push_back(shape);
  };
  // GQA 1, 2 and 3 with heads of 12 and 6, both feed-forward widths, tied and untied.
  for (const size_t head : {12, 6}) {
    for (const size_t group : {1, 2, 3}) {
      add({.hidden = 72, .heads = 72 / head, .kv_heads = 72 / head / group, .head_dim = head,
           .ffn = group == 2 ? size_t{132} : size_t{101}, .vocab = 509,
           .tied = (group + head / 6) % 2 == 0});
    }
  }
  // Heads of more lanes than a vector has, of all heads together less than hidden, and of one.
  add({.hidden = 72, .layers = 1, .heads = 3, .kv_heads = 1, .head_dim = 24, .ffn = 132, .vocab = 509});
  add({.hidden = 40, .layers = 1, .heads = 2, .kv_heads = 1, .head_dim = 50, .ffn = 33, .vocab = 47,
       .tied = false});
  add({.hidden = 17, .layers = 3, .heads = 1, .kv_heads = 1, .head_dim = 2, .ffn = 5, .vocab = 3});
  add({.hidden = 200, .layers = 1, .heads = 8, .kv_heads = 1, .head_dim = 8, .ffn = 300, .vocab = 130});
  add({.hidden = 48, .layers = 1, .heads = 2, .kv_heads = 2, .head_dim = 64, .ffn = 65, .vocab = 33});
  std::vector<Case> out;
  for (const char* target : {"sim16", "sim32", "duo16", "tsp32"}) {
    for (const LlamaShape& shape : shapes) out.push_back({target, shape});
    out.push_back({target, shapes[1], WeightQuantization::W4});
    out.push_back({target, shapes[5], WeightQuantization::W4});
  }
  // So many weights that a tape's FIFO holds few of them: attention takes turns with products. Its last group alone
  // is late, or with heads of a group before it, or there is one group.
  for (const char* target : {"sim16", "sim32", "kv260"}) {
    for (const size_t kv_heads : {3, 2, 1}) {
      out.push_back({target,
                     {.hidden = 96, .layers = 2, .heads = 6, .kv_heads = kv_heads, .head_dim = 32,
                      .ffn = 132, .vocab = 14000, .seed = 31}});
    }
  }
  out.push_back({"kv260",
                 {.hidden = 96, .layers = 2, .heads = 6, .kv_heads = 3, .head_dim = 64, .ffn = 132,
                  .vocab = 28000, .seed = 32},
                 WeightQuantization::W4});
  // Layers and a head that the scheduler places as copies; too much for the memory of duo16.
  for (const char* target : {"sim16", "sim32"}) {
    out.push_back({target,
                   {.hidden = 200, .layers = 8, .heads = 4, .kv_heads = 2, .head_dim = 8,
                    .ffn = 100, .vocab = 16000, .seed = 30}});
    // So many layers that the words of some are those of others.
    out.push_back({target,
                   {.hidden = 96, .layers = 20, .heads = 6, .kv_heads = 2, .head_dim = 16,
                    .ffn = 160, .vocab = 320, .seed = 31}});
  }
  // Ternary models lose nothing but what activations lose; the matrix units of tsp32 load more than a tile at once.
  for (const char* target : {"sim16", "sim32", "duo16"}) {
    for (LlamaShape shape : {shapes[1], shapes[5]}) {
      shape.ternary = true;
      out.push_back({target, shape, WeightQuantization::Ternary});
    }
  }
  return out;
}

INSTANTIATE_TEST_SUITE_P(Shapes, OddDimensionsTest, testing::ValuesIn(cases()),
                         [](const auto& info) {
                           std::ostringstream text;
                           PrintTo(info.param, &text);
                           return text.str();
                         });

}  // namespace
}  // namespace pianola::test
