#include "host/tokenizer/bpe_model.h"

#include <algorithm>
#include <queue>

#include "formats/quote.h"
#include "host/tokenizer/unicode.h"

namespace pianola {
namespace {

std::uint64_t pair_key(int left, int right) {
  return (static_cast<std::uint64_t>(left) << 32) | static_cast<std::uint32_t>(right);
}

}  // namespace

// The identity, std::hash's choice, would let consecutive ids share buckets.
std::size_t BpeModel::MixBits::operator()(std::uint64_t key) const {
  key = (key ^ (key >> 30)) * 0xBF58476D1CE4E5B9u;
  key = (key ^ (key >> 27)) * 0x94D049BB133111EBu;
  return static_cast<std::size_t>(key ^ (key >> 31));
}

Result<BpeModel> BpeModel::build(TokenIndex index, const std::vector<TextPair>& merges,
                                 BpeOptions options) {
  BpeModel model;
  model.index_ = std::move(index);
  model.options_ = std::move(options);
  model.byte_ids_.fill(-1);
  static constexpr char kDigits[] = "0123456789ABCDEF";
  for (unsigned byte = 0; byte < 256; ++byte) {
    const std::string text = {'<', '0', 'x', kDigits[byte >> 4], kDigits[byte & 15], '>'};
    model.byte_ids_[byte] = model.find(text).value_or(-1);
  }
  model.merges_.reserve(merges.size());
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const auto& [left, right] = merges[rank];
    std::string merged(left);
    if (right.size() >= model.options_.continuing_prefix.size()) {
      merged += right.substr(model.options_.continuing_prefix.size());
    }
    const auto left_id = model.find(left);
    const auto right_id = model.find(right);
    const auto merged_id = model.find(merged);
    if (left_id && right_id && merged_id) {
      model.merges_[pair_key(*left_id, *right_id)] = {static_cast<int>(rank), *merged_id};
    } else if (!model.options_.skip_unknown_merges) {
      const std::string_view missing = !left_id ? left : !right_id ? right : merged;
      return Error{ErrorCode::Malformed,
                   "merge " + std::to_string(rank) + " needs the token " + quote_name(missing) +
                       ", which is not in the vocabulary",
                   "tokenizer"};
    }
  }
  return model;
}

const BpeModel::Merge* BpeModel::find_merge(int left, int right) const {
  const auto entry = merges_.find(pair_key(left, right));
  return entry == merges_.end() ? nullptr : &entry->second;
}

std::vector<int> BpeModel::characters_of(std::string_view word) const {
  std::vector<int> ids;
  bool unknown_pending = false;
  const auto flush_unknown = [&] {
    if (unknown_pending) ids.push_back(*options_.unknown_id);
    unknown_pending = false;
  };
  std::string affixed;
  for (std::size_t i = 0; i < word.size();) {
    const std::size_t size = decode_utf8(word, i).size_bytes;
    std::string_view text = word.substr(i, size);
    const bool has_prefix = i > 0 && !options_.continuing_prefix.empty();
    const bool has_suffix = i + size == word.size() && !options_.end_of_word_suffix.empty();
    if (has_prefix || has_suffix) {
      affixed = has_prefix ? options_.continuing_prefix : "";
      affixed += text;
      if (has_suffix) affixed += options_.end_of_word_suffix;
      text = affixed;
    }
    i += size;
    if (const auto id = find(text)) {
      flush_unknown();
      ids.push_back(*id);
      continue;
    }
    const auto byte_id = [&](char c) { return byte_ids_[static_cast<unsigned char>(c)]; };
    if (options_.byte_fallback &&
        std::all_of(text.begin(), text.end(), [&](char c) { return byte_id(c) >= 0; })) {
      for (const char c : text) ids.push_back(byte_id(c));
      continue;
    }
    if (!options_.unknown_id) continue;
    if (!options_.fuse_unknown) flush_unknown();
    unknown_pending = true;
  }
  flush_unknown();
  return ids;
}

struct BpeModel::Symbol {
  int id = 0;
  int previous = -1;
  int next = -1;
  bool alive = true;
};

struct BpeModel::Candidate {
  int rank = 0;
  int left = 0;  // index of the left symbol
  int id = 0;    // what the pair becomes
  // The queue puts the greatest first: the lowest rank, then the leftmost.
  bool operator<(const Candidate& other) const {
    return rank != other.rank ? rank > other.rank : left > other.left;
  }
};

// The merging of one word.
class BpeModel::MergeRun {
 public:
  MergeRun(const BpeModel& model, const std::vector<int>& ids) : model_(model) {
    symbols_.resize(ids.size());
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const int at = static_cast<int>(i);
      symbols_[i] = {ids[i], at - 1, i + 1 < ids.size() ? at + 1 : -1, true};
    }
    for (std::size_t i = 0; i + 1 < ids.size(); ++i) consider(static_cast<int>(i));
  }

  void run() {
    while (!queue_.empty()) {
      const Candidate best = queue_.top();
      queue_.pop();
      Symbol& left = symbol(best.left);
      if (!left.alive || left.next < 0) continue;
      Symbol& right = symbol(left.next);
      // One side may have become another token since the candidate was queued.
      const Merge* merge = model_.find_merge(left.id, right.id);
      if (merge == nullptr || merge->id != best.id) continue;
      left.id = best.id;
      left.next = right.next;
      right.alive = false;
      if (left.next >= 0) symbol(left.next).previous = best.left;
      if (left.previous >= 0) consider(left.previous);
      consider(best.left);
    }
  }

  void append_to(std::vector<int>& ids) const {
    for (const Symbol& symbol : symbols_) {
      if (symbol.alive) ids.push_back(symbol.id);
    }
  }

 private:
  Symbol& symbol(int index) { return symbols_[static_cast<std::size_t>(index)]; }
  void consider(int left) {
    const int right = symbol(left).next;
    if (right < 0) return;
    const Merge* merge = model_.find_merge(symbol(left).id, symbol(right).id);
    if (merge != nullptr) queue_.push({merge->rank, left, merge->id});
  }

  const BpeModel& model_;
  std::vector<Symbol> symbols_;
  std::priority_queue<Candidate> queue_;
};

void BpeModel::encode(std::string_view word, std::vector<int>& ids) const {
  if (word.empty()) return;
  if (options_.ignore_merges) {
    if (const auto id = find(word)) {
      ids.push_back(*id);
      return;
    }
  }
  MergeRun run(*this, characters_of(word));
  run.run();
  run.append_to(ids);
}

}  // namespace pianola
