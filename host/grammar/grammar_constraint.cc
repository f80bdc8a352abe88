#include "host/grammar/grammar_constraint.h"

#include <limits>

namespace pianola {

Status GrammarConstraint::mask(std::span<float> logits) {
  TRY(const std::span<const std::uint64_t> allowed, matcher_.allowed_tokens());
  for (std::size_t token = 0; token < logits.size(); ++token) {
    const std::size_t word = token / 64;
    const bool is_allowed = word < allowed.size() && (allowed[word] >> (token % 64) & 1) != 0;
    if (!is_allowed) logits[token] = -std::numeric_limits<float>::infinity();
  }
  return Ok{};
}

}  // namespace pianola
