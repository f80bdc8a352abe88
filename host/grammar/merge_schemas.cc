#include "host/grammar/merge_schemas.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <vector>

#include "host/tokenizer/unicode.h"

namespace pianola {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kReferencesMax = 32;
constexpr std::size_t kAlternativesMax = 1000;

// Follows $ref to a schema that is none.
const Json* resolve(const Json& schema, const Json& root) {
  const Json* now = &schema;
  for (int i = 0; i < kReferencesMax && now != nullptr && now->is_object() && now->contains("$ref");
       ++i) {
    now = (*now)["$ref"].is_string() ? find_reference(root, (*now)["$ref"].get<std::string>())
                                     : nullptr;
  }
  return now;
}

// The values that const or enum leave; none if neither is there.
std::optional<Json> listed_values(const Json& schema) {
  if (schema.contains("const")) return Json::array({schema["const"]});
  if (schema.contains("enum") && schema["enum"].is_array()) return schema["enum"];
  return std::nullopt;
}

bool share_value(const Json& a, const Json& b) {
  return std::any_of(a.begin(), a.end(), [&](const Json& value) {
    return std::find(b.begin(), b.end(), value) != b.end();
  });
}

std::set<std::string> types_of(const Json& schema) {
  std::set<std::string> types;
  const Json type = schema.contains("type") ? schema["type"] : Json();
  for (const Json& name : type.is_array() ? type : Json::array({type})) {
    if (!name.is_string()) return {};
    types.insert(name == "integer" ? "number" : name.get<std::string>());
  }
  return types;
}

bool excludes(const Json& a, const Json& b, const Json& root) {
  const auto values = listed_values(a), others = listed_values(b);
  if (values && others) return !share_value(*values, *others);
  const std::set<std::string> types = types_of(a), other_types = types_of(b);
  if (values || others) {
    const Json& listed = values ? *values : *others;
    const std::set<std::string>& against = values ? other_types : types;
    return !against.empty() && std::none_of(listed.begin(), listed.end(), [&](const Json& value) {
      return std::any_of(against.begin(), against.end(),
                         [&](const std::string& type) { return has_type(value, type); });
    });
  }
  if (types.empty() || other_types.empty()) return false;
  std::vector<std::string> common;
  std::set_intersection(types.begin(), types.end(), other_types.begin(), other_types.end(),
                        std::back_inserter(common));
  if (common.empty()) return true;
  if (common != std::vector<std::string>{"object"}) return false;
  for (const Json* schema : {&a, &b}) {
    if (!schema->contains("properties") || !schema->contains("required")) return false;
    if (!(*schema)["properties"].is_object() || !(*schema)["required"].is_array()) return false;
  }
  for (const auto& [name, property] : a["properties"].items()) {
    const auto requires_it = [&](const Json& schema) {
      return std::find(schema["required"].begin(), schema["required"].end(), Json(name)) !=
             schema["required"].end();
    };
    if (!b["properties"].contains(name) || !requires_it(a) || !requires_it(b)) continue;
    const Json* mine = resolve(property, root);
    const Json* other = resolve(b["properties"][name], root);
    if (mine == nullptr || other == nullptr || !mine->is_object() || !other->is_object()) continue;
    const auto kinds = listed_values(*mine), other_kinds = listed_values(*other);
    if (kinds && other_kinds && !share_value(*kinds, *other_kinds)) return true;
  }
  return false;
}

Error cannot_merge(const std::string& key) {
  return {ErrorCode::Unsupported,
          "'" + key.substr(0, 60) + "' cannot be merged from several schemas; write one schema",
          "JSON schema, allOf"};
}

Status merge_into(Json& merged, const Json& schema) {
  for (const auto& [key, value] : schema.items()) {
    if (is_annotation(key)) continue;
    if (!merged.contains(key)) {
      merged[key] = value;
    } else if (key == "properties" && value.is_object() && merged[key].is_object()) {
      for (const auto& [name, property] : value.items()) {
        if (merged[key].contains(name) && merged[key][name] != property)
          return cannot_merge("properties/" + name);
        merged[key][name] = property;
      }
    } else if (key == "required" && value.is_array() && merged[key].is_array()) {
      for (const Json& name : value) merged[key].push_back(name);
    } else if (merged[key] != value) {
      return cannot_merge(key);
    }
  }
  return Ok{};
}

}  // namespace

