#include "emulator/naive_machine.h"

#include <algorithm>
#include <cstring>
#include <tuple>

namespace pianola::naive {
namespace {

// The iteration in which `timing` issues `elapsed` cycles after its first issue, if any.
std::optional<Iteration> iteration_at(const Timing& timing, uint64_t elapsed) {
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

}  // namespace

int segment_lanes(LaneSegment segment, int lanes) {
  switch (segment) {
    case LaneSegment::All:
      return lanes;
    case LaneSegment::S16:
      return 16;
    case LaneSegment::S32:
      return 32;
    case LaneSegment::S64:
      return 64;
    case LaneSegment::S128:
      return 128;
    case LaneSegment::S256:
      return 256;
  }
  return lanes;
}

Machine::Machine(const Roll& roll, const Entry& entry, const LaunchRequest& request,
                 NaiveInterpreter::Memory& memory, std::vector<std::byte>& kv,
                 std::vector<DriveEvent>* drives)
    : target_(roll.target),
      entry_(entry),
      request_(request),
      memory_(memory),
      kv_(kv),
      recorded_(drives),
      roll_(roll),
      lanes_(roll.target.lanes),
      words_(roll.entry_words(entry)) {
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

Result<LaunchResult> Machine::run() {
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

void Machine::fault(Rule rule, const std::string& what) {
  if (fault_) return;
  fault_ = Error{ErrorCode::Mismatch, std::string(rule_name(rule)) + ": " + what,
                 "cycle " + std::to_string(cycle_) + ", " + place_};
}

// Section 3: Dispatch and queues.

bool Machine::dispatch() {
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
std::optional<Instruction> Machine::decode_as(const Word& word) {
  T instruction;
  if (!decode(word, instruction) || !timing_is_legal(instruction.timing)) return std::nullopt;
  return instruction;
}

std::optional<Instruction> Machine::decode_for(QueueKind kind, const Word& word) {
  switch (kind) {
    case QueueKind::TapeRecv:
    case QueueKind::KvRecv:
    case QueueKind::HostRecv:
      return decode_as<PortRecvInstruction>(word);
    case QueueKind::KvSend:
    case QueueKind::HostSend:
      return decode_as<PortSendInstruction>(word);
    case QueueKind::VxmPass:
      return decode_as<VxmInstruction>(word);
    case QueueKind::MemRead:
    case QueueKind::MemWrite:
      return decode_as<MemInstruction>(word);
    case QueueKind::SxmMove:
      return decode_as<SxmInstruction>(word);
    case QueueKind::MxmLoad:
      return decode_as<MxmLoadInstruction>(word);
    case QueueKind::MxmMac:
      return decode_as<MxmMacInstruction>(word);
  }
  return std::nullopt;
}

void Machine::push(const Word& word, const Header& header) {
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

void Machine::leave_and_push() {
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

void Machine::issue_all() {
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

void Machine::issue(uint32_t number) {
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

void Machine::check_idle() {
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

// Section 2: Stream registers.

Bytes Machine::read_stream(int position, Direction direction, uint32_t stream) {
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

void Machine::drive_at(uint64_t cycle, int position, Direction direction, uint32_t stream,
                       Bytes value, bool by_memory) {
  if (stream >= static_cast<uint32_t>(target_.streams)) {
    return fault(Rule::IllegalEncoding, "stream " + std::to_string(stream));
  }
  auto& list = by_memory ? memory_drives_ : unit_drives_;
  list[cycle].push_back({position, direction, static_cast<int>(stream), std::move(value)});
}

void Machine::drive_both(uint64_t cycle, int position, uint32_t directions, uint32_t stream,
                         const Bytes& value) {
  if (directions == 0) fault(Rule::IllegalEncoding, "no direction to drive");
  if ((directions & 1) != 0) drive_at(cycle, position, Direction::East, stream, value);
  if ((directions & 2) != 0) drive_at(cycle, position, Direction::West, stream, value);
}

void Machine::move_streams() {
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

}  // namespace pianola::naive
