// Values as text: as Python prints them, and as JSON.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "host/template/value.h"
#include "host/tokenizer/unicode.h"

namespace pianola::jinja {
namespace {

void write_json_string(std::string_view text, BoundedText& out) {
  out.append("\"");
  for (std::size_t at = 0; at < text.size() && !out.is_over(); ++at) {
    const char c = text[at];
    static constexpr std::string_view kPlain = "\"\\\n\r\t\f\b", kNames = "\"\\nrtfb";
    if (const std::size_t i = kPlain.find(c); i != std::string_view::npos) {
      const char escape[] = {'\\', kNames[i]};
      out.append({escape, 2});
    } else if (static_cast<unsigned char>(c) < 0x20) {
      static constexpr char kDigits[] = "0123456789abcdef";
      const char escape[] = {'\\', 'u', '0', '0', kDigits[c >> 4], kDigits[c & 15]};
      out.append({escape, 6});
    } else {
      out.append({&c, 1});
    }
  }
  out.append("\"");
}

// Python's repr of a string: in single quotes, unless only those are inside.
void write_quoted(std::string_view text, BoundedText& out) {
  const bool has_single = text.find('\'') != std::string_view::npos;
  const char quote = has_single && text.find('"') == std::string_view::npos ? '"' : '\'';
  out.append({&quote, 1});
  for (std::size_t at = 0; at < text.size() && !out.is_over(); ++at) {
    const char c = text[at];
    static constexpr std::string_view kPlain = "\n\r\t\\", kNames = "nrt\\";
    if (const std::size_t i = kPlain.find(c); i != std::string_view::npos || c == quote) {
      const char escape[] = {'\\', c == quote ? c : kNames[i]};
      out.append({escape, 2});
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      static constexpr char kDigits[] = "0123456789abcdef";
      const char escape[] = {'\\', 'x', kDigits[(c >> 4) & 15], kDigits[c & 15]};
      out.append({escape, 4});
    } else {
      out.append({&c, 1});
    }
  }
  out.append({&quote, 1});
}

void write_break(int indent, int depth, BoundedText& out) {
  if (indent < 0) return;
  out.append("\n");
  const std::string spaces(static_cast<std::size_t>(indent), ' ');
  for (int i = 0; i < depth && !out.is_over(); ++i) out.append(spaces);
}

Status write_json_list(const List& list, const JsonStyle& style, BoundedText& out, int depth) {
  out.append("[");
  bool is_first = true;
  for (const Value& item : list.items) {
    if (!is_first) out.append(style.item_separator);
    is_first = false;
    write_break(style.indent, depth + 1, out);
    TRY_STATUS(write_json(item, style, out, depth + 1));
  }
  if (!list.items.empty()) write_break(style.indent, depth, out);
  out.append("]");
  return Ok{};
}

Status write_json_map(const Map& map, const JsonStyle& style, BoundedText& out, int depth) {
  Members sorted;
  if (style.sort_keys) {
    sorted = map.members;
    std::sort(sorted.begin(), sorted.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
  }
  const Members& members = style.sort_keys ? sorted : map.members;
  out.append("{");
  bool is_first = true;
  for (const auto& [key, value] : members) {
    if (!is_first) out.append(style.item_separator);
    is_first = false;
    write_break(style.indent, depth + 1, out);
    write_json_string(key, out);
    out.append(style.key_separator);
    TRY_STATUS(write_json(value, style, out, depth + 1));
  }
  if (!members.empty()) write_break(style.indent, depth, out);
  out.append("}");
  return Ok{};
}

std::string format_special(double number, std::string_view nan, std::string_view infinity) {
  if (std::isnan(number)) return std::string(nan);
  return (number < 0 ? "-" : "") + std::string(infinity);
}

}  // namespace

// The shortest digits that give the number back; an exponent below 1e-4 and from 1e16.
std::string format_double(double number) {
  if (!std::isfinite(number)) return format_special(number, "nan", "inf");
  char buffer[64];
  const double size = std::fabs(number);
  const bool is_scientific = size != 0 && (size < 1e-4 || size >= 1e16);
  const auto format = is_scientific ? std::chars_format::scientific : std::chars_format::fixed;
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), number, format).ptr;
  std::string text(buffer, end);
  if (!is_scientific && text.find('.') == std::string::npos) text += ".0";
  return text;
}

void write_text(const Value& value, BoundedText& out) {
  if (const auto* text = std::get_if<std::string_view>(&value)) {
    out.append(*text);
  } else if (!std::holds_alternative<Undefined>(value)) {
    write_literal(value, out);
  }
}

void write_literal(const Value& value, BoundedText& out, int depth) {
  if (out.is_over()) return;
  if (depth > kDepthMax) return out.append("...");
  if (std::holds_alternative<Undefined>(value)) return out.append("Undefined");
  if (std::holds_alternative<None>(value)) return out.append("None");
  if (const bool* truth = std::get_if<bool>(&value)) return out.append(*truth ? "True" : "False");
  if (const auto* integer = std::get_if<std::int64_t>(&value))
    return out.append(std::to_string(*integer));
  if (const double* real = std::get_if<double>(&value)) return out.append(format_double(*real));
  if (const auto* text = std::get_if<std::string_view>(&value)) return write_quoted(*text, out);
  if (const auto* list = std::get_if<const List*>(&value)) {
    const bool is_tuple = (*list)->is_tuple;
    out.append(is_tuple ? "(" : "[");
    for (std::size_t i = 0; i < (*list)->items.size() && !out.is_over(); ++i) {
      if (i > 0) out.append(", ");
      write_literal((*list)->items[i], out, depth + 1);
    }
    if (is_tuple && (*list)->items.size() == 1) out.append(",");
    return out.append(is_tuple ? ")" : "]");
  }
  if (const auto* map = std::get_if<const Map*>(&value)) {
    out.append("{");
    bool is_first = true;
    for (const auto& [key, member] : (*map)->members) {
      if (out.is_over()) break;
      if (!is_first) out.append(", ");
      is_first = false;
      write_quoted(key, out);
      out.append(": ");
      write_literal(member, out, depth + 1);
    }
    return out.append("}");
  }
  out.append("<");
  out.append(type_name(value));
  out.append(">");
}

Status write_json(const Value& value, const JsonStyle& style, BoundedText& out, int depth) {
  if (out.is_over()) return Ok{};
  if (depth > kDepthMax)
    return Error{ErrorCode::OutOfRange, "a value nested too deep for tojson", ""};
  if (const auto* list = std::get_if<const List*>(&value)) {
    return write_json_list(**list, style, out, depth);
  }
  if (const auto* map = std::get_if<const Map*>(&value))
    return write_json_map(**map, style, out, depth);
  if (std::holds_alternative<None>(value)) {
    out.append("null");
  } else if (const bool* truth = std::get_if<bool>(&value)) {
    out.append(*truth ? "true" : "false");
  } else if (const auto* integer = std::get_if<std::int64_t>(&value)) {
    out.append(std::to_string(*integer));
  } else if (const double* real = std::get_if<double>(&value)) {
    out.append(std::isfinite(*real) ? format_double(*real)
                                    : format_special(*real, "NaN", "Infinity"));
  } else if (const auto* text = std::get_if<std::string_view>(&value)) {
    write_json_string(*text, out);
  } else {
    return Error{ErrorCode::Malformed,
                 "tojson of a value that JSON cannot express (" + std::string(type_name(value)) +
                     "); check that it is defined",
                 ""};
  }
  return Ok{};
}

}  // namespace pianola::jinja
