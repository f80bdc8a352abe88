// What every queue of a machine does over a launch, from the schedule alone: for pictures of a
// roll.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "emulator/schedule_issues.h"
#include "isa/result.h"
#include "isa/target.h"

namespace pianola {

// "mem 3 read", "vxm 0", "tape recv": the unit and what its queue does there.
std::string queue_label(const Target& target, std::size_t queue);

struct ActivityWindow {
  uint64_t from = 0, to = 0;  // machine cycles; `to` is not in it
  uint64_t cycles_per_bin = 1;
};

inline constexpr uint64_t kActivityBinsMax = 4096;

// The issues of one queue in each bin of the window: [bins], the last of which may be short. The
// window has at most kActivityBinsMax bins.
std::vector<uint32_t> count_issues(std::span<const TimedInstruction> instructions,
                                   const ActivityWindow& window);

}  // namespace pianola
