#include "emulator/naive_interpreter.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <variant>

#include "isa/arithmetic.h"
#include "isa/instructions.h"

namespace pianola {
namespace {

using Bytes = std::vector<uint8_t>;     // one vector: a byte per lane
using Patterns = std::vector<uint32_t>;  // one vector of 32-bit patterns

// The iteration of an instruction that issues now.
struct Iteration {
  uint32_t i1 = 0, i2 = 0, i3 = 0;
};

using Instruction = std::variant<MemInstruction, VxmInstruction, MxmLoadInstruction,
                                 MxmMacInstruction, SxmInstruction, PortRecvInstruction,
                                 PortSendInstruction>;

struct Pushed {
  Instruction instruction;
  uint64_t ready = 0;  // may issue from this cycle on
};

struct Queue {
  std::deque<Pushed> waiting;        // the head is the instruction being executed
  uint64_t free_from = 0;            // cycle after the last issue of the instruction before
  std::optional<uint64_t> start;     // of the head, once it could issue
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

int segment_lanes(LaneSegment segment, int lanes) {
  switch (segment) {
    case LaneSegment::All: return lanes;
    case LaneSegment::S16: return 16;
    case LaneSegment::S32: return 32;
    case LaneSegment::S64: return 64;
    case LaneSegment::S128: return 128;
    case LaneSegment::S256: return 256;
  }
  return lanes;
}

int format_streams(VxmFormat format) {
  switch (format) {
    case VxmFormat::None: return 0;
    case VxmFormat::I8: return 1;
    case VxmFormat::Bf16:
    case VxmFormat::F16: return 2;
    case VxmFormat::I32:
    case VxmFormat::F32:
    case VxmFormat::Raw:
    case VxmFormat::F32Lane0: return 4;
  }
  return 0;
}

class Machine {
 public:
  Machine(const Roll& roll, const Entry& entry, const LaunchRequest& request,
          NaiveInterpreter::Memory& memory, std::vector<std::byte>& kv,
          std::vector<DriveEvent>* drives)
      : target_(roll.target), entry_(entry), request_(request), memory_(memory), kv_(kv),
        recorded_(drives), roll_(roll), lanes_(roll.target.lanes), words_(roll.entry_words(entry)) {
    const size_t registers = static_cast<size_t>(target_.positions()) * target_.streams;
    for (auto* side : {&east_, &west_}) {
      side->value.assign(registers, Bytes(lanes_));
      side->defined.assign(registers, false);
    }
    queues_.resize(target_.queues.size());
    mxms_.resize(target_.mxm_positions.size());
    for (Mxm& mxm : mxms_) {
      mxm.shadow.assign(lanes_ * lanes_, 0);
      mxm.row_loaded.assign(lanes_, false);
      mxm.accumulators.assign(target_.mxm_accumulators, std::vector<int32_t>(lanes_));
      mxm.defined.assign(target_.mxm_accumulators, false);
    }
    chains_.resize(target_.vxm_chains);
    for (VxmChain& chain : chains_) {
      chain.accumulators.assign(target_.vxm_accumulators, Patterns(lanes_));
      chain.defined.assign(target_.vxm_accumulators, false);
      chain.last_use.assign(target_.vxm_accumulators, std::nullopt);
    }
    sxms_.resize(target_.sxm_positions.size());
    const int rows = lanes_ > 64 ? 16 : lanes_;
    for (Sxm& sxm : sxms_) {
      sxm.rows.assign(rows, Bytes(lanes_));
      sxm.written.assign(rows, false);
    }
    tape_ = expand_segments(entry.tape, request.registers);
    kv_read_ = expand_segments(entry.kv_read, request.registers);
    kv_write_ = expand_segments(entry.kv_write, request.registers);
  }

  Result<LaunchResult> run() {
    bool ended = false;
    while (!ended && !fault_) {
      ended = dispatch();
      issue_all();
      enter_accumulator_stages();
      if (ended) check_idle();
      move_streams();
      leave_and_push();
      ++cycle_;
    }
    if (fault_) return *fault_;
    for (size_t i = 0; i < kv_sent_.size(); ++i) {
      std::memcpy(kv_.data() + kv_write_[i] * lanes_, kv_sent_[i].data(), lanes_);
    }
    LaunchResult result;
    result.cycles = cycle_;
    result.host_output = std::move(host_output_);
    return result;
  }

 private:
  struct Side {  // stream registers of one direction
    std::vector<Bytes> value;
    std::vector<bool> defined;
  };

  void fault(Rule rule, const std::string& what) {
    if (fault_) return;
    fault_ = Error{ErrorCode::Mismatch, std::string(rule_name(rule)) + ": " + what,
                   "cycle " + std::to_string(cycle_) + ", " + place_};
  }

  uint32_t launch_register(uint32_t index) const {
    return index == 0 || index >= request_.registers.size() ? 0 : request_.registers[index];
  }

  // Section 3.

  bool dispatch() {  // true: this is the cycle of END
    place_ = "dispatcher";
    if (cycle_ < dispatcher_free_) return false;
    if (next_word_ >= words_.size()) {
      fault(Rule::IllegalEncoding, "the tape ends without END");
      return true;
    }
    const Word& word = words_[next_word_++];
    const Header header = decode_header(word);
    if (!header.legal) {
      fault(Rule::IllegalEncoding, "word " + std::to_string(next_word_ - 1) + " has a bad header");
      return true;
    }
    dispatcher_free_ = cycle_ + (header.kind == WordKind::Nop ? header.nop_count : 1);
    if (header.kind == WordKind::End) return true;
    if (header.kind == WordKind::Push) push(word, header);
    return false;
  }

