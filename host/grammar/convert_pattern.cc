#include "host/grammar/convert_pattern.h"

#include <charconv>

#include "host/grammar/character_escapes.h"
#include "host/tokenizer/unicode.h"

namespace pianola {
namespace {

using Sequence = GrammarBuilder::Sequence;
using Ranges = GrammarBuilder::CharacterRanges;

constexpr int kDepthMax = 32;
constexpr std::int64_t kCountMax = 10'000;
constexpr std::string_view kPlain = "\\^$.*+?()[]{}|/-\"'#&~:;,<>=!@%_` ";

// Complements of shorthands stay ASCII: which letters beyond are word characters depends on the
// engine.
bool add_shorthand(char name, Ranges& ranges) {
  Ranges set;
  switch (name | 32) {
    case 'd':
      set = {{'0', '9'}};
      break;
    case 'w':
      set = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
      break;
    case 's':
      set = {{'\t', '\r'}, {' ', ' '}};
      break;
    default:
      return false;
  }
  if ((name & 32) == 0) {
    set.emplace_back(0x1C, 0x1F);  // white space to some
    set.emplace_back(0x80, GrammarBuilder::kLastCharacter);
    set = complement(std::move(set));
  }
  ranges.insert(ranges.end(), set.begin(), set.end());
  return true;
}

class PatternParser {
 public:
  PatternParser(std::string_view text, GrammarBuilder& builder, JsonRules& rules)
      : text_(text), builder_(builder), rules_(rules) {}

  Result<Sequence> parse() {
    const Sequence anything = {builder_.repeat({rules_.string_character()}, 0, -1)};
    const bool from_start = takes('^');
    const bool has_end = text_.ends_with('$') && count_backslashes() % 2 == 0;
    if (has_end) text_.remove_suffix(1);
    TRY(std::vector<Sequence> alternatives, parse_alternatives(0));
    if (at_ < text_.size()) return wrong(ErrorCode::Malformed, "a ')' without its '('");
    if ((from_start || has_end) && alternatives.size() > 1) {
      return wrong(ErrorCode::Unsupported, "^ or $ with | outside of a group; write ^(...|...)$");
    }
    Sequence whole = from_start ? Sequence{} : anything;
    whole.push_back(builder_.rule(std::move(alternatives)));
    if (!has_end) whole.insert(whole.end(), anything.begin(), anything.end());
    return whole;
  }

 private:
  Error wrong(ErrorCode code, const std::string& message) const {
    return {code, "pattern: " + message + " (at character " + std::to_string(at_ + 1) + ")", ""};
  }
  char now() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool takes(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  std::size_t count_backslashes() const {
    std::size_t count = 0;
    while (count + 1 < text_.size() && text_[text_.size() - 2 - count] == '\\') ++count;
    return count;
  }

  Result<std::vector<Sequence>> parse_alternatives(int depth) {
    if (depth > kDepthMax) return wrong(ErrorCode::OutOfRange, "groups nested too deep");
    std::vector<Sequence> alternatives;
    do {
      Sequence sequence;
      while (at_ < text_.size() && now() != '|' && now() != ')') {
        TRY(const Sequence item, parse_item(depth));
        TRY(const Sequence repeated, parse_repetition(item));
        sequence.insert(sequence.end(), repeated.begin(), repeated.end());
        if (builder_.is_over()) break;
      }
      alternatives.push_back(std::move(sequence));
    } while (takes('|'));
    return alternatives;
  }

  Result<Sequence> parse_item(int depth) {
    const char c = now();
    if (c == '(') {
      ++at_;
      if (takes('?') && !takes(':'))
        return wrong(ErrorCode::Unsupported, "look-around and named groups are not supported");
      TRY(std::vector<Sequence> alternatives, parse_alternatives(depth + 1));
      if (!takes(')')) return wrong(ErrorCode::Malformed, "a '(' without its ')'");
      return Sequence{builder_.rule(std::move(alternatives))};
    }
    if (c == '^' || c == '$')
      return wrong(ErrorCode::Unsupported,
                   "^ and $ are supported at the ends of the pattern alone");
    if (c == '*' || c == '+' || c == '?' || c == '{')
      return wrong(ErrorCode::Malformed, "nothing to repeat");
    Ranges ranges;
    if (c == '[') {
      TRY(ranges, parse_class());
    } else if (takes('.')) {
      ranges = complement({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}});
    } else {
      TRY_STATUS(parse_character(ranges, true));
    }
    return Sequence{rules_.string_character_of(ranges)};
  }

