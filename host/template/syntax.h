// The syntax tree of a chat template.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "host/template/value.h"

namespace pianola::jinja {

enum class ExpressionKind {
  Literal,      // `literal`
  Name,         // `name`
  List,         // children
  Tuple,        // children
  Dictionary,   // key, value, key, value, ...
  Negate,       // child
  Plus,         // child
  Not,          // child
  And,          // two children
  Or,           // two children
  Arithmetic,   // two children, `name`: + - * / // % ** ~
  Compare,      // first, then one child per operator of `operators`
  Conditional,  // condition, then, and else if given
  Attribute,    // child, `name`
  Subscript,    // value, index
  Slice,        // value, start, stop, step; absent ones are literals none
  Call,         // callee, arguments
  Filter,       // value, arguments; `name`
  Test,         // value, arguments; `name`
};

struct Expression;
using ExpressionPointer = std::unique_ptr<Expression>;

struct Expression {
  ExpressionKind kind = ExpressionKind::Literal;
  int line = 0;
  int depth = 1;  // of the tree below, to bound recursion
  std::string name;
  Value literal{};
  std::vector<std::string> operators;  // of Compare: == != < <= > >= in not-in
  std::vector<ExpressionPointer> children;
  std::vector<std::pair<std::string, ExpressionPointer>> named;  // arguments
  const Builtin* builtin = nullptr;                              // of Filter and Test
};

enum class StatementKind {
  Text,
  Output,
  If,
  For,
  Set,
  SetBlock,
  Macro,
  Filter,
  Break,
  Continue,
  Body
};

struct Statement;
using Block = std::vector<std::unique_ptr<Statement>>;

// The name of what a {% set %} or {% filter %} block printed, for its filters; no template can
// write it.
inline constexpr std::string_view kCaptured = "(body)";

// What `set` and `for` assign: a name, several, or an attribute of a namespace.
struct AssignmentTarget {
  std::vector<std::string> names;
  std::string attribute;  // names[0].attribute
  bool is_tuple = false;
};

struct Branch {
  ExpressionPointer condition;  // none: else
  Block body;
};

struct Statement {
  StatementKind kind = StatementKind::Text;
  int line = 0;
  std::string text;              // of Text; the name of a Macro
  AssignmentTarget target;       // of For, Set, SetBlock
  ExpressionPointer expression;  // printed, assigned, iterated; of Filter: applied to the body
  ExpressionPointer condition;   // of For: its `if`
  std::vector<Branch> branches;  // of If
  Block body, else_body;
  std::vector<std::pair<std::string, ExpressionPointer>> parameters;  // of Macro, with defaults
};

struct Program {
  std::string source;
  ChatTemplateLimits limits;
  std::deque<std::string> literals;  // the texts of literals
  std::vector<std::string> names;    // that are looked at, sorted
  Block body;
};

// Errors as ChatTemplate::parse.
Result<std::unique_ptr<Program>> parse_program(std::string_view source,
                                               const ChatTemplateLimits& limits);

}  // namespace pianola::jinja