  template <typename T>
  std::optional<Instruction> decode_as(const Word& word) {
    T instruction;
    if (!decode(word, instruction) || !timing_is_legal(instruction.timing)) return std::nullopt;
    return instruction;
  }

  std::optional<Instruction> decode_for(QueueKind kind, const Word& word) {
    switch (kind) {
      case QueueKind::TapeRecv:
      case QueueKind::KvRecv:
      case QueueKind::HostRecv: return decode_as<PortRecvInstruction>(word);
      case QueueKind::KvSend:
      case QueueKind::HostSend: return decode_as<PortSendInstruction>(word);
      case QueueKind::VxmPass: return decode_as<VxmInstruction>(word);
      case QueueKind::MemRead:
      case QueueKind::MemWrite: return decode_as<MemInstruction>(word);
      case QueueKind::SxmMove: return decode_as<SxmInstruction>(word);
      case QueueKind::MxmLoad: return decode_as<MxmLoadInstruction>(word);
      case QueueKind::MxmMac: return decode_as<MxmMacInstruction>(word);
    }
    return std::nullopt;
  }

  void push(const Word& word, const Header& header) {
    for (uint32_t i = 0; i < 8; ++i) {
      if ((header.mask >> i & 1) == 0) continue;
      const uint32_t queue = header.queue + i;
      if (queue >= queues_.size()) {
        return fault(Rule::IllegalEncoding, "no queue " + std::to_string(queue));
      }
      const QueueKind kind = target_.queues[queue].kind;
      const bool is_memory = kind == QueueKind::MemRead || kind == QueueKind::MemWrite;
      if (header.mask != 1 && !is_memory) {
        return fault(Rule::IllegalEncoding, "a mask for a queue that is not of MEM");
      }
      const std::optional<Instruction> instruction = decode_for(kind, word);
      if (!instruction) return fault(Rule::IllegalEncoding, "queue " + std::to_string(queue));
      if (is_memory) {
        const MemOp op = std::get<MemInstruction>(*instruction).op;
        const bool reads = op == MemOp::Read || op == MemOp::Gather;
        if (reads != (kind == QueueKind::MemRead)) {
          return fault(Rule::IllegalEncoding, "opcode of the other MEM queue");
        }
      }
      pushes_.push_back({queue, {*instruction, cycle_ + latency_dispatch(lanes_)}});
    }
  }

  // At the end of a cycle: instructions that issued for the last time leave, then pushes enter.
  void leave_and_push() {
    for (uint32_t queue : leavers_) {
      queues_[queue].waiting.pop_front();
      queues_[queue].start.reset();
    }
    leavers_.clear();
    for (auto& [queue, pushed] : pushes_) {
      place_ = "queue " + std::to_string(queue);
      if (static_cast<int>(queues_[queue].waiting.size()) >= target_.queue_depth) {
        fault(Rule::QueueOverrun, "the queue is full");
      }
      queues_[queue].waiting.push_back(pushed);
    }
    pushes_.clear();
  }

  // The iteration in which `timing` issues `elapsed` cycles after its first issue, if any.
  static std::optional<Iteration> iteration_at(const Timing& timing, uint64_t elapsed) {
    Iteration it;
    if (timing.n3 > 0) it.i3 = std::min<uint64_t>(elapsed / timing.p3, timing.n3);
    elapsed -= static_cast<uint64_t>(it.i3) * timing.p3;
    if (timing.n2 > 0) it.i2 = std::min<uint64_t>(elapsed / timing.p2, timing.n2);
    elapsed -= static_cast<uint64_t>(it.i2) * timing.p2;
    if (timing.n1 > 0) it.i1 = std::min<uint64_t>(elapsed / timing.p1, timing.n1);
    elapsed -= static_cast<uint64_t>(it.i1) * timing.p1;
    if (elapsed != 0) return std::nullopt;
    return it;
  }

  void issue_all() {
    // Reads of memory come before writes, swaps before loads: both take effect a cycle later.
    for (uint32_t i = 0; i < queues_.size(); ++i) {
      if (target_.queues[i].kind != QueueKind::MemWrite &&
          target_.queues[i].kind != QueueKind::MxmLoad) {
        issue(i);
      }
    }
    for (uint32_t i = 0; i < queues_.size(); ++i) {
      if (target_.queues[i].kind == QueueKind::MemWrite ||
          target_.queues[i].kind == QueueKind::MxmLoad) {
        issue(i);
      }
    }
    read_banks_.clear();
  }

  void issue(uint32_t number) {
    Queue& queue = queues_[number];
    const QueueInfo& info = target_.queues[number];
    place_ = "queue " + std::to_string(number) + " (position " + std::to_string(info.position) +
             ", unit " + std::to_string(info.unit) + ")";
    if (queue.waiting.empty()) return;
    const Pushed& head = queue.waiting.front();
    const uint64_t able = std::max(head.ready, queue.free_from);
    if (cycle_ < able) return;
    const Timing& timing =
        std::visit([](const auto& x) -> const Timing& { return x.timing; }, head.instruction);
    if (!queue.start) {
      const uint64_t wait = (timing.start - able) & 0xffff;
      if (wait >= 0x8000) return fault(Rule::QueueLate, "start is in the past");
      queue.start = able + wait;
    }
    if (cycle_ < *queue.start) return;
    const std::optional<Iteration> iteration = iteration_at(timing, cycle_ - *queue.start);
    if (!iteration) return;
    std::visit([&](const auto& x) { execute(x, *iteration, info); }, head.instruction);
    if (cycle_ == *queue.start + timing_span(timing)) {
      queue.free_from = cycle_ + 1;
      leavers_.push_back(number);
    }
  }

