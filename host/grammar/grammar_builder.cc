#include "host/grammar/grammar_builder.h"

#include <algorithm>

#include "host/tokenizer/unicode.h"

namespace pianola {
namespace {

using Sequence = GrammarBuilder::Sequence;
using Kind = GrammarSymbol::Kind;

ByteSet byte_range(unsigned first, unsigned last) {
  ByteSet set;
  for (unsigned byte = first; byte <= last; ++byte) set.set(byte);
  return set;
}

std::string encode(char32_t code) {
  std::string text;
  append_utf8(text, code);
  return text;
}

}  // namespace

GrammarSymbol GrammarBuilder::declare(std::string name) {
  rules_.emplace_back();
  names_.push_back(std::move(name));
  ++size_;
  return {Kind::Rule, static_cast<std::uint32_t>(rules_.size() - 1)};
}

void GrammarBuilder::define(GrammarSymbol rule, std::vector<Sequence> alternatives) {
  for (const Sequence& sequence : alternatives) size_ += sequence.size() + 1;
  if (!is_over()) rules_[rule.index] = std::move(alternatives);
}

GrammarSymbol GrammarBuilder::rule(std::vector<Sequence> alternatives) {
  const GrammarSymbol symbol = declare("");
  define(symbol, std::move(alternatives));
  return symbol;
}

GrammarSymbol GrammarBuilder::bytes(const ByteSet& set) {
  const auto next = static_cast<std::uint32_t>(byte_sets_.size());
  const auto [known, is_new] = known_sets_.emplace(set.to_string(), next);
  if (is_new) byte_sets_.push_back(set);
  return {Kind::Bytes, known->second};
}

Sequence GrammarBuilder::literal(std::string_view text) {
  Sequence sequence;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    sequence.push_back(bytes(byte_range(byte, byte)));
  }
  return sequence;
}

// Splits a range until its ends have one length and differ in trailing bytes only as whole ranges.
void GrammarBuilder::add_character_range(char32_t first, char32_t last,
                                         std::vector<Sequence>& alternatives, ByteSet& ascii) {
  if (first > last) return;
  for (const char32_t border : {0x7Fu, 0x7FFu, 0xD7FFu, 0xDFFFu, 0xFFFFu}) {
    if (first <= border && last > border) {
      add_character_range(first, border, alternatives, ascii);
      add_character_range(border + 1, last, alternatives, ascii);
      return;
    }
  }
  if (first >= 0xD800 && last <= 0xDFFF) return;
  if (last <= 0x7F) {
    ascii |= byte_range(first, last);
    return;
  }
  for (const char32_t tail : {0x3Fu, 0xFFFu, 0x3FFFFu}) {
    if ((first & ~tail) == (last & ~tail)) continue;
    if ((first & tail) != 0) {
      add_character_range(first, first | tail, alternatives, ascii);
      add_character_range((first | tail) + 1, last, alternatives, ascii);
      return;
    }
    if ((last & tail) != tail) {
      add_character_range(first, (last & ~tail) - 1, alternatives, ascii);
      add_character_range(last & ~tail, last, alternatives, ascii);
      return;
    }
  }
  const std::string begin = encode(first), end = encode(last);
  Sequence sequence;
  for (std::size_t i = 0; i < begin.size(); ++i) {
    sequence.push_back(bytes(
        byte_range(static_cast<unsigned char>(begin[i]), static_cast<unsigned char>(end[i]))));
  }
  alternatives.push_back(std::move(sequence));
}

GrammarSymbol GrammarBuilder::character(const CharacterRanges& ranges) {
  std::vector<Sequence> alternatives;
  ByteSet ascii;
  for (const auto& [first, last] : ranges) {
    add_character_range(first, std::min(last, kLastCharacter), alternatives, ascii);
  }
  if (ascii.any()) alternatives.insert(alternatives.begin(), {bytes(ascii)});
  if (alternatives.size() == 1 && alternatives[0].size() == 1) return alternatives[0][0];
  return rule(std::move(alternatives));
}

GrammarSymbol GrammarBuilder::repeat(const Sequence& item, std::int64_t count_min,
                                     std::int64_t count_max) {
  const auto copies = static_cast<std::uint64_t>(std::max(count_min, count_max));
  if (copies > kSymbolsMax || copies * (item.size() + 4) > kSymbolsMax) {
    size_ = kSymbolsMax + 1;
    return rule({});
  }
  const GrammarSymbol unit = item.size() == 1 ? item[0] : rule({item});
  Sequence sequence(static_cast<std::size_t>(count_min), unit);
  if (count_max < 0) {
    const GrammarSymbol loop = declare("a repetition");
    define(loop, {{unit, loop}, {}});
    sequence.push_back(loop);
  } else {
    GrammarSymbol rest = rule({Sequence{}});
    for (std::int64_t i = count_min; i < count_max; ++i) rest = rule({{unit, rest}, {}});
    if (count_max > count_min) sequence.push_back(rest);
  }
  return rule({std::move(sequence)});
}

