// One request for completions under way: updates of its generations go in, server-sent events or
// one body come out. It knows nothing of sockets.
//
//   while (!job.finished()) send(job.consume(choice, update));   // stream
//   send(job.body());                                            // or at the end
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "host/server/completion_request.h"
#include "host/server/served_model.h"

namespace pianola {

class CompletionJob {
 public:
  // `id` is stable over all events; `options` as prepare_generations gave them. The model must
  // outlive it.
  CompletionJob(CompletionRequest request, const ServedModel& model, std::string id,
                std::int64_t created, const std::vector<GenerationOptions>& options);

  bool is_stream() const { return request_.stream; }
  std::size_t choices() const { return choices_.size(); }

  // Takes an update; the events to send for it, which may be none. They are to be sent once all
  // choices are accepted, for until then the job may fail as a whole.
  std::string consume(std::size_t choice, GenerationUpdate update);
  bool accepted() const { return accepted_ == choices_.size(); }
  bool finished() const { return finished_ == choices_.size() || error_.has_value(); }
  // The first failure, which ends the job.
  const std::optional<ApiError>& error() const { return error_; }

  // After it finished without error: the whole response.
  OrderedJson body() const;
  const std::vector<std::optional<GenerationFinish>>& finishes() const { return finishes_; }

 private:
  struct Choice {
    std::vector<int> prompt;
    std::string text;                     // of the answer; after the prompt's where it is echoed
    OrderedJson logprobs;                 // of all its tokens; null: none wanted
    std::size_t text_offset = 0;          // of the next token's log probability
    std::string before_text, after_text;  // of its events with text
    bool begun = false;                   // its first event was made
    std::size_t content_sent = 0;         // bytes of the content of its events
    bool scored = false;                  // the log probabilities of its prompt are out
  };

  OrderedJson envelope(bool chunk) const;
  OrderedJson chunk(std::size_t index, OrderedJson delta, OrderedJson logprobs,
                    OrderedJson finish) const;
  std::string first_event(std::size_t index);
  std::string last_events(std::size_t index);
  std::string text_event(std::size_t index, const std::string& text);
  std::string take_text(Choice& choice, const std::string& fresh, bool at_end) const;
  OrderedJson add_logprobs(Choice& choice, const GenerationUpdate& update) const;
  OrderedJson whole_choice(std::size_t index) const;
  OrderedJson usage() const;
  OrderedJson machine_report() const;
  OrderedJson choice_report(const GenerationFinish& finish) const;
  std::string fail(ApiError error);

  CompletionRequest request_;
  const ServedModel* model_;
  std::string id_;
  std::int64_t created_;
  ToolCallFormat format_;  // None: no calls are looked for
  std::vector<Choice> choices_;
  std::vector<std::optional<GenerationFinish>> finishes_;  // by choice
  std::optional<std::uint64_t> deadline_cycles_;
  std::optional<ApiError> error_;
  std::size_t accepted_ = 0, finished_ = 0;
};

// "data: ...\n\n"
std::string to_event(const OrderedJson& json);

}  // namespace pianola
