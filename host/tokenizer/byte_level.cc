#include "host/tokenizer/byte_level.h"

#include <array>

#include "host/tokenizer/unicode.h"

namespace pianola {
namespace {

constexpr bool stands_for_itself(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr std::array<char32_t, 256> make_alphabet() {
  std::array<char32_t, 256> alphabet{};
  char32_t next = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte) {
    alphabet[byte] = stands_for_itself(byte) ? byte : next++;
  }
  return alphabet;
}

constexpr std::array<char32_t, 256> kAlphabet = make_alphabet();

constexpr std::array<int, 0x144> make_inverse() {
  std::array<int, 0x144> inverse{};
  for (int& byte : inverse) byte = -1;
  for (unsigned byte = 0; byte < 256; ++byte) inverse[kAlphabet[byte]] = static_cast<int>(byte);
  return inverse;
}

constexpr std::array<int, 0x144> kInverse = make_inverse();

}  // namespace

char32_t byte_level_character(unsigned char byte) { return kAlphabet[byte]; }

std::optional<unsigned char> byte_of_character(char32_t code) {
  if (code >= kInverse.size() || kInverse[code] < 0) return std::nullopt;
  return static_cast<unsigned char>(kInverse[code]);
}

std::string to_byte_level(std::string_view bytes) {
  std::string out;
  out.reserve(2 * bytes.size());
  for (const char c : bytes) append_utf8(out, kAlphabet[static_cast<unsigned char>(c)]);
  return out;
}

std::string from_byte_level(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Char c = decode_utf8(text, i);
    const auto byte = c.valid ? byte_of_character(c.code) : std::nullopt;
    if (!byte) return std::string(text);
    out += static_cast<char>(*byte);
    i += c.size_bytes;
  }
  return out;
}

}  // namespace pianola
