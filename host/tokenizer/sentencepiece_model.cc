#include "host/tokenizer/sentencepiece_model.h"

#include <algorithm>
#include <cmath>
#include <queue>

#include "host/tokenizer/unicode.h"

namespace pianola {

Result<SentencePieceModel> SentencePieceModel::build(const Vocabulary& vocabulary,
                                                     std::vector<float> scores,
                                                     SentencePieceOptions options) {
  SentencePieceModel model;
  model.options_ = options;
  model.byte_ids_.fill(-1);
  model.unused_.resize(vocabulary.size());
  if (scores.size() != vocabulary.size()) {
    return Error{ErrorCode::Malformed,
                 std::to_string(scores.size()) + " scores for " +
                     std::to_string(vocabulary.size()) + " tokens",
                 "tokenizer"};
  }
  for (std::size_t i = 0; i < vocabulary.size(); ++i) {
    const int id = static_cast<int>(i);
    const std::string& text = vocabulary.texts[i];
    // An order with NaN in it is none, and the heap would be anyone's guess.
    if (!std::isfinite(scores[i])) {
      return Error{ErrorCode::Malformed,
                   "the score of token " + std::to_string(i) + " is not a finite number",
                   "tokenizer"};
    }
    const TokenKind kind = vocabulary.kinds[i];
    if (kind == TokenKind::Byte) {
      if (const auto byte = parse_byte_token(text)) model.byte_ids_[*byte] = id;
      continue;
    }
    if (kind == TokenKind::Control || kind == TokenKind::Unknown || text.empty()) continue;
    model.pieces_.emplace(text, id);
    model.piece_size_max_ = std::max(model.piece_size_max_, text.size());
    model.unused_[i] = kind == TokenKind::Unused;
    if (kind == TokenKind::UserDefined) model.user_defined_.insert(text, id);
  }
  model.scores_ = std::move(scores);
  return model;
}

std::size_t SentencePieceModel::user_defined_size(std::string_view text,
                                                  std::size_t position) const {
  if (user_defined_.empty()) return 0;
  const auto found = user_defined_.longest_at(text, position, [](int) { return true; });
  return found ? found->size_bytes : 0;
}

// The merging of one text.
class SentencePieceModel::MergeRun {
 public:
  MergeRun(const SentencePieceModel& model, std::string_view text) : model_(model), text_(text) {
    for (std::size_t i = 0; i < text.size();) {
      const std::size_t frozen_size = model.user_defined_size(text, i);
      const std::size_t size = frozen_size > 0 ? frozen_size : decode_utf8(text, i).size_bytes;
      const int at = static_cast<int>(symbols_.size());
      symbols_.push_back({i, size, at - 1, at + 1, frozen_size > 0});
      i += size;
    }
    if (!symbols_.empty()) symbols_.back().next = -1;
    for (std::size_t i = 0; i + 1 < symbols_.size(); ++i) consider(static_cast<int>(i));
  }

  void run() {
    while (!queue_.empty()) {
      const Candidate best = queue_.top();
      queue_.pop();
      Symbol& left = symbol(best.left);
      Symbol& right = symbol(best.right);
      if (left.size == 0 || right.size == 0 || left.size + right.size != best.size) continue;
      left.size = best.size;
      left.next = right.next;
      right.size = 0;
      if (left.next >= 0) symbol(left.next).previous = best.left;
      if (left.previous >= 0) consider(left.previous);
      consider(best.left);
    }
  }

  void append_to(std::vector<int>& ids) {
    bool after_unknown = false;
    for (const Symbol& symbol : symbols_) {
      if (symbol.size == 0) continue;
      const auto piece = text_.substr(symbol.begin, symbol.size);
      after_unknown = append_piece(piece, after_unknown, ids);
    }
  }

 private:
  struct Symbol {
    std::size_t begin = 0;
    std::size_t size = 0;  // 0: merged into its left neighbour
    int previous = -1;
    int next = -1;
    bool frozen = false;
  };
  struct Candidate {
    float score = 0;
    int left = 0;
    int right = 0;
    std::size_t size = 0;
    bool operator<(const Candidate& other) const {
      return score != other.score ? score < other.score : left > other.left;
    }
  };

  Symbol& symbol(int index) { return symbols_[static_cast<std::size_t>(index)]; }

  void consider(int left) {
    const int right = symbol(left).next;
    if (right < 0 || symbol(left).frozen || symbol(right).frozen) return;
    const std::size_t size = symbol(left).size + symbol(right).size;
    if (size > model_.piece_size_max_) return;
    const std::string_view piece = text_.substr(symbol(left).begin, size);
    const auto id = find_token(model_.pieces_, piece);
    if (!id) return;
    queue_.push({model_.scores_[static_cast<std::size_t>(*id)], left, right, size});
    // An unused piece may be passed through on the way to another; if it stays, it is undone.
    if (model_.is_unused(*id)) undo_[piece] = symbol(left).size;
  }

  // Whether it ended in the unknown token.
  bool append_piece(std::string_view piece, bool after_unknown, std::vector<int>& ids) {
    std::vector<std::string_view> stack = {piece};
    while (!stack.empty()) {
      const std::string_view top = stack.back();
      stack.pop_back();
      const auto id = find_token(model_.pieces_, top);
      if (!id) {
        model_.append_unmergeable(top, after_unknown, ids);
        after_unknown = !model_.options_.byte_fallback;
        continue;
      }
      const auto undo = model_.is_unused(*id) ? undo_.find(top) : undo_.end();
      if (undo == undo_.end()) {
        ids.push_back(*id);
        after_unknown = false;
      } else {
        stack.push_back(top.substr(undo->second));
        stack.push_back(top.substr(0, undo->second));
      }
    }
    return after_unknown;
  }

  const SentencePieceModel& model_;
  std::string_view text_;
  std::vector<Symbol> symbols_;
  std::priority_queue<Candidate> queue_;
  std::unordered_map<std::string_view, std::size_t> undo_;  // unused piece -> its left part's size
};

void SentencePieceModel::append_unmergeable(std::string_view text, bool after_unknown,
                                            std::vector<int>& ids) const {
  if (!options_.byte_fallback) {
    if (!after_unknown) ids.push_back(options_.unknown_id);  // neighbours become one
    return;
  }
  for (const char c : text) {
    const int id = byte_ids_[static_cast<unsigned char>(c)];
    ids.push_back(id >= 0 ? id : options_.unknown_id);
  }
}

void SentencePieceModel::encode(std::string_view text, std::vector<int>& ids) const {
  MergeRun run(*this, text);
  run.run();
  run.append_to(ids);
}

}  // namespace pianola
