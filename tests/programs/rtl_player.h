// The Verilated core of a target played directly, below the RTL device: for programs that the
// verifier refuses, for faults that a launch goes on after, and to see where a launch freezes.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "emulator/device.h"
#include "emulator/rtl_device.h"
#include "isa/instructions.h"

namespace pianola::test {

// Memory that delivers at random: the `allow` of rtl_abi.h.
class Jitter {
 public:
  // percent: of the requests that are granted, and then only some vectors.
  Jitter(uint64_t seed, int percent) : state_(seed), percent_(percent) {}
  static uint32_t allow(void* jitter, uint32_t port, uint64_t edge, uint32_t most);

 private:
  uint64_t state_;
  int percent_;
};

struct RtlOutcome {
  PianolaRtlResult result;
  std::vector<std::byte> host_output;
  std::vector<bool> frozen_after;  // by machine cycle: the next clock edge was frozen

  bool has_fault(Rule rule) const;
};

class RtlPlayer {
 public:
  // Builds the core if need be. An error is one of the test.
  explicit RtlPlayer(const Target& target, bool synthesis_form = false);

  // MEM and the KV region are poisoned as in every device.
  void load(const Roll& roll, uint64_t poison);
  // Goes on after a fault. jitter: null for ideal memory.
  RtlOutcome launch(const LaunchRequest& request, Jitter* jitter = nullptr);

 private:
  std::unique_ptr<RtlCore> core_;
  const Roll* roll_ = nullptr;
  std::vector<std::byte> kv_;
};

// The options of every core in these tests: all rules are checked, all drives visible.
BuildRtlOptions rtl_build_options();

// The faults of a launch in words.
std::string describe_faults(const Target& target, const PianolaRtlResult& result);

}  // namespace pianola::test
