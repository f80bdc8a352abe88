// The bytes that every token of a vocabulary adds to a text, in an order that shares beginnings:
// what a grammar's mask is computed over.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pianola {

class Tokenizer;

class TokenVocabulary {
 public:
  // `bytes` [vocabulary]: what each token adds in the middle of a text; empty ones can never be
  // allowed. `eos_ids` end a text.
  TokenVocabulary(std::vector<std::string> bytes, std::vector<int> eos_ids);

  // Of a tokenizer: special tokens add nothing, but for those whose text is one of `marks`.
  static TokenVocabulary from_tokenizer(const Tokenizer& tokenizer,
                                        std::span<const std::string_view> marks = {});

  std::size_t size() const { return bytes_.size(); }
  const std::string& bytes(int token) const { return bytes_[static_cast<std::size_t>(token)]; }
  const std::vector<int>& eos_ids() const { return eos_ids_; }
  bool is_eos(int token) const;

  // The trie in depth-first order. A node's children follow it; `end` is the first node that is
  // not below it. Its tokens are tokens()[first_token ... first_token + token_count).
  struct Node {
    std::uint32_t end = 0, first_token = 0, token_count = 0;
    std::uint16_t depth = 0;  // 1 below the root, which is no node
    unsigned char byte = 0;
  };
  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<int>& tokens() const { return tokens_; }

  static constexpr std::size_t kTokenBytesMax = 1024;  // longer tokens are never allowed

 private:
  std::vector<std::string> bytes_;
  std::vector<int> eos_ids_;
  std::vector<Node> nodes_;
  std::vector<int> tokens_;
};

}  // namespace pianola
