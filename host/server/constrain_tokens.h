// response_format, grammar and tool_choice of a request, as the grammar that its text is held to.
#pragma once

#include <optional>

#include "host/grammar/grammar.h"
#include "host/server/api_error.h"
#include "host/server/completion_request.h"
#include "host/template/tool_calls.h"

namespace pianola {

// Null: any text. `format` is that of the model's calls. Never fails open: what cannot be kept to
// is an error.
ApiResult<std::optional<Grammar>> grammar_of(const CompletionRequest& request,
                                             ToolCallFormat format);

}  // namespace pianola
