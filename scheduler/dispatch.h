// When words leave the instruction tape: as late as possible, but in bursts, because every pause costs a NOP
// word, and never faster than the tape delivers.
#pragma once

#include <cstdint>
#include <vector>

#include "scheduler/schedule.h"

namespace pianola {

constexpr int64_t kWordBytes = 32;

struct Push {
  PlacedInstruction instruction;
  int64_t slot = 0;  // dispatch cycle
};

// Latest dispatch cycles that the deadlines and the instruction tape's rate allow; a pause before the
// next word costs a word too. May be negative. The pushes are sorted by first issue.
void dispatch_late(std::vector<Push>& pushes, const Target& target);

// Pulls words forward to the one before where the pause is at most `slack` and the queues have room. Returns
// the most instructions that a queue holds; OutOfRange: more than there is room for.
Result<int> dispatch_in_bursts(std::vector<Push>& pushes, int64_t slack, const Target& target);

}  // namespace pianola