  void check_idle() {
    place_ = "END";
    for (size_t i = 0; i < queues_.size(); ++i) {
      if (!queues_[i].waiting.empty()) {
        fault(Rule::EndBusy, "queue " + std::to_string(i) + " holds an instruction");
      }
    }
    if (!pushes_.empty()) fault(Rule::EndBusy, "an instruction was just pushed");
    if (!passes_.empty()) fault(Rule::EndBusy, "a VXM pass is under way");
    for (const auto& [when, drives] : unit_drives_) {
      if (when > cycle_) fault(Rule::EndBusy, "a result is not yet driven");
    }
  }

  // Section 2.

  Side& side(Direction direction) { return direction == Direction::East ? east_ : west_; }

  Bytes read_stream(int position, Direction direction, uint32_t stream) {
    if (stream >= static_cast<uint32_t>(target_.streams)) {
      fault(Rule::IllegalEncoding, "stream " + std::to_string(stream));
      return Bytes(lanes_);
    }
    const size_t index = static_cast<size_t>(position) * target_.streams + stream;
    if (!side(direction).defined[index]) {
      fault(Rule::StreamUndefined, std::string(direction == Direction::East ? "east" : "west") +
                                       " stream " + std::to_string(stream) + " at position " +
                                       std::to_string(position));
    }
    return side(direction).value[index];
  }

  // `by_memory`: END does not wait for the value.
  void drive_at(uint64_t cycle, int position, Direction direction, uint32_t stream, Bytes value,
                bool by_memory = false) {
    if (stream >= static_cast<uint32_t>(target_.streams)) {
      return fault(Rule::IllegalEncoding, "stream " + std::to_string(stream));
    }
    auto& list = by_memory ? memory_drives_ : unit_drives_;
    list[cycle].push_back({position, direction, static_cast<int>(stream), std::move(value)});
  }

  void drive_both(uint64_t cycle, int position, uint32_t directions, uint32_t stream,
                  const Bytes& value) {
    if (directions == 0) fault(Rule::IllegalEncoding, "no direction to drive");
    if ((directions & 1) != 0) drive_at(cycle, position, Direction::East, stream, value);
    if ((directions & 2) != 0) drive_at(cycle, position, Direction::West, stream, value);
  }

  void move_streams() {
    place_ = "streams";
    const int positions = target_.positions();
    const int streams = target_.streams;
    const size_t all = static_cast<size_t>(positions) * streams;
    // One position further; nothing enters at the ends. index + streams is the eastern neighbour.
    Side east = east_, west = west_;
    for (size_t i = 0; i < all; ++i) {
      const bool first = i < static_cast<size_t>(streams);
      const bool last = i + streams >= all;
      east_.defined[i] = !first && east.defined[i - streams];
      if (east_.defined[i]) east_.value[i] = east.value[i - streams];
      west_.defined[i] = !last && west.defined[i + streams];
      if (west_.defined[i]) west_.value[i] = west.value[i + streams];
    }
    std::set<std::tuple<int, Direction, int>> driven;
    for (auto* list : {&memory_drives_, &unit_drives_}) {
      const auto now = list->find(cycle_);
      if (now == list->end()) continue;
      for (Drive& drive : now->second) {
        if (!driven.insert({drive.position, drive.direction, drive.stream}).second) {
          fault(Rule::StreamConflict, "position " + std::to_string(drive.position) + " stream " +
                                          std::to_string(drive.stream));
        }
        if (recorded_ != nullptr) {
          const auto* bytes = reinterpret_cast<const std::byte*>(drive.value.data());
          recorded_->push_back({cycle_, drive.position, drive.direction, drive.stream,
                                std::vector<std::byte>(bytes, bytes + lanes_)});
        }
        const int neighbour = drive.position + (drive.direction == Direction::East ? 1 : -1);
        if (neighbour < 0 || neighbour >= positions) continue;
        const size_t index = static_cast<size_t>(neighbour) * streams + drive.stream;
        side(drive.direction).value[index] = std::move(drive.value);
        side(drive.direction).defined[index] = true;
      }
      list->erase(now);
    }
  }

  // Section 4.

  std::optional<size_t> checked_address(int64_t address) {
    if (address < 0 || address >= target_.words_per_slice) {
      fault(Rule::AddressRange, "word address " + std::to_string(address));
      return std::nullopt;
    }
    return static_cast<size_t>(address);
  }

  void execute(const MemInstruction& x, const Iteration& it, const QueueInfo& info) {
    int64_t address = static_cast<int64_t>(x.address) + static_cast<int64_t>(it.i1) * x.s1 +
                      static_cast<int64_t>(it.i2) * x.s2 + static_cast<int64_t>(it.i3) * x.s3 +
                      static_cast<int64_t>(launch_register(x.reg));
    if (x.stream >= static_cast<uint32_t>(target_.streams)) {
      return fault(Rule::IllegalEncoding, "stream " + std::to_string(x.stream));
    }
    const uint32_t stream = (x.stream + info.slice) % target_.streams;
    Bytes& words = memory_.words[info.unit];
    Bytes& written = memory_.written[info.unit];
    const size_t bank_words = static_cast<size_t>(target_.words_per_slice) / 2;
    if (x.op == MemOp::Read || x.op == MemOp::Gather) {
      if (x.op == MemOp::Gather) {
        const uint32_t low = read_stream(info.position, x.index_dir, x.index_stream)[0];
        const uint32_t high = read_stream(info.position, x.index_dir, x.index_stream + 1)[0];
        address += std::min(low | high << 8, x.limit);
      }
      const std::optional<size_t> word = checked_address(address);
      if (!word) return;
      if (written[*word] == 0) {
        fault(Rule::MemoryUndefined, "word " + std::to_string(*word) + " was never written");
      }
      read_banks_[info.unit] = *word / bank_words;
      const auto begin = words.begin() + *word * lanes_;
      drive_at(cycle_ + latency_mem_read(lanes_), info.position, x.dir, stream,
               Bytes(begin, begin + lanes_), true);
      return;
    }
    const Bytes value = read_stream(info.position, x.dir, stream);
    uint64_t lane = 0;
    if (x.op == MemOp::WriteLane) {
      lane = static_cast<uint64_t>(launch_register(x.lane_reg)) + x.lane +
             static_cast<uint64_t>(it.i1) * x.lane_step;
      if (lane >= static_cast<uint64_t>(lanes_)) {
        lane -= lanes_;
        ++address;
      }
      if (lane >= static_cast<uint64_t>(lanes_)) return fault(Rule::AddressRange, "lane");
    }
    const std::optional<size_t> word = checked_address(address);
    if (!word) return;
    const auto reading = read_banks_.find(info.unit);
    if (reading != read_banks_.end() && reading->second == *word / bank_words) {
      fault(Rule::BankConflict, "slice " + std::to_string(info.unit));
    }
    written[*word] = 1;
    if (x.op == MemOp::WriteLane) {
      words[*word * lanes_ + lane] = value[lane];
    } else {
      std::copy(value.begin(), value.end(), words.begin() + *word * lanes_);
    }
  }

