// The "pre_tokenizer" of a tokenizer.json as a flat list of steps: each cuts every piece of text
// into smaller ones, which the model then encodes one by one. Names and semantics are Hugging
// Face's.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "host/tokenizer/regex.h"
#include "isa/result.h"

namespace pianola {

// What becomes of the matches.
enum class SplitBehavior { Isolated, Removed, MergedWithPrevious, MergedWithNext, Contiguous };

enum class CharacterClass { WhiteSpace, Number, Punctuation };

enum class PrependScheme { First, Never, Always };

struct SplitStep {
  enum class Kind {
    Pattern,    // pattern, behavior, invert
    Class,      // character_class, behavior
    ByteLevel,  // add_prefix_space, pattern if there is one; then the byte-level alphabet
    Metaspace,  // replacement, prepend_scheme, cut
  };
  Kind kind = Kind::Pattern;
  std::optional<Regex> pattern;
  SplitBehavior behavior = SplitBehavior::Isolated;
  bool invert = false;  // what does not match is the match
  CharacterClass character_class = CharacterClass::WhiteSpace;
  bool add_prefix_space = false;
  std::string replacement;  // for a space
  PrependScheme prepend_scheme = PrependScheme::Always;
  bool cut = true;  // before each replacement
};

struct Piece {
  std::string text;
  bool at_start = false;  // begins where the whole text begins
};

// Errors: OutOfRange, as Regex::find_all.
Result<std::vector<Piece>> split_text(std::span<const SplitStep> steps, Piece text,
                                      MatchBudget& budget);

}  // namespace pianola
