// Methods of strings, dictionaries and lists in chat templates, as Python's.
#include <algorithm>

#include "host/template/interpreter.h"
#include "host/tokenizer/unicode.h"

namespace pianola::jinja {
namespace {

using Values = std::span<const Value>;

std::string_view text_in(const Value& self) { return std::get<std::string_view>(self); }

template <bool left, bool right>
Result<Value> strip_sides(Interpreter&, const Value& self, Values arguments) {
  return Value(strip(text_in(self), arguments[0], left, right));
}

std::vector<std::string_view> split_words(std::string_view text, std::int64_t splits_max) {
  std::vector<std::string_view> words;
  while (true) {
    text = strip(text, Undefined{}, true, false);
    if (text.empty()) return words;
    if (splits_max >= 0 && static_cast<std::int64_t>(words.size()) == splits_max) {
      words.push_back(strip(text, Undefined{}, false, true));
      return words;
    }
    std::size_t end = 0;
    while (end < text.size()) {
      const Utf8Char character = decode_utf8(text, end);
      if (is_white_space(character.code)) break;
      end += character.size_bytes;
    }
    words.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

std::vector<std::string_view> split_from_left(std::string_view text, std::string_view by,
                                              std::int64_t splits_max) {
  std::vector<std::string_view> parts;
  for (std::size_t at = text.find(by);
       at != std::string_view::npos &&
       (splits_max < 0 || static_cast<std::int64_t>(parts.size()) < splits_max);
       at = text.find(by)) {
    parts.push_back(text.substr(0, at));
    text.remove_prefix(at + by.size());
  }
  parts.push_back(text);
  return parts;
}

std::vector<std::string_view> split_from_right(std::string_view text, std::string_view by,
                                               std::int64_t splits_max) {
  std::vector<std::string_view> parts;
  for (std::size_t at = text.rfind(by);
       at != std::string_view::npos &&
       (splits_max < 0 || static_cast<std::int64_t>(parts.size()) < splits_max);
       at = text.rfind(by)) {
    parts.push_back(text.substr(at + by.size()));
    text = text.substr(0, at);
  }
  parts.push_back(text);
  std::reverse(parts.begin(), parts.end());
  return parts;
}

Result<Value> to_list(Interpreter& interpreter, const std::vector<std::string_view>& parts) {
  TRY_STATUS(interpreter.spend(parts.size()));
  return interpreter.arena().list({parts.begin(), parts.end()});
}

template <bool from_left>
Result<Value> split(Interpreter& interpreter, const Value& self, Values arguments) {
  TRY_STATUS(interpreter.spend(text_in(self).size() / 64));
  TRY(const std::int64_t splits_max, integer_argument(arguments[1], -1, "maxsplit"));
  const bool by_space = !is_given(arguments[0]) || std::holds_alternative<None>(arguments[0]);
  if (by_space) {
    if (!from_left && splits_max >= 0) return cannot("rsplit with maxsplit needs a separator");
    return to_list(interpreter, split_words(text_in(self), splits_max));
  }
  TRY(const std::string_view by, string_argument(arguments[0], "", "sep"));
  if (by.empty()) return cannot("split by an empty separator");
  return to_list(interpreter, from_left ? split_from_left(text_in(self), by, splits_max)
                                        : split_from_right(text_in(self), by, splits_max));
}

Result<Value> split_lines(Interpreter& interpreter, const Value& self, Values) {
  std::string_view text = text_in(self);
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of("\r\n"), text.size());
    lines.push_back(text.substr(0, end));
    const bool is_pair = text.substr(end).starts_with("\r\n");
    text.remove_prefix(std::min(text.size(), end + (is_pair ? 2 : 1)));
  }
  return to_list(interpreter, lines);
}

// Of one string or any of a tuple.
template <bool at_start>
Result<Value> has_affix(Interpreter& interpreter, const Value& self, Values arguments) {
  std::vector<Value> affixes = {arguments[0]};
  if (std::holds_alternative<const List*>(arguments[0])) {
    TRY(affixes, interpreter.elements(arguments[0]));
  }
  for (const Value& affix : affixes) {
    TRY(const std::string_view text, string_argument(affix, "", at_start ? "prefix" : "suffix"));
    if (at_start ? text_in(self).starts_with(text) : text_in(self).ends_with(text))
      return Value(true);
  }
  return Value(false);
}

template <bool at_start>
Result<Value> remove_affix(Interpreter&, const Value& self, Values arguments) {
  std::string_view text = text_in(self);
  TRY(const std::string_view affix, string_argument(arguments[0], "", "affix"));
  if (at_start && text.starts_with(affix)) text.remove_prefix(affix.size());
  if (!at_start && text.ends_with(affix)) text.remove_suffix(affix.size());
  return Value(text);
}

Result<Value> upper(Interpreter& interpreter, const Value& self, Values) {
  return change_case(interpreter, text_in(self), "upper");
}
Result<Value> lower(Interpreter& interpreter, const Value& self, Values) {
  return change_case(interpreter, text_in(self), "lower");
}
Result<Value> title(Interpreter& interpreter, const Value& self, Values) {
  return change_case(interpreter, text_in(self), "title");
}
Result<Value> capitalize(Interpreter& interpreter, const Value& self, Values) {
  return change_case(interpreter, text_in(self), "capitalize");
}

Result<Value> replace(Interpreter& interpreter, const Value& self, Values arguments) {
  TRY(const std::string_view from, string_argument(arguments[0], "", "old"));
  TRY(const std::string_view to, string_argument(arguments[1], "", "new"));
  TRY(const std::int64_t count, integer_argument(arguments[2], -1, "count"));
  return replace_all(interpreter, text_in(self), from, to, count);
}

Result<Value> join(Interpreter& interpreter, const Value& self, Values arguments) {
  TRY(const std::vector<Value> items, interpreter.elements(arguments[0]));
  for (const Value& item : items) {
    if (!is_string(item))
      return cannot("join of " + std::string(type_name(item)) + "; it takes strings");
  }
  return join_texts(interpreter, items, text_in(self));
}

Result<Value> find_text(Interpreter& interpreter, const Value& self, Values arguments) {
  TRY(const std::string_view part, string_argument(arguments[0], "", "sub"));
  TRY_STATUS(interpreter.spend(text_in(self).size() / 64));
  const std::size_t at = text_in(self).find(part);
  if (at == std::string_view::npos) return Value(std::int64_t{-1});
  return Value(static_cast<std::int64_t>(count_characters(text_in(self).substr(0, at))));
}

Result<Value> count_text(Interpreter& interpreter, const Value& self, Values arguments) {
  TRY(const std::string_view part, string_argument(arguments[0], "", "sub"));
  TRY_STATUS(interpreter.spend(text_in(self).size() / 64));
  if (part.empty()) return Value(static_cast<std::int64_t>(count_characters(text_in(self)) + 1));
  std::int64_t count = 0;
  for (std::size_t at = 0; (at = text_in(self).find(part, at)) != std::string_view::npos;
       at += part.size())
    ++count;
  return Value(count);
}

// Not empty, and every character passes.
template <bool (*passes)(char32_t)>
Result<Value> every(Interpreter& interpreter, const Value& self, Values) {
  TRY_STATUS(interpreter.spend(text_in(self).size() / 64));
  for (std::size_t at = 0; at < text_in(self).size();) {
    const Utf8Char character = decode_utf8(text_in(self), at);
    if (!passes(character.code)) return Value(false);
    at += character.size_bytes;
  }
  return Value(!text_in(self).empty());
}

bool is_decimal_digit(char32_t code) { return code >= '0' && code <= '9'; }

Result<Value> map_items(Interpreter& interpreter, const Value& self, Values) {
  const Members& members = std::get<const Map*>(self)->members;
  TRY_STATUS(interpreter.spend(members.size()));
  std::vector<Value> items;
  for (const auto& [key, value] : members)
    items.push_back(interpreter.arena().list({Value(key), value}, true));
  return interpreter.arena().list(std::move(items));
}

Result<Value> map_keys(Interpreter& interpreter, const Value& self, Values) {
  TRY(std::vector<Value> keys, interpreter.elements(self));
  return interpreter.arena().list(std::move(keys));
}

Result<Value> map_values(Interpreter& interpreter, const Value& self, Values) {
  const Members& members = std::get<const Map*>(self)->members;
  TRY_STATUS(interpreter.spend(members.size()));
  std::vector<Value> values;
  for (const auto& [key, value] : members) values.push_back(value);
  return interpreter.arena().list(std::move(values));
}

Result<Value> map_get(Interpreter& interpreter, const Value& self, Values arguments) {
  const Value otherwise = is_given(arguments[1]) ? arguments[1] : Value(None{});
  if (!is_string(arguments[0])) return otherwise;
  const Value found = interpreter.member(self, text_in(arguments[0]));
  return std::holds_alternative<Undefined>(found) ? otherwise : found;
}

Result<Value> refuse_change(Interpreter&, const Value&, Values) {
  return cannot(
      "lists and dictionaries of a chat template cannot be changed; make a new one with `set` and "
      "`+`");
}

Result<Value> list_count(Interpreter& interpreter, const Value& self, Values arguments) {
  std::int64_t count = 0;
  for (const Value& item : std::get<const List*>(self)->items) {
    TRY(const bool same, interpreter.equal(item, arguments[0]));
    count += same ? 1 : 0;
  }
  return Value(count);
}

const std::vector<Builtin>& string_table() {
  static const std::vector<Builtin> kTable = {
      {"capitalize", capitalize},
      {"count", count_text, {"sub"}, 1},
      {"endswith", has_affix<false>, {"suffix"}, 1},
      {"find", find_text, {"sub"}, 1},
      {"isdigit", every<is_decimal_digit>},
      {"isspace", every<is_white_space>},
      {"join", join, {"iterable"}, 1},
      {"lower", lower},
      {"lstrip", strip_sides<true, false>, {"chars"}},
      {"removeprefix", remove_affix<true>, {"prefix"}, 1},
      {"removesuffix", remove_affix<false>, {"suffix"}, 1},
      {"replace", replace, {"old", "new", "count"}, 2},
      {"rsplit", split<false>, {"sep", "maxsplit"}},
      {"rstrip", strip_sides<false, true>, {"chars"}},
      {"split", split<true>, {"sep", "maxsplit"}},
      {"splitlines", split_lines},
      {"startswith", has_affix<true>, {"prefix"}, 1},
      {"strip", strip_sides<true, true>, {"chars"}},
      {"title", title},
      {"upper", upper},
  };
  return kTable;
}

const std::vector<Builtin>& map_table() {
  static const std::vector<Builtin> kTable = {
      {"clear", refuse_change},
      {"get", map_get, {"key", "default"}, 1},
      {"items", map_items},
      {"keys", map_keys},
      {"pop", refuse_change, {"key", "default"}},
      {"update", refuse_change, {"other"}},
      {"values", map_values},
  };
  return kTable;
}

const std::vector<Builtin>& list_table() {
  static const std::vector<Builtin> kTable = {
      {"append", refuse_change, {"item"}},  {"count", list_count, {"item"}, 1},
      {"extend", refuse_change, {"items"}}, {"insert", refuse_change, {"index", "item"}},
      {"pop", refuse_change, {"index"}},
  };
  return kTable;
}

}  // namespace

const Builtin* find_string_method(std::string_view name) {
  return find_builtin(string_table(), name);
}
const Builtin* find_map_method(std::string_view name) { return find_builtin(map_table(), name); }
const Builtin* find_list_method(std::string_view name) { return find_builtin(list_table(), name); }

}  // namespace pianola::jinja
