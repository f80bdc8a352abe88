// From the messages of a chat to the model's prompt: by the model's chat template, or, where it has
// none, their contents one after the other.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "host/server/api_error.h"
#include "host/server/completion_request.h"
#include "host/template/chat_template.h"
#include "host/template/tool_calls.h"
#include "host/tokenizer/tokenizer.h"
#include "isa/result.h"

namespace pianola {

class ChatPrompt {
 public:
  // `source` of the template; empty: none. Errors as of ChatTemplate::parse.
  static Result<ChatPrompt> create(std::string_view source, const Tokenizer& tokenizer);

  // The text, special tokens included. Errors of the messages and of what the template refuses.
  ApiResult<std::string> text(const CompletionRequest& request) const;
  bool has_template() const { return template_.has_value(); }
  // How the model writes the calls that a request allows it.
  ToolCallFormat tool_call_format(const CompletionRequest& request) const;

 private:
  std::optional<ChatTemplate> template_;
  ToolCallFormat format_ = ToolCallFormat::None;
  bool arguments_as_text_ = false;  // of tool calls in the messages
  std::string bos_token_, eos_token_;
};

// True if the model may call the request's tools.
bool allows_tools(const CompletionRequest& request);

}  // namespace pianola
