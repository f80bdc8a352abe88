// The second half of lifting: orders the operations, drops those whose results nobody reads, gives
// every remaining vector a place in the arena and writes the addresses into the operations.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "emulator/lift.h"

namespace pianola {

// times: when each operation is executed; operations of one time stay in the order given.
// vectors: how many vector numbers the program uses.
// memory: MEM, all slices.
// keep_all: every vector keeps a place of its own to the end, read or not.
void lay_out_program(Program& program, const PagedVector<uint64_t>& times, uint64_t vectors,
                     std::span<const uint8_t> memory, bool keep_all);

}  // namespace pianola
