#include "host/server/served_model.h"

#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "host/engine.h"
#include "host/grammar/grammar_constraint.h"
#include "host/server/constrain_tokens.h"

namespace pianola {
namespace {

// The ids of each prompt.
ApiResult<std::vector<std::vector<int>>> encode_prompts(const CompletionRequest& request,
                                                        const ServedModel& model) {
  std::vector<std::vector<int>> out;
  const auto encode = [&](const std::string& text, const EncodeOptions& options) {
    return model.tokenizer->encode(text, options);
  };
  if (request.chat) {
    ApiResult<std::string> text = model.chat.text(request);
    if (!text.ok()) return text.error();
    auto ids = encode(text.value(), {.add_bos = !model.chat.has_template(),
                                     .parse_special = model.chat.has_template()});
    if (!ids.ok()) return to_api_error(ids.error(), "messages");
    out.push_back(std::move(*ids));
    return out;
  }
  for (const auto& prompt : request.prompts) {
    if (const auto* ids = std::get_if<std::vector<int>>(&prompt)) {
      out.push_back(*ids);
      continue;
    }
    auto ids = encode(std::get<std::string>(prompt), {});
    if (!ids.ok()) return to_api_error(ids.error(), "prompt");
    out.push_back(std::move(*ids));
  }
  return out;
}

}  // namespace

GrammarTokens::GrammarTokens(const Tokenizer& tokenizer)
    : text(TokenVocabulary::from_tokenizer(tokenizer)),
      calls(TokenVocabulary::from_tokenizer(tokenizer, tool_call_marks())) {}

std::string fingerprint_of(const Roll& roll) {
  XXH64_hash_t hash = XXH3_64bits(roll.words.data(), roll.words.size_bytes());
  hash = XXH3_64bits_withSeed(roll.data.data(), roll.data.size_bytes(), hash);
  hash = XXH3_64bits_withSeed(roll.tokenizer.data(), roll.tokenizer.size_bytes(), hash);
  char text[32];
  std::snprintf(text, sizeof text, "pianola-%016llx", static_cast<unsigned long long>(hash));
  return text;
}

ApiResult<std::vector<GenerationOptions>> prepare_generations(const CompletionRequest& request,
                                                              const ServedModel& model) {
  const RollModel& facts = model.roll->metadata.model;
  const char* param = request.chat ? "messages" : "prompt";
  ApiResult<std::vector<std::vector<int>>> prompts = encode_prompts(request, model);
  if (!prompts.ok()) return prompts.error();
  const ApiResult<std::optional<Grammar>> grammar =
      grammar_of(request, model.chat.tool_call_format(request));
  if (!grammar.ok()) return grammar.error();
  const bool greedy = sends_tokens(*model.roll);
  std::vector<GenerationOptions> out;
  for (const std::vector<int>& prompt : prompts.value()) {
    const int room = facts.context + 1 -
                     static_cast<int>(std::min<std::size_t>(
                         prompt.size(), static_cast<std::size_t>(facts.context)));
    for (int i = 0; i < request.n; ++i) {
      GenerationOptions options;
      options.prompt = prompt;
      options.tokens_max = request.tokens_max.value_or(room);
      options.sampler = request.sampler;
      options.sampler.temperature =
          static_cast<float>(request.temperature.value_or(greedy ? 0 : 1));
      options.sampler.seed += static_cast<std::uint64_t>(i);
      options.adjustments = request.adjustments;
      options.stop = request.stop;
      options.top_logprobs = request.top_logprobs;
      options.score_prompt = request.echo && (request.top_logprobs >= 0 || request.tokens_max == 0);
      options.ignore_eos = request.ignore_eos;
      options.reuse_prefix = request.reuse_prefix;
      // The marks around calls may be special tokens.
      options.show_special = model.chat.tool_call_format(request) != ToolCallFormat::None;
      if (request.deadline_ms) {
        options.deadline_cycles = static_cast<std::uint64_t>(
            std::floor(*request.deadline_ms * model.roll->target.clock_mhz * 1000));
      }
      if (grammar.value()) {
        const GrammarTokens& tokens = *model.grammar_tokens;
        const bool is_call = request.tool_choice == ToolChoice::Required;
        options.constraint = std::make_unique<GrammarConstraint>(
            *grammar.value(), is_call ? tokens.calls : tokens.text);
      }
      Status checked = check_generation(options, facts.vocabulary, facts.context);
      if (checked.ok() && greedy) checked = check_greedy(options);
      if (!checked.ok()) {
        // The sampler names the option at fault first.
        const Error& cause = checked.error();
        ApiError error = to_api_error(cause, cause.where == "sampler"
                                                 ? cause.message.substr(0, cause.message.find(' '))
                                                 : cause.where);
        if (error.code == "context_length_exceeded") error.param = param;
        return error;
      }
      out.push_back(std::move(options));
    }
  }
  return out;
}

}  // namespace pianola
