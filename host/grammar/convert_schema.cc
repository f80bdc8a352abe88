// JSON Schema as a grammar. Every keyword is kept to, known to be an annotation, or refused.
#include "host/grammar/convert_schema.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "host/grammar/convert_pattern.h"
#include "host/grammar/merge_schemas.h"

namespace pianola {
namespace {

using Json = nlohmann::ordered_json;
using Sequence = GrammarBuilder::Sequence;

constexpr int kDepthMax = 64;
constexpr std::int64_t kCountMax = 10'000;

const std::set<std::string_view> kStringKeys = {"minLength", "maxLength", "pattern", "format"};
const std::set<std::string_view> kNumberKeys = {"minimum", "maximum", "exclusiveMinimum",
                                                "exclusiveMaximum", "multipleOf"};
const std::set<std::string_view> kArrayKeys = {"items", "prefixItems", "minItems", "maxItems",
                                               "uniqueItems"};
const std::set<std::string_view> kObjectKeys = {"properties", "required", "additionalProperties"};
// RFC 3339, from the year 1000 on.
const std::string kDate =
    R"(^[1-9]\d{3}-((0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31))";
const std::string kTime =
    R"(([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d))";
const std::map<std::string_view, std::string> kFormats = {
    {"date", kDate + "$"},
    {"time", "^" + kTime + "$"},
    {"date-time", kDate + "T" + kTime + "$"},
    {"uuid", R"(^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$)"},
};

class SchemaConverter {
 public:
  SchemaConverter(const Json& root, GrammarBuilder& builder, JsonRules& rules)
      : root_(root), builder_(builder), rules_(rules) {}

  Result<Sequence> convert() { return convert_value(root_, "#", 0); }

 private:
  using Part = Result<Sequence>;

  static Error wrong(ErrorCode code, const std::string& where, const std::string& message) {
    return {code, message, "JSON schema, " + where.substr(0, 300)};
  }

  // The keywords that constrain: all must be in one of the sets.
  Status check_keys(const Json& schema, const std::string& where,
                    const std::vector<const std::set<std::string_view>*>& allowed) const {
    for (const auto& [key, value] : schema.items()) {
      const bool names_all =
          key == "$id" && &schema == &root_;  // elsewhere it changes what # means
      if (is_annotation(key) || key == "type" || names_all) continue;
      const bool is_known = std::any_of(allowed.begin(), allowed.end(),
                                        [&](const auto* keys) { return keys->contains(key); });
      if (!is_known) {
        return wrong(ErrorCode::Unsupported, where,
                     "'" + key.substr(0, 60) +
                         "' is not supported here; leave it out, or say it with other keywords");
      }
    }
    return Ok{};
  }

  Part convert_value(const Json& schema, const std::string& where, int depth) {
    if (depth > kDepthMax)
      return wrong(ErrorCode::OutOfRange, where, "nested deeper than " + std::to_string(kDepthMax));
    if (builder_.is_over()) return Sequence{};
    if (schema.is_boolean() && schema.get<bool>()) return Sequence{rules_.any_value()};
    if (schema.is_boolean())
      return wrong(ErrorCode::Mismatch, where, "false: nothing satisfies this");
    if (!schema.is_object())
      return wrong(ErrorCode::Malformed, where, "a schema must be an object, true or false");
    static const std::set<std::string_view> kRef = {"$ref"}, kAnyOf = {"anyOf"}, kOneOf = {"oneOf"};
    if (schema.contains("$ref")) {
      TRY_STATUS(check_keys(schema, where, {&kRef}));
      return convert_reference(schema["$ref"], where + "/$ref", depth);
    }
    if (schema.contains("allOf")) {
      TRY(const Json merged, merge_all_of(schema, root_));
      return convert_value(merged, where + "/allOf", depth + 1);
    }
    for (const auto* keys : {&kAnyOf, &kOneOf}) {
      const std::string key(*keys->begin());
      if (!schema.contains(key)) continue;
      TRY_STATUS(check_keys(schema, where, {keys}));
      if (schema.contains("type"))
        return wrong(ErrorCode::Unsupported, where,
                     "'type' beside '" + key + "'; move it into the alternatives");
      return convert_alternatives(schema[key], where + "/" + key, depth, key == "oneOf");
    }
    if (schema.contains("const"))
      return convert_enum(schema, Json::array({schema["const"]}), "const", where);
    if (schema.contains("enum")) return convert_enum(schema, schema["enum"], "enum", where);
    return convert_types(schema, where, depth);
  }

