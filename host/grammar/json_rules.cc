#include "host/grammar/json_rules.h"

#include <algorithm>

#include "host/tokenizer/unicode.h"

namespace pianola {
namespace {

using Sequence = JsonRules::Sequence;

constexpr int kIndentMax = 40;

ByteSet set_of(std::string_view characters) {
  ByteSet set;
  for (const char c : characters) set.set(static_cast<unsigned char>(c));
  return set;
}

// "\u" and four digits in either case.
Sequence escape_of(GrammarBuilder& builder, char32_t code) {
  static constexpr std::string_view kDigits = "0123456789abcdef", kUpper = "0123456789ABCDEF";
  Sequence sequence = builder.literal("\\u");
  for (int shift = 12; shift >= 0; shift -= 4) {
    const std::size_t digit = (code >> shift) & 15;
    sequence.push_back(builder.bytes(set_of({std::string{kDigits[digit], kUpper[digit]}})));
  }
  return sequence;
}

}  // namespace

Sequence JsonRules::concatenate(const std::vector<Sequence>& parts) {
  Sequence whole;
  for (const Sequence& part : parts) whole.insert(whole.end(), part.begin(), part.end());
  return whole;
}

GrammarSymbol JsonRules::digits(char first, char last) {
  ByteSet set;
  for (char digit = first; digit <= last; ++digit) set.set(static_cast<unsigned char>(digit));
  return builder_.bytes(set);
}

GrammarSymbol JsonRules::space() {
  if (!space_) {
    const GrammarSymbol indent = builder_.repeat({builder_.bytes(set_of(" \t"))}, 0, kIndentMax);
    space_ =
        builder_.rule({{}, builder_.literal(" "), concatenate({builder_.literal("\n"), {indent}})});
  }
  return *space_;
}

GrammarSymbol JsonRules::string_character() {
  if (!string_character_) {
    const GrammarSymbol plain =
        builder_.character(complement({{0, 0x1F}, {'"', '"'}, {'\\', '\\'}}));
    const GrammarSymbol hex = builder_.bytes(set_of("0123456789abcdefABCDEF"));
    const GrammarSymbol d = builder_.bytes(set_of("dD"));
    const auto set = [&](std::string_view characters) {
      return builder_.bytes(set_of(characters));
    };
    const Sequence u = builder_.literal("\\u");
    string_character_ = builder_.rule(
        {{plain},
         concatenate({builder_.literal("\\"), {set("\"\\/bfnrt")}}),
         concatenate({u, {set("0123456789abcefABCEF"), hex, hex, hex}}),
         concatenate({u, {d, set("01234567"), hex, hex}}),
         concatenate({u, {d, set("89abAB"), hex, hex}, u, {d, set("cdefCDEF"), hex, hex}})});
  }
  return *string_character_;
}

GrammarSymbol JsonRules::string_character_of(const GrammarBuilder::CharacterRanges& ranges) {
  const auto has = [&](char32_t code) {
    return std::any_of(ranges.begin(), ranges.end(), [&](const auto& range) {
      return range.first <= code && code <= range.second;
    });
  };
  // Plain ones: the complement of the complement and what must be escaped.
  GrammarBuilder::CharacterRanges left_out = complement(ranges);
  left_out.insert(left_out.end(), {{0, 0x1F}, {'"', '"'}, {'\\', '\\'}});
  std::vector<Sequence> alternatives = {{builder_.character(complement(left_out))}};
  for (const char c : {'"', '\\'}) {
    if (has(static_cast<char32_t>(c)))
      alternatives.push_back(builder_.literal(std::string{'\\', c}));
  }
  static constexpr std::string_view kControls = "\b\f\n\r\t", kNames = "bfnrt";
  for (char32_t code = 0; code < 0x20; ++code) {
    if (!has(code)) continue;
    const std::size_t name = kControls.find(static_cast<char>(code));
    alternatives.push_back(name == std::string_view::npos
                               ? escape_of(builder_, code)
                               : builder_.literal(std::string{'\\', kNames[name]}));
  }
  return builder_.rule(std::move(alternatives));
}

Sequence JsonRules::quoted(const Sequence& content) {
  return concatenate({builder_.literal("\""), content, builder_.literal("\"")});
}

GrammarSymbol JsonRules::string() {
  if (!string_) string_ = builder_.rule({quoted({builder_.repeat({string_character()}, 0, -1)})});
  return *string_;
}

GrammarSymbol JsonRules::integer() {
  if (!integer_) {
    const GrammarSymbol sign = builder_.optional(builder_.literal("-"));
    const GrammarSymbol rest = builder_.repeat({digits('0', '9')}, 0, 17);
    integer_ = builder_.rule({builder_.literal("0"), {sign, digits('1', '9'), rest}});
  }
  return *integer_;
}

GrammarSymbol JsonRules::number() {
  if (!number_) {
    const GrammarSymbol digit = digits('0', '9');
    const GrammarSymbol sign = builder_.optional(builder_.literal("-"));
    const GrammarSymbol whole =
        builder_.rule({builder_.literal("0"), {digits('1', '9'), builder_.repeat({digit}, 0, 14)}});
    const GrammarSymbol fraction =
        builder_.optional(concatenate({builder_.literal("."), {builder_.repeat({digit}, 1, 15)}}));
    const GrammarSymbol exponent = builder_.optional(
        {builder_.bytes(set_of("eE")), builder_.optional({builder_.bytes(set_of("+-"))}),
         builder_.repeat({digit}, 1, 2)});
    number_ = builder_.rule({{sign, whole, fraction, exponent}});
  }
  return *number_;
}

Sequence JsonRules::list(const std::vector<Sequence>& prefix, const std::optional<Sequence>& item,
                         std::int64_t count_min, std::int64_t count_max) {
  const Sequence comma = concatenate({builder_.literal(","), {space()}});
  const auto prefix_count = static_cast<std::int64_t>(prefix.size());
  // What may follow the first n elements, from the last to the first.
  Sequence rest;
  if (item && (count_max < 0 || count_max > prefix_count)) {
    const std::int64_t more_min =
        std::max<std::int64_t>(count_min - std::max<std::int64_t>(prefix_count, 1), 0);
    const std::int64_t more_max =
        count_max < 0 ? -1 : count_max - std::max<std::int64_t>(prefix_count, 1);
    rest = {builder_.repeat(concatenate({comma, *item}), more_min, more_max)};
  }
  std::vector<Sequence> elements = prefix;
  if (elements.empty() && item && count_max != 0) elements.push_back(*item);
  for (std::size_t i = elements.size(); i-- > 0;) {
    if (count_max >= 0 && static_cast<std::int64_t>(i) >= count_max) continue;
    const Sequence element = concatenate({i == 0 ? Sequence{} : comma, elements[i], rest});
    const bool may_end = static_cast<std::int64_t>(i) >= count_min;
    rest = may_end ? Sequence{builder_.optional(element)} : element;
  }
  return concatenate({builder_.literal("["), {space()}, rest, {space()}, builder_.literal("]")});
}

GrammarSymbol JsonRules::any_value() {
  if (!any_value_) {
    any_value_ = builder_.declare("a JSON value");
    const GrammarSymbol array = builder_.rule({list({}, Sequence{*any_value_}, 0, -1)});
    const GrammarSymbol object = any_object();
    builder_.define(*any_value_, {{string()},
                                  {number()},
                                  {object},
                                  {array},
                                  builder_.literal("true"),
                                  builder_.literal("false"),
                                  builder_.literal("null")});
  }
  return *any_value_;
}

GrammarSymbol JsonRules::any_object() {
  if (!any_object_) {
    any_object_ = builder_.declare("a JSON object");
    const GrammarSymbol value = any_value();
    const Sequence member = concatenate({{string()}, builder_.literal(":"), {space(), value}});
    const GrammarSymbol more =
        builder_.repeat(concatenate({builder_.literal(","), {space()}, member}), 0, -1);
    const GrammarSymbol members = builder_.optional(concatenate({member, {more}}));
    builder_.define(
        *any_object_,
        {concatenate({builder_.literal("{"), {space(), members, space()}, builder_.literal("}")})});
  }
  return *any_object_;
}

Sequence JsonRules::value(const nlohmann::ordered_json& json) {
  if (json.is_array()) {
    std::vector<Sequence> items;
    for (const auto& item : json) items.push_back(value(item));
    const auto count = static_cast<std::int64_t>(items.size());
    return list(items, std::nullopt, count, count);
  }
  if (!json.is_object()) {
    return builder_.literal(
        json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  }
  Sequence members;
  for (const auto& [key, member] : json.items()) {
    if (!members.empty()) members = concatenate({members, builder_.literal(","), {space()}});
    members = concatenate({members, value(key), builder_.literal(":"), {space()}, value(member)});
  }
  return concatenate({builder_.literal("{"), {space()}, members, {space()}, builder_.literal("}")});
}

// Numbers of one count of digits, both ends included.
Sequence JsonRules::digits_between(const std::string& first, const std::string& last) {
  if (first.empty()) return {};
  if (first == last) return builder_.literal(first);
  const std::string first_rest = first.substr(1), last_rest = last.substr(1);
  const std::string zeros(first_rest.size(), '0'), nines(first_rest.size(), '9');
  const auto with = [&](char from, char to, const Sequence& rest) {
    return concatenate({{digits(from, to)}, rest});
  };
  if (first[0] == last[0]) return with(first[0], first[0], digits_between(first_rest, last_rest));
  std::vector<Sequence> alternatives;
  char from = first[0], to = last[0];
  if (first_rest != zeros)
    alternatives.push_back(with(from, from, digits_between(first_rest, nines))), ++from;
  if (last_rest != nines)
    alternatives.push_back(with(to, to, digits_between(zeros, last_rest))), --to;
  if (from <= to)
    alternatives.push_back(with(from, to, Sequence(first_rest.size(), digits('0', '9'))));
  return {builder_.rule(std::move(alternatives))};
}

GrammarSymbol JsonRules::integer_between(std::int64_t first, std::int64_t last) {
  std::vector<Sequence> alternatives;
  if (first < 0) {
    const std::int64_t size_last = std::max<std::int64_t>(-last, 1);
    alternatives.push_back(
        concatenate({builder_.literal("-"), {integer_between(size_last, -first)}}));
  }
  if (last >= 0) {
    const std::int64_t begin = std::max<std::int64_t>(first, 0);
    for (std::int64_t low = 0, high = 9; low <= last; low = high + 1, high = high * 10 + 9) {
      const std::int64_t from = std::max(low, begin), to = std::min(high, last);
      if (from <= to)
        alternatives.push_back(digits_between(std::to_string(from), std::to_string(to)));
      if (high >= kIntegerMax) break;
    }
  }
  return builder_.rule(std::move(alternatives));
}

}  // namespace pianola
