#include "host/template/tool_calls.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "formats/parse_json.h"
#include "host/template/chat_template.h"

namespace pianola {
namespace {

constexpr std::string_view kHermesBegin = "<tool_call>", kHermesEnd = "</tool_call>";
constexpr std::string_view kMistralMark = "[TOOL_CALLS]", kMistralArguments = "[ARGS]";
constexpr std::string_view kLlamaMark = "<|python_tag|>";
constexpr std::string_view kDeepSeekBegin = "<｜tool▁calls▁begin｜>",
                           kDeepSeekEnd = "<｜tool▁calls▁end｜>",
                           kDeepSeekCall = "<｜tool▁call▁begin｜>",
                           kDeepSeekCallEnd = "<｜tool▁call▁end｜>",
                           kDeepSeekSeparator = "<｜tool▁sep｜>", kBlock = "```";
constexpr std::string_view kMarks[] = {kHermesBegin,      kHermesEnd,       kMistralMark,
                                       kMistralArguments, kDeepSeekBegin,   kDeepSeekEnd,
                                       kDeepSeekCall,     kDeepSeekCallEnd, kDeepSeekSeparator};
constexpr int kCallsMax = 16;  // of an answer that must have some
constexpr std::string_view kSpace = " \t\r\n";
constexpr JsonLimits kLimits = {
    .size_bytes_max = std::size_t{1} << 20, .depth_max = 32, .values_max = 100'000};

std::string_view skip_space(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(kSpace), text.size()));
  return text;
}

std::string_view trim_space(std::string_view text) {
  text = skip_space(text);
  return text.substr(0, text.find_last_not_of(kSpace) + 1);
}

// The size of the object or array that begins the text; 0 if none does or it does not end.
std::size_t count_json_bytes(std::string_view text) {
  if (text.empty() || (text[0] != '{' && text[0] != '[')) return 0;
  int depth = 0;
  bool in_string = false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (in_string) {
      at += c == '\\' ? 1 : 0;
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if ((c == '}' || c == ']') && --depth == 0) {
      return at + 1;
    }
  }
  return 0;
}

std::optional<ToolCall> to_call(const OrderedJson& json) {
  if (!json.is_object() || !json.contains("name") || !json["name"].is_string()) return std::nullopt;
  ToolCall call{json["name"].get<std::string>(), "{}"};
  if (call.name.empty()) return std::nullopt;
  for (const char* key : {"arguments", "parameters"}) {
    if (!json.contains(key)) continue;
    const OrderedJson& arguments = json[key];
    if (arguments.is_object()) {
      call.arguments = arguments.dump();
      return call;
    }
    if (!arguments.is_string()) return std::nullopt;
    const auto text = parse_json(arguments.get<std::string>(), "arguments", kLimits);
    if (!text.ok() || !text->is_object()) return std::nullopt;
    call.arguments = arguments.get<std::string>();
    return call;
  }
  return call;
}

// The limits are checked by parse_json; the order of keys is kept by the second reading.
std::optional<OrderedJson> read_ordered(std::string_view text) {
  if (!parse_json(text, "tool call", kLimits).ok()) return std::nullopt;
  OrderedJson json = OrderedJson::parse(text, nullptr, false);
  if (json.is_discarded()) return std::nullopt;
  return json;
}

// Takes one call off the front of `text`.
std::optional<ToolCall> take_call(std::string_view& text) {
  const std::size_t size = count_json_bytes(text);
  if (size == 0) return std::nullopt;
  const auto json = read_ordered(text.substr(0, size));
  if (!json) return std::nullopt;
  const auto call = to_call(*json);
  if (call) text.remove_prefix(size);
  return call;
}

AssistantOutput parse_hermes(std::string_view text) {
  AssistantOutput output;
  while (true) {
    const std::size_t mark = text.find(kHermesBegin);
    output.content += text.substr(0, mark);
    if (mark == std::string_view::npos) break;
    std::string_view rest = skip_space(text.substr(mark + kHermesBegin.size()));
    const auto call = take_call(rest);
    rest = skip_space(rest);
    if (!call || !(rest.empty() || rest.starts_with(kHermesEnd))) {
      output.content += kHermesBegin;
      text.remove_prefix(mark + kHermesBegin.size());
      continue;
    }
    output.tool_calls.push_back(*call);
    rest.remove_prefix(std::min(rest.size(), kHermesEnd.size()));
    text = skip_space(rest);
  }
  return output;
}

AssistantOutput parse_llama(std::string_view text) {
  std::string_view rest = trim_space(text);
  if (rest.starts_with(kLlamaMark)) rest = skip_space(rest.substr(kLlamaMark.size()));
  for (const std::string_view end : {"<|eom_id|>", "<|eot_id|>"}) {
    if (rest.ends_with(end)) rest = trim_space(rest.substr(0, rest.size() - end.size()));
  }
  AssistantOutput output;
  while (!rest.empty()) {
    const auto call = take_call(rest);
    if (!call) return {std::string(text), {}};
    output.tool_calls.push_back(*call);
    rest = skip_space(rest);
    if (rest.starts_with(';')) rest = skip_space(rest.substr(1));
  }
  if (output.tool_calls.empty()) output.content = text;
  return output;
}

bool is_call_name(std::string_view name) {
  return !name.empty() && name.find_first_of(" \t\r\n[]<>\"'") == std::string_view::npos;
}

// name[ARGS]{...}, the form of newer models; the mark has been taken.
std::optional<ToolCall> take_named_call(std::string_view& text) {
  const std::size_t brace = text.find('{');
  if (brace == std::string_view::npos) return std::nullopt;
  std::string_view name = trim_space(text.substr(0, brace));
  if (name.ends_with(kMistralArguments)) name.remove_suffix(kMistralArguments.size());
  name = name.substr(0, name.find("[CALL_ID]"));
  const std::size_t size = count_json_bytes(text.substr(brace));
  if (!is_call_name(name) || size == 0) return std::nullopt;
  const auto arguments = read_ordered(text.substr(brace, size));
  if (!arguments || !arguments->is_object()) return std::nullopt;
  text.remove_prefix(brace + size);
  return ToolCall{std::string(name), arguments->dump()};
}

AssistantOutput parse_mistral(std::string_view text) {
  const std::size_t mark = text.find(kMistralMark);
  AssistantOutput output{std::string(text.substr(0, mark)), {}};
  if (mark == std::string_view::npos) return output;
  const AssistantOutput whole{std::string(text), {}};
  std::string_view rest = skip_space(text.substr(mark + kMistralMark.size()));
  if (rest.starts_with('[')) {
    const std::size_t size = count_json_bytes(rest);
    const auto json = size == 0 ? std::nullopt : read_ordered(rest.substr(0, size));
    if (!json || json->empty()) return whole;
    for (const OrderedJson& item : *json) {
      const auto call = to_call(item);
      if (!call) return whole;
      output.tool_calls.push_back(*call);
    }
    rest.remove_prefix(size);
  } else {
    while (true) {
      const auto call = take_named_call(rest);
      if (!call) return whole;
      output.tool_calls.push_back(*call);
      rest = skip_space(rest);
      if (!rest.starts_with(kMistralMark)) break;
      rest = skip_space(rest.substr(kMistralMark.size()));
    }
  }
  rest = skip_space(rest);
  if (rest.starts_with("</s>")) rest.remove_prefix(4);
  output.content += rest;
  return output;
}

// name<sep>{...}, or type<sep>name and the object in a block of Markdown.
std::optional<ToolCall> take_deepseek_call(std::string_view& text) {
  std::string_view rest = text.substr(kDeepSeekCall.size());
  const std::size_t separator = rest.find(kDeepSeekSeparator);
  if (separator == std::string_view::npos) return std::nullopt;
  std::string_view name = trim_space(rest.substr(0, separator));
  rest.remove_prefix(separator + kDeepSeekSeparator.size());
  const std::size_t brace = rest.find('{');
  if (brace == std::string_view::npos) return std::nullopt;
  const std::string_view between = trim_space(rest.substr(0, brace));
  const std::size_t block = between.find(kBlock);
  if (block != std::string_view::npos) {
    name = trim_space(between.substr(0, block));
  } else if (!between.empty()) {
    return std::nullopt;
  }
  rest.remove_prefix(brace);
  const std::size_t size = count_json_bytes(rest);
  const auto arguments = size == 0 ? std::nullopt : read_ordered(rest.substr(0, size));
  if (!is_call_name(name) || !arguments || !arguments->is_object()) return std::nullopt;
  rest = skip_space(rest.substr(size));
  if (rest.starts_with(kBlock)) rest = skip_space(rest.substr(kBlock.size()));
  if (!rest.empty() && !rest.starts_with(kDeepSeekCallEnd)) return std::nullopt;
  text = rest.substr(std::min(rest.size(), kDeepSeekCallEnd.size()));
  return ToolCall{std::string(name), arguments->dump()};
}

AssistantOutput parse_deepseek(std::string_view text) {
  const std::size_t mark = text.find(kDeepSeekBegin);
  AssistantOutput output{std::string(text.substr(0, mark)), {}};
  if (mark == std::string_view::npos) return output;
  std::string_view rest = skip_space(text.substr(mark + kDeepSeekBegin.size()));
  while (rest.starts_with(kDeepSeekCall)) {
    const auto call = take_deepseek_call(rest);
    if (!call) return {std::string(text), {}};
    output.tool_calls.push_back(*call);
    rest = skip_space(rest);
  }
  if (output.tool_calls.empty()) return {std::string(text), {}};
  if (rest.starts_with(kDeepSeekEnd)) rest.remove_prefix(kDeepSeekEnd.size());
  output.content += rest;
  return output;
}

// The first byte from which `text` has the mark, or what may become it.
std::size_t find_mark(std::string_view text, std::string_view mark) {
  const std::size_t found = text.find(mark);
  if (found != std::string_view::npos) return found;
  for (std::size_t size = std::min(text.size(), mark.size() - 1); size > 0; --size) {
    if (text.ends_with(mark.substr(0, size))) return text.size() - size;
  }
  return text.size();
}

}  // namespace

