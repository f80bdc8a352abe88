#include "host/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace pianola {
namespace {

struct Candidate {
  float logit = 0;
  int id = 0;
  // The more likely first; a total order, so that sorting has one result.
  bool operator<(const Candidate& other) const {
    return logit != other.logit ? logit > other.logit : id < other.id;
  }
};

// The output function of SplitMix64 (Steele, Lea and Flood, 2014).
std::uint64_t mix(std::uint64_t value) {
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9u;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EBu;
  return value ^ (value >> 31);
}

Error invalid(const char* option, const std::string& expected, const std::string& found) {
  return Error{ErrorCode::InvalidArgument,
               std::string(option) + " must be " + expected + ", found " + found, "sampler"};
}

std::vector<Candidate> find_candidates(std::span<const float> logits,
                                       const SamplerOptions& options) {
  std::vector<Candidate> candidates;
  candidates.reserve(logits.size());
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > -std::numeric_limits<float>::infinity()) {  // false for NaN
      candidates.push_back({logits[i], static_cast<int>(i)});
    }
  }
  const auto top_k = static_cast<std::size_t>(options.top_k);
  if (top_k > 0 && top_k < candidates.size()) {
    std::nth_element(candidates.begin(), candidates.begin() + options.top_k, candidates.end());
    candidates.resize(top_k);
  }
  if (top_k > 0 || options.top_p < 1 || options.min_p > 0)
    std::sort(candidates.begin(), candidates.end());
  return candidates;
}

}  // namespace

double draw_uniform(std::uint64_t seed, std::uint64_t position) {
  constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15u;
  // The seed is mixed first, or the seeds s and s + kGolden would share their draws but one.
  const std::uint64_t bits = mix(mix(seed + kGolden) + kGolden * (position + 1));
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

Result<int> choose_greedily(std::span<const float> logits) {
  int best = -1;
  float best_logit = -std::numeric_limits<float>::infinity();
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > best_logit) {
      best_logit = logits[i];
      best = static_cast<int>(i);
    }
  }
  if (best < 0) {
    return Error{ErrorCode::Mismatch,
                 "none of the " + std::to_string(logits.size()) +
                     " logits is a number above -inf; the model's output is broken",
                 "sampler"};
  }
  return best;
}

Result<Sampler> Sampler::create(const SamplerOptions& options) {
  if (!(options.temperature >= 0) || std::isinf(options.temperature)) {
    return invalid("temperature", "a number of at least 0", std::to_string(options.temperature));
  }
  if (options.top_k < 0) {
    return invalid("top_k", "at least 0", std::to_string(options.top_k));
  }
  if (!(options.top_p > 0 && options.top_p <= 1)) {
    return invalid("top_p", "above 0 and at most 1", std::to_string(options.top_p));
  }
  if (!(options.min_p >= 0 && options.min_p <= 1)) {
    return invalid("min_p", "at least 0 and at most 1", std::to_string(options.min_p));
  }
  return Sampler(options);
}

Result<int> Sampler::sample(std::span<const float> logits) {
  TRY(const int id, sample_at(logits, position_));
  ++position_;
  return id;
}

Result<int> Sampler::sample_at(std::span<const float> logits, std::uint64_t position) const {
  TRY(const int best, choose_greedily(logits));
  const double largest = logits[static_cast<std::size_t>(best)];
  if (options_.temperature == 0 || std::isinf(largest)) return best;
  const std::vector<Candidate> candidates = find_candidates(logits, options_);
  // Sums in double, in the candidates' order: by id, or by likelihood where they were sorted.
  const auto weight_of = [&](const Candidate& candidate) {
    return std::exp((candidate.logit - largest) / static_cast<double>(options_.temperature));
  };
  std::vector<double> sums;  // [candidates] of the weights up to here
  sums.reserve(candidates.size());
  double total = 0;
  for (const Candidate& candidate : candidates) {
    total += weight_of(candidate);
    sums.push_back(total);
  }
  std::size_t kept = sums.size();
  if (options_.top_p < 1) {
    const double enough = static_cast<double>(options_.top_p) * total;
    const auto last = std::lower_bound(sums.begin(), sums.end(), enough);
    kept = std::min(kept, static_cast<std::size_t>(last - sums.begin()) + 1);
  }
  if (options_.min_p > 0) {  // the likeliest has the weight 1
    while (kept > 1 && weight_of(candidates[kept - 1]) < static_cast<double>(options_.min_p)) {
      --kept;
    }
  }
  const double drawn = draw_uniform(options_.seed, position) * sums[kept - 1];
  const auto end = sums.begin() + static_cast<std::ptrdiff_t>(kept);
  const auto chosen = std::upper_bound(sums.begin(), end, drawn);
  const auto index = static_cast<std::size_t>(std::min(chosen, end - 1) - sums.begin());
  return candidates[index].id;
}

}  // namespace pianola