  // Section 5.

  // Weight `index` of a byte of `per_byte` weights.
  static int8_t weight_of(uint8_t byte, int per_byte, int index) {
    if (per_byte == 1) return static_cast<int8_t>(byte);
    if (per_byte == 2) {
      const int nibble = byte >> (4 * index) & 15;
      return static_cast<int8_t>(nibble >= 8 ? nibble - 16 : nibble);
    }
    const int pair = byte >> (2 * index) & 3;
    return pair == 1 ? 1 : pair == 3 ? -1 : 0;
  }

  void execute(const MxmLoadInstruction& x, const Iteration& it, const QueueInfo& info) {
    Mxm& mxm = mxms_[info.unit];
    const int per_byte = 1 << static_cast<int>(x.format);
    const int64_t first = static_cast<int64_t>(x.row) + static_cast<int64_t>(it.i1) * x.row_s1 +
                          static_cast<int64_t>(it.i2) * x.row_s2 +
                          static_cast<int64_t>(it.i3) * x.row_s3;
    for (int i = 0; i < target_.mxm_load_streams; ++i) {
      const int64_t row = first + static_cast<int64_t>(i) * per_byte;
      if (row >= lanes_) continue;
      if (row < 0 || row + per_byte > lanes_) return fault(Rule::AddressRange, "tile row");
      const Bytes value = read_stream(info.position, x.dir, x.stream + i);
      for (int w = 0; w < per_byte; ++w) {
        for (int lane = 0; lane < lanes_; ++lane) {
          const int8_t weight = weight_of(value[lane], per_byte, w);
          if (x.orientation == MxmLoadOrientation::Output) {
            mxm.shadow[(row + w) * lanes_ + lane] = weight;
          } else {
            mxm.shadow[lane * lanes_ + row + w] = weight;
          }
        }
        mxm.row_loaded[row + w] = true;
      }
    }
  }

  void execute(const MxmMacInstruction& x, const Iteration& it, const QueueInfo& info) {
    Mxm& mxm = mxms_[info.unit];
    const bool swaps = x.swap == MxmMacSwap::Always || (x.swap == MxmMacSwap::Level1 && it.i1 == 0);
    const bool clears =
        x.clear == MxmMacClear::Always || (x.clear == MxmMacClear::Level2 && it.i2 == 0);
    const bool emits =
        x.emit == MxmMacEmit::Always || (x.emit == MxmMacEmit::Level2 && it.i2 == x.timing.n2);
    const Bytes activation = read_stream(info.position, x.dir, x.stream);
    if (swaps) {
      if (std::count(mxm.row_loaded.begin(), mxm.row_loaded.end(), false) != 0) {
        fault(Rule::TileIncomplete, "rows of the shadow tile are missing");
      }
      mxm.installed = mxm.shadow;
      mxm.has_tile = true;
      mxm.row_loaded.assign(lanes_, false);
    }
    if (!mxm.has_tile) return fault(Rule::AccumulatorUndefined, "no tile is installed");
    const int64_t a = static_cast<int64_t>(x.acc) + static_cast<int64_t>(it.i1) * x.acc_s1 +
                      static_cast<int64_t>(it.i2) * x.acc_s2 +
                      static_cast<int64_t>(it.i3) * x.acc_s3;
    if (a < 0 || a >= target_.mxm_accumulators) return fault(Rule::AddressRange, "accumulator");
    if (!clears && !mxm.defined[a]) {
      fault(Rule::AccumulatorUndefined, "accumulator " + std::to_string(a));
    }
    mxm.defined[a] = true;
    for (int o = 0; o < lanes_; ++o) {
      int32_t sum = 0;
      for (int k = 0; k < lanes_; ++k) {
        sum += mxm.installed[o * lanes_ + k] * static_cast<int8_t>(activation[k]);
      }
      const uint32_t before = clears ? 0u : static_cast<uint32_t>(mxm.accumulators[a][o]);
      mxm.accumulators[a][o] = static_cast<int32_t>(before + static_cast<uint32_t>(sum));
    }
    if (!emits) return;
    if (x.out_stream % 4 != 0) fault(Rule::IllegalEncoding, "out_stream is not a multiple of 4");
    for (int b = 0; b < 4; ++b) {
      Bytes bytes(lanes_);
      for (int o = 0; o < lanes_; ++o) {
        bytes[o] = static_cast<uint8_t>(static_cast<uint32_t>(mxm.accumulators[a][o]) >> (8 * b));
      }
      drive_at(cycle_ + latency_mxm_mac(lanes_), info.position, x.out_dir, x.out_stream + b,
               std::move(bytes));
    }
  }

