// What is served: a model on a machine, as the handlers of requests see it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "host/generation.h"
#include "host/grammar/token_vocabulary.h"
#include "host/server/api_error.h"
#include "host/server/chat_prompt.h"
#include "host/server/completion_request.h"
#include "host/tokenizer/tokenizer.h"
#include "isa/roll.h"

namespace pianola {

// The tokens as grammars see them. The engine, too, refers to it while requests run.
struct GrammarTokens {
  explicit GrammarTokens(const Tokenizer& tokenizer);
  TokenVocabulary text;
  TokenVocabulary calls;  // with the marks around tool calls, where these are special tokens
};

struct ServedModel {
  std::string id;
  const Roll* roll = nullptr;
  const Tokenizer* tokenizer = nullptr;
  std::vector<std::string> token_bytes{};  // [vocabulary], what each adds to a text
  const GrammarTokens* grammar_tokens = nullptr;
  ChatPrompt chat;
  std::string executor;      // that plays the roll
  std::string fingerprint;   // of the roll
  std::int64_t created = 0;  // seconds since 1970, when it was loaded
};

// "pianola-" and a hash of what decides about the tokens.
std::string fingerprint_of(const Roll& roll);

// The requests to the engine that a completion is made of: for each prompt, n choices.
ApiResult<std::vector<GenerationOptions>> prepare_generations(const CompletionRequest& request,
                                                              const ServedModel& model);

}  // namespace pianola
