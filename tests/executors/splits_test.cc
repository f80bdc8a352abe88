// Entry invariance: the logits at a position are a function of the tokens up to there alone, however they
// were split over launches, entries, buckets and padding, and whatever was there before a rewind.
#include <gtest/gtest.h>

#include <random>

#include "tests/executors/play_model.h"

namespace pianola::test {
namespace {

struct Launch {
  int entry;
  int tokens;
};

// A random entry and number of tokens that are possible now.
Launch choose_launch(const Engine& engine, const Roll& roll, size_t remaining,
                     std::mt19937_64& random) {
  std::vector<int> possible;
  for (size_t i = 0; i < roll.metadata.entries.size(); ++i) {
    if (engine.can_launch(static_cast<int>(i))) possible.push_back(static_cast<int>(i));
  }
  if (possible.empty()) throw std::runtime_error("no entry can be launched");
  const int entry = possible[random() % possible.size()];
  const auto most = std::min(
      remaining, static_cast<size_t>(roll.metadata.entries[static_cast<size_t>(entry)].tokens));
  // Full launches as often as all partial ones together.
  const size_t tokens = random() % 2 == 0 ? most : 1 + random() % most;
  return {entry, static_cast<int>(tokens)};
}

// Extends the engine by random launches; the text says which, to be printed with a failure.
Logits extend_randomly(Engine& engine, const Roll& roll, std::span<const int> ids,
                       std::mt19937_64& random, std::string& text) {
  Logits out;
  while (!ids.empty()) {
    const Launch launch = choose_launch(engine, roll, ids.size(), random);
    text += " " + roll.metadata.entries[static_cast<size_t>(launch.entry)].name + "(" +
            std::to_string(launch.tokens) + ")";
    const auto count = static_cast<size_t>(launch.tokens);
    Logits logits = must(engine.extend_with(launch.entry, ids.first(count)));
    std::move(logits.begin(), logits.end(), std::back_inserter(out));
    ids = ids.subspan(count);
  }
  return out;
}

class SplitsTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (model_is_missing(nursery_path())) GTEST_SKIP() << nursery_path() << " is not there";
    model_ = must(import_model(nursery_path()));
    roll_ = compile_verified(model_.graph, GetParam());
    quantized_ = quantize_as(roll_, model_.graph);
  }
  std::vector<int> ids(size_t count, uint64_t seed) const {
    return random_ids(count, roll_.metadata.model.vocabulary, seed);
  }

  Model model_;
  Roll roll_;
  QuantizedGraph quantized_;
};

// Positions of all three buckets, and of one only.
TEST_P(SplitsTest, DoNotChangeLogitsOnTheEmulator) {
  const std::vector<int> all = ids(290, 1);
  const Logits expected = interpret(quantized_, all);
  Player player("emulator", roll_);
  for (uint64_t seed = 0; seed < (is_long() ? 200 : 24); ++seed) {
    std::mt19937_64 random(seed);
    const size_t count = seed % 3 == 0 ? all.size() : 20 + random() % 120;
    ASSERT_TRUE(player.engine().rewind(0).ok());
    std::string launches;
    const Logits found = extend_randomly(player.engine(), roll_, std::span(all).first(count),
                                         random, launches);
    ASSERT_TRUE(same_bits(expected, found)) << "seed " << seed << ":" << launches;
    ASSERT_EQ(found.size(), count);
  }
  EXPECT_TRUE(cycles_as_predicted(player.engine(), roll_));
}

TEST_P(SplitsTest, DoNotChangeLogitsOnTheRtl) {
  const std::vector<int> all = ids(140, 2);
  const Logits expected = interpret(quantized_, all);
  Player player("rtl", roll_);
  std::mt19937_64 random(7);
  std::string launches;
  const Logits found = extend_randomly(player.engine(), roll_, all, random, launches);
  EXPECT_TRUE(same_bits(expected, found)) << launches;
  EXPECT_EQ(found.size(), all.size());
  EXPECT_TRUE(cycles_as_predicted(player.engine(), roll_));
}

TEST_P(SplitsTest, RewindLeavesNoTrace) {
  Player player("emulator", roll_);
  std::vector<int> held;  // ids of the positions before the engine's
  std::string steps;
  for (uint64_t seed = 0; seed < (is_long() ? 60 : 10); ++seed) {
    std::mt19937_64 random(seed);
    const int back = seed % 4 == 3 ? 0 : static_cast<int>(random() % (held.size() + 1));
    ASSERT_TRUE(player.engine().rewind(back).ok());
    held.resize(static_cast<size_t>(back));
    const std::vector<int> more = ids(1 + random() % 60, 100 + seed);
    held.insert(held.end(), more.begin(), more.end());
    steps += "\nto " + std::to_string(back) + ":";
    const Logits found = extend_randomly(player.engine(), roll_, more, random, steps);
    const Logits expected = interpret(quantized_, held);
    ASSERT_TRUE(same_bits(expected, found, static_cast<size_t>(back))) << steps;
    ASSERT_EQ(player.engine().position(), static_cast<int>(held.size()));
  }
}

TEST_P(SplitsTest, ReachTheEndOfTheContextAndNoFurther) {
  Player player("emulator", roll_);
  const int context = player.engine().context();
  const std::vector<int> all = ids(static_cast<size_t>(context), 3);
  const Logits expected = interpret(quantized_, all);
  EXPECT_TRUE(same_bits(expected, must(player.engine().extend(all))));
  EXPECT_EQ(player.engine().position(), context);
  const Result<Logits> more = player.engine().extend(std::vector<int>{1});
  ASSERT_FALSE(more.ok());
  EXPECT_EQ(more.error().code, ErrorCode::OutOfRange);
  // Again from a little before the end, with whatever entry fits there.
  ASSERT_TRUE(player.engine().rewind(context - 9).ok());
  std::mt19937_64 random(4);
  std::string launches;
  const Logits last = extend_randomly(player.engine(), roll_, std::span(all).last(9), random,
                                      launches);
  EXPECT_TRUE(same_bits(expected, last, static_cast<size_t>(context) - 9)) << launches;
}

INSTANTIATE_TEST_SUITE_P(Targets, SplitsTest, testing::Values("sim16", "sim32", "duo16"),
                         [](const auto& info) { return std::string(info.param); });

// Contexts that are no power of two, no multiple of the lanes, or shorter than a prefill.
class ContextsTest : public testing::TestWithParam<const char*> {};

TEST_P(ContextsTest, OfAnyLengthGiveTheSameLogits) {
  const Model model = random_model({.vocab = 100, .context_max = 512});
  for (const int context : {1, 5, 33, 100, 208, 384}) {
    CompileOptions options;
    options.context = context;
    const Roll roll = compile_verified(model.graph, GetParam(), options);
    const QuantizedGraph quantized = quantize_as(roll, model.graph);
    ASSERT_GE(roll.metadata.model.context, context);
    const std::vector<int> all =
        random_ids(static_cast<size_t>(roll.metadata.model.context), 100, 5);
    const Logits expected = interpret(quantized, all);
    Player player("emulator", roll);
    for (uint64_t seed = 0; seed < 4; ++seed) {
      std::mt19937_64 random(seed);
      std::string launches;
      ASSERT_TRUE(player.engine().rewind(0).ok());
      const Logits found = extend_randomly(player.engine(), roll, all, random, launches);
      ASSERT_TRUE(same_bits(expected, found)) << "context " << context << ":" << launches;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, ContextsTest, testing::Values("sim16", "sim32", "duo16"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace pianola::test