  // Section 6.

  Patterns operand(int position, VxmFormat format, Direction direction, uint32_t stream) {
    const int count = format_streams(format);
    if (count > 1 && stream % count != 0) {
      fault(Rule::IllegalEncoding, "operand stream is not aligned");
    }
    Patterns raw(lanes_, 0);
    for (int b = 0; b < count; ++b) {
      const Bytes bytes = read_stream(position, direction, stream + b);
      for (int i = 0; i < lanes_; ++i) raw[i] |= static_cast<uint32_t>(bytes[i]) << (8 * b);
    }
    Patterns result(lanes_, 0);
    for (int i = 0; i < lanes_; ++i) {
      switch (format) {
        case VxmFormat::None: break;
        case VxmFormat::I8: result[i] = arith::int8_to_f32(static_cast<int8_t>(raw[i])); break;
        case VxmFormat::I32: result[i] = arith::int32_to_f32(static_cast<int32_t>(raw[i])); break;
        case VxmFormat::F32:
        case VxmFormat::Raw: result[i] = raw[i]; break;
        case VxmFormat::Bf16: result[i] = arith::bf16_to_f32(static_cast<uint16_t>(raw[i])); break;
        case VxmFormat::F16: result[i] = arith::f16_to_f32(static_cast<uint16_t>(raw[i])); break;
        case VxmFormat::F32Lane0: result[i] = raw[0]; break;
      }
    }
    return result;
  }

  struct Operands {
    Patterns y, z;
    uint32_t k1 = 0, k2 = 0;
  };

  uint32_t select_operand(VxmOperand which, const Operands& operands, int lane) {
    switch (which) {
      case VxmOperand::None: break;
      case VxmOperand::Y: return operands.y[lane];
      case VxmOperand::Z: return operands.z[lane];
      case VxmOperand::K1: return operands.k1;
      case VxmOperand::K2: return operands.k2;
      case VxmOperand::Lane: return arith::int32_to_f32(lane);
    }
    return 0;
  }

  void multiply(Patterns& v, VxmOperand which, const Operands& operands) {
    if (which == VxmOperand::None) return;
    for (int i = 0; i < lanes_; ++i) v[i] = arith::mul(v[i], select_operand(which, operands, i));
  }

  void add_stage(const VxmInstruction& x, Patterns& v, const Operands& operands) {
    if (x.add_op == VxmAddOp::None) return;
    if (x.add_operand == VxmOperand::None) fault(Rule::IllegalEncoding, "add_op without operand");
    for (int i = 0; i < lanes_; ++i) {
      const uint32_t o = select_operand(x.add_operand, operands, i);
      switch (x.add_op) {
        case VxmAddOp::None: break;
        case VxmAddOp::Add: v[i] = arith::add(v[i], o); break;
        case VxmAddOp::Sub: v[i] = arith::sub(v[i], o); break;
        case VxmAddOp::Rsub: v[i] = arith::sub(o, v[i]); break;
        case VxmAddOp::Min: v[i] = arith::min(v[i], o); break;
        case VxmAddOp::Max: v[i] = arith::max(v[i], o); break;
        case VxmAddOp::Iadd: v[i] = v[i] + o; break;
      }
    }
  }

  void select_stage(const VxmInstruction& x, const Iteration& it, Patterns& v, uint32_t k2) {
    if (x.select == VxmSelect::None) return;
    const uint32_t sum = launch_register(x.select_reg) + static_cast<uint32_t>(x.select_imm) +
                         it.i1 * static_cast<uint32_t>(x.select_s1) +
                         it.i2 * static_cast<uint32_t>(x.select_s2);
    const int32_t threshold = static_cast<int32_t>(sum);
    for (int i = 0; i < lanes_; ++i) {
      const bool holds = x.select == VxmSelect::Lt   ? i < threshold
                         : x.select == VxmSelect::Ge ? i >= threshold
                                                     : i == threshold;
      if (!holds) v[i] = k2;
    }
  }

  static uint32_t special_function(VxmSfu sfu, uint32_t value) {
    switch (sfu) {
      case VxmSfu::None: break;
      case VxmSfu::Exp2: return arith::exp2(value);
      case VxmSfu::Reciprocal: return arith::reciprocal(value);
      case VxmSfu::Rsqrt: return arith::rsqrt(value);
      case VxmSfu::Log2: return arith::log2(value);
    }
    return value;
  }

  // Lane of the largest value by the key of max; NaN is the smallest; ties to the lowest lane.
  static uint32_t lane_of_largest(const Patterns& values) {
    const auto is_nan = [](uint32_t a) { return (a & 0x7fffffffu) > 0x7f800000u; };
    size_t best = 0;
    for (size_t i = 1; i < values.size(); ++i) {
      const bool better = is_nan(values[best]) ? !is_nan(values[i])
                          : is_nan(values[i])  ? false
                                               : values[i] != values[best] &&
                                                    arith::max(values[best], values[i]) == values[i];
      if (better) best = i;
    }
    return arith::int32_to_f32(static_cast<int32_t>(best));
  }

  static uint32_t reduce(VxmTree tree, Patterns values) {
    if (tree == VxmTree::Argmax) return lane_of_largest(values);
    if (tree == VxmTree::Absmax) {
      for (uint32_t& value : values) value = arith::abs(value);
    }
    while (values.size() > 1) {
      Patterns level;
      for (size_t i = 0; i < values.size(); i += 2) {
        if (i + 1 == values.size()) {
          level.push_back(values[i]);  // its partner is padding
        } else if (tree == VxmTree::Sum) {
          level.push_back(arith::add(values[i], values[i + 1]));
        } else {
          level.push_back(arith::max(values[i], values[i + 1]));
        }
      }
      values = level;
    }
    return values[0];
  }

