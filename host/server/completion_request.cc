#include "host/server/completion_request.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <set>

#include "host/generation.h"
#include "host/server/body_fields.h"

namespace pianola {
namespace {

constexpr int kIntMax = std::numeric_limits<int>::max();
constexpr std::size_t kPromptsMax = kChoicesMax;
constexpr std::size_t kToolsMax = 128;
constexpr std::size_t kToolNameBytesMax = 64;

void read_sampling(BodyFields& fields, CompletionRequest& request) {
  const auto real = [&](const char* name, float& value, double least, double most) {
    if (const auto given = fields.number(name, least, most)) value = static_cast<float>(*given);
  };
  request.temperature = fields.number("temperature", 0, 100);
  real("top_p", request.sampler.top_p, 0, 1);
  if (request.sampler.top_p == 0) {  // only the likeliest
    request.sampler.top_p = 1;
    request.sampler.top_k = 1;
  }
  if (const auto top_k = fields.integer("top_k", 0, kIntMax); top_k && request.sampler.top_k != 1) {
    request.sampler.top_k = static_cast<int>(*top_k);
  }
  real("min_p", request.sampler.min_p, 0, 1);
  if (const auto seed = fields.integer("seed", INT64_MIN, INT64_MAX)) {
    request.sampler.seed = static_cast<std::uint64_t>(*seed);
  }
  real("repetition_penalty", request.adjustments.repetition_penalty, 0.01, 100);
  real("presence_penalty", request.adjustments.presence_penalty, -2, 2);
  real("frequency_penalty", request.adjustments.frequency_penalty, -2, 2);
}

void read_logit_bias(BodyFields& fields, CompletionRequest& request) {
  const Json* bias = fields.find("logit_bias");
  if (bias == nullptr) return;
  if (!bias->is_object()) return fields.fail("logit_bias", "expected an object of ids and numbers");
  for (const auto& [key, value] : bias->items()) {
    int id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || id < 0) {
      return fields.fail("logit_bias", "the keys must be token ids, written as decimal numbers");
    }
    if (!value.is_number() || !(value.get<double>() >= -100 && value.get<double>() <= 100)) {
      return fields.fail("logit_bias", "expected numbers from -100 to 100, found " + value.dump());
    }
    request.adjustments.bias[id] = value.get<float>();
  }
}

void read_stop(BodyFields& fields, CompletionRequest& request) {
  request.stop = fields.texts("stop", kStopStringsMax);
  for (const std::string& stop : request.stop) {
    if (stop.empty() || stop.size() > kStopBytesMax) {
      return fields.fail("stop", "expected strings of 1 to " + std::to_string(kStopBytesMax) +
                                     " bytes, found one of " + std::to_string(stop.size()));
    }
  }
}

void read_stream(BodyFields& fields, CompletionRequest& request) {
  request.stream = fields.boolean("stream").value_or(false);
  const Json* options = fields.find("stream_options");
  if (options == nullptr) return;
  if (!request.stream) return fields.fail("stream_options", "only with \"stream\": true");
  BodyFields inner(*options, "stream_options.");
  request.include_usage = inner.boolean("include_usage").value_or(false);
  inner.ignore("include_obfuscation");
  if (const auto error = inner.error()) fields.fail("stream_options", error->message, error->code);
}

// What all completions have.
void read_common(BodyFields& fields, CompletionRequest& request) {
  request.model = fields.text("model").value_or("");
  if (const auto n = fields.integer("n", 1, kChoicesMax)) request.n = static_cast<int>(*n);
  read_sampling(fields, request);
  read_logit_bias(fields, request);
  read_stop(fields, request);
  read_stream(fields, request);
  request.ignore_eos = fields.boolean("ignore_eos").value_or(false);
  request.reuse_prefix = fields.boolean("cache_prompt").value_or(true);
  request.deadline_ms = fields.number("deadline_ms", 0, 1e12);
  fields.find("response_format");
  request.grammar = fields.text("grammar").value_or("");
  for (const char* name : {"user", "metadata", "store", "service_tier", "safety_identifier",
                           "prompt_cache_key", "prompt_cache_retention"}) {
    fields.ignore(name);
  }
}

void check_messages(BodyFields& fields, const Json* messages) {
  if (messages == nullptr || !messages->is_array() || messages->empty()) {
    return fields.fail("messages", "expected an array of at least one message");
  }
  for (const Json& message : *messages) {
    const Json* role = find_member(message, "role");
    if (role == nullptr || !role->is_string()) {
      return fields.fail("messages", "every message must be an object with a role");
    }
  }
}

bool is_function_name(std::string_view name) {
  const auto is_allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  };
  return !name.empty() && name.size() <= kToolNameBytesMax &&
         std::all_of(name.begin(), name.end(), is_allowed);
}

