#include "host/server/api_error.h"

namespace pianola {

std::string error_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    default:
      return status < 500 ? "invalid_request_error" : "server_error";
  }
}

OrderedJson to_json(const ApiError& error) {
  OrderedJson inner = {{"message", error.message}, {"type", error_type(error.status)}};
  inner["param"] = error.param.empty() ? OrderedJson(nullptr) : OrderedJson(error.param);
  inner["code"] = error.code.empty() ? OrderedJson(nullptr) : OrderedJson(error.code);
  return {{"error", std::move(inner)}};
}

std::string to_text(const OrderedJson& json) {
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

ApiError to_api_error(const Error& error, std::string param) {
  if (error.where == "deadline") {
    return {422, error.message, "deadline_ms", "deadline_cannot_be_met"};
  }
  ApiError out{400, error.message, std::move(param), {}};
  if (error.where == "grammar") return out;  // the request's own, whatever it does not go with
  switch (error.code) {
    case ErrorCode::OutOfRange:
      if (error.where == "max_tokens") {
        out.param = "messages";
        out.code = "context_length_exceeded";
      }
      break;
    case ErrorCode::NotFound:
      out.status = 404;
      break;
    case ErrorCode::Mismatch:
    case ErrorCode::Io:
      out.status = 500;
      break;
    case ErrorCode::InvalidArgument:
    case ErrorCode::Malformed:
    case ErrorCode::Unsupported:
      break;
  }
  return out;
}

}  // namespace pianola
