#include <string>

#include "host/shared_engine.h"

namespace pianola {

Result<GenerationQuote> quote_generation(const Roll& roll, int prompt_tokens, int cached_tokens,
                                         int generated_tokens) {
  GenerationQuote quote;
  int position = cached_tokens;
  // The last token that is generated is not put in.
  const int end = prompt_tokens + (generated_tokens > 0 ? generated_tokens - 1 : 0);
  while (position < end) {
    const int remaining = position < prompt_tokens ? prompt_tokens - position : 1;
    const int index = choose_entry(roll, position, remaining);
    if (index < 0) {
      return Error{ErrorCode::OutOfRange,
                   "no entry has room at position " + std::to_string(position) +
                       "; compile with a longer --context",
                   "quote"};
    }
    const Entry& entry = roll.metadata.entries[static_cast<std::size_t>(index)];
    ++quote.launches;
    quote.cycles += entry.cycles;
    if (position < prompt_tokens) quote.first_token_cycles += entry.cycles;
    position += std::min(remaining, entry.tokens);
  }
  return quote;
}

}  // namespace pianola
