#include "host/template/chat_template.h"

#include <algorithm>

#include "host/template/interpreter.h"
#include "host/template/syntax.h"

namespace pianola {
namespace {

constexpr std::size_t kArgumentsBytesMax = std::size_t{1} << 20;
constexpr int kArgumentsDepthMax = 32;

Error wrong_message(std::size_t index, const std::string& message) {
  return {ErrorCode::InvalidArgument, message, "messages[" + std::to_string(index) + "]"};
}

// A JSON object; discarded where the text is none, or too large or deep.
OrderedJson parse_object(const std::string& text) {
  const OrderedJson discarded = OrderedJson(OrderedJson::value_t::discarded);
  if (text.size() > kArgumentsBytesMax) return discarded;
  bool too_deep = false;
  const auto watch = [&](int depth, OrderedJson::parse_event_t, OrderedJson&) {
    too_deep = too_deep || depth > kArgumentsDepthMax;
    return depth <= kArgumentsDepthMax;
  };
  OrderedJson json = OrderedJson::parse(text, watch, false);
  if (too_deep || !json.is_object()) return discarded;
  return json;
}

Status join_parts(OrderedJson& content, std::size_t index) {
  std::string text;
  for (const OrderedJson& part : content) {
    const bool is_text = part.is_object() && part.contains("text") && part["text"].is_string() &&
                         (!part.contains("type") || part["type"] == "text");
    if (!is_text) {
      return wrong_message(index,
                           "content has a part that is no text; this model reads text alone: "
                           "send {\"type\": \"text\", \"text\": ...}");
    }
    text += part["text"].get_ref<const std::string&>();
  }
  content = std::move(text);
  return Ok{};
}

}  // namespace

ChatTemplate::ChatTemplate(std::unique_ptr<jinja::Program> program)
    : program_(std::move(program)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

Result<ChatTemplate> ChatTemplate::parse(std::string_view source,
                                         const ChatTemplateLimits& limits) {
  TRY(auto program, jinja::parse_program(source, limits));
  return ChatTemplate(std::move(program));
}

bool ChatTemplate::mentions(std::string_view variable) const {
  return std::binary_search(program_->names.begin(), program_->names.end(), variable);
}

Result<std::string> ChatTemplate::apply(const ChatTemplateInput& input) const {
  jinja::Interpreter interpreter(*program_, input.now);
  interpreter.define("messages", interpreter.import(input.messages));
  interpreter.define("tools", interpreter.import(input.tools));
  interpreter.define("documents", jinja::None{});
  interpreter.define("add_generation_prompt", input.add_generation_prompt);
  interpreter.define("bos_token", std::string_view(input.bos_token));
  interpreter.define("eos_token", std::string_view(input.eos_token));
  if (input.variables.is_object()) {
    for (const auto& [name, value] : input.variables.items()) {
      interpreter.define(interpreter.arena().keep(name), interpreter.import(value));
    }
  }
  return interpreter.run();
}

bool ChatTemplate::takes_arguments_as_text() const {
  const OrderedJson object = {{"a", "b"}};
  const std::string spaced = R"({"a": "b"})", dense = R"({"a":"b"})";
  const auto shows = [&](const OrderedJson& arguments) {
    const OrderedJson call = {{"id", "000000000"},  // nine characters, as Mistral's demand
                              {"type", "function"},
                              {"function", {{"name", "f"}, {"arguments", arguments}}}};
    ChatTemplateInput input;
    input.messages = {
        {{"role", "user"}, {"content", "u"}},
        {{"role", "assistant"}, {"content", ""}, {"tool_calls", OrderedJson::array({call})}},
        {{"role", "tool"}, {"tool_call_id", "000000000"}, {"name", "f"}, {"content", "t"}}};
    const Result<std::string> text = apply(input);
    return text.ok() &&
           (text->find(spaced) != std::string::npos || text->find(dense) != std::string::npos);
  };
  return !shows(object) && shows(spaced);
}

Result<OrderedJson> messages_for_template(OrderedJson messages, bool arguments_as_text) {
  if (!messages.is_array()) {
    return Error{ErrorCode::InvalidArgument, "must be an array of messages", "messages"};
  }
  for (std::size_t i = 0; i < messages.size(); ++i) {
    OrderedJson& message = messages[i];
    if (!message.is_object() || !message.contains("role") || !message["role"].is_string()) {
      return wrong_message(i, "must be an object with a string `role`");
    }
    if (message.contains("content") && message["content"].is_array()) {
      TRY_STATUS(join_parts(message["content"], i));
    } else if (message.contains("content") && !message["content"].is_string() &&
               !message["content"].is_null()) {
      return wrong_message(i, "content must be a string, an array of text parts, or null");
    }
    if (!message.contains("tool_calls") || !message["tool_calls"].is_array()) continue;
    for (OrderedJson& call : message["tool_calls"]) {
      if (!call.is_object() || !call.contains("function") || !call["function"].is_object()) {
        return wrong_message(i, "tool_calls must be objects with a `function`");
      }
      OrderedJson& function = call["function"];
      if (!function.contains("arguments")) continue;
      if (arguments_as_text) {
        if (function["arguments"].is_object()) function["arguments"] = function["arguments"].dump();
        continue;
      }
      if (!function["arguments"].is_string()) continue;
      OrderedJson arguments = parse_object(function["arguments"].get<std::string>());
      if (!arguments.is_discarded()) function["arguments"] = std::move(arguments);
    }
  }
  return messages;
}

}  // namespace pianola
