// Numbers in the values of options.
#pragma once

#include <charconv>
#include <string_view>

namespace pianola {

// The whole text as a decimal number that fits; else `value` means nothing.
template <typename Number>
bool parse_number(std::string_view text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

// "FIRST" or "FIRST:SECOND"; without a second number, `second` stays as it is.
template <typename First, typename Second>
bool parse_numbers(std::string_view text, First& first, Second& second) {
  const size_t colon = text.find(':');
  return parse_number(text.substr(0, colon), first) &&
         (colon == std::string_view::npos || parse_number(text.substr(colon + 1), second));
}

}  // namespace pianola