  static uint32_t root_of(VxmRoot root, uint32_t r, uint32_t k1, uint32_t k2) {
    switch (root) {
      case VxmRoot::None: return r;
      case VxmRoot::Scale: return arith::mul(r, k1);
      case VxmRoot::Reciprocal: return arith::reciprocal(arith::mul(r, k1));
      case VxmRoot::Rsqrt: return arith::rsqrt(arith::add(arith::mul(r, k1), k2));
    }
    return r;
  }

  Patterns tree_stage(const VxmInstruction& x, const Patterns& v, const Operands& operands) {
    const int segment = segment_lanes(x.segment, lanes_);
    Patterns r(lanes_, 0);
    if (lanes_ % segment != 0) {
      fault(Rule::IllegalEncoding, "the segment does not divide the vector");
      return r;
    }
    for (int first = 0; first < lanes_; first += segment) {
      const uint32_t result =
          root_of(x.root, reduce(x.tree, Patterns(v.begin() + first, v.begin() + first + segment)),
                  operands.k1, operands.k2);
      std::fill(r.begin() + first, r.begin() + first + segment, result);
    }
    return r;
  }

  void check_stages(const VxmInstruction& x) {
    const auto needs = [&](bool used, uint32_t stage, const char* name) {
      if (used && (target_.vxm_stages & stage) == 0) {
        fault(Rule::IllegalEncoding, std::string("the target has no stage ") + name);
      }
    };
    needs(x.mul1 != VxmOperand::None, kStageMul1, "mul1");
    needs(x.mul2 != VxmOperand::None, kStageMul2, "mul2");
    needs(x.add_op != VxmAddOp::None, kStageAdd, "add");
    needs(x.select != VxmSelect::None, kStageSelect, "select");
    needs(x.sfu != VxmSfu::None, kStageSfu, "sfu");
    needs(x.mul3 != VxmOperand::None, kStageMul3, "mul3");
    needs(x.tree != VxmTree::None, kStageTree, "tree");
    needs(x.root != VxmRoot::None, kStageRoot, "root");
    needs(x.combine != VxmCombine::None, kStageCombine, "combine");
    needs(x.acc_op != VxmAccOp::None, kStageAccumulate, "accumulate");
    const bool uses_r = x.combine == VxmCombine::R || x.combine == VxmCombine::Replace ||
                        x.acc_source == VxmAccSource::R || x.root != VxmRoot::None;
    if (x.tree == VxmTree::None && uses_r) fault(Rule::IllegalEncoding, "no tree");
  }

  void execute(const VxmInstruction& x, const Iteration& it, const QueueInfo& info) {
    check_stages(x);
    Operands operands;
    operands.k1 = launch_register(x.k1);
    operands.k2 = launch_register(x.k2);
    Patterns v = operand(info.position, x.x_format, x.x_dir, x.x_stream);
    operands.y = operand(info.position, x.y_format, x.y_dir, x.y_stream);
    operands.z = operand(info.position, x.z_format, x.z_dir, x.z_stream);
    multiply(v, x.mul1, operands);
    multiply(v, x.mul2, operands);
    add_stage(x, v, operands);
    select_stage(x, it, v, operands.k2);
    for (uint32_t& value : v) value = special_function(x.sfu, value);
    multiply(v, x.mul3, operands);
    Patterns r;
    if (x.tree != VxmTree::None) r = tree_stage(x, v, operands);
    if (x.combine == VxmCombine::Replace) {
      v = r;
    } else if (x.combine == VxmCombine::R) {
      for (int i = 0; i < lanes_; ++i) v[i] = arith::mul(v[i], r[i]);
    } else {
      multiply(v, static_cast<VxmOperand>(x.combine), operands);  // NONE, Y, Z, K1, K2, LANE
    }

    uint64_t mul3 = cycle_ + latency_vxm_in(lanes_) + 2 * latency_vxm_mul(lanes_) +
                    latency_vxm_add(lanes_) + latency_vxm_select(lanes_);
    if (x.sfu != VxmSfu::None) mul3 += latency_vxm_sfu(lanes_);
    uint64_t combine = mul3 + latency_vxm_mul(lanes_);
    if (x.tree != VxmTree::None) combine += latency_vxm_tree(lanes_);
    if (x.root != VxmRoot::None) combine += latency_vxm_root(lanes_);
    VxmChain& chain = chains_[info.unit];
    if (!chain.mul3_cycles.insert(mul3).second) fault(Rule::StageConflict, "stage mul3");
    if (!chain.combine_cycles.insert(combine).second) fault(Rule::StageConflict, "stage combine");
    passes_.emplace(combine + latency_vxm_mul(lanes_),
                    WaitingPass{x, it, info.unit, info.position, std::move(v), std::move(r)});
  }

  void enter_accumulator_stages() {
    while (!passes_.empty() && passes_.begin()->first == cycle_) {
      const WaitingPass pass = std::move(passes_.begin()->second);
      passes_.erase(passes_.begin());
      place_ = "VXM chain " + std::to_string(pass.chain);
      finish_pass(pass);
    }
  }

  static bool level_is(uint32_t level, const Iteration& it, const Timing& timing, bool last) {
    const uint32_t index = level == 1 ? it.i1 : level == 2 ? it.i2 : it.i3;
    const uint32_t n = level == 1 ? timing.n1 : level == 2 ? timing.n2 : timing.n3;
    return index == (last ? n : 0);
  }

