#include "host/generation.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace pianola {
namespace {

constexpr std::size_t kTextContext =
    8;  // tokens before the answer that its first text can depend on

}  // namespace

Status check_generation(const GenerationOptions& options, int vocabulary, int context) {
  TRY([[maybe_unused]] Sampler sampler, Sampler::create(options.sampler));
  TRY_STATUS(check_adjustments(options.adjustments, vocabulary));
  if (options.top_logprobs > kTopLogprobsMax) {
    return Error{ErrorCode::InvalidArgument,
                 "at most " + std::to_string(kTopLogprobsMax) +
                     " log probabilities can be had for a token, found " +
                     std::to_string(options.top_logprobs),
                 "logprobs"};
  }
  if (options.prompt.empty()) {
    return Error{ErrorCode::InvalidArgument,
                 "the prompt has no tokens, and the model no BOS token to begin with", "prompt"};
  }
  for (const int id : options.prompt) {
    if (id < 0 || id >= vocabulary) {
      return Error{ErrorCode::InvalidArgument,
                   "token id " + std::to_string(id) + " is not in the vocabulary of " +
                       std::to_string(vocabulary),
                   "prompt"};
    }
  }
  if (options.tokens_max < (options.score_prompt ? 0 : 1)) {
    return Error{ErrorCode::InvalidArgument,
                 "at least 1 token must be asked for, found " + std::to_string(options.tokens_max),
                 "max_tokens"};
  }
  const std::size_t positions =
      options.prompt.size() + static_cast<std::size_t>(options.tokens_max);
  if (options.prompt.size() > static_cast<std::size_t>(context) ||
      positions > static_cast<std::size_t>(context) + 1) {  // the last token needs no position
    return Error{ErrorCode::OutOfRange,
                 "the prompt has " + std::to_string(options.prompt.size()) + " tokens and " +
                     std::to_string(options.tokens_max) + " are asked for; the context is " +
                     std::to_string(context) + " positions",
                 "max_tokens"};
  }
  return Ok{};
}

Status check_greedy(const GenerationOptions& options) {
  const LogitAdjustments& a = options.adjustments;
  const char* where = options.sampler.temperature > 0 ? "temperature"
                      : options.top_logprobs >= 0     ? "logprobs"
                      : options.score_prompt          ? "echo"
                      : options.constraint            ? "response_format"
                      : a.repetition_penalty != 1     ? "repetition_penalty"
                      : a.presence_penalty != 0       ? "presence_penalty"
                      : a.frequency_penalty != 0      ? "frequency_penalty"
                      : !a.bias.empty()               ? "logit_bias"
                                                      : nullptr;
  if (where == nullptr) return Ok{};
  return Error{ErrorCode::Unsupported,
               std::string(where) +
                   " needs all logits, but this roll's machine chooses greedily and sends tokens "
                   "alone; leave it out, or compile with --send logits",
               where};
}

ScoredToken score_token(std::span<const float> logits, int id, int top) {
  float largest = -std::numeric_limits<float>::infinity();
  for (const float logit : logits) {
    if (logit > largest) largest = logit;
  }
  double total = 0;
  for (const float logit : logits) {
    if (!std::isnan(logit)) total += std::exp(static_cast<double>(logit) - largest);
  }
  const double log_total = std::log(total) + largest;
  const auto logprob = [&](int which) {
    return static_cast<float>(logits[static_cast<std::size_t>(which)] - log_total);
  };
  ScoredToken scored{id, logprob(id), {}};
  if (top <= 0) return scored;
  const auto before = [&](int a, int b) {
    const float x = logits[static_cast<std::size_t>(a)], y = logits[static_cast<std::size_t>(b)];
    return x != y ? x > y : a < b;
  };
  std::vector<int> ids;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (!std::isnan(logits[i])) ids.push_back(static_cast<int>(i));
  }
  const auto count = std::min(ids.size(), static_cast<std::size_t>(top));
  std::partial_sort(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(count), ids.end(),
                    before);
  for (std::size_t i = 0; i < count; ++i) scored.top.emplace_back(ids[i], logprob(ids[i]));
  return scored;
}

Generation::Generation(GenerationOptions options, const Tokenizer* tokenizer)
    : options_(std::move(options)),
      tokenizer_(tokenizer),
      sampler_(Sampler::create(options_.sampler).value()),
      counts_(options_.prompt),
      stop_(options_.stop),
      tokens_(options_.prompt) {
  if (tokenizer == nullptr) return;
  text_.emplace(*tokenizer, DecodeOptions{.skip_special = !options_.show_special});
  // The answer goes on from the prompt: a first token is written differently from a later one.
  const std::span<const int> prompt = options_.prompt;
  for (const int id : prompt.last(std::min(prompt.size(), kTextContext))) (void)text_->push(id);
}

Result<int> Generation::propose(std::span<const float> logits, int ahead) const {
  std::vector<float> adjusted(logits.begin(), logits.end());
  adjust_logits(options_.adjustments, counts_, adjusted);
  return sampler_.sample_at(adjusted, static_cast<std::uint64_t>(generated() + ahead));
}

void Generation::score_prompt(int first, std::span<const std::vector<float>> logits) {
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const std::size_t next = static_cast<std::size_t>(first) + i + 1;
    if (next >= options_.prompt.size()) return;
    CHECK(prompt_scores_.size() + 1 == next);
    prompt_scores_.push_back(score_token(logits[i], options_.prompt[next], options_.top_logprobs));
  }
}

Result<bool> Generation::accept(std::span<const float> logits, GenerationUpdate& update) {
  if (options_.score_prompt && generated() == 0) update.prompt_scores = std::move(prompt_scores_);
  if (options_.tokens_max == 0) return true;
  adjusted_.assign(logits.begin(), logits.end());
  adjust_logits(options_.adjustments, counts_, adjusted_);
  if (options_.constraint) TRY_STATUS(options_.constraint->mask(adjusted_));
  TRY(const int id, sampler_.sample_at(adjusted_, static_cast<std::uint64_t>(generated())));
  const bool is_eos = tokenizer_ != nullptr && tokenizer_->is_eos(id) && !options_.ignore_eos;
  if (options_.constraint && !is_eos) TRY_STATUS(options_.constraint->accept(id));
  counts_.add(id);
  tokens_.push_back(id);
  if (is_eos) {
    ended_ = FinishReason::Eos;
  } else {
    update.tokens.push_back(options_.top_logprobs < 0
                                ? ScoredToken{id, 0, {}}
                                : score_token(logits, id, options_.top_logprobs));
    if (text_) update.text += stop_.push(text_->push(id));
    if (!stop_.found() && generated() < options_.tokens_max) return false;
    ended_ = stop_.found() ? FinishReason::StopString : FinishReason::Length;
  }
  if (text_) {
    update.text += stop_.push(text_->flush());
    if (stop_.found()) {
      if (!is_eos) ended_ = FinishReason::StopString;
    } else {
      update.text += stop_.flush();
    }
  }
  return true;
}

}  // namespace pianola
