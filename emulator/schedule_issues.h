// The first half of lifting: from an instruction tape to the cycles in which each queue issues.
#pragma once

#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include "isa/instructions.h"
#include "isa/result.h"
#include "isa/target.h"

namespace pianola {

using QueueInstruction =
    std::variant<MemInstruction, VxmInstruction, MxmLoadInstruction, MxmMacInstruction,
                 SxmInstruction, PortRecvInstruction, PortSendInstruction>;

struct TimedInstruction {
  QueueInstruction instruction;
  uint64_t start = 0;  // cycle of the first issue
};

struct IssueSchedule {
  std::vector<std::vector<TimedInstruction>> queues;
  uint64_t end_cycle = 0;  // the cycle of END
};

Result<IssueSchedule> schedule_issues(const Target& target, std::span<const Word> words);

inline const Timing& timing_of(const QueueInstruction& instruction) {
  return std::visit([](const auto& x) -> const Timing& { return x.timing; }, instruction);
}

// Walks the issues of one queue in order.
class IssueCursor {
 public:
  explicit IssueCursor(std::span<const TimedInstruction> instructions)
      : instructions_(instructions) {
    begin();
  }
  bool done() const { return number_ == instructions_.size(); }
  uint64_t cycle() const { return cycle_; }
  size_t number() const { return number_; }  // of the instruction in the queue
  const QueueInstruction& instruction() const { return instructions_[number_].instruction; }
  uint32_t i1() const { return i1_; }
  uint32_t i2() const { return i2_; }
  uint32_t i3() const { return i3_; }

  void advance() {
    const Timing& t = *timing_;
    if (i1_ < t.n1) {
      ++i1_;
      cycle_ += t.p1;
      return;
    }
    if (i1_ = 0; i2_ < t.n2) {
      ++i2_;
    } else if (i2_ = 0; i3_ < t.n3) {
      ++i3_;
    } else {
      i3_ = 0;
      ++number_;
      return begin();
    }
    cycle_ = instructions_[number_].start + uint64_t{i2_} * t.p2 + uint64_t{i3_} * t.p3;
  }

 private:
  // Of an instruction.
  void begin() {
    if (done()) return;
    cycle_ = instructions_[number_].start;
    timing_ = &timing_of(instruction());
  }

  std::span<const TimedInstruction> instructions_;
  const Timing* timing_ = nullptr;
  size_t number_ = 0;
  uint64_t cycle_ = 0;
  uint32_t i1_ = 0, i2_ = 0, i3_ = 0;
};

}  // namespace pianola