  // A rule per reference, so that schemas may refer to themselves.
  Part convert_reference(const Json& reference, const std::string& where, int depth) {
    if (!reference.is_string()) return wrong(ErrorCode::Malformed, where, "must be a string");
    const std::string& name = reference.get_ref<const std::string&>();
    if (const auto known = references_.find(name); known != references_.end())
      return Sequence{known->second};
    const Json* target = find_reference(root_, name);
    if (target == nullptr) {
      return wrong(ErrorCode::Unsupported, where,
                   "'" + name.substr(0, 100) +
                       "' leads nowhere; references go to #/$defs/... of this schema");
    }
    const GrammarSymbol rule = builder_.declare(name);
    references_.emplace(name, rule);
    TRY(const Sequence value, convert_value(*target, name, depth + 1));
    builder_.define(rule, {value});
    return Sequence{rule};
  }

  Part convert_alternatives(const Json& schemas, const std::string& where, int depth,
                            bool exactly_one) {
    if (!schemas.is_array() || schemas.empty())
      return wrong(ErrorCode::Malformed, where, "must be an array of schemas");
    if (exactly_one && !are_disjoint(schemas, root_)) {
      return wrong(ErrorCode::Unsupported, where,
                   "alternatives that a value may satisfy two of cannot be kept apart; use anyOf, "
                   "or tell them apart by type or by a "
                   "required property with a const");
    }
    std::vector<Sequence> alternatives;
    for (std::size_t i = 0; i < schemas.size(); ++i) {
      TRY(Sequence alternative,
          convert_value(schemas[i], where + "/" + std::to_string(i), depth + 1));
      alternatives.push_back(std::move(alternative));
    }
    return Sequence{builder_.rule(std::move(alternatives))};
  }

  Part convert_enum(const Json& schema, const Json& values, const std::string& key,
                    const std::string& where) {
    static const std::set<std::string_view> kKeys = {"enum", "const"};
    TRY_STATUS(check_keys(schema, where, {&kKeys}));
    if (schema.contains("const") && schema.contains("enum"))
      return wrong(ErrorCode::Unsupported, where, "'const' beside 'enum'");
    if (!values.is_array() || values.empty())
      return wrong(ErrorCode::Malformed, where + "/" + key, "must be an array with values");
    TRY(const std::vector<std::string> types, read_types(schema, where));
    std::vector<Sequence> alternatives;
    for (const Json& value : values) {
      const bool fits =
          types.empty() || std::any_of(types.begin(), types.end(),
                                       [&](const auto& type) { return has_type(value, type); });
      if (fits) alternatives.push_back(rules_.value(value));
      if (builder_.is_over()) break;
    }
    if (alternatives.empty())
      return wrong(ErrorCode::Mismatch, where,
                   "no value of '" + key + "' has the type that 'type' asks for");
    return Sequence{builder_.rule(std::move(alternatives))};
  }

