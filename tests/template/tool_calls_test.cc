#include "host/template/tool_calls.h"

#include <gtest/gtest.h>

namespace pianola {
namespace {

// "content | name(arguments) name(arguments)"
std::string show(std::string_view text, ToolCallFormat format) {
  const AssistantOutput output = parse_tool_calls(text, format);
  std::string shown = output.content + " |";
  for (const ToolCall& call : output.tool_calls)
    shown += " " + call.name + "(" + call.arguments + ")";
  return shown;
}

TEST(ToolCalls, AreReadInTheFormatOfHermes) {
  const auto format = ToolCallFormat::Hermes;
  EXPECT_EQ(show("Hello", format), "Hello |");
  EXPECT_EQ(show("So:\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"b\": 1, \"a\": "
                 "\"</tool_call>}\"}}\n</tool_call>\n"
                 "<tool_call>{\"name\":\"g\",\"arguments\":\"{\\\"x\\\":2}\"}</tool_call>",
                 format),
            "So: | f({\"b\":1,\"a\":\"</tool_call>}\"}) g({\"x\":2})");
  EXPECT_EQ(show("<tool_call>{\"name\":\"f\"}", format), " | f({})");  // the end token came first
  EXPECT_EQ(show("<tool_call>{\"name\":3}</tool_call>", format),
            "<tool_call>{\"name\":3}</tool_call> |");
  EXPECT_EQ(show("<tool_call>{\"name\":\"f\"", format), "<tool_call>{\"name\":\"f\" |");
  EXPECT_EQ(show("<tool_call><tool_call>{\"name\":\"f\"}</tool_call>", format),
            "<tool_call> | f({})");
}

TEST(ToolCalls, AreReadInTheFormatOfLlama3) {
  const auto format = ToolCallFormat::Llama3;
  EXPECT_EQ(show("{\"name\": \"f\", \"parameters\": {\"x\": [1]}}", format), " | f({\"x\":[1]})");
  EXPECT_EQ(show("<|python_tag|>{\"name\":\"f\",\"parameters\":{}}; "
                 "{\"name\":\"g\",\"parameters\":{}}<|eom_id|>",
                 format),
            " | f({}) g({})");
  EXPECT_EQ(show("{\"answer\": 42}", format), "{\"answer\": 42} |");
  EXPECT_EQ(show("Call {\"name\":\"f\"}", format), "Call {\"name\":\"f\"} |");
  EXPECT_EQ(show("{\"name\":\"f\",\"parameters\":{}} and more", format),
            "{\"name\":\"f\",\"parameters\":{}} and more |");
}

TEST(ToolCalls, AreReadInTheFormatOfMistral) {
  const auto format = ToolCallFormat::Mistral;
  EXPECT_EQ(show("[TOOL_CALLS] "
                 "[{\"name\":\"f\",\"arguments\":{\"x\":1}},{\"name\":\"g\",\"arguments\":{}}]</s>",
                 format),
            " | f({\"x\":1}) g({})");
  EXPECT_EQ(show("Well [TOOL_CALLS]f[ARGS]{\"x\": 1}[TOOL_CALLS]g{}", format),
            "Well | f({\"x\":1}) g({})");
  EXPECT_EQ(show("[TOOL_CALLS] [3]", format), "[TOOL_CALLS] [3] |");
  EXPECT_EQ(show("[TOOL_CALLS] [", format), "[TOOL_CALLS] [ |");
}

TEST(ToolCalls, AreReadInTheFormatsOfDeepSeek) {
  const std::string begin = "<｜tool▁calls▁begin｜>", call = "<｜tool▁call▁begin｜>",
                    sep = "<｜tool▁sep｜>", call_end = "<｜tool▁call▁end｜>",
                    end = "<｜tool▁calls▁end｜>";
  for (const auto format : {ToolCallFormat::DeepSeek, ToolCallFormat::DeepSeekBlock}) {
    EXPECT_EQ(show("Well" + begin + call + "f" + sep + "{\"x\": \"}\"}" + call_end + call + "g" +
                       sep + "{}" + call_end + end,
                   format),
              "Well | f({\"x\":\"}\"}) g({})");
    EXPECT_EQ(show(begin + call + "function" + sep + "f\n```json\n{\"x\": 1}\n```" + call_end +
                       "\n" + call + "function" + sep + "g\n```json\n{}\n```" + call_end + end,
                   format),
              " | f({\"x\":1}) g({})");
    EXPECT_EQ(show(begin + call + "f" + sep + "{}", format),
              " | f({})");  // the end token came first
    for (const std::string& text :
         {begin, begin + call + "f" + sep, begin + call + "f{}",
          begin + call + sep + "{}" + call_end, begin + call + "f" + sep + "{} x" + call_end,
          begin + call + "f" + sep + "[1]" + call_end}) {
      EXPECT_EQ(show(text, format), text + " |");
    }
  }
}

TEST(ToolCalls, FormatsAreKnownByTheTemplate) {
  EXPECT_EQ(detect_tool_call_format("<tool_call>"), ToolCallFormat::Hermes);
  EXPECT_EQ(detect_tool_call_format("[TOOL_CALLS] ["), ToolCallFormat::Mistral);
  EXPECT_EQ(detect_tool_call_format("[TOOL_CALLS]{{ name }}[ARGS]"), ToolCallFormat::MistralNamed);
  EXPECT_EQ(detect_tool_call_format("<|start_header_id|> parameters"), ToolCallFormat::Llama3);
  EXPECT_EQ(detect_tool_call_format("<｜tool▁calls▁begin｜>"), ToolCallFormat::DeepSeek);
  EXPECT_EQ(detect_tool_call_format("<｜tool▁calls▁begin｜>```json"),
            ToolCallFormat::DeepSeekBlock);
  EXPECT_EQ(detect_tool_call_format("{{ messages }}"), ToolCallFormat::None);
}

TEST(ToolCalls, StayTextWhereJsonIsHostile) {
  const std::string deep = "{\"name\":\"f\",\"arguments\":" + std::string(100'000, '[');
  EXPECT_EQ(parse_tool_calls("<tool_call>" + deep, ToolCallFormat::Hermes).tool_calls.size(), 0u);
  const std::string closed = deep + std::string(100'000, ']') + "}";
  EXPECT_EQ(parse_tool_calls(closed, ToolCallFormat::Llama3).content, closed);
}

// However the text is cut, what was streamed is a prefix of the content, and all of it comes at the
// end.
TEST(ToolCalls, NeverStreamWhatBecomesACall) {
  const struct {
    ToolCallFormat format;
    std::string text;
  } cases[] = {
      {ToolCallFormat::Hermes, "a < b <tool <tool_call>{\"name\":\"f\"}</tool_call>"},
      {ToolCallFormat::Mistral, "a [TOOL [TOOL_CALLS] [{\"name\":\"f\"}]"},
      {ToolCallFormat::Llama3, "  {\"name\":\"f\"}"},
      {ToolCallFormat::Llama3, "<|python_tag|>{\"name\":\"f\"}"},
      {ToolCallFormat::DeepSeek,
       "a <｜tool▁calls <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{}"},
      {ToolCallFormat::None, "plain"},
  };
  for (const auto& [format, text] : cases) {
    const std::string content = parse_tool_calls(text, format).content;
    std::size_t before = 0;
    for (std::size_t size = 0; size <= text.size(); ++size) {
      const std::size_t count = count_content_bytes(std::string_view(text).substr(0, size), format);
      EXPECT_LE(count, size);
      EXPECT_GE(count, before) << text.substr(0, size);
      const std::string streamed = text.substr(0, count);
      EXPECT_EQ(streamed.substr(0, content.size()), content.substr(0, streamed.size()));
      before = count;
    }
  }
  EXPECT_EQ(count_content_bytes("Hello <", ToolCallFormat::Hermes), 6u);
  EXPECT_EQ(count_content_bytes("Hello <b", ToolCallFormat::Hermes), 8u);
  EXPECT_EQ(count_content_bytes("Hello", ToolCallFormat::Llama3), 5u);
}

TEST(ToolCalls, AreDetectedByTheTemplate) {
  EXPECT_EQ(detect_tool_call_format("{{ '<tool_call>' }}"), ToolCallFormat::Hermes);
  EXPECT_EQ(detect_tool_call_format("[TOOL_CALLS]"), ToolCallFormat::Mistral);
  EXPECT_EQ(detect_tool_call_format("<|start_header_id|> \"parameters\""), ToolCallFormat::Llama3);
  EXPECT_EQ(detect_tool_call_format("<|im_start|>"), ToolCallFormat::None);
}

}  // namespace
}  // namespace pianola
