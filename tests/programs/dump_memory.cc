#include "tests/programs/dump_memory.h"

#include <algorithm>
#include <optional>
#include <set>

#include "emulator/schedule_issues.h"
#include "tests/support/build_program.h"

namespace pianola::test {
namespace {

uint32_t register_value(const std::vector<uint32_t>& registers, uint32_t index) {
  return index != 0 && index < registers.size() ? registers[index] : 0;
}

// Nothing if a row goes to another slice.
std::optional<int> written_word(const Target& target, int slice, const MemInstruction& x,
                                const IssueCursor& at, const std::vector<uint32_t>& registers) {
  const int64_t steps = int64_t{x.s1} * at.i1() + int64_t{x.s2} * at.i2() +
                        int64_t{x.s3} * at.i3() + register_value(registers, x.reg);
  if (x.rows > 0) {
    const int64_t row = int64_t{x.row} + steps, slices = int64_t{1} << x.rows;
    if (slice % target.slices_per_position % slices != row % slices) return std::nullopt;
    return static_cast<int>(x.address + row / slices);
  }
  int64_t word = int64_t{x.address} + steps;
  if (x.op == MemOp::WriteLane) {
    const int64_t lane = int64_t{register_value(registers, x.lane_reg)} + x.lane +
                         int64_t{x.lane_step} * at.i1();
    if (lane >= target.lanes) ++word;
  }
  return static_cast<int>(word);
}

}  // namespace

WordSets written_words(const Roll& roll, int entry, const std::vector<uint32_t>& registers) {
  const Target& target = roll.target;
  const IssueSchedule schedule =
      schedule_issues(target, roll.entry_words(roll.metadata.entries[static_cast<size_t>(entry)]))
          .value();
  WordSets all;
  for (int slice = 0; slice < target.slices(); ++slice) {
    const auto queue = static_cast<size_t>(target.queue_of(QueueKind::MemWrite, slice));
    std::set<int> words;
    for (IssueCursor at(schedule.queues[queue]); !at.done(); at.advance()) {
      const auto word = written_word(target, slice, std::get<MemInstruction>(at.instruction()), at,
                                     registers);
      if (word) words.insert(*word);
    }
    all.emplace_back(words.begin(), words.end());
  }
  return all;
}

WordSets merge(const WordSets& a, const WordSets& b) {
  WordSets all(a.size());
  for (size_t i = 0; i < a.size(); ++i) {
    std::set_union(a[i].begin(), a[i].end(), b[i].begin(), b[i].end(), std::back_inserter(all[i]));
  }
  return all;
}

int add_dump_entry(Roll& roll, const WordSets& words) {
  const Target& target = roll.target;
  ProgramBuilder builder(target);
  uint64_t now = 64;
  for (int slice = 0; slice < target.slices(); ++slice) {
    const std::vector<int>& list = words[static_cast<size_t>(slice)];
    const int position = target.slice_position(slice);
    for (size_t first = 0; first < list.size();) {
      uint32_t count = 1;  // neighbours, by one instruction
      while (first + count < list.size() && count < 200 &&
             list[first + count] == list[first] + static_cast<int>(count)) {
        ++count;
      }
      Timing timing;
      if (count > 1) timing.n1 = count - 1, timing.p1 = 1;
      MemInstruction read;
      read.timing = timing;
      read.op = MemOp::Read;
      read.dir = toward(position, target.port_position);
      read.stream = static_cast<uint32_t>(-(slice % target.slices_per_position) &
                                          (target.streams - 1));
      read.address = static_cast<uint32_t>(list[first]);
      read.s1 = count > 1 ? 1 : 0;
      PortSendInstruction send;
      send.timing = timing;
      send.count = 1;
      send.dir = read.dir;
      builder.push(builder.queue(QueueKind::MemRead, slice), now, read);
      builder.push(builder.queue(QueueKind::HostSend),
                   now + static_cast<uint64_t>(latency_mem_read(target.lanes) +
                                               distance(position, target.port_position)),
                   send);
      roll.metadata.persistent.push_back({"words", slice, list[first], static_cast<int>(count)});
      now += std::max(count, 64u);  // the dispatcher needs its time for each run
      first += count;
    }
  }
  CHECK(builder.build());
  Roll dump = builder.finish("dump");
  Entry entry = dump.metadata.entries[0];
  entry.first_word = roll.words.size();
  std::vector<Word> all(roll.words.begin(), roll.words.end());
  all.insert(all.end(), dump.words.begin(), dump.words.end());
  roll.owned_words = std::move(all);
  roll.words = roll.owned_words;
  roll.metadata.entries.push_back(entry);
  return static_cast<int>(roll.metadata.entries.size()) - 1;
}

}  // namespace pianola::test
