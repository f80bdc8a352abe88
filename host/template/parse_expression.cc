// Expressions of a chat template, from the operators that bind least to those that bind most.
#include <algorithm>
#include <charconv>

#include "host/template/builtins.h"
#include "host/template/parser.h"

namespace pianola::jinja {

ExpressionPointer Parser::make(ExpressionKind kind) const {
  auto expression = std::make_unique<Expression>();
  expression->kind = kind;
  expression->line = token().line;
  return expression;
}

Parser::Parse Parser::finish(ExpressionPointer expression) const {
  for (const auto& child : expression->children) {
    if (child) expression->depth = std::max(expression->depth, child->depth + 1);
  }
  for (const auto& [name, child] : expression->named) {
    expression->depth = std::max(expression->depth, child->depth + 1);
  }
  if (expression->depth > kTreeDepthMax) {
    return error_at(ErrorCode::OutOfRange, expression->line,
                    "an expression nested deeper than " + std::to_string(kTreeDepthMax) +
                        "; set parts of it to names");
  }
  return expression;
}

Parser::Parse Parser::parse_tuple(bool allow_conditional) {
  const auto ends = [&] {
    return token().kind == TokenKind::BlockEnd || token().kind == TokenKind::OutputEnd ||
           is_operator(")");
  };
  auto tuple = make(ExpressionKind::Tuple);
  TRY(ExpressionPointer first, allow_conditional ? parse_expression() : parse_or());
  if (!is_operator(",")) return first;
  tuple->children.push_back(std::move(first));
  while (take_operator(",") && !ends()) {
    TRY(ExpressionPointer item, allow_conditional ? parse_expression() : parse_or());
    tuple->children.push_back(std::move(item));
  }
  return finish(std::move(tuple));
}

Parser::Parse Parser::parse_expression() {
  const Nesting nesting(*this);
  TRY_STATUS(nesting.check());
  TRY(ExpressionPointer value, parse_or());
  while (is_name("if")) {
    auto conditional = make(ExpressionKind::Conditional);
    ++at_;
    TRY(ExpressionPointer condition, parse_or());
    conditional->children.push_back(std::move(condition));
    conditional->children.push_back(std::move(value));
    if (take_name("else")) {
      TRY(ExpressionPointer otherwise, parse_expression());
      conditional->children.push_back(std::move(otherwise));
    }
    TRY(value, finish(std::move(conditional)));
  }
  return value;
}

Parser::Parse Parser::parse_or() {
  TRY(ExpressionPointer left, parse_and());
  while (is_name("or")) {
    auto node = make(ExpressionKind::Or);
    ++at_;
    TRY(ExpressionPointer right, parse_and());
    node->children.push_back(std::move(left));
    node->children.push_back(std::move(right));
    TRY(left, finish(std::move(node)));
  }
  return left;
}

Parser::Parse Parser::parse_and() {
  TRY(ExpressionPointer left, parse_not());
  while (is_name("and")) {
    auto node = make(ExpressionKind::And);
    ++at_;
    TRY(ExpressionPointer right, parse_not());
    node->children.push_back(std::move(left));
    node->children.push_back(std::move(right));
    TRY(left, finish(std::move(node)));
  }
  return left;
}

Parser::Parse Parser::parse_not() {
  if (!is_name("not")) return parse_compare();
  const Nesting nesting(*this);
  TRY_STATUS(nesting.check());
  auto node = make(ExpressionKind::Not);
  ++at_;
  TRY(ExpressionPointer operand, parse_not());
  node->children.push_back(std::move(operand));
  return finish(std::move(node));
}

Parser::Parse Parser::parse_compare() {
  TRY(ExpressionPointer first, parse_sum());
  auto node = make(ExpressionKind::Compare);
  node->children.push_back(std::move(first));
  while (true) {
    std::string name;
    for (const std::string_view candidate : {"==", "!=", "<", "<=", ">", ">="}) {
      if (is_operator(candidate)) name = candidate;
    }
    if (is_name("in")) {
      name = "in";
    } else if (is_name("not") && next_token().kind == TokenKind::Name &&
               next_token().text == "in") {
      name = "not in";
      ++at_;
    }
    if (name.empty()) break;
    ++at_;
    TRY(ExpressionPointer operand, parse_sum());
    node->operators.push_back(std::move(name));
    node->children.push_back(std::move(operand));
  }
  if (node->operators.empty()) return std::move(node->children[0]);
  return finish(std::move(node));
}

Parser::Parse Parser::parse_binary(Parse (Parser::*operand)(),
                                   const std::vector<std::string_view>& operators) {
  TRY(ExpressionPointer left, (this->*operand)());
  while (token().kind == TokenKind::Operator &&
         std::find(operators.begin(), operators.end(), token().text) != operators.end()) {
    auto node = make(ExpressionKind::Arithmetic);
    node->name = tokens_[at_++].text;
    TRY(ExpressionPointer right, (this->*operand)());
    node->children.push_back(std::move(left));
    node->children.push_back(std::move(right));
    TRY(left, finish(std::move(node)));
  }
  return left;
}

Parser::Parse Parser::parse_sum() { return parse_binary(&Parser::parse_concatenation, {"+", "-"}); }
Parser::Parse Parser::parse_concatenation() { return parse_binary(&Parser::parse_product, {"~"}); }
Parser::Parse Parser::parse_product() {
  return parse_binary(&Parser::parse_power, {"*", "/", "//", "%"});
}

Parser::Parse Parser::parse_power() {
  TRY(ExpressionPointer left, parse_unary(true));
  while (is_operator("**")) {
    auto node = make(ExpressionKind::Arithmetic);
    node->name = tokens_[at_++].text;
    TRY(ExpressionPointer right, parse_unary(true));
    node->children.push_back(std::move(left));
    node->children.push_back(std::move(right));
    TRY(left, finish(std::move(node)));
  }
  return left;
}

Parser::Parse Parser::parse_unary(bool with_filters) {
  const Nesting nesting(*this);
  TRY_STATUS(nesting.check());
  ExpressionPointer value;
  if (is_operator("-") || is_operator("+")) {
    value = make(is_operator("-") ? ExpressionKind::Negate : ExpressionKind::Plus);
    ++at_;
    TRY(ExpressionPointer operand, parse_unary(false));
    value->children.push_back(std::move(operand));
    TRY(value, finish(std::move(value)));
  } else {
    TRY(value, parse_primary());
  }
  TRY(value, parse_postfix(std::move(value)));
  if (!with_filters) return value;
  return parse_filters(std::move(value));
}

Parser::Parse Parser::parse_primary() {
  switch (token().kind) {
    case TokenKind::String:
    case TokenKind::Integer:
    case TokenKind::Float:
      return parse_literal();
    case TokenKind::Operator:
      if (is_operator("{")) return parse_dictionary();
      if (is_operator("(") || is_operator("[")) return parse_bracketed();
      break;
    case TokenKind::Name: {
      auto node = make(ExpressionKind::Literal);
      if (is_name("true") || is_name("True")) {
        node->literal = true;
      } else if (is_name("false") || is_name("False")) {
        node->literal = false;
      } else if (is_name("none") || is_name("None")) {
        node->literal = None{};
      } else {
        node->kind = ExpressionKind::Name;
        TRY(node->name, parse_identifier("a value"));
        names_.insert(node->name);
        return node;
      }
      ++at_;
      return node;
    }
    case TokenKind::Text:
    case TokenKind::BlockBegin:
    case TokenKind::BlockEnd:
    case TokenKind::OutputBegin:
    case TokenKind::OutputEnd:
    case TokenKind::End:
      break;
  }
  return unexpected("a value");
}

Parser::Parse Parser::parse_literal() {
  auto node = make(ExpressionKind::Literal);
  if (token().kind == TokenKind::String) {
    std::string text;
    while (token().kind == TokenKind::String) text += tokens_[at_++].text;
    node->literal = std::string_view(program_.literals.emplace_back(std::move(text)));
    return node;
  }
  const std::string& text = token().text;
  const char* end = text.data() + text.size();
  std::errc error{};
  if (token().kind == TokenKind::Integer) {
    std::int64_t value = 0;
    error = std::from_chars(text.data(), end, value).ec;
    node->literal = value;
  } else {
    double value = 0;
    error = std::from_chars(text.data(), end, value).ec;
    node->literal = value;
  }
  if (error != std::errc{}) {
    return error_at(ErrorCode::OutOfRange, node->line, "a number that does not fit 64 bits");
  }
  ++at_;
  return node;
}

Parser::Parse Parser::parse_bracketed() {
  const bool is_list = is_operator("[");
  const std::string_view close = is_list ? "]" : ")";
  auto node = make(is_list ? ExpressionKind::List : ExpressionKind::Tuple);
  ++at_;
  bool has_comma = false;
  while (!is_operator(close)) {
    if (!node->children.empty()) {
      TRY_STATUS(expect_operator(","));
      has_comma = true;
      if (is_operator(close)) break;
    }
    TRY(ExpressionPointer item, parse_expression());
    node->children.push_back(std::move(item));
  }
  ++at_;
  if (!is_list && !has_comma && node->children.size() == 1) return std::move(node->children[0]);
  return finish(std::move(node));
}

Parser::Parse Parser::parse_dictionary() {
  auto node = make(ExpressionKind::Dictionary);
  ++at_;
  while (!is_operator("}")) {
    if (!node->children.empty()) {
      TRY_STATUS(expect_operator(","));
      if (is_operator("}")) break;
    }
    TRY(ExpressionPointer key, parse_expression());
    TRY_STATUS(expect_operator(":"));
    TRY(ExpressionPointer value, parse_expression());
    node->children.push_back(std::move(key));
    node->children.push_back(std::move(value));
  }
  ++at_;
  return finish(std::move(node));
}

Parser::Parse Parser::parse_postfix(ExpressionPointer value) {
  while (true) {
    if (take_operator(".")) {
      auto node = make(ExpressionKind::Attribute);
      if (token().kind == TokenKind::Integer) {  // items.0
        node->kind = ExpressionKind::Subscript;
        TRY(ExpressionPointer index, parse_literal());
        node->children.push_back(std::move(value));
        node->children.push_back(std::move(index));
      } else {
        if (token().kind != TokenKind::Name) return unexpected("the name of an attribute");
        node->name = tokens_[at_++].text;
        node->children.push_back(std::move(value));
      }
      TRY(value, finish(std::move(node)));
    } else if (is_operator("[")) {
      TRY(value, parse_subscript(std::move(value)));
    } else if (is_operator("(")) {
      TRY(value, parse_call(std::move(value)));
    } else {
      return value;
    }
  }
}

Parser::Parse Parser::parse_subscript(ExpressionPointer value) {
  auto node = make(ExpressionKind::Subscript);
  ++at_;
  std::vector<ExpressionPointer> parts;
  const auto absent = [&] {
    auto none = make(ExpressionKind::Literal);
    none->literal = None{};
    return none;
  };
  bool is_slice = false;
  for (int part = 0; part < 3; ++part) {
    if (is_operator(":") || is_operator("]")) {
      parts.push_back(absent());
    } else {
      TRY(ExpressionPointer index, parse_expression());
      parts.push_back(std::move(index));
    }
    if (part == 2 || !take_operator(":")) break;
    is_slice = true;
  }
  if (!is_slice && is_operator("]") && tokens_[at_ - 1].text == "[") return unexpected("an index");
  TRY_STATUS(expect_operator("]"));
  if (is_slice) {
    node->kind = ExpressionKind::Slice;
    while (parts.size() < 3) parts.push_back(absent());
  }
  node->children.push_back(std::move(value));
  for (ExpressionPointer& part : parts) node->children.push_back(std::move(part));
  return finish(std::move(node));
}

Status Parser::parse_arguments(Expression& call) {
  ++at_;
  for (bool is_first = true; !is_operator(")"); is_first = false) {
    if (!is_first) TRY_STATUS(expect_operator(","));
    if (is_operator(")")) break;
    const bool is_named = token().kind == TokenKind::Name &&
                          next_token().kind == TokenKind::Operator && next_token().text == "=";
    if (is_named) {
      std::string name = token().text;
      at_ += 2;
      TRY(ExpressionPointer argument, parse_expression());
      call.named.emplace_back(std::move(name), std::move(argument));
      continue;
    }
    if (!call.named.empty())
      return malformed(token().line, "a positional argument after a named one");
    TRY(ExpressionPointer argument, parse_expression());
    call.children.push_back(std::move(argument));
  }
  ++at_;
  return Ok{};
}

Parser::Parse Parser::parse_call(ExpressionPointer value) {
  auto node = make(ExpressionKind::Call);
  node->children.push_back(std::move(value));
  TRY_STATUS(parse_arguments(*node));
  return finish(std::move(node));
}

Parser::Parse Parser::parse_filters(ExpressionPointer value) {
  while (true) {
    if (take_operator("|")) {
      TRY(value, parse_filter(std::move(value)));
    } else if (is_name("is")) {
      TRY(value, parse_test(std::move(value)));
    } else if (is_operator("(")) {
      TRY(value, parse_call(std::move(value)));
    } else {
      return value;
    }
  }
}

Parser::Parse Parser::parse_filter(ExpressionPointer value) {
  auto node = make(ExpressionKind::Filter);
  TRY(node->name, parse_identifier("the name of a filter"));
  node->builtin = find_filter(node->name);
  if (node->builtin == nullptr) {
    return error_at(ErrorCode::Unsupported, node->line,
                    "the filter '" + node->name.substr(0, 60) + "' is not supported; there are " +
                        filter_names());
  }
  node->children.push_back(std::move(value));
  if (is_operator("(")) TRY_STATUS(parse_arguments(*node));
  return finish(std::move(node));
}

Parser::Parse Parser::parse_test(ExpressionPointer value) {
  auto node = make(ExpressionKind::Test);
  ++at_;
  const bool is_negated = take_name("not");
  if (token().kind != TokenKind::Name) return unexpected("the name of a test");
  node->name = tokens_[at_++].text;
  node->builtin = find_test(node->name);
  if (node->builtin == nullptr) {
    return error_at(
        ErrorCode::Unsupported, node->line,
        "the test '" + node->name.substr(0, 60) + "' is not supported; there are " + test_names());
  }
  node->children.push_back(std::move(value));
  static const std::set<std::string_view> kAfter = {"else", "or", "and", "if", "is", "not", "in"};
  const bool is_value = token().kind == TokenKind::String || token().kind == TokenKind::Integer ||
                        token().kind == TokenKind::Float || is_operator("[") || is_operator("{") ||
                        (token().kind == TokenKind::Name && !kAfter.contains(token().text));
  if (is_operator("(")) {
    TRY_STATUS(parse_arguments(*node));
  } else if (is_value) {
    TRY(ExpressionPointer argument, parse_primary());
    TRY(argument, parse_postfix(std::move(argument)));
    node->children.push_back(std::move(argument));
  }
  TRY(ExpressionPointer test, finish(std::move(node)));
  if (!is_negated) return test;
  auto negation = make(ExpressionKind::Not);
  negation->children.push_back(std::move(test));
  return finish(std::move(negation));
}

}  // namespace pianola::jinja
