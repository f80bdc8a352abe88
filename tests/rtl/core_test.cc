// The whole core, Verilated, playing programs written by hand: latencies against the machine spec,
// one bad program per rule, freezing, persistence of MEM, comparison and fault injection.
#include "tests/rtl/core_program.h"

#include <gtest/gtest.h>

#include <functional>

namespace pianola {
namespace {

// One model for all tests of this program: building it takes a minute, launches are independent.
class Core : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto target = load_target("sim16");
    ASSERT_TRUE(target.ok()) << to_string(target.error());
    target_ = new Target(std::move(*target));
    BuildRtlOptions options;
    options.on_progress = [](std::string_view line) {
      std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
    };
    const auto library = build_rtl(*target_, options);
    ASSERT_TRUE(library.ok()) << to_string(library.error());
    auto core = RtlCore::open(*library);
    ASSERT_TRUE(core.ok()) << to_string(core.error());
    core_ = core->release();
  }
  void SetUp() override {
    ASSERT_NE(core_, nullptr);
    // All of MEM unwritten, so that no test depends on another.
    const std::vector<uint8_t> poison(static_cast<size_t>(target_->words_per_slice) * 16, 0xa5);
    for (int slice = 0; slice < target_->slices(); ++slice) {
      core_->set_slice(slice, poison, {});
    }
  }
  static void TearDownTestSuite() {
    delete core_;
    delete target_;
    core_ = nullptr;
    target_ = nullptr;
  }

  static int tape_queue() { return target_->queue_of(QueueKind::TapeRecv, 0); }
  static int host_queue() { return target_->queue_of(QueueKind::HostSend, 0); }
  static int read_queue(int slice) { return target_->queue_of(QueueKind::MemRead, slice); }
  static int write_queue(int slice) { return target_->queue_of(QueueKind::MemWrite, slice); }
  // Cycles from a port's drive to a read at the first MEM position, and back.
  static uint32_t distance() {
    return static_cast<uint32_t>(target_->mem_positions[0] - target_->port_position);
  }

  static PortRecvInstruction recv(uint32_t start, uint32_t vectors, uint32_t stream) {
    PortRecvInstruction x;
    x.timing.start = start;
    if (vectors > 1) x.timing.n1 = vectors - 1, x.timing.p1 = 1;
    x.count = 1;
    x.out_dirs = 1;
    x.out_stream = stream;
    return x;
  }
  static PortSendInstruction send(uint32_t start, uint32_t vectors, uint32_t stream) {
    PortSendInstruction x;
    x.timing.start = start;
    if (vectors > 1) x.timing.n1 = vectors - 1, x.timing.p1 = 1;
    x.count = 1;
    x.dir = Direction::West;
    x.stream = stream;
    return x;
  }
  static MemInstruction access(MemOp op, uint32_t start, uint32_t vectors, uint32_t stream,
                               uint32_t address) {
    MemInstruction x;
    x.timing.start = start;
    if (vectors > 1) x.timing.n1 = vectors - 1, x.timing.p1 = 1, x.s1 = 1;
    x.op = op;
    x.dir = op == MemOp::Read ? Direction::West : Direction::East;
    x.stream = stream;
    x.address = address;
    return x;
  }

  // Tape -> MEM -> host, `vectors` vectors through slice 0: RECV from 20 on.
  static uint32_t send_start(uint32_t vectors) {
    return 20 + latency_port_recv(16) + distance() + vectors + latency_mem_read(16) + distance();
  }
  CoreProgram echo(uint32_t vectors) {
    CoreProgram program(*target_);
    const uint32_t write = 20 + latency_port_recv(16) + distance();
    const uint32_t read = write + vectors;
    program.tape = counting_vectors(vectors, 16);
    program.host_sends = vectors;
    program.push(tape_queue(), recv(20, vectors, 3));
    program.push(write_queue(0), access(MemOp::Write, write, vectors, 3, 100));
    program.push(read_queue(0), access(MemOp::Read, read, vectors, 5, 100));
    program.push(host_queue(), send(send_start(vectors), vectors, 5));
    program.end_at(send_start(vectors) + vectors);
    return program;
  }

