#include "host/template/value.h"

#include "host/tokenizer/unicode.h"

namespace pianola::jinja {

const Value* find(const Members& members, std::string_view key) {
  for (const auto& [name, value] : members) {
    if (name == key) return &value;
  }
  return nullptr;
}

void assign(Members& members, std::string_view key, const Value& value) {
  for (auto& [name, old] : members) {
    if (name == key) {
      old = value;
      return;
    }
  }
  members.emplace_back(key, value);
}

std::string_view Arena::keep(std::string text) {
  bytes_ += text.size() + sizeof(text);
  return texts_.emplace_back(std::move(text));
}

Value Arena::list(std::vector<Value> items, bool is_tuple) {
  bytes_ += sizeof(List) + items.size() * sizeof(Value);
  return &lists_.emplace_back(List{std::move(items), is_tuple});
}

Value Arena::map(Members members) {
  bytes_ += sizeof(Map) + members.size() * sizeof(Members::value_type);
  return &maps_.emplace_back(Map{std::move(members)});
}

Value Arena::make_namespace(Members members) {
  bytes_ += sizeof(Namespace) + members.size() * sizeof(Members::value_type);
  return &namespaces_.emplace_back(Namespace{std::move(members)});
}

Value Arena::callable(const Callable& callable) {
  bytes_ += sizeof(Callable);
  return &callables_.emplace_back(callable);
}

Scope* Arena::scope(Scope* parent) {
  bytes_ += sizeof(Scope);
  return &scopes_.emplace_back(Scope{parent, {}});
}

Value Arena::import(const OrderedJson& json, int depth) {
  if (depth > kDepthMax) return None{};
  switch (json.type()) {
    case OrderedJson::value_t::boolean:
      return json.get<bool>();
    case OrderedJson::value_t::number_integer:
      return json.get<std::int64_t>();
    case OrderedJson::value_t::number_unsigned: {
      const auto number = json.get<std::uint64_t>();
      if (number > INT64_MAX) return static_cast<double>(number);
      return static_cast<std::int64_t>(number);
    }
    case OrderedJson::value_t::number_float:
      return json.get<double>();
    case OrderedJson::value_t::string: {
      const auto& text = json.get_ref<const std::string&>();
      if (is_valid_utf8(text)) return std::string_view(text);
      return keep(to_valid_utf8(text));
    }
    case OrderedJson::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const OrderedJson& item : json) items.push_back(import(item, depth + 1));
      return list(std::move(items));
    }
    case OrderedJson::value_t::object: {
      Members members;
      members.reserve(json.size());
      for (const auto& [key, value] : json.items()) {
        const std::string_view name = keep(to_valid_utf8(key));
        members.emplace_back(name, import(value, depth + 1));
      }
      return map(std::move(members));
    }
    case OrderedJson::value_t::null:
    case OrderedJson::value_t::binary:
    case OrderedJson::value_t::discarded:
      break;
  }
  return None{};
}

void BoundedText::append(std::string_view piece) {
  if (over_ || piece.size() > bytes_max_ - text_.size()) {
    over_ = true;
    return;
  }
  text_ += piece;
}

std::string_view type_name(const Value& value) {
  static constexpr std::string_view kNames[] = {
      "undefined", "none", "bool", "int", "float", "str", "list", "dict", "namespace", "function"};
  static_assert(std::variant_size_v<Value> == std::size(kNames));
  return kNames[value.index()];
}

bool is_true(const Value& value) {
  if (const bool* truth = std::get_if<bool>(&value)) return *truth;
  if (const auto* integer = std::get_if<std::int64_t>(&value)) return *integer != 0;
  if (const double* real = std::get_if<double>(&value)) return *real != 0;
  if (const auto* text = std::get_if<std::string_view>(&value)) return !text->empty();
  if (const auto* list = std::get_if<const List*>(&value)) return !(*list)->items.empty();
  if (const auto* map = std::get_if<const Map*>(&value)) return !(*map)->members.empty();
  return !std::holds_alternative<Undefined>(value) && !std::holds_alternative<None>(value);
}

bool is_string(const Value& value) { return std::holds_alternative<std::string_view>(value); }

bool is_number(const Value& value) {
  return std::holds_alternative<bool>(value) || std::holds_alternative<std::int64_t>(value) ||
         std::holds_alternative<double>(value);
}

double to_double(const Value& number) {
  if (const bool* truth = std::get_if<bool>(&number)) return *truth ? 1 : 0;
  if (const auto* integer = std::get_if<std::int64_t>(&number))
    return static_cast<double>(*integer);
  return std::get<double>(number);
}

std::size_t count_characters(std::string_view text) {
  std::size_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return count;
}

std::vector<std::string_view> split_characters(std::string_view text) {
  std::vector<std::string_view> characters;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t size = decode_utf8(text, at).size_bytes;
    characters.push_back(text.substr(at, size));
    at += size;
  }
  return characters;
}

}  // namespace pianola::jinja
