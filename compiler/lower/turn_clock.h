// An estimate of when tiles go through the matrix units, on which nothing but the order of tiles depends: from the tape
// as soon as it brings them, or faster while the FIFO behind it holds some.
#pragma once

#include <algorithm>
#include <cstdint>

#include "isa/target.h"

namespace pianola {

class TurnClock {
 public:
  TurnClock() = default;
  explicit TurnClock(const Target& target)
      : tape_rate_(std::max(1, target.tape_bytes_per_cycle / target.lanes)),
        load_rate_(target.mxm_load_streams * static_cast<int64_t>(target.mxm_positions.size())),
        fifo_(target.tape_fifo_vectors / tape_rate_) {}

  // Cycle in which the matrix units have taken all that came so far.
  int64_t now() const { return now_; }
  void wait_until(int64_t cycle) { now_ = std::max(now_, cycle); }
  // Vectors of tiles in MEM.
  void load(int64_t vectors) { now_ += vectors / load_rate_; }
  // Vectors of tiles that the tape brings.
  void load_from_tape(int64_t vectors) {
    // The tape has waited if its FIFO was full.
    tape_ = std::max(tape_, now_ - fifo_) + vectors / tape_rate_;
    now_ = std::max(now_ + vectors / load_rate_, tape_);
  }

 private:
  int64_t tape_rate_ = 1, load_rate_ = 1, fifo_ = 0;  // vectors a cycle, cycles
  int64_t tape_ = 0, now_ = 0;
};

}  // namespace pianola