  // Plays a program that must break `rule`.
  void expect_fault(CoreProgram& program, Rule rule) {
    program.launch.keep_going = 1;
    program.launch.edges_max = 20000;
    const CoreOutcome out = program.play(*core_);
    std::string seen;
    for (uint32_t i = 0; i < out.result.fault_count; ++i) {
      seen += describe_fault(*target_, out.result.faults[i]) + "\n";
    }
    EXPECT_TRUE(out.has_fault(rule)) << "faults seen:\n" << seen;
  }

  static inline Target* target_ = nullptr;
  static inline RtlCore* core_ = nullptr;
};

TEST_F(Core, EchoesTapeThroughMemoryWithLatenciesOfTheSpec) {
  CoreProgram program = echo(8);
  program.record = true;
  const CoreOutcome out = program.play(*core_);
  ASSERT_EQ(out.result.status, PIANOLA_RTL_DONE);
  EXPECT_EQ(out.host, program.tape);
  EXPECT_EQ(out.result.cycles, send_start(8) + 8 + 1);  // END in e takes e + 1 cycles
  EXPECT_EQ(out.result.frozen_after_first, 0u);
  ASSERT_EQ(out.drives.size(), 16u);
  for (uint32_t i = 0; i < 8; ++i) {
    EXPECT_EQ(out.drives[i].cycle, 20 + i + latency_port_recv(16));
    EXPECT_EQ(out.drives[i].stream, 3u);
    EXPECT_EQ(out.drives[8 + i].cycle,
              20 + latency_port_recv(16) + distance() + 8 + i + latency_mem_read(16));
    EXPECT_EQ(out.drives[8 + i].direction, 1u);
  }
}

TEST_F(Core, KeepsMemoryBetweenLaunches) {
  ASSERT_EQ(echo(4).play(*core_).result.status, PIANOLA_RTL_DONE);
  CoreProgram again(*target_);
  again.host_sends = 4;
  again.push(read_queue(0), access(MemOp::Read, 10, 4, 2, 100));
  again.push(host_queue(), send(10 + latency_mem_read(16) + distance(), 4, 2));
  again.end_at(30);
  const CoreOutcome out = again.play(*core_);
  ASSERT_EQ(out.result.status, PIANOLA_RTL_DONE);
  EXPECT_EQ(out.host, counting_vectors(4, 16));
}

TEST_F(Core, RunsThreeLevelsOfRepetitionWithStepsAndRegisters) {
  // Writes 2 x 3 x 2 vectors at 7 + i1 + 10 i2 + 100 i3 + register, reads them in order.
  CoreProgram program(*target_);
  program.registers[9] = 40;
  program.tape = counting_vectors(12, 16);
  program.host_sends = 12;
  MemInstruction write = access(MemOp::Write, 0, 1, 3, 7);
  write.timing = {.start = 20 + 1 + distance(), .n1 = 1, .p1 = 1, .n2 = 2, .p2 = 2, .n3 = 1, .p3 = 6};
  write.s1 = 1, write.s2 = 10, write.s3 = 100, write.reg = 9;
  MemInstruction read = access(MemOp::Read, 0, 1, 5, 47);
  read.timing = write.timing;
  read.timing.start = 50;
  read.s1 = 1, read.s2 = 10, read.s3 = 100;
  program.push(tape_queue(), recv(20, 12, 3));
  program.push(write_queue(0), write);
  program.push(read_queue(0), read);
  program.push(host_queue(), send(50 + 2 + distance(), 12, 5));
  program.end_at(80);
  const CoreOutcome out = program.play(*core_);
  ASSERT_EQ(out.result.status, PIANOLA_RTL_DONE);
  EXPECT_EQ(out.host, program.tape);
}

TEST_F(Core, WritesSingleLanesAcrossAWordBoundary) {
  CoreProgram program(*target_);
  program.registers[4] = 14;  // lane of offset 0
  program.tape = counting_vectors(4, 16);
  MemInstruction write = access(MemOp::WriteLane, 20 + 1 + distance(), 4, 3, 200);
  write.s1 = 0;
  write.lane_reg = 4, write.lane_step = 1;
  program.push(tape_queue(), recv(20, 4, 3));
  program.push(write_queue(0), write);
  program.end_at(40);
  ASSERT_EQ(program.play(*core_).result.status, PIANOLA_RTL_DONE);
  std::vector<uint8_t> words(static_cast<size_t>(target_->words_per_slice) * 16);
  core_->get_slice(0, words, {});
  EXPECT_EQ(words[200 * 16 + 14], program.tape[0 * 16 + 14]);
  EXPECT_EQ(words[200 * 16 + 15], program.tape[1 * 16 + 15]);
  EXPECT_EQ(words[201 * 16 + 0], program.tape[2 * 16 + 0]);
  EXPECT_EQ(words[201 * 16 + 1], program.tape[3 * 16 + 1]);
  EXPECT_EQ(words[200 * 16 + 13], 0xa5);
  EXPECT_EQ(words[201 * 16 + 2], 0xa5);
}

