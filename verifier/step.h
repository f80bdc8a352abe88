// What the verifier keeps of an instruction word: its timing, what it reads from and drives onto
// streams, and the affine value (address, accumulator, row, amount) that its unit's rules are about.
// One flat type for all units, so that the replay is a loop over arrays.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "isa/instructions.h"
#include "isa/roll.h"
#include "verifier/verify_roll.h"

namespace pianola::verifier {

struct Interval {
  int64_t low = 0, high = 0;
  bool meets(const Interval& other) const { return low <= other.high && other.low <= high; }
};

enum class Action : uint8_t {
  Read, Gather, Write, WriteLane, Pass, Load, Mac, Move, TransposeIn, TransposeOut, Receive, Send,
};
enum class AccumulatorUse : uint8_t { None, Set, Modify, Read };

struct StreamRead {
  uint8_t direction = 0;  // 0 east, 1 west
  uint8_t stream = 0, count = 0;
};

// A condition on the loop indices, as the fields first, emit, swap and clear state it.
enum class When : uint8_t { Never, Always, First1, First2, First3, Last1, Last2, Last3 };

struct Step {
  Timing timing;
  uint32_t word = 0;  // within the entry
  Action action{};
  bool rotates = false;  // MEM: slice k uses stream + k
  uint8_t reads = 0;
  StreamRead read[3];
  uint8_t drive_directions = 0, drive_stream = 0, drive_count = 0;
  When drive_when = When::Never;
  uint16_t drive_latency = 0;   // issue to drive
  uint16_t finish_latency = 0;  // issue to the end of the operation
  int32_t base = 0, s1 = 0, s2 = 0, s3 = 0;
  Interval offset;             // MEM: registers, index and lane wrap added to the address or row
  uint8_t rows = 0;            // WRITE: 2^rows slices take turns, and the affine value is the row
  uint16_t address = 0;        // WRITE with rows: word of row 0
  Interval lane;               // WRITE_LANE: over all iterations and register values
  AccumulatorUse use{};        // VXM
  When set_when = When::Never;  // VXM: acts as LOAD; MAC: clears
  When swap_when = When::Never;
  uint16_t enter_mul3 = 0, enter_combine = 0;  // VXM: cycles after issue
  uint8_t count = 0;                           // ports: vectors; LOAD: weights per byte

  // Least and greatest value over all iterations.
  Interval box() const {
    Interval interval{base, base};
    const auto level = [&](int32_t stride, uint32_t n) {
      const int64_t span = int64_t{stride} * n;
      (span < 0 ? interval.low : interval.high) += span;
    };
    level(s1, timing.n1);
    level(s2, timing.n2);
    level(s3, timing.n3);
    return interval;
  }
  int64_t value(uint32_t i1, uint32_t i2, uint32_t i3) const {
    return base + int64_t{s1} * i1 + int64_t{s2} * i2 + int64_t{s3} * i3;
  }
  // MEM: the words of the addresses, or rows, from `values.low` to `values.high`.
  Interval words(const Interval& values) const {
    return {address + (values.low >> rows), address + (values.high >> rows)};
  }
};

inline bool holds(When when, const Timing& t, uint32_t i1, uint32_t i2, uint32_t i3) {
  switch (when) {
    case When::Never: return false;
    case When::Always: return true;
    case When::First1: return i1 == 0;
    case When::First2: return i2 == 0;
    case When::First3: return i3 == 0;
    case When::Last1: return i1 == t.n1;
    case When::Last2: return i2 == t.n2;
    case When::Last3: return i3 == t.n3;
  }
  return false;
}

// One issue of a queue within the window of cycles that is being replayed.
struct Issue {
  uint32_t offset = 0;  // cycle minus the first cycle of the window
  uint32_t step = 0;
  uint16_t i1 = 0, i2 = 0, i3 = 0;
};

struct Pushed {
  uint32_t step = 0;
  uint64_t start = 0;  // machine cycle of the first issue
};

// Collects violations up to a bound: of each rule, word and unit the first.
class Findings {
 public:
  Findings(std::string entry, size_t violations_max)
      : entry_(std::move(entry)), violations_max_(violations_max) {}
  void violation(Rule rule, uint64_t cycle, std::string unit, std::string message,
                 uint64_t word = 0) {
    for (const Violation& other : violations) {
      if (other.rule == rule && other.word == word && other.unit == unit) {
        ++repeated_;
        return;
      }
    }
    if (violations.size() < violations_max_) {
      violations.push_back({rule, cycle, entry_, std::move(unit), std::move(message), word});
    }
  }
  void problem(const std::string& text) {
    if (problems.size() < violations_max_) problems.push_back("entry " + entry_ + ": " + text);
  }
  // True when more replay would only find more of the same.
  bool full() const { return violations.size() >= violations_max_ || repeated_ > kRepeatedMax; }
  bool clean() const { return violations.empty() && problems.empty(); }

