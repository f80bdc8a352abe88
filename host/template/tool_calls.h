// Tool calls in what a model says: the counterpart of a chat template's `tools`.
//
// These formats are common. Hermes (Qwen2.5 and many others): `<tool_call>` around a JSON object
// {"name", "arguments"}, several in a row. Llama 3: the whole answer is a JSON object {"name",
// "parameters"}, after an optional <|python_tag|>. Mistral: `[TOOL_CALLS]` before a JSON array of
// {"name", "arguments"}, or, in newer models, `[TOOL_CALLS]name[ARGS]{...}` for each call.
// DeepSeek: marks around all calls and around each, and between name and arguments; those of R1 are
// in a block of Markdown. Output is hostile: what is not a well-formed call stays text.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pianola {

enum class ToolCallFormat { None, Hermes, Llama3, Mistral, MistralNamed, DeepSeek, DeepSeekBlock };

// By the marks that the source of a chat template contains.
ToolCallFormat detect_tool_call_format(std::string_view template_source);

struct ToolCall {
  std::string name;
  std::string arguments;  // the text of a JSON object
};

// How calls are written, for a model that must call: `begin`, calls with `separator` between,
// `end`; each call is before_name, the name, before_arguments, a JSON object, after_arguments.
struct ToolCallForm {
  std::string_view begin{}, before_name{}, before_arguments{}, after_arguments{}, separator{},
      end{};
  int calls_max = 1;  // that one answer can hold
};
// Not for None.
ToolCallForm tool_call_form(ToolCallFormat format);

// The marks of all formats that are special tokens of some models.
std::span<const std::string_view> tool_call_marks();

struct AssistantOutput {
  std::string content;  // what is not part of a call
  std::vector<ToolCall> tool_calls;
};

// `text` is the whole output, decoded with its special tokens (skip_special = false) where the
// format's marks are special tokens.
AssistantOutput parse_tool_calls(std::string_view text, ToolCallFormat format);

// While the output still grows: how many of its first bytes are content whatever follows, so that
// they can be streamed. The rest may yet become a call.
std::size_t count_content_bytes(std::string_view text, ToolCallFormat format);

}  // namespace pianola