TEST_F(Core, WritesRowsToTheSlicesThatHoldThemInTurn) {
  CoreProgram program(*target_);
  program.registers[4] = 5;
  program.tape = counting_vectors(4, 16);
  MemInstruction write = access(MemOp::Write, 20 + 1 + distance(), 4, 3, 200);
  write.rows = 2, write.row = 1, write.reg = 4;  // rows 6 to 9: slices 2, 3, 0 and 1
  program.push(tape_queue(), recv(20, 4, 3));
  program.push(write_queue(0), write, 0xf);
  program.end_at(40);
  ASSERT_EQ(program.play(*core_).result.status, PIANOLA_RTL_DONE);
  const size_t words_per_slice = static_cast<size_t>(target_->words_per_slice);
  const size_t word_of[4] = {202, 202, 201, 201}, vector_of[4] = {2, 3, 0, 1};
  for (int slice = 0; slice < 4; ++slice) {
    std::vector<uint8_t> words(words_per_slice * 16), written(words_per_slice);
    core_->get_slice(slice, words, written);
    for (size_t word = 198; word < 206; ++word) {
      const bool here = word == word_of[slice];
      EXPECT_EQ(written[word] != 0, here) << "slice " << slice << " word " << word;
      const std::vector<uint8_t> bytes(words.begin() + static_cast<ptrdiff_t>(word * 16),
                                       words.begin() + static_cast<ptrdiff_t>(word * 16 + 16));
      const auto vector = program.tape.begin() + static_cast<ptrdiff_t>(vector_of[slice] * 16);
      EXPECT_EQ(bytes, here ? std::vector<uint8_t>(vector, vector + 16)
                            : std::vector<uint8_t>(16, 0xa5))
          << "slice " << slice << " word " << word;
    }
  }
}

// The instruction is in its queue in the cycle of its last issue, whichever slice takes the row.
TEST_F(Core, EndIsBusyWithTheRowOfAnotherSlice) {
  for (const uint32_t late : {0u, 1u}) {
    CoreProgram program(*target_);
    program.tape = counting_vectors(1, 16);
    MemInstruction write = access(MemOp::Write, 21 + distance(), 1, 3, 200);
    write.rows = 1, write.row = 1;
    program.push(tape_queue(), recv(20, 1, 3));
    program.push(write_queue(0), write);
    program.end_at(21 + distance() + late);
    program.launch.keep_going = 1;
    program.launch.edges_max = 20000;
    EXPECT_EQ(program.play(*core_).has_fault(Rule::EndBusy), late == 0) << late;
  }
}

TEST_F(Core, GathersByClampedIndex) {
  const auto words_per_slice = static_cast<size_t>(target_->words_per_slice);
  const std::vector<uint8_t> words = counting_vectors(words_per_slice, 16, 7);
  const std::vector<uint8_t> written(words_per_slice, 1);
  core_->set_slice(0, words, written);
  CoreProgram program(*target_);
  program.tape.assign(2 * 16, 0);
  program.tape[0] = 0x34, program.tape[16] = 0x02;  // 0x234, limit 0x123
  program.host_sends = 1;
  PortRecvInstruction both = recv(20, 1, 6);
  both.count = 2;
  MemInstruction gather = access(MemOp::Read, 20 + 1 + distance(), 1, 1, 5);
  gather.op = MemOp::Gather;
  gather.index_stream = 6, gather.limit = 0x123;
  program.push(tape_queue(), both);
  program.push(read_queue(0), gather);
  program.push(host_queue(), send(20 + 1 + 2 * distance() + 2, 1, 1));
  program.end_at(40);
  const CoreOutcome out = program.play(*core_);
  ASSERT_EQ(out.result.status, PIANOLA_RTL_DONE);
  const size_t at = (5 + 0x123) * 16;
  EXPECT_EQ(out.host, std::vector<uint8_t>(words.begin() + at, words.begin() + at + 16));
}

