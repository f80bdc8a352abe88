// Chat templates: from messages to the prompt that a model was trained with.
//
//   TRY(ChatTemplate chat, ChatTemplate::parse(source));      // chat_template of
//   tokenizer_config.json TRY(std::string prompt, chat.apply({.messages = messages, .bos_token =
//   "<s>"}));
//
// A template is a program in a subset of Jinja (https://jinja.palletsprojects.com/templates/) with
// what Hugging Face's `apply_chat_template` sets: trim_blocks, lstrip_blocks, loop controls, tojson
// that keeps the order of keys and escapes nothing for HTML, raise_exception and strftime_now. It
// comes with a model, so it is hostile: source, nesting, steps, memory and output are bounded, and
// it can see nothing but what apply is given. What the subset lacks is refused by parse or, where
// only values tell, by apply.
//
// A ChatTemplate is immutable; const functions are thread-safe.
#pragma once

#include <cstddef>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "isa/result.h"

namespace pianola {

using OrderedJson = nlohmann::ordered_json;

namespace jinja {
struct Program;
}

struct ChatTemplateLimits {
  std::size_t source_bytes_max = std::size_t{1} << 20;
  std::size_t output_bytes_max = std::size_t{4} << 20;
  std::size_t memory_bytes_max = std::size_t{64} << 20;  // of all values of one apply
  std::size_t steps_max = 5'000'000;  // about: expressions evaluated, and 64 bytes of text handled
};

struct ChatTemplateInput {
  OrderedJson messages = OrderedJson::array();  // objects with role, content, tool_calls, ...
  OrderedJson tools{};                          // an array of tool definitions; null: none
  bool add_generation_prompt = true;            // end where the assistant begins to speak
  std::string bos_token{}, eos_token{};
  OrderedJson variables = OrderedJson::object();  // further ones; they win over those above
  std::tm now{};  // what strftime_now formats; the caller's time zone
};

class ChatTemplate {
 public:
  // Errors, with the line: Malformed (syntax), Unsupported (a statement, filter or test that the
  // subset lacks), OutOfRange (size or nesting).
  static Result<ChatTemplate> parse(std::string_view source, const ChatTemplateLimits& limits = {});

  // Errors, with the line: InvalidArgument (the template refuses the messages with
  // raise_exception; its own words follow), Malformed (an operation that its values do not allow),
  // Unsupported, OutOfRange (over a limit).
  Result<std::string> apply(const ChatTemplateInput& input) const;

  // True if the template looks at this variable: a template that does not know `tools` would
  // ignore them in silence.
  bool mentions(std::string_view variable) const;

  // True if the template writes the arguments of tool calls as they are, so that they must be text
  // (DeepSeek's do); others expect an object and write its JSON themselves. Found by trial.
  bool takes_arguments_as_text() const;

  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

 private:
  explicit ChatTemplate(std::unique_ptr<jinja::Program> program);
  std::unique_ptr<jinja::Program> program_;
};

// Messages as OpenAI's clients send them, in the form that templates expect: content given as text
// parts becomes one string, the arguments of tool calls, a JSON text, become an object unless the
// template takes them as text. Errors InvalidArgument: not an array of objects with a role; a part
// that is no text.
Result<OrderedJson> messages_for_template(OrderedJson messages, bool arguments_as_text = false);

}  // namespace pianola
