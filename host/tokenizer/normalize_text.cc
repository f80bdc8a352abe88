#include "host/tokenizer/normalize_text.h"

#include "host/tokenizer/byte_level.h"

namespace pianola {
namespace {

Error too_large() {
  return Error{ErrorCode::OutOfRange,
               "normalizing makes the text larger than " + std::to_string(kNormalizedSizeMax) +
                   " bytes; give less text at a time",
               "tokenizer"};
}

std::string strip(std::string_view text, bool left, bool right) {
  std::size_t begin = 0;
  std::size_t end = 0;  // of the last character that is no white space
  bool started = false;
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Char c = decode_utf8(text, i);
    if (!is_white_space(c.code)) {
      if (!started) begin = i;
      started = true;
      end = i + c.size_bytes;
    }
    i += c.size_bytes;
  }
  if (!started) return left || right ? "" : std::string(text);
  if (!left) begin = 0;
  if (!right) end = text.size();
  return std::string(text.substr(begin, end - begin));
}

template <typename Append>
std::string map_characters(std::string_view text, const Append& append) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Char c = decode_utf8(text, i);
    append(out, c.code);
    i += c.size_bytes;
  }
  return out;
}

Result<std::string> apply(const NormalizeStep& step, std::string text, MatchBudget& budget) {
  switch (step.kind) {
    case NormalizeStep::Kind::Form:
      return normalize_unicode(text, step.form);
    case NormalizeStep::Kind::Prepend:
      return text.empty() ? text : step.content + text;
    case NormalizeStep::Kind::Replace:
      return replace_all(*step.pattern, text, step.content, budget);
    case NormalizeStep::Kind::Lowercase:
      return map_characters(text, append_lower_case);
    case NormalizeStep::Kind::Strip:
      return strip(text, step.strip_left, step.strip_right);
    case NormalizeStep::Kind::StripAccents:
      return map_characters(text, [](std::string& out, char32_t code) {
        if (!is_mark(code)) append_utf8(out, code);
      });
    case NormalizeStep::Kind::ByteLevel:
      return to_byte_level(text);
    case NormalizeStep::Kind::SentencePiece:
      return step.sentencepiece.normalize(text, step.user_defined_size, kNormalizedSizeMax);
  }
  CHECK(false);
}

}  // namespace

Result<std::string> replace_all(const Regex& pattern, std::string_view text,
                                std::string_view replacement, MatchBudget& budget) {
  TRY(const std::vector<Match> matches, pattern.find_all(text, budget));
  if (matches.empty()) return std::string(text);
  if (text.size() + matches.size() * replacement.size() > kNormalizedSizeMax) return too_large();
  std::string out;
  std::size_t done = 0;
  for (const Match& match : matches) {
    out += text.substr(done, match.begin - done);
    out += replacement;
    done = match.end;
  }
  out += text.substr(done);
  return out;
}

Result<std::string> normalize_text(std::span<const NormalizeStep> steps, std::string text,
                                   MatchBudget& budget) {
  for (const NormalizeStep& step : steps) {
    TRY(text, apply(step, std::move(text), budget));
    if (text.size() > kNormalizedSizeMax) return too_large();
  }
  return text;
}

}  // namespace pianola
