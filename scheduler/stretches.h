// Stretches of a schedule: in instructions, and in the words that they become.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "scheduler/dispatch.h"
#include "scheduler/schedule.h"

namespace pianola {

// The same schedule with everything written down.
Schedule without_stretches(const Schedule& schedule);

// Pushes begin..end - 1, `later` cycles later than they say.
struct PushRange {
  size_t begin, end;
  int64_t later;
};

// All pushes of a schedule, those of its stretches as often as they happen: where dispatch takes the same course
// twice in a row, it takes it again. `pushes` have their slots; `shift` is how much later they are than the
// schedule. Empty: somewhere dispatch does not repeat.
std::vector<PushRange> repeat_pushes(std::span<const Push> pushes,
                                     std::span<const Schedule::Stretch> stretches, int64_t shift);

}  // namespace pianola
