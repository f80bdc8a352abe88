// UTF-8 and the few Unicode properties a tokenizer needs. Text inside the tokenizer is always
// valid UTF-8: to_valid_utf8 is the gate at the entry, take_complete_utf8 the one at the exit.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace pianola {

inline constexpr char32_t kReplacementCharacter = 0xFFFD;

struct Utf8Char {
  char32_t code = kReplacementCharacter;
  std::size_t size_bytes = 1;  // where not valid: of the maximal part that begins a character
  bool valid = false;
  bool incomplete = false;  // not valid only because the text ends here
};

// The character at `position`, which must be inside the text.
Utf8Char decode_utf8(std::string_view text, std::size_t position);
void append_utf8(std::string& out, char32_t code);
bool is_valid_utf8(std::string_view text);

// Each maximal invalid part becomes one U+FFFD, as the Unicode standard recommends.
std::string to_valid_utf8(std::string_view text);

// Moves everything up to an incomplete last character out of `pending`; invalid parts become
// U+FFFD. At most three bytes stay behind.
std::string take_complete_utf8(std::string& pending);

bool is_white_space(char32_t code);  // property White_Space
bool is_number(char32_t code);       // categories Nd, Nl, No
bool is_punctuation(char32_t code);  // categories P*, and all of ASCII's
bool is_mark(char32_t code);         // categories Mn, Mc, Me
// Letters, marks, decimal and letter numbers, connectors, joiners.
bool is_word_character(char32_t code);
void append_lower_case(std::string& out, char32_t code);

enum class UnicodeForm { Nfc, Nfd, Nfkc, Nfkd };
std::string normalize_unicode(std::string_view text, UnicodeForm form);

}  // namespace pianola