TEST_F(Core, SlowMemoryFreezesButChangesNothingElse) {
  CoreProgram program = echo(8);
  program.record = true;
  const CoreOutcome ideal = program.play(*core_);
  for (uint32_t port = 0; port < 6; ++port) {
    struct Starve {
      uint32_t port;
      uint64_t random;
    } starve{port, 12345};
    program.launch.allow_context = &starve;
    program.launch.allow = [](void* context, uint32_t which, uint64_t edge, uint32_t most) {
      auto& s = *static_cast<Starve*>(context);
      s.random = s.random * 6364136223846793005u + 1442695040888963407u;
      if (which == s.port) return edge % 97 == 0 ? std::min(most, 1u) : 0u;
      return (s.random >> 60) < 5 ? most : 0u;
    };
    const CoreOutcome slow = program.play(*core_);
    ASSERT_EQ(slow.result.status, PIANOLA_RTL_DONE) << "port " << port;
    EXPECT_EQ(slow.host, ideal.host);
    EXPECT_EQ(slow.result.cycles, ideal.result.cycles);
    ASSERT_EQ(slow.drives.size(), ideal.drives.size());
    for (size_t i = 0; i < slow.drives.size(); ++i) {
      EXPECT_EQ(slow.drives[i].cycle, ideal.drives[i].cycle);
      EXPECT_EQ(slow.drives[i].bytes, ideal.drives[i].bytes);
    }
  }
}

TEST_F(Core, NeverFreezesAProgramWithinThePortRates) {
  // The tape FIFO emptied at four vectors a cycle, then exactly its rate of two for long.
  const auto fifo = static_cast<uint32_t>(target_->tape_fifo_vectors);
  const uint32_t bursts = fifo / 4;  // gains half of what it takes: never below zero
  CoreProgram program(*target_);
  PortRecvInstruction burst = recv(10, 1, 0);
  burst.count = 4;
  burst.timing.n2 = bursts / 128 - 1, burst.timing.p2 = burst.timing.n2 ? 128 : 0;
  burst.timing.n1 = 127, burst.timing.p1 = 1;
  PortRecvInstruction steady = recv(0, 1, 0);
  steady.count = 2;
  steady.timing = {.start = 10 + bursts, .n1 = 199, .p1 = 1};
  program.tape = counting_vectors(4 * bursts + 2 * 200, 16);
  program.push(tape_queue(), burst);
  program.push(tape_queue(), steady);
  program.end_at(10 + bursts + 300);
  const CoreOutcome out = program.play(*core_);
  ASSERT_EQ(out.result.status, PIANOLA_RTL_DONE);
  EXPECT_EQ(out.result.frozen_after_first, 0u);
}

TEST_F(Core, ReportsTheFirstDifferentDrive) {
  CoreProgram program = echo(8);
  program.record = true;
  const CoreOutcome good = program.play(*core_);
  std::vector<PianolaRtlDrive> expected;
  for (const auto& drive : good.drives) {
    expected.push_back({drive.cycle, drive.position, static_cast<uint16_t>(drive.direction),
                        static_cast<uint16_t>(drive.stream), drive.bytes.data()});
  }
  program.record = false;
  program.launch.expected = expected.data();
  program.launch.expected_count = expected.size();
  program.launch.expected_complete = 1;
  EXPECT_EQ(program.play(*core_).result.status, PIANOLA_RTL_DONE);
  program.tape[5 * 16 + 3] ^= 1;
  const CoreOutcome out = program.play(*core_);
  ASSERT_EQ(out.result.status, PIANOLA_RTL_DIFFERENCE);
  EXPECT_EQ(out.result.difference_kind, PIANOLA_RTL_DIFFERS_VALUE);
  EXPECT_EQ(out.result.difference_cycle, 26u);
  EXPECT_EQ(out.result.difference_stream, 3u);
  EXPECT_EQ(out.result.expected[3] ^ out.result.got[3], 1);
}

TEST_F(Core, InjectedFaultsAreFound) {
  int found = 0;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    CoreProgram program = echo(8);
    program.launch.inject_classes = PIANOLA_RTL_STATE_STREAM | PIANOLA_RTL_STATE_SEQUENCER;
    program.launch.inject_cycle = 30;
    program.launch.inject_seed = seed;
    const CoreOutcome out = program.play(*core_);
    EXPECT_NE(out.result.injected[0], 0);
    found += out.result.status != PIANOLA_RTL_DONE || out.host != program.tape;
  }
  EXPECT_GT(found, 0);  // most bits of this nearly idle machine are dead
}