// The function's name, of {"type": "function", "function": {"name"}}; empty: it is none.
std::string function_name(const Json& tool) {
  const Json* type = find_member(tool, "type");
  const Json* function = find_member(tool, "function");
  const Json* name = function == nullptr ? nullptr : find_member(*function, "name");
  const bool is_named = type != nullptr && *type == "function" && name != nullptr &&
                        name->is_string() && is_function_name(name->get_ref<const std::string&>());
  return is_named ? name->get<std::string>() : std::string();
}

void read_tool_choice(BodyFields& fields, const std::set<std::string>& names,
                      CompletionRequest& request) {
  const Json* choice = fields.find("tool_choice");
  if (choice == nullptr || *choice == "auto") return;
  if (*choice == "none") {
    request.tool_choice = ToolChoice::None;
    return;
  }
  if (*choice != "required") {
    request.tool_name = function_name(*choice);
    if (request.tool_name.empty()) {
      return fields.fail("tool_choice",
                         "expected \"auto\", \"none\", \"required\", or {\"type\": \"function\", "
                         "\"function\": {\"name\": ...}}");
    }
    if (!names.contains(request.tool_name)) {
      return fields.fail("tool_choice", "no tool is named " + request.tool_name);
    }
  }
  if (names.empty()) return fields.fail("tool_choice", "needs tools that can be called");
  request.tool_choice = ToolChoice::Required;
}

void read_tools(BodyFields& fields, CompletionRequest& request) {
  const Json* tools = fields.find("tools");
  std::set<std::string> names;
  bool strict = false;
  if (tools != nullptr) {
    if (!tools->is_array() || tools->size() > kToolsMax) {
      return fields.fail("tools",
                         "expected an array of at most " + std::to_string(kToolsMax) + " tools");
    }
    for (const Json& tool : *tools) {
      const std::string name = function_name(tool);
      if (name.empty()) {
        return fields.fail(
            "tools",
            "every tool must be {\"type\": \"function\", \"function\": {\"name\": ..., "
            "\"parameters\": ...}}, its name of at most " +
                std::to_string(kToolNameBytesMax) + " letters, digits, _, - and .");
      }
      if (!names.insert(name).second) return fields.fail("tools", "two are named " + name);
      const Json* flag = find_member(tool["function"], "strict");
      strict = strict || (flag != nullptr && *flag == true);
    }
  }
  read_tool_choice(fields, names, request);
  request.parallel_tool_calls = fields.boolean("parallel_tool_calls").value_or(true);
  if (request.tool_choice == ToolChoice::Required) return;
  if (!request.parallel_tool_calls) {
    return fields.fail("parallel_tool_calls",
                       "false is only supported where tool_choice makes the model call a tool");
  }
  if (strict) request.ignored.emplace_back("tools.function.strict");  // such calls are not masked
}

void read_chat(BodyFields& fields, CompletionRequest& request) {
  const Json* messages = fields.find("messages");
  const Json* variables = fields.find("chat_template_kwargs");
  check_messages(fields, messages);
  read_tools(fields, request);
  if (variables != nullptr && !variables->is_object()) {
    return fields.fail("chat_template_kwargs", "expected an object");
  }
  if (const Json* modalities = fields.find("modalities");
      modalities != nullptr && *modalities != Json::array({"text"})) {
    return fields.fail("modalities", "only [\"text\"] is supported");
  }
  const auto older = fields.integer("max_tokens", 1, kIntMax);
  const auto newer = fields.integer("max_completion_tokens", 1, kIntMax);
  if (newer || older) request.tokens_max = static_cast<int>(newer ? *newer : *older);
  const bool logprobs = fields.boolean("logprobs").value_or(false);
  const auto top = fields.integer("top_logprobs", 0, kTopLogprobsMax);
  if (top && !logprobs) return fields.fail("top_logprobs", "only with \"logprobs\": true");
  if (logprobs) request.top_logprobs = static_cast<int>(top.value_or(0));
}

