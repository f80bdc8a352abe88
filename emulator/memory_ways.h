// When bursts move: a store of the SystemC platform has one way for each port, which moves its
// bursts one after the other at the rate of the port and in the timing of the memory; or one bus for
// all of them, if the target's ports share a memory. Arithmetic alone, without SystemC. Times are picoseconds since the start of the launch.
#pragma once

#include <array>
#include <cstdint>

#include "emulator/systemc_device.h"

namespace pianola {

class MemoryWays {
 public:
  MemoryWays() = default;
  // `rates` in bytes per clock cycle, by port; `shared_rate` of the bus that all ports use, 0: each has
  // its own way.
  MemoryWays(const MemoryTiming& timing, uint64_t period_picoseconds,
             const std::array<uint64_t, kPlatformPorts>& rates, uint64_t shared_rate);
  // When the last beat of a burst moves that was asked for at `asked`.
  uint64_t schedule(PlatformPort port, uint64_t asked, unsigned bytes);

 private:
  struct Way {
    double picoseconds_per_byte = 0;
    uint64_t free_from = 0;
    uint64_t random = 0;
  };
  uint64_t pass_windows(PlatformPort port, uint64_t begin, uint64_t duration) const;

  MemoryTiming timing_;
  uint64_t period_ = 1;
  std::array<Way, kPlatformPorts> ways_;
  Way bus_;
  bool shared_ = false;
};

}  // namespace pianola
