// Escapes that grammars and patterns share.
#pragma once

#include <cctype>
#include <string_view>

namespace pianola {

// The character after a backslash at `at`: n r t f v, a character of `plain` itself, xHH, uHHHH,
// UHHHHHHHH. Moves `at` behind it; false if it is none of these.
inline bool take_character_escape(std::string_view text, std::size_t& at, std::string_view plain,
                                  char32_t& code) {
  if (at >= text.size()) return false;
  const char c = text[at];
  static constexpr std::string_view kNames = "nrtfv", kValues = "\n\r\t\f\v";
  if (const std::size_t i = kNames.find(c); i != std::string_view::npos) {
    code = static_cast<char32_t>(kValues[i]);
    ++at;
    return true;
  }
  if (plain.find(c) != std::string_view::npos) {
    code = static_cast<char32_t>(static_cast<unsigned char>(c));
    ++at;
    return true;
  }
  const std::size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
  if (digits == 0 || text.size() - at <= digits) return false;
  code = 0;
  for (std::size_t i = 1; i <= digits; ++i) {
    const char h = text[at + i];
    if (std::isxdigit(static_cast<unsigned char>(h)) == 0) return false;
    code = code * 16 + static_cast<char32_t>(h <= '9' ? h - '0' : (h | 32) - 'a' + 10);
  }
  at += digits + 1;
  return code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
}

}  // namespace pianola
