// What a tokenizer is, whatever file it came from: steps from text to ids, and steps back.
//
//   text -> cut out added tokens -> normalize -> split -> model -> template
//
// The readers (read_*.cc) fill it in; tokenizer.h is the face.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "host/tokenizer/added_tokens.h"
#include "host/tokenizer/bpe_model.h"
#include "host/tokenizer/decode_steps.h"
#include "host/tokenizer/normalize_text.h"
#include "host/tokenizer/sentencepiece_model.h"
#include "host/tokenizer/split_text.h"
#include "host/tokenizer/tokenizer.h"
#include "host/tokenizer/vocabulary.h"
#include "isa/result.h"

namespace pianola {

// Which reader the source bytes are for; numbers of the serialized form.
enum class SourceKind : unsigned char { HfJson = 1, SentencePiece = 2, Gguf = 3 };

struct Pipeline {
  Vocabulary vocabulary;
  TokenIndex all_tokens;           // of every token, added ones too, by text
  std::vector<bool> is_special;    // [vocabulary]
  AddedTokenSet added;             // looked for in the text as it came
  AddedTokenSet added_normalized;  // looked for in the normalized text
  std::vector<NormalizeStep> normalize;
  std::vector<SplitStep> split;
  std::variant<BpeModel, SentencePieceModel> model;
  std::vector<int> before;  // the template: what goes before and after the text
  std::vector<int> after;
  std::vector<DecodeStep> decode;
  bool added_are_plain_text = false;  // user-defined and control tokens, to a byte-level decoder
  std::string unknown_surface;        // what an unknown token decodes to; empty: its own text

  std::optional<int> bos_id;
  std::vector<int> eos_ids;

  SourceKind source_kind = SourceKind::HfJson;
  std::vector<std::string> sources;  // the reader's input files

  bool has_token(int id) const {
    return id >= 0 && static_cast<std::size_t>(id) < vocabulary.size();
  }
};

Result<std::vector<int>> encode_text(const Pipeline& pipeline, std::string_view text,
                                     const EncodeOptions& options);

// The ids' text as bytes, which may be no UTF-8 where BadBytes::Keep.
std::string decode_ids(const Pipeline& pipeline, std::span<const int> ids,
                       const DecodeOptions& options, BadBytes bad_bytes);

// Sets all_tokens and the end-of-text ids known by name, once the vocabulary is complete.
void index_tokens(Pipeline& pipeline);
// Adds the ids of special tokens whose well-known names say that a generation ends there.
void add_well_known_eos(Pipeline& pipeline);

// The readers, from the forms that serialize() keeps.
Result<Tokenizer> read_hf_sources(std::vector<std::string> sources);
Result<Tokenizer> read_sentencepiece_source(std::string source);
Result<Tokenizer> read_gguf_source(std::string source);

// The steps of a SentencePiece vocabulary, whose tokens and kinds are in the pipeline already.
Status finish_sentencepiece(Pipeline& pipeline, std::vector<float> scores, bool byte_fallback,
                            SentencePieceNormalizer normalizer);

inline std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace pianola
