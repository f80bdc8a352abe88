// Filters of chat templates: value|name(arguments).
#include <algorithm>
#include <charconv>
#include <cmath>

#include "host/template/interpreter.h"

namespace pianola::jinja {
namespace {

using Values = std::span<const Value>;

Result<Value> to_json(Interpreter& interpreter, const Value& self, Values arguments) {
  JsonStyle style;
  if (is_given(arguments[0])) {
    TRY(const std::int64_t indent, integer_argument(arguments[0], -1, "indent"));
    if (indent > 64) return cannot("an indent of more than 64");
    style.indent = static_cast<int>(std::max<std::int64_t>(indent, -1));
    if (style.indent >= 0) style.item_separator = ",";
  }
  if (is_given(arguments[1])) {
    const auto* list = std::get_if<const List*>(&arguments[1]);
    const bool is_pair = list != nullptr && (*list)->items.size() == 2 &&
                         is_string((*list)->items[0]) && is_string((*list)->items[1]);
    if (!is_pair) return cannot("separators must be two strings");
    style.item_separator = std::get<std::string_view>((*list)->items[0]);
    style.key_separator = std::get<std::string_view>((*list)->items[1]);
  }
  style.sort_keys = is_true(arguments[2]);
  BoundedText out(interpreter.text_bytes_max());
  TRY_STATUS(write_json(self, style, out));
  return interpreter.finish(out);
}

Result<Value> trim(Interpreter& interpreter, const Value& self, Values arguments) {
  TRY(const std::string_view text, interpreter.text_of(self));
  return Value(strip(text, arguments[0], true, true));
}

Result<Value> length(Interpreter&, const Value& self, Values) {
  if (const auto* text = std::get_if<std::string_view>(&self)) {
    return Value(static_cast<std::int64_t>(count_characters(*text)));
  }
  if (const auto* list = std::get_if<const List*>(&self)) {
    return Value(static_cast<std::int64_t>((*list)->items.size()));
  }
  if (const auto* map = std::get_if<const Map*>(&self)) {
    return Value(static_cast<std::int64_t>((*map)->members.size()));
  }
  if (std::holds_alternative<Undefined>(self)) return Value(std::int64_t{0});
  return cannot("a value of type " + std::string(type_name(self)) + " has no length");
}

Result<Value> upper(Interpreter& interpreter, const Value& self, Values) {
  TRY(const std::string_view text, interpreter.text_of(self));
  return change_case(interpreter, text, "upper");
}

Result<Value> lower(Interpreter& interpreter, const Value& self, Values) {
  TRY(const std::string_view text, interpreter.text_of(self));
  return change_case(interpreter, text, "lower");
}

Result<Value> title(Interpreter& interpreter, const Value& self, Values) {
  TRY(const std::string_view text, interpreter.text_of(self));
  return change_case(interpreter, text, "title");
}

Result<Value> capitalize(Interpreter& interpreter, const Value& self, Values) {
  TRY(const std::string_view text, interpreter.text_of(self));
  return change_case(interpreter, text, "capitalize");
}

Result<Value> join(Interpreter& interpreter, const Value& self, Values arguments) {
  TRY(std::vector<Value> items, interpreter.elements(self));
  TRY(const std::string_view separator, string_argument(arguments[0], "", "d"));
  if (is_given(arguments[1])) {
    TRY(const std::string_view path, string_argument(arguments[1], "", "attribute"));
    for (Value& item : items) item = interpreter.member_path(item, path);
  }
  return join_texts(interpreter, items, separator);
}

Result<Value> otherwise(Interpreter&, const Value& self, Values arguments) {
  const bool is_absent =
      std::holds_alternative<Undefined>(self) || (is_true(arguments[1]) && !is_true(self));
  if (!is_absent) return self;
  return is_given(arguments[0]) ? arguments[0] : Value(std::string_view(""));
}

Result<Value> first(Interpreter& interpreter, const Value& self, Values) {
  TRY(const std::vector<Value> items, interpreter.elements(self));
  return items.empty() ? Value(Undefined{"the first of nothing"}) : items.front();
}

Result<Value> last(Interpreter& interpreter, const Value& self, Values) {
  TRY(const std::vector<Value> items, interpreter.elements(self));
  return items.empty() ? Value(Undefined{"the last of nothing"}) : items.back();
}

Result<Value> list(Interpreter& interpreter, const Value& self, Values) {
  TRY(std::vector<Value> items, interpreter.elements(self));
  return interpreter.arena().list(std::move(items));
}

Result<Value> reverse(Interpreter& interpreter, const Value& self, Values) {
  TRY(std::vector<Value> items, interpreter.elements(self));
  std::reverse(items.begin(), items.end());
  if (is_string(self)) return join_texts(interpreter, items, "");
  return interpreter.arena().list(std::move(items));
}

Result<Value> items(Interpreter& interpreter, const Value& self, Values) {
  if (std::holds_alternative<Undefined>(self)) return interpreter.arena().list({});
  const auto* map = std::get_if<const Map*>(&self);
  if (map == nullptr)
    return cannot("items of " + std::string(type_name(self)) + "; only dictionaries have items");
  return interpreter.apply(*find_map_method("items"), self, {});
}

Result<Value> to_string(Interpreter& interpreter, const Value& self, Values) {
  TRY(const std::string_view text, interpreter.text_of(self));
  return Value(text);
}

Result<Value> same(Interpreter&, const Value& self, Values) { return self; }

Result<Value> to_int(Interpreter&, const Value& self, Values arguments) {
  const Value fallback = is_given(arguments[0]) ? arguments[0] : Value(std::int64_t{0});
  if (const bool* truth = std::get_if<bool>(&self)) return Value(std::int64_t{*truth});
  if (std::holds_alternative<std::int64_t>(self)) return self;
  double real = 0;
  if (const auto* text = std::get_if<std::string_view>(&self)) {
    std::string_view digits = strip(*text, Undefined{}, true, true);
    if (digits.starts_with('+')) digits.remove_prefix(1);
    const char* end = digits.data() + digits.size();
    std::int64_t integer = 0;
    const auto parsed = std::from_chars(digits.data(), end, integer);
    if (parsed.ec == std::errc{} && parsed.ptr == end) return Value(integer);
    const auto as_real = std::from_chars(digits.data(), end, real);
    if (as_real.ec != std::errc{} || as_real.ptr != end) return fallback;
  } else if (const double* number = std::get_if<double>(&self)) {
    real = *number;
  } else {
    return fallback;
  }
  if (!(std::fabs(real) < 9.2e18)) return fallback;
  return Value(static_cast<std::int64_t>(real));
}

Result<Value> to_float(Interpreter&, const Value& self, Values arguments) {
  if (is_number(self)) return Value(to_double(self));
  if (const auto* text = std::get_if<std::string_view>(&self)) {
    std::string_view digits = strip(*text, Undefined{}, true, true);
    if (digits.starts_with('+')) digits.remove_prefix(1);
    double real = 0;
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), real);
    if (parsed.ec == std::errc{} && parsed.ptr == digits.data() + digits.size()) return Value(real);
  }
  return is_given(arguments[0]) ? arguments[0] : Value(0.0);
}

