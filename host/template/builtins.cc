// What filters and methods share, and the global functions.
#include "host/template/builtins.h"

#include <utf8proc.h>

#include <algorithm>
#include <ctime>

#include "host/template/interpreter.h"
#include "host/tokenizer/unicode.h"

namespace pianola::jinja {
namespace {

using Values = std::span<const Value>;

Result<Value> raise_exception(Interpreter& interpreter, const Value&, Values arguments) {
  TRY(const std::string_view text, interpreter.text_of(arguments[0]));
  return Error{ErrorCode::InvalidArgument,
               "the model's template refuses these messages: " + std::string(text.substr(0, 1000)),
               ""};
}

// What strftime may be asked for; each is short.
Result<Value> format_now(Interpreter& interpreter, const Value&, Values arguments) {
  TRY(const std::string_view format, string_argument(arguments[0], "", "format"));
  BoundedText out(interpreter.text_bytes_max());
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      out.append(format.substr(i, 1));
      continue;
    }
    std::string directive = "%";
    if (++i < format.size() && format[i] == '-') directive += format[i++];
    static constexpr std::string_view kKnown = "aAbBcdDeFhHIjmMpSTuUVwWxXyY%";
    if (i >= format.size() || kKnown.find(format[i]) == std::string_view::npos) {
      return cannot("strftime_now knows no %" + std::string(format.substr(i, 1)) + "; it knows " +
                    std::string(kKnown));
    }
    directive += format[i];
    char buffer[128];
    out.append(
        {buffer, std::strftime(buffer, sizeof(buffer), directive.c_str(), &interpreter.now())});
  }
  return interpreter.finish(out);
}

Result<Value> make_namespace(Interpreter& interpreter, const Value&, Values arguments) {
  Members members;
  if (const auto* map = std::get_if<const Map*>(&arguments[0])) members = (*map)->members;
  for (const auto& [name, value] : std::get<const Map*>(arguments[1])->members)
    assign(members, name, value);
  return interpreter.arena().make_namespace(std::move(members));
}

Result<Value> make_map(Interpreter& interpreter, const Value&, Values arguments) {
  Members members;
  if (const auto* map = std::get_if<const Map*>(&arguments[0])) members = (*map)->members;
  for (const auto& [name, value] : std::get<const Map*>(arguments[1])->members)
    assign(members, name, value);
  return interpreter.arena().map(std::move(members));
}

Result<Value> range(Interpreter& interpreter, const Value&, Values arguments) {
  TRY(std::int64_t start, integer_argument(arguments[0], 0, "start"));
  TRY(std::int64_t stop, integer_argument(arguments[1], 0, "stop"));
  TRY(const std::int64_t step, integer_argument(arguments[2], 1, "step"));
  if (!is_given(arguments[1])) stop = std::exchange(start, 0);
  if (step == 0) return cannot("the step of a range must not be zero");
  std::vector<Value> items;
  for (std::int64_t i = start; step > 0 ? i < stop : i > stop;) {
    items.emplace_back(i);
    TRY_STATUS(interpreter.spend(1));
    if (items.size() > interpreter.arena().bytes_left() / sizeof(Value)) {
      return Error{ErrorCode::OutOfRange, "a range beyond the memory of a template", ""};
    }
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return interpreter.arena().list(std::move(items));
}

void append_upper_case(std::string& out, char32_t code) {
  if (code == 0xDF) {  // the only letter of common text whose capital is two
    out += "SS";
  } else {
    append_utf8(out, static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(code))));
  }
}

bool is_letter(char32_t code) {
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(code));
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

}  // namespace

const Builtin* find_builtin(std::span<const Builtin> table, std::string_view name) {
  for (const Builtin& builtin : table) {
    if (builtin.name == name) return &builtin;
  }
  return nullptr;
}

std::string list_names(std::span<const Builtin> table) {
  std::string names;
  for (const Builtin& builtin : table)
    names += (names.empty() ? "" : ", ") + std::string(builtin.name);
  return names;
}

std::span<const Builtin> global_functions() {
  static const std::vector<Builtin> kTable = {
      {"dict", make_map, {"mapping"}, 0, true},
      {"namespace", make_namespace, {"mapping"}, 0, true},
      {"raise_exception", raise_exception, {"message"}, 1},
      {"range", range, {"start", "stop", "step"}, 1},
      {"strftime_now", format_now, {"format"}, 1},
  };
  return kTable;
}

