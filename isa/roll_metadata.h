// The metadata section of a roll as bytes (FlatBuffers, isa/roll.fbs). Only isa/roll.cc uses it.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "isa/roll.h"

namespace pianola {

std::vector<std::byte> pack_metadata(const RollMetadata& metadata);
// Accepts only bytes that pack_metadata writes, at an address that is a multiple of 8. The values
// themselves are judged by check_roll.
Result<RollMetadata> unpack_metadata(std::span<const std::byte> bytes);

}  // namespace pianola
