// Builds an instruction tape from instructions with absolute issue cycles, and a roll of one entry
// around it: for tests that need a program for the machine without a compiler. Numbers of queues and
// positions come from the target; vectors that ports move are counted and declared.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "isa/instructions.h"
#include "isa/roll.h"

namespace pianola::test {

inline int distance(int a, int b) { return a < b ? b - a : a - b; }
inline Direction toward(int from, int to) {
  return from < to ? Direction::East : Direction::West;
}
inline uint32_t direction_bit(Direction direction) {
  return direction == Direction::East ? 1u : 2u;
}
// Cycles from issue to drive of a pass.
int pass_latency(const Target& target, const VxmInstruction& pass);

class ProgramBuilder {
 public:
  explicit ProgramBuilder(const Target& target) : target_(target) {}

  const Target& target() const { return target_; }
  int queue(QueueKind kind, int unit = 0) const { return target_.queue_of(kind, unit); }
  int position(int queue) const { return target_.queues[static_cast<size_t>(queue)].position; }

  // First issue in machine cycle `start` (absolute; timing.start is overwritten).
  template <typename Instruction>
  void push(int queue, uint64_t start, Instruction instruction, uint32_t mask = 1) {
    instruction.timing.start = static_cast<uint32_t>(start & 0xffff);
    items_.push_back({start, start + timing_span(instruction.timing), queue, mask,
                      encode_push(queue, mask, instruction)});
    count_vectors(queue, instruction);
  }
  // The latest push, for mutants that no encoder would write.
  Word& last_word() { return items_.back().word; }

  // Pieces of programs. Each returns the cycle of the drive.
  uint64_t receive(QueueKind port, uint64_t issue, int stream, int count = 1, uint32_t dirs = 3);
  uint64_t read(int slice, uint64_t issue, Direction direction, int stream, int address);
  // Takes a drive of the unit at `from` off its stream, in the cycle in which it arrives.
  void write(int slice, int from, uint64_t drive, int stream, int address, Direction direction);
  void send(QueueKind port, int from, uint64_t drive, int stream, int count = 1);
  // Receives one vector from the host and writes it to a word of a slice.
  void fill(uint64_t issue, int slice, int address, int stream = 0);

  RegisterDeclaration& declare(int index, uint32_t minimum, uint32_t maximum);
  void end_at(uint64_t cycle) { end_at_ = cycle; }
  // Words that the dispatcher executes before all others.
  void prepend(const Word& word) { prefix_.push_back(word); }
  // Words pushed in the order of start, each as early as queue and instruction bandwidth allow. False if
  // one cannot be in its queue in time.
  bool build();
  // The last issue of all instructions.
  uint64_t last_issue() const;
  // A cycle in which everything has surely finished.
  uint64_t idle_cycle() const;
  size_t instructions() const { return items_.size(); }

  std::vector<Word>& words() { return words_; }
  Entry& entry() { return entry_; }
  // A roll of one entry that plays words(). CHECKs that build() was successful.
  Roll finish(const std::string& name);
  uint64_t recount_cycles() const;

 private:
  struct Item {
    uint64_t start, last;
    int queue;
    uint32_t mask;
    Word word;
  };
  template <typename Instruction>
  void count_vectors(int queue, const Instruction& instruction) {
    if constexpr (requires { instruction.count; }) {
      const QueueKind kind = target_.queues[static_cast<size_t>(queue)].kind;
      vectors_[static_cast<size_t>(kind)] += instruction.count * timing_issues(instruction.timing);
    }
  }

  const Target& target_;
  std::vector<Item> items_;
  std::vector<Word> prefix_, words_;
  Entry entry_;
  std::optional<uint64_t> end_at_;
  std::array<uint64_t, 5> vectors_{};  // by QueueKind of the ports
  std::vector<RegisterDeclaration> registers_;
};

}  // namespace pianola::test
