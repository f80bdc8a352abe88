// The SystemC platform: the emulator or the Verilated core as a module beside an external memory, a
// host link and a feeder that moves vectors and instruction words between them by TLM-2.0
// transactions. It shows what memory of a given timing does to a launch: outputs and machine cycles
// are those of any other executor, whatever the timing; only the numbers of frozen clock edges
// differ, and they are the same for both cores. See docs/systemc.md.
//
// SystemC elaborates once per process, so all devices of a process share one platform and take
// turns: launches of different devices never overlap. A device may be used from any one thread.
#pragma once

#include <cstdint>
#include <memory>

#include "emulator/build_rtl.h"
#include "emulator/device.h"

namespace pianola {

enum class SystemcCore : uint8_t { Emulator, Rtl };

// The ways between core and memory, numbered as rtl/harness/rtl_abi.h does. Each has the rate that
// the target declares; the KV port has it in each direction.
enum class PlatformPort : int8_t {
  None = -1,
  Tape,
  KvRead,
  HostReceive,
  Words,
  KvWrite,
  HostSend,
};
constexpr int kPlatformPorts = 6;

// Timing of memory and host link, in clock cycles of the target. Time and the random sequence start
// anew with each launch. The defaults are ideal: no launch is frozen after its first machine cycle.
struct MemoryTiming {
  uint32_t latency_cycles = 20;  // from a request to its first beat, if its port is free
  uint32_t burst_bytes = 256;    // most that one transaction moves
  double efficiency = 1.0;       // share of the target's rate that is delivered, above 0 to 1
  // In the first refresh_cycles of each interval, from the second interval on, the memory moves
  // nothing; the host link is not concerned. 0: no refresh.
  uint32_t refresh_interval_cycles = 0, refresh_cycles = 0;
  // Before each burst its port waits for 0 to jitter_cycles cycles more, uniformly at random.
  uint32_t jitter_cycles = 0;
  uint64_t seed = 1;  // of the jitter
  // One port moves nothing in starve_cycles cycles from starve_first on, counted from the launch.
  PlatformPort starved = PlatformPort::None;
  uint64_t starve_first = 0, starve_cycles = 0;
};

// A DDR4-2400 module behind the port: see docs/systemc.md for the sources of its numbers.
MemoryTiming ddr4_timing(double clock_mhz);

struct SystemcOptions {
  BuildRtlOptions build;  // of the Verilated core
  SystemcCore core = SystemcCore::Rtl;
  MemoryTiming timing;
};

// load() refuses a timing that makes no sense, and everything if this build has no SystemC.
std::unique_ptr<Device> make_systemc_device(SystemcOptions options);

}  // namespace pianola
