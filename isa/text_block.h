// Bytes as lines of text: hexadecimal for short ones, zstd and base64 for long ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "isa/result.h"

namespace pianola {

// Each line begins with "| ". `hex` has 32 bytes a line, `zstd` 96 characters of base64.
std::string write_hex_lines(std::span<const std::byte> bytes);
std::string write_zstd_lines(std::span<const std::byte> bytes);

// The opposite, of the digits of all lines together. Errors have no place; the caller knows it.
Result<std::vector<std::byte>> read_hex(std::string_view digits);
// Exactly `bytes` must come out; memory grows with what really comes out, not with the promise.
Result<std::vector<std::byte>> read_zstd(std::string_view base64, uint64_t bytes);

}  // namespace pianola