// One bad program per rule.

TEST_F(Core, StreamConflictFaults) {
  CoreProgram program(*target_);
  program.tape = program.host_in = counting_vectors(1, 16);
  program.push(tape_queue(), recv(10, 1, 4));
  program.push(target_->queue_of(QueueKind::HostRecv, 0), recv(10, 1, 4));
  program.end_at(20);
  expect_fault(program, Rule::StreamConflict);
}

TEST_F(Core, StreamUndefinedFaults) {
  CoreProgram program(*target_);
  program.push(write_queue(2), access(MemOp::Write, 10, 1, 4, 0));
  program.end_at(20);
  expect_fault(program, Rule::StreamUndefined);
}

TEST_F(Core, BankConflictFaults) {
  CoreProgram program(*target_);
  program.tape = counting_vectors(1, 16);
  program.push(tape_queue(), recv(20, 1, 3));
  program.push(write_queue(0), access(MemOp::Write, 21 + distance(), 1, 3, 100));
  program.push(read_queue(0), access(MemOp::Read, 21 + distance(), 1, 3, 200));
  program.end_at(40);
  expect_fault(program, Rule::BankConflict);
}

TEST_F(Core, AddressRangeFaults) {
  CoreProgram program(*target_);
  program.registers[3] = static_cast<uint32_t>(target_->words_per_slice) - 100;
  MemInstruction read = access(MemOp::Read, 10, 1, 3, 100);
  read.reg = 3;
  program.push(read_queue(1), read);
  program.end_at(20);
  expect_fault(program, Rule::AddressRange);
}

TEST_F(Core, MemoryUndefinedFaults) {
  CoreProgram program(*target_);
  program.push(read_queue(3), access(MemOp::Read, 10, 1, 3, 100));
  program.end_at(20);
  expect_fault(program, Rule::MemoryUndefined);
}

TEST_F(Core, QueueOverrunFaultsWithOneInstructionTooManyOnly) {
  for (const int count : {target_->queue_depth, target_->queue_depth + 1}) {
    CoreProgram program(*target_);
    program.tape = counting_vectors(static_cast<size_t>(count), 16);
    for (int i = 0; i < count; ++i) {
      program.push(tape_queue(), recv(static_cast<uint32_t>(200 + i), 1, 3));
    }
    program.end_at(400);
    program.launch.keep_going = 1;
    EXPECT_EQ(program.play(*core_).has_fault(Rule::QueueOverrun), count > target_->queue_depth);
  }
}

TEST_F(Core, QueueLateFaultsOneCycleTooEarlyOnly) {
  // Pushed in cycle 0: may issue from cycle 2 on.
  for (const uint32_t start : {1u, 2u}) {
    CoreProgram program(*target_);
    program.tape = counting_vectors(1, 16);
    program.push(tape_queue(), recv(start, 1, 3));
    program.end_at(40);
    program.launch.keep_going = 1;
    program.launch.edges_max = 2000;
    EXPECT_EQ(program.play(*core_).has_fault(Rule::QueueLate), start == 1);
  }
}

TEST_F(Core, PortRateFaultsAboveTheBucketOnly) {
  // Four vectors a cycle against a rate of two: the n-th takes the bucket to fifo - 2 n - 2.
  const auto fifo = static_cast<uint32_t>(target_->tape_fifo_vectors);
  const uint32_t most = (fifo - 4) / 2 + 1;
  for (const uint32_t extra : {0u, 1u}) {
    CoreProgram program(*target_);
    uint32_t left = most + extra, start = 10;
    program.tape = counting_vectors(4 * left, 16);
    while (left > 0) {
      PortRecvInstruction burst = recv(start, std::min(left, 256u), 0);
      burst.count = 4;
      program.push(tape_queue(), burst);
      start += std::min(left, 256u);
      left -= std::min(left, 256u);
    }
    program.end_at(start + 50);
    program.launch.keep_going = 1;
    EXPECT_EQ(program.play(*core_).has_fault(Rule::PortRate), extra != 0);
  }
}

