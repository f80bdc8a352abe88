// The parser's state that statements and expressions share: the tokens, and what they are refused
// for.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "host/template/split_template.h"
#include "host/template/syntax.h"

namespace pianola::jinja {

class Parser {
 public:
  Parser(std::vector<Token> tokens, Program& program)
      : tokens_(std::move(tokens)), program_(program) {}

  // Statements up to the end of the template.
  Status parse();

 private:
  static constexpr int kTreeDepthMax = 100;

  const Token& token() const { return tokens_[at_]; }
  const Token& next_token() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  bool is_operator(std::string_view text) const;
  bool is_name(std::string_view text) const;
  bool take_operator(std::string_view text);
  bool take_name(std::string_view text);
  Status expect_operator(std::string_view text);
  Status expect_block_end();
  Error unexpected(const std::string& expected) const;
  Result<std::string> parse_identifier(const std::string& what);

  // parse_template.cc. A body ends at one of `ends`, which stays to be taken.
  Result<Block> parse_body(const std::vector<std::string_view>& ends);
  Status parse_block_tag(Block& block, const std::vector<std::string_view>& ends, bool& ended);
  Result<std::unique_ptr<Statement>> parse_statement();
  Status parse_if(Statement& statement);
  Status parse_for(Statement& statement);
  Status parse_set(Statement& statement);
  Status parse_macro(Statement& statement);
  Status parse_filter_block(Statement& statement);
  Status parse_body_block(Statement& statement, std::string_view end);
  Result<AssignmentTarget> parse_target(bool allow_attribute);
  Status expect_end(std::string_view name);
  ExpressionPointer make_captured() const;

  // parse_expression.cc
  using Parse = Result<ExpressionPointer>;
  ExpressionPointer make(ExpressionKind kind) const;
  Parse finish(ExpressionPointer expression) const;  // its depth
  Parse parse_tuple(bool allow_conditional = true);  // a, b: without parentheses
  Parse parse_expression();
  Parse parse_or();
  Parse parse_and();
  Parse parse_not();
  Parse parse_compare();
  Parse parse_sum();
  Parse parse_concatenation();
  Parse parse_product();
  Parse parse_power();
  Parse parse_unary(bool with_filters);
  Parse parse_primary();
  Parse parse_literal();
  Parse parse_bracketed();
  Parse parse_dictionary();
  Parse parse_postfix(ExpressionPointer value);
  Parse parse_subscript(ExpressionPointer value);
  Parse parse_call(ExpressionPointer value);
  Parse parse_filters(ExpressionPointer value);
  Parse parse_filter(ExpressionPointer value);
  Parse parse_test(ExpressionPointer value);
  Status parse_arguments(Expression& call);
  Parse parse_binary(Parse (Parser::*operand)(), const std::vector<std::string_view>& operators);

  std::vector<Token> tokens_;
  Program& program_;
  std::size_t at_ = 0;
  int depth_ = 0;  // of the recursion
  bool in_loop_ = false;
  std::set<std::string, std::less<>> names_;

  // Counts recursion while it lives.
  class Nesting {
   public:
    explicit Nesting(Parser& parser) : parser_(parser) { ++parser_.depth_; }
    ~Nesting() { --parser_.depth_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;
    Status check() const;

   private:
    Parser& parser_;
  };
};

}  // namespace pianola::jinja
