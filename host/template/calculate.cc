// Operators of a running chat template: arithmetic, comparison, membership.
#include <cmath>

#include "host/template/interpreter.h"
#include "host/template/split_template.h"

namespace pianola::jinja {
namespace {

std::string operands(const Value& a, const Value& b) {
  return std::string(type_name(a)) + " and " + std::string(type_name(b));
}

Error overflow() { return {ErrorCode::OutOfRange, "an integer beyond 64 bits", ""}; }

std::int64_t to_integer(const Value& value) {
  if (const bool* truth = std::get_if<bool>(&value)) return *truth ? 1 : 0;
  return std::get<std::int64_t>(value);
}

bool is_integer(const Value& value) {
  return std::holds_alternative<bool>(value) || std::holds_alternative<std::int64_t>(value);
}

}  // namespace

Result<Value> Interpreter::evaluate_sign(const Expression& e) {
  TRY(const Value value, evaluate(*e.children[0]));
  if (!is_number(value))
    return cannot("the sign of " + std::string(type_name(value)) + "; only numbers have one");
  const bool is_negative = e.kind == ExpressionKind::Negate;
  if (const double* real = std::get_if<double>(&value)) return Value(is_negative ? -*real : *real);
  const std::int64_t integer = to_integer(value);
  if (is_negative && integer == INT64_MIN) return overflow();
  return Value(is_negative ? -integer : integer);
}

Result<Value> Interpreter::repeat(const Value& value, std::int64_t count) {
  const std::size_t times = count < 0 ? 0 : static_cast<std::size_t>(count);
  if (const auto* text = std::get_if<std::string_view>(&value)) {
    BoundedText out(text_bytes_max());
    if (text->empty()) return value;
    for (std::size_t i = 0; i < times && !out.is_over(); ++i) out.append(*text);
    return finish(out);
  }
  const std::vector<Value>& items = std::get<const List*>(value)->items;
  if (items.empty()) return value;
  if (times > arena_.bytes_left() / sizeof(Value) / items.size()) {
    return Error{ErrorCode::OutOfRange, "a list repeated beyond the memory of a template", ""};
  }
  TRY_STATUS(spend(times * items.size()));
  std::vector<Value> out;
  for (std::size_t i = 0; i < times; ++i) out.insert(out.end(), items.begin(), items.end());
  return arena_.list(std::move(out));
}

Result<Value> Interpreter::multiply(const Value& a, const Value& b) {
  const auto is_sequence = [](const Value& value) {
    return is_string(value) || std::holds_alternative<const List*>(value);
  };
  if (is_sequence(a) && is_integer(b)) return repeat(a, to_integer(b));
  if (is_sequence(b) && is_integer(a)) return repeat(b, to_integer(a));
  return cannot("'*' of " + operands(a, b));
}

Result<Value> Interpreter::add(const Value& a, const Value& b) {
  if (is_string(a) && is_string(b)) {
    BoundedText out(text_bytes_max());
    out.append(std::get<std::string_view>(a));
    out.append(std::get<std::string_view>(b));
    return finish(out);
  }
  const auto* first = std::get_if<const List*>(&a);
  const auto* second = std::get_if<const List*>(&b);
  if (first == nullptr || second == nullptr) {
    return cannot("'+' of " + operands(a, b) + "; to join texts of other values use '~'");
  }
  std::vector<Value> items = (*first)->items;
  items.insert(items.end(), (*second)->items.begin(), (*second)->items.end());
  TRY_STATUS(spend(items.size()));
  return arena_.list(std::move(items), (*first)->is_tuple);
}

Result<Value> Interpreter::calculate_integers(const std::string& op, std::int64_t a,
                                              std::int64_t b) {
  std::int64_t result = 0;
  bool is_over = false;
  if (op == "+") {
    is_over = __builtin_add_overflow(a, b, &result);
  } else if (op == "-") {
    is_over = __builtin_sub_overflow(a, b, &result);
  } else if (op == "*") {
    is_over = __builtin_mul_overflow(a, b, &result);
  } else if (op == "**") {
    if (b < 0) return Value(std::pow(static_cast<double>(a), static_cast<double>(b)));
    result = 1;
    for (std::int64_t i = 0; i < b && !is_over; ++i) {
      is_over = __builtin_mul_overflow(result, a, &result);
      if (a == 0 || a == 1) break;
      if (a == -1) {
        result = b % 2 == 0 ? 1 : -1;
        break;
      }
    }
  } else {  // floor division and its remainder
    if (b == 0) return cannot("division by zero");
    if (a == INT64_MIN && b == -1) return overflow();
    const bool round_down = a % b != 0 && (a % b < 0) != (b < 0);
    result = op == "//" ? a / b - (round_down ? 1 : 0) : a % b + (round_down ? b : 0);
  }
  if (is_over) return overflow();
  return Value(result);
}

Result<Value> Interpreter::calculate(const std::string& op, const Value& a, const Value& b) {
  if (op == "+" && !(is_number(a) && is_number(b))) return add(a, b);
  if (op == "*" && !(is_number(a) && is_number(b))) return multiply(a, b);
  if (!is_number(a) || !is_number(b)) return cannot("'" + op + "' of " + operands(a, b));
  if (is_integer(a) && is_integer(b) && op != "/")
    return calculate_integers(op, to_integer(a), to_integer(b));
  const double x = to_double(a), y = to_double(b);
  if (op == "+") return Value(x + y);
  if (op == "-") return Value(x - y);
  if (op == "*") return Value(x * y);
  if (op == "**") return Value(std::pow(x, y));
  if (y == 0) return cannot("division by zero");
  if (op == "/") return Value(x / y);
  if (op == "//") return Value(std::floor(x / y));
  const double remainder = std::fmod(x, y);
  return Value(remainder != 0 && (remainder < 0) != (y < 0) ? remainder + y : remainder);
}

Result<Value> Interpreter::evaluate_arithmetic(const Expression& e) {
  TRY(const Value a, evaluate(*e.children[0]));
  TRY(const Value b, evaluate(*e.children[1]));
  if (e.name != "~") return calculate(e.name, a, b);
  BoundedText out(text_bytes_max());
  write_text(a, out);
  write_text(b, out);
  return finish(out);
}

Result<bool> Interpreter::equal(const Value& a, const Value& b, int depth) {
  TRY_STATUS(spend(1));
  if (depth > kDepthMax) return cannot("a comparison of values nested too deep");
  if (is_integer(a) && is_integer(b)) return to_integer(a) == to_integer(b);
  if (is_number(a) && is_number(b)) return to_double(a) == to_double(b);
  if (a.index() != b.index()) return false;
  if (const auto* text = std::get_if<std::string_view>(&a)) {
    TRY_STATUS(spend(text->size() / 64));
    return *text == std::get<std::string_view>(b);
  }
  if (const auto* list = std::get_if<const List*>(&a)) {
    const std::vector<Value>& other = std::get<const List*>(b)->items;
    if ((*list)->items.size() != other.size()) return false;
    for (std::size_t i = 0; i < other.size(); ++i) {
      TRY(const bool same, equal((*list)->items[i], other[i], depth + 1));
      if (!same) return false;
    }
    return true;
  }
  if (const auto* map = std::get_if<const Map*>(&a)) {
    const Members& other = std::get<const Map*>(b)->members;
    if ((*map)->members.size() != other.size()) return false;
    for (const auto& [key, value] : (*map)->members) {
      TRY_STATUS(spend(1 + other.size() / 16));
      const Value* found = find(other, key);
      if (found == nullptr) return false;
      TRY(const bool same, equal(value, *found, depth + 1));
      if (!same) return false;
    }
    return true;
  }
  if (auto* const* space = std::get_if<Namespace*>(&a)) return *space == std::get<Namespace*>(b);
  if (const auto* callable = std::get_if<const Callable*>(&a)) {
    return *callable == std::get<const Callable*>(b);
  }
  return true;  // both none, or both undefined
}

Result<int> Interpreter::compare(const Value& a, const Value& b, int depth) {
  TRY_STATUS(spend(1));
  if (depth > kDepthMax) return cannot("a comparison of values nested too deep");
  if (is_integer(a) && is_integer(b)) {
    return (to_integer(a) > to_integer(b)) - (to_integer(a) < to_integer(b));
  }
  if (is_number(a) && is_number(b))
    return (to_double(a) > to_double(b)) - (to_double(a) < to_double(b));
  if (is_string(a) && is_string(b)) {
    const auto x = std::get<std::string_view>(a), y = std::get<std::string_view>(b);
    TRY_STATUS(spend(std::min(x.size(), y.size()) / 64));
    return x.compare(y);
  }
  const auto* first = std::get_if<const List*>(&a);
  const auto* second = std::get_if<const List*>(&b);
  if (first == nullptr || second == nullptr)
    return cannot("an order of " + operands(a, b) + ", which have none");
  const std::vector<Value>&x = (*first)->items, &y = (*second)->items;
  for (std::size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
    TRY(const int order, compare(x[i], y[i], depth + 1));
    if (order != 0) return order;
  }
  return (x.size() > y.size()) - (x.size() < y.size());
}

Result<bool> Interpreter::contains(const Value& container, const Value& item) {
  if (const auto* text = std::get_if<std::string_view>(&container)) {
    if (!is_string(item))
      return cannot("'in' of " + operands(item, container) + "; a string contains strings only");
    TRY_STATUS(spend(text->size() / 64));
    return text->find(std::get<std::string_view>(item)) != std::string_view::npos;
  }
  if (const auto* map = std::get_if<const Map*>(&container)) {
    TRY_STATUS(spend((*map)->members.size() / 16));
    return is_string(item) && find((*map)->members, std::get<std::string_view>(item)) != nullptr;
  }
  if (const auto* list = std::get_if<const List*>(&container)) {
    for (const Value& member : (*list)->items) {
      TRY(const bool same, equal(member, item));
      if (same) return true;
    }
    return false;
  }
  if (std::holds_alternative<Undefined>(container)) return false;
  return cannot("'in' of " + operands(item, container) + "; the right side contains nothing");
}

Result<bool> Interpreter::compare_once(const std::string& op, const Value& a, const Value& b) {
  if (op == "==" || op == "!=") {
    TRY(const bool same, equal(a, b));
    return same == (op == "==");
  }
  if (op == "in" || op == "not in") {
    TRY(const bool inside, contains(b, a));
    return inside == (op == "in");
  }
  TRY(const int order, compare(a, b));
  const bool has_nan = (std::holds_alternative<double>(a) && std::isnan(std::get<double>(a))) ||
                       (std::holds_alternative<double>(b) && std::isnan(std::get<double>(b)));
  if (has_nan) return false;
  if (op == "<") return order < 0;
  if (op == "<=") return order <= 0;
  if (op == ">") return order > 0;
  return order >= 0;
}

Result<Value> Interpreter::evaluate_compare(const Expression& e) {
  TRY(Value left, evaluate(*e.children[0]));
  for (std::size_t i = 0; i < e.operators.size(); ++i) {
    TRY(const Value right, evaluate(*e.children[i + 1]));
    TRY(const bool holds, compare_once(e.operators[i], left, right));
    if (!holds) return Value(false);
    left = right;
  }
  return Value(true);
}

Result<std::vector<Value>> Interpreter::elements(const Value& value) {
  std::vector<Value> items;
  if (const auto* list = std::get_if<const List*>(&value)) {
    items = (*list)->items;
  } else if (const auto* map = std::get_if<const Map*>(&value)) {
    for (const auto& [key, member] : (*map)->members) items.emplace_back(key);
  } else if (const auto* text = std::get_if<std::string_view>(&value)) {
    if (text->size() > arena_.bytes_left() / sizeof(Value))
      TRY_STATUS(spend(program_.limits.steps_max));
    for (const std::string_view character : split_characters(*text)) items.emplace_back(character);
  } else if (!std::holds_alternative<Undefined>(value)) {
    return cannot("a value of type " + std::string(type_name(value)) +
                  " has no elements to go through");
  }
  TRY_STATUS(spend(items.size()));
  return items;
}

}  // namespace pianola::jinja
