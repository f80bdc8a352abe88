// Schedule -> instruction words: compress each queue, let one word address all slices that do the same,
// and give each word its dispatch cycle: as late as possible, but in bursts, because every pause costs
// a NOP word, and never faster than the instruction tape delivers.
#include <algorithm>
#include <tuple>

#include "scheduler/compress_instructions.h"
#include "scheduler/memory_rate.h"
#include "scheduler/schedule.h"

namespace pianola {
namespace {

constexpr int64_t kWordBytes = 32;
// How much earlier than necessary a burst may push. Bursts can break up again where queues are full,
// and then need NOP words for which the tape may have no time: then shorter ones, or none.
constexpr int64_t kBurstSlackCycles[] = {96, 24, 0};

struct Push {
  PlacedInstruction instruction;
  int64_t slot = 0;  // dispatch cycle
};

std::vector<PlacedInstruction> compress_queues(Schedule& schedule) {
  std::vector<PlacedInstruction> all;
  for (auto& queue : schedule.queues) {
    std::vector<PlacedInstruction> done = compress_queue(std::move(queue));
    all.insert(all.end(), std::make_move_iterator(done.begin()),
               std::make_move_iterator(done.end()));
  }
  return all;
}

bool same_work(const PlacedInstruction& a, const PlacedInstruction& b) {
  return a.first == b.first && a.count == b.count && a.period == b.period &&
         a.instruction == b.instruction;
}

// Slices of one position that do the same in the same cycles share a word. Sorts by first issue.
std::vector<PlacedInstruction> share_words(std::vector<PlacedInstruction> all,
                                           const Target& target) {
  std::sort(all.begin(), all.end(), [](const PlacedInstruction& a, const PlacedInstruction& b) {
    return std::tie(a.first, a.queue) < std::tie(b.first, b.queue);
  });
  std::vector<PlacedInstruction> out;
  for (PlacedInstruction& p : all) {
    const QueueInfo& info = target.queues[p.queue];
    bool shared = false;
    if (info.kind == QueueKind::MemRead || info.kind == QueueKind::MemWrite) {
      for (size_t i = out.size(); i-- > 0 && out[i].first == p.first;) {
        const QueueInfo& other = target.queues[out[i].queue];
        const int distance = p.queue - out[i].queue;
        if (other.kind == info.kind && other.position == info.position && distance > 0 &&
            distance < 8 && same_work(out[i], p)) {
          out[i].mask |= 1u << distance;
          shared = true;
          break;
        }
      }
    }
    if (!shared) out.push_back(std::move(p));
  }
  return out;
}

std::vector<Push> pushes_of(std::vector<PlacedInstruction> instructions) {
  std::vector<Push> pushes;
  pushes.reserve(instructions.size());
  for (PlacedInstruction& p : instructions) pushes.push_back({std::move(p), 0});
  return pushes;
}

// Latest dispatch cycles that the deadlines and the instruction tape's rate allow; a pause before the
// next word costs a word too. May be negative.
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

// Pulls words forward to the one before where the pause is at most `slack` and the queues have room.
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

Word encode(const PlacedInstruction& p) {
  return std::visit(
      [&](auto instruction) {
        Timing& t = instruction.timing;
        t.start = static_cast<uint32_t>(p.first & 0xffff);
        t.n1 = static_cast<uint32_t>(p.count[0] - 1);
        t.n2 = static_cast<uint32_t>(p.count[1] - 1);
        t.n3 = static_cast<uint32_t>(p.count[2] - 1);
        t.p1 = static_cast<uint32_t>(p.period[0]);
        t.p2 = static_cast<uint32_t>(p.period[1]);
        t.p3 = static_cast<uint32_t>(p.period[2]);
        return encode_push(p.queue, p.mask, instruction);
      },
      p.instruction);
}

void pause(std::vector<Word>& words, int64_t cycles) {
  while (cycles > 0) {
    const int64_t count = std::min<int64_t>(cycles, kNopCountMax);
    words.push_back(encode_nop(static_cast<uint32_t>(count)));
    cycles -= count;
  }
}

Result<EncodedEntry> encode_words(std::vector<Push> pushes, int64_t slack, int64_t end,
                                  const Target& target) {
  EncodedEntry entry;
  TRY(entry.peak_queue_occupancy, dispatch_in_bursts(pushes, slack, target));
  int64_t cycle = 0;
  for (const Push& push : pushes) {
    pause(entry.words, push.slot - cycle);
    entry.words.push_back(encode(push.instruction));
    cycle = push.slot + 1;
  }
  end = std::max(cycle, end);
  pause(entry.words, end - cycle);
  entry.words.push_back(encode_end());
  entry.cycles = static_cast<uint64_t>(end) + 1;
  return entry;
}

// Whether each word is there when it is executed; the FIFO is full at the start.
bool tape_keeps_up(const std::vector<Word>& words, const Target& target) {
  const int64_t depth = kWordBytes * target.instruction_fifo_words;
  int64_t level = depth;
  for (const Word& word : words) {
    level -= kWordBytes;
    if (level < 0) return false;
    const Header header = decode_header(word);
    const int64_t cycles = header.kind == WordKind::Nop ? header.nop_count : 1;
    level = std::min(depth, level + cycles * target.instruction_bytes_per_cycle);
  }
  return true;
}

bool memory_keeps_up(const std::vector<Push>& pushes, const EncodedEntry& entry,
                     const Target& target) {
  std::array<std::vector<const PlacedInstruction*>, 3> ports;
  constexpr QueueKind kKinds[] = {QueueKind::TapeRecv, QueueKind::KvRecv, QueueKind::KvSend};
  for (const Push& push : pushes) {
    for (size_t i = 0; i < ports.size(); ++i) {
      if (target.queues[push.instruction.queue].kind == kKinds[i]) {
        ports[i].push_back(&push.instruction);
      }
    }
  }
  return memory_keeps_up(ports, entry.words, target);
}

}  // namespace

Result<EncodedEntry> encode_schedule(Schedule schedule, const Target& target) {
  std::vector<Push> pushes = pushes_of(share_words(compress_queues(schedule), target));
  dispatch_late(pushes, target);
  const int64_t shift = pushes.empty() ? 0 : std::max<int64_t>(0, -pushes.front().slot);
  for (Push& push : pushes) {
    push.slot += shift;
    push.instruction.first += shift;
  }
  for (const int64_t slack : kBurstSlackCycles) {
    TRY(EncodedEntry entry, encode_words(pushes, slack, schedule.end + shift + 2, target));
    if (!tape_keeps_up(entry.words, target)) continue;
    entry.memory_keeps_up = memory_keeps_up(pushes, entry, target);
    return entry;
  }
  return Error{ErrorCode::OutOfRange,
               "the instruction tape of target " + target.name + " is too slow for this schedule",
               "scheduler"};
}

}  // namespace pianola
