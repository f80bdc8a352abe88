// Rolls that send tokens: after every token the first of the largest logits, as the quantized interpreter
// has them.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <sstream>

#include "tests/executors/play_model.h"
#include "tests/support/make_llama.h"

namespace pianola::test {
namespace {

struct Case {
  const char* target;
  LlamaShape shape;
};
void PrintTo(const Case& c, std::ostream* out) {
  *out << c.target << "_vocab" << c.shape.vocab << "_of" << c.shape.distinct_tokens;
}

// All but the largest logit are -inf where a machine sends tokens.
Logits chosen_of(Logits logits) {
  for (std::vector<float>& row : logits) {
    const auto chosen = std::max_element(row.begin(), row.end());
    const float value = *chosen;
    std::fill(row.begin(), row.end(), -std::numeric_limits<float>::infinity());
    *chosen = value;
  }
  return logits;
}

CompileOptions tokens_alone() {
  CompileOptions options;
  options.output = EntryOutput::Tokens;
  return options;
}

class ChoiceTest : public testing::TestWithParam<Case> {};

TEST_P(ChoiceTest, IsTheFirstOfTheLargest) {
  const Case& c = GetParam();
  const Model model = random_model(c.shape);
  const Roll roll = compile_verified(model.graph, c.target, tokens_alone());
  // Prefill, decode and verify entries, across the first bucket's end.
  const std::vector<int> ids = random_ids(135, static_cast<int>(c.shape.vocab), 7);
  const Logits expected = chosen_of(interpret(quantize_as(roll, model.graph), ids));
  for (const uint64_t poison : {1, 2}) {
    Player player("emulator", roll, poison);
    EXPECT_TRUE(same_bits(expected, must(player.engine().extend(ids))));
    EXPECT_TRUE(cycles_as_predicted(player.engine(), roll));
  }
  if (c.shape.distinct_tokens == 0) return;
  for (const std::vector<float>& row : expected) {  // there were ties
    EXPECT_LT(argmax(row), static_cast<int>(c.shape.distinct_tokens));
  }
}

// A vocabulary that fits one vector, fills vectors, or leaves some of a block; blocks that fill the
// vectors of no, one and two steps, or leave some; and all of it with equal logits far apart, or with nothing
// but equal ones, often negative, among which what pads the last block would stand out.
std::vector<Case> cases() {
  const LlamaShape small{.hidden = 32, .layers = 1, .heads = 2, .kv_heads = 1, .ffn = 32,
                         .tied = false};
  std::vector<Case> out;
  for (const char* target : {"sim16", "sim32", "duo16", "tsp32"}) {
    for (const size_t vocabulary : {3, 16, 33, 256, 257, 509, 1024}) {
      for (const size_t distinct : {0, 1, 29}) {
        if (distinct >= vocabulary) continue;
        LlamaShape shape = small;
        shape.vocab = vocabulary;
        shape.distinct_tokens = distinct;
        shape.seed = 100 + out.size();
        out.push_back({target, shape});
      }
    }
  }
  for (const char* target : {"sim16", "sim32"}) {  // more than the memory of duo16 holds
    LlamaShape shape = small;
    shape.vocab = 16001;
    shape.distinct_tokens = 4100;
    shape.seed = 9;
    out.push_back({target, shape});
  }
  return out;
}

INSTANTIATE_TEST_SUITE_P(Shapes, ChoiceTest, testing::ValuesIn(cases()), [](const auto& info) {
  std::ostringstream text;
  PrintTo(info.param, &text);
  return text.str();
});

TEST(ChoiceOnExecutors, NurseryTellsItsStory) {
  if (model_is_missing(nursery_path())) GTEST_SKIP() << nursery_path() << " is not there";
  const Model model = must(import_model(nursery_path()));
  for (const char* target : {"sim16", "sim32", "duo16"}) {
    const Roll logits = compile_verified(model.graph, target);
    Player plain("emulator", logits);
    const Generation expected = generate(plain.engine(), nursery_prompt(), 16);
    const Roll roll = compile_verified(model.graph, target, tokens_alone());
    for (const Entry& entry : roll.metadata.entries) {
      if (entry.kind == EntryKind::Load) continue;
      EXPECT_EQ(entry.host_send_vectors, 8u * static_cast<uint32_t>(entry.tokens)) << entry.name;
    }
    for (const std::string& executor : executor_names()) {
      Player player(executor, roll);
      const Generation found = generate(player.engine(), nursery_prompt(), 16);
      EXPECT_EQ(found.ids, expected.ids) << target << " on " << executor;
      EXPECT_TRUE(same_bits(chosen_of(expected.logits), found.logits)) << target << executor;
      EXPECT_TRUE(cycles_as_predicted(player.engine(), roll)) << target << " on " << executor;
    }
  }
}

}  // namespace
}  // namespace pianola::test