  Result<std::vector<std::string>> read_types(const Json& schema, const std::string& where) const {
    std::vector<std::string> types;
    if (!schema.contains("type")) return types;
    const Json& type = schema["type"];
    const Json list = type.is_array() ? type : Json::array({type});
    for (const Json& name : list) {
      static const std::set<std::string> kTypes = {"null",   "boolean", "integer", "number",
                                                   "string", "array",   "object"};
      if (!name.is_string() || !kTypes.contains(name.get<std::string>())) {
        return wrong(
            ErrorCode::Malformed, where + "/type",
            "must be null, boolean, integer, number, string, array, object, or an array of these");
      }
      types.push_back(name.get<std::string>());
    }
    if (types.empty())
      return wrong(ErrorCode::Mismatch, where + "/type", "an empty array: nothing satisfies this");
    return types;
  }

  Part convert_types(const Json& schema, const std::string& where, int depth) {
    TRY_STATUS(check_keys(schema, where, {&kStringKeys, &kNumberKeys, &kArrayKeys, &kObjectKeys}));
    TRY(std::vector<std::string> types, read_types(schema, where));
    const auto mentions = [&](const std::set<std::string_view>& keys) {
      return std::any_of(keys.begin(), keys.end(),
                         [&](std::string_view key) { return schema.contains(std::string(key)); });
    };
    if (types.empty()) {  // what the keywords are about; a narrower schema than the one given
      if (mentions(kObjectKeys)) types.emplace_back("object");
      if (mentions(kArrayKeys)) types.emplace_back("array");
      if (mentions(kStringKeys)) types.emplace_back("string");
      if (mentions(kNumberKeys)) types.emplace_back("number");
      if (types.empty()) return Sequence{rules_.any_value()};
    }
    std::vector<Sequence> alternatives;
    for (const std::string& type : types) {
      TRY(Sequence alternative, convert_type(type, schema, where, depth));
      alternatives.push_back(std::move(alternative));
    }
    if (alternatives.size() == 1) return alternatives[0];
    return Sequence{builder_.rule(std::move(alternatives))};
  }

  Part convert_type(const std::string& type, const Json& schema, const std::string& where,
                    int depth) {
    if (type == "null") return builder_.literal("null");
    if (type == "boolean")
      return Sequence{builder_.rule({builder_.literal("true"), builder_.literal("false")})};
    if (type == "integer") return convert_integer(schema, where);
    if (type == "number") return convert_number(schema, where);
    if (type == "string") return convert_string(schema, where);
    if (type == "array") return convert_array(schema, where, depth);
    return convert_object(schema, where, depth);
  }

  Part convert_number(const Json& schema, const std::string& where) {
    for (const std::string_view key : kNumberKeys) {
      if (schema.contains(std::string(key))) {
        return wrong(
            ErrorCode::Unsupported, where,
            "'" + std::string(key) + "' of numbers is not supported; of integers the bounds are");
      }
    }
    return Sequence{rules_.number()};
  }

  Part convert_integer(const Json& schema, const std::string& where) {
    std::int64_t first = -JsonRules::kIntegerMax, last = JsonRules::kIntegerMax;
    if (schema.contains("multipleOf") && schema["multipleOf"] != 1) {
      return wrong(ErrorCode::Unsupported, where, "'multipleOf' is not supported");
    }
    bool is_bounded = false;
    struct Limit {
      const char* key;
      int sign, step;
    };
    static constexpr Limit kLimits[] = {{"minimum", 1, 0},
                                        {"exclusiveMinimum", 1, 1},
                                        {"maximum", -1, 0},
                                        {"exclusiveMaximum", -1, 1}};
    for (const auto& [key, sign, step] : kLimits) {
      if (!schema.contains(key)) continue;
      if (!schema[key].is_number())
        return wrong(ErrorCode::Malformed, where + "/" + key, "must be a number");
      is_bounded = true;
      const double exact = schema[key].get<double>();
      const double whole = sign > 0 ? std::ceil(exact) : std::floor(exact);
      const double limit = static_cast<double>(JsonRules::kIntegerMax);
      std::int64_t bound = static_cast<std::int64_t>(std::clamp(whole, -limit, limit));
      if (schema[key].is_number_integer() && std::fabs(exact) < limit)
        bound = schema[key].get<std::int64_t>();
      if (step == 1 && whole == exact) bound += sign;
      if (sign > 0) first = std::max(first, bound);
      if (sign < 0) last = std::min(last, bound);
    }
    if (first > last)
      return wrong(ErrorCode::Mismatch, where,
                   "no integer of at most 18 digits lies between these bounds");
    return Sequence{is_bounded ? rules_.integer_between(first, last) : rules_.integer()};
  }