Result<Value> absolute(Interpreter&, const Value& self, Values) {
  if (const auto* integer = std::get_if<std::int64_t>(&self);
      integer != nullptr && *integer != INT64_MIN) {
    return Value(std::abs(*integer));
  }
  if (!is_number(self)) return cannot("abs of " + std::string(type_name(self)));
  return Value(std::fabs(to_double(self)));
}

Result<Value> round(Interpreter&, const Value& self, Values arguments) {
  if (!is_number(self)) return cannot("round of " + std::string(type_name(self)));
  TRY(const std::int64_t digits, integer_argument(arguments[0], 0, "precision"));
  TRY(const std::string_view method, string_argument(arguments[1], "common", "method"));
  if (digits < 0 || digits > 15) return cannot("a precision must be 0 to 15");
  const double scale = std::pow(10.0, static_cast<double>(digits)),
               scaled = to_double(self) * scale;
  if (method == "floor") return Value(std::floor(scaled) / scale);
  if (method == "ceil") return Value(std::ceil(scaled) / scale);
  if (method == "common") return Value(std::nearbyint(scaled) / scale);
  return cannot("the method of round is common, ceil or floor");
}

Result<Value> replace(Interpreter& interpreter, const Value& self, Values arguments) {
  TRY(const std::string_view text, interpreter.text_of(self));
  TRY(const std::string_view from, interpreter.text_of(arguments[0]));
  TRY(const std::string_view to, interpreter.text_of(arguments[1]));
  TRY(const std::int64_t count, integer_argument(arguments[2], -1, "count"));
  return replace_all(interpreter, text, from, to, count);
}

