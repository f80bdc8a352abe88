// What can be said of JSON schemas without building a grammar: their references, whether
// alternatives exclude each other, and several that must all hold as one.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "isa/result.h"

namespace pianola {

// Keywords that say nothing about which values are valid.
bool is_annotation(std::string_view key);

// JSON Schema's types; an integral number is an integer, too.
bool has_type(const nlohmann::ordered_json& value, std::string_view type);

// The schema at "#" or "#/..." in `root`; nullptr where there is none.
const nlohmann::ordered_json* find_reference(const nlohmann::ordered_json& root,
                                             const std::string& reference);

// True if no value can satisfy two of the schemas, as far as types, const, enum and required
// properties with a const or enum show it.
bool are_disjoint(const nlohmann::ordered_json& schemas, const nlohmann::ordered_json& root);

// The schema with its `allOf` merged in. Errors: Malformed, Unsupported (keywords that do not
// merge).
Result<nlohmann::ordered_json> merge_all_of(const nlohmann::ordered_json& schema,
                                            const nlohmann::ordered_json& root);

// The first character of a valid text, and the size of one by its first byte.
char32_t first_character(std::string_view text);
std::size_t utf8_size(char first);

}  // namespace pianola
