// The parts of JSON as grammar symbols, made when first asked for.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "host/grammar/grammar_builder.h"

namespace pianola {

class JsonRules {
 public:
  using Sequence = GrammarBuilder::Sequence;

  explicit JsonRules(GrammarBuilder& builder) : builder_(builder) {}

  GrammarSymbol space();             // none, one, or a line break and indentation
  GrammarSymbol string_character();  // one code point of a string, escaped or not
  // One code point of the set, as a string holds it: plain where JSON allows, else escaped.
  GrammarSymbol string_character_of(const GrammarBuilder::CharacterRanges& ranges);
  GrammarSymbol string();
  GrammarSymbol integer();
  GrammarSymbol number();
  GrammarSymbol any_value();
  GrammarSymbol any_object();
  Sequence quoted(const Sequence& content);
  Sequence value(const nlohmann::ordered_json& json);  // exactly this value, keys in its order
  Sequence concatenate(const std::vector<Sequence>& parts);

  // `[` items separated by commas `]`.
  Sequence list(const std::vector<Sequence>& prefix, const std::optional<Sequence>& item,
                std::int64_t count_min, std::int64_t count_max);

  // Integers from `first` to `last`; absent: as far as 18 digits go.
  GrammarSymbol integer_between(std::int64_t first, std::int64_t last);
  static constexpr std::int64_t kIntegerMax = 999'999'999'999'999'999;

 private:
  GrammarSymbol digits(char first, char last);
  Sequence digits_between(const std::string& first, const std::string& last);

  GrammarBuilder& builder_;
  std::optional<GrammarSymbol> space_, string_character_, string_, integer_, number_, any_value_,
      any_object_;
};

}  // namespace pianola