  // A count, or `otherwise` where the key is absent.
  Result<std::int64_t> read_count(const Json& schema, const std::string& key,
                                  std::int64_t otherwise, const std::string& where) const {
    if (!schema.contains(key)) return otherwise;
    const Json& value = schema[key];
    const bool is_count = value.is_number() && value.get<double>() >= 0 &&
                          value.get<double>() == std::floor(value.get<double>());
    if (!is_count)
      return wrong(ErrorCode::Malformed, where + "/" + key,
                   "must be an integer that is not negative");
    if (value.get<double>() > static_cast<double>(kCountMax)) {
      return wrong(ErrorCode::OutOfRange, where + "/" + key,
                   "at most " + std::to_string(kCountMax) + " is supported");
    }
    return static_cast<std::int64_t>(value.get<double>());
  }

  Part convert_string(const Json& schema, const std::string& where) {
    TRY(const std::int64_t count_min, read_count(schema, "minLength", 0, where));
    TRY(const std::int64_t count_max, read_count(schema, "maxLength", -1, where));
    if (count_max >= 0 && count_min > count_max)
      return wrong(ErrorCode::Mismatch, where, "minLength is above maxLength");
    std::string pattern;
    for (const char* key : {"pattern", "format"}) {
      if (!schema.contains(key)) continue;
      if (!schema[key].is_string())
        return wrong(ErrorCode::Malformed, where + "/" + key, "must be a string");
      if (!pattern.empty() || count_min > 0 || count_max >= 0) {
        return wrong(ErrorCode::Unsupported, where,
                     "only one of pattern, format, and minLength with maxLength; write {m,n} in "
                     "the pattern");
      }
      pattern = schema[key].get<std::string>();
      if (pattern.empty()) return Sequence{rules_.string()};
      if (std::string_view(key) == "pattern") continue;
      const auto format = kFormats.find(pattern);
      if (format == kFormats.end()) {
        return wrong(
            ErrorCode::Unsupported, where + "/format",
            "'" + pattern.substr(0, 60) +
                "' is not supported; date, time, date-time and uuid are; or give a pattern");
      }
      pattern = format->second;
    }
    if (!pattern.empty()) {
      auto content = convert_pattern(pattern, builder_, rules_);
      if (builder_.is_over()) return Sequence{};  // finish says so
      if (!content.ok()) return wrong(content.error().code, where, content.error().message);
      return rules_.quoted(*content);
    }
    if (count_min == 0 && count_max < 0) return Sequence{rules_.string()};
    return rules_.quoted({builder_.repeat({rules_.string_character()}, count_min, count_max)});
  }

  Part convert_array(const Json& schema, const std::string& where, int depth) {
    if (schema.contains("uniqueItems") && schema["uniqueItems"] != false) {
      return wrong(ErrorCode::Unsupported, where, "'uniqueItems' is not supported");
    }
    TRY(const std::int64_t count_min, read_count(schema, "minItems", 0, where));
    TRY(const std::int64_t count_max, read_count(schema, "maxItems", -1, where));
    std::vector<Sequence> prefix;
    if (schema.contains("prefixItems")) {
      const Json& items = schema["prefixItems"];
      if (!items.is_array())
        return wrong(ErrorCode::Malformed, where + "/prefixItems", "must be an array of schemas");
      for (std::size_t i = 0; i < items.size(); ++i) {
        TRY(Sequence item,
            convert_value(items[i], where + "/prefixItems/" + std::to_string(i), depth + 1));
        prefix.push_back({builder_.rule({std::move(item)})});
      }
    }
    std::optional<Sequence> item;
    const bool ends_here = schema.contains("items") && schema["items"] == false;
    if (!ends_here) {
      TRY(Sequence more, convert_value(schema.contains("items") ? schema["items"] : Json(true),
                                       where + "/items", depth + 1));
      item = Sequence{builder_.rule({std::move(more)})};
    }
    const bool too_few = ends_here && count_min > static_cast<std::int64_t>(prefix.size());
    if (too_few || (count_max >= 0 && count_min > count_max)) {
      return wrong(ErrorCode::Mismatch, where,
                   "no array has as many elements as minItems asks for");
    }
    return rules_.list(prefix, item, count_min, count_max);
  }

