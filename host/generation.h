// One request, from logits to text: penalties, constraint, draw, log probabilities, stop strings,
// end. It knows nothing of machines and slots; logits go in position by position, and updates come
// out.
//
// The draw for a token depends on the seed and its index in the answer alone, so that the text is
// the same whatever else runs, and with or without a draft.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "host/adjust_logits.h"
#include "host/sampler.h"
#include "host/stop_strings.h"
#include "host/token_constraint.h"
#include "host/tokenizer/tokenizer.h"

namespace pianola {

inline constexpr int kTopLogprobsMax = 20;

struct GenerationOptions {
  std::vector<int> prompt;  // ids, at least one
  int tokens_max = 0;       // at least 1, or 0 where only the prompt is scored
  SamplerOptions sampler;
  LogitAdjustments adjustments;
  std::vector<std::string> stop;
  int top_logprobs = -1;      // -1: no log probabilities; else also this many alternatives
  bool score_prompt = false;  // log probabilities of the prompt's tokens too
  bool ignore_eos = false;    // the end-of-text token is a token like others
  bool show_special = false;  // special tokens leave their text
  bool reuse_prefix = true;
  bool speculate = true;
  // Machine cycles from submission until the answer is complete; refused if it cannot be met.
  std::optional<std::uint64_t> deadline_cycles;
  std::unique_ptr<TokenConstraint> constraint;
};

// A token and what the model thought of it: natural logarithms of its own distribution, before
// penalties, bias and temperature.
struct ScoredToken {
  int id = 0;
  float logprob = 0;
  std::vector<std::pair<int, float>> top;  // the most likely tokens, falling
};

enum class FinishReason { Eos, StopString, Length, Cancelled, Failed };

// What the machine did for one request.
struct GenerationCost {
  int prompt_tokens = 0, cached_tokens = 0, generated_tokens = 0;
  int launches = 0;
  std::uint64_t cycles = 0;         // machine cycles of its own launches
  std::uint64_t frozen_cycles = 0;  // other clock edges in them
  int draft_launches = 0, drafted_tokens = 0, accepted_tokens = 0;
  std::uint64_t draft_cycles = 0;  // of the draft's machine
  // By the machine's clock since it was loaded, other requests' launches included.
  std::uint64_t submitted_at = 0, started_at = 0, finished_at = 0;
};

struct GenerationFinish {
  FinishReason reason = FinishReason::Length;
  std::string stop_string;     // that was found
  std::optional<Error> error;  // of Failed
  GenerationCost cost;
};

// In this order: once `accepted`, then tokens and text as they come, at last `finish`; a request
// that is refused only has a finish. `text` can lag behind the tokens.
struct GenerationUpdate {
  std::uint64_t id = 0;
  bool accepted = false;
  std::vector<ScoredToken> prompt_scores;  // [prompt - 1], of its tokens but the first
  std::vector<ScoredToken> tokens;
  std::string text;
  std::optional<GenerationFinish> finish;
};

// Errors InvalidArgument and OutOfRange: what can be refused without a machine. Sampling options
// out of range, ids outside the vocabulary, a prompt that leaves no room in the context.
Status check_generation(const GenerationOptions& options, int vocabulary, int context);

// Error Unsupported: an option that needs all logits, of a machine that sends tokens.
Status check_greedy(const GenerationOptions& options);

// The log probability of a token and the most likely ones. `logits` [vocabulary].
ScoredToken score_token(std::span<const float> logits, int id, int top);

class Generation {
 public:
  // For options that were checked. The tokenizer, which may be null (no text then), must outlive
  // it.
  Generation(GenerationOptions options, const Tokenizer* tokenizer);

  // The logits after the latest token; draws the next and adds it to the update. True: it ended,
  // and ended() says why.
  Result<bool> accept(std::span<const float> logits, GenerationUpdate& update);
  // What a draft would draw next: the same draw, without consequences. `ahead` tokens were proposed
  // before.
  Result<int> propose(std::span<const float> logits, int ahead) const;
  // The prompt's tokens after position `first`, from the logits of the positions [first, ...).
  void score_prompt(int first, std::span<const std::vector<float>> logits);

  const GenerationOptions& options() const { return options_; }
  const std::vector<int>& tokens() const { return tokens_; }  // prompt and answer
  int generated() const { return static_cast<int>(tokens_.size() - options_.prompt.size()); }
  FinishReason ended() const { return ended_; }
  const std::string& stop_string() const { return stop_.matched(); }

 private:
  GenerationOptions options_;
  const Tokenizer* tokenizer_;
  Sampler sampler_;
  TokenCounts counts_;
  StopStrings stop_;
  std::optional<TextStream> text_;
  std::vector<int> tokens_;
  std::vector<ScoredToken> prompt_scores_;
  std::vector<float> adjusted_;  // [vocabulary]
  FinishReason ended_ = FinishReason::Length;
};

}  // namespace pianola
