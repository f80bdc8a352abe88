#include "host/adjust_logits.h"

#include <gtest/gtest.h>

#include <limits>

#include "tests/support/expect_error.h"

namespace pianola {
namespace {

TEST(AdjustLogits, PenalizesWhatHasBeenThere) {
  TokenCounts counts(std::vector<int>{0, 1});
  counts.add(1);
  counts.add(2);
  counts.add(2);
  std::vector<float> logits = {2, -2, 4, 1};
  adjust_logits({.repetition_penalty = 2}, counts, logits);
  EXPECT_EQ(logits, (std::vector<float>{1, -4, 2, 1}));
  logits = {2, -2, 4, 1};
  adjust_logits({.presence_penalty = 1, .frequency_penalty = 0.5f}, counts, logits);
  EXPECT_EQ(logits, (std::vector<float>{2, -3.5f, 2, 1}));
  logits = {2, -2, 4, 1};
  adjust_logits({.bias = {{0, -100.0f}, {3, 1.5f}}}, counts, logits);
  EXPECT_EQ(logits, (std::vector<float>{-98, -2, 4, 2.5f}));
}

TEST(AdjustLogits, RefusesWhatIsOutOfRange) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto refuse = [](const LogitAdjustments& adjustments, const std::string& phrase) {
    expect_error(check_adjustments(adjustments, 4), ErrorCode::InvalidArgument, phrase);
  };
  refuse({.repetition_penalty = 0}, "repetition_penalty");
  refuse({.repetition_penalty = nan}, "repetition_penalty");
  refuse({.presence_penalty = 2.5f}, "presence_penalty");
  refuse({.frequency_penalty = nan}, "frequency_penalty");
  refuse({.bias = {{4, 1.0f}}}, "token 4");
  refuse({.bias = {{-1, 1.0f}}}, "token -1");
  refuse({.bias = {{1, 101.0f}}}, "logit_bias");
  EXPECT_TRUE(check_adjustments({.presence_penalty = -2, .bias = {{3, -100.0f}}}, 4).ok());
}

}  // namespace
}  // namespace pianola