  Patterns accumulate(const WaitingPass& pass, const Patterns& s) {
    const VxmInstruction& x = pass.instruction;
    VxmChain& chain = chains_[pass.chain];
    if (x.acc_op == VxmAccOp::None) return s;
    if (x.acc_op == VxmAccOp::AddK2) {
      Patterns w = s;
      for (uint32_t& value : w) value = arith::add(value, launch_register(x.k2));
      return w;
    }
    const Iteration& it = pass.iteration;
    const int64_t a = static_cast<int64_t>(x.acc) + static_cast<int64_t>(it.i1) * x.acc_s1 +
                      static_cast<int64_t>(it.i2) * x.acc_s2 +
                      static_cast<int64_t>(it.i3) * x.acc_s3;
    if (a < 0 || a >= target_.vxm_accumulators) {
      fault(Rule::AddressRange, "accumulator " + std::to_string(a));
      return s;
    }
    if (chain.last_use[a] && cycle_ - *chain.last_use[a] <
                                 static_cast<uint64_t>(latency_vxm_add(lanes_))) {
      fault(Rule::AccumulatorHazard, "accumulator " + std::to_string(a));
    }
    chain.last_use[a] = cycle_;
    Patterns& acc = chain.accumulators[a];
    const bool loads = x.acc_op == VxmAccOp::Load ||
                       (x.acc_op != VxmAccOp::Read && x.first != VxmFirst::Never &&
                        level_is(static_cast<uint32_t>(x.first), it, x.timing, false));
    if (loads) {
      chain.defined[a] = true;
      acc = s;
      return s;
    }
    if (!chain.defined[a]) fault(Rule::AccumulatorUndefined, "accumulator " + std::to_string(a));
    for (int i = 0; i < lanes_; ++i) {
      if (x.acc_op == VxmAccOp::Add) acc[i] = arith::add(acc[i], s[i]);
      if (x.acc_op == VxmAccOp::Max) acc[i] = arith::max(acc[i], s[i]);
      if (x.acc_op == VxmAccOp::Min) acc[i] = arith::min(acc[i], s[i]);
    }
    return acc;
  }

  void finish_pass(const WaitingPass& pass) {
    const VxmInstruction& x = pass.instruction;
    const Patterns w = accumulate(pass, x.acc_source == VxmAccSource::R ? pass.r : pass.v);
    if (x.out_format == VxmOutFormat::None) return;
    if (x.emit != VxmEmit::Always &&
        !level_is(static_cast<uint32_t>(x.emit), pass.iteration, x.timing, true)) {
      return;
    }
    const Patterns& source = x.out_source == VxmOutSource::W ? w : pass.v;
    const uint64_t when = cycle_ + latency_vxm_add(lanes_) + latency_vxm_out(lanes_);
    Patterns out(lanes_);
    int count = 4;
    for (int i = 0; i < lanes_; ++i) {
      switch (x.out_format) {
        case VxmOutFormat::None: break;
        case VxmOutFormat::I8:
          out[i] = static_cast<uint8_t>(arith::f32_to_int8_sat(source[i]));
          count = 1;
          break;
        case VxmOutFormat::I32:
          out[i] = static_cast<uint32_t>(arith::f32_to_int32_sat(source[i]));
          break;
        case VxmOutFormat::F32: out[i] = source[i]; break;
        case VxmOutFormat::Bf16:
          out[i] = arith::f32_to_bf16(source[i]);
          count = 2;
          break;
        case VxmOutFormat::F16:
          out[i] = arith::f32_to_f16(source[i]);
          count = 2;
          break;
      }
    }
    if (x.out_stream % count != 0) fault(Rule::IllegalEncoding, "out_stream is not aligned");
    for (int b = 0; b < count; ++b) {
      Bytes bytes(lanes_);
      for (int i = 0; i < lanes_; ++i) bytes[i] = static_cast<uint8_t>(out[i] >> (8 * b));
      drive_both(when, pass.position, x.out_dirs, x.out_stream + b, bytes);
    }
  }

  // Section 7.

  void execute(const SxmInstruction& x, const Iteration& it, const QueueInfo& info) {
    const int width = 1 << static_cast<int>(x.width);
    const int64_t amount = x.amount + static_cast<int64_t>(it.i1) * x.amount_s1;
    const int segment = segment_lanes(x.segment, lanes_);
    if (lanes_ % segment != 0) return fault(Rule::IllegalEncoding, "segment");
    const bool moves = x.op == SxmOp::Shift || x.op == SxmOp::Rotate;
    if (moves && std::abs(amount) >= segment) return fault(Rule::AddressRange, "amount");
    if (x.op == SxmOp::Distribute && (amount < 0 || amount >= lanes_)) {
      return fault(Rule::AddressRange, "lane");
    }
    if (x.op == SxmOp::TransposeIn || x.op == SxmOp::TransposeOut) {
      return transpose(x, amount, info);
    }
    if (x.stream % width != 0 || x.out_stream % width != 0) {
      return fault(Rule::IllegalEncoding, "streams are not aligned");
    }
    Bytes index;
    if (x.op == SxmOp::Permute) index = read_stream(info.position, x.index_dir, x.index_stream);
    for (int b = 0; b < width; ++b) {
      const Bytes value = read_stream(info.position, x.dir, x.stream + b);
      Bytes out(lanes_, 0);
      for (int i = 0; i < lanes_; ++i) {
        const int first = i / segment * segment;
        const int64_t from = i - first + amount;
        if (x.op == SxmOp::Shift && from >= 0 && from < segment) out[i] = value[first + from];
        if (x.op == SxmOp::Rotate) out[i] = value[first + (from + segment) % segment];
        if (x.op == SxmOp::Permute) out[i] = value[index[i] % lanes_];
        if (x.op == SxmOp::Distribute) out[i] = value[amount];
      }
      drive_both(cycle_ + latency_sxm(lanes_), info.position, x.out_dirs, x.out_stream + b, out);
    }
  }

