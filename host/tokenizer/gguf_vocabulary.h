// The tokenizer.* metadata of a GGUF file, apart from the file: what tokenizer_from_gguf takes out
// of it and serialize() keeps.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "host/tokenizer/tokenizer.h"
#include "isa/result.h"

namespace pianola {

struct GgufVocabulary {
  std::string model;                // "gpt2" (BPE) or "llama" (SentencePiece)
  std::string pre = "default";      // names the split patterns of "gpt2"
  std::vector<std::string> tokens;  // [vocabulary]
  std::vector<int> kinds;           // [vocabulary] as TokenKind; empty: all normal
  std::vector<float> scores;        // [vocabulary] "llama" only
  std::vector<std::string> merges;  // "a b", in order of rank; "gpt2" only
  std::int64_t bos_id = -1;         // -1: none
  std::vector<std::int64_t> eos_ids;
  bool add_bos = false;
  bool add_eos = false;          // the first of eos_ids
  bool add_space_prefix = true;  // "llama" only
};

// Errors: Malformed, Unsupported (another model, or a `pre` this build does not know).
Result<Tokenizer> tokenizer_from_gguf_vocabulary(const GgufVocabulary& vocabulary);

std::string to_bytes(const GgufVocabulary& vocabulary);
Result<GgufVocabulary> gguf_vocabulary_from_bytes(std::string_view bytes);

// How the vocabularies that call themselves `pre` split text.
struct GgufSplit {
  std::vector<std::string_view> patterns;  // applied in turn; matches and what is between stay
  bool ignore_merges = false;
  bool adds_bos = false;  // where the file does not say
};
Result<GgufSplit> find_gguf_split(std::string_view pre);

}  // namespace pianola
