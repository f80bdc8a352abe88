// A vocabulary to test grammars with: every byte, pieces of JSON and text, parts of characters; the
// last token ends the text.
#pragma once

#include <string>
#include <vector>

#include "host/grammar/grammar_matcher.h"

namespace pianola {

inline TokenVocabulary byte_vocabulary() {
  std::vector<std::string> bytes;
  for (int byte = 0; byte < 256; ++byte) bytes.emplace_back(1, static_cast<char>(byte));
  for (const char* piece :
       {"{\"",          "\":",   "\": ",      "\", \"", "\"}",      "[]",       "{}",
        "true",         "false", "null",      ", ",     "],",       "},",       "ab",
        "abc",          "the",   " the",      "12",     "123",      "0.",       "-1",
        "e+",           "\\n",   "\\\"",      "\\u00",  "\xC3\xA9", "\xF0\x9F", "\x98\x80",
        "\xE6\x97\xA5", "name",  "\"name\"",  "\n  ",   "  ",       "\n",       "\"}]",
        "yes",          "no",    "yes or no", "\\",     "\"\""}) {
    bytes.emplace_back(piece);
  }
  const int eos = static_cast<int>(bytes.size());
  bytes.emplace_back("");
  return {std::move(bytes), {eos}};
}

inline int eos_of(const TokenVocabulary& vocabulary) { return vocabulary.eos_ids()[0]; }

inline bool is_allowed(std::span<const std::uint64_t> mask, int token) {
  return (mask[static_cast<std::size_t>(token) / 64] >> (static_cast<std::size_t>(token) % 64) &
          1) != 0;
}

// Whether the whole text is one of the grammar, byte by byte.
inline bool matches(const Grammar& grammar, std::string_view text) {
  static const TokenVocabulary kVocabulary = byte_vocabulary();
  GrammarMatcher matcher(grammar, kVocabulary);
  for (const char byte : text) {
    if (!matcher.accept(static_cast<unsigned char>(byte)).ok()) return false;
  }
  return matcher.is_complete();
}

}  // namespace pianola
