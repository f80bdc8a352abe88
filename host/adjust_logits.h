// What a request changes about the logits before a token is drawn: penalties on tokens that have
// been there, and a bias by id. The counts are those of one sequence.
#pragma once

#include <map>
#include <span>
#include <vector>

#include "isa/result.h"

namespace pianola {

struct LogitAdjustments {
  // Divides positive logits, multiplies others, of tokens in the prompt or the answer (Keskar et
  // al., "CTRL", 2019). 1: no penalty.
  float repetition_penalty = 1;
  float presence_penalty = 0;   // subtracted once where a token is in the answer
  float frequency_penalty = 0;  // subtracted for each time it is there
  std::map<int, float> bias{};  // added, by id
};

// Error InvalidArgument: a repetition_penalty that is not above 0 and finite, presence or frequency
// penalties outside [-2, 2], a bias outside [-100, 100] or of an id outside the vocabulary.
Status check_adjustments(const LogitAdjustments& adjustments, int vocabulary);

// How often each token has been there.
class TokenCounts {
 public:
  explicit TokenCounts(std::span<const int> prompt);
  void add(int id) { ++counts_[id].generated; }

  struct Count {
    int prompt = 0, generated = 0;
  };
  const std::map<int, Count>& counts() const { return counts_; }

 private:
  std::map<int, Count> counts_;  // by id
};

// `logits` [vocabulary].
void adjust_logits(const LogitAdjustments& adjustments, const TokenCounts& counts,
                   std::span<float> logits);

}  // namespace pianola
