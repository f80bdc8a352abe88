// The values of a chat template while it runs. They are small and copied freely; texts, lists and
// maps lie in an arena that counts its bytes and lives as long as one apply. Nothing but a
// namespace can be changed once made, as in Jinja's immutable sandbox.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "host/template/chat_template.h"
#include "isa/result.h"

namespace pianola::jinja {

struct List;
struct Map;
struct Namespace;
struct Callable;

struct Undefined {
  std::string_view name;  // what was looked up; may be empty
};
struct None {};

using Value = std::variant<Undefined, None, bool, std::int64_t, double, std::string_view,
                           const List*, const Map*, Namespace*, const Callable*>;
using Members = std::vector<std::pair<std::string_view, Value>>;

struct List {
  std::vector<Value> items;
  bool is_tuple = false;  // printed with parentheses
};
struct Map {
  Members members;  // in order of insertion, keys unique
};
struct Namespace {
  Members members;
};

struct Statement;
struct Scope;
struct Builtin;

// A macro with the scope it was defined in, a global function, or a method bound to its value.
struct Callable {
  const Statement* macro = nullptr;
  Scope* scope = nullptr;
  const Builtin* builtin = nullptr;
  Value self{};
};

// The names of one scope, innermost first through `parent`.
struct Scope {
  Scope* parent = nullptr;
  Members names;
};

const Value* find(const Members& members, std::string_view key);
void assign(Members& members, std::string_view key, const Value& value);

class Arena {
 public:
  explicit Arena(std::size_t bytes_max) : bytes_max_(bytes_max) {}
  std::string_view keep(std::string text);
  Value text(std::string text) { return keep(std::move(text)); }
  Value list(std::vector<Value> items, bool is_tuple = false);
  Value map(Members members);
  Value make_namespace(Members members);
  Value callable(const Callable& callable);
  Scope* scope(Scope* parent);
  // `json` must outlive the arena; deeper than kDepthMax becomes none.
  Value import(const OrderedJson& json, int depth = 0);
  bool is_full() const { return bytes_ > bytes_max_; }
  std::size_t bytes_left() const { return is_full() ? 0 : bytes_max_ - bytes_; }

 private:
  std::size_t bytes_max_, bytes_ = 0;
  std::deque<std::string> texts_;
  std::deque<List> lists_;
  std::deque<Map> maps_;
  std::deque<Namespace> namespaces_;
  std::deque<Callable> callables_;
  std::deque<Scope> scopes_;
};

inline constexpr int kDepthMax = 100;  // of nested lists and maps

// Text that grows up to a limit; what goes beyond is dropped and remembered.
class BoundedText {
 public:
  explicit BoundedText(std::size_t bytes_max) : bytes_max_(bytes_max) {}
  void append(std::string_view piece);
  bool is_over() const { return over_; }
  std::size_t size() const { return text_.size(); }
  std::string take() { return std::move(text_); }

 private:
  std::size_t bytes_max_;
  std::string text_;
  bool over_ = false;
};

// Python's names of the types, for errors.
std::string_view type_name(const Value& value);
bool is_true(const Value& value);
bool is_string(const Value& value);
bool is_number(const Value& value);  // bool, too, as in Python
double to_double(const Value& number);

// As Python's str() and repr() write it.
void write_text(const Value& value, BoundedText& out);
void write_literal(const Value& value, BoundedText& out, int depth = 0);
std::string format_double(double number);

struct JsonStyle {
  int indent = -1;  // spaces a level; negative: on one line
  std::string_view item_separator = ", ", key_separator = ": ";
  bool sort_keys = false;
};
// As Python's json.dumps with ensure_ascii=False. Error Malformed: a value that JSON cannot
// express.
Status write_json(const Value& value, const JsonStyle& style, BoundedText& out, int depth = 0);

// Code points.
std::size_t count_characters(std::string_view text);
std::vector<std::string_view> split_characters(std::string_view text);

}  // namespace pianola::jinja
