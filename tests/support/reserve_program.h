// Reservation tables of the machine for the writer of random programs: an operation is accepted at a
// cycle only if no rule can be broken. Written from docs/isa.md, apart from the verifier.
#pragma once

#include <cstdint>
#include <map>
#include <unordered_map>
#include <variant>
#include <vector>

#include "isa/instructions.h"
#include "isa/target.h"
#include "tests/support/build_program.h"

namespace pianola::test {

using AnyInstruction = std::variant<MemInstruction, VxmInstruction, MxmLoadInstruction,
                                    MxmMacInstruction, SxmInstruction, PortRecvInstruction,
                                    PortSendInstruction>;

struct Operation {
  int queue = 0;
  uint32_t mask = 1;
  int64_t offset = 0;  // first issue, relative to the piece's origin
  AnyInstruction instruction;
};

inline Timing& timing_of(AnyInstruction& x) {
  return std::visit([](auto& y) -> Timing& { return y.timing; }, x);
}
inline const Timing& timing_of(const AnyInstruction& x) {
  return std::visit([](const auto& y) -> const Timing& { return y.timing; }, x);
}

class Reservations {
 public:
  // Registers lie between 0 and their entry of `register_maxima`.
  Reservations(const Target& target, std::vector<uint32_t> register_maxima);

  // Reserves all operations at `origin`, or none.
  bool place(const std::vector<Operation>& operations, uint64_t origin);
  // The first cycle after the last issue of a queue.
  uint64_t free_from(int queue) const { return free_from_[static_cast<size_t>(queue)]; }

  // What is known to stay so from a cycle on.
  bool is_written(int slice, int64_t low, int64_t high, uint64_t cycle) const;
  bool tile_installed(int mxm) const { return mxms_[static_cast<size_t>(mxm)].installed != 0; }
  bool shadow_complete(int mxm) const { return mxms_[static_cast<size_t>(mxm)].shadow != kNever; }
  bool transposer_full(int sxm) const;
  bool mxm_accumulator_set(int mxm, int acc) const {
    return mxms_[static_cast<size_t>(mxm)].cleared[static_cast<size_t>(acc)] != 0;
  }
  bool vxm_accumulator_set(int chain, int acc) const {
    return set_[static_cast<size_t>(chain)][static_cast<size_t>(acc)] != kNever;
  }

 private:
  static constexpr uint64_t kNever = UINT64_MAX;
  struct Iteration {
    uint64_t cycle;
    uint32_t i1, i2, i3;
  };
  struct Mxm {
    uint64_t shadow = kNever;  // a swap from this cycle on finds every row
    uint64_t swapped = 0;      // cycle + 1 of the last swap
    uint64_t installed = 0;
    std::vector<uint64_t> cleared;
  };

  void set(uint64_t& place, uint64_t value) {
    journal_.push_back({&place, place});
    place = value;
  }
  bool drive(const QueueInfo& at, uint64_t cycle, uint32_t dirs, uint32_t stream, int count);
  bool is_defined(const QueueInfo& at, uint64_t cycle, Direction dir, uint32_t stream, int count);
  bool take_bank(int slice, uint64_t cycle, int64_t low, int64_t high, bool writes);
  bool take_port(QueueKind kind, uint64_t cycle, uint32_t count);
  bool take_memory(uint64_t cycle, uint64_t bytes);
  bool use_accumulator(size_t chain, int64_t acc, uint64_t cycle, bool sets);

  bool issue(const MemInstruction& x, const QueueInfo& at, const Iteration& it);
  bool issue_row(const MemInstruction& x, const QueueInfo& at, const Iteration& it);
  bool issue(const VxmInstruction& x, const QueueInfo& at, const Iteration& it);
  bool issue(const MxmLoadInstruction& x, const QueueInfo& at, const Iteration& it);
  bool issue(const MxmMacInstruction& x, const QueueInfo& at, const Iteration& it);
  bool issue(const SxmInstruction& x, const QueueInfo& at, const Iteration& it);
  bool issue(const PortRecvInstruction& x, const QueueInfo& at, const Iteration& it);
  bool issue(const PortSendInstruction& x, const QueueInfo& at, const Iteration& it);
  bool issue_all(const Operation& operation, int queue, uint64_t start);

  const Target& target_;
  std::vector<uint32_t> register_maxima_;
  std::vector<std::pair<uint64_t*, uint64_t>> journal_;
  std::vector<uint64_t> free_from_;                    // by queue
  std::unordered_map<uint64_t, uint64_t> drives_;      // positions that drove onto a diagonal
  std::unordered_map<uint64_t, uint64_t> banks_;       // bit 0, 1: read; bit 2, 3: written
  std::unordered_map<uint64_t, uint64_t> stages_;      // 1: taken
  std::unordered_map<uint64_t, uint64_t> uses_;        // accumulator used in the cycle
  std::vector<std::vector<uint64_t>> visible_;         // [slice][word]: a read from this cycle on
  std::vector<std::vector<uint64_t>> set_;             // [chain][accumulator]: loaded in this cycle
  std::vector<Mxm> mxms_;
  std::vector<std::vector<uint64_t>> rows_;            // [sxm][row]: a column from this cycle on
  std::vector<uint64_t> port_level_, port_cycle_;      // by QueueKind
  std::map<uint64_t, uint64_t> memory_bytes_;          // of ports that share a memory, by cycle
};

}  // namespace pianola::test
