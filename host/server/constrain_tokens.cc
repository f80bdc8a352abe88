#include "host/server/constrain_tokens.h"

namespace pianola {

ApiResult<std::unique_ptr<TokenConstraint>> make_constraint(const CompletionRequest& request,
                                                            const ServedModel&) {
  const OrderedJson& format = request.response_format;
  const bool any_text =
      format.is_null() || (format.is_object() && format.value("type", OrderedJson()) == "text");
  if (!any_text) {
    return ApiError{400, "response_format: only {\"type\": \"text\"} is supported",
                    "response_format", "unsupported_parameter"};
  }
  if (!request.grammar.empty()) {
    return ApiError{400, "grammar: not supported", "grammar", "unsupported_parameter"};
  }
  return std::unique_ptr<TokenConstraint>();
}

}  // namespace pianola
