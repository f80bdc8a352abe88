// What SentencePiece does to a text before its model: the character map of the file, the handling
// of spaces, and U+2581 for each space. After normalizer.cc of github.com/google/sentencepiece.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "isa/result.h"

namespace pianola {

inline constexpr std::string_view kSpaceSymbol = "\xE2\x96\x81";  // U+2581

// "precompiled_charsmap": a double-array trie (Darts-clone) from character sequences to their
// replacements. Only looked in, never built. The bytes are hostile: every step is checked.
class CharacterMap {
 public:
  CharacterMap() = default;  // the identity
  static Result<CharacterMap> parse(std::string_view bytes);

  struct Replacement {
    std::size_t size_bytes = 0;  // of what is replaced, at the start of the text; 0: nothing
    std::string_view text;
  };
  Replacement longest_prefix(std::string_view text) const;

 private:
  std::vector<std::uint32_t> units_;
  std::string replacements_;  // each ends in a zero
};

struct SentencePieceNormalizer {
  CharacterMap map;
  bool add_dummy_prefix = true;
  bool remove_extra_spaces = true;
  bool escape_spaces = true;
  bool space_is_suffix = false;

  // `user_defined_size(text, position)`: how many bytes there must stay as they are.
  using UserDefinedSize = std::function<std::size_t(std::string_view, std::size_t)>;
  // Stops soon after `size_bytes_max`; the caller must refuse a longer result.
  std::string normalize(std::string_view text, const UserDefinedSize& user_defined_size,
                        std::size_t size_bytes_max) const;
};

}  // namespace pianola
