// Statements of a chat template.
#include <algorithm>

#include "host/template/builtins.h"
#include "host/template/parser.h"
#include "host/tokenizer/unicode.h"

namespace pianola::jinja {

bool Parser::is_operator(std::string_view text) const {
  return token().kind == TokenKind::Operator && token().text == text;
}

bool Parser::is_name(std::string_view text) const {
  return token().kind == TokenKind::Name && token().text == text;
}

bool Parser::take_operator(std::string_view text) {
  if (!is_operator(text)) return false;
  ++at_;
  return true;
}

bool Parser::take_name(std::string_view text) {
  if (!is_name(text)) return false;
  ++at_;
  return true;
}

Error Parser::unexpected(const std::string& expected) const {
  std::string found;
  switch (token().kind) {
    case TokenKind::Text:
      found = "text";
      break;
    case TokenKind::BlockBegin:
      found = "{%";
      break;
    case TokenKind::BlockEnd:
      found = "%}";
      break;
    case TokenKind::OutputBegin:
      found = "{{";
      break;
    case TokenKind::OutputEnd:
      found = "}}";
      break;
    case TokenKind::String:
      found = "a string";
      break;
    case TokenKind::End:
      found = "the end of the template";
      break;
    case TokenKind::Name:
    case TokenKind::Integer:
    case TokenKind::Float:
    case TokenKind::Operator:
      found = "'" + token().text.substr(0, 60) + "'";
      break;
  }
  return malformed(token().line, "expected " + expected + ", found " + found);
}

Status Parser::expect_operator(std::string_view text) {
  if (take_operator(text)) return Ok{};
  return unexpected("'" + std::string(text) + "'");
}

Status Parser::expect_block_end() {
  if (token().kind != TokenKind::BlockEnd) return unexpected("%}");
  ++at_;
  return Ok{};
}

Status Parser::Nesting::check() const {
  if (parser_.depth_ <= kTreeDepthMax) return Ok{};
  return error_at(
      ErrorCode::OutOfRange, parser_.token().line,
      "nested deeper than " + std::to_string(kTreeDepthMax) + "; simplify the template");
}

Result<std::string> Parser::parse_identifier(const std::string& what) {
  static const std::set<std::string_view> kReserved = {"and", "or", "not", "in",
                                                       "is",  "if", "else"};
  if (token().kind != TokenKind::Name || kReserved.contains(token().text)) return unexpected(what);
  return tokens_[at_++].text;
}

Status Parser::parse() {
  TRY(program_.body, parse_body({}));
  if (token().kind != TokenKind::End) return unexpected("the end of the template");
  program_.names.assign(names_.begin(), names_.end());
  return Ok{};
}

Result<Block> Parser::parse_body(const std::vector<std::string_view>& ends) {
  const Nesting nesting(*this);
  TRY_STATUS(nesting.check());
  Block block;
  const int begin = token().line;
  for (bool ended = false; !ended;) {
    const Token& now = token();
    if (now.kind == TokenKind::End) {
      if (ends.empty()) break;
      return malformed(begin,
                       "no {% " + std::string(ends.back()) + " %} for the block that begins here");
    }
    if (now.kind == TokenKind::BlockBegin) {
      TRY_STATUS(parse_block_tag(block, ends, ended));
      continue;
    }
    auto statement = std::make_unique<Statement>();
    statement->line = now.line;
    ++at_;
    if (now.kind == TokenKind::Text) {
      statement->text = now.text;
    } else {
      statement->kind = StatementKind::Output;
      TRY(statement->expression, parse_tuple());
      if (token().kind != TokenKind::OutputEnd) return unexpected("}}");
      ++at_;
    }
    block.push_back(std::move(statement));
  }
  return block;
}

Status Parser::parse_block_tag(Block& block, const std::vector<std::string_view>& ends,
                               bool& ended) {
  ++at_;
  if (token().kind != TokenKind::Name) return unexpected("the name of a statement");
  if (std::find(ends.begin(), ends.end(), token().text) != ends.end()) {
    ended = true;
    return Ok{};
  }
  TRY(auto statement, parse_statement());
  block.push_back(std::move(statement));
  return Ok{};
}

Result<std::unique_ptr<Statement>> Parser::parse_statement() {
  auto statement = std::make_unique<Statement>();
  statement->line = token().line;
  const std::string name = tokens_[at_++].text;
  Status status = Ok{};
  if (name == "if") {
    status = parse_if(*statement);
  } else if (name == "for") {
    status = parse_for(*statement);
  } else if (name == "set") {
    status = parse_set(*statement);
  } else if (name == "macro") {
    status = parse_macro(*statement);
  } else if (name == "filter") {
    status = parse_filter_block(*statement);
  } else if (name == "generation") {  // marks what training learns; nothing to a prompt
    statement->kind = StatementKind::Body;
    status = parse_body_block(*statement, "endgeneration");
  } else if (name == "break" || name == "continue") {
    statement->kind = name == "break" ? StatementKind::Break : StatementKind::Continue;
    if (!in_loop_) return malformed(statement->line, "{% " + name + " %} outside of a loop");
    status = expect_block_end();
  } else if (name.starts_with("end") || name == "else" || name == "elif") {
    return malformed(statement->line, "{% " + name + " %} without the block that it belongs to");
  } else {
    return error_at(ErrorCode::Unsupported, statement->line,
                    "the statement {% " + name.substr(0, 60) +
                        " %} is not supported; chat templates may use if, for, set, macro, filter, "
                        "break, continue and generation");
  }
  if (!status.ok()) return status.error();
  return statement;
}

Status Parser::expect_end(std::string_view name) {
  if (!take_name(name)) return unexpected("{% " + std::string(name) + " %}");
  return expect_block_end();
}

Status Parser::parse_body_block(Statement& statement, std::string_view end) {
  TRY_STATUS(expect_block_end());
  TRY(statement.body, parse_body({end}));
  return expect_end(end);
}

Status Parser::parse_if(Statement& statement) {
  statement.kind = StatementKind::If;
  while (true) {
    Branch branch;
    TRY(branch.condition, parse_tuple());
    TRY_STATUS(expect_block_end());
    TRY(branch.body, parse_body({"elif", "else", "endif"}));
    statement.branches.push_back(std::move(branch));
    if (!take_name("elif")) break;
  }
  if (take_name("else")) {
    TRY_STATUS(expect_block_end());
    TRY(Block body, parse_body({"endif"}));
    statement.branches.push_back({nullptr, std::move(body)});
  }
  return expect_end("endif");
}

Result<AssignmentTarget> Parser::parse_target(bool allow_attribute) {
  AssignmentTarget target;
  const bool parenthesized = take_operator("(");
  do {
    if (parenthesized && is_operator(")")) break;
    TRY(std::string name, parse_identifier("a name to assign to"));
    target.names.push_back(std::move(name));
    if (allow_attribute && target.names.size() == 1 && take_operator(".")) {
      TRY(target.attribute, parse_identifier("the name of an attribute"));
      return target;
    }
    if (!is_operator(",")) break;
    target.is_tuple = true;
  } while (take_operator(",") && !is_operator("="));
  if (parenthesized) TRY_STATUS(expect_operator(")"));
  return target;
}

Status Parser::parse_for(Statement& statement) {
  statement.kind = StatementKind::For;
  TRY(statement.target, parse_target(false));
  if (!take_name("in")) return unexpected("'in'");
  TRY(statement.expression, parse_tuple(false));
  if (take_name("if")) {
    TRY(statement.condition, parse_expression());
  }
  if (is_name("recursive")) {
    return error_at(ErrorCode::Unsupported, token().line,
                    "recursive loops are not supported; use a macro that calls itself");
  }
  TRY_STATUS(expect_block_end());
  const bool outer = std::exchange(in_loop_, true);
  TRY(statement.body, parse_body({"else", "endfor"}));
  in_loop_ = outer;
  if (take_name("else")) {
    TRY_STATUS(expect_block_end());
    TRY(statement.else_body, parse_body({"endfor"}));
  }
  return expect_end("endfor");
}

ExpressionPointer Parser::make_captured() const {
  auto captured = make(ExpressionKind::Name);
  captured->name = kCaptured;
  return captured;
}

Status Parser::parse_set(Statement& statement) {
  TRY(statement.target, parse_target(true));
  if (take_operator("=")) {
    statement.kind = StatementKind::Set;
    TRY(statement.expression, parse_tuple());
    return expect_block_end();
  }
  statement.kind = StatementKind::SetBlock;
  if (statement.target.is_tuple) return unexpected("'='");
  if (is_operator("|")) {
    TRY(statement.expression, parse_filters(make_captured()));
  }
  return parse_body_block(statement, "endset");
}

Status Parser::parse_macro(Statement& statement) {
  statement.kind = StatementKind::Macro;
  TRY(statement.text, parse_identifier("the name of a macro"));
  TRY_STATUS(expect_operator("("));
  while (!is_operator(")")) {
    if (!statement.parameters.empty()) TRY_STATUS(expect_operator(","));
    TRY(std::string name, parse_identifier("the name of a parameter"));
    ExpressionPointer value;
    if (take_operator("=")) {
      TRY(value, parse_expression());
    } else if (!statement.parameters.empty() && statement.parameters.back().second != nullptr) {
      return malformed(token().line, "a parameter without a default after one that has one");
    }
    statement.parameters.emplace_back(std::move(name), std::move(value));
  }
  TRY_STATUS(expect_operator(")"));
  const bool outer = std::exchange(in_loop_, false);
  TRY_STATUS(parse_body_block(statement, "endmacro"));
  in_loop_ = outer;
  return Ok{};
}

Status Parser::parse_filter_block(Statement& statement) {
  statement.kind = StatementKind::Filter;
  TRY(ExpressionPointer filter, parse_filter(make_captured()));
  if (is_operator("|")) {
    TRY(statement.expression, parse_filters(std::move(filter)));
  } else {
    statement.expression = std::move(filter);
  }
  return parse_body_block(statement, "endfilter");
}

Result<std::unique_ptr<Program>> parse_program(std::string_view source,
                                               const ChatTemplateLimits& limits) {
  if (source.size() > limits.source_bytes_max) {
    return Error{ErrorCode::OutOfRange,
                 "has " + std::to_string(source.size()) + " bytes; at most " +
                     std::to_string(limits.source_bytes_max) + " are allowed",
                 "chat template"};
  }
  auto program = std::make_unique<Program>();
  program->limits = limits;
  program->source = to_valid_utf8(normalize_line_breaks(source));
  TRY(std::vector<Token> tokens, split_template(program->source));
  TRY_STATUS(Parser(std::move(tokens), *program).parse());
  return program;
}

}  // namespace pianola::jinja
