#include "host/server/chat_prompt.h"

#include <ctime>

namespace pianola {

bool allows_tools(const CompletionRequest& request) {
  return !request.tools.is_null() && request.tool_choice != ToolChoice::None;
}

Result<ChatPrompt> ChatPrompt::create(std::string_view source, const Tokenizer& tokenizer) {
  ChatPrompt prompt;
  if (source.empty()) return prompt;
  TRY(prompt.template_, ChatTemplate::parse(source));
  prompt.format_ = detect_tool_call_format(source);
  prompt.arguments_as_text_ = prompt.template_->takes_arguments_as_text();
  if (const auto bos = tokenizer.bos_id()) prompt.bos_token_ = tokenizer.token_text(*bos);
  if (!tokenizer.eos_ids().empty()) {
    prompt.eos_token_ = tokenizer.token_text(tokenizer.eos_ids().front());
  }
  return prompt;
}

ToolCallFormat ChatPrompt::tool_call_format(const CompletionRequest& request) const {
  return allows_tools(request) ? format_ : ToolCallFormat::None;
}

ApiResult<std::string> ChatPrompt::text(const CompletionRequest& request) const {
  if (allows_tools(request) && (!template_ || !template_->mentions("tools"))) {
    return ApiError{400, "tools: this model has no chat template that knows tools", "tools",
                    "unsupported_parameter"};
  }
  Result<OrderedJson> messages = messages_for_template(request.messages, arguments_as_text_);
  if (!messages.ok()) return ApiError{400, messages.error().message, "messages", "invalid_value"};
  if (template_) {
    ChatTemplateInput input;
    input.messages = std::move(*messages);
    if (allows_tools(request)) input.tools = request.tools;
    input.bos_token = bos_token_;
    input.eos_token = eos_token_;
    input.variables = request.template_variables;
    const std::time_t now = std::time(nullptr);
    ::localtime_r(&now, &input.now);
    Result<std::string> text = template_->apply(input);
    if (text.ok()) return std::move(text).value();
    return ApiError{400, to_string(text.error()), "messages", "template_error"};
  }
  std::string out;
  for (const OrderedJson& message : *messages) {
    const auto content = message.find("content");
    if (content == message.end() || !content->is_string()) continue;
    if (!out.empty()) out += "\n";
    out += content->get<std::string>();
  }
  return out;
}

}  // namespace pianola
