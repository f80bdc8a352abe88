// The schedule of one entry as a picture: Chrome trace events (Perfetto opens them) or a value change
// dump (GTKWave).
#pragma once

#include <cstdio>

#include "isa/result.h"
#include "isa/roll.h"

namespace pianola {

// One track per queue, one slice per instruction, from its first issue to its last; a microsecond on
// the screen is a machine cycle.
Status write_perfetto(const Roll& roll, const Entry& entry, std::FILE* file);
// One wire per queue: 1 in the cycles in which it issues. A nanosecond is a machine cycle.
Status write_vcd(const Roll& roll, const Entry& entry, std::FILE* file);

}  // namespace pianola
