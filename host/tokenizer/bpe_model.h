// Byte pair encoding as Hugging Face's "BPE" model does it: a word is cut into characters, then
// the pair whose merge has the lowest rank is merged, leftmost first, until none is left.
// A heap and a linked list keep a word of n characters at O(n log n), whatever it contains.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "host/tokenizer/vocabulary.h"
#include "isa/result.h"

namespace pianola {

struct BpeOptions {
  std::string continuing_prefix;     // before every character but a word's first
  std::string end_of_word_suffix;    // after a word's last
  std::optional<int> unknown_id;     // for characters that are not in the vocabulary
  bool fuse_unknown = false;         // neighbouring unknown characters become one
  bool byte_fallback = false;        // unknown characters become their bytes' tokens, if all exist
  bool ignore_merges = false;        // a word that is a token is that token
  bool skip_unknown_merges = false;  // instead of an error
};

using TextPair = std::pair<std::string_view, std::string_view>;

class BpeModel {
 public:
  // `merges` in order of rank. Error Malformed: a merge of or into what is no token.
  static Result<BpeModel> build(TokenIndex index, const std::vector<TextPair>& merges,
                                BpeOptions options);
  void encode(std::string_view word, std::vector<int>& ids) const;
  std::optional<int> find(std::string_view text) const { return find_token(index_, text); }

 private:
  struct Merge {
    int rank = 0;
    int id = 0;
  };
  struct MixBits {
    std::size_t operator()(std::uint64_t key) const;
  };
  struct Symbol;
  struct Candidate;
  class MergeRun;

  const Merge* find_merge(int left, int right) const;
  std::vector<int> characters_of(std::string_view word) const;

  TokenIndex index_;
  BpeOptions options_;
  ByteTokens byte_ids_{};
  std::unordered_map<std::uint64_t, Merge, MixBits> merges_;  // (left id, right id) -> merge
};

}  // namespace pianola