ToolCallFormat detect_tool_call_format(std::string_view source) {
  const auto has = [&](std::string_view mark) {
    return source.find(mark) != std::string_view::npos;
  };
  if (has(kHermesBegin)) return ToolCallFormat::Hermes;
  if (has(kMistralMark)) {
    return has(kMistralArguments) ? ToolCallFormat::MistralNamed : ToolCallFormat::Mistral;
  }
  if (has(kDeepSeekBegin)) {
    return has("```json") ? ToolCallFormat::DeepSeekBlock : ToolCallFormat::DeepSeek;
  }
  if (has(kLlamaMark) || (has("<|start_header_id|>") && has("parameters")))
    return ToolCallFormat::Llama3;
  return ToolCallFormat::None;
}

ToolCallForm tool_call_form(ToolCallFormat format) {
  switch (format) {
    case ToolCallFormat::None:
      break;
    case ToolCallFormat::Hermes:
      return {.before_name = "<tool_call>\n{\"name\": \"",
              .before_arguments = "\", \"arguments\": ",
              .after_arguments = "}\n</tool_call>",
              .separator = "\n",
              .calls_max = kCallsMax};
    case ToolCallFormat::Llama3:
      return {.before_name = "{\"name\": \"",
              .before_arguments = "\", \"parameters\": ",
              .after_arguments = "}"};
    case ToolCallFormat::Mistral:
      return {.begin = "[TOOL_CALLS] [",
              .before_name = "{\"name\": \"",
              .before_arguments = "\", \"arguments\": ",
              .after_arguments = "}",
              .separator = ", ",
              .end = "]",
              .calls_max = kCallsMax};
    case ToolCallFormat::MistralNamed:
      return {.before_name = kMistralMark,
              .before_arguments = kMistralArguments,
              .calls_max = kCallsMax};
    case ToolCallFormat::DeepSeek:
      return {.begin = kDeepSeekBegin,
              .before_name = kDeepSeekCall,
              .before_arguments = kDeepSeekSeparator,
              .after_arguments = kDeepSeekCallEnd,
              .end = kDeepSeekEnd,
              .calls_max = kCallsMax};
    case ToolCallFormat::DeepSeekBlock:
      return {.begin = kDeepSeekBegin,
              .before_name = "<｜tool▁call▁begin｜>function<｜tool▁sep｜>",
              .before_arguments = "\n```json\n",
              .after_arguments = "\n```<｜tool▁call▁end｜>",
              .separator = "\n",
              .end = kDeepSeekEnd,
              .calls_max = kCallsMax};
  }
  CHECK(format != ToolCallFormat::None);
  return {};
}

