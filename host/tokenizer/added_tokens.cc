#include "host/tokenizer/added_tokens.h"

#include <algorithm>

#include "host/tokenizer/unicode.h"

namespace pianola {
namespace {

constexpr std::size_t kContentSizeMax = 4096;

std::size_t previous_character(std::string_view text, std::size_t end) {
  std::size_t begin = end - 1;
  while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
  return begin;
}

bool stands_alone(std::string_view text, std::size_t begin, std::size_t end) {
  if (begin > 0 && is_word_character(decode_utf8(text, previous_character(text, begin)).code))
    return false;
  return end == text.size() || !is_word_character(decode_utf8(text, end).code);
}

std::size_t skip_space_left(std::string_view text, std::size_t begin, std::size_t least) {
  while (begin > least) {
    const std::size_t previous = previous_character(text, begin);
    if (previous < least || !is_white_space(decode_utf8(text, previous).code)) break;
    begin = previous;
  }
  return begin;
}

std::size_t skip_space_right(std::string_view text, std::size_t end) {
  while (end < text.size()) {
    const Utf8Char c = decode_utf8(text, end);
    if (!is_white_space(c.code)) break;
    end += c.size_bytes;
  }
  return end;
}

}  // namespace

void PrefixSet::insert(std::string_view text, int value) {
  if (text.empty()) return;
  first_bytes_[static_cast<unsigned char>(text[0])] = true;
  std::uint32_t node = 0;
  for (const char c : text) {
    const std::uint64_t key = (std::uint64_t{node} << 8) | static_cast<unsigned char>(c);
    const auto [edge, is_new] = edges_.emplace(key, static_cast<std::uint32_t>(values_.size()));
    if (is_new) values_.push_back(-1);
    node = edge->second;
  }
  values_[node] = value;
}

Status AddedTokenSet::insert(AddedToken token) {
  if (token.content.size() > kContentSizeMax) {
    return Error{ErrorCode::OutOfRange,
                 "the added token of id " + std::to_string(token.id) + " has " +
                     std::to_string(token.content.size()) + " bytes; at most " +
                     std::to_string(kContentSizeMax) + " are accepted",
                 "tokenizer"};
  }
  if (token.content.empty()) return Ok{};
  contents_.insert(token.content, static_cast<int>(tokens_.size()));
  tokens_.push_back(std::move(token));
  return Ok{};
}

std::vector<TextSpan> AddedTokenSet::split(std::string_view text, bool parse_special) const {
  std::vector<TextSpan> spans;
  std::size_t done = 0;
  const auto accept = [&](int index) {
    return parse_special || !tokens_[static_cast<std::size_t>(index)].special;
  };
  for (std::size_t i = 0; i < text.size() && !tokens_.empty();) {
    const auto found = contents_.longest_at(text, i, accept);
    if (!found) {
      ++i;
      continue;
    }
    const AddedToken& token = tokens_[static_cast<std::size_t>(found->value)];
    std::size_t begin = i;
    std::size_t end = i + found->size_bytes;
    i = end;
    if (token.single_word && !stands_alone(text, begin, end)) continue;
    if (token.strip_left) begin = skip_space_left(text, begin, done);
    if (token.strip_right) end = skip_space_right(text, end);
    if (done < begin) spans.push_back({done, begin, std::nullopt});
    spans.push_back({begin, end, token.id});
    done = end;
    i = std::max(i, end);
  }
  if (done < text.size()) spans.push_back({done, text.size(), std::nullopt});
  return spans;
}

}  // namespace pianola
