// Schedule -> instruction words: compress each queue, let one word address all slices that do the same,
// and give each word its dispatch cycle.
#include <algorithm>
#include <array>
#include <optional>
#include <tuple>

#include "scheduler/compress_instructions.h"
#include "scheduler/dispatch.h"
#include "scheduler/memory_rate.h"
#include "scheduler/schedule.h"
#include "scheduler/stretches.h"

namespace pianola {
namespace {

// How much earlier than necessary a burst may push. Bursts can break up again where queues are full,
// and then need NOP words for which the tape may have no time: then shorter ones, or none.
constexpr int64_t kBurstSlackCycles[] = {96, 24, 0};

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

Word encode(const PlacedInstruction& p, int64_t later) {
  return std::visit(
      [&](auto instruction) {
        Timing& t = instruction.timing;
        t.start = static_cast<uint32_t>((p.first + later) & 0xffff);
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

EncodedEntry encode_words(const std::vector<Push>& pushes, const std::vector<PushRange>& ranges,
                          int64_t end) {
  EncodedEntry entry;
  int64_t cycle = 0;
  for (const PushRange& range : ranges) {
    for (size_t i = range.begin; i < range.end; ++i) {
      const int64_t slot = pushes[i].slot + range.later;
      pause(entry.words, slot - cycle);
      entry.words.push_back(encode(pushes[i].instruction, range.later));
      cycle = slot + 1;
    }
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

bool memory_keeps_up(const std::vector<Push>& pushes, const std::vector<PushRange>& ranges,
                     const EncodedEntry& entry, const Target& target) {
  if (target.memory_bytes_per_cycle == 0) return true;
  std::array<std::vector<PlacedInstruction>, 3> ports;
  constexpr QueueKind kKinds[] = {QueueKind::TapeRecv, QueueKind::KvRecv, QueueKind::KvSend};
  for (const PushRange& range : ranges) {
    for (size_t i = range.begin; i < range.end; ++i) {
      const PlacedInstruction& instruction = pushes[i].instruction;
      const QueueKind kind = target.queues[instruction.queue].kind;
      const auto port = std::find(std::begin(kKinds), std::end(kKinds), kind) - std::begin(kKinds);
      if (port == std::ssize(kKinds)) continue;
      ports[static_cast<size_t>(port)].push_back(instruction);
      ports[static_cast<size_t>(port)].back().first += range.later;
    }
  }
  return memory_keeps_up(ports, entry.words, target);
}

// Nothing: the tape is too slow, or what is to be repeated does not repeat.
Result<std::optional<EncodedEntry>> encode_instructions(Schedule schedule, const Target& target) {
  std::vector<Push> pushes = pushes_of(share_words(compress_queues(schedule), target));
  dispatch_late(pushes, target);
  const int64_t shift = pushes.empty() ? 0 : std::max<int64_t>(0, -pushes.front().slot);
  for (Push& push : pushes) {
    push.slot += shift;
    push.instruction.first += shift;
  }
  for (const int64_t slack : kBurstSlackCycles) {
    std::vector<Push> bursts = pushes;
    TRY(const int peak, dispatch_in_bursts(bursts, slack, target));
    const std::vector<PushRange> ranges = repeat_pushes(bursts, schedule.stretches, shift);
    if (ranges.empty()) continue;
    EncodedEntry entry =
        encode_words(bursts, ranges, schedule.end + shift + 2 + latency_skew(target.lanes));
    if (!tape_keeps_up(entry.words, target)) continue;
    entry.peak_queue_occupancy = peak;
    entry.memory_keeps_up = memory_keeps_up(bursts, ranges, entry, target);
    return std::optional(std::move(entry));
  }
  return std::optional<EncodedEntry>();
}

}  // namespace

Result<EncodedEntry> encode_schedule(Schedule schedule, const Target& target) {
  if (!schedule.stretches.empty()) {
    TRY(std::optional<EncodedEntry> entry, encode_instructions(schedule, target));
    if (entry) return std::move(*entry);
    schedule = without_stretches(schedule);
  }
  TRY(std::optional<EncodedEntry> entry, encode_instructions(std::move(schedule), target));
  if (entry) return std::move(*entry);
  return Error{ErrorCode::OutOfRange,
               "the instruction tape of target " + target.name + " is too slow for this schedule",
               "scheduler"};
}

}  // namespace pianola