TEST_F(Core, TileIncompleteFaults) {
  CoreProgram program(*target_);
  program.tape = counting_vectors(1, 16);
  MxmMacInstruction mac;
  const auto away = static_cast<uint32_t>(target_->mxm_positions[0] - target_->port_position);
  mac.timing.start = 21 + away;
  mac.dir = Direction::East;
  mac.stream = 3;
  mac.swap = MxmMacSwap::Always;
  mac.clear = MxmMacClear::Always;
  program.push(tape_queue(), recv(20, 1, 3));
  program.push(target_->queue_of(QueueKind::MxmMac, 0), mac);
  program.end_at(80);
  expect_fault(program, Rule::TileIncomplete);
}

TEST_F(Core, AccumulatorUndefinedFaults) {
  CoreProgram program(*target_);
  program.tape = counting_vectors(1, 16);
  MxmMacInstruction mac;
  const auto away = static_cast<uint32_t>(target_->mxm_positions[0] - target_->port_position);
  mac.timing.start = 21 + away;
  mac.stream = 3;
  program.push(tape_queue(), recv(20, 1, 3));
  program.push(target_->queue_of(QueueKind::MxmMac, 0), mac);
  program.end_at(80);
  expect_fault(program, Rule::AccumulatorUndefined);
}

VxmInstruction constant_pass(uint32_t start) {
  VxmInstruction pass;
  pass.timing.start = start;
  pass.acc_source = VxmAccSource::V;
  return pass;
}

TEST_F(Core, StageConflictFaults) {
  // A pass with the special function and one seven cycles later without it meet in mul3.
  CoreProgram program(*target_);
  VxmInstruction slow = constant_pass(20);
  slow.sfu = VxmSfu::Exp2;
  const int queue = target_->queue_of(QueueKind::VxmPass, 0);
  program.push(queue, slow);
  program.push(queue, constant_pass(20 + latency_vxm_sfu(16)));
  program.end_at(120);
  expect_fault(program, Rule::StageConflict);
}

TEST_F(Core, AccumulatorHazardFaults) {
  CoreProgram program(*target_);
  VxmInstruction load = constant_pass(20);
  load.acc_op = VxmAccOp::Load;
  VxmInstruction read = constant_pass(20 + latency_vxm_add(16) - 1);
  read.acc_op = VxmAccOp::Read;
  const int queue = target_->queue_of(QueueKind::VxmPass, 0);
  program.push(queue, load);
  program.push(queue, read);
  program.end_at(120);
  expect_fault(program, Rule::AccumulatorHazard);
}

TEST_F(Core, EndBusyFaultsOneCycleTooEarlyOnly) {
  // RECV in cycle 10 drives in 11: END may come in 11.
  for (const uint64_t end : {10u, 11u}) {
    CoreProgram program(*target_);
    program.tape = counting_vectors(1, 16);
    program.push(tape_queue(), recv(10, 1, 4));
    program.end_at(end);
    program.launch.keep_going = 1;
    EXPECT_EQ(program.play(*core_).has_fault(Rule::EndBusy), end == 10) << end;
  }
}

TEST_F(Core, IllegalEncodingFaults) {
  Word bad_kind{};
  bad_kind[0] = 5;
  for (const Word& word :
       {bad_kind, encode_push(200, 1, recv(20, 1, 3)),   // no such queue
        encode_push(host_queue(), 3, send(20, 1, 3)),    // a mask on a port
        encode_push(read_queue(0), 1, access(MemOp::Write, 20, 1, 3, 0)),  // a write to read
        encode_push(tape_queue(), 1, recv(20, 1, 16))}) {  // stream beyond S
    CoreProgram program(*target_);
    program.tape = counting_vectors(1, 16);
    program.push_word(word);
    program.end_at(60);
    expect_fault(program, Rule::IllegalEncoding);
  }
  CoreProgram program(*target_);  // issue cycles that do not increase
  PortRecvInstruction flat = recv(20, 1, 3);
  flat.timing.n1 = 1;
  program.tape = counting_vectors(2, 16);
  program.push(tape_queue(), flat);
  program.end_at(60);
  expect_fault(program, Rule::IllegalEncoding);
}

TEST_F(Core, PortExhaustedFaults) {
  CoreProgram receive(*target_);
  receive.tape = counting_vectors(1, 16);
  receive.push(tape_queue(), recv(20, 2, 3));
  receive.end_at(60);
  receive.launch.stuck_edges_max = 500;
  expect_fault(receive, Rule::PortExhausted);
  CoreProgram send_more = echo(2);
  send_more.host_sends = 1;
  expect_fault(send_more, Rule::PortExhausted);
}

}  // namespace
}  // namespace pianola
