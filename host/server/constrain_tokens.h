// response_format and grammar, as a constraint on the tokens of one generation.
#pragma once

#include <memory>

#include "host/server/api_error.h"
#include "host/server/completion_request.h"
#include "host/token_constraint.h"

namespace pianola {

struct ServedModel;

// Null: any text. Never fails open: what cannot be kept to is an error.
ApiResult<std::unique_ptr<TokenConstraint>> make_constraint(const CompletionRequest& request,
                                                            const ServedModel& model);

}  // namespace pianola
