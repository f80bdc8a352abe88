#include "host/server/constrain_tokens.h"

#include <algorithm>
#include <initializer_list>
#include <string_view>
#include <utility>

namespace pianola {
namespace {

ApiError wrong_format(std::string message) {
  return {400, "response_format: " + std::move(message), "response_format", "invalid_value"};
}

// The first member of an object that is none of these; empty: there is no such member.
std::string unknown_member(const OrderedJson& object,
                           std::initializer_list<std::string_view> known) {
  for (const auto& [name, value] : object.items()) {
    if (std::find(known.begin(), known.end(), name) == known.end()) return name;
  }
  return {};
}

ApiResult<std::optional<Grammar>> grammar_of_format(const OrderedJson& format) {
  if (format.is_null()) return std::optional<Grammar>();
  const OrderedJson type = format.is_object() ? format.value("type", OrderedJson()) : OrderedJson();
  if (const auto name = unknown_member(format, {"type", "json_schema"}); !name.empty()) {
    return wrong_format("unknown member " + name);
  }
  if (type == "text") return std::optional<Grammar>();
  if (type == "json_object") return std::optional<Grammar>(Grammar::json_object());
  if (type != "json_schema") {
    return wrong_format("expected the type text, json_object or json_schema");
  }
  const auto named = format.find("json_schema");
  if (named == format.end() || !named->is_object() || !named->contains("schema")) {
    return wrong_format("expected an object json_schema with a schema");
  }
  const auto name = unknown_member(*named, {"name", "description", "schema", "strict"});
  if (!name.empty()) return wrong_format("unknown member json_schema." + name);
  Result<Grammar> grammar = Grammar::from_json_schema((*named)["schema"]);
  if (!grammar.ok()) return wrong_format(to_string(grammar.error()));
  return std::optional<Grammar>(std::move(*grammar));
}

}  // namespace

ApiResult<std::optional<Grammar>> grammar_of(const CompletionRequest& request) {
  ApiResult<std::optional<Grammar>> grammar = grammar_of_format(request.response_format);
  if (!grammar.ok()) return grammar.error();
  if (!request.grammar.empty()) {
    if (grammar.value()) return wrong_format("cannot be kept to together with a grammar");
    Result<Grammar> parsed = Grammar::parse(request.grammar);
    if (!parsed.ok()) return ApiError{400, to_string(parsed.error()), "grammar", "invalid_value"};
    grammar.value() = std::move(*parsed);
  }
  if (grammar.value() && request.ignore_eos) {
    return ApiError{400, "ignore_eos: a text that keeps to a grammar must be able to end",
                    "ignore_eos", "invalid_value"};
  }
  return grammar;
}

}  // namespace pianola
