// Statements of a running chat template.
#include "host/template/interpreter.h"

#include "host/template/split_template.h"

namespace pianola::jinja {

Interpreter::Interpreter(const Program& program, const std::tm& now)
    : program_(program), now_(now), arena_(program.limits.memory_bytes_max) {
  globals_ = scope_ = arena_.scope(nullptr);
  for (const Builtin& function : global_functions()) {
    define(function.name, arena_.callable({.builtin = &function}));
  }
}

std::size_t Interpreter::text_bytes_max() const {
  return std::min(program_.limits.output_bytes_max, arena_.bytes_left());
}

Status Interpreter::spend(std::size_t work) {
  work_ += work;
  if (work_ > program_.limits.steps_max) {
    return Error{ErrorCode::OutOfRange,
                 "more than " + std::to_string(program_.limits.steps_max) +
                     " steps; the template loops too much for these messages",
                 ""};
  }
  if (arena_.is_full()) {
    return Error{ErrorCode::OutOfRange,
                 "values take more than " + std::to_string(program_.limits.memory_bytes_max) +
                     " bytes; send fewer or shorter messages",
                 ""};
  }
  return Ok{};
}

Result<Value> Interpreter::finish(BoundedText& text) {
  if (text.is_over()) {
    return Error{ErrorCode::OutOfRange,
                 "a text of more than " + std::to_string(text_bytes_max()) +
                     " bytes; send fewer or shorter messages",
                 ""};
  }
  TRY_STATUS(spend(text.size() / 64));
  return arena_.text(text.take());
}

Result<std::string_view> Interpreter::text_of(const Value& value) {
  if (const auto* text = std::get_if<std::string_view>(&value)) return *text;
  BoundedText text(text_bytes_max());
  write_text(value, text);
  TRY(const Value kept, finish(text));
  return std::get<std::string_view>(kept);
}

Result<std::string> Interpreter::run() {
  scope_ = arena_.scope(globals_);
  TRY_STATUS(execute(program_.body));
  return std::move(output_);
}

Status Interpreter::print(const Value& value, int line) {
  const auto text = text_of(value);
  if (!text.ok()) return error_at(text.error().code, line, text.error().message);
  if (text->size() > program_.limits.output_bytes_max - output_.size()) {
    return error_at(ErrorCode::OutOfRange, line,
                    "the prompt has more than " + std::to_string(program_.limits.output_bytes_max) +
                        " bytes; send fewer or shorter messages");
  }
  output_ += *text;
  return Ok{};
}

Result<Interpreter::Flow> Interpreter::execute(const Block& block) {
  for (const auto& statement : block) {
    TRY(const Flow flow, execute(*statement));
    if (flow != Flow::Normal) return flow;
  }
  return Flow::Normal;
}

Result<Interpreter::Flow> Interpreter::execute(const Statement& statement) {
  const Status budget = spend(1);
  if (!budget.ok()) return error_at(budget.error().code, statement.line, budget.error().message);
  switch (statement.kind) {
    case StatementKind::Text:
      TRY_STATUS(print(std::string_view(statement.text), statement.line));
      return Flow::Normal;
    case StatementKind::Output: {
      TRY(const Value value, evaluate(*statement.expression));
      TRY_STATUS(print(value, statement.line));
      return Flow::Normal;
    }
    case StatementKind::If:
      return execute_if(statement);
    case StatementKind::For:
      return execute_for(statement);
    case StatementKind::Set: {
      TRY(const Value value, evaluate(*statement.expression));
      TRY_STATUS(assign_target(statement, statement.target, value));
      return Flow::Normal;
    }
    case StatementKind::SetBlock:
    case StatementKind::Filter:
      return execute_captured(statement);
    case StatementKind::Macro:
      assign(scope_->names, statement.text,
             arena_.callable({.macro = &statement, .scope = scope_}));
      return Flow::Normal;
    case StatementKind::Break:
      return Flow::Break;
    case StatementKind::Continue:
      return Flow::Continue;
    case StatementKind::Body:
      return execute(statement.body);
  }
  return Flow::Normal;
}

Result<Interpreter::Flow> Interpreter::execute_if(const Statement& statement) {
  for (const Branch& branch : statement.branches) {
    if (branch.condition) {
      TRY(const Value condition, evaluate(*branch.condition));
      if (!is_true(condition)) continue;
    }
    return execute(branch.body);
  }
  return Flow::Normal;
}

void Interpreter::set_loop(Scope& scope, const std::vector<Value>& items, std::size_t index) {
  const auto number = [](std::size_t n) { return Value(static_cast<std::int64_t>(n)); };
  const std::size_t count = items.size();
  Members members = {{"index", number(index + 1)},
                     {"index0", number(index)},
                     {"revindex", number(count - index)},
                     {"revindex0", number(count - index - 1)},
                     {"first", index == 0},
                     {"last", index + 1 == count},
                     {"length", number(count)},
                     {"depth", std::int64_t{1}},
                     {"depth0", std::int64_t{0}}};
  if (index > 0) members.emplace_back("previtem", items[index - 1]);
  if (index + 1 < count) members.emplace_back("nextitem", items[index + 1]);
  assign(scope.names, "loop", arena_.map(std::move(members)));
}

Result<Interpreter::Flow> Interpreter::execute_for(const Statement& statement) {
  TRY(const Value iterated, evaluate(*statement.expression));
  auto elements_or = elements(iterated);
  if (!elements_or.ok()) {
    return error_at(elements_or.error().code, statement.line, elements_or.error().message);
  }
  std::vector<Value> items = std::move(elements_or).value();
  Scope* const outer = scope_;
  Scope* const inner = arena_.scope(outer);
  scope_ = inner;
  if (statement.condition) {
    std::vector<Value> kept;
    for (const Value& item : items) {
      inner->names.clear();
      TRY_STATUS(assign_target(statement, statement.target, item));
      TRY(const Value condition, evaluate(*statement.condition));
      if (is_true(condition)) kept.push_back(item);
    }
    items = std::move(kept);
  }
  Flow flow = Flow::Normal;
  for (std::size_t i = 0; i < items.size() && flow != Flow::Break; ++i) {
    inner->names.clear();
    set_loop(*inner, items, i);
    TRY_STATUS(assign_target(statement, statement.target, items[i]));
    TRY(flow, execute(statement.body));
  }
  if (items.empty()) {
    inner->names.clear();
    TRY_STATUS(execute(statement.else_body));
  }
  scope_ = outer;
  return Flow::Normal;
}

Status Interpreter::assign_target(const Statement& statement, const AssignmentTarget& target,
                                  const Value& value) {
  if (!target.attribute.empty()) {
    const Value object = look_up(target.names[0]);
    auto* const* space = std::get_if<Namespace*>(&object);
    if (space == nullptr) {
      return malformed(statement.line, "'" + target.names[0] + "' is no namespace, so that '" +
                                           target.attribute +
                                           "' of it cannot be set; make it with namespace()");
    }
    assign((*space)->members, target.attribute, value);
    return Ok{};
  }
  if (!target.is_tuple) {
    assign(scope_->names, target.names[0], value);
    return Ok{};
  }
  const auto parts = elements(value);
  if (!parts.ok()) return error_at(parts.error().code, statement.line, parts.error().message);
  if (parts->size() != target.names.size()) {
    return malformed(statement.line, "expected " + std::to_string(target.names.size()) +
                                         " values to assign, got " + std::to_string(parts->size()));
  }
  for (std::size_t i = 0; i < parts->size(); ++i) {
    assign(scope_->names, target.names[i], (*parts)[i]);
  }
  return Ok{};
}

// What the body prints, as a text.
Result<std::string_view> Interpreter::capture(const Block& body, Flow& flow) {
  std::string outer = std::move(output_);
  output_.clear();
  auto executed = execute(body);
  std::string text = std::exchange(output_, std::move(outer));
  if (!executed.ok()) return executed.error();
  flow = *executed;
  return arena_.keep(std::move(text));
}

Result<Interpreter::Flow> Interpreter::execute_captured(const Statement& statement) {
  Flow flow = Flow::Normal;
  Scope* const outer = scope_;
  Scope* const inner = scope_ = arena_.scope(outer);
  auto captured = capture(statement.body, flow);
  scope_ = outer;
  if (!captured.ok()) return captured.error();
  Value value = *captured;
  if (statement.expression) {  // filters, whose innermost operand is the name of the capture
    assign(inner->names, kCaptured, value);
    scope_ = inner;
    auto filtered = evaluate(*statement.expression);
    scope_ = outer;
    if (!filtered.ok()) return filtered.error();
    value = *filtered;
  }
  if (statement.kind == StatementKind::Filter) {
    TRY_STATUS(print(value, statement.line));
  } else {
    TRY_STATUS(assign_target(statement, statement.target, value));
  }
  return flow;
}

}  // namespace pianola::jinja
