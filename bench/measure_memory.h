// What an external memory with a timing of its own makes of an entry's machine cycles, beside what the same
// memory sustains when it is only read from beginning to end.
#pragma once

#include <cstdint>

#include "emulator/systemc_device.h"
#include "isa/result.h"
#include "isa/roll.h"

namespace pianola {

struct MemoryMeasurement {
  uint64_t machine_cycles = 0;
  uint64_t wall_cycles = 0;     // clock cycles of the launch: machine cycles and frozen ones
  uint64_t bytes = 0;           // of tape, KV and instruction words
  uint64_t linear_bytes = 0;    // about as many, read by the tape port alone as fast as it takes them
  uint64_t linear_cycles = 0;   // clock cycles of that
};

// Plays `entry` of a verified roll in the last block of its context on the SystemC platform, the emulator as
// its core. Errors: Unsupported (this build has no SystemC).
Result<MemoryMeasurement> measure_memory(const Roll& roll, int entry, const MemoryTiming& timing);

}  // namespace pianola