  // A member's name that is none of these: no escapes, for they could spell one.
  GrammarSymbol other_name(const std::vector<std::string>& names) {
    static constexpr std::pair<char32_t, char32_t> kNeverPlain[] = {
        {0, 0x1F}, {'"', '"'}, {'\\', '\\'}};
    const GrammarSymbol plain =
        builder_.character(complement({std::begin(kNeverPlain), std::end(kNeverPlain)}));
    const Sequence rest = {builder_.repeat({plain}, 0, -1)};
    std::map<std::string, std::set<std::string>>
        next;  // by beginning: characters that go on to a name
    std::set<std::string> ends(names.begin(), names.end());
    for (const std::string& name : names) {
      std::string beginning;
      for (std::size_t at = 0; at < name.size();) {
        const std::size_t size = utf8_size(name[at]);
        next[beginning].insert(name.substr(at, size));
        beginning += name.substr(at, size);
        at += size;
      }
      next[beginning];
    }
    std::map<std::string, GrammarSymbol> rules;
    for (const auto& [beginning, characters] : next)
      rules.emplace(beginning, builder_.declare("a property name"));
    for (const auto& [beginning, characters] : next) {
      GrammarBuilder::CharacterRanges taken(std::begin(kNeverPlain), std::end(kNeverPlain));
      std::vector<Sequence> alternatives;
      for (const std::string& character : characters) {
        const char32_t code = first_character(character);
        taken.emplace_back(code, code);
        alternatives.push_back(
            rules_.concatenate({builder_.literal(character), {rules.at(beginning + character)}}));
      }
      alternatives.push_back(
          rules_.concatenate({{builder_.character(complement(std::move(taken)))}, rest}));
      if (!ends.contains(beginning)) alternatives.push_back({});
      builder_.define(rules.at(beginning), std::move(alternatives));
    }
    return names.empty() ? builder_.rule({rest}) : rules.at("");
  }

  Part convert_object(const Json& schema, const std::string& where, int depth) {
    TRY(const auto required, read_required(schema, where));
    static const Json kNone = Json::object();
    const Json& properties = schema.contains("properties") ? schema["properties"] : kNone;
    if (!properties.is_object())
      return wrong(ErrorCode::Malformed, where + "/properties", "must be an object");
    // Without a word about further properties there are none beside those that are described.
    const Json additional = schema.contains("additionalProperties") ? schema["additionalProperties"]
                                                                    : Json(properties.empty());
    if (properties.empty() && required.empty() && additional == true)
      return Sequence{rules_.any_object()};
    std::vector<Member> members;
    std::vector<std::string> names;
    const auto add = [&](const std::string& name, const Json& value,
                         const std::string& at) -> Status {
      TRY(Sequence content, convert_value(value, at, depth + 1));
      const bool is_required = std::find(required.begin(), required.end(), name) != required.end();
      const GrammarSymbol rule = builder_.rule({rules_.concatenate(
          {rules_.value(name), builder_.literal(":"), {rules_.space()}, content})});
      members.push_back({{rule}, is_required});
      names.push_back(name);
      return Ok{};
    };
    for (const auto& [name, value] : properties.items()) {
      const bool is_needed = std::find(required.begin(), required.end(), name) != required.end();
      if (value == false && !is_needed) {  // must be absent
        names.push_back(name);
        continue;
      }
      TRY_STATUS(add(name, value, where + "/properties/" + name));
    }
    for (const std::string& name : required) {
      if (properties.contains(name)) continue;
      if (additional == false)
        return wrong(ErrorCode::Mismatch, where, "'" + name + "' is required, but is no property");
      TRY_STATUS(add(name, additional, where + "/additionalProperties"));
    }
    std::optional<Sequence> other;
    if (additional != false) {
      TRY(const Sequence content,
          convert_value(additional, where + "/additionalProperties", depth + 1));
      const Sequence name =
          names.empty() ? Sequence{rules_.string()} : rules_.quoted({other_name(names)});
      other = Sequence{builder_.rule(
          {rules_.concatenate({name, builder_.literal(":"), {rules_.space()}, content})})};
    }
    return write_object(members, other);
  }

