#include "tests/executors/contract_program.h"

#include "tests/support/build_program.h"

namespace pianola::test {
namespace {

constexpr int kFirstWord = 100, kWords = 64;
constexpr uint64_t kStart = 60;
constexpr uint32_t kTapeVectors = 6;

uint64_t cycles(int latency) { return static_cast<uint64_t>(latency); }

Timing four_times() {
  Timing timing;
  timing.n1 = 3;
  timing.p1 = 1;
  return timing;
}

class Author {
 public:
  explicit Author(const Target& target) : target_(target), builder_(target) {
    builder_.declare(ContractProgram::kAddress, 0, 60).multiple = 4;
    builder_.declare(ContractProgram::kRow, 0, 9);
  }

  Roll store() {
    const uint64_t drive = receive(QueueKind::HostRecv, kStart, 0, 4);
    access(MemOp::Write, drive + hops(), 0);
    // The KV port sits where the host port does: the first vector comes back from MEM.
    const uint64_t read = drive + hops() + 20;
    MemInstruction first = access_of(MemOp::Read, 1);
    first.timing = {};
    builder_.push(builder_.queue(QueueKind::MemRead, 0), read, first);
    send(QueueKind::KvSend, read + cycles(latency_mem_read(target_.lanes)) + hops(), 1, 1);
    Roll roll = finish("store");
    roll.metadata.entries[0].kv_write = {kv_row()};
    return roll;
  }

  Roll recall() {
    access(MemOp::Read, kStart, 0);
    send(QueueKind::HostSend, kStart + cycles(latency_mem_read(target_.lanes)) + hops(), 0, 4);
    bring(QueueKind::KvRecv, kStart + 40, 1);
    bring(QueueKind::TapeRecv, kStart + 80, kTapeVectors);
    Roll roll = finish("recall");
    Entry& entry = roll.metadata.entries[0];
    entry.kv_read = {kv_row()};
    Segment tape;  // vectors 2, 3, 7, 8, 12, 13
    tape.base = 2;
    tape.count = 2;
    tape.repeat = 3;
    tape.stride = 5;
    entry.tape = {tape};
    return roll;
  }

 private:
  int queue_offset(int queue) const { return target_.queues[static_cast<size_t>(queue)].slice; }
  int slice_position() const { return target_.slice_position(0); }
  uint64_t hops() const { return cycles(distance(target_.port_position, slice_position())); }

  MemInstruction access_of(MemOp op, int stream) const {
    const int queue = builder_.queue(op == MemOp::Read ? QueueKind::MemRead : QueueKind::MemWrite, 0);
    MemInstruction x;
    x.timing = four_times();
    x.op = op;
    x.dir = op == MemOp::Write ? toward(target_.port_position, slice_position())
                               : toward(slice_position(), target_.port_position);
    x.stream = static_cast<uint32_t>((stream - queue_offset(queue)) & (target_.streams - 1));
    x.address = kFirstWord;
    x.s1 = 1;
    x.reg = ContractProgram::kAddress;
    return x;
  }
  void access(MemOp op, uint64_t issue, int stream) {
    builder_.push(
        builder_.queue(op == MemOp::Read ? QueueKind::MemRead : QueueKind::MemWrite, 0), issue,
        access_of(op, stream));
  }
  uint64_t receive(QueueKind port, uint64_t issue, uint32_t stream, uint32_t vectors) {
    PortRecvInstruction x;
    x.timing.n1 = vectors - 1;
    x.timing.p1 = vectors > 1 ? 1 : 0;
    x.count = 1;
    x.out_dirs = direction_bit(toward(target_.port_position, slice_position()));
    x.out_stream = stream;
    builder_.push(builder_.queue(port), issue, x);
    return issue + cycles(latency_port_recv(target_.lanes));
  }
  void send(QueueKind port, uint64_t issue, uint32_t stream, uint32_t vectors) {
    PortSendInstruction x;
    x.timing.n1 = vectors - 1;
    x.timing.p1 = vectors > 1 ? 1 : 0;
    x.count = 1;
    x.dir = toward(slice_position(), target_.port_position);
    x.stream = stream;
    builder_.push(builder_.queue(port), issue, x);
  }
  // From a port to the host, by way of MEM words beyond those that the register reaches.
  void bring(QueueKind port, uint64_t issue, uint32_t vectors) {
    const uint64_t drive = receive(port, issue, 2, vectors);
    MemInstruction write = access_of(MemOp::Write, 2), read = access_of(MemOp::Read, 3);
    for (MemInstruction* x : {&write, &read}) {
      x->reg = 0;
      x->address = kFirstWord + kWords;
      x->timing = {};
      x->timing.n1 = vectors - 1;
      x->timing.p1 = vectors > 1 ? 1 : 0;
    }
    builder_.push(builder_.queue(QueueKind::MemWrite, 0), drive + hops(), write);
    const uint64_t again = drive + hops() + 16;
    builder_.push(builder_.queue(QueueKind::MemRead, 0), again, read);
    send(QueueKind::HostSend, again + cycles(latency_mem_read(target_.lanes)) + hops(), 3, vectors);
  }