// Rules of which some finite text is.
std::vector<bool> GrammarBuilder::find_productive() const {
  std::vector<bool> productive(rules_.size());
  bool changed = true;
  for (bool backward = true; changed; backward = !backward) {  // most grammars need two rounds
    changed = false;
    for (std::size_t n = rules_.size(); n-- > 0;) {
      const std::size_t i = backward ? n : rules_.size() - 1 - n;
      if (productive[i]) continue;
      productive[i] =
          std::any_of(rules_[i].begin(), rules_[i].end(), [&](const Sequence& sequence) {
            return std::all_of(sequence.begin(), sequence.end(), [&](GrammarSymbol symbol) {
              return symbol.kind == Kind::Bytes ? byte_sets_[symbol.index].any()
                                                : productive[symbol.index];
            });
          });
      changed = changed || productive[i];
    }
  }
  return productive;
}

// Rules that match the empty text.
std::vector<bool> GrammarBuilder::find_nullable() const {
  std::vector<bool> nullable(rules_.size());
  bool changed = true;
  for (bool backward = true; changed; backward = !backward) {  // most grammars need two rounds
    changed = false;
    for (std::size_t n = rules_.size(); n-- > 0;) {
      const std::size_t i = backward ? n : rules_.size() - 1 - n;
      if (nullable[i]) continue;
      nullable[i] = std::any_of(rules_[i].begin(), rules_[i].end(), [&](const Sequence& sequence) {
        return std::all_of(sequence.begin(), sequence.end(), [&](GrammarSymbol symbol) {
          return symbol.kind == Kind::Rule && nullable[symbol.index];
        });
      });
      changed = changed || nullable[i];
    }
  }
  return nullable;
}

// A rule that can reach itself before a byte is read would be expanded without end.
Status GrammarBuilder::check_left_recursion() const {
  const std::vector<bool> nullable = find_nullable();
  const auto first_rules = [&](std::size_t rule) {
    std::vector<std::uint32_t> first;
    for (const Sequence& sequence : rules_[rule]) {
      for (const GrammarSymbol symbol : sequence) {
        if (symbol.kind == Kind::Bytes) break;
        first.push_back(symbol.index);
        if (!nullable[symbol.index]) break;
      }
    }
    return first;
  };
  enum class Visit : std::uint8_t { None, Open, Done };
  std::vector<Visit> visits(rules_.size());
  struct Frame {
    std::size_t rule;
    std::vector<std::uint32_t> first;
  };
  for (std::size_t start = 0; start < rules_.size(); ++start) {
    if (visits[start] != Visit::None) continue;
    std::vector<Frame> path;
    path.push_back({start, first_rules(start)});
    visits[start] = Visit::Open;
    while (!path.empty()) {
      Frame& frame = path.back();
      if (frame.first.empty()) {
        visits[frame.rule] = Visit::Done;
        path.pop_back();
        continue;
      }
      const std::uint32_t next = frame.first.back();
      frame.first.pop_back();
      if (visits[next] == Visit::Open) {
        std::string name = names_[next];
        for (std::size_t i = path.size(); name.empty() && i-- > 0 && path[i].rule != next;)
          name = names_[path[i].rule];
        if (name.empty()) name = "a group";
        return Error{ErrorCode::Unsupported,
                     "'" + name +
                         "' can begin with itself (left recursion), or repeats what may be empty; "
                         "rewrite it "
                         "so that every round reads a character first",
                     ""};
      }
      if (visits[next] == Visit::None) {
        visits[next] = Visit::Open;
        path.push_back({next, first_rules(next)});
      }
    }
  }
  return Ok{};
}

Result<Grammar> GrammarBuilder::finish(GrammarSymbol root) {
  if (is_over()) {
    return Error{ErrorCode::OutOfRange,
                 "needs more than " + std::to_string(kSymbolsMax) +
                     " symbols; make repetitions and lengths smaller",
                 ""};
  }
  TRY_STATUS(check_left_recursion());
  const std::vector<bool> productive = find_productive();
  const auto is_productive = [&](const Sequence& sequence) {
    return std::all_of(sequence.begin(), sequence.end(), [&](GrammarSymbol symbol) {
      return symbol.kind == Kind::Bytes ? byte_sets_[symbol.index].any() : productive[symbol.index];
    });
  };
  if (root.kind == Kind::Rule && !productive[root.index]) {
    return Error{ErrorCode::Mismatch, "no finite text satisfies it; does a rule need itself?", ""};
  }
  if (root.kind == Kind::Bytes) root = rule({{root}});
  Grammar grammar;
  grammar.byte_sets_ = byte_sets_;
  grammar.root_ = root.index;
  for (const std::vector<Sequence>& alternatives : rules_) {
    Grammar::Rule& rule = grammar.rules_.emplace_back();
    for (const Sequence& sequence : alternatives) {
      if (!is_productive(sequence)) continue;
      rule.alternatives.push_back(static_cast<std::uint32_t>(grammar.symbols_.size()));
      grammar.symbols_.insert(grammar.symbols_.end(), sequence.begin(), sequence.end());
      grammar.symbols_.push_back({Kind::End, 0});
    }
  }
  return grammar;
}

GrammarBuilder::CharacterRanges complement(GrammarBuilder::CharacterRanges ranges) {
  std::sort(ranges.begin(), ranges.end());
  GrammarBuilder::CharacterRanges rest;
  char32_t next = 0;
  for (const auto& [first, last] : ranges) {
    if (first > next) rest.emplace_back(next, first - 1);
    next = std::max<char32_t>(next, last + 1);
  }
  if (next <= GrammarBuilder::kLastCharacter)
    rest.emplace_back(next, GrammarBuilder::kLastCharacter);
  return rest;
}

}  // namespace pianola
