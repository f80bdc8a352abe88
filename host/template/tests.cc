// Tests of chat templates: value is name.
#include "host/template/interpreter.h"

namespace pianola::jinja {
namespace {

using Values = std::span<const Value>;

template <typename T>
Result<Value> is_of(Interpreter&, const Value& self, Values) {
  return Value(std::holds_alternative<T>(self));
}

Result<Value> defined(Interpreter&, const Value& self, Values) {
  return Value(!std::holds_alternative<Undefined>(self));
}

template <bool truth>
Result<Value> is_bool(Interpreter&, const Value& self, Values) {
  const bool* value = std::get_if<bool>(&self);
  return Value(value != nullptr && *value == truth);
}

Result<Value> number(Interpreter&, const Value& self, Values) { return Value(is_number(self)); }

Result<Value> iterable(Interpreter&, const Value& self, Values) {
  return Value(is_string(self) || std::holds_alternative<const List*>(self) ||
               std::holds_alternative<const Map*>(self) || std::holds_alternative<Undefined>(self));
}

Result<Value> sequence(Interpreter&, const Value& self, Values) {
  return Value(is_string(self) || std::holds_alternative<const List*>(self) ||
               std::holds_alternative<const Map*>(self) || std::holds_alternative<Undefined>(self));
}

Result<std::int64_t> integer_of(const Value& self, std::string_view test) {
  const auto* integer = std::get_if<std::int64_t>(&self);
  if (integer == nullptr) {
    return cannot("the test '" + std::string(test) + "' of " + std::string(type_name(self)) +
                  "; it takes integers");
  }
  return *integer;
}

Result<Value> odd(Interpreter&, const Value& self, Values) {
  TRY(const std::int64_t integer, integer_of(self, "odd"));
  return Value(integer % 2 != 0);
}

Result<Value> even(Interpreter&, const Value& self, Values) {
  TRY(const std::int64_t integer, integer_of(self, "even"));
  return Value(integer % 2 == 0);
}

Result<Value> divisible(Interpreter&, const Value& self, Values arguments) {
  TRY(const std::int64_t integer, integer_of(self, "divisibleby"));
  TRY(const std::int64_t divisor, integer_of(arguments[0], "divisibleby"));
  if (divisor == 0) return cannot("division by zero");
  return Value(divisor == -1 || integer % divisor == 0);
}

Result<Value> equal(Interpreter& interpreter, const Value& self, Values arguments) {
  TRY(const bool same, interpreter.equal(self, arguments[0]));
  return Value(same);
}

Result<Value> unequal(Interpreter& interpreter, const Value& self, Values arguments) {
  TRY(const bool same, interpreter.equal(self, arguments[0]));
  return Value(!same);
}

template <int sign, bool or_equal>
Result<Value> ordered(Interpreter& interpreter, const Value& self, Values arguments) {
  TRY(const int order, interpreter.compare(self, arguments[0]));
  return Value(order == 0 ? or_equal : (order > 0) == (sign > 0));
}

Result<Value> in(Interpreter& interpreter, const Value& self, Values arguments) {
  TRY(const bool inside, interpreter.contains(arguments[0], self));
  return Value(inside);
}

Result<Value> same_as(Interpreter& interpreter, const Value& self, Values arguments) {
  if (self.index() != arguments[0].index()) return Value(false);
  return equal(interpreter, self, arguments);
}

// A string with letters, all of them of this case.
Result<Value> is_case(Interpreter& interpreter, const Value& self, std::string_view how,
                      std::string_view other) {
  TRY(const std::string_view text, interpreter.text_of(self));
  TRY(const Value changed, change_case(interpreter, text, how));
  TRY(const Value opposite, change_case(interpreter, text, other));
  return Value(std::get<std::string_view>(changed) == text &&
               std::get<std::string_view>(opposite) != text);
}

Result<Value> lower(Interpreter& interpreter, const Value& self, Values) {
  return is_case(interpreter, self, "lower", "upper");
}

Result<Value> upper(Interpreter& interpreter, const Value& self, Values) {
  return is_case(interpreter, self, "upper", "lower");
}

const std::vector<Builtin>& table() {
  static const std::vector<Builtin> kTable = {
      {"!=", unequal, {"other"}, 1},
      {"<", ordered<-1, false>, {"other"}, 1},
      {"<=", ordered<-1, true>, {"other"}, 1},
      {"==", equal, {"other"}, 1},
      {">", ordered<1, false>, {"other"}, 1},
      {">=", ordered<1, true>, {"other"}, 1},
      {"boolean", is_of<bool>},
      {"callable", is_of<const Callable*>},
      {"defined", defined},
      {"divisibleby", divisible, {"num"}, 1},
      {"eq", equal, {"other"}, 1},
      {"equalto", equal, {"other"}, 1},
      {"even", even},
      {"false", is_bool<false>},
      {"float", is_of<double>},
      {"ge", ordered<1, true>, {"other"}, 1},
      {"greaterthan", ordered<1, false>, {"other"}, 1},
      {"gt", ordered<1, false>, {"other"}, 1},
      {"in", in, {"container"}, 1},
      {"integer", is_of<std::int64_t>},
      {"iterable", iterable},
      {"le", ordered<-1, true>, {"other"}, 1},
      {"lessthan", ordered<-1, false>, {"other"}, 1},
      {"lower", lower},
      {"lt", ordered<-1, false>, {"other"}, 1},
      {"mapping", is_of<const Map*>},
      {"ne", unequal, {"other"}, 1},
      {"none", is_of<None>},
      {"number", number},
      {"odd", odd},
      {"sameas", same_as, {"other"}, 1},
      {"sequence", sequence},
      {"string", is_of<std::string_view>},
      {"true", is_bool<true>},
      {"undefined", is_of<Undefined>},
      {"upper", upper},
  };
  return kTable;
}

}  // namespace

const Builtin* find_test(std::string_view name) { return find_builtin(table(), name); }
std::string test_names() { return list_names(table()); }

}  // namespace pianola::jinja
