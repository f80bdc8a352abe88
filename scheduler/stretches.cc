#include "scheduler/stretches.h"

#include <algorithm>

namespace pianola {
namespace {

// Whether b is a, `later` cycles later.
bool follows(const Push& a, const Push& b, int64_t later) {
  const PlacedInstruction &x = a.instruction, &y = b.instruction;
  return b.slot == a.slot + later && y.first == x.first + later && x.queue == y.queue &&
         x.mask == y.mask && x.count == y.count && x.period == y.period &&
         x.instruction == y.instruction;
}

size_t first_from(std::span<const Push> pushes, int64_t slot) {
  return static_cast<size_t>(std::partition_point(pushes.begin(), pushes.end(),
                                                  [&](const Push& p) { return p.slot < slot; }) -
                             pushes.begin());
}

}  // namespace

Schedule without_stretches(const Schedule& schedule) {
  Schedule out;
  out.end = schedule.end;
  out.placements = schedule.placements;
  out.queues.resize(schedule.queues.size());
  for (size_t q = 0; q < schedule.queues.size(); ++q) {
    const std::vector<PlacedInstruction>& queue = schedule.queues[q];
    size_t next = 0;
    int64_t later = 0;
    const auto copy_until = [&](size_t end) {
      for (; next < end; ++next) {
        out.queues[q].push_back(queue[next]);
        out.queues[q].back().first += later;
      }
    };
    for (const Schedule::Stretch& stretch : schedule.stretches) {
      copy_until(stretch.to[q]);
      for (int i = 0; i < stretch.times; ++i) {
        later += stretch.length;
        next = stretch.from[q];
        copy_until(stretch.to[q]);
      }
    }
    copy_until(queue.size());
  }
  return out;
}

std::vector<PushRange> repeat_pushes(std::span<const Push> pushes,
                                     std::span<const Schedule::Stretch> stretches, int64_t shift) {
  std::vector<PushRange> ranges;
  size_t next = 0;
  int64_t later = 0;
  for (const Schedule::Stretch& stretch : stretches) {
    // Well before the last copies, among which what comes after them may begin.
    const int64_t slot = stretch.begin + shift - stretch.length;
    const size_t before = first_from(pushes, slot - stretch.length);
    const size_t begin = first_from(pushes, slot), end = first_from(pushes, slot + stretch.length);
    if (before < next || begin - before != end - begin) return {};
    for (size_t i = begin; i < end; ++i) {
      if (!follows(pushes[before + i - begin], pushes[i], stretch.length)) return {};
    }
    // Nothing may stay in a queue from one time to the next but one: queues are then as full every time.
    for (size_t i = 0; i < begin; ++i) {
      const int64_t limit = i < before ? slot : slot + stretch.length;
      if (pushes[i].instruction.last() >= limit) return {};
    }
    ranges.push_back({next, end, later});
    for (int i = 0; i < stretch.times; ++i) {
      later += stretch.length;
      ranges.push_back({begin, end, later});
    }
    next = end;
  }
  ranges.push_back({next, pushes.size(), later});
  return ranges;
}

}  // namespace pianola
