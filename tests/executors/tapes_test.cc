// The model is in the data tape alone: rolls of two models of one shape differ in nothing else, and with
// the data of the other a roll plays the other's tokens. And nothing that memory holds at the start,
// poison of any kind, reaches the tokens.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/executors/play_model.h"

namespace pianola::test {
namespace {

constexpr int kTokens = 12;

Model make_model(uint64_t seed) {
  return random_model({.hidden = 80, .heads = 4, .kv_heads = 2, .head_dim = 20, .ffn = 100,
                       .vocab = 300, .seed = seed});
}

Generation play(std::string_view executor, const Roll& roll, uint64_t poison = 1) {
  const std::vector<int> prompt = random_ids(9, 300, 11);
  Player player(executor, roll, poison);
  Generation out = generate(player.engine(), prompt, kTokens);
  EXPECT_TRUE(cycles_as_predicted(player.engine(), roll)) << executor;
  return out;
}

class TapesTest : public testing::TestWithParam<const char*> {};

TEST_P(TapesTest, HoldAllThereIsOfAModel) {
  const Model model_a = make_model(1), model_b = make_model(2);
  Roll a = compile_verified(model_a.graph, GetParam()), b = compile_verified(model_b.graph, GetParam());
  ASSERT_TRUE(std::equal(a.words.begin(), a.words.end(), b.words.begin(), b.words.end()));
  ASSERT_EQ(a.data.size(), b.data.size());
  ASSERT_NE(a.owned_data, b.owned_data);
  std::vector<Generation> of_a, of_b;
  for (const std::string& executor : executor_names()) {
    of_a.push_back(play(executor, a));
    of_b.push_back(play(executor, b));
    EXPECT_NE(of_a.back().ids, of_b.back().ids) << executor;
    EXPECT_TRUE(same_bits(of_a[0].logits, of_a.back().logits)) << executor;
  }
  const std::vector<std::byte> whole_a = serialize_roll(a), whole_b = serialize_roll(b);
  std::swap(a.owned_data, b.owned_data);
  a.data = a.owned_data;
  b.data = b.owned_data;
  // Metadata, segments, registers, predictions: all the same.
  EXPECT_EQ(serialize_roll(a), whole_b);
  EXPECT_EQ(serialize_roll(b), whole_a);
  for (size_t i = 0; i < of_a.size(); ++i) {
    const std::string executor = executor_names()[i];
    const Generation swapped_a = play(executor, a), swapped_b = play(executor, b);
    EXPECT_EQ(swapped_a.ids, of_b[i].ids) << executor;
    EXPECT_EQ(swapped_b.ids, of_a[i].ids) << executor;
    EXPECT_TRUE(same_bits(of_b[i].logits, swapped_a.logits)) << executor;
    EXPECT_TRUE(same_bits(of_a[i].logits, swapped_b.logits)) << executor;
  }
}

TEST_P(TapesTest, PoisonDoesNotReachTheTokens) {
  const Model model = make_model(3);
  const Roll roll = compile_verified(model.graph, GetParam());
  const Logits expected = play("emulator", roll, 0).logits;
  for (const std::string& executor : executor_names()) {
    for (const uint64_t poison : {1ull, 0x123456789abcdefull, ~0ull}) {
      EXPECT_TRUE(same_bits(expected, play(executor, roll, poison).logits))
          << executor << ", poison " << poison;
    }
  }
}

// Poison is random bytes; what a machine holds after another model is worse: plausible numbers.
TEST_P(TapesTest, ModelsBeforeLeaveNoTrace) {
  const Model model_a = make_model(4), model_b = make_model(5);
  const Roll a = compile_verified(model_a.graph, GetParam()), b = compile_verified(model_b.graph, GetParam());
  const Logits expected = play("emulator", b).logits;
  for (const std::string& executor : executor_names()) {
    const std::unique_ptr<Device> device = load_device(executor, a);
    Engine before = must(Engine::create(a, *device));
    must(before.extend(random_ids(40, 300, 12)));
    ASSERT_TRUE(device->load(b, 1).ok());
    Engine engine = must(Engine::create(b, *device));
    EXPECT_TRUE(same_bits(expected, generate(engine, random_ids(9, 300, 11), kTokens).logits))
        << executor;
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, TapesTest, testing::Values("sim16", "sim32", "duo16"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace pianola::test
