// The tokens of a vocabulary by id, and the index from text to id that the models look in.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace pianola {

// Numbers as in SentencePiece's protobuf and GGUF's tokenizer.ggml.token_type.
enum class TokenKind {
  Normal = 1,
  Unknown = 2,
  Control = 3,
  UserDefined = 4,
  Unused = 5,
  Byte = 6,
};

struct Vocabulary {
  std::vector<std::string> texts;  // [vocabulary]; empty where no token has the id
  std::vector<TokenKind> kinds;    // [vocabulary]

  std::size_t size() const { return texts.size(); }
};

// Views into Vocabulary::texts, which must not change afterwards.
using TokenIndex = std::unordered_map<std::string_view, int>;

inline std::optional<int> find_token(const TokenIndex& index, std::string_view text) {
  const auto entry = index.find(text);
  if (entry == index.end()) return std::nullopt;
  return entry->second;
}

// The ids of "<0x00>" to "<0xFF>"; -1 where one is missing.
using ByteTokens = std::array<int, 256>;
std::optional<unsigned char> parse_byte_token(std::string_view text);

}  // namespace pianola
