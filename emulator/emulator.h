// The fast executor. Each entry of a roll is lifted (emulator/lift.h) when it is first launched;
// launches then cost what the arithmetic costs. The ports of this machine always have their data, so
// its machine cycles are those of the END word and no clock edge is ever frozen.
//
// It plays verified rolls: what lifting meets of broken rules (an undefined stream, an address out
// of bounds, ...) is refused with an error, and no roll can make it touch memory that is not its
// own, but rules that need the contents of memory (memory_undefined) are left to the verifier and
// the naive interpreter.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "emulator/device.h"
#include "emulator/drive_event.h"
#include "emulator/kernels.h"
#include "emulator/lift.h"

namespace pianola {

class Emulator : public Device {
 public:
  // kernels: the loops to use; the fastest that this host can run if none are named.
  // fuse: false plays every unit's steps by themselves, to compare with.
  explicit Emulator(const Kernels* kernels = nullptr, bool fuse = true);
  std::string_view name() const override { return "emulator"; }
  Status load(const Roll& roll, uint64_t poison) override;
  Result<LaunchResult> launch(const LaunchRequest& request) override;
  std::span<std::byte> kv_region() override { return kv_; }

  // A launch with all its consequences that also returns every stream drive, in the order of the
  // cycles. `result`, if given, receives what launch() returns.
  Result<std::vector<DriveEvent>> drive_events(const LaunchRequest& request,
                                               LaunchResult* result = nullptr);
  // The lifted entry, for statistics and tests; lifts it if need be.
  Result<const Program*> program(int entry);

 private:
  Result<const Entry*> checked_entry(const LaunchRequest& request) const;
  Result<LaunchResult> play(const Entry& entry, Program& program, const LaunchRequest& request,
                            std::vector<DriveEvent>* events);
  Status run_operations(Program& program, const LaunchRequest& request);
  LiftMemory lift_memory();

  const Kernels* kernels_;
  bool fuse_;
  const Roll* roll_ = nullptr;
  std::vector<uint8_t> memory_;  // [slice][word][lane]
  std::vector<std::byte> kv_;
  std::unique_ptr<PackedWeights> packed_;  // shared by the programs
  std::vector<std::unique_ptr<Program>> programs_;  // by entry; null until first launched
};

}  // namespace pianola
