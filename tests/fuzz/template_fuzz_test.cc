// Hostile chat templates and hostile outputs: a prompt, calls or a clean error, in bounded time and
// memory.
#include <filesystem>

#include "host/template/chat_template.h"
#include "host/template/tool_calls.h"
#include "tests/fuzz/fuzz_cases.h"
#include "tests/support/shared_files.h"

namespace pianola {
namespace {

const std::vector<std::string> kFragments = {"{{",
                                             "}}",
                                             "{%",
                                             "%}",
                                             "{#",
                                             "#}",
                                             "-%}",
                                             "{%-",
                                             "{% if x %}",
                                             "{% endif %}",
                                             "{% else %}",
                                             "{% for a in range(9999) %}",
                                             "{% endfor %}",
                                             "{% set x = ",
                                             "{% macro f(a) %}",
                                             "{% endmacro %}",
                                             "{{ f(f(1)) }}",
                                             " | tojson",
                                             " | map('upper')",
                                             " | sort",
                                             " | join(',')",
                                             " | list",
                                             " | replace('', 'ab')",
                                             " | selectattr('role')",
                                             "[::-1]",
                                             "[1:",
                                             "]",
                                             "(",
                                             ")",
                                             "[",
                                             "'",
                                             "\"",
                                             "\\",
                                             " ~ ",
                                             " * 99999",
                                             " ** 9",
                                             " // 0",
                                             " % ",
                                             " in ",
                                             " is defined",
                                             " not ",
                                             " and ",
                                             " or ",
                                             "loop.index",
                                             "namespace()",
                                             "ns.x",
                                             "messages",
                                             "message",
                                             "tools",
                                             "none",
                                             "-9223372036854775808",
                                             "1e308",
                                             ".split('')",
                                             ".items()",
                                             "raise_exception('x')",
                                             "strftime_now('%Y%')",
                                             ", ",
                                             "\xFF",
                                             "\xF0\x9F",
                                             "\n",
                                             "caller()",
                                             " if ",
                                             " else ",
                                             "{",
                                             "}",
                                             ":"};

std::vector<std::string> read_templates() {
  std::vector<std::string> sources;
  std::vector<std::filesystem::path> paths;
  for (const auto& file :
       std::filesystem::directory_iterator(PIANOLA_SOURCE_DIR "/tests/template/templates")) {
    paths.push_back(file.path());
  }
  std::sort(paths.begin(), paths.end());
  for (const auto& path : paths) sources.push_back(read_file(path));
  return sources;
}

OrderedJson make_messages(FuzzRandom& random) {
  static const std::vector<std::string> kRoles = {"system", "user", "assistant", "tool", "x"};
  static const std::vector<OrderedJson> kContents = {"Hi",
                                                     "",
                                                     nullptr,
                                                     3,
                                                     OrderedJson::array({1, "a"}),
                                                     "\xFF",
                                                     "a</think>b",
                                                     OrderedJson::object({{"content", "x"}})};
  OrderedJson messages = OrderedJson::array();
  for (std::size_t count = random.below(6); count > 0; --count) {
    OrderedJson message = {{"role", random.pick(kRoles)}, {"content", random.pick(kContents)}};
    if (random.below(4) == 0) {
      message["tool_calls"] = {
          {{"id", "abcdefghi"}, {"function", {{"name", "f"}, {"arguments", {{"x", 1}}}}}}};
    }
    messages.push_back(std::move(message));
  }
  return messages;
}

TEST(TemplateFuzz, MutatedTemplates) {
  const std::vector<std::string> sources = read_templates();
  ASSERT_GE(sources.size(), 5u);
  const ChatTemplateLimits limits{
      .output_bytes_max = 1 << 18, .memory_bytes_max = 1 << 22, .steps_max = 200'000};
  int parsed = 0, applied = 0;
  run_fuzz_cases(fuzz_case_count(), [&](FuzzRandom& random) {
    const auto chat =
        ChatTemplate::parse(mutate_text(random, random.pick(sources), kFragments), limits);
    if (!chat.ok()) {
      EXPECT_FALSE(chat.error().message.empty());
      return;
    }
    ++parsed;
    ChatTemplateInput input;
    input.messages = make_messages(random);
    if (random.below(2) == 0)
      input.tools = {{{"function", {{"name", "f"}, {"parameters", {{"a", 1.5}}}}}}};
    const auto prompt = chat->apply(input);
    if (prompt.ok()) {
      EXPECT_LE(prompt->size(), limits.output_bytes_max);
    } else {
      EXPECT_FALSE(prompt.error().message.empty());
    }
    applied += prompt.ok();
  });
  std::printf("%d parsed, %d applied\n", parsed, applied);
  EXPECT_GT(parsed, fuzz_case_count() / 10);
  EXPECT_GT(applied, fuzz_case_count() / 50);
}

TEST(TemplateFuzz, MutatedToolCalls) {
  const std::vector<std::string> outputs = {
      "Text <tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": [1, {\"b\": "
      "\"\\u00e9\"}]}}\n</tool_call>\n<tool_call>{\"name\":\"g\"}",
      "<|python_tag|>{\"name\": \"f\", \"parameters\": {\"x\": 1}}; "
      "{\"name\":\"g\",\"parameters\":{}}<|eom_id|>",
      "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {}}]</s>",
      "a [TOOL_CALLS]f[ARGS]{\"x\": \"}\"}[TOOL_CALLS]g{}"};
  const std::vector<std::string> fragments = {"<tool_call>",
                                              "</tool_call>",
                                              "[TOOL_CALLS]",
                                              "[ARGS]",
                                              "{",
                                              "}",
                                              "[",
                                              "]",
                                              "\"",
                                              "\\",
                                              ":",
                                              ",",
                                              "\"name\"",
                                              "\xFF",
                                              "<|python_tag|>",
                                              "null",
                                              "1e999"};
  int calls = 0;
  run_fuzz_cases(fuzz_case_count(), [&](FuzzRandom& random) {
    const std::string text = mutate_text(random, random.pick(outputs), fragments);
    for (const auto format :
         {ToolCallFormat::None, ToolCallFormat::Hermes, ToolCallFormat::Llama3,
          ToolCallFormat::Mistral, ToolCallFormat::MistralNamed, ToolCallFormat::DeepSeek}) {
      const AssistantOutput output = parse_tool_calls(text, format);
      calls += static_cast<int>(output.tool_calls.size());
      EXPECT_LE(output.content.size(), text.size());
      EXPECT_LE(count_content_bytes(text, format), text.size());
      for (const ToolCall& call : output.tool_calls) {
        EXPECT_TRUE(OrderedJson::parse(call.arguments, nullptr, false).is_object())
            << call.arguments;
      }
    }
  });
  EXPECT_GT(calls, fuzz_case_count() / 10);
}

}  // namespace
}  // namespace pianola
