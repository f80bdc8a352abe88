#include "host/generation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/expect_error.h"

namespace pianola {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

GenerationOptions request(int tokens_max) {
  GenerationOptions options;
  options.prompt = {1};
  options.tokens_max = tokens_max;
  return options;
}

// Only even tokens, and after the first only greater ones.
class EvenAndRising : public TokenConstraint {
 public:
  Status mask(std::span<float> logits) override {
    bool any = false;
    for (std::size_t i = 0; i < logits.size(); ++i) {
      const bool allowed = i % 2 == 0 && static_cast<int>(i) > last_;
      if (!allowed) logits[i] = -kInf;
      any |= allowed;
    }
    if (!any) return Error{ErrorCode::Mismatch, "nothing can follow", "constraint"};
    return Ok{};
  }
  Status accept(int token) override {
    last_ = token;
    return Ok{};
  }

 private:
  int last_ = -1;
};

TEST(Generation, ScoresInTheModelsOwnDistribution) {
  const std::vector<float> logits = {1, 3, 2, 3, -kInf};
  const double total = std::exp(-2) + 1 + std::exp(-1) + 1;
  const ScoredToken scored = score_token(logits, 2, 3);
  EXPECT_FLOAT_EQ(scored.logprob, static_cast<float>(-1 - std::log(total)));
  ASSERT_EQ(scored.top.size(), 3u);
  EXPECT_EQ(scored.top[0].first, 1);  // of equal ones the lowest first
  EXPECT_EQ(scored.top[1].first, 3);
  EXPECT_EQ(scored.top[2].first, 2);
  EXPECT_EQ(score_token(logits, 0, 20).top.size(), 5u);
}

TEST(Generation, KeepsToAConstraintAndFailsWhereNothingFits) {
  GenerationOptions options = request(10);
  options.constraint = std::make_unique<EvenAndRising>();
  Generation generation(std::move(options), nullptr);
  GenerationUpdate update;
  EXPECT_FALSE(generation.accept(std::vector<float>{0, 9, 1, 9, 0}, update).value());
  EXPECT_FALSE(generation.accept(std::vector<float>{9, 9, 9, 9, 0}, update).value());
  EXPECT_EQ(generation.tokens(), (std::vector<int>{1, 2, 4}));
  expect_error(generation.accept(std::vector<float>{9, 9, 9, 9, 9}, update), ErrorCode::Mismatch,
               "nothing can follow");
}

TEST(Generation, ProposesTheDrawOfALaterPosition) {
  const std::vector<float> logits(64, 1.0f);
  GenerationOptions options = request(8);
  options.sampler = {.temperature = 1, .seed = 4};
  Generation generation(std::move(options), nullptr);
  std::vector<int> proposed;
  for (int ahead = 0; ahead < 8; ++ahead) {
    proposed.push_back(generation.propose(logits, ahead).value());
  }
  GenerationUpdate update;
  for (int i = 0; i < 8; ++i) EXPECT_EQ(generation.accept(logits, update).value(), i == 7);
  for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(update.tokens[i].id, proposed[i]);
  EXPECT_EQ(generation.ended(), FinishReason::Length);
}

TEST(Generation, RefusesTooManyLogProbabilities) {
  GenerationOptions options = request(1);
  options.top_logprobs = kTopLogprobsMax + 1;
  expect_error(check_generation(options, 10, 10), ErrorCode::InvalidArgument, "at most 20");
}

}  // namespace
}  // namespace pianola
