// Runs a chat template. One interpreter serves one apply.
#pragma once

#include <ctime>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/template/builtins.h"
#include "host/template/syntax.h"

namespace pianola::jinja {

class Interpreter {
 public:
  Interpreter(const Program& program, const std::tm& now);

  void define(std::string_view name, const Value& value) { assign(globals_->names, name, value); }
  Value import(const OrderedJson& json) { return arena_.import(json); }
  Result<std::string> run();

  // For builtins. Work counts about one per value touched and per 64 bytes of text.
  Arena& arena() { return arena_; }
  const std::tm& now() const { return now_; }
  std::size_t text_bytes_max() const;
  Status spend(std::size_t work);
  Result<Value> finish(BoundedText& text);  // as a value; OutOfRange if it went over
  Result<std::string_view> text_of(const Value& value);
  // The elements of a list, keys of a map, characters of a string; none of undefined.
  Result<std::vector<Value>> elements(const Value& value);
  Result<bool> equal(const Value& a, const Value& b, int depth = 0);
  // Negative, zero, positive. Error Malformed: values without an order.
  Result<int> compare(const Value& a, const Value& b, int depth = 0);
  Result<bool> contains(const Value& container, const Value& item);
  // A filter or test by its name, with positional arguments.
  Result<Value> apply(const Builtin& builtin, const Value& self, std::span<const Value> arguments);
  // value.name, or value[name]; undefined where there is none. A dotted path for filters.
  Value member(const Value& value, std::string_view name);
  Value member_path(const Value& value, std::string_view path);

 private:
  enum class Flow { Normal, Break, Continue };
  struct Arguments {
    std::vector<Value> positional;
    Members named;
  };
  class Nesting;

  // Statements: interpreter.cc
  Result<Flow> execute(const Block& block);
  Result<Flow> execute(const Statement& statement);
  Result<Flow> execute_if(const Statement& statement);
  Result<Flow> execute_for(const Statement& statement);
  Status assign_target(const Statement& statement, const AssignmentTarget& target,
                       const Value& value);
  Result<Flow> execute_captured(const Statement& statement);
  Result<std::string_view> capture(const Block& body, Flow& flow);
  Status print(const Value& value, int line);
  void set_loop(Scope& scope, const std::vector<Value>& items, std::size_t index);

  // Expressions: evaluate.cc
  Result<Value> evaluate(const Expression& e);
  Result<Value> evaluate_inner(const Expression& e);
  Result<Value> evaluate_items(const Expression& e);
  Result<Value> evaluate_map(const Expression& e);
  Result<Value> evaluate_logic(const Expression& e);
  Result<Value> evaluate_sign(const Expression& e);
  Result<Value> evaluate_arithmetic(const Expression& e);
  Result<Value> evaluate_compare(const Expression& e);
  Result<bool> compare_once(const std::string& op, const Value& a, const Value& b);
  Result<Value> evaluate_attribute(const Expression& e);
  Result<Value> evaluate_subscript(const Expression& e);
  Result<Value> evaluate_slice(const Expression& e);
  Result<Value> evaluate_call(const Expression& e);
  Result<Value> evaluate_builtin(const Expression& e);
  Result<Value> call_macro(const Callable& callable, const Arguments& arguments);
  Result<Value> call_builtin(const Builtin& builtin, const Value& self, const Arguments& arguments);
  Result<Arguments> evaluate_arguments(const Expression& e);
  Result<Value> add(const Value& a, const Value& b);
  Result<Value> multiply(const Value& a, const Value& b);
  Result<Value> calculate(const std::string& op, const Value& a, const Value& b);
  Result<Value> calculate_integers(const std::string& op, std::int64_t a, std::int64_t b);
  Result<Value> repeat(const Value& value, std::int64_t count);
  Value look_up(std::string_view name) const;

  const Program& program_;
  std::tm now_;
  Arena arena_;
  Scope* globals_;
  Scope* scope_;
  std::string output_;
  std::size_t work_ = 0;
  int depth_ = 0;
};

}  // namespace pianola::jinja