  std::vector<Violation> violations;
  std::vector<std::string> problems;

 private:
  static constexpr uint64_t kRepeatedMax = 100000;
  std::string entry_;
  size_t violations_max_;
  uint64_t repeated_ = 0;
};

// Level of a port's bucket in bytes (docs/isa.md, section 8).
class Bucket {
 public:
  Bucket() = default;
  Bucket(int64_t capacity, int64_t rate)
      : capacity_(capacity), rate_(rate), level_(capacity), level_min_(capacity) {}
  // False if the level falls below zero. Cycles must not decrease.
  bool take(uint64_t cycle, int64_t bytes) {
    const uint64_t gap = cycle - cycle_;
    cycle_ = cycle;
    const int64_t room = capacity_ - level_;
    if (rate_ > 0 && gap >= static_cast<uint64_t>(room / rate_ + 1)) {
      level_ = capacity_;
    } else {
      level_ += static_cast<int64_t>(gap) * rate_;
      if (level_ > capacity_) level_ = capacity_;
    }
    level_ -= bytes;
    if (level_ < level_min_) level_min_ = level_;
    if (level_ >= 0) return true;
    level_ = 0;  // report each overdraft once
    return false;
  }
  int64_t level_min() const { return level_min_; }

 private:
  int64_t capacity_ = 0, rate_ = 0, level_ = 0, level_min_ = 0;
  uint64_t cycle_ = 0;
};

// Values of the launch registers as the declarations bound them.
using RegisterRanges = std::vector<Interval>;  // by register number, kLaunchRegisters of them

std::string queue_name(const Target& target, int queue);

// The instruction tape of an entry, decoded and timed.
struct Program {
  std::vector<Step> steps;
  std::vector<std::vector<Pushed>> queues;  // by queue number, in order of issue
  std::vector<uint64_t> word_cycles;  // in which the dispatcher executes each word of the tape
  uint64_t end_cycle = 0;
};

// Reads one PUSH for `queue`. False, with a reason, if it is illegal_encoding on this target.
bool decode_step(const Target& target, const RegisterRanges& registers, int queue, const Word& word,
                 Step& step, std::string& reason);
// The rule address_range for all iterations and register values; empty: no violation.
std::string find_range_violation(const Target& target, QueueKind kind, const Step& step);

// Decodes and dispatches the tape: illegal_encoding, address_range, queue_overrun, queue_late,
// end_busy and the rate of instruction words. False if the rest cannot be replayed.
bool replay_dispatch(const Target& target, std::span<const Word> words,
                     const RegisterRanges& registers, const VerifyOptions& options,
                     Program& program, EntryFacts& facts, Findings& findings);

// Words surely written, one bit each, by slice.
using MemoryImage = std::vector<std::vector<uint64_t>>;
MemoryImage empty_image(const Target& target);
void mark_words(std::vector<uint64_t>& bits, int64_t low, int64_t high);
bool all_marked(const std::vector<uint64_t>& bits, int64_t low, int64_t high);

// Plays all issues: every rule about streams, memories and units. `memory` is what was written before
// the launch, and what is surely written after it.
void replay_units(const Target& target, const Program& program, MemoryImage& memory,
                  EntryFacts& facts, Findings& findings);

// Declarations, segments and data bounds of an entry.
RegisterRanges check_registers(const Entry& entry, Findings& findings);
void check_segments(const Roll& roll, const Entry& entry, EntryFacts& facts, Findings& findings);
bool check_target(const Target& target, Findings& findings);

}  // namespace pianola::verifier
