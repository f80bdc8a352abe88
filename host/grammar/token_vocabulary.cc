#include "host/grammar/token_vocabulary.h"

#include <algorithm>
#include <numeric>

#include "host/tokenizer/tokenizer.h"

namespace pianola {

TokenVocabulary::TokenVocabulary(std::vector<std::string> bytes, std::vector<int> eos_ids)
    : bytes_(std::move(bytes)), eos_ids_(std::move(eos_ids)) {
  std::vector<int> order(bytes_.size());
  std::iota(order.begin(), order.end(), 0);
  std::erase_if(order, [&](int token) {
    const std::size_t size = this->bytes(token).size();
    return size == 0 || size > kTokenBytesMax || is_eos(token);
  });
  std::sort(order.begin(), order.end(), [&](int a, int b) {
    const int compared = this->bytes(a).compare(this->bytes(b));
    return compared != 0 ? compared < 0 : a < b;
  });
  std::vector<std::uint32_t> path;  // the nodes from the root to the last one
  const std::string* before = nullptr;
  for (const int token : order) {
    const std::string& text = this->bytes(token);
    std::size_t shared = 0;
    if (before != nullptr) {
      shared = static_cast<std::size_t>(
          std::mismatch(before->begin(), before->end(), text.begin(), text.end()).first -
          before->begin());
    }
    while (path.size() > shared) {
      nodes_[path.back()].end = static_cast<std::uint32_t>(nodes_.size());
      path.pop_back();
    }
    for (std::size_t at = shared; at < text.size(); ++at) {
      path.push_back(static_cast<std::uint32_t>(nodes_.size()));
      nodes_.push_back({0, static_cast<std::uint32_t>(tokens_.size()), 0,
                        static_cast<std::uint16_t>(at + 1), static_cast<unsigned char>(text[at])});
    }
    ++nodes_[path.back()].token_count;
    tokens_.push_back(token);
    before = &text;
  }
  for (const std::uint32_t node : path)
    nodes_[node].end = static_cast<std::uint32_t>(nodes_.size());
}

bool TokenVocabulary::is_eos(int token) const {
  return std::find(eos_ids_.begin(), eos_ids_.end(), token) != eos_ids_.end();
}

TokenVocabulary TokenVocabulary::from_tokenizer(const Tokenizer& tokenizer,
                                                std::span<const std::string_view> marks) {
  std::vector<std::string> bytes = tokenizer.token_bytes();
  for (const std::string_view mark : marks) {
    if (const auto id = tokenizer.token_id(mark)) bytes[static_cast<std::size_t>(*id)] = mark;
  }
  return {std::move(bytes), tokenizer.eos_ids()};
}

}  // namespace pianola
