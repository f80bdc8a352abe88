// The state of each unit that the rules speak of, one class per kind of unit. All are played window by
// window: `from` is the first cycle of the window, `until` the first one after it, and the issues of a
// unit's queues within it come in order of time. Streams are judged elsewhere (replay_units.cc).
#pragma once

#include <bitset>
#include <vector>

#include "verifier/step.h"

namespace pianola::verifier {

constexpr int kLanesMax = 1024;

struct Window {
  uint64_t from = 0, until = 0;
};

// A queue as the unit rules see it.
struct QueueIssues {
  int queue = 0;
  std::vector<Issue> issues;
};

class SliceRules {
 public:
  // `slice`: its number in its position.
  SliceRules(const Target& target, const std::vector<Step>& steps, Findings& findings,
             std::vector<uint64_t>& written, int slice)
      : target_(target), steps_(steps), findings_(findings), written_(written), slice_(slice) {}
  void play(const Window& window, const QueueIssues& reads, const QueueIssues& writes);
  void finish() { apply_until(UINT64_MAX); }

 private:
  struct Write {
    uint64_t cycle;
    Interval issued;   // words whose bank it takes
    Interval words;    // those that it may write in this slice; none: low > high
    bool certain;      // it writes one certain word
  };
  Write write_of(uint64_t cycle, const Issue& issue) const;
  void apply_until(uint64_t cycle);
  void read(uint64_t cycle, const Issue& issue, int queue);

  const Target& target_;
  const std::vector<Step>& steps_;
  Findings& findings_;
  std::vector<uint64_t>& written_;
  int slice_;
  std::vector<Write> writes_;  // not yet visible to all later reads, by cycle
  size_t first_write_ = 0;
  uint32_t judged_step_ = UINT32_MAX;  // all its words were written when it began
  bool judged_covered_ = false;
};

class MatrixRules {
 public:
  MatrixRules(const Target& target, const std::vector<Step>& steps, Findings& findings)
      : target_(target), steps_(steps), findings_(findings),
        cleared_(static_cast<size_t>(target.mxm_accumulators)) {}
  void play(const Window& window, const QueueIssues& loads, const QueueIssues& macs);

 private:
  struct Load {
    uint64_t cycle;
    int64_t row;
    uint32_t step;
  };
  void apply_until(uint64_t cycle);
  void mac(uint64_t cycle, const Issue& issue, int queue);

  const Target& target_;
  const std::vector<Step>& steps_;
  Findings& findings_;
  std::vector<Load> loads_;
  size_t first_load_ = 0;
  std::bitset<kLanesMax> rows_;
  bool installed_ = false;
  std::vector<char> cleared_;
};

class ChainRules {
 public:
  ChainRules(const Target& target, const std::vector<Step>& steps, Findings& findings);
  void play(const Window& window, const QueueIssues& passes);
  void finish() { judge_until(UINT64_MAX); }

 private:
  struct Use {
    uint64_t cycle;  // enters the accumulator stage
    uint32_t step;
    uint16_t accumulator;
    AccumulatorUse use;
  };
  static constexpr size_t kStageCycles = 4096;  // more than any latency
  void enter(std::vector<uint64_t>& stage, uint64_t cycle, const char* name, const Step& step);
  void judge_until(uint64_t cycle);

  const Target& target_;
  const std::vector<Step>& steps_;
  Findings& findings_;
  int queue_ = 0;
  std::vector<uint64_t> mul3_, combine_;  // cycle + 1 of the latest entry, by cycle modulo kStageCycles
  std::vector<Use> uses_;
  std::vector<uint64_t> last_use_;  // cycle + 1
  std::vector<char> set_;
  uint64_t enter_min_;  // least number of cycles from issue to the accumulator stage
};

class MoveRules {
 public:
  MoveRules(const Target& target, const std::vector<Step>& steps, Findings& findings)
      : target_(target), steps_(steps), findings_(findings),
        row_cycle_(static_cast<size_t>(target.lanes > 64 ? 16 : target.lanes)) {}
  void play(const Window& window, const QueueIssues& moves);

 private:
  const Target& target_;
  const std::vector<Step>& steps_;
  Findings& findings_;
  std::vector<uint64_t> row_cycle_;  // cycle + 1 of the first write of the row in this launch
};

// What tape, KV and instructions take together from the memory behind them, if the target has only one.
class MemoryRules {
 public:
  MemoryRules(const Target& target, const Program& program, Findings& findings)
      : target_(target), program_(program), findings_(findings),
        bucket_(int64_t{target.tape_fifo_vectors} * target.lanes, target.memory_bytes_per_cycle) {}
  void play(const Window& window, std::span<const QueueIssues* const> ports);

 private:
  struct Take {
    uint64_t cycle;
    int64_t bytes;
    int queue;  // -1: a word
    uint32_t word;
  };

  const Target& target_;
  const Program& program_;
  Findings& findings_;
  Bucket bucket_;
  size_t next_word_ = 0;
  std::vector<Take> takes_;
};

class PortRules {
 public:
  PortRules(const Target& target, const std::vector<Step>& steps, Findings& findings,
            PortFacts& facts, int64_t fifo_vectors, int64_t bytes_per_cycle)
      : target_(target), steps_(steps), findings_(findings), facts_(facts),
        bucket_(fifo_vectors * target.lanes, bytes_per_cycle) {}
  void play(const Window& window, const QueueIssues& operations);
  void finish() { facts_.level_bytes_min = bucket_.level_min(); }

 private:
  const Target& target_;
  const std::vector<Step>& steps_;
  Findings& findings_;
  PortFacts& facts_;
  Bucket bucket_;
};

}  // namespace pianola::verifier