Error cannot(std::string message) { return {ErrorCode::Malformed, std::move(message), ""}; }

bool is_given(const Value& argument) { return !std::holds_alternative<Undefined>(argument); }

Result<std::int64_t> integer_argument(const Value& argument, std::int64_t otherwise,
                                      std::string_view name) {
  if (!is_given(argument) || std::holds_alternative<None>(argument)) return otherwise;
  if (const auto* integer = std::get_if<std::int64_t>(&argument)) return *integer;
  if (const bool* truth = std::get_if<bool>(&argument)) return std::int64_t{*truth};
  return cannot("the argument '" + std::string(name) + "' must be an integer, got " +
                std::string(type_name(argument)));
}

Result<std::string_view> string_argument(const Value& argument, std::string_view otherwise,
                                         std::string_view name) {
  if (!is_given(argument)) return otherwise;
  if (const auto* text = std::get_if<std::string_view>(&argument)) return *text;
  return cannot("the argument '" + std::string(name) + "' must be a string, got " +
                std::string(type_name(argument)));
}

std::string_view strip(std::string_view text, const Value& set, bool left, bool right) {
  const auto* characters = std::get_if<std::string_view>(&set);
  const auto goes = [&](std::size_t at, std::size_t size) {
    if (characters != nullptr)
      return characters->find(text.substr(at, size)) != std::string_view::npos;
    const char32_t code = decode_utf8(text, at).code;
    return is_white_space(code) || (code >= 0x1C && code <= 0x1F);
  };
  while (left && !text.empty()) {
    const std::size_t size = decode_utf8(text, 0).size_bytes;
    if (!goes(0, size)) break;
    text.remove_prefix(size);
  }
  while (right && !text.empty()) {
    std::size_t at = text.size() - 1;
    while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
    if (!goes(at, text.size() - at)) break;
    text.remove_suffix(text.size() - at);
  }
  return text;
}

Result<Value> change_case(Interpreter& interpreter, std::string_view text, std::string_view how) {
  TRY_STATUS(interpreter.spend(text.size() / 16));
  std::string out;
  bool in_word = false;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Char character = decode_utf8(text, at);
    const bool to_upper =
        how == "upper" || (how == "capitalize" && at == 0) || (how == "title" && !in_word);
    if (to_upper) {
      append_upper_case(out, character.code);
    } else {
      append_lower_case(out, character.code);
    }
    in_word = is_letter(character.code);
    at += character.size_bytes;
  }
  if (out.size() > interpreter.text_bytes_max()) {
    return Error{ErrorCode::OutOfRange, "a text beyond the memory of a template", ""};
  }
  return interpreter.arena().text(std::move(out));
}

Result<Value> replace_all(Interpreter& interpreter, std::string_view text, std::string_view from,
                          std::string_view to, std::int64_t count_max) {
  TRY_STATUS(interpreter.spend(text.size() / 64));
  BoundedText out(interpreter.text_bytes_max());
  std::size_t at = 0;
  for (std::int64_t count = 0; (count_max < 0 || count < count_max) && !out.is_over(); ++count) {
    std::size_t found = text.find(from, at);
    if (from.empty()) {  // before each character and at the end
      found = at;
      if (at == text.size()) {
        out.append(to);
        break;
      }
      const std::size_t size = decode_utf8(text, at).size_bytes;
      out.append(to);
      out.append(text.substr(at, size));
      at += size;
      continue;
    }
    if (found == std::string_view::npos) break;
    out.append(text.substr(at, found - at));
    out.append(to);
    at = found + from.size();
  }
  out.append(text.substr(at));
  return interpreter.finish(out);
}

Result<Value> join_texts(Interpreter& interpreter, const std::vector<Value>& items,
                         std::string_view separator) {
  BoundedText out(interpreter.text_bytes_max());
  for (std::size_t i = 0; i < items.size() && !out.is_over(); ++i) {
    if (i > 0) out.append(separator);
    write_text(items[i], out);
  }
  return interpreter.finish(out);
}

}  // namespace pianola::jinja
