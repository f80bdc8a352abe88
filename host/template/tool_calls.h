// Tool calls in what a model says: the counterpart of a chat template's `tools`.
//
// Three formats are common. Hermes (Qwen2.5 and many others): `<tool_call>` around a JSON object
// {"name", "arguments"}, several in a row. Llama 3: the whole answer is a JSON object {"name",
// "parameters"}, after an optional <|python_tag|>. Mistral: `[TOOL_CALLS]` before a JSON array of
// {"name", "arguments"}. Output is hostile: what is not a well-formed call stays text.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pianola {

enum class ToolCallFormat { None, Hermes, Llama3, Mistral };

// By the marks that the source of a chat template contains.
ToolCallFormat detect_tool_call_format(std::string_view template_source);

struct ToolCall {
  std::string name;
  std::string arguments;  // the text of a JSON object
};

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
