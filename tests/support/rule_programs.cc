#include "tests/support/rule_programs.h"

#include <algorithm>
#include <functional>

#include "tests/support/build_program.h"

namespace pianola::test {
namespace {

constexpr uint64_t kBegin = 64;  // first issues: the dispatcher has had time to fill the queues
constexpr uint64_t kLater = kBegin + 128;  // what began then has arrived everywhere

class Writer {
 public:
  explicit Writer(const Target& target) : target_(target) {}
  std::vector<RuleProgram> take() { return std::move(programs_); }

  void streams();
  void memory();
  void ranges();
  void matrix();
  void chain();
  void queues();
  void encoding();
  void ports();

 private:
  using Build = std::function<void(ProgramBuilder&, bool mutant)>;
  using Patch = std::function<void(ProgramBuilder&)>;  // of the mutant's words, after build()

  // Writes the program twice, as it should be and as the mutant.
  RuleProgram& add(Rule rule, const std::string& name, const Build& build,
                   const Patch& patch = nullptr);
  // A vector on stream 0 in both directions; returns the cycle of the drive.
  uint64_t input(ProgramBuilder& b, uint64_t issue = kBegin, int count = 1) {
    return b.receive(QueueKind::HostRecv, issue, 0, count);
  }
  // A pass on zeros that leaves on stream 0 and is sent to the host.
  VxmInstruction plain_pass() const;
  void push_pass(ProgramBuilder& b, uint64_t issue, const VxmInstruction& pass, bool sends = true);
  // All rows of a tile of MXM 0, except the last `missing` loads; returns the cycle of the last load.
  uint64_t load_tile(ProgramBuilder& b, int missing = 0);
  void push_mac(ProgramBuilder& b, uint64_t issue, MxmMacInstruction mac);
  bool has(uint32_t stages) const { return (target_.vxm_stages & stages) == stages; }
  uint64_t arrival(uint64_t drive, int from, int to) const {
    return drive + static_cast<uint64_t>(distance(from, to));
  }

