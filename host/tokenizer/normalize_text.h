// The "normalizer" of a tokenizer.json as a flat list of steps (sequences are flattened): text in,
// text out. Names and semantics are Hugging Face's.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "host/tokenizer/normalize_sentencepiece.h"
#include "host/tokenizer/regex.h"
#include "host/tokenizer/unicode.h"
#include "isa/result.h"

namespace pianola {

struct NormalizeStep {
  enum class Kind {
    Form,     // form
    Prepend,  // content; not to an empty text
    Replace,  // each match of pattern by content
    Lowercase,
    Strip,         // white space at strip_left, strip_right
    StripAccents,  // all combining marks
    ByteLevel,     // bytes as characters of the byte-level alphabet
    SentencePiece  // sentencepiece
  };
  Kind kind = Kind::Form;
  UnicodeForm form = UnicodeForm::Nfc;
  std::string content;
  std::optional<Regex> pattern;
  bool strip_left = false;
  bool strip_right = false;
  SentencePieceNormalizer sentencepiece;
  SentencePieceNormalizer::UserDefinedSize user_defined_size;
};

// The text with each match replaced. Error OutOfRange: as Regex::find_all, or the result is larger
// than kNormalizedSizeMax.
Result<std::string> replace_all(const Regex& pattern, std::string_view text,
                                std::string_view replacement, MatchBudget& budget);

inline constexpr std::size_t kNormalizedSizeMax = std::size_t{512} << 20;

// Errors: OutOfRange.
Result<std::string> normalize_text(std::span<const NormalizeStep> steps, std::string text,
                                   MatchBudget& budget);

}  // namespace pianola
