// Grammars in the notation GBNF.
#include <charconv>
#include <map>
#include <string>

#include "host/grammar/character_escapes.h"
#include "host/grammar/grammar_builder.h"
#include "host/tokenizer/unicode.h"

namespace pianola {
namespace {

constexpr std::size_t kTextBytesMax = std::size_t{256} << 10;
constexpr int kDepthMax = 64;
constexpr std::int64_t kCountMax = 10'000;

using Sequence = GrammarBuilder::Sequence;

bool is_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_';
}

class GrammarParser {
 public:
  explicit GrammarParser(std::string_view text) : text_(text) {}

  Result<Grammar> parse() {
    skip_space();
    while (at_ < text_.size()) {
      const Status parsed = parse_rule();
      if (builder_.is_over()) return name_source(builder_.finish({}));
      TRY_STATUS(parsed);
    }
    for (const auto& [name, rule] : rules_) {
      if (!rule.defined) return wrong("the rule '" + name + "' is used but not defined", rule.line);
    }
    const auto root = rules_.find("root");
    if (root == rules_.end()) return wrong("there is no rule 'root', where a text begins", 1);
    return name_source(builder_.finish(root->second.symbol));
  }

 private:
  static Result<Grammar> name_source(Result<Grammar> grammar) {
    if (!grammar.ok()) return Error{grammar.error().code, grammar.error().message, "grammar"};
    return grammar;
  }

  struct NamedRule {
    GrammarSymbol symbol;
    bool defined = false;
    int line = 0;
  };

  Error wrong(const std::string& message, int line = 0) const {
    return {ErrorCode::Malformed, message,
            "grammar, line " + std::to_string(line > 0 ? line : line_)};
  }
  char now() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool takes(std::string_view piece) {
    if (!text_.substr(at_).starts_with(piece)) return false;
    at_ += piece.size();
    return true;
  }
  void skip_space() {
    for (; at_ < text_.size(); ++at_) {
      if (now() == '#') at_ = std::min(text_.find('\n', at_), text_.size());
      if (at_ == text_.size()) return;
      if (now() == '\n') ++line_;
      if (std::string_view(" \t\r\n").find(now()) == std::string_view::npos) return;
    }
  }

  std::string take_name() {
    const std::size_t begin = at_;
    while (at_ < text_.size() && is_name(text_[at_])) ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }

  // True if a name and `::=` follow: the next rule.
  bool is_rule_start() {
    const std::size_t at = at_;
    const int line = line_;
    const bool has_name = !take_name().empty();
    skip_space();
    const bool starts = has_name && text_.substr(at_).starts_with("::=");
    at_ = at;
    line_ = line;
    return starts;
  }

  NamedRule& find_rule(const std::string& name) {
    const auto [rule, is_new] = rules_.try_emplace(name);
    if (is_new) rule->second = {builder_.declare(name), false, line_};
    return rule->second;
  }

  Status parse_rule() {
    const int line = line_;
    const std::string name = take_name();
    if (name.empty()) return wrong("expected the name of a rule");
    skip_space();
    if (!takes("::=")) return wrong("expected ::= after '" + name + "'");
    skip_space();
    if (find_rule(name).defined) return wrong("the rule '" + name + "' is defined twice", line);
    find_rule(name).defined = true;
    TRY(std::vector<Sequence> alternatives, parse_alternatives(0));
    builder_.define(find_rule(name).symbol, std::move(alternatives));
    if (at_ < text_.size() && !is_rule_start()) return wrong("unexpected " + quote());
    return Ok{};
  }

  std::string quote() const {
    const Utf8Char character = decode_utf8(text_, at_);
    return character.valid ? "'" + std::string(text_.substr(at_, character.size_bytes)) + "'"
                           : "byte that is not valid UTF-8";
  }

  Result<std::vector<Sequence>> parse_alternatives(int depth) {
    if (depth > kDepthMax) {
      return Error{ErrorCode::OutOfRange, "groups nested deeper than " + std::to_string(kDepthMax),
                   "grammar, line " + std::to_string(line_)};
    }
    std::vector<Sequence> alternatives;
    do {
      skip_space();
      TRY(Sequence sequence, parse_sequence(depth));
      alternatives.push_back(std::move(sequence));
    } while (takes("|"));
    return alternatives;
  }

  Result<Sequence> parse_sequence(int depth) {
    Sequence sequence;
    while (at_ < text_.size() && now() != '|' && now() != ')' && !is_rule_start()) {
      TRY(Sequence item, parse_item(depth));
      skip_space();
      TRY(item, parse_repetitions(std::move(item)));
      sequence.insert(sequence.end(), item.begin(), item.end());
      if (builder_.is_over()) break;
    }
    return sequence;
  }

