// Log probabilities in the two forms of OpenAI's API.
#pragma once

#include <span>
#include <string>

#include "host/generation.h"
#include "host/server/api_error.h"
#include "host/server/served_model.h"

namespace pianola {

// An empty list of the form: {"content": []} for chats, four lists for texts.
OrderedJson empty_logprobs(bool chat);
// Adds a token. `text_offset` is where its text begins in the answer, and moves behind it; null
// `scored`: the first token of a prompt, of which nothing is known.
void add_logprob(OrderedJson& logprobs, bool chat, const ServedModel& model, int id,
                 const ScoredToken* scored, int top, std::size_t& text_offset);

}  // namespace pianola