Result<Value> indent(Interpreter& interpreter, const Value& self, Values arguments) {
  TRY(const std::string_view text, interpreter.text_of(self));
  std::string_view margin;
  std::string spaces;
  if (is_string(arguments[0])) {
    margin = std::get<std::string_view>(arguments[0]);
  } else {
    TRY(const std::int64_t width, integer_argument(arguments[0], 4, "width"));
    if (width < 0 || width > 1000) return cannot("a width must be 0 to 1000");
    spaces.assign(static_cast<std::size_t>(width), ' ');
    margin = spaces;
  }
  BoundedText out(interpreter.text_bytes_max());
  for (std::size_t at = 0, line = 0; at <= text.size() && !out.is_over(); ++line) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const bool is_blank = end == at;
    if (line > 0) out.append("\n");
    if (line == 0 ? is_true(arguments[1]) : !is_blank || is_true(arguments[2])) out.append(margin);
    out.append(text.substr(at, end - at));
    at = end + 1;
  }
  return interpreter.finish(out);
}

Result<Value> escape(Interpreter& interpreter, const Value& self, Values) {
  TRY(const std::string_view text, interpreter.text_of(self));
  BoundedText out(interpreter.text_bytes_max());
  for (const char& c : text) {
    if (c == '&')
      out.append("&amp;");
    else if (c == '<')
      out.append("&lt;");
    else if (c == '>')
      out.append("&gt;");
    else if (c == '\'')
      out.append("&#39;");
    else if (c == '"')
      out.append("&#34;");
    else
      out.append({&c, 1});
  }
  return interpreter.finish(out);
}

// The part of an item that an `attribute` argument names.
Result<Value> part(Interpreter& interpreter, const Value& item, const Value& attribute) {
  if (!is_given(attribute) || std::holds_alternative<None>(attribute)) return item;
  TRY(const std::string_view path, interpreter.text_of(attribute));
  return interpreter.member_path(item, path);
}

Result<Value> folded(Interpreter& interpreter, const Value& item, bool fold) {
  if (!fold || !is_string(item)) return item;
  return change_case(interpreter, std::get<std::string_view>(item), "lower");
}

// Items with the values that they are ordered by.
Result<std::vector<std::pair<Value, Value>>> keyed(Interpreter& interpreter, const Value& self,
                                                   bool fold, const Value& attribute) {
  TRY(const std::vector<Value> items, interpreter.elements(self));
  std::vector<std::pair<Value, Value>> result;
  for (const Value& item : items) {
    TRY(const Value whole, part(interpreter, item, attribute));
    TRY(const Value key, folded(interpreter, whole, fold));
    result.emplace_back(key, item);
  }
  return result;
}

Result<Value> sort_by(Interpreter& interpreter, std::vector<std::pair<Value, Value>> items,
                      bool reverse) {
  Status failure = Ok{};  // std::stable_sort has no way to stop; an order it can finish with
  std::stable_sort(items.begin(), items.end(), [&](const auto& a, const auto& b) {
    if (!failure.ok()) return false;
    const auto order =
        reverse ? interpreter.compare(b.first, a.first) : interpreter.compare(a.first, b.first);
    if (!order.ok()) {
      failure = order.error();
      return false;
    }
    return *order < 0;
  });
  TRY_STATUS(failure);
  std::vector<Value> sorted;
  for (const auto& [key, item] : items) sorted.push_back(item);
  return interpreter.arena().list(std::move(sorted));
}

