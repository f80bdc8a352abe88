// Hostile request bodies: a request that the engine can take or a clean error, in bounded time and
// memory.
#include "host/server/completion_request.h"
#include "host/server/served_model.h"
#include "tests/fuzz/fuzz_cases.h"
#include "tests/support/shared_files.h"

namespace pianola {
namespace {

constexpr int kVocabulary = 1024, kContext = 512;

const std::vector<std::string> kFragments = {
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "null",
    "true",
    "false",
    "0",
    "-1",
    "1e999",
    "-0.0",
    "1e-400",
    "18446744073709551616",
    "9223372036854775807",
    "2147483648",
    "\"\"",
    "[]",
    "{}",
    "[[[[[[[[",
    "{\"a\":{\"a\":",
    "\xFF",
    "\xC3",
    "\xF0\x9F",
    "\"prompt\":",
    "\"messages\":",
    "\"content\":",
    "\"role\":",
    "\"temperature\":",
    "\"top_p\":",
    "\"n\":",
    "\"max_tokens\":",
    "\"stop\":",
    "\"logit_bias\":",
    "\"stream\":",
    "\"stream_options\":",
    "\"tools\":",
    "\"response_format\":",
    "\"grammar\":",
    "\"logprobs\":",
    "\"top_logprobs\":",
    "\"seed\":",
    "\"deadline_ms\":",
    "\"echo\":",
    "\"type\":\"text\"",
    "<|end_of_text|>",
    "\"chat_template_kwargs\":",
    "\"tool_calls\":",
    "\"arguments\":\"{}\"",
};

const std::vector<std::string> kSeeds = {
    R"({"model": "m", "prompt": "Once", "max_tokens": 5, "temperature": 0.5, "echo": true, "logprobs": 2})",
    R"({"prompt": [[1, 2], [3]], "n": 3, "logit_bias": {"5": -100}, "stop": ["a", "b"], "seed": -1})",
    R"({"messages": [{"role": "system", "content": "a"}, {"role": "user", "content":
        [{"type": "text", "text": "b"}]}], "stream": true, "stream_options": {"include_usage": true}})",
    R"({"messages": [{"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function":
        {"name": "f", "arguments": "{\"a\": 1}"}}]}, {"role": "tool", "tool_call_id": "1", "content": "c"}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object",
        "properties": {"a": {"type": "integer"}}}}}, "deadline_ms": 10.5, "top_p": 0.5})",
    R"({"messages": [{"role": "user", "content": "a"}], "tool_choice": "required", "parallel_tool_calls": false,
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object",
        "properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {"enum": [1, "x"]}}}}}]})",
};

// Changes one value somewhere: replaced, taken out, or one put beside it.
void mutate_value(FuzzRandom& random, OrderedJson& json) {
  static const std::vector<OrderedJson> kValues = {nullptr,
                                                   true,
                                                   false,
                                                   0,
                                                   1,
                                                   -1,
                                                   3,
                                                   100,
                                                   2147483648,
                                                   0.5,
                                                   -2.0,
                                                   1e300,
                                                   "",
                                                   "a",
                                                   "Once",
                                                   "user",
                                                   "required",
                                                   "auto",
                                                   "json_object",
                                                   OrderedJson::array(),
                                                   OrderedJson::object(),
                                                   OrderedJson::array({"a", ""}),
                                                   OrderedJson::array({1, 2}),
                                                   OrderedJson::object({{"type", "json_object"}}),
                                                   OrderedJson::object({{"5", 1.5}}),
                                                   OrderedJson::object({{"include_usage", true}})};
  static const std::vector<std::string> kKeys = {"prompt",
                                                 "messages",
                                                 "content",
                                                 "role",
                                                 "temperature",
                                                 "top_p",
                                                 "top_k",
                                                 "min_p",
                                                 "n",
                                                 "max_tokens",
                                                 "max_completion_tokens",
                                                 "stop",
                                                 "logit_bias",
                                                 "stream",
                                                 "stream_options",
                                                 "tools",
                                                 "tool_choice",
                                                 "response_format",
                                                 "grammar",
                                                 "logprobs",
                                                 "top_logprobs",
                                                 "seed",
                                                 "deadline_ms",
                                                 "echo",
                                                 "ignore_eos",
                                                 "cache_prompt",
                                                 "presence_penalty",
                                                 "frequency_penalty",
                                                 "repetition_penalty",
                                                 "chat_template_kwargs",
                                                 "user",
                                                 "best_of",
                                                 "suffix",
                                                 "name",
                                                 "type",
                                                 "function",
                                                 "unknown"};
  OrderedJson* place = &json;
  while (place->is_structured() && !place->empty() && !random.one_in(3)) {
    place = &*std::next(place->begin(), static_cast<std::ptrdiff_t>(random.below(place->size())));
  }
  if (place->is_object() && !random.one_in(4)) {
    if (!place->empty() && random.one_in(4)) {
      place->erase(
          std::next(place->begin(), static_cast<std::ptrdiff_t>(random.below(place->size()))));
    } else {
      (*place)[random.pick(kKeys)] = random.pick(kValues);
    }
  } else {
    *place = random.pick(kValues);
  }
}

