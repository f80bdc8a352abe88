// Builds a Grammar from rules; what the readers of GBNF, JSON Schema and patterns share.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "host/grammar/grammar.h"

namespace pianola {

class GrammarBuilder {
 public:
  using Sequence = std::vector<GrammarSymbol>;
  using CharacterRanges = std::vector<std::pair<char32_t, char32_t>>;  // both ends included

  static constexpr std::size_t kSymbolsMax = 300'000;
  static constexpr char32_t kLastCharacter = 0x10FFFF;

  // A rule to be defined later, so that it can refer to itself. `name` is for messages.
  GrammarSymbol declare(std::string name);
  void define(GrammarSymbol rule, std::vector<Sequence> alternatives);
  GrammarSymbol rule(std::vector<Sequence> alternatives);

  GrammarSymbol bytes(const ByteSet& set);
  Sequence literal(std::string_view text);
  // One character of the set, in UTF-8; surrogates are left out. An empty set matches nothing.
  GrammarSymbol character(const CharacterRanges& ranges);
  // `count_max` -1: without end.
  GrammarSymbol repeat(const Sequence& item, std::int64_t count_min, std::int64_t count_max);
  GrammarSymbol optional(const Sequence& item) { return rule({item, {}}); }

  bool is_over() const { return size_ > kSymbolsMax; }

  // Errors: OutOfRange (more than kSymbolsMax symbols), Unsupported (left recursion), Mismatch
  // (no finite text matches).
  Result<Grammar> finish(GrammarSymbol root);

 private:
  std::vector<bool> find_productive() const;
  std::vector<bool> find_nullable() const;
  Status check_left_recursion() const;
  void add_character_range(char32_t first, char32_t last, std::vector<Sequence>& alternatives,
                           ByteSet& ascii);

  std::vector<std::vector<Sequence>> rules_;
  std::vector<std::string> names_;
  std::vector<ByteSet> byte_sets_;
  std::map<std::string, std::uint32_t> known_sets_;
  std::size_t size_ = 0;
};

// What `ranges` leave out.
GrammarBuilder::CharacterRanges complement(GrammarBuilder::CharacterRanges ranges);

}  // namespace pianola
