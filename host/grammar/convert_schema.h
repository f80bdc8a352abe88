// A JSON schema's values as grammar symbols.
#pragma once

#include "host/grammar/json_rules.h"

namespace pianola {

// References are within the schema. Errors as of Grammar::from_json_schema.
Result<GrammarBuilder::Sequence> convert_schema(const nlohmann::ordered_json& schema,
                                                GrammarBuilder& builder, JsonRules& rules);

// GrammarBuilder::finish, whose errors then are the schema's.
Result<Grammar> finish_schema(GrammarBuilder& builder, GrammarSymbol root);

}  // namespace pianola
