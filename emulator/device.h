// One interface for everything that can play a roll: the emulator, the naive interpreter, the
// Verilated core, the SystemC platform, a board. All pass one contract suite (tests/executors).
//
// What persists between launches: MEM (named regions of the roll are all a roll may rely on) and the
// KV region. Everything else starts undefined at each launch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "isa/result.h"
#include "isa/roll.h"

namespace pianola {

struct LaunchRequest {
  int entry = 0;                         // index into the roll's entries
  std::vector<uint32_t> registers;       // by parameter index; missing ones are zero
  std::vector<std::byte> host_input;     // vectors for the host RECV port, in order
};

struct LaunchResult {
  uint64_t cycles = 0;         // machine cycles, END included
  uint64_t frozen_cycles = 0;  // other clock edges between launch start and END
  uint64_t frozen_after_first = 0;  // of those, after the first granted cycle
  std::vector<std::byte> host_output;  // vectors that left by the host SEND port, in order
};

class Device {
 public:
  virtual ~Device() = default;
  virtual std::string_view name() const = 0;  // "emulator", "rtl", "systemc", "naive"
  // Takes a verified roll, which must outlive the device or the next load; poisons MEM and the KV
  // region with bytes derived from `poison` (any value must give the same outputs).
  virtual Status load(const Roll& roll, uint64_t poison) = 0;
  // Plays one entry. Register values outside their declarations are refused.
  virtual Result<LaunchResult> launch(const LaunchRequest& request) = 0;
  // The KV region, kv_vectors * lanes bytes: for snapshots and tests.
  virtual std::span<std::byte> kv_region() = 0;
};

// Poison: byte i of a memory named `tag` (0x4d454d + slice for MEM, 0x4b56 for KV) is a hash of all
// three, so that every executor poisons alike.
inline std::byte poison_byte(uint64_t seed, uint64_t tag, uint64_t index) {
  uint64_t x = seed * 0x9e3779b97f4a7c15u + tag * 0xbf58476d1ce4e5b9u + index;
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9u;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebu;
  return static_cast<std::byte>(x >> 56);
}

// Checks the request's registers against the entry's declarations.
Status check_registers(const Entry& entry, std::span<const uint32_t> registers);
// Vector index in its region for each vector that a segment list delivers, in order.
std::vector<uint64_t> expand_segments(std::span<const Segment> segments,
                                      std::span<const uint32_t> registers);

}  // namespace pianola
