// What the memories behind the ports can deliver: a bucket for each port, and a ledger of what tape, KV and
// instructions take together where they share a memory.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "isa/target.h"
#include "scheduler/memory_ledger.h"
#include "scheduler/stencil.h"

namespace pianola {

// A stencil at its base, with the offsets of its instruction words.
struct PortLoad {
  const Stencil* stencil = nullptr;
  std::vector<int64_t> words;
  int64_t base = 0;
};

class PortRates {
 public:
  static constexpr size_t kPorts = 4;
  // By Port, the shared memory last; INT64_MIN: not known.
  using Levels = std::array<int64_t, kPorts + 1>;

  // `memory_permille` of the shared memory's rate is given out: the cycles of instruction words are not
  // yet known.
  PortRates(const Target& target, int memory_permille);

  // The least base at which the stencil's operations come after those before them.
  int64_t earliest_base(const Stencil& stencil) const;
  // Cycles that one stencil must wait at least for the rates; 0: none. Something of the shared memory is
  // left for the instructions of stencils that are placed later.
  int64_t wait(const PortLoad& load, int64_t shift) const;
  // The same for stencils that have been placed before, so many cycles earlier.
  int64_t wait_again(std::span<const PortLoad> loads, int64_t shift) const;
  // From when on all FIFOs are full, if nothing more is taken: later, waiting does not help.
  int64_t full_from() const;
  // Whether full FIFOs suffice for the stencil.
  bool can_serve(const Stencil& stencil) const;
  void take(const PortLoad& load);

  // What each FIFO holds when the stencil at `base` begins to take from it, for those not known yet.
  void note_levels(const Stencil& stencil, int64_t base, Levels& levels) const;
  // Cycles that fill up what `levels` has more than `next`, at most; 0: nothing.
  int64_t cycles_between(const Levels& levels, const Levels& next) const;

 private:
  // A leaky bucket. Starts full; what is taken comes in order of cycles.
  struct Bucket {
    int64_t rate = 0, depth = 0, level = 0, cycle = 0;
    int64_t last = -1;  // cycle in which something was taken last

    int64_t level_at(int64_t now) const {
      const int64_t gained = level + (now - cycle) * rate;
      return gained < depth ? gained : depth;
    }
    int64_t cycles_for(int64_t bytes) const { return (bytes + rate - 1) / rate; }
    void take(int64_t now, int64_t bytes) {
      level = level_at(now) - bytes;
      last = cycle = now;
    }
  };
  int64_t missing(const PortUse& use, int64_t base, Bucket& bucket) const;
  int64_t wait(std::span<const PortLoad> loads, int64_t shift, int64_t reserve) const;
  void demand(const PortLoad& load, int64_t shift, MemoryLedger::Demand& demand) const;

  int64_t lanes_ = 0;
  bool shared_ = false;
  std::array<Bucket, kPorts> buckets_;
  MemoryLedger memory_;
};

}  // namespace pianola
