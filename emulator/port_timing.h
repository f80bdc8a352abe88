// When the clock edges of a launch are frozen: the front of the machine (isa.md section 8) with the
// FIFOs of the RTL, without data. Machine cycles of port operations are known from the schedule;
// which clock edge a machine cycle falls on depends on what memory delivers. For the emulator on
// the SystemC platform: the numbers are those of the Verilated core, edge by edge.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "emulator/schedule_issues.h"
#include "isa/result.h"
#include "isa/target.h"

namespace pianola {

// What the front of one entry does, by machine cycle.
struct PortSchedule {
  std::array<std::vector<TimedInstruction>, 5> queues;  // tape, KV, host RECV; KV, host SEND
  std::vector<uint64_t> word_cycles;                    // of each word of the tape; END is last
};

Result<PortSchedule> schedule_ports(const Target& target, std::span<const Word> words);

// Vectors moved by `allow`, which is asked as rtl/harness/rtl_abi.h says; `received` follows it
// where a receive port (0 to 2) moved vectors first .. first + count - 1.
struct PortTimingRequest {
  std::array<uint64_t, 3> receive_count{};
  std::array<uint64_t, 2> send_count{};
  uint64_t stuck_edges_max = 0;
  uint32_t (*allow)(void* context, uint32_t port, uint64_t edge, uint32_t most) = nullptr;
  void* allow_context = nullptr;
  void (*received)(void* context, uint32_t port, uint64_t first, uint32_t count) = nullptr;
  void* received_context = nullptr;
};

struct PortTimingResult {
  bool done = false;  // else: no machine cycle in stuck_edges_max clock edges
  uint64_t cycles = 0, frozen = 0, frozen_after_first = 0;
  std::array<uint64_t, 2> sent{};
};

PortTimingResult play_port_timing(const Target& target, const PortSchedule& schedule,
                                  const PortTimingRequest& request);

}  // namespace pianola