  void transpose(const SxmInstruction& x, int64_t amount, const QueueInfo& info) {
    Sxm& sxm = sxms_[info.unit];
    const int rows = static_cast<int>(sxm.rows.size());
    if (x.width != SxmWidth::W1) return fault(Rule::IllegalEncoding, "width");
    if (amount < 0 || amount >= rows) return fault(Rule::AddressRange, "row or column");
    if (x.op == SxmOp::TransposeIn) {
      sxm.rows[amount] = read_stream(info.position, x.dir, x.stream);
      sxm.written[amount] = true;
      return;
    }
    if (std::count(sxm.written.begin(), sxm.written.end(), false) != 0) {
      return fault(Rule::AccumulatorUndefined, "rows of the transpose buffer are missing");
    }
    Bytes out(lanes_);
    for (int i = 0; i < lanes_; ++i) out[i] = sxm.rows[i % rows][i / rows * rows + amount];
    drive_both(cycle_ + latency_sxm(lanes_), info.position, x.out_dirs, x.out_stream, out);
  }

  // Section 8.

  std::optional<Bytes> receive(QueueKind kind) {
    const std::byte* from = nullptr;
    if (kind == QueueKind::TapeRecv && tape_taken_ < tape_.size()) {
      from = roll_.data.data() + tape_[tape_taken_++] * lanes_;
    }
    if (kind == QueueKind::KvRecv && kv_taken_ < kv_read_.size()) {
      from = kv_.data() + kv_read_[kv_taken_++] * lanes_;
    }
    if (kind == QueueKind::HostRecv && (host_taken_ + 1) * lanes_ <= request_.host_input.size()) {
      from = request_.host_input.data() + lanes_ * host_taken_++;
    }
    if (from == nullptr) {
      fault(Rule::PortExhausted, "RECV beyond the end of the port's data");
      return std::nullopt;
    }
    const uint8_t* bytes = reinterpret_cast<const uint8_t*>(from);
    return Bytes(bytes, bytes + lanes_);
  }

  void check_count(uint32_t count) {
    if (count < 1 || count > static_cast<uint32_t>(target_.port_width_vectors)) {
      fault(Rule::IllegalEncoding, "count");
    }
  }

  void execute(const PortRecvInstruction& x, const Iteration&, const QueueInfo& info) {
    check_count(x.count);
    for (uint32_t i = 0; i < x.count && !fault_; ++i) {
      const std::optional<Bytes> value = receive(info.kind);
      if (!value) return;
      drive_both(cycle_ + latency_port_recv(lanes_), info.position, x.out_dirs, x.out_stream + i,
                 *value);
    }
  }

  void execute(const PortSendInstruction& x, const Iteration&, const QueueInfo& info) {
    check_count(x.count);
    for (uint32_t i = 0; i < x.count && !fault_; ++i) {
      const Bytes value = read_stream(info.position, x.dir, x.stream + i);
      if (info.kind == QueueKind::KvSend) {
        if (kv_sent_.size() >= kv_write_.size()) return fault(Rule::PortExhausted, "kv.send");
        kv_sent_.push_back(value);
      } else {
        if (host_output_.size() >= static_cast<size_t>(entry_.host_send_vectors) * lanes_) {
          return fault(Rule::PortExhausted, "host.send");
        }
        const std::byte* bytes = reinterpret_cast<const std::byte*>(value.data());
        host_output_.insert(host_output_.end(), bytes, bytes + lanes_);
      }
    }
  }

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

}  // namespace

Status NaiveInterpreter::load(const Roll& roll, uint64_t poison) {
  roll_ = &roll;
  const Target& target = roll.target;
  const size_t bytes = static_cast<size_t>(target.words_per_slice) * target.lanes;
  memory_.words.assign(target.slices(), std::vector<uint8_t>(bytes));
  memory_.written.assign(target.slices(), std::vector<uint8_t>(target.words_per_slice, 0));
  for (int slice = 0; slice < target.slices(); ++slice) {
    for (size_t i = 0; i < bytes; ++i) {
      memory_.words[slice][i] = static_cast<uint8_t>(poison_byte(poison, 0x4d454d + slice, i));
    }
  }
  kv_.resize(roll.metadata.kv_vectors * target.lanes);
  for (size_t i = 0; i < kv_.size(); ++i) kv_[i] = poison_byte(poison, 0x4b56, i);
  return Ok{};
}

Result<LaunchResult> NaiveInterpreter::launch(const LaunchRequest& request) {
  return launch(request, nullptr);
}

Result<LaunchResult> NaiveInterpreter::launch(const LaunchRequest& request,
                                              std::vector<DriveEvent>* drives) {
  if (roll_ == nullptr) return Error{ErrorCode::InvalidArgument, "no roll is loaded", "naive"};
  const auto& entries = roll_->metadata.entries;
  if (request.entry < 0 || request.entry >= static_cast<int>(entries.size())) {
    return Error{ErrorCode::InvalidArgument, "no entry " + std::to_string(request.entry), "naive"};
  }
  const Entry& entry = entries[request.entry];
  TRY_STATUS(check_registers(entry, request.registers));
  const size_t expected = static_cast<size_t>(entry.host_receive_vectors) * roll_->target.lanes;
  if (request.host_input.size() != expected) {
    return Error{ErrorCode::InvalidArgument,
                 "host input has " + std::to_string(request.host_input.size()) +
                     " bytes, the entry takes " + std::to_string(expected),
                 entry.name};
  }
  return Machine(*roll_, entry, request, memory_, kv_, drives).run();
}

}  // namespace pianola
