// Quotes a name out of a file for an error message: a hostile file must not put control
// characters, or megabytes, on the user's terminal.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

namespace pianola {

// 'text', with bytes outside printable ASCII as \xNN, cut after 100 bytes.
inline std::string quote_name(std::string_view text) {
  constexpr std::size_t kShown = 100;
  std::string out = "'";
  for (const char c : text.substr(0, kShown)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '\'' && c != '\\') {
      out += c;
    } else {
      char hex[5];
      std::snprintf(hex, sizeof hex, "\\x%02x", byte);
      out += hex;
    }
  }
  out += text.size() > kShown ? "...'" : "'";
  return out;
}

}  // namespace pianola
