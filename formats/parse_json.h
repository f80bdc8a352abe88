// Parses a JSON text that may be hostile: size, depth and number of values are bounded before
// anything is built, keys may not repeat, and nothing throws.
//
// The typed look-ups below are for configurations: they say which key had which wrong type.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "isa/result.h"

namespace pianola {

using Json = nlohmann::json;

struct JsonLimits {
  std::size_t size_bytes_max = std::size_t{64} << 20;
  std::size_t depth_max = 32;
  std::size_t values_max = 4'000'000;
};

// `name` is used in errors only. Errors: Malformed, OutOfRange (over a limit).
Result<Json> parse_json(std::string_view text, const std::string& name,
                        const JsonLimits& limits = {});

// A member of an object; nullptr where it is absent or null.
const Json* find_member(const Json& object, std::string_view key);

// Typed members of the object; nullopt where absent or null. Error Malformed: another type, or a
// number that does not fit.
Result<std::optional<std::int64_t>> integer_member(const Json& object, std::string_view key);
Result<std::optional<double>> number_member(const Json& object, std::string_view key);
Result<std::optional<bool>> bool_member(const Json& object, std::string_view key);
Result<std::optional<std::string>> string_member(const Json& object, std::string_view key);

}  // namespace pianola
