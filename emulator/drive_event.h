// What some unit drove onto a stream register in one machine cycle: the unit of lockstep comparison
// between executors.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "isa/instructions.h"

namespace pianola {

// The value is read at the next position of the direction in the cycle after `cycle`.
struct DriveEvent {
  uint64_t cycle = 0;
  int position = 0;
  Direction direction = Direction::East;
  int stream = 0;
  std::vector<std::byte> bytes;  // one per lane
  auto operator<=>(const DriveEvent&) const = default;
};

}  // namespace pianola
