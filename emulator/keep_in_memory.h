// Vectors that stay where they are copied from or to. A vector that is read from a word of MEM which
// changes only after its last use is that word; one that is stored into a word which nobody looks at before,
// or sent to the host or the KV region, is made there. The copies are dropped.
#pragma once

#include <span>
#include <vector>

#include "emulator/lift.h"

namespace pianola {

// Operations must be in their order, without dead ones. homes: by vector, the address where it lives, left
// zero for those that live in the arena.
void keep_in_memory(Program& program, std::span<const uint8_t> memory, PagedVector<Place>& homes);

}  // namespace pianola
