#include "formats/parse_json.h"

#include <limits>
#include <set>
#include <utility>

#include "formats/quote.h"

namespace pianola {
namespace {

// Walks the text once without building anything, so that the limits hold before memory is spent.
class LimitCheck : public nlohmann::json_sax<Json> {
 public:
  explicit LimitCheck(const JsonLimits& limits) : limits_(limits) {}

  bool null() override { return count(); }
  bool boolean(bool) override { return count(); }
  bool number_integer(number_integer_t) override { return count(); }
  bool number_unsigned(number_unsigned_t) override { return count(); }
  bool number_float(number_float_t, const string_t&) override { return count(); }
  bool string(string_t&) override { return count(); }
  bool binary(binary_t&) override { return count(); }
  bool start_object(std::size_t) override {
    keys_.emplace_back();
    return count() && descend();
  }
  bool start_array(std::size_t) override {
    keys_.emplace_back();
    return count() && descend();
  }
  bool key(string_t& name) override {
    if (keys_.back().insert(name).second) return true;
    return fail(ErrorCode::Malformed,
                "the key " + quote_name(name) + " occurs twice in one object");
  }
  bool end_object() override {
    keys_.pop_back();
    return true;
  }
  bool end_array() override {
    keys_.pop_back();
    return true;
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    return fail(ErrorCode::Malformed, "no valid JSON at byte " + std::to_string(position));
  }

  const Error& error() const { return error_; }

 private:
  bool count() {
    if (++values_ <= limits_.values_max) return true;
    return fail(ErrorCode::OutOfRange,
                "more than " + std::to_string(limits_.values_max) + " JSON values");
  }
  bool descend() {
    if (keys_.size() <= limits_.depth_max) return true;
    return fail(ErrorCode::OutOfRange,
                "JSON nested deeper than " + std::to_string(limits_.depth_max) + " levels");
  }
  bool fail(ErrorCode code, std::string message) {
    error_ = {code, std::move(message), ""};
    return false;
  }

  JsonLimits limits_;
  std::size_t values_ = 0;
  std::vector<std::set<std::string>> keys_;  // of each open object or array
  Error error_;
};

Error wrong_type(std::string_view key, const char* expected, const Json& found) {
  return {
      ErrorCode::Malformed,
      quote_name(key) + ": expected " + expected + ", found a value of type " + found.type_name(),
      ""};
}

}  // namespace

Result<Json> parse_json(std::string_view text, const std::string& name, const JsonLimits& limits) {
  if (text.size() > limits.size_bytes_max) {
    return Error{ErrorCode::OutOfRange,
                 "JSON text of " + std::to_string(text.size()) + " bytes; at most " +
                     std::to_string(limits.size_bytes_max) + " are accepted",
                 name};
  }
  LimitCheck check(limits);
  if (!Json::sax_parse(text.begin(), text.end(), &check)) {
    Error error = check.error();
    error.where = name;
    return error;
  }
  Json json = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  CHECK(!json.is_discarded());
  return json;
}

const Json* find_member(const Json& object, std::string_view key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

Result<std::optional<std::int64_t>> integer_member(const Json& object, std::string_view key) {
  const Json* member = find_member(object, key);
  if (member == nullptr) return std::optional<std::int64_t>();
  if (!member->is_number_integer()) return wrong_type(key, "an integer", *member);
  if (member->is_number_unsigned() &&
      member->get<std::uint64_t>() > std::uint64_t{std::numeric_limits<std::int64_t>::max()}) {
    return Error{ErrorCode::Malformed, quote_name(key) + ": the integer does not fit 64 bits", ""};
  }
  return std::optional<std::int64_t>(member->get<std::int64_t>());
}

Result<std::optional<double>> number_member(const Json& object, std::string_view key) {
  const Json* member = find_member(object, key);
  if (member == nullptr) return std::optional<double>();
  if (!member->is_number()) return wrong_type(key, "a number", *member);
  return std::optional<double>(member->get<double>());
}

Result<std::optional<bool>> bool_member(const Json& object, std::string_view key) {
  const Json* member = find_member(object, key);
  if (member == nullptr) return std::optional<bool>();
  if (!member->is_boolean()) return wrong_type(key, "true or false", *member);
  return std::optional<bool>(member->get<bool>());
}

Result<std::optional<std::string>> string_member(const Json& object, std::string_view key) {
  const Json* member = find_member(object, key);
  if (member == nullptr) return std::optional<std::string>();
  if (!member->is_string()) return wrong_type(key, "a string", *member);
  return std::optional<std::string>(member->get<std::string>());
}

}  // namespace pianola
