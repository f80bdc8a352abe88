// Expressions of a running chat template: names, members, calls.
#include <algorithm>

#include "host/template/interpreter.h"
#include "host/template/split_template.h"

namespace pianola::jinja {
namespace {

constexpr int kRunDepthMax = 400;  // expressions and macros inside each other
constexpr int kExpressionsPerMacro = 8;

std::string undefined_text(const Undefined& undefined) {
  return "'" + std::string(undefined.name) + "' is undefined";
}

// Python's index: negative ones count from the end.
bool to_index(std::int64_t index, std::size_t size, std::size_t& out) {
  const auto length = static_cast<std::int64_t>(size);
  if (index < 0) index += length;
  if (index < 0 || index >= length) return false;
  out = static_cast<std::size_t>(index);
  return true;
}

}  // namespace

// Counts depth while it lives.
class Interpreter::Nesting {
 public:
  explicit Nesting(Interpreter& interpreter, int levels = 1)
      : interpreter_(interpreter), levels_(levels) {
    interpreter_.depth_ += levels_;
  }
  ~Nesting() { interpreter_.depth_ -= levels_; }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;
  Status check(int line) const {
    if (interpreter_.depth_ <= kRunDepthMax) return Ok{};
    return error_at(ErrorCode::OutOfRange, line,
                    "calls nested too deep; does a macro call itself without end?");
  }