Result<Value> sort(Interpreter& interpreter, const Value& self, Values arguments) {
  TRY(auto items, keyed(interpreter, self, !is_true(arguments[1]), arguments[2]));
  return sort_by(interpreter, std::move(items), is_true(arguments[0]));
}

Result<Value> sort_items(Interpreter& interpreter, const Value& self, Values arguments) {
  if (!std::holds_alternative<const Map*>(self))
    return cannot("dictsort of " + std::string(type_name(self)));
  TRY(const std::string_view by, string_argument(arguments[1], "key", "by"));
  if (by != "key" && by != "value") return cannot("dictsort goes by 'key' or 'value'");
  TRY(const Value pairs, interpreter.apply(*find_map_method("items"), self, {}));
  const Value index = std::string_view(by == "key" ? "0" : "1");
  TRY(auto items, keyed(interpreter, pairs, !is_true(arguments[0]), index));
  return sort_by(interpreter, std::move(items), is_true(arguments[2]));
}

Result<Value> extreme(Interpreter& interpreter, const Value& self, Values arguments, int sign) {
  TRY(const auto items, keyed(interpreter, self, !is_true(arguments[0]), arguments[1]));
  if (items.empty()) return Value(Undefined{"the extreme of nothing"});
  std::size_t best = 0;
  for (std::size_t i = 1; i < items.size(); ++i) {
    TRY(const int order, interpreter.compare(items[i].first, items[best].first));
    if (order * sign > 0) best = i;
  }
  return items[best].second;
}

Result<Value> smallest(Interpreter& interpreter, const Value& self, Values arguments) {
  return extreme(interpreter, self, arguments, -1);
}

Result<Value> largest(Interpreter& interpreter, const Value& self, Values arguments) {
  return extreme(interpreter, self, arguments, 1);
}

Result<Value> unique(Interpreter& interpreter, const Value& self, Values arguments) {
  TRY(const auto items, keyed(interpreter, self, !is_true(arguments[0]), arguments[1]));
  std::vector<Value> kept, keys;
  for (const auto& [key, item] : items) {
    bool is_known = false;
    for (std::size_t i = 0; i < keys.size() && !is_known; ++i) {
      TRY(is_known, interpreter.equal(keys[i], key));
    }
    if (is_known) continue;
    keys.push_back(key);
    kept.push_back(item);
  }
  return interpreter.arena().list(std::move(kept));
}

Result<Value> sum(Interpreter& interpreter, const Value& self, Values arguments) {
  TRY(const auto items, keyed(interpreter, self, false, arguments[0]));
  std::int64_t integers = 0;
  double reals = 0;
  bool has_real = false;
  for (const auto& [key, item] : items) {
    if (!is_number(key)) return cannot("sum of " + std::string(type_name(key)));
    if (const auto* integer = std::get_if<std::int64_t>(&key)) {
      if (__builtin_add_overflow(integers, *integer, &integers))
        return cannot("a sum beyond 64 bits");
    } else {
      has_real = has_real || std::holds_alternative<double>(key);
      reals += to_double(key);
    }
  }
  if (has_real) return Value(reals + static_cast<double>(integers));
  return Value(integers + static_cast<std::int64_t>(reals));
}

Result<Value> map(Interpreter& interpreter, const Value& self, Values arguments) {
  TRY(std::vector<Value> items, interpreter.elements(self));
  const Builtin* filter = nullptr;
  if (!is_given(arguments[3])) {
    TRY(const std::string_view name, string_argument(arguments[0], "", "filter"));
    filter = find_filter(name);
    if (filter == nullptr)
      return cannot("map has no filter '" + std::string(name) + "'; give one, or attribute=");
  }
  std::size_t given = 1;
  while (given < 3 && is_given(arguments[given])) ++given;
  for (Value& item : items) {
    if (filter != nullptr) {
      TRY(item, interpreter.apply(*filter, item, arguments.subspan(1, given - 1)));
    } else {
      TRY(item, part(interpreter, item, arguments[3]));
      if (std::holds_alternative<Undefined>(item) && is_given(arguments[4])) item = arguments[4];
    }
  }
  return interpreter.arena().list(std::move(items));
}

