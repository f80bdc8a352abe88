#include "host/server/body_fields.h"

#include <cmath>

#include "formats/quote.h"

namespace pianola {
namespace {

std::string range_text(const std::string& least, const std::string& most) {
  return "from " + least + " to " + most;
}

std::string short_number(double value) { return Json(value).dump(); }

}  // namespace

BodyFields::BodyFields(const Json& object, std::string prefix)
    : object_(object), prefix_(std::move(prefix)) {
  if (object.is_object()) return;
  error_ = ApiError{
      400, "expected a JSON object, found a value of type " + std::string(object.type_name()),
      prefix_.empty() ? "" : prefix_.substr(0, prefix_.size() - 1), "invalid_type"};
}

const Json* BodyFields::find(std::string_view name) {
  known_.emplace(name);
  return find_member(object_, name);
}

void BodyFields::fail(std::string_view name, std::string message, std::string code) {
  if (error_) return;
  const std::string param = prefix_ + std::string(name);
  error_ = ApiError{400, param + ": " + std::move(message), param, std::move(code)};
}

void BodyFields::fail_type(std::string_view name, const char* expected, const Json& found) {
  fail(name, std::string("expected ") + expected + ", found a value of type " + found.type_name(),
       "invalid_type");
}

std::optional<std::string> BodyFields::text(std::string_view name) {
  const Json* member = find(name);
  if (member == nullptr) return std::nullopt;
  if (member->is_string()) return member->get<std::string>();
  fail_type(name, "a string", *member);
  return std::nullopt;
}

std::optional<bool> BodyFields::boolean(std::string_view name) {
  const Json* member = find(name);
  if (member == nullptr) return std::nullopt;
  if (member->is_boolean()) return member->get<bool>();
  fail_type(name, "true or false", *member);
  return std::nullopt;
}

std::optional<std::int64_t> BodyFields::integer(std::string_view name, std::int64_t least,
                                                std::int64_t most) {
  const Json* member = find(name);
  if (member == nullptr) return std::nullopt;
  if (!member->is_number_integer()) {
    fail_type(name, "an integer", *member);
    return std::nullopt;
  }
  const bool too_large = member->is_number_unsigned() &&
                         member->get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX);
  const std::int64_t value = too_large ? INT64_MAX : member->get<std::int64_t>();
  if (!too_large && value >= least && value <= most) return value;
  fail(name, "expected an integer " + range_text(std::to_string(least), std::to_string(most)) +
                 ", found " + member->dump());
  return std::nullopt;
}

std::optional<double> BodyFields::number(std::string_view name, double least, double most) {
  const Json* member = find(name);
  if (member == nullptr) return std::nullopt;
  if (!member->is_number()) {
    fail_type(name, "a number", *member);
    return std::nullopt;
  }
  const double value = member->get<double>();
  if (value >= least && value <= most) return value;
  fail(name, "expected a number " + range_text(short_number(least), short_number(most)) +
                 ", found " + member->dump());
  return std::nullopt;
}

std::vector<std::string> BodyFields::texts(std::string_view name, std::size_t most) {
  const Json* member = find(name);
  if (member == nullptr) return {};
  if (member->is_string()) return {member->get<std::string>()};
  std::vector<std::string> out;
  if (!member->is_array()) {
    fail_type(name, "a string or an array of strings", *member);
    return out;
  }
  if (member->size() > most) {
    fail(name, "at most " + std::to_string(most) + " are accepted, found " +
                   std::to_string(member->size()));
    return out;
  }
  for (const Json& item : *member) {
    if (!item.is_string()) {
      fail_type(name, "strings", item);
      return {};
    }
    out.push_back(item.get<std::string>());
  }
  return out;
}

void BodyFields::ignore(std::string_view name) {
  if (find(name) != nullptr) ignored_.push_back(prefix_ + std::string(name));
}

std::optional<ApiError> BodyFields::error() const {
  if (error_ || !object_.is_object()) return error_;
  for (const auto& [name, value] : object_.items()) {
    if (known_.contains(name)) continue;
    const std::string param = prefix_ + name;
    return ApiError{400,
                    "unknown parameter " + quote_name(param) +
                        "; this server does not ignore what it does not know",
                    param, "unknown_parameter"};
  }
  return std::nullopt;
}

}  // namespace pianola
