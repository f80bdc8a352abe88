// The alphabet of byte-level BPE, after GPT-2: every byte is written as one printable character.
// Printable Latin-1 bytes stand for themselves, the other 68 become U+0100 and up in byte order
// (so a space is U+0120).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace pianola {

char32_t byte_level_character(unsigned char byte);
std::optional<unsigned char> byte_of_character(char32_t code);  // nullopt: not of the alphabet

std::string to_byte_level(std::string_view bytes);
// A text with a character that is not of the alphabet (an added token) stands for its own bytes.
std::string from_byte_level(std::string_view text);

}  // namespace pianola