std::span<const std::string_view> tool_call_marks() { return kMarks; }

AssistantOutput parse_tool_calls(std::string_view text, ToolCallFormat format) {
  AssistantOutput output;
  switch (format) {
    case ToolCallFormat::None:
      return {std::string(text), {}};
    case ToolCallFormat::Hermes:
      output = parse_hermes(text);
      break;
    case ToolCallFormat::Llama3:
      output = parse_llama(text);
      break;
    case ToolCallFormat::Mistral:
    case ToolCallFormat::MistralNamed:
      output = parse_mistral(text);
      break;
    case ToolCallFormat::DeepSeek:
    case ToolCallFormat::DeepSeekBlock:
      output = parse_deepseek(text);
      break;
  }
  if (!output.tool_calls.empty()) output.content = trim_space(output.content);
  return output;
}

std::size_t count_content_bytes(std::string_view text, ToolCallFormat format) {
  switch (format) {
    case ToolCallFormat::None:
      return text.size();
    case ToolCallFormat::Hermes:
      return find_mark(text, kHermesBegin);
    case ToolCallFormat::Mistral:
    case ToolCallFormat::MistralNamed:
      return find_mark(text, kMistralMark);
    case ToolCallFormat::DeepSeek:
    case ToolCallFormat::DeepSeekBlock:
      return find_mark(text, kDeepSeekBegin);
    case ToolCallFormat::Llama3: {
      const std::string_view begin = skip_space(text);
      const bool may_be_call = begin.empty() || begin[0] == '{' || begin.starts_with(kLlamaMark) ||
                               kLlamaMark.starts_with(begin);
      return may_be_call ? 0 : text.size();
    }
  }
  return text.size();
}

}  // namespace pianola