 private:
  Interpreter& interpreter_;
  int levels_;
};

Value Interpreter::look_up(std::string_view name) const {
  for (const Scope* scope = scope_; scope != nullptr; scope = scope->parent) {
    if (const Value* value = find(scope->names, name)) return *value;
  }
  return Undefined{name};
}

Result<Value> Interpreter::evaluate(const Expression& e) {
  const Nesting nesting(*this);
  TRY_STATUS(nesting.check(e.line));
  auto value = [&]() -> Result<Value> {
    TRY_STATUS(spend(1));
    return evaluate_inner(e);
  }();
  if (!value.ok() && value.error().where.empty()) {
    return error_at(value.error().code, e.line, value.error().message);
  }
  return value;
}

Result<Value> Interpreter::evaluate_inner(const Expression& e) {
  switch (e.kind) {
    case ExpressionKind::Literal:
      return e.literal;
    case ExpressionKind::Name:
      return look_up(e.name);
    case ExpressionKind::List:
    case ExpressionKind::Tuple:
      return evaluate_items(e);
    case ExpressionKind::Dictionary:
      return evaluate_map(e);
    case ExpressionKind::Negate:
    case ExpressionKind::Plus:
      return evaluate_sign(e);
    case ExpressionKind::Not:
    case ExpressionKind::And:
    case ExpressionKind::Or:
    case ExpressionKind::Conditional:
      return evaluate_logic(e);
    case ExpressionKind::Arithmetic:
      return evaluate_arithmetic(e);
    case ExpressionKind::Compare:
      return evaluate_compare(e);
    case ExpressionKind::Attribute:
      return evaluate_attribute(e);
    case ExpressionKind::Subscript:
      return evaluate_subscript(e);
    case ExpressionKind::Slice:
      return evaluate_slice(e);
    case ExpressionKind::Call:
      return evaluate_call(e);
    case ExpressionKind::Filter:
    case ExpressionKind::Test:
      return evaluate_builtin(e);
  }
  return Value{};
}

Result<Value> Interpreter::evaluate_items(const Expression& e) {
  std::vector<Value> items;
  for (const auto& child : e.children) {
    TRY(const Value item, evaluate(*child));
    items.push_back(item);
  }
  return arena_.list(std::move(items), e.kind == ExpressionKind::Tuple);
}

Result<Value> Interpreter::evaluate_map(const Expression& e) {
  Members members;
  for (std::size_t i = 0; i + 1 < e.children.size(); i += 2) {
    TRY(const Value key, evaluate(*e.children[i]));
    if (!is_string(key))
      return cannot("keys of a dictionary must be strings, got " + std::string(type_name(key)));
    TRY(const Value value, evaluate(*e.children[i + 1]));
    assign(members, std::get<std::string_view>(key), value);
  }
  return arena_.map(std::move(members));
}

Result<Value> Interpreter::evaluate_logic(const Expression& e) {
  TRY(const Value first, evaluate(*e.children[0]));
  if (e.kind == ExpressionKind::Not) return Value(!is_true(first));
  if (e.kind == ExpressionKind::And)
    return is_true(first) ? evaluate(*e.children[1]) : Result<Value>(first);
  if (e.kind == ExpressionKind::Or)
    return is_true(first) ? Result<Value>(first) : evaluate(*e.children[1]);
  if (is_true(first)) return evaluate(*e.children[1]);
  if (e.children.size() == 3) return evaluate(*e.children[2]);
  return Value(Undefined{"the value of an if without else"});
}

Value Interpreter::member(const Value& value, std::string_view name) {
  const Members* members = nullptr;
  if (const auto* map = std::get_if<const Map*>(&value)) members = &(*map)->members;
  if (auto* const* space = std::get_if<Namespace*>(&value)) members = &(*space)->members;
  if (members != nullptr) {
    if (const Value* found = find(*members, name)) return *found;
  }
  return Undefined{name};
}

Value Interpreter::member_path(const Value& value, std::string_view path) {
  Value at = value;
  while (true) {
    const std::size_t dot = path.find('.');
    const std::string_view name = path.substr(0, dot);
    const auto* list = std::get_if<const List*>(&at);
    const bool is_index = !name.empty() && name.size() < 9 &&
                          name.find_first_not_of("0123456789") == std::string_view::npos;
    if (list != nullptr && is_index) {
      const auto index = static_cast<std::size_t>(std::stoi(std::string(name)));
      at = index < (*list)->items.size() ? (*list)->items[index] : Value(Undefined{name});
    } else {
      at = member(at, name);
    }
    if (dot == std::string_view::npos) return at;
    path.remove_prefix(dot + 1);
  }
}

Result<Value> Interpreter::evaluate_attribute(const Expression& e) {
  TRY(const Value value, evaluate(*e.children[0]));
  if (const auto* undefined = std::get_if<Undefined>(&value)) {
    return cannot(undefined_text(*undefined) + ", so that it has no '" + e.name +
                  "'; test it with `is defined`");
  }
  const Builtin* method = nullptr;  // as in Jinja, methods go before keys
  if (is_string(value)) method = find_string_method(e.name);
  if (std::holds_alternative<const Map*>(value)) method = find_map_method(e.name);
  if (std::holds_alternative<const List*>(value)) method = find_list_method(e.name);
  if (method != nullptr) return arena_.callable({.builtin = method, .self = value});
  if (const auto* map = std::get_if<const Map*>(&value))
    TRY_STATUS(spend((*map)->members.size() / 16));
  return member(value, e.name);
}

Result<Value> Interpreter::evaluate_subscript(const Expression& e) {
  TRY(const Value value, evaluate(*e.children[0]));
  TRY(const Value index, evaluate(*e.children[1]));
  if (const auto* undefined = std::get_if<Undefined>(&value)) {
    return cannot(undefined_text(*undefined) +
                  ", so that nothing of it can be taken; test it with `is defined`");
  }
  std::size_t at = 0;
  if (const auto* number = std::get_if<std::int64_t>(&index)) {
    if (const auto* list = std::get_if<const List*>(&value)) {
      return to_index(*number, (*list)->items.size(), at) ? (*list)->items[at]
                                                          : Value(Undefined{"element"});
    }
    if (const auto* text = std::get_if<std::string_view>(&value)) {
      TRY_STATUS(spend(text->size() / 8));
      const auto characters = split_characters(*text);
      return to_index(*number, characters.size(), at) ? Value(characters[at])
                                                      : Value(Undefined{"character"});
    }
    return Value(Undefined{"element"});
  }
  if (!is_string(index)) return Value(Undefined{"element"});
  const auto name = std::get<std::string_view>(index);
  const Value found = member(value, name);
  if (!std::holds_alternative<Undefined>(found)) return found;
  const Builtin* method = std::holds_alternative<const Map*>(value) ? find_map_method(name)
                          : is_string(value)                        ? find_string_method(name)
                                                                    : nullptr;
  if (method != nullptr) return arena_.callable({.builtin = method, .self = value});
  return found;
}

Result<Value> Interpreter::evaluate_slice(const Expression& e) {
  TRY(const Value value, evaluate(*e.children[0]));
  std::int64_t bounds[3] = {};
  bool given[3] = {};
  for (std::size_t i = 0; i < 3; ++i) {
    TRY(const Value bound, evaluate(*e.children[i + 1]));
    if (std::holds_alternative<None>(bound)) continue;
    const auto* number = std::get_if<std::int64_t>(&bound);
    if (number == nullptr)
      return cannot("the bounds of a slice must be integers, got " + std::string(type_name(bound)));
    bounds[i] = *number;
    given[i] = true;
  }
  const auto* list = std::get_if<const List*>(&value);
  const auto* text = std::get_if<std::string_view>(&value);
  if (list == nullptr && text == nullptr)
    return cannot("a slice of " + std::string(type_name(value)) +
                  "; only strings and lists have slices");
  std::vector<std::string_view> characters;
  if (text != nullptr) characters = split_characters(*text);
  const std::size_t size = list != nullptr ? (*list)->items.size() : characters.size();
  TRY_STATUS(spend(size / 8));
  const std::int64_t step = given[2] ? bounds[2] : 1;
  if (step == 0 || step == INT64_MIN) return cannot("the step of a slice must not be zero");
  const auto length = static_cast<std::int64_t>(size);
  const auto clamp = [&](std::int64_t index) {
    if (index < 0) index = std::max<std::int64_t>(index, -length - 1) + length;
    return step > 0 ? std::clamp<std::int64_t>(index, 0, length)
                    : std::clamp<std::int64_t>(index, -1, length - 1);
  };
  const std::int64_t start = given[0] ? clamp(bounds[0]) : step > 0 ? 0 : length - 1;
  const std::int64_t stop = given[1] ? clamp(bounds[1]) : step > 0 ? length : -1;
  std::vector<Value> items;
  std::string slice;
  for (std::int64_t i = start; step > 0 ? i < stop : i > stop;) {
    const auto at = static_cast<std::size_t>(i);
    if (list != nullptr) {
      items.push_back((*list)->items[at]);
    } else {
      slice += characters[at];
    }
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  if (list != nullptr) return arena_.list(std::move(items), (*list)->is_tuple);
  return arena_.text(std::move(slice));
}

Result<Interpreter::Arguments> Interpreter::evaluate_arguments(const Expression& e) {
  Arguments arguments;
  for (std::size_t i = 1; i < e.children.size(); ++i) {
    TRY(const Value argument, evaluate(*e.children[i]));
    arguments.positional.push_back(argument);
  }
  for (const auto& [name, expression] : e.named) {
    TRY(const Value argument, evaluate(*expression));
    assign(arguments.named, name, argument);
  }
  return arguments;
}

Result<Value> Interpreter::evaluate_call(const Expression& e) {
  TRY(const Value callee, evaluate(*e.children[0]));
  const auto* callable = std::get_if<const Callable*>(&callee);
  if (callable == nullptr) {
    if (const auto* undefined = std::get_if<Undefined>(&callee)) {
      return cannot(undefined_text(*undefined) + " or not supported, so that it cannot be called");
    }
    return cannot("a value of type " + std::string(type_name(callee)) + " cannot be called");
  }
  TRY(const Arguments arguments, evaluate_arguments(e));
  const Nesting nesting(*this, kExpressionsPerMacro);
  TRY_STATUS(nesting.check(e.line));
  if ((*callable)->macro != nullptr) return call_macro(**callable, arguments);
  return call_builtin(*(*callable)->builtin, (*callable)->self, arguments);
}

Result<Value> Interpreter::evaluate_builtin(const Expression& e) {
  TRY(const Value self, evaluate(*e.children[0]));
  TRY(const Arguments arguments, evaluate_arguments(e));
  return call_builtin(*e.builtin, self, arguments);
}

Result<Value> Interpreter::apply(const Builtin& builtin, const Value& self,
                                 std::span<const Value> arguments) {
  TRY_STATUS(spend(1));
  return call_builtin(builtin, self, {{arguments.begin(), arguments.end()}, {}});
}

Result<Value> Interpreter::call_builtin(const Builtin& builtin, const Value& self,
                                        const Arguments& arguments) {
  const std::size_t count = builtin.parameters.size();
  if (arguments.positional.size() > count) {
    return cannot(std::string(builtin.name) + " takes at most " + std::to_string(count) +
                  " arguments, got " + std::to_string(arguments.positional.size()));
  }
  std::vector<Value> bound(arguments.positional);
  bound.resize(count, Undefined{});
  for (const auto& [name, value] : arguments.named) {
    if (builtin.takes_names) continue;
    const auto at = std::find(builtin.parameters.begin(), builtin.parameters.end(), name);
    if (at == builtin.parameters.end()) {
      return cannot(std::string(builtin.name) + " has no argument '" + std::string(name) + "'");
    }
    bound[static_cast<std::size_t>(at - builtin.parameters.begin())] = value;
  }
  const auto given = arguments.positional.size() + arguments.named.size();
  if (given < static_cast<std::size_t>(builtin.required)) {
    return cannot(std::string(builtin.name) + " takes at least " +
                  std::to_string(builtin.required) + " arguments, got " + std::to_string(given));
  }
  if (builtin.takes_names) bound.push_back(arena_.map(arguments.named));
  return builtin.function(*this, self, bound);
}

Result<Value> Interpreter::call_macro(const Callable& callable, const Arguments& arguments) {
  const Statement& macro = *callable.macro;
  if (arguments.positional.size() > macro.parameters.size()) {
    return cannot("the macro '" + macro.text + "' takes at most " +
                  std::to_string(macro.parameters.size()) + " arguments, got " +
                  std::to_string(arguments.positional.size()));
  }
  for (const auto& [name, value] : arguments.named) {
    const bool is_known =
        std::any_of(macro.parameters.begin(), macro.parameters.end(),
                    [&](const auto& parameter) { return parameter.first == name; });
    if (!is_known)
      return cannot("the macro '" + macro.text + "' has no argument '" + std::string(name) + "'");
  }
  Scope* const caller = std::exchange(scope_, arena_.scope(callable.scope));
  const auto run = [&]() -> Result<Value> {
    for (std::size_t i = 0; i < macro.parameters.size(); ++i) {
      const auto& [name, otherwise] = macro.parameters[i];
      Value value = Undefined{name};
      if (i < arguments.positional.size()) {
        value = arguments.positional[i];
      } else if (const Value* named = find(arguments.named, name)) {
        value = *named;
      } else if (otherwise) {
        TRY(value, evaluate(*otherwise));
      }
      assign(scope_->names, name, value);
    }
    Flow flow = Flow::Normal;
    TRY(const std::string_view text, capture(macro.body, flow));
    return Value(text);
  };
  Result<Value> result = run();
  scope_ = caller;
  return result;
}

}  // namespace pianola::jinja