  // One character, or where `allow_set` a shorthand.
  Status parse_character(Ranges& ranges, bool allow_set) {
    if (at_ >= text_.size()) return wrong(ErrorCode::Malformed, "ends too early");
    if (!takes('\\')) {
      const Utf8Char character = decode_utf8(text_, at_);
      if (!character.valid) return wrong(ErrorCode::Malformed, "a byte that is not valid UTF-8");
      at_ += character.size_bytes;
      ranges.emplace_back(character.code, character.code);
      return Ok{};
    }
    if (allow_set && at_ < text_.size() && add_shorthand(text_[at_], ranges)) {
      has_shorthand_ = true;
      ++at_;
      return Ok{};
    }
    char32_t code = 0;
    if (!take_character_escape(text_, at_, kPlain, code)) {
      return wrong(ErrorCode::Unsupported,
                   "an escape that is not supported (\\b, \\B, \\p, back-references, ...)");
    }
    ranges.emplace_back(code, code);
    return Ok{};
  }

  Result<Ranges> parse_class() {
    ++at_;
    const bool is_negated = takes('^');
    has_shorthand_ = false;
    Ranges ranges;
    for (bool is_first = true; now() != ']' || is_first; is_first = false) {
      if (at_ >= text_.size()) return wrong(ErrorCode::Malformed, "a '[' without its ']'");
      if (is_first && now() == ']')
        return wrong(ErrorCode::Unsupported, "an empty class, or ']' at its start; write \\]");
      const std::size_t count = ranges.size();
      TRY_STATUS(parse_character(ranges, true));
      const bool is_range = now() == '-' && at_ + 1 < text_.size() && text_[at_ + 1] != ']';
      if (!is_range) continue;
      ++at_;
      Ranges last;
      TRY_STATUS(parse_character(last, false));
      if (ranges.size() != count + 1 || last[0].first < ranges.back().first) {
        return wrong(ErrorCode::Malformed, "a range whose end comes before its start");
      }
      ranges.back().second = last[0].first;
    }
    ++at_;
    if (!is_negated) return ranges;
    if (has_shorthand_) {
      ranges.emplace_back(0x1C, 0x1F);
      ranges.emplace_back(0x80, GrammarBuilder::kLastCharacter);
    }
    return complement(std::move(ranges));
  }

  Result<std::int64_t> parse_count() {
    std::int64_t count = 0;
    const auto parsed = std::from_chars(text_.data() + at_, text_.data() + text_.size(), count);
    if (parsed.ec != std::errc{} || count < 0)
      return wrong(ErrorCode::Malformed, "expected a count after '{'");
    if (count > kCountMax)
      return wrong(ErrorCode::OutOfRange, "a count above " + std::to_string(kCountMax));
    at_ = static_cast<std::size_t>(parsed.ptr - text_.data());
    return count;
  }

  Result<Sequence> parse_repetition(const Sequence& item) {
    std::int64_t count_min = 0, count_max = -1;
    if (takes('*')) {
    } else if (takes('+')) {
      count_min = 1;
    } else if (takes('?')) {
      count_max = 1;
    } else if (takes('{')) {
      TRY(count_min, parse_count());
      count_max = count_min;
      if (takes(',')) {
        count_max = -1;
        if (now() != '}') {
          TRY(count_max, parse_count());
        }
      }
      if (!takes('}') || (count_max >= 0 && count_max < count_min)) {
        return wrong(ErrorCode::Malformed, "counts must be {m}, {m,} or {m,n} with m at most n");
      }
    } else {
      return item;
    }
    takes('?');  // lazy: the same texts
    if (now() == '*' || now() == '+' || now() == '?' || now() == '{') {
      return wrong(ErrorCode::Unsupported,
                   "a repetition of a repetition; put the inner one into a group");
    }
    return Sequence{builder_.repeat(item, count_min, count_max)};
  }

  std::string_view text_;
  std::size_t at_ = 0;
  bool has_shorthand_ = false;
  GrammarBuilder& builder_;
  JsonRules& rules_;
};

}  // namespace

Result<Sequence> convert_pattern(std::string_view pattern, GrammarBuilder& builder,
                                 JsonRules& rules) {
  return PatternParser(pattern, builder, rules).parse();
}

}  // namespace pianola
