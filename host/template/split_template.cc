#include "host/template/split_template.h"

#include <algorithm>
#include <cctype>

#include "host/tokenizer/unicode.h"

namespace pianola::jinja {
namespace {

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\f' || c == '\v'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

class Splitter {
 public:
  explicit Splitter(std::string_view source) : source_(source) {}

  Result<std::vector<Token>> split() {
    while (at_ < source_.size()) TRY_STATUS(split_text());
    add(TokenKind::End, "");
    return std::move(tokens_);
  }

 private:
  void add(TokenKind kind, std::string text) { tokens_.push_back({kind, line_, std::move(text)}); }
  bool starts(std::string_view text) const { return source_.substr(at_).starts_with(text); }
  void skip(std::size_t count) {
    for (; count > 0; --count) line_ += source_[at_++] == '\n';
  }

  // Text up to the next tag, and the tag.
  Status split_text() {
    std::size_t tag = at_;
    while ((tag = source_.find('{', tag)) != std::string_view::npos) {
      const char next = tag + 1 < source_.size() ? source_[tag + 1] : '\0';
      if (next == '{' || next == '%' || next == '#') break;
      ++tag;
    }
    const bool is_last = tag == std::string_view::npos;
    if (is_last) tag = source_.size();
    const char kind = is_last ? '\0' : source_[tag + 1];
    const char control = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    std::string_view text = source_.substr(at_, tag - at_);
    if (control == '-') {
      while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
    } else if ((kind == '%' || kind == '#') && control != '+') {
      strip_indentation(text);
    }
    if (!text.empty()) add(TokenKind::Text, std::string(text));
    skip(tag - at_);
    if (is_last) return Ok{};
    if (kind == '#') return skip_comment();
    skip(control == '-' || control == '+' ? 3 : 2);
    if (kind == '%' && is_raw()) return split_raw();
    add(kind == '%' ? TokenKind::BlockBegin : TokenKind::OutputBegin, "");
    return split_tag(kind);
  }

  // lstrip_blocks: spaces between the start of the line and the tag.
  void strip_indentation(std::string_view& text) const {
    std::size_t end = text.size();
    while (end > 0 && is_space(text[end - 1]) && text[end - 1] != '\n') --end;
    const bool starts_line = end > 0 ? text[end - 1] == '\n' : at_ == 0 || line_starts_here_;
    if (starts_line) text = text.substr(0, end);
  }

  // What follows a tag that ended with `control`.
  void trim_after(char control, bool is_block) {
    line_starts_here_ = false;
    if (control == '-') {
      while (at_ < source_.size() && is_space(source_[at_])) skip(1);
      line_starts_here_ = at_ > 0 && source_[at_ - 1] == '\n';
    } else if (is_block && control != '+' && at_ < source_.size() && source_[at_] == '\n') {
      skip(1);
      line_starts_here_ = true;
    }
  }

  Status skip_comment() {
    const std::size_t end = source_.find("#}", at_ + 2);
    if (end == std::string_view::npos) return malformed(line_, "a comment {# without #}");
    const char control = end > at_ + 2 ? source_[end - 1] : '\0';
    skip(end + 2 - at_);
    trim_after(control, true);
    return Ok{};
  }

  bool is_raw() const {
    std::size_t at = at_;
    while (at < source_.size() && is_space(source_[at])) ++at;
    if (!source_.substr(at).starts_with("raw")) return false;
    at += 3;
    while (at < source_.size() && is_space(source_[at])) ++at;
    return source_.substr(at).starts_with("%}") || source_.substr(at).starts_with("-%}");
  }
  Status split_raw() {
    return error_at(ErrorCode::Unsupported, line_,
                    "{% raw %} is not supported; print the text as a string: {{ '...' }}");
  }

  Status split_tag(char kind) {
    std::string closers;  // of the brackets that are open
    const int begin = line_;
    while (at_ < source_.size()) {
      const char c = source_[at_];
      if (is_space(c)) {
        skip(1);
        continue;
      }
      if (closers.empty()) {
        const std::size_t control = (c == '-' || c == '+') ? 1 : 0;
        if (source_.substr(at_ + control).starts_with(kind == '%' ? "%}" : "}}")) {
          add(kind == '%' ? TokenKind::BlockEnd : TokenKind::OutputEnd, "");
          skip(control + 2);
          trim_after(control != 0 ? c : '\0', kind == '%');
          return Ok{};
        }
      }
      TRY_STATUS(split_token(closers));
    }
    return malformed(begin, kind == '%' ? "a tag {% without %}" : "a tag {{ without }}");
  }

