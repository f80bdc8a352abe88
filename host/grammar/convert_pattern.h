// Regular expressions of JSON Schema's `pattern`, as the characters of a JSON string.
#pragma once

#include <string_view>

#include "host/grammar/json_rules.h"
#include "isa/result.h"

namespace pianola {

// What lies between the quotes. The subset: characters and escapes, `.`, classes, \d \w \s (ASCII)
// and their complements, groups, |, * + ? {m,n}, and ^ and $ at the ends. As JSON Schema says, a
// pattern without ^ and $ may match anywhere. Errors: Malformed; Unsupported (look-around,
// back-references, ...).
Result<GrammarBuilder::Sequence> convert_pattern(std::string_view pattern, GrammarBuilder& builder,
                                                 JsonRules& rules);

}  // namespace pianola
