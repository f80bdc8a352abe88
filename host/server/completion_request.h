// The bodies of POST /v1/chat/completions and /v1/completions, read strictly: wrong types, values
// out of range and unknown parameters are errors; what has no effect here is listed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "formats/parse_json.h"
#include "host/adjust_logits.h"
#include "host/sampler.h"
#include "host/server/api_error.h"

namespace pianola {

inline constexpr int kChoicesMax = 64;  // of one request
inline constexpr int kStopStringsMax = 16;
inline constexpr std::size_t kStopBytesMax = 1024;  // of one stop string

enum class ToolChoice { Auto, None, Required };

struct CompletionRequest {
  bool chat = false;
  std::string model;  // empty: not named
  OrderedJson messages = OrderedJson::array(), tools;
  ToolChoice tool_choice = ToolChoice::Auto;
  std::string tool_name;            // the only one that may be called; empty: any
  bool parallel_tool_calls = true;  // more than one call in an answer
  OrderedJson template_variables = OrderedJson::object();
  std::vector<std::variant<std::string, std::vector<int>>> prompts;
  int n = 1;
  bool stream = false, include_usage = false, echo = false;
  std::optional<int> tokens_max;
  std::optional<double> temperature;  // nothing: 1, or 0 where the machine chooses
  SamplerOptions sampler;             // all but the temperature
  LogitAdjustments adjustments;
  std::vector<std::string> stop;
  int top_logprobs = -1;  // -1: none
  bool ignore_eos = false, reuse_prefix = true;
  std::optional<double> deadline_ms;
  OrderedJson response_format;  // null: any text
  std::string grammar;          // empty: none
  std::vector<std::string> ignored;
};

// JSON of at most the depth and number of values that requests need.
ApiResult<Json> parse_body(std::string_view body);
ApiResult<CompletionRequest> read_completion_request(std::string_view body, bool chat);

}  // namespace pianola
