#include "tests/support/build_program.h"

#include <algorithm>
#include <deque>
#include <numeric>

namespace pianola::test {

int pass_latency(const Target& target, const VxmInstruction& pass) {
  const int lanes = target.lanes;
  return latency_vxm_in(lanes) + 4 * latency_vxm_mul(lanes) + 2 * latency_vxm_add(lanes) +
         latency_vxm_select(lanes) + latency_vxm_out(lanes) +
         (pass.sfu != VxmSfu::None ? latency_vxm_sfu(lanes) : 0) +
         (pass.tree != VxmTree::None ? latency_vxm_tree(lanes) : 0) +
         (pass.root != VxmRoot::None ? latency_vxm_root(lanes) : 0);
}

uint64_t ProgramBuilder::receive(QueueKind port, uint64_t issue, int stream, int count,
                                 uint32_t dirs) {
  push(queue(port), issue,
       PortRecvInstruction{.timing = {},
                           .count = static_cast<uint32_t>(count),
                           .out_dirs = dirs,
                           .out_stream = static_cast<uint32_t>(stream)});
  return issue + static_cast<uint64_t>(latency_port_recv(target_.lanes));
}

uint64_t ProgramBuilder::read(int slice, uint64_t issue, Direction direction, int stream,
                              int address) {
  const int number = queue(QueueKind::MemRead, slice);
  const int offset = target_.queues[static_cast<size_t>(number)].slice;
  MemInstruction x;
  x.op = MemOp::Read;
  x.dir = direction;
  x.stream = static_cast<uint32_t>((stream - offset) & (target_.streams - 1));
  x.address = static_cast<uint32_t>(address);
  push(number, issue, x);
  return issue + static_cast<uint64_t>(latency_mem_read(target_.lanes));
}

void ProgramBuilder::write(int slice, int from, uint64_t drive, int stream, int address,
                           Direction direction) {
  const int number = queue(QueueKind::MemWrite, slice);
  const int offset = target_.queues[static_cast<size_t>(number)].slice;
  MemInstruction x;
  x.op = MemOp::Write;
  x.dir = direction;
  x.stream = static_cast<uint32_t>((stream - offset) & (target_.streams - 1));
  x.address = static_cast<uint32_t>(address);
  push(number, drive + static_cast<uint64_t>(distance(from, position(number))), x);
}

void ProgramBuilder::send(QueueKind port, int from, uint64_t drive, int stream, int count) {
  push(queue(port), drive + static_cast<uint64_t>(distance(from, target_.port_position)),
       PortSendInstruction{.timing = {},
                           .count = static_cast<uint32_t>(count),
                           .dir = toward(from, target_.port_position),
                           .stream = static_cast<uint32_t>(stream)});
}

void ProgramBuilder::fill(uint64_t issue, int slice, int address, int stream) {
  const int from = target_.port_position;
  const uint64_t drive = receive(QueueKind::HostRecv, issue, stream);
  write(slice, from, drive, stream, address, toward(from, target_.slice_position(slice)));
}

RegisterDeclaration& ProgramBuilder::declare(int index, uint32_t minimum, uint32_t maximum) {
  RegisterDeclaration declaration;
  declaration.index = index;
  declaration.name = std::to_string(index);
  declaration.role = RegisterDeclaration::Role::Position;
  declaration.minimum = minimum;
  declaration.maximum = maximum;
  registers_.push_back(declaration);
  return registers_.back();
}

uint64_t ProgramBuilder::last_issue() const {
  uint64_t last = 0;
  for (const Item& item : items_) last = std::max(last, item.last);
  return last;
}

uint64_t ProgramBuilder::idle_cycle() const {
  VxmInstruction longest;
  longest.sfu = VxmSfu::Exp2;
  longest.tree = VxmTree::Sum;
  longest.root = VxmRoot::Scale;
  return last_issue() + static_cast<uint64_t>(pass_latency(target_, longest)) + 1;
}

bool ProgramBuilder::build() {
  words_ = prefix_;
  uint64_t now = 0;
  constexpr int64_t kWordBytes = kWordBits / 8;
  int64_t level = target_.instruction_fifo_words * kWordBytes;
  const int64_t capacity = level, rate = target_.instruction_bytes_per_cycle;
  const auto advance = [&](uint64_t cycles) {
    level = std::min<int64_t>(
        capacity, level + static_cast<int64_t>(std::min<uint64_t>(cycles, 1 << 20)) * rate);
    now += cycles;
  };
  for (const Word& word : prefix_) {
    const Header header = decode_header(word);
    level -= kWordBytes;
    advance(header.kind == WordKind::Nop ? header.nop_count : 1);
  }
  // The cycle in which the dispatcher has waited until `cycle` and a word is there after the NOP.
  const auto wait = [&](uint64_t cycle) {
    const int64_t missing = kWordBytes - level;
    if (missing > 0) cycle = std::max(cycle, now + static_cast<uint64_t>((missing + rate - 1) / rate));
    if (cycle <= now) return;
    // The NOP is a word too: it must be there now.
    while (cycle > now) {
      if (level < kWordBytes) return;  // build() fails: see below
      const uint64_t count = std::min<uint64_t>(cycle - now, kNopCountMax);
      words_.push_back(encode_nop(static_cast<uint32_t>(count)));
      level -= kWordBytes;
      advance(count);
    }
  };
  // A word for each instruction, and one for a NOP before the next: keep two in stock.
  const auto keep_stock = [&] {
    if (level >= 3 * kWordBytes) return true;
    if (level < kWordBytes) return false;
    const uint64_t cycles = static_cast<uint64_t>((4 * kWordBytes - level + rate - 1) / rate);
    wait(now + cycles);
    return level >= 2 * kWordBytes;
  };
  std::vector<size_t> order(items_.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return items_[a].start < items_[b].start; });
  std::vector<std::deque<uint64_t>> held(target_.queues.size());
  const uint64_t dispatch = static_cast<uint64_t>(latency_dispatch(target_.lanes));
  for (const size_t index : order) {
    const Item& item = items_[index];
    if (!keep_stock()) return false;
    uint64_t cycle = item.start > 0x7000 ? item.start - 0x7000 : 0;
    for (int k = 0; k < 8; ++k) {
      if ((item.mask >> k & 1) == 0) continue;
      const std::deque<uint64_t>& queue = held[static_cast<size_t>(item.queue + k)];
      const size_t depth = static_cast<size_t>(target_.queue_depth);
      if (queue.size() >= depth) cycle = std::max(cycle, queue[queue.size() - depth]);
    }
    wait(cycle);
    if (now + dispatch > item.start || level < kWordBytes) return false;
    for (int k = 0; k < 8; ++k) {
      if ((item.mask >> k & 1) == 0) continue;
      std::deque<uint64_t>& queue = held[static_cast<size_t>(item.queue + k)];
      if (!queue.empty() && queue.back() >= item.start) return false;
      queue.push_back(item.last);
    }
    words_.push_back(item.word);
    level -= kWordBytes;
    advance(1);
  }
  wait(end_at_ ? *end_at_ : std::max(now + 1, idle_cycle()));
  words_.push_back(encode_end());
  return level >= kWordBytes && (!end_at_ || now == *end_at_);
}

