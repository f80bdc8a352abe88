// One launch on the SystemC platform, without SystemC in the interface: the device says what lies
// in memory and who plays the core; the platform moves what the core takes and gives.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "emulator/systemc_device.h"
#include "isa/result.h"
#include "isa/roll.h"

namespace pianola {

// What a core sees of the platform. Vector i of a receive port is at ring + (i % vectors) * lanes
// from when `allow` has granted it until the next call of `allow`; word i at words + 4 * i. What is
// sent goes to send + i * lanes, before the next clock edge's calls of `allow`.
struct CorePorts {
  uint32_t (*allow)(void* context, uint32_t port, uint64_t edge, uint32_t most) = nullptr;
  void* allow_context = nullptr;
  struct Ring {
    const std::byte* ring = nullptr;
    uint64_t vectors = 1;
  };
  std::array<Ring, 3> receive;
  const uint64_t* words = nullptr;
  std::array<std::byte*, 2> send{};
};

class PlatformCore {
 public:
  virtual ~PlatformCore() = default;
  // Plays from the first clock edge until everything has been sent. False: what was sent is void.
  virtual bool play(const CorePorts& ports) = 0;
};

struct PlatformLaunch {
  const Target* target = nullptr;
  const Entry* entry = nullptr;
  const MemoryTiming* timing = nullptr;
  std::span<const uint32_t> registers;
  std::span<const Word> words;
  std::span<const std::byte> tape, host_input;
  std::span<std::byte> kv, host_output;  // new KV rows arrive when the launch has ended
  PlatformCore* core = nullptr;
};

// Unsupported in a build without SystemC.
Status check_platform();
// Segments and sizes have been checked. Errors: those of check_platform.
Status play_on_platform(const PlatformLaunch& launch);

}  // namespace pianola
