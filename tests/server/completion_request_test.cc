#include "host/server/completion_request.h"

#include <gtest/gtest.h>

namespace pianola {
namespace {

CompletionRequest accept(const std::string& body, bool chat) {
  ApiResult<CompletionRequest> request = read_completion_request(body, chat);
  if (!request.ok()) {
    ADD_FAILURE() << request.error().message;
    return {};
  }
  return std::move(request.value());
}

void refuse(const std::string& body, bool chat, const std::string& param, const std::string& code) {
  const ApiResult<CompletionRequest> request = read_completion_request(body, chat);
  ASSERT_FALSE(request.ok()) << body;
  EXPECT_EQ(request.error().status, 400);
  EXPECT_EQ(request.error().param, param) << request.error().message;
  EXPECT_EQ(request.error().code, code) << request.error().message;
}

std::string chat_with(const std::string& member) {
  return R"({"messages": [{"role": "user", "content": "a"}])" +
         (member.empty() ? "" : ", " + member) + "}";
}

TEST(CompletionRequest, HasTheDefaultsOfOpenAi) {
  const CompletionRequest chat = accept(chat_with(""), true);
  EXPECT_FALSE(chat.temperature.has_value());  // 1, or 0 where the machine chooses
  EXPECT_EQ(chat.n, 1);
  EXPECT_FALSE(chat.tokens_max.has_value());
  EXPECT_FALSE(chat.stream);
  EXPECT_EQ(accept(R"({"prompt": "a"})", false).tokens_max, 16);
}

TEST(CompletionRequest, ReadsWhatCanBeSaid) {
  const CompletionRequest r = accept(
      chat_with(R"("temperature": 0.5, "top_p": 0.9, "top_k": 40, "min_p": 0.1, "seed": -3, "n": 2,
        "repetition_penalty": 1.1, "presence_penalty": 0.5, "frequency_penalty": -0.5,
        "logit_bias": {"5": -100}, "stop": ["a", "b"], "stream": true, "max_completion_tokens": 7,
        "stream_options": {"include_usage": true}, "logprobs": true, "top_logprobs": 4,
        "ignore_eos": true, "cache_prompt": false, "deadline_ms": 1.5, "user": "u", "max_tokens": 9)"),
      true);
  EXPECT_EQ(r.sampler.top_k, 40);
  EXPECT_EQ(r.sampler.seed, static_cast<std::uint64_t>(-3));
  EXPECT_EQ(r.tokens_max, 7);
  EXPECT_EQ(r.adjustments.bias.at(5), -100);
  EXPECT_EQ(r.stop.size(), 2u);
  EXPECT_EQ(r.top_logprobs, 4);
  EXPECT_TRUE(r.stream && r.include_usage && r.ignore_eos && !r.reuse_prefix);
  EXPECT_EQ(r.deadline_ms, 1.5);
  EXPECT_EQ(r.ignored, std::vector<std::string>{"user"});
}

TEST(CompletionRequest, TopPOfZeroIsTheLikeliestToken) {
  const CompletionRequest r = accept(chat_with(R"("top_p": 0, "top_k": 9)"), true);
  EXPECT_EQ(r.sampler.top_k, 1);
  EXPECT_EQ(r.sampler.top_p, 1);
}

TEST(CompletionRequest, KeepsTheOrderOfKeysForTemplates) {
  const CompletionRequest r =
      accept(R"({"messages": [{"role": "user", "content": "a", "z": 1, "b": 2}]})", true);
  EXPECT_EQ(r.messages[0].dump(), R"({"role":"user","content":"a","z":1,"b":2})");
}

TEST(CompletionRequest, TakesPromptsInAllForms) {
  EXPECT_EQ(accept(R"({"prompt": ["a", "b"]})", false).prompts.size(), 2u);
  EXPECT_EQ(std::get<1>(accept(R"({"prompt": [1, 2]})", false).prompts[0]), (std::vector{1, 2}));
  EXPECT_EQ(accept(R"({"prompt": [[1], [2, 3], "c"]})", false).prompts.size(), 3u);
}

TEST(CompletionRequest, ReadsWhichToolMustBeCalled) {
  const auto with = [](const std::string& members) {
    return chat_with(R"("tools": [{"type": "function", "function": {"name": "f", "strict": true}},
                                  {"type": "function", "function": {"name": "g"}}], )" +
                     members);
  };
  const std::string named = R"("tool_choice": {"type": "function", "function": {"name": )";
  EXPECT_EQ(accept(with(R"("tool_choice": "none")"), true).tool_choice, ToolChoice::None);
  EXPECT_EQ(accept(with(R"("tool_choice": "auto")"), true).ignored,
            std::vector<std::string>{"tools.function.strict"});
  const CompletionRequest any =
      accept(with(R"("tool_choice": "required", "parallel_tool_calls": false)"), true);
  EXPECT_EQ(any.tool_choice, ToolChoice::Required);
  EXPECT_TRUE(any.tool_name.empty() && !any.parallel_tool_calls && any.ignored.empty());
  EXPECT_EQ(accept(with(named + "\"g\"}}"), true).tool_name, "g");
  refuse(with(named + "\"h\"}}"), true, "tool_choice", "invalid_value");
  refuse(with(R"("tool_choice": {"type": "allowed_tools"})"), true, "tool_choice", "invalid_value");
  refuse(with(R"("tool_choice": 1)"), true, "tool_choice", "invalid_value");
  refuse(with(R"("parallel_tool_calls": false)"), true, "parallel_tool_calls", "invalid_value");
  refuse(chat_with(R"("tool_choice": "required")"), true, "tool_choice", "invalid_value");
  for (
      const char* tool :
      {"3", "{}", R"({"type": "function", "function": {"name": "a b"}})",
       R"({"type": "function", "function": {"name": ""}})",
       R"({"type": "custom", "function": {"name": "f"}})",
       R"({"type": "function", "function": {"name": "f"}}, {"type": "function", "function": {"name": "f"}})"}) {
    refuse(chat_with("\"tools\": [" + std::string(tool) + "]"), true, "tools", "invalid_value");
  }
}

