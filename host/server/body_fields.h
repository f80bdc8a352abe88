// Reads the members of a request body, one by one, and knows at the end which nobody asked for. The
// first thing that is wrong is kept; later reads then give their defaults.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "formats/parse_json.h"
#include "host/server/api_error.h"

namespace pianola {

class BodyFields {
 public:
  // `prefix` stands before the names in errors: "stream_options.".
  explicit BodyFields(const Json& object, std::string prefix = {});

  // A member, or nullptr where it is absent or null; its name is then known.
  const Json* find(std::string_view name);
  std::optional<std::string> text(std::string_view name);
  std::optional<bool> boolean(std::string_view name);
  std::optional<std::int64_t> integer(std::string_view name, std::int64_t least, std::int64_t most);
  std::optional<double> number(std::string_view name, double least, double most);
  // A string, or an array of at most `most` strings.
  std::vector<std::string> texts(std::string_view name, std::size_t most);

  // Accepted, and listed as having no effect.
  void ignore(std::string_view name);
  const std::vector<std::string>& ignored() const { return ignored_; }

  void fail(std::string_view name, std::string message, std::string code = "invalid_value");
  // The first error, or that there is a member which nobody asked for.
  std::optional<ApiError> error() const;

 private:
  void fail_type(std::string_view name, const char* expected, const Json& found);

  const Json& object_;
  std::string prefix_;
  std::set<std::string, std::less<>> known_;
  std::vector<std::string> ignored_;
  std::optional<ApiError> error_;
};

}  // namespace pianola