// Keeps the items whose part passes (or fails) a test: test and its argument from arguments[at] on.
Result<Value> choose(Interpreter& interpreter, const Value& self, const Value& attribute,
                     Values test_arguments, bool keep) {
  TRY(const std::vector<Value> items, interpreter.elements(self));
  const Builtin* test = nullptr;
  if (is_given(test_arguments[0])) {
    TRY(const std::string_view name, string_argument(test_arguments[0], "", "test"));
    test = find_test(name);
    if (test == nullptr)
      return cannot("there is no test '" + std::string(name) + "'; there are " + test_names());
  }
  const bool has_argument = is_given(test_arguments[1]);
  std::vector<Value> kept;
  for (const Value& item : items) {
    TRY(const Value tested, part(interpreter, item, attribute));
    bool passes = is_true(tested);
    if (test != nullptr) {
      TRY(const Value verdict,
          interpreter.apply(*test, tested, test_arguments.subspan(1, has_argument ? 1 : 0)));
      passes = is_true(verdict);
    }
    if (passes == keep) kept.push_back(item);
  }
  return interpreter.arena().list(std::move(kept));
}

Result<Value> select(Interpreter& interpreter, const Value& self, Values arguments) {
  return choose(interpreter, self, None{}, arguments, true);
}
Result<Value> reject(Interpreter& interpreter, const Value& self, Values arguments) {
  return choose(interpreter, self, None{}, arguments, false);
}
Result<Value> select_by(Interpreter& interpreter, const Value& self, Values arguments) {
  return choose(interpreter, self, arguments[0], arguments.subspan(1), true);
}
Result<Value> reject_by(Interpreter& interpreter, const Value& self, Values arguments) {
  return choose(interpreter, self, arguments[0], arguments.subspan(1), false);
}

const std::vector<Builtin>& table() {
  static const std::vector<Builtin> kTable = {
      {"abs", absolute},
      {"capitalize", capitalize},
      {"count", length},
      {"d", otherwise, {"default_value", "boolean"}},
      {"default", otherwise, {"default_value", "boolean"}},
      {"dictsort", sort_items, {"case_sensitive", "by", "reverse"}},
      {"e", escape},
      {"escape", escape},
      {"first", first},
      {"float", to_float, {"default"}},
      {"indent", indent, {"width", "first", "blank"}},
      {"int", to_int, {"default"}},
      {"items", items},
      {"join", join, {"d", "attribute"}},
      {"last", last},
      {"length", length},
      {"list", list},
      {"lower", lower},
      {"map", map, {"filter", "argument", "argument2", "attribute", "default"}, 1},
      {"max", largest, {"case_sensitive", "attribute"}},
      {"min", smallest, {"case_sensitive", "attribute"}},
      {"reject", reject, {"test", "argument"}},
      {"rejectattr", reject_by, {"attribute", "test", "argument"}, 1},
      {"replace", replace, {"old", "new", "count"}, 2},
      {"reverse", reverse},
      {"round", round, {"precision", "method"}},
      {"safe", same},
      {"select", select, {"test", "argument"}},
      {"selectattr", select_by, {"attribute", "test", "argument"}, 1},
      {"sort", sort, {"reverse", "case_sensitive", "attribute"}},
      {"string", to_string},
      {"sum", sum, {"attribute"}},
      {"title", title},
      {"tojson", to_json, {"indent", "separators", "sort_keys", "ensure_ascii"}},
      {"trim", trim, {"chars"}},
      {"unique", unique, {"case_sensitive", "attribute"}},
      {"upper", upper},
  };
  return kTable;
}

}  // namespace

const Builtin* find_filter(std::string_view name) { return find_builtin(table(), name); }
std::string filter_names() { return list_names(table()); }

}  // namespace pianola::jinja
