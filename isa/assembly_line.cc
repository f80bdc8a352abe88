#include "isa/assembly_line.h"

#include <charconv>

namespace pianola {
namespace {

constexpr size_t kShownCharacters = 40;

Error bad(const std::string& message) { return Error{ErrorCode::Malformed, message, ""}; }

std::string shown(std::string_view text) {
  std::string out = "\"";
  for (char c : text.substr(0, kShownCharacters)) out += c >= 0x20 && c < 0x7f ? c : '?';
  return out + (text.size() > kShownCharacters ? "...\"" : "\"");
}

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r'; }

// The text between quotes from `at` (behind the first quote) on; moves `at` behind the last one.
Result<std::string> read_quoted(std::string_view text, size_t& at) {
  std::string value;
  for (; at < text.size(); ++at) {
    if (text[at] == '"') {
      ++at;
      if (at < text.size() && !is_space(text[at])) return bad("expected a space behind a quote");
      return value;
    }
    if (text[at] == '\\' && ++at == text.size()) break;
    value += text[at];
  }
  return bad("a quote is not closed");
}

}  // namespace

std::optional<uint64_t> parse_unsigned(std::string_view text) {
  const bool is_hex = text.starts_with("0x");
  if (is_hex) text.remove_prefix(2);
  uint64_t value = 0;
  const auto [end, code] =
      std::from_chars(text.data(), text.data() + text.size(), value, is_hex ? 16 : 10);
  if (text.empty() || code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<int64_t> parse_signed(std::string_view text) {
  const bool negative = text.starts_with("-");
  const auto size = parse_unsigned(negative ? text.substr(1) : text);
  if (!size || *size > uint64_t{INT64_MAX} + (negative ? 1 : 0)) return std::nullopt;
  return static_cast<int64_t>(negative ? 0 - *size : *size);
}

Result<AssemblyLine> AssemblyLine::split(std::string_view text) {
  AssemblyLine line;
  size_t at = 0;
  while (true) {
    while (at < text.size() && is_space(text[at])) ++at;
    if (at == text.size() || text[at] == '#') return line;
    const size_t begin = at;
    while (at < text.size() && !is_space(text[at]) && text[at] != '=' && text[at] != '#') ++at;
    const std::string_view first = text.substr(begin, at - begin);
    if (at == text.size() || text[at] != '=') {
      line.parts_.push_back({{}, std::string(first)});
      continue;
    }
    if (first.empty()) return bad("expected a key before =");
    if (line.has(first)) return bad("the key " + shown(first) + " is given twice");
    ++at;
    Part part{first, {}};
    if (at < text.size() && text[at] == '"') {
      ++at;
      TRY(part.value, read_quoted(text, at));
    } else {
      const size_t value_begin = at;
      while (at < text.size() && !is_space(text[at]) && text[at] != '#') ++at;
      part.value = text.substr(value_begin, at - value_begin);
    }
    line.parts_.push_back(std::move(part));
  }
}

AssemblyLine::Part* AssemblyLine::find(std::string_view key) {
  for (Part& part : parts_) {
    if (part.key == key && !part.taken) return &part;
  }
  return nullptr;
}

bool AssemblyLine::has(std::string_view key) const {
  for (const Part& part : parts_) {
    if (part.key == key && !part.taken) return true;
  }
  return false;
}

std::string_view AssemblyLine::take_word() {
  Part* part = find("");
  if (part == nullptr) return {};
  part->taken = true;
  return part->value;
}

Result<int64_t> AssemblyLine::take_signed(std::string_view key, int64_t minimum, int64_t maximum,
                                          std::optional<int64_t> fallback) {
  Part* part = find(key);
  if (part == nullptr && fallback) return *fallback;
  if (part != nullptr) part->taken = true;
  const auto value = part ? parse_signed(part->value) : std::nullopt;
  if (value && *value >= minimum && *value <= maximum) return *value;
  return bad(std::string(key) + ": expected " + std::to_string(minimum) + " to " +
             std::to_string(maximum) + ", got " + (part ? shown(part->value) : "nothing"));
}

Result<uint64_t> AssemblyLine::take_unsigned(std::string_view key, uint64_t maximum,
                                             std::optional<uint64_t> fallback) {
  Part* part = find(key);
  if (part == nullptr && fallback) return *fallback;
  if (part != nullptr) part->taken = true;
  const auto value = part ? parse_unsigned(part->value) : std::nullopt;
  if (value && *value <= maximum) return *value;
  return bad(std::string(key) + ": expected 0 to " + std::to_string(maximum) + ", got " +
             (part ? shown(part->value) : "nothing"));
}

Result<int> AssemblyLine::take_choice(std::string_view key, std::span<const std::string_view> names,
                                      std::optional<int> fallback) {
  Part* part = find(key);
  if (part == nullptr && fallback) return *fallback;
  if (part != nullptr) part->taken = true;
  std::string expected;
  for (size_t i = 0; i < names.size(); ++i) {
    if (part && part->value == names[i]) return static_cast<int>(i);
    expected += (i == 0 ? "" : ", ") + std::string(names[i]);
  }
  return bad(std::string(key) + ": expected one of " + expected + ", got " +
             (part ? shown(part->value) : "nothing"));
}

Result<std::string> AssemblyLine::take_text(std::string_view key,
                                            std::optional<std::string> fallback) {
  Part* part = find(key);
  if (part == nullptr && fallback) return *std::move(fallback);
  if (part == nullptr) return bad(std::string(key) + ": expected a text, got nothing");
  part->taken = true;
  return part->value;
}

Status AssemblyLine::finish() const {
  for (const Part& part : parts_) {
    if (part.taken) continue;
    return bad(part.key.empty() ? shown(part.value) + " does not belong here"
                                : "there is no key " + shown(part.key) + " here");
  }
  return Ok{};
}

}  // namespace pianola
