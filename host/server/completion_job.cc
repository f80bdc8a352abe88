#include "host/server/completion_job.h"

#include <xxhash.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "host/server/write_logprobs.h"

namespace pianola {
namespace {

const char* reason_text(FinishReason reason) {
  return reason == FinishReason::Length ? "length" : "stop";
}

// Nine letters and digits, which is what the templates of Mistral demand of a call's id.
std::string call_id(const std::string& text) {
  static constexpr std::string_view kDigits =
      "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  XXH64_hash_t hash = XXH3_64bits(text.data(), text.size());
  std::string id(9, '0');
  for (char& c : id) {
    c = kDigits[hash % kDigits.size()];
    hash /= kDigits.size();
  }
  return id;
}

// The calls as OpenAI writes them; in a stream they have their index.
OrderedJson tool_calls_json(const std::vector<ToolCall>& calls, const std::string& id,
                            std::size_t choice, bool in_stream) {
  OrderedJson out = OrderedJson::array();
  for (std::size_t i = 0; i < calls.size(); ++i) {
    OrderedJson call = OrderedJson::object();
    if (in_stream) call["index"] = i;
    call["id"] = call_id(id + "/" + std::to_string(choice) + "/" + std::to_string(i));
    call["type"] = "function";
    call["function"] = {{"name", calls[i].name}, {"arguments", calls[i].arguments}};
    out.push_back(std::move(call));
  }
  return out;
}

}  // namespace

std::string to_event(const OrderedJson& json) { return "data: " + to_text(json) + "\n\n"; }

CompletionJob::CompletionJob(CompletionRequest request, const ServedModel& model, std::string id,
                             std::int64_t created, const std::vector<GenerationOptions>& options)
    : request_(std::move(request)),
      model_(&model),
      id_(std::move(id)),
      created_(created),
      format_(model.chat.tool_call_format(request_)),
      finishes_(options.size()) {
  for (const GenerationOptions& one : options) {
    Choice& choice = choices_.emplace_back();
    choice.prompt = one.prompt;
    if (request_.echo) choice.text = model.tokenizer->decode(one.prompt);
    if (request_.top_logprobs >= 0) choice.logprobs = empty_logprobs(request_.chat);
    deadline_cycles_ = one.deadline_cycles;
  }
}

// ---- Updates --------------------------------------------------------------------------------

std::string CompletionJob::fail(ApiError error) {
  if (error_) return {};
  error_ = std::move(error);
  return accepted() && is_stream() ? to_event(to_json(*error_)) : std::string();
}

std::string CompletionJob::consume(std::size_t index, GenerationUpdate update) {
  if (error_) return {};
  Choice& choice = choices_[index];
  if (update.accepted) ++accepted_;
  if (update.finish && update.finish->reason == FinishReason::Failed) {
    return fail(to_api_error(*update.finish->error));
  }
  if (update.finish && update.finish->reason == FinishReason::Cancelled) {
    return fail({503,
                 "the request was cancelled because the server is shutting down",
                 {},
                 "shutting_down"});
  }
  const OrderedJson logprobs = add_logprobs(choice, update);
  const bool has_logprobs = !update.tokens.empty() && request_.top_logprobs >= 0;
  choice.text += update.text;
  if (update.finish) {
    finishes_[index] = std::move(update.finish);
    ++finished_;
  }
  if (!is_stream()) return {};
  std::string events;
  if (!choice.begun && (!update.tokens.empty() || finishes_[index])) events += first_event(index);
  const std::string text = take_text(choice, update.text, finishes_[index].has_value());
  if (has_logprobs) {
    OrderedJson delta = request_.chat ? OrderedJson{{"content", text}} : OrderedJson(text);
    events += to_event(chunk(index, std::move(delta), logprobs, nullptr));
  } else if (!text.empty()) {
    events += text_event(index, text);
  }
  if (finishes_[index]) events += last_events(index);
  return events;
}

// All events of a choice with nothing but text differ in that alone, so the rest is made once.
std::string CompletionJob::text_event(std::size_t index, const std::string& text) {
  Choice& choice = choices_[index];
  if (choice.before_text.empty()) {
    const std::string mark = "\x01";  // nothing else in an event is a control character
    OrderedJson delta = request_.chat ? OrderedJson{{"content", mark}} : OrderedJson(mark);
    const std::string event = to_event(chunk(index, std::move(delta), nullptr, nullptr));
    const std::string written = to_text(mark);
    const std::size_t at = event.find(written);
    choice.before_text = event.substr(0, at);
    choice.after_text = event.substr(at + written.size());
  }
  return choice.before_text + to_text(text) + choice.after_text;
}

// What of the text is certain to be content, and was not sent before.
std::string CompletionJob::take_text(Choice& choice, const std::string& fresh, bool at_end) const {
  if (format_ == ToolCallFormat::None) return fresh;
  const std::string content =
      at_end ? parse_tool_calls(choice.text, format_).content
             : choice.text.substr(0, count_content_bytes(choice.text, format_));
  if (content.size() <= choice.content_sent) return {};
  std::string text = content.substr(choice.content_sent);
  choice.content_sent = content.size();
  return text;
}

// The log probabilities of the update's tokens; they are also kept for the body.
OrderedJson CompletionJob::add_logprobs(Choice& choice, const GenerationUpdate& update) const {
  if (request_.top_logprobs < 0) return nullptr;
  OrderedJson fresh = empty_logprobs(request_.chat);
  const auto add = [&](int id, const ScoredToken* scored) {
    add_logprob(fresh, request_.chat, *model_, id, scored, request_.top_logprobs,
                choice.text_offset);
  };
  if (request_.echo && !choice.scored && (!update.tokens.empty() || update.finish)) {
    choice.scored = true;
    add(choice.prompt.front(), nullptr);
    for (const ScoredToken& scored : update.prompt_scores) add(scored.id, &scored);
  }
  for (const ScoredToken& scored : update.tokens) add(scored.id, &scored);
  if (is_stream()) return fresh;
  for (auto& [name, list] : fresh.items()) {
    for (OrderedJson& item : list) choice.logprobs[name].push_back(std::move(item));
  }
  return nullptr;
}

// ---- JSON -----------------------------------------------------------------------------------

OrderedJson CompletionJob::envelope(bool chunk) const {
  const char* object = !request_.chat ? "text_completion"
                       : chunk        ? "chat.completion.chunk"
                                      : "chat.completion";
  return {{"id", id_},
          {"object", object},
          {"created", created_},
          {"model", model_->id},
          {"system_fingerprint", model_->fingerprint}};
}

OrderedJson CompletionJob::chunk(std::size_t index, OrderedJson delta, OrderedJson logprobs,
                                 OrderedJson finish) const {
  OrderedJson out = envelope(true);
  OrderedJson choice = {{"index", index}};
  choice[request_.chat ? "delta" : "text"] = std::move(delta);
  choice["logprobs"] = std::move(logprobs);
  choice["finish_reason"] = std::move(finish);
  out["choices"] = OrderedJson::array({std::move(choice)});
  if (request_.include_usage) out["usage"] = nullptr;
  return out;
}

std::string CompletionJob::first_event(std::size_t index) {
  Choice& choice = choices_[index];
  choice.begun = true;
  if (request_.chat) {
    return to_event(chunk(index, {{"role", "assistant"}, {"content", ""}}, nullptr, nullptr));
  }
  if (!request_.echo) return {};
  return to_event(chunk(index, model_->tokenizer->decode(choice.prompt), nullptr, nullptr));
}

std::string CompletionJob::last_events(std::size_t index) {
  const GenerationFinish& finish = *finishes_[index];
  std::string events;
  const std::vector<ToolCall> calls = parse_tool_calls(choices_[index].text, format_).tool_calls;
  if (!calls.empty()) {
    OrderedJson delta = {{"tool_calls", tool_calls_json(calls, id_, index, true)}};
    events += to_event(chunk(index, std::move(delta), nullptr, nullptr));
  }
  OrderedJson last = chunk(index, request_.chat ? OrderedJson::object() : OrderedJson(""), nullptr,
                           calls.empty() ? reason_text(finish.reason) : "tool_calls");
  last["pianola"] = choice_report(finish);
  events += to_event(last);
  if (!finished()) return events;
  if (request_.include_usage) {
    OrderedJson all = envelope(true);
    all["choices"] = OrderedJson::array();
    all["usage"] = usage();
    all["pianola"] = machine_report();
    events += to_event(all);
  }
  return events + "data: [DONE]\n\n";
}

OrderedJson CompletionJob::whole_choice(std::size_t index) const {
  const Choice& choice = choices_[index];
  OrderedJson out = {{"index", index}};
  const char* reason = reason_text(finishes_[index]->reason);
  if (request_.chat) {
    const AssistantOutput output = parse_tool_calls(choice.text, format_);
    OrderedJson message = {
        {"role", "assistant"}, {"content", output.content}, {"refusal", nullptr}};
    if (!output.tool_calls.empty()) {
      if (output.content.empty()) message["content"] = nullptr;
      message["tool_calls"] = tool_calls_json(output.tool_calls, id_, index, false);
      reason = "tool_calls";
    }
    out["message"] = std::move(message);
  } else {
    out["text"] = choice.text;
  }
  out["logprobs"] = choice.logprobs;
  out["finish_reason"] = reason;
  return out;
}

OrderedJson CompletionJob::body() const {
  OrderedJson out = envelope(false);
  out["choices"] = OrderedJson::array();
  for (std::size_t i = 0; i < choices_.size(); ++i) out["choices"].push_back(whole_choice(i));
  out["usage"] = usage();
  out["pianola"] = machine_report();
  return out;
}

OrderedJson CompletionJob::usage() const {
  int prompt = 0, cached = 0, generated = 0;
  for (std::size_t i = 0; i < finishes_.size(); ++i) {
    const GenerationCost& cost = finishes_[i]->cost;
    generated += cost.generated_tokens;
    if (i % static_cast<std::size_t>(request_.n) != 0) continue;  // the same prompt again
    prompt += cost.prompt_tokens;
    cached += cost.cached_tokens;
  }
  return {{"prompt_tokens", prompt},
          {"completion_tokens", generated},
          {"total_tokens", prompt + generated},
          {"prompt_tokens_details", {{"cached_tokens", cached}}}};
}

// What the machine did for one choice: exact, in its own clock.
OrderedJson CompletionJob::choice_report(const GenerationFinish& finish) const {
  const GenerationCost& cost = finish.cost;
  const double hertz = model_->roll->target.clock_mhz * 1e6;
  const double seconds = static_cast<double>(cost.cycles) / hertz;
  OrderedJson out = {{"executor", model_->executor},
                     {"target", model_->roll->target.name},
                     {"clock_mhz", model_->roll->target.clock_mhz},
                     {"cycles", cost.cycles},
                     {"frozen_cycles", cost.frozen_cycles},
                     {"launches", cost.launches},
                     {"seconds", seconds},
                     {"tokens_per_second", seconds > 0 ? cost.generated_tokens / seconds : 0},
                     {"cached_tokens", cost.cached_tokens},
                     {"submitted_at", cost.submitted_at},
                     {"started_at", cost.started_at},
                     {"finished_at", cost.finished_at}};
  if (finish.reason == FinishReason::StopString) out["stop_string"] = finish.stop_string;
  if (cost.draft_launches > 0) {
    out["draft"] = {{"launches", cost.draft_launches},
                    {"cycles", cost.draft_cycles},
                    {"proposed_tokens", cost.drafted_tokens},
                    {"accepted_tokens", cost.accepted_tokens}};
  }
  if (deadline_cycles_) {
    out["deadline"] = {{"cycles", *deadline_cycles_},
                       {"needed_cycles", cost.finished_at - cost.submitted_at}};
  }
  return out;
}

OrderedJson CompletionJob::machine_report() const {
  if (choices_.size() == 1) {
    OrderedJson out = choice_report(*finishes_[0]);
    if (!request_.ignored.empty()) out["ignored_parameters"] = request_.ignored;
    return out;
  }
  OrderedJson out = {{"cycles", 0}, {"choices", OrderedJson::array()}};
  std::uint64_t cycles = 0;
  for (const auto& finish : finishes_) {
    cycles += finish->cost.cycles;
    out["choices"].push_back(choice_report(*finish));
  }
  out["cycles"] = cycles;
  if (!request_.ignored.empty()) out["ignored_parameters"] = request_.ignored;
  return out;
}

}  // namespace pianola
