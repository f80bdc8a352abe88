// Tokens that are found in the text as they stand, before anything else looks at it: the special
// ones (<|begin_of_text|>, </s>) and those a user added. Leftmost, then longest, wins.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "isa/result.h"

namespace pianola {

struct AddedToken {
  int id = 0;
  std::string content;
  bool special = false;
  bool single_word = false;  // matches only where no word character is next to it
  bool strip_left = false;   // takes the white space before it along
  bool strip_right = false;
  bool normalized = false;  // matches the normalized text, not the original
};

// Which of a set of strings begins at a place: the longest.
class PrefixSet {
 public:
  void insert(std::string_view text, int value);
  struct Found {
    int value = 0;
    std::size_t size_bytes = 0;
  };
  // `accept(value)` says which of the strings count.
  template <typename Accept>
  std::optional<Found> longest_at(std::string_view text, std::size_t position,
                                  const Accept& accept) const {
    std::optional<Found> found;
    std::uint32_t node = 0;
    for (std::size_t i = position; i < text.size(); ++i) {
      const auto byte = static_cast<unsigned char>(text[i]);
      if (node == 0 && !first_bytes_[byte]) break;
      const auto edge = edges_.find((std::uint64_t{node} << 8) | byte);
      if (edge == edges_.end()) break;
      node = edge->second;
      if (values_[node] >= 0 && accept(values_[node])) found = {values_[node], i + 1 - position};
    }
    return found;
  }
  bool empty() const { return edges_.empty(); }

 private:
  std::array<bool, 256> first_bytes_{};
  std::unordered_map<std::uint64_t, std::uint32_t> edges_;  // (node, byte) -> node
  std::vector<int> values_{-1};                             // of each node; -1: none ends here
};

// A stretch of text; a token where `id` is set.
struct TextSpan {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::optional<int> id;
};

class AddedTokenSet {
 public:
  // Error OutOfRange: a content longer than 4096 bytes. Empty contents are ignored.
  Status insert(AddedToken token);
  // The text cut at the tokens, in order; the parts between are spans without an id. Special
  // tokens are plain text where `parse_special` is false.
  std::vector<TextSpan> split(std::string_view text, bool parse_special) const;
  bool empty() const { return tokens_.empty(); }

 private:
  std::vector<AddedToken> tokens_;
  PrefixSet contents_;  // value: index into tokens_
};

}  // namespace pianola
