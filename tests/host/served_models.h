// Small rolls and requests for tests of the engine that many requests share.
#pragma once

#include <cstdint>
#include <vector>

#include "host/generation.h"
#include "host/shared_engine.h"
#include "isa/roll.h"
#include "tests/support/make_llama.h"

namespace pianola::test {

inline constexpr int kSmallVocabulary = 96;
inline constexpr int kSmallContext = 128;

inline const LlamaShape kSmallShape{.hidden = 32,
                                    .layers = 2,
                                    .heads = 2,
                                    .kv_heads = 1,
                                    .head_dim = 16,
                                    .ffn = 48,
                                    .vocab = kSmallVocabulary,
                                    .context_max = 128,
                                    .seed = 3};

// A llama with random weights, compiled and verified.
Roll small_roll(const char* target = "sim16", const LlamaShape& shape = kSmallShape,
                EntryOutput output = EntryOutput::Logits);

// A request by number: prompts of 1 to 40 tokens, many with a common beginning; greedy or drawn,
// with and without penalties, bias and log probabilities. Equal numbers give equal requests.
GenerationOptions numbered_request(std::uint64_t number);

struct Answer {
  std::vector<int> tokens;
  std::vector<ScoredToken> scored;
  std::string text;
  bool accepted = false;
  std::optional<GenerationFinish> finish;
};
// Collects what a sink is given.
SharedEngine::Sink collect(Answer& answer);
// The answer on an engine of its own with one slot.
Answer answer_alone(const Roll& roll, Device& device, GenerationOptions options,
                    const Tokenizer* tokenizer = nullptr);

}  // namespace pianola::test
