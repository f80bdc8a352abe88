#include "scheduler/dispatch.h"

#include <algorithm>
#include <string>

namespace pianola {
namespace {

// The instructions that each queue holds at a time.
class Occupancy {
 public:
  Occupancy(size_t queues, int depth) : leaving_(queues), depth_(depth) {}

  // Whether queue `queue` has room at the end of `cycle`.
  bool has_room(int queue, int64_t cycle) {
    std::vector<int64_t>& held = leaving_[queue];
    std::erase_if(held, [cycle](int64_t leaves) { return leaves <= cycle; });
    return static_cast<int>(held.size()) < depth_;
  }
  void push(int queue, int64_t leaves) {
    leaving_[queue].push_back(leaves);
    peak_ = std::max(peak_, static_cast<int>(leaving_[queue].size()));
  }
  int peak() const { return peak_; }

 private:
  std::vector<std::vector<int64_t>> leaving_;
  int depth_, peak_ = 0;
};

Error queue_full(const Push& push, const Target& target) {
  return Error{ErrorCode::OutOfRange,
               "queue " + std::to_string(push.instruction.queue) + " of target " + target.name +
                   " holds " + std::to_string(target.queue_depth) +
                   " instructions, too few for cycle " + std::to_string(push.instruction.first) +
                   "; use a target with deeper queues or a faster instruction tape",
               "scheduler"};
}

template <typename F>
bool for_each_queue(const PlacedInstruction& p, F&& f) {
  for (int bit = 0; bit < 8; ++bit) {
    if ((p.mask >> bit & 1) && !f(p.queue + bit)) return false;
  }
  return true;
}

}  // namespace

void dispatch_late(std::vector<Push>& pushes, const Target& target) {
  const int64_t rate = target.instruction_bytes_per_cycle;
  const int64_t depth = kWordBytes * target.instruction_fifo_words;
  int64_t next = pushes.empty() ? 0 : pushes.back().instruction.first, level = depth;
  for (size_t i = pushes.size(); i-- > 0;) {
    const int64_t deadline = pushes[i].instruction.first - latency_dispatch(target.lanes);
    int64_t slot = std::min(deadline, next - 1);
    const int64_t cost = slot == next - 1 ? kWordBytes : 2 * kWordBytes;
    int64_t left = std::min(depth, level + (next - slot) * rate) - cost;
    if (left < 0) {
      // Moving earlier always leaves a pause.
      const int64_t wait = (2 * kWordBytes - cost - left + rate - 1) / rate;
      slot -= wait;
      left += wait * rate - (2 * kWordBytes - cost);
    }
    level = left;
    pushes[i].slot = slot;
    next = slot;
  }
}

Result<int> dispatch_in_bursts(std::vector<Push>& pushes, int64_t slack, const Target& target) {
  Occupancy occupancy(target.queues.size(), target.queue_depth);
  int64_t previous = -1;
  for (Push& push : pushes) {
    const auto room_at = [&](int64_t cycle) {
      return for_each_queue(push.instruction, [&](int queue) {
        return occupancy.has_room(queue, cycle);
      });
    };
    const int64_t early = previous + 1;
    if (push.slot > early && push.slot - early <= slack && room_at(early)) {
      push.slot = early;
    } else if (!room_at(push.slot)) {
      return queue_full(push, target);
    }
    for_each_queue(push.instruction, [&](int queue) {
      occupancy.push(queue, push.instruction.last());
      return true;
    });
    previous = push.slot;
  }
  return occupancy.peak();
}

}  // namespace pianola