std::string make_body(FuzzRandom& random) {
  const std::string& seed = random.pick(kSeeds);
  if (random.one_in(2)) return mutate_text(random, seed, kFragments);
  OrderedJson json = OrderedJson::parse(seed);
  for (std::size_t count = 1 + random.below(3); count > 0; --count) mutate_value(random, json);
  return to_text(json);
}

TEST(RequestFuzz, MutatedBodiesAreTakenOrRefused) {
  const std::string json = read_file(PIANOLA_SOURCE_DIR "/models/nursery-llama/tokenizer.json");
  Result<Tokenizer> tokenizer = tokenizer_from_hf_json(std::as_bytes(std::span(json)));
  ASSERT_TRUE(tokenizer.ok());
  Roll roll;  // preparing needs its facts only
  roll.metadata.model.vocabulary = kVocabulary;
  roll.metadata.model.context = kContext;
  roll.target.clock_mhz = 200;
  ServedModel model;
  model.roll = &roll;
  model.tokenizer = &*tokenizer;
  model.token_bytes = tokenizer->token_bytes();
  const GrammarTokens grammar_tokens(*tokenizer);
  model.grammar_tokens = &grammar_tokens;
  Result<ChatPrompt> chat = ChatPrompt::create(
      "{% for m in messages %}{{ m.role }}: {{ m.content }}"
      "{% if m.tool_calls %}{{ m.tool_calls | tojson }}{% endif %}\n{% endfor %}"
      "{% if tools %}{{ tools | tojson }}{% endif %}<tool_call>",
      *tokenizer);
  ASSERT_TRUE(chat.ok());
  model.chat = std::move(*chat);
  for (const std::string& seed : kSeeds) {
    const auto request = read_completion_request(seed, seed.find("messages") != std::string::npos);
    ASSERT_TRUE(request.ok()) << request.error().message;
    const auto options = prepare_generations(request.value(), model);
    EXPECT_TRUE(options.ok()) << options.error().message;
  }
  int taken = 0;
  run_fuzz_cases(fuzz_case_count(), [&](FuzzRandom& random) {
    const std::string body = make_body(random);
    const bool chat = body.find("\"messages\"") != std::string::npos;
    ApiResult<CompletionRequest> request = read_completion_request(body, chat != random.one_in(8));
    if (!request.ok()) {
      EXPECT_GE(request.error().status, 400);
      EXPECT_FALSE(to_text(to_json(request.error())).empty());
      return;
    }
    ApiResult<std::vector<GenerationOptions>> options = prepare_generations(request.value(), model);
    if (!options.ok()) {
      EXPECT_FALSE(options.error().message.empty());
      return;
    }
    ++taken;
    for (const GenerationOptions& one : options.value()) {
      EXPECT_TRUE(check_generation(one, kVocabulary, kContext).ok());
    }
  });
  std::printf("%d taken\n", taken);
  EXPECT_GT(taken, fuzz_case_count() / 20);
}

}  // namespace
}  // namespace pianola