uint64_t ProgramBuilder::recount_cycles() const {
  uint64_t cycles = 0;
  for (const Word& word : words_) {
    const Header header = decode_header(word);
    cycles += header.kind == WordKind::Nop ? header.nop_count : 1;
  }
  return cycles;
}

Roll ProgramBuilder::finish(const std::string& name) {
  CHECK(!words_.empty());
  Roll roll;
  roll.target = target_;
  roll.metadata.target_name = target_.name;
  roll.metadata.target_text = canonical_text(target_);
  const auto moved = [&](QueueKind kind) { return vectors_[static_cast<size_t>(kind)]; };
  const auto list = [](uint64_t base, uint64_t count) {
    Segment segment;
    segment.base = base;
    segment.count = static_cast<uint32_t>(count);
    return count == 0 ? std::vector<Segment>{} : std::vector<Segment>{segment};
  };
  Entry entry = entry_;
  entry.name = name;
  entry.output = EntryOutput::None;
  entry.word_count = words_.size();
  entry.cycles = recount_cycles();
  entry.registers = registers_;
  entry.tape = list(0, moved(QueueKind::TapeRecv));
  entry.kv_read = list(0, moved(QueueKind::KvRecv));
  entry.kv_write = list(moved(QueueKind::KvRecv), moved(QueueKind::KvSend));
  entry.host_receive_vectors = static_cast<uint32_t>(moved(QueueKind::HostRecv));
  entry.host_send_vectors = static_cast<uint32_t>(moved(QueueKind::HostSend));
  roll.metadata.entries = {entry};
  roll.metadata.kv_vectors = moved(QueueKind::KvRecv) + moved(QueueKind::KvSend);
  roll.owned_words = words_;
  roll.words = roll.owned_words;
  roll.owned_data.resize(moved(QueueKind::TapeRecv) * static_cast<uint64_t>(target_.lanes));
  uint64_t state = 1;
  for (std::byte& byte : roll.owned_data) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    byte = static_cast<std::byte>(state >> 56);
  }
  roll.data = roll.owned_data;
  return roll;
}

}  // namespace pianola::test