  Result<Sequence> parse_item(int depth) {
    if (now() == '"') return parse_literal();
    if (now() == '[') return parse_class();
    if (takes(".")) return Sequence{builder_.character({{0, GrammarBuilder::kLastCharacter}})};
    if (takes("(")) {
      TRY(std::vector<Sequence> alternatives, parse_alternatives(depth + 1));
      if (!takes(")")) return wrong("a group without its ')'");
      return Sequence{builder_.rule(std::move(alternatives))};
    }
    if (is_name(now())) return Sequence{find_rule(take_name()).symbol};
    return wrong("expected a literal, a class, a group or the name of a rule, found " + quote());
  }

  // One character, which may be escaped.
  Result<char32_t> parse_character() {
    if (at_ >= text_.size() || now() == '\n')
      return wrong("a literal or class without its end on the same line");
    if (now() == '\\') {
      ++at_;
      char32_t code = 0;
      if (take_character_escape(text_, at_, "\"\\[]^-/.{}()|*+?$", code)) return code;
      return wrong(
          "an escape that is none of \\n \\r \\t \\\\ \\\" \\[ \\] \\xHH \\uHHHH \\UHHHHHHHH");
    }
    const Utf8Char character = decode_utf8(text_, at_);
    if (!character.valid) return wrong("a byte that is not valid UTF-8");
    at_ += character.size_bytes;
    return character.code;
  }

  Result<Sequence> parse_literal() {
    ++at_;
    std::string value;
    while (now() != '"') {
      TRY(const char32_t code, parse_character());
      append_utf8(value, code);
    }
    ++at_;
    return builder_.literal(value);
  }

  Result<Sequence> parse_class() {
    ++at_;
    const bool is_negated = takes("^");
    GrammarBuilder::CharacterRanges ranges;
    while (now() != ']') {
      TRY(const char32_t first, parse_character());
      char32_t last = first;
      if (now() == '-' && at_ + 1 < text_.size() && text_[at_ + 1] != ']') {
        ++at_;
        TRY(last, parse_character());
        if (last < first) return wrong("a range whose end comes before its start");
      }
      ranges.emplace_back(first, last);
    }
    ++at_;
    if (ranges.empty() && !is_negated)
      return wrong("an empty class matches nothing; list characters in it");
    return Sequence{
        builder_.character(is_negated ? complement(std::move(ranges)) : std::move(ranges))};
  }

  Result<Sequence> parse_repetitions(Sequence item) {
    while (true) {
      std::int64_t count_min = 0, count_max = -1;
      if (takes("*")) {
      } else if (takes("+")) {
        count_min = 1;
      } else if (takes("?")) {
        count_max = 1;
      } else if (takes("{")) {
        TRY(count_min, parse_count());
        count_max = count_min;
        skip_space();
        if (takes(",")) {
          skip_space();
          count_max = -1;
          if (now() != '}') TRY_STATUS(parse_count_to(count_max));
        }
        skip_space();
        if (!takes("}")) return wrong("expected } after the counts of a repetition");
        if (count_max >= 0 && count_max < count_min)
          return wrong("a repetition of at least more than at most");
      } else {
        return item;
      }
      item = {builder_.repeat(item, count_min, count_max)};
      skip_space();
    }
  }

  Status parse_count_to(std::int64_t& count) {
    TRY(count, parse_count());
    return Ok{};
  }

  Result<std::int64_t> parse_count() {
    skip_space();
    std::int64_t count = 0;
    const auto parsed = std::from_chars(text_.data() + at_, text_.data() + text_.size(), count);
    if (parsed.ec != std::errc{} || count < 0) return wrong("expected a count");
    if (count > kCountMax) {
      return Error{ErrorCode::OutOfRange, "a count above " + std::to_string(kCountMax),
                   "grammar, line " + std::to_string(line_)};
    }
    at_ = static_cast<std::size_t>(parsed.ptr - text_.data());
    return count;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  int line_ = 1;
  GrammarBuilder builder_;
  std::map<std::string, NamedRule> rules_;
};

}  // namespace

Result<Grammar> Grammar::parse(std::string_view text) {
  if (text.size() > kTextBytesMax) {
    return Error{ErrorCode::OutOfRange,
                 "has " + std::to_string(text.size()) + " bytes; at most " +
                     std::to_string(kTextBytesMax) + " are allowed",
                 "grammar"};
  }
  return GrammarParser(text).parse();
}

}  // namespace pianola
