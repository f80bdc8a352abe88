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

// What a tool takes: a schema whose values are objects.
ApiResult<OrderedJson> schema_of_parameters(const OrderedJson& function) {
  OrderedJson schema = function.value("parameters", OrderedJson());
  if (schema.is_null()) return OrderedJson{{"type", "object"}, {"additionalProperties", false}};
  if (schema.is_object() && schema.empty()) schema["type"] = "object";
  if (schema.is_object() && schema.value("type", OrderedJson()) == "object") return schema;
  return ApiError{400,
                  "tools: the parameters of " + function["name"].get<std::string>() +
                      " must be a schema with \"type\": \"object\" for a call that is required",
                  "tools", "invalid_value"};
}

// One call or more, and nothing else.
ApiResult<std::optional<Grammar>> grammar_of_calls(const CompletionRequest& request,
                                                   ToolCallFormat format) {
  if (format == ToolCallFormat::None) {
    return ApiError{400,
                    "tool_choice: the chat template of this model does not tell how it writes "
                    "calls; \"auto\" and \"none\" are supported",
                    "tool_choice", "unsupported_parameter"};
  }
  const ToolCallForm form = tool_call_form(format);
  std::vector<FramedSchema> calls;
  for (const OrderedJson& tool : request.tools) {
    const OrderedJson& function = tool["function"];
    const std::string name = function["name"].get<std::string>();
    if (!request.tool_name.empty() && name != request.tool_name) continue;
    ApiResult<OrderedJson> schema = schema_of_parameters(function);
    if (!schema.ok()) return schema.error();
    calls.push_back({std::string(form.before_name) + name + std::string(form.before_arguments),
                     std::move(schema.value()), std::string(form.after_arguments)});
  }
  const bool several = request.parallel_tool_calls && request.tool_name.empty();
  Result<Grammar> grammar =
      Grammar::from_framed_schemas(calls, {.begin = std::string(form.begin),
                                           .separator = std::string(form.separator),
                                           .end = std::string(form.end),
                                           .items_max = several ? form.calls_max : 1});
  if (!grammar.ok()) {
    return ApiError{400, "tools: " + to_string(grammar.error()), "tools", "invalid_value"};
  }
  return std::optional<Grammar>(std::move(*grammar));
}

}  // namespace

ApiResult<std::optional<Grammar>> grammar_of(const CompletionRequest& request,
                                             ToolCallFormat format) {
  ApiResult<std::optional<Grammar>> grammar = grammar_of_format(request.response_format);
  if (!grammar.ok()) return grammar.error();
  if (request.tool_choice == ToolChoice::Required) {
    if (grammar.value() || !request.grammar.empty()) {
      return ApiError{400,
                      "tool_choice: a call cannot be required together with a response_format or a "
                      "grammar",
                      "tool_choice", "invalid_value"};
    }
    grammar = grammar_of_calls(request, format);
    if (!grammar.ok()) return grammar.error();
  }
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
