#include "host/adjust_logits.h"

#include <cmath>
#include <string>

namespace pianola {
namespace {

Error invalid(const std::string& what, const std::string& expected, float found) {
  return Error{ErrorCode::InvalidArgument,
               what + " must be " + expected + ", found " + std::to_string(found), "sampler"};
}

}  // namespace

Status check_adjustments(const LogitAdjustments& adjustments, int vocabulary) {
  if (!(adjustments.repetition_penalty > 0) || std::isinf(adjustments.repetition_penalty)) {
    return invalid("repetition_penalty", "above 0", adjustments.repetition_penalty);
  }
  if (!(std::fabs(adjustments.presence_penalty) <= 2)) {
    return invalid("presence_penalty", "from -2 to 2", adjustments.presence_penalty);
  }
  if (!(std::fabs(adjustments.frequency_penalty) <= 2)) {
    return invalid("frequency_penalty", "from -2 to 2", adjustments.frequency_penalty);
  }
  for (const auto& [id, bias] : adjustments.bias) {
    if (id < 0 || id >= vocabulary) {
      return Error{ErrorCode::InvalidArgument,
                   "logit_bias names token " + std::to_string(id) + "; the vocabulary has " +
                       std::to_string(vocabulary),
                   "sampler"};
    }
    if (!(std::fabs(bias) <= 100)) return invalid("logit_bias", "from -100 to 100", bias);
  }
  return Ok{};
}

TokenCounts::TokenCounts(std::span<const int> prompt) {
  for (const int id : prompt) ++counts_[id].prompt;
}

void adjust_logits(const LogitAdjustments& adjustments, const TokenCounts& counts,
                   std::span<float> logits) {
  if (adjustments.repetition_penalty != 1 || adjustments.presence_penalty != 0 ||
      adjustments.frequency_penalty != 0) {
    for (const auto& [id, count] : counts.counts()) {
      float& logit = logits[static_cast<std::size_t>(id)];
      logit = logit > 0 ? logit / adjustments.repetition_penalty
                        : logit * adjustments.repetition_penalty;
      if (count.generated == 0) continue;
      logit -= adjustments.presence_penalty;
      logit -= adjustments.frequency_penalty * static_cast<float>(count.generated);
    }
  }
  for (const auto& [id, bias] : adjustments.bias) logits[static_cast<std::size_t>(id)] += bias;
}

}  // namespace pianola
