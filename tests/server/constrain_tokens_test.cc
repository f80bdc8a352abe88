#include "host/server/constrain_tokens.h"

#include <gtest/gtest.h>

#include <random>

#include "host/grammar/grammar_matcher.h"
#include "host/server/served_model.h"
#include "tests/support/shared_files.h"

namespace pianola {
namespace {

const std::string kTools = R"("tools": [
    {"type": "function", "function": {"name": "look", "parameters": {"type": "object",
        "properties": {"at": {"$ref": "#/$defs/thing"}}, "required": ["at"], "$defs": {"thing": {"enum": ["sky", "sea"]}}}}},
    {"type": "function", "function": {"name": "go-on"}},
    {"type": "function", "function": {"name": "count", "parameters": {"type": "object",
        "properties": {"to": {"$ref": "#/$defs/thing"}}, "required": ["to"], "$defs": {"thing": {"type": "integer", "maximum": 9, "minimum": 1}}}}}])";

CompletionRequest request_with(const std::string& members) {
  return read_completion_request(
             R"({"messages": [{"role": "user", "content": "a"}], )" + members + "}", true)
      .value();
}

ApiError refused(const std::string& members, ToolCallFormat format = ToolCallFormat::Hermes) {
  const auto grammar = grammar_of(request_with(members), format);
  EXPECT_FALSE(grammar.ok()) << members;
  return grammar.ok() ? ApiError{} : grammar.error();
}

// A text of the grammar, token by token at random; it ends where it may with a likelihood of a
// half.
std::string draw_text(const Grammar& grammar, const TokenVocabulary& vocabulary,
                      const Tokenizer& tokenizer, std::mt19937& random) {
  GrammarMatcher matcher(grammar, vocabulary);
  TextStream text(tokenizer, {.skip_special = false});
  std::string drawn;
  for (int count = 0; count < 10'000; ++count) {
    const std::span<const std::uint64_t> mask = matcher.allowed_tokens().value();
    std::vector<int> allowed;
    for (int id = 0; id < static_cast<int>(vocabulary.size()); ++id) {
      const auto at = static_cast<std::size_t>(id);
      if ((mask[at / 64] >> (at % 64) & 1) != 0) allowed.push_back(id);
    }
    const bool ends = matcher.is_complete() && (allowed.size() == 1 || random() % 2 == 0);
    if (ends) return drawn + text.flush();
    std::erase_if(allowed, [&](int id) { return vocabulary.is_eos(id); });
    const int id = allowed[random() % allowed.size()];
    EXPECT_TRUE(matcher.accept(id).ok());
    drawn += text.push(id);
  }
  ADD_FAILURE() << "it does not end: " << drawn;
  return drawn;
}