  Status split_token(std::string& closers) {
    const char c = source_[at_];
    if (c == '"' || c == '\'') return split_string();
    if (is_digit(c)) return split_number();
    if (is_name(c)) {
      std::size_t end = at_;
      while (end < source_.size() && is_name(source_[end])) ++end;
      add(TokenKind::Name, std::string(source_.substr(at_, end - at_)));
      at_ = end;
      return Ok{};
    }
    for (const std::string_view two : {"==", "!=", "<=", ">=", "**", "//"}) {
      if (!starts(two)) continue;
      add(TokenKind::Operator, std::string(two));
      at_ += 2;
      return Ok{};
    }
    if (std::string_view("()[]{}<>=+-*/%~|.,:").find(c) == std::string_view::npos) {
      return malformed(line_, "unexpected character " + quote_character());
    }
    if (c == '(' || c == '[' || c == '{') closers += c == '(' ? ')' : c == '[' ? ']' : '}';
    if (c == ')' || c == ']' || c == '}') {
      if (closers.empty() || closers.back() != c) {
        return malformed(line_, std::string("'") + c + "' closes no bracket");
      }
      closers.pop_back();
    }
    add(TokenKind::Operator, std::string(1, c));
    ++at_;
    return Ok{};
  }

  std::string quote_character() const {
    const Utf8Char character = decode_utf8(source_, at_);
    if (!character.valid) return "that is not valid UTF-8";
    return "'" + std::string(source_.substr(at_, character.size_bytes)) + "'";
  }

  Status split_number() {
    std::size_t end = at_;
    bool is_float = false;
    const auto take_digits = [&] {
      while (end < source_.size() && (is_digit(source_[end]) || source_[end] == '_')) ++end;
    };
    const auto digit_at = [&](std::size_t i) { return i < source_.size() && is_digit(source_[i]); };
    take_digits();
    if (end < source_.size() && source_[end] == '.' && digit_at(end + 1)) {
      is_float = true;
      ++end;
      take_digits();
    }
    if (end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      const bool has_sign =
          end + 1 < source_.size() && (source_[end + 1] == '-' || source_[end + 1] == '+');
      if (digit_at(end + 1 + (has_sign ? 1 : 0))) {
        is_float = true;
        end += has_sign ? 2 : 1;
        take_digits();
      }
    }
    if (end < source_.size() && is_name(source_[end])) {
      return malformed(line_, "a number that goes on with a letter");
    }
    std::string text(source_.substr(at_, end - at_));
    std::erase(text, '_');
    add(is_float ? TokenKind::Float : TokenKind::Integer, std::move(text));
    at_ = end;
    return Ok{};
  }

  Status split_string() {
    const char delimiter = source_[at_];
    const int begin = line_;
    skip(1);
    std::string value;
    while (at_ < source_.size() && source_[at_] != delimiter) {
      if (source_[at_] != '\\') {
        value += source_[at_];
        skip(1);
        continue;
      }
      skip(1);
      if (at_ == source_.size()) break;
      TRY_STATUS(split_escape(value));
    }
    if (at_ == source_.size()) return malformed(begin, "a string without its closing quote");
    tokens_.push_back({TokenKind::String, begin, std::move(value)});
    skip(1);
    return Ok{};
  }

  // After a backslash; what Python's string literals know.
  Status split_escape(std::string& value) {
    const char c = source_[at_];
    skip(1);
    static constexpr std::string_view kNames = "ntrbfav\\'\"", kValues = "\n\t\r\b\f\a\v\\'\"";
    if (const std::size_t i = kNames.find(c); i != std::string_view::npos) {
      value += kValues[i];
      return Ok{};
    }
    if (c == '\n') return Ok{};
    if (c >= '0' && c <= '7') {
      char32_t code = static_cast<char32_t>(c - '0');
      for (int i = 0; i < 2 && at_ < source_.size() && source_[at_] >= '0' && source_[at_] <= '7';
           ++i) {
        code = code * 8 + static_cast<char32_t>(source_[at_++] - '0');
      }
      append_utf8(value, code);
      return Ok{};
    }
    const std::size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits == 0) {
      value += '\\';
      value += c;
      return Ok{};
    }
    char32_t code = 0;
    for (std::size_t i = 0; i < digits; ++i, ++at_) {
      const bool is_hex =
          at_ < source_.size() && std::isxdigit(static_cast<unsigned char>(source_[at_])) != 0;
      if (!is_hex) {
        return malformed(line_, std::string("\\") + c + " takes " + std::to_string(digits) +
                                    " hexadecimal digits");
      }
      const char h = source_[at_];
      code = code * 16 + static_cast<char32_t>(is_digit(h) ? h - '0' : (h | 32) - 'a' + 10);
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
      return malformed(line_, std::string("\\") + c + " gives no character");
    }
    append_utf8(value, code);
    return Ok{};
  }

  std::string_view source_;
  std::size_t at_ = 0;
  int line_ = 1;
  bool line_starts_here_ = false;
  std::vector<Token> tokens_;
};

}  // namespace

Result<std::vector<Token>> split_template(std::string_view source) {
  return Splitter(source).split();
}

std::string normalize_line_breaks(std::string_view source) {
  std::string text;
  text.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      text += source[i];
    } else {
      text += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    }
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

Error error_at(ErrorCode code, int line, std::string message) {
  return {code, std::move(message), "chat template, line " + std::to_string(line)};
}

Error malformed(int line, std::string message) {
  return error_at(ErrorCode::Malformed, line, std::move(message));
}

}  // namespace pianola::jinja
