// Filters, tests, methods and global functions: tables of what chat templates may call.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "host/template/value.h"

namespace pianola::jinja {

class Interpreter;

// `arguments` has one value per parameter; undefined where not given. Errors carry no line; the
// interpreter adds it.
using Function = Result<Value> (*)(Interpreter& interpreter, const Value& self,
                                   std::span<const Value> arguments);

struct Builtin {
  std::string_view name;
  Function function = nullptr;
  std::vector<std::string_view> parameters{};
  int required = 0;          // so many of the parameters must be given
  bool takes_names = false;  // any named arguments, which come as a map in the last place
};

const Builtin* find_filter(std::string_view name);
const Builtin* find_test(std::string_view name);
const Builtin* find_string_method(std::string_view name);
const Builtin* find_map_method(std::string_view name);
const Builtin* find_list_method(std::string_view name);
std::span<const Builtin> global_functions();
std::string filter_names();  // for messages
std::string test_names();

const Builtin* find_builtin(std::span<const Builtin> table, std::string_view name);
std::string list_names(std::span<const Builtin> table);

// What filters and methods share.
Error cannot(std::string message);  // Malformed: an operation that the values do not allow
bool is_given(const Value& argument);
Result<std::int64_t> integer_argument(const Value& argument, std::int64_t otherwise,
                                      std::string_view name);
Result<std::string_view> string_argument(const Value& argument, std::string_view otherwise,
                                         std::string_view name);
// "", 0 or a character of `set`; the default set is white space.
std::string_view strip(std::string_view text, const Value& set, bool left, bool right);
Result<Value> change_case(Interpreter& interpreter, std::string_view text, std::string_view how);
Result<Value> replace_all(Interpreter& interpreter, std::string_view text, std::string_view from,
                          std::string_view to, std::int64_t count_max);
Result<Value> join_texts(Interpreter& interpreter, const std::vector<Value>& items,
                         std::string_view separator);

}  // namespace pianola::jinja