// Once more, with the order of the keys: templates show it, and schemas mean it.
void read_ordered(std::string_view body, CompletionRequest& request) {
  OrderedJson ordered = OrderedJson::parse(body, nullptr, /*allow_exceptions=*/false);
  const auto take = [&](const char* name, OrderedJson& to) {
    if (ordered.contains(name) && !ordered[name].is_null()) to = std::move(ordered[name]);
  };
  take("response_format", request.response_format);
  if (!request.chat) return;
  take("messages", request.messages);
  take("tools", request.tools);
  if (request.tools.is_array() && request.tools.empty()) request.tools = nullptr;
  take("chat_template_kwargs", request.template_variables);
}

bool is_id(const Json& value) {
  return value.is_number_unsigned() &&
         value.get<std::uint64_t>() <= static_cast<std::uint64_t>(kIntMax);
}

// A text, texts, ids, or lists of ids.
void read_prompts(BodyFields& fields, CompletionRequest& request) {
  const Json* prompt = fields.find("prompt");
  const char* expected = "expected a string, an array of strings, of token ids, or of such arrays";
  if (prompt == nullptr) return fields.fail("prompt", expected, "missing_parameter");
  const auto ids_of = [](const Json& list) {
    std::vector<int> ids;
    for (const Json& id : list) ids.push_back(is_id(id) ? id.get<int>() : -1);
    return ids;
  };
  if (prompt->is_string()) {
    request.prompts.emplace_back(prompt->get<std::string>());
  } else if (!prompt->is_array() || prompt->empty()) {
    fields.fail("prompt", expected);
  } else if (prompt->front().is_number()) {
    request.prompts.emplace_back(ids_of(*prompt));
  } else if (prompt->size() > kPromptsMax) {
    fields.fail("prompt", "at most " + std::to_string(kPromptsMax) + " prompts are accepted");
  } else {
    for (const Json& item : *prompt) {
      if (item.is_string()) {
        request.prompts.emplace_back(item.get<std::string>());
      } else if (item.is_array()) {
        request.prompts.emplace_back(ids_of(item));
      } else {
        return fields.fail("prompt", expected);
      }
    }
  }
}

void read_text(BodyFields& fields, CompletionRequest& request) {
  read_prompts(fields, request);
  request.echo = fields.boolean("echo").value_or(false);
  const auto tokens = fields.integer("max_tokens", request.echo ? 0 : 1, kIntMax);
  request.tokens_max = static_cast<int>(tokens.value_or(16));  // as OpenAI has it
  if (const auto top = fields.integer("logprobs", 0, kTopLogprobsMax)) {
    request.top_logprobs = static_cast<int>(*top);
  }
  if (const auto best_of = fields.integer("best_of", 1, kChoicesMax);
      best_of && *best_of != request.n) {
    fields.fail("best_of", "only the value of n is supported");
  }
  if (!fields.text("suffix").value_or("").empty()) fields.fail("suffix", "not supported");
  if (request.prompts.size() * static_cast<std::size_t>(request.n) > kChoicesMax) {
    fields.fail("n", "at most " + std::to_string(kChoicesMax) + " choices in all");
  }
}

}  // namespace

ApiResult<Json> parse_body(std::string_view body) {
  Result<Json> json = parse_json(body, "request body", {.depth_max = 64, .values_max = 1'000'000});
  if (json.ok()) return std::move(json).value();
  return ApiError{400, to_string(json.error()), {}, "invalid_json"};
}

ApiResult<CompletionRequest> read_completion_request(std::string_view body, bool chat) {
  ApiResult<Json> json = parse_body(body);
  if (!json.ok()) return json.error();
  BodyFields fields(json.value());
  CompletionRequest request;
  request.chat = chat;
  if (!fields.error() || json.value().is_object()) {
    read_common(fields, request);
    if (chat) {
      read_chat(fields, request);
    } else {
      read_text(fields, request);
    }
  }
  if (auto error = fields.error()) return std::move(*error);
  read_ordered(body, request);
  request.ignored.insert(request.ignored.begin(), fields.ignored().begin(), fields.ignored().end());
  return request;
}

}  // namespace pianola
