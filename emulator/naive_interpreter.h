// The machine written down from docs/isa.md alone, one machine cycle after the other: plain arrays
// for stream registers, queues, memory, tiles and accumulators. It is an oracle for the emulator and
// the RTL, so it shares nothing with them but the encodings and the arithmetic, and it is written to
// be obviously right, not fast. It reports the first rule violation that it meets as an error that
// names the rule, the cycle and the unit. It knows every rule but two: port_rate and memory_hazard
// cannot be met by a machine whose ports always have their data and whose memory writes at once.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "emulator/device.h"
#include "emulator/drive_event.h"

namespace pianola {

class NaiveInterpreter : public Device {
 public:
  std::string_view name() const override { return "naive"; }
  Status load(const Roll& roll, uint64_t poison) override;
  Result<LaunchResult> launch(const LaunchRequest& request) override;
  std::span<std::byte> kv_region() override { return kv_; }

  // A launch that also reports every stream drive, in the order of the cycles.
  Result<LaunchResult> launch(const LaunchRequest& request, std::vector<DriveEvent>* drives);

  // What outlives a launch.
  struct Memory {
    std::vector<std::vector<uint8_t>> words;    // [slice][word * lanes + lane]
    std::vector<std::vector<uint8_t>> written;  // [slice][word]: 1 once written
  };

 private:
  const Roll* roll_ = nullptr;
  Memory memory_;
  std::vector<std::byte> kv_;
};

}  // namespace pianola