TEST(CompletionRequest, NamesTheParameterAtFault) {
  refuse("{", true, "", "invalid_json");
  refuse("[]", true, "", "invalid_type");
  refuse("{}", true, "messages", "invalid_value");
  refuse(R"({"messages": [{"content": "a"}]})", true, "messages", "invalid_value");
  refuse(chat_with(R"("temperature": "1")"), true, "temperature", "invalid_type");
  refuse(chat_with(R"("top_k": 1.5)"), true, "top_k", "invalid_type");
  refuse(chat_with(R"("n": 65)"), true, "n", "invalid_value");
  refuse(chat_with(R"("n": 18446744073709551615)"), true, "n", "invalid_value");
  refuse(chat_with(R"("logit_bias": {"x": 1})"), true, "logit_bias", "invalid_value");
  refuse(chat_with(R"("logit_bias": {"1": 101})"), true, "logit_bias", "invalid_value");
  refuse(chat_with(R"("stop": "")"), true, "stop", "invalid_value");
  refuse(chat_with(R"("stop": [1])"), true, "stop", "invalid_type");
  refuse(chat_with(R"("top_logprobs": 2)"), true, "top_logprobs", "invalid_value");
  refuse(chat_with(R"("stream_options": {"include_usage": true})"), true, "stream_options",
         "invalid_value");
  refuse(chat_with(R"("stream": true, "stream_options": {"more": 1})"), true, "stream_options",
         "unknown_parameter");
  refuse(chat_with(R"("functions": [])"), true, "functions", "unknown_parameter");
  refuse(chat_with(R"("parallel_tool_calls": false)"), true, "parallel_tool_calls",
         "invalid_value");
  refuse(R"({"prompt": "a", "messages": []})", false, "messages", "unknown_parameter");
  refuse(R"({"prompt": []})", false, "prompt", "invalid_value");
  refuse(R"({"prompt": "a", "best_of": 3})", false, "best_of", "invalid_value");
  refuse(R"({"prompt": "a", "suffix": "b"})", false, "suffix", "invalid_value");
  refuse(R"({"max_tokens": 5})", false, "prompt", "missing_parameter");
}

}  // namespace
}  // namespace pianola
