// Errors as OpenAI's clients understand them: an HTTP status and an object with message, type,
// param and code.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "isa/result.h"

namespace pianola {

using OrderedJson = nlohmann::ordered_json;

struct ApiError {
  int status = 400;
  std::string message;
  std::string param{};  // the parameter at fault; empty: none
  std::string code{};   // stable, for programs; empty: none
};

// "invalid_request_error" and so on, by the status.
std::string error_type(int status);
// {"error": {"message", "type", "param", "code"}}
OrderedJson to_json(const ApiError& error);
// A text as JSON; bytes that are no UTF-8 become U+FFFD.
std::string to_text(const OrderedJson& json);

// A value, or what is wrong with the request.
template <typename T>
class [[nodiscard]] ApiResult {
 public:
  ApiResult(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  ApiResult(ApiError error) : state_(std::in_place_index<1>, std::move(error)) {}
  bool ok() const { return state_.index() == 0; }
  T& value() { return std::get<0>(state_); }
  const T& value() const { return std::get<0>(state_); }
  const ApiError& error() const { return std::get<1>(state_); }

 private:
  std::variant<T, ApiError> state_;
};

// What the engine or a parser refused. `param` where the error names no place that is a parameter.
ApiError to_api_error(const Error& error, std::string param = {});

}  // namespace pianola
