#include "host/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>
#include <vector>

#include "tests/support/expect_error.h"

namespace pianola {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

Sampler make(const SamplerOptions& options) { return Sampler::create(options).value(); }

std::vector<int> count(const SamplerOptions& options, const std::vector<float>& logits, int draws) {
  Sampler sampler = make(options);
  std::vector<int> counts(logits.size());
  for (int i = 0; i < draws; ++i) {
    ++counts[static_cast<std::size_t>(sampler.sample(logits).value())];
  }
  return counts;
}

TEST(Sampler, TakesTheLargestAndOfEqualOnesTheLowestWhenGreedy) {
  Sampler sampler = make({});
  EXPECT_EQ(sampler.sample(std::vector<float>{1, 3, 2, 3}).value(), 1);
  EXPECT_EQ(sampler.sample(std::vector<float>{kNan, -2, kNan, -2}).value(), 1);
  EXPECT_EQ(sampler.sample(std::vector<float>{0, kInf, kInf}).value(), 1);
  EXPECT_EQ(sampler.position(), 3u);
}

TEST(Sampler, KeepsWhatIsLikelyEnoughBesideTheLikeliest) {
  // Probabilities relative to the likeliest: 1, 0.5, 0.2, 0.1.
  const std::vector<float> logits = {std::log(0.2f), std::log(1.0f), std::log(0.1f),
                                     std::log(0.5f)};
  const std::vector<int> counts = count({.temperature = 1, .min_p = 0.15f}, logits, 4000);
  EXPECT_GT(counts[0], 0);
  EXPECT_GT(counts[3], counts[0]);
  EXPECT_EQ(counts[2], 0);
  EXPECT_EQ(count({.temperature = 1, .min_p = 1}, logits, 50)[1], 50);
  expect_error(Sampler::create({.min_p = 1.5f}), ErrorCode::InvalidArgument, "min_p");
}

TEST(Sampler, FailsWhenNothingCanBeChosen) {
  for (const float temperature : {0.0f, 1.0f}) {
    Sampler sampler = make({.temperature = temperature});
    expect_error(sampler.sample({}), ErrorCode::Mismatch, "none of the 0");
    expect_error(sampler.sample(std::vector<float>{kNan, -kInf}), ErrorCode::Mismatch,
                 "none of the 2");
    EXPECT_EQ(sampler.position(), 0u);
  }
}

TEST(Sampler, RefusesOptionsOutOfRange) {
  expect_error(Sampler::create({.temperature = -1}), ErrorCode::InvalidArgument, "temperature");
  expect_error(Sampler::create({.temperature = kNan}), ErrorCode::InvalidArgument, "temperature");
  expect_error(Sampler::create({.temperature = kInf}), ErrorCode::InvalidArgument, "temperature");
  expect_error(Sampler::create({.top_k = -1}), ErrorCode::InvalidArgument, "top_k");
  expect_error(Sampler::create({.top_p = 0}), ErrorCode::InvalidArgument, "top_p");
  expect_error(Sampler::create({.top_p = 1.1f}), ErrorCode::InvalidArgument, "top_p");
  expect_error(Sampler::create({.top_p = kNan}), ErrorCode::InvalidArgument, "top_p");
}

TEST(Sampler, DrawsWithTheProbabilitiesOfTheSoftmax) {
  const std::vector<float> logits = {0.0f, std::log(2.0f), kNan, std::log(5.0f), -kInf};
  const std::vector<int> counts = count({.temperature = 1, .seed = 1}, logits, 80'000);
  EXPECT_NEAR(counts[0], 10'000, 400);
  EXPECT_NEAR(counts[1], 20'000, 500);
  EXPECT_EQ(counts[2], 0);
  EXPECT_NEAR(counts[3], 50'000, 600);
  EXPECT_EQ(counts[4], 0);
  // Half the temperature squares the ratios: 1, 4, 25.
  const std::vector<int> cold = count({.temperature = 0.5f, .seed = 1}, logits, 30'000);
  EXPECT_NEAR(cold[0], 1'000, 150);
  EXPECT_NEAR(cold[1], 4'000, 300);
  EXPECT_NEAR(cold[3], 25'000, 400);
}

TEST(Sampler, KeepsTheKMostLikely) {
  const std::vector<float> logits = {1, 2, 2, 0, 2};
  const std::vector<int> counts = count({.temperature = 1, .top_k = 2, .seed = 3}, logits, 1000);
  EXPECT_EQ(counts[1] + counts[2], 1000);  // of the three equal ones the lowest ids
  EXPECT_GT(counts[1], 400);
  EXPECT_GT(counts[2], 400);
  EXPECT_EQ(count({.temperature = 5, .top_k = 1}, logits, 100)[1], 100);
  EXPECT_EQ(count({.temperature = 1, .top_k = 99}, {0, 0}, 10).size(), 2u);
}

TEST(Sampler, KeepsTheMostLikelyUpToTopP) {
  const std::vector<float> logits = {std::log(1.0f), std::log(5.0f), std::log(4.0f)};
  const std::vector<int> half = count({.temperature = 1, .top_p = 0.45f}, logits, 1000);
  EXPECT_EQ(half[1], 1000);
  const std::vector<int> two = count({.temperature = 1, .top_p = 0.85f}, logits, 9000);
  EXPECT_EQ(two[0], 0);
  EXPECT_NEAR(two[1], 5000, 250);
  const std::vector<int> least = count({.temperature = 1, .top_p = 1e-30f}, logits, 10);
  EXPECT_EQ(least[1], 10);
}

TEST(Sampler, DependsOnSeedAndPositionOnly) {
  const std::vector<float> logits(1000, 0.0f);
  Sampler first = make({.temperature = 1, .seed = 9});
  const Sampler second = make({.temperature = 1, .seed = 9});
  const Sampler other = make({.temperature = 1, .seed = 10});
  int equal = 0;
  for (std::uint64_t position = 0; position < 200; ++position) {
    const int id = first.sample(logits).value();
    EXPECT_EQ(id, second.sample_at(logits, position).value());
    equal += id == other.sample_at(logits, position).value();
  }
  EXPECT_LT(equal, 5);
}

// The generator is part of what users see: the same seed must give the same text in every version.
TEST(DrawUniform, StaysAsItIs) {
  EXPECT_EQ(draw_uniform(0, 0), 0x14E0DBA5E9A32Fp-53);
  EXPECT_EQ(draw_uniform(0, 1), 0x16705460BE8829p-53);
  EXPECT_EQ(draw_uniform(42, 1'000'000), 0x10A0BB53D1522Bp-53);
  std::set<double> draws;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const double draw = draw_uniform(i, 0);
    EXPECT_TRUE(draw >= 0 && draw < 1);
    draws.insert(draw);
  }
  EXPECT_EQ(draws.size(), 1000u);
}

}  // namespace
}  // namespace pianola