  const Target& target_;
  std::vector<RuleProgram> programs_;
};

RuleProgram& Writer::add(Rule rule, const std::string& name, const Build& build,
                         const Patch& patch) {
  RuleProgram program;
  program.rule = rule;
  program.name = std::string(rule_name(rule)) + "." + name;
  for (const bool mutant : {false, true}) {
    ProgramBuilder b(target_);
    build(b, mutant);
    CHECK(b.build());
    if (mutant && patch) patch(b);
    (mutant ? program.mutant : program.sound) = b.finish(program.name);
  }
  programs_.push_back(std::move(program));
  return programs_.back();
}

VxmInstruction Writer::plain_pass() const {
  VxmInstruction pass;
  pass.out_format = VxmOutFormat::F32;
  pass.out_dirs = 3;
  return pass;
}

void Writer::push_pass(ProgramBuilder& b, uint64_t issue, const VxmInstruction& pass, bool sends) {
  b.push(b.queue(QueueKind::VxmPass), issue, pass);
  if (!sends) return;
  const uint64_t drive = issue + static_cast<uint64_t>(pass_latency(target_, pass));
  b.send(QueueKind::HostSend, target_.vxm_position, drive, 0);
}

void Writer::streams() {
  add(Rule::StreamConflict, "two_ports", [&](ProgramBuilder& b, bool mutant) {
    const uint64_t drive = input(b);
    b.receive(QueueKind::TapeRecv, kBegin, mutant ? 0 : 1, 1);
    b.write(0, target_.port_position, drive, 0, 0,
            toward(target_.port_position, target_.slice_position(0)));
  });
  if (target_.slices_per_position > 1) {
    add(Rule::StreamConflict, "two_slices", [&](ProgramBuilder& b, bool mutant) {
      b.fill(kBegin, 0, 0);
      b.fill(kBegin + 1, 1, 0);
      b.read(0, kLater, Direction::East, 2, 0);
      b.read(1, kLater, Direction::East, mutant ? 2 : 3, 0);
    });
  }
  if (target_.vxm_chains > 1) {
    add(Rule::StreamConflict, "two_chains", [&](ProgramBuilder& b, bool mutant) {
      VxmInstruction pass = plain_pass();
      b.push(b.queue(QueueKind::VxmPass, 0), kBegin, pass);
      pass.out_stream = mutant ? 0 : 4;
      b.push(b.queue(QueueKind::VxmPass, 1), kBegin, pass);
    });
  }
  const int port = target_.port_position;
  add(Rule::StreamUndefined, "write_too_late", [&](ProgramBuilder& b, bool mutant) {
    const uint64_t drive = input(b);
    b.write(0, port, drive + (mutant ? 1 : 0), 0, 0, toward(port, target_.slice_position(0)));
  });
  add(Rule::StreamUndefined, "pass_operand", [&](ProgramBuilder& b, bool mutant) {
    const uint64_t drive = input(b, kBegin, target_.port_width_vectors);
    VxmInstruction pass = plain_pass();
    pass.x_format = VxmFormat::I8;
    pass.x_dir = toward(port, target_.vxm_position);
    push_pass(b, arrival(drive, port, target_.vxm_position) - (mutant ? 1 : 0), pass);
  });
  add(Rule::StreamUndefined, "send_too_late", [&](ProgramBuilder& b, bool mutant) {
    b.fill(kBegin, 0, 0);
    const int slice = target_.slice_position(0);
    const uint64_t drive = b.read(0, kLater, toward(slice, port), 0, 0);
    b.send(QueueKind::HostSend, slice, drive + (mutant ? 1 : 0), 0);
  });
  if (!target_.sxm_positions.empty()) {
    add(Rule::StreamUndefined, "move_of_the_wrong_direction", [&](ProgramBuilder& b, bool mutant) {
      const uint64_t drive = input(b);
      const int sxm = target_.sxm_positions[0];
      SxmInstruction x;
      x.op = SxmOp::Rotate;
      x.amount = 1;
      x.dir = toward(port, sxm);
      if (mutant) x.dir = x.dir == Direction::East ? Direction::West : Direction::East;
      x.out_dirs = 3;
      const uint64_t issue = arrival(drive, port, sxm);
      b.push(b.queue(QueueKind::SxmMove), issue, x);
      if (!mutant) {
        b.send(QueueKind::HostSend, sxm, issue + static_cast<uint64_t>(latency_sxm(target_.lanes)),
               0);
      }
    });
  }
}

void Writer::memory() {
  const int half = target_.words_per_slice / 2;
  const int port = target_.port_position;
  const Direction to_slice = toward(port, target_.slice_position(0));
  // A write of word `written` in the cycle in which word `read` is read.
  const auto read_and_write = [=, this](ProgramBuilder& b, int read, int written, int delay = 0) {
    b.fill(kBegin, 0, read);
    const uint64_t drive = b.receive(QueueKind::HostRecv, kLater, 1);
    b.write(0, port, drive, 1, written, to_slice);
    const uint64_t issue = arrival(drive, port, target_.slice_position(0));
    const uint64_t out =
        b.read(0, issue + static_cast<uint64_t>(delay), toward(target_.slice_position(0), port), 0, read);
    b.send(QueueKind::HostSend, target_.slice_position(0), out, 0);
  };
  add(Rule::BankConflict, "lower_bank", [&](ProgramBuilder& b, bool mutant) {
    read_and_write(b, 0, mutant ? 1 : half);
  });
  add(Rule::BankConflict, "upper_bank", [&](ProgramBuilder& b, bool mutant) {
    read_and_write(b, half, mutant ? half + 1 : 0);
  });
  // Only the largest value of the register takes the write into the bank that is read.
  RuleProgram& by_register =
      add(Rule::BankConflict, "by_register", [&](ProgramBuilder& b, bool mutant) {
        b.declare(1, 0, mutant ? 2 : 1);
        b.fill(kBegin, 0, half + 5);
        const uint64_t drive = b.receive(QueueKind::HostRecv, kLater, 1);
        const uint64_t issue = arrival(drive, port, target_.slice_position(0));
        MemInstruction x;
        x.op = MemOp::Write;
        x.dir = to_slice;
        x.stream = 1;
        x.address = static_cast<uint32_t>(half - 2);
        x.reg = 1;
        b.push(b.queue(QueueKind::MemWrite), issue, x);
        b.read(0, issue, Direction::East, 0, half + 5);
      });
  by_register.sound_registers = {0, 1};
  by_register.mutant_registers = {0, 2};
  // The same word in the same cycle is in the same bank, too.
  add(Rule::MemoryHazard, "read_with_the_write", [&](ProgramBuilder& b, bool mutant) {
    read_and_write(b, 0, 0, mutant ? latency_mem_write(target_.lanes) - 1
                                   : latency_mem_write(target_.lanes));
  }).also = {Rule::BankConflict};
  add(Rule::MemoryUndefined, "never_written", [&](ProgramBuilder& b, bool mutant) {
    b.fill(kBegin, 0, 5);
    b.read(0, kLater, Direction::East, 0, mutant ? 6 : 5);
  });
  add(Rule::MemoryUndefined, "read_before_write", [&](ProgramBuilder& b, bool mutant) {
    b.fill(kBegin, 0, 5);
    b.fill(kLater, 0, half + 1);
    b.read(0, mutant ? kLater - 8 : kLater + 128, Direction::East, 0, half + 1);
  });
  // The write goes where the register says: what lies there without it stays undefined.
  RuleProgram& read_register =
      add(Rule::MemoryUndefined, "by_register", [&](ProgramBuilder& b, bool mutant) {
        b.declare(1, 0, mutant ? 2 : 1);
        b.fill(kBegin, 0, 5);
        b.fill(kBegin + 4, 0, 6);
        MemInstruction x;
        x.op = MemOp::Read;
        x.address = 5;
        x.reg = 1;
        b.push(b.queue(QueueKind::MemRead), kLater, x);
      });
  read_register.sound_registers = {0, 1};
  read_register.mutant_registers = {0, 2};
}

void Writer::ranges() {
  const int words = target_.words_per_slice;
  const int port = target_.port_position;
  add(Rule::AddressRange, "word_address", [&](ProgramBuilder& b, bool mutant) {
    const uint64_t drive = input(b);
    MemInstruction x;
    x.op = MemOp::Write;
    x.dir = toward(port, target_.slice_position(0));
    x.address = static_cast<uint32_t>(words - 2);
    x.timing.n1 = 1;
    x.timing.p1 = 1;
    x.s1 = mutant ? 2 : 1;
    input(b, kBegin + 1);
    b.push(b.queue(QueueKind::MemWrite), arrival(drive, port, target_.slice_position(0)), x);
  });
  RuleProgram& by_register =
      add(Rule::AddressRange, "by_register", [&](ProgramBuilder& b, bool mutant) {
        b.declare(3, 0, mutant ? 2 : 1);
        const uint64_t drive = input(b);
        MemInstruction x;
        x.op = MemOp::Write;
        x.dir = toward(port, target_.slice_position(0));
        x.address = static_cast<uint32_t>(words - 2);
        x.reg = 3;
        b.push(b.queue(QueueKind::MemWrite), arrival(drive, port, target_.slice_position(0)), x);
      });
  by_register.sound_registers = {0, 0, 0, 1};
  by_register.mutant_registers = {0, 0, 0, 2};
  const uint32_t lanes = static_cast<uint32_t>(target_.lanes);
  RuleProgram& lane = add(Rule::AddressRange, "lane", [&](ProgramBuilder& b, bool mutant) {
    b.declare(2, 0, mutant ? lanes + 1 : lanes);
    const uint64_t drive = input(b);
    MemInstruction x;
    x.op = MemOp::WriteLane;
    x.dir = toward(port, target_.slice_position(0));
    x.address = 7;
    x.lane_reg = 2;
    x.lane = lanes - 1;
    b.push(b.queue(QueueKind::MemWrite), arrival(drive, port, target_.slice_position(0)), x);
  });
  lane.sound_registers = {0, 0, lanes};
  lane.mutant_registers = {0, 0, lanes + 1};
  if (has(kStageAccumulate) && target_.vxm_accumulators >= 2) {
    add(Rule::AddressRange, "vxm_accumulator", [&](ProgramBuilder& b, bool mutant) {
      VxmInstruction pass = plain_pass();
      pass.timing.n1 = 1;
      pass.timing.p1 = static_cast<uint32_t>(latency_vxm_add(target_.lanes));
      pass.acc_op = VxmAccOp::Load;
      pass.acc = static_cast<uint32_t>(target_.vxm_accumulators - (mutant ? 1 : 2));
      pass.acc_s1 = 1;
      push_pass(b, kBegin, pass);
    });
  }
  if (!target_.sxm_positions.empty()) {
    add(Rule::AddressRange, "distribute_lane", [&](ProgramBuilder& b, bool mutant) {
      const uint64_t drive = input(b);
      const int sxm = target_.sxm_positions[0];
      SxmInstruction x;
      x.op = SxmOp::Distribute;
      x.amount = static_cast<int32_t>(lanes) - (mutant ? 0 : 1);
      x.dir = toward(port, sxm);
      x.out_dirs = 3;
      b.push(b.queue(QueueKind::SxmMove), arrival(drive, port, sxm), x);
    });
    add(Rule::AddressRange, "rotate_amount", [&](ProgramBuilder& b, bool mutant) {
      const uint64_t drive = input(b);
      const int sxm = target_.sxm_positions[0];
      SxmInstruction x;
      x.op = SxmOp::Rotate;
      x.amount = -static_cast<int32_t>(lanes) + (mutant ? 0 : 1);
      x.dir = toward(port, sxm);
      x.out_dirs = 3;
      b.push(b.queue(QueueKind::SxmMove), arrival(drive, port, sxm), x);
    });
  }
}

uint64_t Writer::load_tile(ProgramBuilder& b, int missing) {
  const int mxm = target_.mxm_positions[0];
  const int streams = target_.mxm_load_streams;
  const uint32_t loads = static_cast<uint32_t>((target_.lanes + streams - 1) / streams - missing);
  uint64_t latest = kBegin;
  for (int slice = 0; slice < streams; ++slice) {
    b.fill(kBegin + static_cast<uint64_t>(slice), slice, 0);
    latest = std::max<uint64_t>(
        latest, static_cast<uint64_t>(distance(mxm, target_.slice_position(slice))));
  }
  const uint64_t issue = kLater + latest + static_cast<uint64_t>(streams);
  if (loads == 0) return issue;
  const auto repeat = [&](Timing& timing) {
    timing.n1 = loads - 1;
    timing.p1 = loads > 1 ? 1 : 0;
  };
  // All slices' vectors meet at the MXM: slice i on stream i.
  const Direction direction = toward(target_.slice_position(0), mxm);
  for (int slice = 0; slice < streams; ++slice) {
    const int number = b.queue(QueueKind::MemRead, slice);
    const int offset = target_.queues[static_cast<size_t>(number)].slice;
    MemInstruction x;
    x.op = MemOp::Read;
    x.dir = direction;
    x.stream = static_cast<uint32_t>((slice - offset) & (target_.streams - 1));
    repeat(x.timing);
    b.push(number,
           issue - static_cast<uint64_t>(distance(mxm, target_.slice_position(slice)) +
                                         latency_mem_read(target_.lanes)),
           x);
  }
  MxmLoadInstruction load;
  load.dir = direction;
  load.row_s1 = streams;
  repeat(load.timing);
  b.push(b.queue(QueueKind::MxmLoad), issue, load);
  return issue + loads - 1;
}

// Feeds the MAC with a vector from the host, and sends what it emits.
void Writer::push_mac(ProgramBuilder& b, uint64_t issue, MxmMacInstruction mac) {
  const int port = target_.port_position, mxm = target_.mxm_positions[0];
  const uint64_t back =
      static_cast<uint64_t>(distance(port, mxm) + latency_port_recv(target_.lanes));
  b.receive(QueueKind::HostRecv, issue - back, target_.streams - 1);
  mac.dir = toward(port, mxm);
  mac.stream = static_cast<uint32_t>(target_.streams - 1);
  if (mac.emit != MxmMacEmit::Never) mac.out_dir = toward(mxm, port);
  b.push(b.queue(QueueKind::MxmMac), issue, mac);
  if (mac.emit == MxmMacEmit::Never) return;
  b.send(QueueKind::HostSend, mxm, issue + static_cast<uint64_t>(latency_mxm_mac(target_.lanes)), 0,
         std::min(4, target_.port_width_vectors));
}

void Writer::matrix() {
  MxmMacInstruction mac;
  mac.swap = MxmMacSwap::Always;
  mac.clear = MxmMacClear::Always;
  mac.emit = MxmMacEmit::Always;
  add(Rule::TileIncomplete, "rows_missing", [&](ProgramBuilder& b, bool mutant) {
    push_mac(b, load_tile(b, mutant ? 1 : 0) + 32, mac);
  });
  add(Rule::TileIncomplete, "swap_with_the_last_load", [&](ProgramBuilder& b, bool mutant) {
    const uint64_t visible = static_cast<uint64_t>(latency_mxm_load(target_.lanes));
    push_mac(b, load_tile(b) + visible - (mutant ? 1 : 0), mac);
  });
  add(Rule::TileIncomplete, "second_swap", [&](ProgramBuilder& b, bool mutant) {
    const uint64_t issue = load_tile(b) + 32;
    push_mac(b, issue, mac);
    MxmMacInstruction second = mac;
    if (!mutant) second.swap = MxmMacSwap::Never;
    push_mac(b, issue + 8, second);
  });
  add(Rule::AccumulatorUndefined, "mac_without_clear", [&](ProgramBuilder& b, bool mutant) {
    MxmMacInstruction x = mac;
    if (mutant) x.clear = MxmMacClear::Never;
    push_mac(b, load_tile(b) + 32, x);
  });
  add(Rule::AccumulatorUndefined, "mac_without_tile", [&](ProgramBuilder& b, bool mutant) {
    MxmMacInstruction x = mac;
    if (mutant) x.swap = MxmMacSwap::Never;
    push_mac(b, load_tile(b) + 32, x);
  });
  if (target_.mxm_accumulators < 128) {
    add(Rule::AddressRange, "mxm_accumulator", [&](ProgramBuilder& b, bool mutant) {
      MxmMacInstruction x = mac;
      x.acc = static_cast<uint32_t>(target_.mxm_accumulators - (mutant ? 0 : 1));
      push_mac(b, load_tile(b) + 32, x);
    });
  }
  add(Rule::AddressRange, "half_a_stream_beyond_the_tile", [&](ProgramBuilder& b, bool mutant) {
    const uint64_t last = load_tile(b);
    // One more load, of the last vectors that the slices drove: none are left, so receive some.
    const int port = target_.port_position, mxm = target_.mxm_positions[0];
    const uint64_t issue = last + 32;
    b.receive(QueueKind::HostRecv,
              issue - static_cast<uint64_t>(distance(port, mxm) + latency_port_recv(target_.lanes)),
              0);
    MxmLoadInstruction load;
    load.dir = toward(port, mxm);
    load.format = MxmLoadFormat::Int4;
    load.row = static_cast<uint32_t>(target_.lanes - (mutant ? 1 : 2));
    b.push(b.queue(QueueKind::MxmLoad), issue, load);
  });
}

void Writer::chain() {
  if (has(kStageAccumulate)) {
    VxmInstruction load = plain_pass();
    load.acc_op = VxmAccOp::Load;
    VxmInstruction use = load;
    use.acc_op = VxmAccOp::Add;
    const uint64_t apart = static_cast<uint64_t>(latency_vxm_add(target_.lanes));
    add(Rule::AccumulatorUndefined, "pass_without_load", [&](ProgramBuilder& b, bool mutant) {
      VxmInstruction other = use;
      other.acc = mutant ? 1 : 0;
      push_pass(b, kBegin, load);
      push_pass(b, kBegin + 2 * apart, other);
    });
    add(Rule::AccumulatorHazard, "add_too_early", [&](ProgramBuilder& b, bool mutant) {
      push_pass(b, kBegin, load);
      push_pass(b, kBegin + apart - (mutant ? 1 : 0), use);
    });
    add(Rule::AccumulatorHazard, "period_too_short", [&](ProgramBuilder& b, bool mutant) {
      VxmInstruction sum = use;
      sum.first = VxmFirst::Level1;
      sum.emit = VxmEmit::Level1;
      sum.timing.n1 = 3;
      sum.timing.p1 = static_cast<uint32_t>(apart - (mutant ? 1 : 0));
      push_pass(b, kBegin, sum, false);
    });
  }
  if (has(kStageSfu)) {
    add(Rule::StageConflict, "overtakes_a_special_function", [&](ProgramBuilder& b, bool mutant) {
      VxmInstruction slow = plain_pass(), fast = plain_pass();
      slow.sfu = VxmSfu::Exp2;
      fast.out_stream = 4;  // apart from the slow one's, whose drive falls into the same cycle
      const uint64_t gap = static_cast<uint64_t>(latency_vxm_sfu(target_.lanes));
      push_pass(b, kBegin, slow, false);
      push_pass(b, kBegin + gap + (mutant ? 0 : 1), fast, false);
    });
  }
  if (has(kStageTree)) {
    add(Rule::StageConflict, "overtakes_a_tree", [&](ProgramBuilder& b, bool mutant) {
      VxmInstruction slow = plain_pass(), fast = plain_pass();
      slow.tree = VxmTree::Max;
      fast.out_stream = 4;
      const uint64_t gap = static_cast<uint64_t>(latency_vxm_tree(target_.lanes));
      push_pass(b, kBegin, slow, false);
      push_pass(b, kBegin + gap + (mutant ? 0 : 1), fast, false);
    });
  }
  if (!target_.sxm_positions.empty()) {
    add(Rule::AccumulatorUndefined, "transpose_row_missing", [&](ProgramBuilder& b, bool mutant) {
      const int port = target_.port_position, sxm = target_.sxm_positions[0];
      const int rows = target_.lanes > 64 ? 16 : target_.lanes;
      const uint32_t taken = static_cast<uint32_t>(rows - (mutant ? 1 : 0));
      PortRecvInstruction receive{.timing = {}, .count = 1, .out_dirs = 3, .out_stream = 0};
      receive.timing.n1 = taken - 1;
      receive.timing.p1 = taken > 1 ? 1 : 0;
      b.push(b.queue(QueueKind::HostRecv), kBegin, receive);
      SxmInstruction in;
      in.op = SxmOp::TransposeIn;
      in.dir = toward(port, sxm);
      in.amount_s1 = 1;
      in.timing = receive.timing;
      const uint64_t issue =
          arrival(kBegin + static_cast<uint64_t>(latency_port_recv(target_.lanes)), port, sxm);
      b.push(b.queue(QueueKind::SxmMove), issue, in);
      SxmInstruction out;
      out.op = SxmOp::TransposeOut;
      out.out_dirs = 3;
      const uint64_t last = issue + static_cast<uint64_t>(rows) + 8;
      b.push(b.queue(QueueKind::SxmMove), last, out);
      b.send(QueueKind::HostSend, sxm, last + static_cast<uint64_t>(latency_sxm(target_.lanes)), 0);
    });
  }
}

void Writer::queues() {
  // Reads that wait for a late start; the builder would never push one too many, so the mutant's word is
  // put in by hand where the dispatcher idles.
  add(
      Rule::QueueOverrun, "one_too_many",
      [&](ProgramBuilder& b, bool) {
        b.fill(kBegin, 0, 0);
        const uint64_t late = kBegin + 4096;
        for (int i = 0; i < target_.queue_depth; ++i) {
          b.read(0, late + static_cast<uint64_t>(i), Direction::East, 0, 0);
        }
      },
      [&](ProgramBuilder& b) {
        std::vector<Word>& words = b.words();
        MemInstruction x;
        x.op = MemOp::Read;
        x.timing.start = static_cast<uint32_t>(kBegin + 4096 + static_cast<uint64_t>(target_.queue_depth));
        // Before the NOP that leads to END.
        words.insert(words.end() - 2, encode_push(b.queue(QueueKind::MemRead), 1, x));
        const Word nop = words[words.size() - 2];
        words[words.size() - 2] = encode_nop(decode_header(nop).nop_count - 1);
      });
  // The mutant's dispatcher sleeps through the start; 2^16 cycles later the low bits would match again.
  add(
      Rule::QueueLate, "pushed_after_its_start",
      [&](ProgramBuilder& b, bool) {
        b.prepend(encode_nop(20));
        push_pass(b, 101, plain_pass(), false);
      },
      [](ProgramBuilder& b) { b.words()[0] = encode_nop(100); });
  add(Rule::EndBusy, "instruction_waits", [&](ProgramBuilder& b, bool mutant) {
    VxmInstruction pass = plain_pass();
    push_pass(b, kBegin, pass, false);
    if (mutant) b.end_at(kBegin - 8);
  });
  add(Rule::EndBusy, "result_not_driven", [&](ProgramBuilder& b, bool mutant) {
    VxmInstruction pass = plain_pass();
    push_pass(b, kBegin, pass, false);
    if (mutant) b.end_at(kBegin + static_cast<uint64_t>(pass_latency(target_, pass)) - 4);
  });
}

void Writer::encoding() {
  const auto patched = [&](const std::string& name, const std::function<void(Word&)>& change) {
    add(
        Rule::IllegalEncoding, name,
        [&](ProgramBuilder& b, bool) { push_pass(b, kBegin, plain_pass(), false); },
        [&](ProgramBuilder& b) {
          for (Word& word : b.words()) {
            if (decode_header(word).kind == WordKind::Push) change(word);
          }
        });
  };
  const auto set = [](Word& word, int lsb, int bits, uint64_t value) {
    const uint64_t mask = ((uint64_t{1} << bits) - 1) << (lsb % 64);
    CHECK(lsb % 64 + bits <= 64);
    word[static_cast<size_t>(lsb / 64)] =
        (word[static_cast<size_t>(lsb / 64)] & ~mask) | value << (lsb % 64);
  };
  patched("no_such_kind", [&](Word& word) { set(word, 0, 3, 5); });
  patched("no_such_queue", [&](Word& word) {
    set(word, 3, 10, static_cast<uint64_t>(target_.queues.size()));
  });
  patched("mask_of_a_pass", [&](Word& word) { set(word, 13, 8, 3); });
  patched("bit_above_the_fields", [&](Word& word) { set(word, 255, 1, 1); });
  patched("unused_field", [&](Word& word) { set(word, 100, 6, 4); });  // x_stream with format NONE
  patched("levels_that_do_not_nest", [&](Word& word) { set(word, 37, 8, 1); });  // n1 = 1, p1 = 0
  const auto pass_with = [&](const std::string& name, const std::function<void(VxmInstruction&)>& f) {
    add(Rule::IllegalEncoding, name, [&](ProgramBuilder& b, bool mutant) {
      VxmInstruction pass = plain_pass();
      if (mutant) f(pass);
      push_pass(b, kBegin, pass, false);
    });
  };
  pass_with("unaligned_output", [](VxmInstruction& pass) { pass.out_stream = 2; });
  pass_with("no_output_direction", [](VxmInstruction& pass) { pass.out_dirs = 0; });
  pass_with("replace_without_a_tree",
            [](VxmInstruction& pass) { pass.combine = VxmCombine::Replace; });
  if (target_.lanes % 256 != 0 && has(kStageTree)) {
    pass_with("segment_that_does_not_divide", [](VxmInstruction& pass) {
      pass.tree = VxmTree::Sum;
      pass.segment = LaneSegment::S256;
    });
  }
  if (!has(kStageSfu)) {
    pass_with("missing_stage", [](VxmInstruction& pass) { pass.sfu = VxmSfu::Exp2; });
  }
  add(Rule::IllegalEncoding, "write_in_the_read_queue", [&](ProgramBuilder& b, bool mutant) {
    const uint64_t drive = input(b);
    const int port = target_.port_position;
    MemInstruction x;
    x.op = MemOp::Write;
    x.dir = toward(port, target_.slice_position(0));
    b.push(b.queue(mutant ? QueueKind::MemRead : QueueKind::MemWrite),
           arrival(drive, port, target_.slice_position(0)), x);
  });
  add(Rule::IllegalEncoding, "port_too_wide", [&](ProgramBuilder& b, bool mutant) {
    if (target_.port_width_vectors < 15) {
      b.receive(QueueKind::HostRecv, kBegin, 0, target_.port_width_vectors + (mutant ? 1 : 0));
    } else {
      b.receive(QueueKind::HostRecv, kBegin, 0, mutant ? 0 : 1);
    }
  });
}

void Writer::ports() {
  const int lanes = target_.lanes, width = target_.port_width_vectors;
  const auto rate_program = [&](const std::string& name, QueueKind port, int bytes, int fifo) {
    const int gain = width * lanes - bytes;  // bytes that a full issue takes beyond the rate
    if (gain <= 0) return;
    const uint32_t issues = static_cast<uint32_t>(fifo * lanes / gain + 4);
    const uint32_t slow = static_cast<uint32_t>((width * lanes + bytes - 1) / bytes);
    add(Rule::PortRate, name, [&](ProgramBuilder& b, bool mutant) {
      const uint32_t p1 = mutant ? 1 : slow;
      PortRecvInstruction x{.timing = {},
                            .count = static_cast<uint32_t>(width),
                            .out_dirs = 3,
                            .out_stream = 0};
      uint32_t left = issues;
      uint64_t start = kBegin;
      while (left > 0) {
        const uint32_t now = std::min<uint32_t>(left, 256);
        x.timing.n1 = now - 1;
        x.timing.p1 = now > 1 ? p1 : 0;
        b.push(b.queue(port), start, x);
        start += uint64_t{now} * p1;
        left -= now;
      }
    });
  };
  rate_program("tape", QueueKind::TapeRecv, target_.tape_bytes_per_cycle, target_.tape_fifo_vectors);
  rate_program("kv_read", QueueKind::KvRecv, target_.kv_bytes_per_cycle, target_.kv_fifo_vectors);
  rate_program("host_receive", QueueKind::HostRecv, target_.host_bytes_per_cycle,
               target_.host_fifo_vectors);
  if (target_.instruction_bytes_per_cycle < kWordBits / 8) {
    add(
        Rule::PortRate, "instruction_words", [](ProgramBuilder& b, bool) { b.end_at(8); },
        [&](ProgramBuilder& b) {
          const int bytes = kWordBits / 8, rate = target_.instruction_bytes_per_cycle;
          const int burst = target_.instruction_fifo_words * bytes / (bytes - rate) + 4;
          b.words().assign(static_cast<size_t>(burst), encode_nop(1));
          b.words().push_back(encode_end());
        });
  }
  RuleProgram& receive = add(Rule::PortExhausted, "receive", [](ProgramBuilder& b, bool) {
    b.receive(QueueKind::HostRecv, kBegin, 0);
    b.receive(QueueKind::HostRecv, kBegin + 1, 0);
  });
  receive.mutant.metadata.entries[0].host_receive_vectors = 1;
  RuleProgram& tape = add(Rule::PortExhausted, "tape", [](ProgramBuilder& b, bool) {
    b.receive(QueueKind::TapeRecv, kBegin, 0);
    b.receive(QueueKind::TapeRecv, kBegin + 1, 0);
  });
  tape.mutant.metadata.entries[0].tape[0].count = 1;
  const auto send_twice = [&](QueueKind port) {
    return [this, port](ProgramBuilder& b, bool) {
      for (const uint64_t issue : {kBegin, kBegin + 4}) {
        VxmInstruction pass = plain_pass();
        push_pass(b, issue, pass, false);
        b.send(port, target_.vxm_position,
               issue + static_cast<uint64_t>(pass_latency(target_, pass)), 0);
      }
    };
  };
  RuleProgram& send = add(Rule::PortExhausted, "send", send_twice(QueueKind::HostSend));
  send.mutant.metadata.entries[0].host_send_vectors = 1;
  RuleProgram& kv = add(Rule::PortExhausted, "kv_write", send_twice(QueueKind::KvSend));
  kv.mutant.metadata.entries[0].kv_write[0].count = 1;
}

}  // namespace

std::vector<RuleProgram> rule_programs(const Target& target) {
  Writer writer(target);
  writer.streams();
  writer.memory();
  writer.ranges();
  writer.matrix();
  writer.chain();
  writer.queues();
  writer.encoding();
  writer.ports();
  return writer.take();
}

}  // namespace pianola::test