// Whatever is drawn, it is calls of the tools with the arguments that they take, and nothing else.
TEST(ConstrainTokens, RequiredCallsAreCallsInEveryFormat) {
  const std::string json = read_file(PIANOLA_SOURCE_DIR "/models/nursery-llama/tokenizer.json");
  const Tokenizer tokenizer = tokenizer_from_hf_json(std::as_bytes(std::span(json))).value();
  const GrammarTokens tokens(tokenizer);
  std::mt19937 random(1);
  for (const ToolCallFormat format :
       {ToolCallFormat::Hermes, ToolCallFormat::Llama3, ToolCallFormat::Mistral,
        ToolCallFormat::MistralNamed, ToolCallFormat::DeepSeek, ToolCallFormat::DeepSeekBlock}) {
    const auto any = grammar_of(request_with(kTools + R"(, "tool_choice": "required")"), format);
    const auto one = grammar_of(
        request_with(kTools + R"(, "tool_choice": "required", "parallel_tool_calls": false)"),
        format);
    const auto named = grammar_of(
        request_with(kTools +
                     R"(, "tool_choice": {"type": "function", "function": {"name": "look"}})"),
        format);
    std::size_t most = 0;
    for (int round = 0; round < 30; ++round) {
      for (const auto* grammar : {&any, &one, &named}) {
        const std::string text = draw_text(*grammar->value(), tokens.calls, tokenizer, random);
        const AssistantOutput output = parse_tool_calls(text, format);
        EXPECT_EQ(output.content, "") << text;
        ASSERT_FALSE(output.tool_calls.empty()) << text;
        EXPECT_TRUE(grammar == &any || output.tool_calls.size() == 1) << text;
        most = std::max(most, output.tool_calls.size());
        for (const ToolCall& call : output.tool_calls) {
          EXPECT_TRUE(grammar != &named || call.name == "look") << text;
          const OrderedJson arguments = OrderedJson::parse(call.arguments);
          if (call.name == "look") {
            EXPECT_TRUE(arguments["at"] == "sky" || arguments["at"] == "sea") << text;
          } else if (call.name == "count") {
            EXPECT_TRUE(arguments["to"] >= 1 && arguments["to"] <= 9) << text;
          } else {
            EXPECT_EQ(call.name, "go-on");
            EXPECT_EQ(arguments, OrderedJson::object());
          }
        }
      }
    }
    EXPECT_EQ(most > 1, tool_call_form(format).calls_max > 1);
  }
}

TEST(ConstrainTokens, MarksMayBeSpecialTokens) {
  const std::string json = read_file(PIANOLA_SOURCE_DIR "/models/nursery-llama/tokenizer.json");
  const Tokenizer tokenizer = tokenizer_from_hf_json(std::as_bytes(std::span(json))).value();
  const std::string_view mark = "<|begin_of_text|>";
  const int id = tokenizer.token_id(mark).value();
  EXPECT_EQ(TokenVocabulary::from_tokenizer(tokenizer).bytes(id), "");
  const std::string_view marks[] = {"no token of this name", mark};
  EXPECT_EQ(TokenVocabulary::from_tokenizer(tokenizer, marks).bytes(id), mark);
}

TEST(ConstrainTokens, RefusesWhatCannotBeKeptTo) {
  const std::string required = kTools + R"(, "tool_choice": "required")";
  EXPECT_EQ(refused(required, ToolCallFormat::None).param, "tool_choice");
  EXPECT_EQ(refused(required + R"(, "response_format": {"type": "json_object"})").param,
            "tool_choice");
  EXPECT_EQ(refused(required + R"(, "grammar": "root ::= \"a\"")").param, "tool_choice");
  EXPECT_EQ(refused(required + R"(, "ignore_eos": true)").param, "ignore_eos");
  for (const char* schema : {R"({"type": "string"})", R"({"anyOf": [{"type": "object"}]})", "[1]",
                             R"({"type": "object", "not": {}})"}) {
    const ApiError error =
        refused(R"("tools": [{"type": "function", "function": {"name": "f", "parameters": )" +
                std::string(schema) + R"(}}], "tool_choice": "required")");
    EXPECT_EQ(error.param, "tools") << error.message;
    EXPECT_EQ(error.status, 400);
  }
  EXPECT_EQ(refused(R"("response_format": {"type": "xml"})").param, "response_format");
  EXPECT_EQ(refused(R"("response_format": {"type": "json_schema"})").param, "response_format");
  EXPECT_EQ(
      refused(
          R"("response_format": {"type": "json_schema", "json_schema": {"schema": {}, "x": 1}})")
          .message,
      "response_format: unknown member json_schema.x");
  EXPECT_EQ(
      refused(
          R"("response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object", "not": {}}}})")
          .param,
      "response_format");
  EXPECT_EQ(refused(R"("grammar": "root ::= (")").param, "grammar");
  EXPECT_FALSE(
      grammar_of(request_with(R"("response_format": {"type": "text"})"), ToolCallFormat::None)
          .value()
          .has_value());
}

}  // namespace
}  // namespace pianola
