#include "host/template/chat_template.h"

#include <gtest/gtest.h>

#include "tests/support/expect_error.h"

namespace pianola {
namespace {

const OrderedJson kHello = OrderedJson::array({{{"role", "user"}, {"content", "Hi"}}});

Result<std::string> render(std::string_view source,
                           const ChatTemplateInput& input = {.messages = kHello},
                           const ChatTemplateLimits& limits = {}) {
  TRY(const ChatTemplate chat, ChatTemplate::parse(source, limits));
  return chat.apply(input);
}

std::string text(std::string_view source) {
  const auto result = render(source);
  EXPECT_TRUE(result.ok()) << source << ": " << to_string(result.error());
  return result.ok() ? *result : "";
}

TEST(ChatTemplate, GivesThePromptOfAConversation) {
  const std::string source =
      "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m['content'] }}{{ eos_token }}\n{% "
      "endfor %}"
      "{% if add_generation_prompt %}[assistant]{% endif %}";
  ChatTemplateInput input{.messages = kHello, .bos_token = "<s>", .eos_token = "</s>"};
  EXPECT_EQ(*render(source, input), "<s>[user] Hi</s>\n[assistant]");
  input.add_generation_prompt = false;
  EXPECT_EQ(*render(source, input), "<s>[user] Hi</s>\n");
}

TEST(ChatTemplate, TakesWhitespaceAwayAroundBlocks) {
  EXPECT_EQ(text("a\n  {% if true %}\nb\n  {% endif %}\nc\n"), "a\nb\nc");
  EXPECT_EQ(text("a \n {%- if true -%} \n b {%- endif -%} \n c"), "abc");
  EXPECT_EQ(text("  {%+ if true +%}\nb{% endif %}"), "  \nb");
  EXPECT_EQ(text("a\n  {# comment #}\nb {# comment #} c"), "a\nb  c");
  EXPECT_EQ(text("  {{ 1 }}\n{{- 2 -}}\n 3"), "  123");
  EXPECT_EQ(text("a\r\nb\rc\r\n"), "a\nb\nc");
}

TEST(ChatTemplate, KeepsTheOrderOfKeysInJson) {
  ChatTemplateInput input;
  input.tools = OrderedJson::parse(R"([{"z":1,"a":{"k":[true,null,1.5,"ä\n"]}}])");
  EXPECT_EQ(*render("{{ tools[0] | tojson }}", input),
            R"({"z": 1, "a": {"k": [true, null, 1.5, "ä\n"]}})");
  EXPECT_EQ(*render("{{ tools[0].a | tojson(indent=1) }}", input),
            "{\n \"k\": [\n  true,\n  null,\n  1.5,\n  \"ä\\n\"\n ]\n}");
}

TEST(ChatTemplate, SeesTheTimeOfTheCaller) {
  ChatTemplateInput input;
  input.now.tm_year = 124;
  input.now.tm_mon = 1;
  input.now.tm_mday = 29;
  EXPECT_EQ(*render("{{ strftime_now('%d %b %Y, %%') }}", input), "29 Feb 2024, %");
  expect_error(render("{{ strftime_now('%9999999d') }}", input), ErrorCode::Malformed,
               "strftime_now knows no %9");
}

TEST(ChatTemplate, LetsVariablesOfTheCallerWin) {
  ChatTemplateInput input;
  input.variables = {{"bos_token", "mine"}, {"enable_thinking", false}};
  EXPECT_EQ(*render("{{ bos_token }} {{ enable_thinking }}", input), "mine False");
}

TEST(ChatTemplate, MentionsWhatItLooksAt) {
  const auto chat = ChatTemplate::parse("{% if tools %}{{ x.messages }}{% endif %}");
  EXPECT_TRUE(chat->mentions("tools"));
  EXPECT_TRUE(chat->mentions("x"));
  EXPECT_FALSE(chat->mentions("messages"));
}

TEST(ChatTemplate, SaysWhyItRefusesMessages) {
  expect_error(render("\n\n{{ raise_exception('roles must alternate') }}"),
               ErrorCode::InvalidArgument,
               "line 3: the model's template refuses these messages: roles must alternate");
}

TEST(ChatTemplate, RefusesSyntaxWithItsLine) {
  const auto refuse = [](std::string_view source, ErrorCode code, const std::string& phrase) {
    SCOPED_TRACE(source);
    expect_error(render(source), code, phrase);
  };
  refuse("a\n{% if x %}b", ErrorCode::Malformed, "line 2: no {% endif %} for the block");
  refuse("{% for x y %}{% endfor %}", ErrorCode::Malformed, "expected 'in', found 'y'");
  refuse("{{ 1 + }}", ErrorCode::Malformed, "expected a value, found }}");
  refuse("{{ (1 }}", ErrorCode::Malformed, "'}' closes no bracket");
  refuse("{{ 'a }}", ErrorCode::Malformed, "without its closing quote");
  refuse("{{ 1", ErrorCode::Malformed, "{{ without }}");
  refuse("{# 1", ErrorCode::Malformed, "{# without #}");
  refuse("{% endif %}", ErrorCode::Malformed, "without the block");
  refuse("{% break %}", ErrorCode::Malformed, "outside of a loop");
  refuse("{{ 99999999999999999999 }}", ErrorCode::OutOfRange, "64 bits");
  refuse("{{ x | tojson2 }}", ErrorCode::Unsupported, "the filter 'tojson2' is not supported");
  refuse("{{ x is strange }}", ErrorCode::Unsupported, "the test 'strange'");
  refuse("{% include 'x' %}", ErrorCode::Unsupported, "{% include %} is not supported");
  refuse("{{ a § b }}", ErrorCode::Malformed, "unexpected character '§'");
}

TEST(ChatTemplate, RefusesOperationsThatValuesDoNotAllow) {
  const auto refuse = [](std::string_view source, const std::string& phrase) {
    SCOPED_TRACE(source);
    expect_error(render(source), ErrorCode::Malformed, phrase);
  };
  refuse("{{ missing.name }}", "'missing' is undefined, so that it has no 'name'");
  refuse("{{ 'a' + 1 }}", "'+' of str and int; to join texts of other values use '~'");
  refuse("{{ 1 < 'a' }}", "an order of int and str");
  refuse("{{ missing() }}", "cannot be called");
  refuse("{{ messages.append(1) }}", "cannot be changed");
  refuse("{% set x = 1 %}{% set x.y = 2 %}", "'x' is no namespace");
  refuse("{% for a, b in [[1]] %}{% endfor %}", "expected 2 values to assign, got 1");
  refuse("{% for a in 3 %}{% endfor %}", "has no elements");
  refuse("{{ 1 // 0 }}", "division by zero");
  refuse("{{ {'a': missing} | tojson }}", "cannot express (undefined)");
  refuse("{{ messages | map('nothing') }}", "map has no filter 'nothing'");
  refuse("{% macro m(a) %}{% endmacro %}{{ m(b=1) }}", "has no argument 'b'");
}

TEST(ChatTemplate, StopsHostilePrograms) {
  const auto stop = [](std::string_view source, const std::string& phrase) {
    SCOPED_TRACE(source);
    expect_error(render(source), ErrorCode::OutOfRange, phrase);
  };
  stop("{% for a in range(3000) %}{% for b in range(3000) %}{% endfor %}{% endfor %}",
       "values take more than");
  stop(
      "{% macro f(n) %}{% if n > 0 %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(25) "
      "}}",
      "");
  stop("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "does a macro call itself");
  stop("{{ 'x' * 100000000 }}", "a text of more than");
  stop("{{ [1] * 100000000 }}", "list repeated");
  stop("{{ range(100000000) | length }}", "");
  stop("{% set a = 'x' * 4000000 %}{% for i in range(90) %}{{ a }}{% endfor %}",
       "the prompt has more than");
  stop(
      "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% "
      "endfor %}"
      "{{ ns.x | tojson }}",
      "");
  stop(
      "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}"
      "{% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x == ns.y }}",
      "steps");
  stop(
      "{% set ns = namespace(s='xxxxxxxx') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s "
      "%}{% endfor %}",
      "");
  stop("{{ 2 ** 63 }}", "beyond 64 bits");
  stop("{{ " + std::string(200, '(') + "1" + std::string(200, ')') + " }}", "nested deeper");
  std::string sum = "{{ 1";
  for (int i = 0; i < 200; ++i) sum += " + 1";
  stop(sum + " }}", "nested deeper");
  std::string blocks;
  for (int i = 0; i < 200; ++i) blocks += "{% if 1 %}";
  stop(blocks, "nested deeper");
  expect_error(render(std::string(100, 'x'), {}, {.source_bytes_max = 99}), ErrorCode::OutOfRange,
               "has 100 bytes; at most 99");
}

TEST(MessagesForTemplate, JoinsTextPartsAndParsesArguments) {
  const auto messages = messages_for_template(OrderedJson::parse(R"([
    {"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
    {"role":"assistant","content":null,"tool_calls":[
      {"id":"1","type":"function","function":{"name":"f","arguments":"{\"z\":1,\"a\":2}"}},
      {"id":"2","type":"function","function":{"name":"f","arguments":"not JSON"}}]}])"));
  ASSERT_TRUE(messages.ok()) << to_string(messages.error());
  EXPECT_EQ((*messages)[0]["content"], "ab");
  EXPECT_EQ((*messages)[1]["tool_calls"][0]["function"]["arguments"].dump(), R"({"z":1,"a":2})");
  EXPECT_EQ((*messages)[1]["tool_calls"][1]["function"]["arguments"], "not JSON");
}

TEST(MessagesForTemplate, LeavesArgumentsAsTextToTemplatesThatWriteThem) {
  const auto takes_text = [](const std::string& expression) {
    const auto chat = ChatTemplate::parse(
        "{% for m in messages %}{% for c in m.tool_calls %}{{ " + expression +
        " }}{% endfor %}{% if m.role == 'tool' and m.tool_call_id | length != 9 %}"
        "{{ raise_exception('nine') }}{% endif %}{% endfor %}");
    return chat.value().takes_arguments_as_text();
  };
  EXPECT_TRUE(takes_text("'x' + c.function.arguments"));
  EXPECT_TRUE(takes_text("c['function']['arguments']"));
  EXPECT_FALSE(takes_text("c.function.arguments | tojson"));
  EXPECT_FALSE(takes_text("c.function | tojson"));
  EXPECT_FALSE(takes_text("c.function.name"));
  const OrderedJson conversation = OrderedJson::parse(R"([
    {"role":"assistant","content":null,"tool_calls":[
      {"function":{"name":"f","arguments":"{\"z\": 1}"}}, {"function":{"name":"f","arguments":{"y":2}}}]}])");
  const auto messages = messages_for_template(conversation, /*arguments_as_text=*/true);
  ASSERT_TRUE(messages.ok()) << to_string(messages.error());
  EXPECT_EQ((*messages)[0]["tool_calls"][0]["function"]["arguments"], R"({"z": 1})");
  EXPECT_EQ((*messages)[0]["tool_calls"][1]["function"]["arguments"], R"({"y":2})");
}

TEST(MessagesForTemplate, RefusesWhatIsNoConversation) {
  const auto refuse = [](const char* json, const std::string& phrase) {
    expect_error(messages_for_template(OrderedJson::parse(json)), ErrorCode::InvalidArgument,
                 phrase);
  };
  refuse("{}", "must be an array");
  refuse(R"([{"content":"x"}])", "messages[0]: must be an object with a string `role`");
  refuse(R"([{"role":"user","content":3}])", "content must be a string");
  refuse(R"([{"role":"user","content":[{"type":"image_url","image_url":{}}]}])",
         "a part that is no text");
  refuse(R"([{"role":"assistant","tool_calls":[3]}])", "tool_calls must be objects");
}

}  // namespace
}  // namespace pianola