bool is_annotation(std::string_view key) {
  static const std::set<std::string_view> kAnnotations = {
      "title",    "description", "default",  "examples",  "example", "$schema",    "id",
      "$comment", "deprecated",  "readOnly", "writeOnly", "$defs",   "definitions"};
  return kAnnotations.contains(key);
}

bool has_type(const Json& value, std::string_view type) {
  if (type == "null") return value.is_null();
  if (type == "boolean") return value.is_boolean();
  if (type == "string") return value.is_string();
  if (type == "array") return value.is_array();
  if (type == "object") return value.is_object();
  if (type == "number") return value.is_number();
  return value.is_number_integer() ||
         (value.is_number_float() && value.get<double>() == std::floor(value.get<double>()));
}

const Json* find_reference(const Json& root, const std::string& reference) {
  if (!reference.starts_with('#')) return nullptr;
  const Json* now = &root;
  for (std::size_t at = 1; at < reference.size();) {
    if (reference[at] != '/') return nullptr;
    const std::size_t end = std::min(reference.find('/', at + 1), reference.size());
    std::string name;
    for (std::size_t i = at + 1; i < end; ++i) {  // ~1 is /, ~0 is ~
      const bool is_escape = reference[i] == '~' && i + 1 < end &&
                             (reference[i + 1] == '0' || reference[i + 1] == '1');
      name += is_escape ? (reference[++i] == '1' ? '/' : '~') : reference[i];
    }
    if (!now->is_object() || !now->contains(name)) return nullptr;
    now = &(*now)[name];
    at = end;
  }
  return now;
}

bool are_disjoint(const Json& schemas, const Json& root) {
  if (schemas.size() > kAlternativesMax) return false;
  std::vector<const Json*> resolved;
  for (const Json& schema : schemas) {
    const Json* target = resolve(schema, root);
    if (target == nullptr || !target->is_object()) return schemas.size() == 1;
    resolved.push_back(target);
  }
  for (std::size_t i = 0; i < resolved.size(); ++i) {
    for (std::size_t k = 0; k < i; ++k) {
      if (!excludes(*resolved[i], *resolved[k], root)) return false;
    }
  }
  return true;
}

Result<Json> merge_all_of(const Json& schema, const Json& root) {
  if (!schema["allOf"].is_array() || schema["allOf"].empty()) {
    return Error{ErrorCode::Malformed, "must be an array of schemas", "JSON schema, allOf"};
  }
  Json merged = Json::object();
  Json rest = schema;
  rest.erase("allOf");
  const bool is_alone = schema["allOf"].size() == 1 &&
                        std::all_of(rest.items().begin(), rest.items().end(),
                                    [](const auto& item) { return is_annotation(item.key()); });
  if (is_alone) return schema["allOf"][0];
  TRY_STATUS(merge_into(merged, rest));
  for (const Json& part : schema["allOf"]) {
    const Json* target = resolve(part, root);
    if (target == nullptr || !target->is_object()) {
      return Error{ErrorCode::Unsupported, "its parts must be schemas that are objects",
                   "JSON schema, allOf"};
    }
    if (target != &part && part.size() > 1) return cannot_merge("$ref");
    // A closed part would refuse the properties of the others.
    if (target->contains("additionalProperties")) return cannot_merge("additionalProperties");
    if (target->contains("allOf") || target->contains("$ref")) return cannot_merge("allOf");
    TRY_STATUS(merge_into(merged, *target));
  }
  return merged;
}

char32_t first_character(std::string_view text) { return decode_utf8(text, 0).code; }

std::size_t utf8_size(char first) {
  const auto byte = static_cast<unsigned char>(first);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

}  // namespace pianola