  static Segment kv_row() {
    Segment row;
    row.base = 3;
    row.count = 1;
    row.parameter = ContractProgram::kRow;
    row.parameter_stride = 2;
    row.limit = 7;
    return row;
  }

  Roll finish(const std::string& name) {
    CHECK(builder_.build());
    return builder_.finish(name);
  }

  const Target& target_;
  ProgramBuilder builder_;
};

}  // namespace

ContractProgram contract_program(const Target& target) {
  ContractProgram program;
  Roll store = Author(target).store(), recall = Author(target).recall();
  Roll& roll = program.roll;
  roll.target = target;
  roll.metadata = store.metadata;
  roll.metadata.kv_vectors = ContractProgram::kKvVectors;
  // The verifier takes regions of this name as written by the host.
  roll.metadata.persistent = {{"kv contract", 0, kFirstWord, kWords}};
  roll.owned_words = store.owned_words;
  Entry entry = recall.metadata.entries[0];
  entry.first_word = roll.owned_words.size();
  roll.metadata.entries.push_back(entry);
  roll.owned_words.insert(roll.owned_words.end(), recall.owned_words.begin(),
                          recall.owned_words.end());
  roll.owned_data.resize(16 * static_cast<size_t>(target.lanes));
  for (size_t i = 0; i < roll.owned_data.size(); ++i) {
    roll.owned_data[i] = poison_byte(7, 0x54415045, i);
  }
  roll.words = roll.owned_words;
  roll.data = roll.owned_data;
  return program;
}

std::vector<std::byte> ContractProgram::vectors(uint64_t seed) const {
  std::vector<std::byte> bytes(4 * static_cast<size_t>(roll.target.lanes));
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = poison_byte(seed, 0x484f5354, i);
  return bytes;
}

LaunchRequest ContractProgram::store(uint32_t address, uint32_t row, uint64_t seed) const {
  LaunchRequest request = recall(address, row);
  request.entry = kStore;
  request.host_input = vectors(seed);
  return request;
}

LaunchRequest ContractProgram::recall(uint32_t address, uint32_t row) const {
  LaunchRequest request;
  request.entry = kRecall;
  request.registers.resize(kRow + 1);
  request.registers[kAddress] = address;
  request.registers[kRow] = row;
  return request;
}

std::vector<std::byte> ContractProgram::recalled(uint64_t seed, uint64_t row_seed) const {
  const auto lanes = static_cast<std::ptrdiff_t>(roll.target.lanes);
  std::vector<std::byte> bytes = vectors(seed);
  const std::vector<std::byte> row = vectors(row_seed);
  bytes.insert(bytes.end(), row.begin(), row.begin() + lanes);
  for (const std::ptrdiff_t vector : {2, 3, 7, 8, 12, 13}) {
    const auto first = roll.data.begin() + vector * lanes;
    bytes.insert(bytes.end(), first, first + lanes);
  }
  return bytes;
}

}  // namespace pianola::test