  struct Member {
    Sequence content;
    bool is_required = false;
  };

  // Members in their order, each optional one there or not, then others; commas between.
  Sequence write_object(const std::vector<Member>& members, const std::optional<Sequence>& other) {
    const Sequence comma = rules_.concatenate({builder_.literal(","), {rules_.space()}});
    Sequence first, later;  // what may follow where no member, or some, came before
    if (other) {
      later = {builder_.repeat(rules_.concatenate({comma, *other}), 0, -1)};
      first = {builder_.optional(rules_.concatenate({*other, later}))};
    }
    for (std::size_t i = members.size(); i-- > 0;) {
      const auto& [content, is_required] = members[i];
      std::vector<Sequence> first_ways = {rules_.concatenate({content, later})};
      std::vector<Sequence> later_ways = {rules_.concatenate({comma, content, later})};
      if (!is_required) {
        first_ways.push_back(first);
        later_ways.push_back(later);
      }
      first = {builder_.rule(std::move(first_ways))};
      later = {builder_.rule(std::move(later_ways))};
    }
    return rules_.concatenate(
        {builder_.literal("{"), {rules_.space()}, first, {rules_.space()}, builder_.literal("}")});
  }

  static Result<std::vector<std::string>> read_required(const Json& schema,
                                                        const std::string& where) {
    std::vector<std::string> names;
    if (!schema.contains("required")) return names;
    if (!schema["required"].is_array())
      return wrong(ErrorCode::Malformed, where + "/required", "must be an array of names");
    for (const Json& name : schema["required"]) {
      if (!name.is_string())
        return wrong(ErrorCode::Malformed, where + "/required", "must be an array of names");
      if (std::find(names.begin(), names.end(), name.get<std::string>()) == names.end())
        names.push_back(name.get<std::string>());
    }
    return names;
  }

  const Json& root_;
  GrammarBuilder& builder_;
  JsonRules& rules_;
  std::map<std::string, GrammarSymbol> references_;
};

}  // namespace

Result<Sequence> convert_schema(const Json& schema, GrammarBuilder& builder, JsonRules& rules) {
  return SchemaConverter(schema, builder, rules).convert();
}

Result<Grammar> finish_schema(GrammarBuilder& builder, GrammarSymbol root) {
  auto grammar = builder.finish(root);
  if (!grammar.ok()) return Error{grammar.error().code, grammar.error().message, "JSON schema"};
  return grammar;
}

Result<Grammar> Grammar::from_json_schema(const Json& schema) {
  GrammarBuilder builder;
  JsonRules rules(builder);
  TRY(const Sequence value, convert_schema(schema, builder, rules));
  return finish_schema(builder, builder.rule({value}));
}

Grammar Grammar::json_object() {
  GrammarBuilder builder;
  JsonRules rules(builder);
  const GrammarSymbol object = rules.any_object();
  return builder.finish(object).value();
}

}  // namespace pianola
