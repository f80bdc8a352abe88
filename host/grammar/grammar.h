// Grammars that a generation is held to: what may be written, byte by byte.
//
//   TRY(Grammar grammar, Grammar::from_json_schema(schema));
//   GrammarMatcher matcher(grammar, vocabulary);              // host/grammar/grammar_matcher.h
//
// There are three sources: text in the notation GBNF (rules `name ::= ...` with "literals",
// [classes], groups, |, *, +, ?, {m,n} and # comments; the first is `root`), JSON Schema, and any
// JSON object. They are hostile: size and nesting are bounded, left recursion is refused, and what
// a schema says that a grammar cannot keep is refused, never ignored.
//
// JSON is written with one space or a line break and indentation after `,`, `:` and brackets, or
// without; properties come in the order of the schema. Integers have at most 18 digits, other
// numbers at most 15 before and after the point, so that every parser can hold them.
#pragma once

#include <bitset>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "isa/result.h"

namespace pianola {

using ByteSet = std::bitset<256>;

struct GrammarSymbol {
  enum class Kind : std::uint8_t { Bytes, Rule, End };
  Kind kind = Kind::End;
  std::uint32_t index = 0;  // of the byte set or the rule
};

// A value of a JSON schema between two texts.
struct FramedSchema {
  std::string before;
  nlohmann::ordered_json schema;
  std::string after;
};

// What is around and between several of them.
struct Frame {
  std::string begin, separator, end;
  int items_max = 1;  // at least one is written
};

class Grammar {
 public:
  // Errors: Malformed, with the line; Unsupported (left recursion); OutOfRange (size, nesting).
  static Result<Grammar> parse(std::string_view text);
  // Errors name the place in the schema: Malformed, Unsupported (a keyword that cannot be kept
  // to), OutOfRange, Mismatch (nothing satisfies it).
  static Result<Grammar> from_json_schema(const nlohmann::ordered_json& schema);
  static Grammar json_object();
  // Up to items_max of the schemas' values, any of them each time. Errors as of from_json_schema.
  static Result<Grammar> from_framed_schemas(std::span<const FramedSchema> schemas,
                                             const Frame& frame);

  // A rule's alternatives are positions in `symbols`, each the start of a run that ends with End.
  struct Rule {
    std::vector<std::uint32_t> alternatives;
  };
  const std::vector<ByteSet>& byte_sets() const { return byte_sets_; }
  const std::vector<GrammarSymbol>& symbols() const { return symbols_; }
  const std::vector<Rule>& rules() const { return rules_; }
  std::uint32_t root() const { return root_; }

 private:
  friend class GrammarBuilder;
  Grammar() = default;
  std::vector<ByteSet> byte_sets_;
  std::vector<GrammarSymbol> symbols_;
  std::vector<Rule> rules_;
  std::uint32_t root_ = 0;
};

}  // namespace pianola
