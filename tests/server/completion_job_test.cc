#include "host/server/completion_job.h"

#include <gtest/gtest.h>

#include "tests/support/shared_files.h"

namespace pianola {
namespace {

constexpr const char* kHermes =
    "{% for m in messages %}{{ m.content }}{% endfor %}{{ tools }}<tool_call>";

class CompletionJobTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::string json = read_file(PIANOLA_SOURCE_DIR "/models/nursery-llama/tokenizer.json");
    tokenizer_.emplace(tokenizer_from_hf_json(std::as_bytes(std::span(json))).value());
    roll_.metadata.model.vocabulary = 1024;
    roll_.metadata.model.context = 128;
    roll_.target.name = "sim16";
    roll_.target.clock_mhz = 200;
    model_.id = "m";
    model_.roll = &roll_;
    model_.tokenizer = &*tokenizer_;
    model_.token_bytes = tokenizer_->token_bytes();
    model_.chat = ChatPrompt::create(kHermes, *tokenizer_).value();
  }

  CompletionJob make(const std::string& members, bool chat = true) {
    const std::string body =
        chat ? R"({"messages": [{"role": "user", "content": "a"}])" + members + "}"
             : R"({"prompt": "Once")" + members + "}";
    CompletionRequest request = std::move(read_completion_request(body, chat).value());
    const auto options = std::move(prepare_generations(request, model_).value());
    return CompletionJob(std::move(request), model_, "chatcmpl-1", 5, options);
  }

  static GenerationUpdate accepted() {
    GenerationUpdate update;
    update.accepted = true;
    return update;
  }
  static GenerationUpdate said(const std::string& text) {
    GenerationUpdate update;
    update.text = text;
    update.tokens.push_back({100, -1, {}});
    return update;
  }
  static GenerationUpdate ended(FinishReason reason, std::optional<Error> error = {}) {
    GenerationUpdate update;
    update.finish = GenerationFinish{reason, "", std::move(error), {}};
    return update;
  }
  static std::vector<OrderedJson> parse(std::string events, bool& done) {
    std::vector<OrderedJson> out;
    done = false;
    for (std::size_t end; (end = events.find("\n\n")) != std::string::npos;) {
      const std::string event = events.substr(6, end - 6);
      events.erase(0, end + 2);
      EXPECT_FALSE(done) << "an event after the last";
      if (event == "[DONE]") {
        done = true;
      } else {
        out.push_back(OrderedJson::parse(event));
      }
    }
    return out;
  }

  Roll roll_;
  std::optional<Tokenizer> tokenizer_;
  ServedModel model_;
};

TEST_F(CompletionJobTest, StreamsRoleTextReasonUsageAndEnd) {
  CompletionJob job = make(R"(, "stream": true, "stream_options": {"include_usage": true})");
  std::string events = job.consume(0, accepted());
  EXPECT_EQ(events, "");  // nothing before the first token
  for (const char* text : {"Hi", "", " you"}) events += job.consume(0, said(text));
  events += job.consume(0, ended(FinishReason::Eos));
  EXPECT_TRUE(job.finished());
  bool done = false;
  const auto parsed = parse(events, done);
  ASSERT_TRUE(done);
  ASSERT_EQ(parsed.size(), 5u);
  EXPECT_EQ(parsed[0]["choices"][0]["delta"].dump(), R"({"role":"assistant","content":""})");
  EXPECT_EQ(parsed[1]["choices"][0]["delta"].dump(), R"({"content":"Hi"})");
  EXPECT_EQ(parsed[2]["choices"][0]["delta"].dump(), R"({"content":" you"})");
  EXPECT_EQ(parsed[3]["choices"][0]["finish_reason"], "stop");
  EXPECT_TRUE(parsed[3].contains("pianola"));
  EXPECT_TRUE(parsed[4]["choices"].empty());
  EXPECT_TRUE(parsed[4]["usage"].is_object());
  for (const auto& event : parsed) EXPECT_EQ(event["id"], "chatcmpl-1");
}

TEST_F(CompletionJobTest, HoldsBackWhatMayBeAToolCall) {
  const std::string tools =
      R"(, "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}])";
  const std::string call = R"(<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>)";
  CompletionJob stream = make(tools + R"(, "stream": true)");
  CompletionJob whole = make(tools);
  std::string events = stream.consume(0, accepted());
  (void)whole.consume(0, accepted());
  for (const char c : "Well. " + call) {
    events += stream.consume(0, said(std::string(1, c)));
    (void)whole.consume(0, said(std::string(1, c)));
  }
  events += stream.consume(0, ended(FinishReason::Eos));
  (void)whole.consume(0, ended(FinishReason::Eos));
  bool done = false;
  std::string content, arguments;
  for (const OrderedJson& event : parse(events, done)) {
    const OrderedJson& choice = event["choices"][0];
    content += choice["delta"].value("content", std::string());
    if (choice["delta"].contains("tool_calls")) {
      const OrderedJson& made = choice["delta"]["tool_calls"][0];
      EXPECT_EQ(made["index"], 0);
      EXPECT_EQ(made["function"]["name"], "f");
      arguments += made["function"]["arguments"].get<std::string>();
    }
    if (!choice["finish_reason"].is_null()) {
      EXPECT_EQ(choice["finish_reason"], "tool_calls");
    }
  }
  const OrderedJson message = whole.body()["choices"][0]["message"];
  EXPECT_EQ(message["content"], "Well.");
  EXPECT_EQ(content, "Well. ");  // a stream cannot know that only a call will follow
  EXPECT_EQ(OrderedJson::parse(arguments)["a"], 1);
  EXPECT_EQ(message["tool_calls"][0]["function"]["arguments"], arguments);
  EXPECT_EQ(message["tool_calls"][0]["id"].get<std::string>().size(), 9u);  // as Mistral demands
}

TEST_F(CompletionJobTest, TellsAFailureOnceAndInTheStreamIfThatHasBegun) {
  const Error broken{ErrorCode::Mismatch, "broken", "machine"};
  CompletionJob begun = make(R"(, "stream": true)");
  (void)begun.consume(0, accepted());
  bool done = false;
  const auto parsed = parse(begun.consume(0, ended(FinishReason::Failed, broken)), done);
  ASSERT_EQ(parsed.size(), 1u);
  EXPECT_EQ(parsed[0]["error"]["type"], "server_error");
  EXPECT_EQ(begun.consume(0, said("more")), "");
  CompletionJob refused = make(R"(, "stream": true)");
  const Error late{ErrorCode::OutOfRange, "too late", "deadline"};
  EXPECT_EQ(refused.consume(0, ended(FinishReason::Failed, late)), "");
  EXPECT_TRUE(refused.finished());
  EXPECT_EQ(refused.error()->status, 422);
}

TEST_F(CompletionJobTest, WaitsForAllChoices) {
  CompletionJob job = make(R"(, "n": 2, "stream": true)", false);
  EXPECT_EQ(job.choices(), 2u);
  (void)job.consume(0, accepted());
  EXPECT_FALSE(job.accepted());
  (void)job.consume(1, accepted());
  EXPECT_TRUE(job.accepted());
  EXPECT_EQ(job.consume(1, ended(FinishReason::Length)).find("[DONE]"), std::string::npos);
  EXPECT_FALSE(job.finished());
  EXPECT_NE(job.consume(0, ended(FinishReason::Length)).find("[DONE]"), std::string::npos);
}

}  // namespace
}  // namespace pianola
