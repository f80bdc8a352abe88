// The tokens of a chat template. Whitespace control is done here: `-`, `+`, and what trim_blocks
// and lstrip_blocks take away around a block.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "isa/result.h"

namespace pianola::jinja {

enum class TokenKind {
  Text,
  BlockBegin,
  BlockEnd,
  OutputBegin,
  OutputEnd,
  Name,
  String,
  Integer,
  Float,
  Operator,
  End
};

struct Token {
  TokenKind kind = TokenKind::End;
  int line = 0;
  std::string text;  // of String: its value
};

// `source` has "\n" as its only line break. Error Malformed.
Result<std::vector<Token>> split_template(std::string_view source);

// "\r\n" and "\r" become "\n"; one at the end is dropped.
std::string normalize_line_breaks(std::string_view source);

Error malformed(int line, std::string message);
Error error_at(ErrorCode code, int line, std::string message);

}  // namespace pianola::jinja
