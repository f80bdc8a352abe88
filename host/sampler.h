// Chooses the next token from the logits: greedily, or at random with temperature, top-k, top-p and
// min-p, in that order.
//
//   TRY(Sampler sampler, Sampler::create({.temperature = 0.8f, .top_p = 0.95f, .seed = 42}));
//   TRY(int id, sampler.sample(logits));
//
// The draw for a position depends on the seed and the position only (SplitMix64 as a counter-based
// generator), so the same logits give the same text on the same machine, whatever was sampled in
// between; sample_at serves engines that come back to a position, such as speculative decoding.
#pragma once

#include <cstdint>
#include <span>

#include "isa/result.h"

namespace pianola {

struct SamplerOptions {
  float temperature = 0;  // 0: greedy, the largest logit; of equal ones the lowest id
  int top_k = 0;          // only the k most likely tokens; 0: all
  float top_p = 1;        // only the most likely tokens that together have this probability
  float min_p = 0;        // only tokens of at least this probability times the likeliest's
  std::uint64_t seed = 0;
};

class Sampler {
 public:
  // Error InvalidArgument: a temperature below 0, a top_k below 0, a top_p outside (0, 1],
  // a min_p outside [0, 1].
  static Result<Sampler> create(const SamplerOptions& options);

  // `logits` [vocabulary]; NaN is never chosen. Error Mismatch: nothing can be, because there are
  // no logits or all are NaN or -inf.
  Result<int> sample(std::span<const float> logits);  // at the next position, from 0
  Result<int> sample_at(std::span<const float> logits, std::uint64_t position) const;

  std::uint64_t position() const { return position_; }
  const SamplerOptions& options() const { return options_; }

 private:
  explicit Sampler(const SamplerOptions& options) : options_(options) {}

  SamplerOptions options_;
  std::uint64_t position_ = 0;
};

// The largest logit's id, of equal ones the lowest. Errors as Sampler::sample.
Result<int> choose_greedily(std::span<const float> logits);

// The draw at a position, in [0, 1), a multiple of 2^-53.
double draw_uniform(std::uint64_t seed, std::uint64_t position);

}  // namespace pianola
