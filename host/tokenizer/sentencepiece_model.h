// The BPE model of SentencePiece (and of GGUF's "llama" vocabularies): a text is cut into
// characters, then the neighbours whose concatenation is the piece of highest score are merged,
// leftmost first, until none is left. There is no pre-tokenizer: the whole text is one word, so
// the heap and the linked list matter. After bpe_model.cc of github.com/google/sentencepiece.
#pragma once

#include <string_view>
#include <vector>

#include "host/tokenizer/added_tokens.h"
#include "host/tokenizer/vocabulary.h"
#include "isa/result.h"

namespace pianola {

struct SentencePieceOptions {
  bool byte_fallback = false;
  int unknown_id = 0;
};

class SentencePieceModel {
 public:
  // `scores` by id; the vocabulary must outlive the model. Errors: Malformed.
  static Result<SentencePieceModel> build(const Vocabulary& vocabulary, std::vector<float> scores,
                                          SentencePieceOptions options);
  // `text` is normalized: spaces are U+2581.
  void encode(std::string_view text, std::vector<int>& ids) const;
  // The size of the user-defined piece that begins here; 0: none.
  std::size_t user_defined_size(std::string_view text, std::size_t position) const;

 private:
  class MergeRun;
  bool is_unused(int id) const { return unused_[static_cast<std::size_t>(id)]; }
  void append_unmergeable(std::string_view text, bool after_unknown, std::vector<int>& ids) const;

  TokenIndex pieces_;  // normal, user-defined, unused
  std::vector<float> scores_;
  std::vector<bool> unused_;
  PrefixSet user_defined_;
  ByteTokens byte_ids_{};
  SentencePieceOptions options_;
  std::size_t piece_size_max_ = 0;
};

}  // namespace pianola
