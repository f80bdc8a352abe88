// The machine that the naive interpreter plays a launch on: its state, and a function for each step
// that docs/isa.md describes, written from that document alone. The sections are those of it.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "emulator/naive_interpreter.h"
#include "isa/instructions.h"

namespace pianola::naive {

using Bytes = std::vector<uint8_t>;      // one vector: a byte per lane
using Patterns = std::vector<uint32_t>;  // one vector of 32-bit patterns

// The iteration of an instruction that issues now.
struct Iteration {
  uint32_t i1 = 0, i2 = 0, i3 = 0;
};

using Instruction =
    std::variant<MemInstruction, VxmInstruction, MxmLoadInstruction, MxmMacInstruction,
                 SxmInstruction, PortRecvInstruction, PortSendInstruction>;

struct Pushed {
  Instruction instruction;
  uint64_t ready = 0;  // may issue from this cycle on
};

struct Queue {
  std::deque<Pushed> waiting;     // the head is the instruction being executed
  uint64_t free_from = 0;         // cycle after the last issue of the instruction before
  std::optional<uint64_t> start;  // of the head, once it could issue
};

struct Drive {
  int position = 0;
  Direction direction = Direction::East;
  int stream = 0;
  Bytes value;
};

struct Mxm {
  std::vector<int8_t> shadow, installed;  // [output * lanes + input]
  std::vector<bool> row_loaded;
  bool has_tile = false;
  std::vector<std::vector<int32_t>> accumulators;
  std::vector<bool> defined;
};

// A pass on its way to the accumulator stage.
struct WaitingPass {
  VxmInstruction instruction;
  Iteration iteration;
  int chain = 0;
  int position = 0;
  Patterns v, r;
};

struct VxmChain {
  std::vector<Patterns> accumulators;
  std::vector<bool> defined;
  std::vector<std::optional<uint64_t>> last_use;
  std::set<uint64_t> mul3_cycles, combine_cycles;
};

struct Sxm {
  std::vector<Bytes> rows;
  std::vector<bool> written;
};

// Lanes of a segment on a machine of so many lanes.
int segment_lanes(LaneSegment segment, int lanes);

class Machine {
 public:
  Machine(const Roll& roll, const Entry& entry, const LaunchRequest& request,
          NaiveInterpreter::Memory& memory, std::vector<std::byte>& kv,
          std::vector<DriveEvent>* drives);

  Result<LaunchResult> run();

 private:
  struct Side {  // stream registers of one direction
    std::vector<Bytes> value;
    std::vector<bool> defined;
  };

  void fault(Rule rule, const std::string& what);
  uint32_t launch_register(uint32_t index) const {
    return index == 0 || index >= request_.registers.size() ? 0 : request_.registers[index];
  }

  // Section 3: Dispatch and queues.
  bool dispatch();  // true: this is the cycle of END
  template <typename T>
  std::optional<Instruction> decode_as(const Word& word);
  std::optional<Instruction> decode_for(QueueKind kind, const Word& word);
  void push(const Word& word, const Header& header);
  // At the end of a cycle: instructions that issued for the last time leave, then pushes enter.
  void leave_and_push();
  void issue_all();
  void issue(uint32_t number);
  void check_idle();

  // Section 2: Stream registers.
  Side& side(Direction direction) { return direction == Direction::East ? east_ : west_; }
  Bytes read_stream(int position, Direction direction, uint32_t stream);
  // `by_memory`: END does not wait for the value.
  void drive_at(uint64_t cycle, int position, Direction direction, uint32_t stream, Bytes value,
                bool by_memory = false);
  void drive_both(uint64_t cycle, int position, uint32_t directions, uint32_t stream,
                  const Bytes& value);
  void move_streams();

  // Section 4: MEM.
  std::optional<size_t> checked_address(int64_t address);
  void take_bank_to_write(int unit, size_t word);
  void write_row(const MemInstruction& x, const Iteration& it, const QueueInfo& info);
  void execute(const MemInstruction& x, const Iteration& it, const QueueInfo& info);

  // Section 5: MXM.
  void execute(const MxmLoadInstruction& x, const Iteration& it, const QueueInfo& info);
  void execute(const MxmMacInstruction& x, const Iteration& it, const QueueInfo& info);

  // Section 6: VXM.
  struct Operands {
    Patterns y, z;
    uint32_t k1 = 0, k2 = 0;
  };
  Patterns operand(int position, VxmFormat format, Direction direction, uint32_t stream);
  uint32_t select_operand(VxmOperand which, const Operands& operands, int lane);
  void multiply(Patterns& v, VxmOperand which, const Operands& operands);
  void add_stage(const VxmInstruction& x, Patterns& v, const Operands& operands);
  void select_stage(const VxmInstruction& x, const Iteration& it, Patterns& v, uint32_t k2);
  Patterns tree_stage(const VxmInstruction& x, const Patterns& v, const Operands& operands);
  void check_stages(const VxmInstruction& x);
  void execute(const VxmInstruction& x, const Iteration& it, const QueueInfo& info);
  void enter_accumulator_stages();
  Patterns accumulate(const WaitingPass& pass, const Patterns& s);
  void finish_pass(const WaitingPass& pass);

  // Section 7: SXM.
  void execute(const SxmInstruction& x, const Iteration& it, const QueueInfo& info);
  void transpose(const SxmInstruction& x, int64_t amount, const QueueInfo& info);

  // Section 8: PORT.
  std::optional<Bytes> receive(QueueKind kind);
  void check_count(uint32_t count);
  void execute(const PortRecvInstruction& x, const Iteration&, const QueueInfo& info);
  void execute(const PortSendInstruction& x, const Iteration&, const QueueInfo& info);

  const Target& target_;
  const Entry& entry_;
  const LaunchRequest& request_;
  NaiveInterpreter::Memory& memory_;
  std::vector<std::byte>& kv_;
  std::vector<DriveEvent>* recorded_;
  const Roll& roll_;
  const int lanes_;
  const std::span<const Word> words_;
  uint64_t cycle_ = 0;
  std::optional<Error> fault_;
  std::string place_;
  size_t next_word_ = 0;
  uint64_t dispatcher_free_ = 0;
  std::vector<Queue> queues_;
  std::vector<std::pair<uint32_t, Pushed>> pushes_;
  std::vector<uint32_t> leavers_;
  std::map<int, size_t> read_banks_;  // bank that each slice reads in this cycle
  Side east_, west_;
  std::map<uint64_t, std::vector<Drive>> unit_drives_, memory_drives_;  // by cycle of the drive
  std::vector<Mxm> mxms_;
  std::vector<VxmChain> chains_;
  std::multimap<uint64_t, WaitingPass> passes_;  // by the cycle they enter the accumulator stage
  std::vector<Sxm> sxms_;
  std::vector<uint64_t> tape_, kv_read_, kv_write_;
  size_t tape_taken_ = 0, kv_taken_ = 0, host_taken_ = 0;
  std::vector<Bytes> kv_sent_;  // reaches the KV region at END
  std::vector<std::byte> host_output_;
};

}  // namespace pianola::naive
