// Rules of streams, of memory, and of addresses.
#include "tests/support/rule_writer.h"

namespace pianola::test {
namespace {

MemInstruction write_of_row(int address, uint32_t rows, uint32_t row, uint32_t reg = 0) {
  MemInstruction x;
  x.op = MemOp::Write;
  x.address = static_cast<uint32_t>(address);
  x.reg = reg;
  x.rows = rows;
  x.row = row;
  return x;
}

}  // namespace

void RuleWriter::streams() {
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

void RuleWriter::memory() {
  const int half = target_.words_per_slice / 2;
  const int port = target_.port_position;
  const Direction to_slice = toward(port, target_.slice_position(0));
  // A write of word `written` in the cycle in which word `read` is read.
  const auto read_and_write = [=, this](ProgramBuilder& b, int read, int written, int delay = 0) {
    b.fill(kBegin, 0, read);
    const uint64_t drive = b.receive(QueueKind::HostRecv, kLater, 1);
    b.write(0, port, drive, 1, written, to_slice);
    const uint64_t issue = arrival(drive, port, target_.slice_position(0));
    const uint64_t out = b.read(0, issue + static_cast<uint64_t>(delay),
                                toward(target_.slice_position(0), port), 0, read);
    b.send(QueueKind::HostSend, target_.slice_position(0), out, 0);
  };
  add(Rule::BankConflict, "lower_bank",
      [&](ProgramBuilder& b, bool mutant) { read_and_write(b, 0, mutant ? 1 : half); });
  add(Rule::BankConflict, "upper_bank",
      [&](ProgramBuilder& b, bool mutant) { read_and_write(b, half, mutant ? half + 1 : 0); });
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
    read_and_write(
        b, 0, 0, mutant ? latency_mem_write(target_.lanes) - 1 : latency_mem_write(target_.lanes));
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

void RuleWriter::ranges() {
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

uint64_t RuleWriter::write_row(ProgramBuilder& b, uint64_t receive, MemInstruction x, int slice) {
  const int port = target_.port_position, position = target_.slice_position(slice);
  const uint64_t issue = arrival(input(b, receive), port, position);
  x.dir = toward(port, position);
  b.push(b.queue(QueueKind::MemWrite, slice), issue, x);
  return issue;
}

// WRITE with rows.
void RuleWriter::rows() {
  const int words = target_.words_per_slice, half = words / 2;
  if (target_.slices_per_position > 1) {
    // All slices take the stream itself; a plain write of slice 1 would take the one after the
    // mutant's, which is stream 0.
    add(Rule::StreamUndefined, "row", [&](ProgramBuilder& b, bool mutant) {
      MemInstruction x = write_of_row(5, 1, 1);
      x.stream = mutant ? static_cast<uint32_t>(target_.streams - 1) : 0;
      write_row(b, kBegin, x, 1);
    });
  }
  add(Rule::MemoryUndefined, "row_of_another_slice", [&](ProgramBuilder& b, bool mutant) {
    write_row(b, kBegin, write_of_row(5, 1, mutant ? 3 : 2));
    b.read(0, kLater, Direction::East, 0, 6);
  });
  // Row 9 of slices 0 to 7 is in slice 1.
  add(Rule::MemoryUndefined, "row_of_eight", [&](ProgramBuilder& b, bool mutant) {
    write_row(b, kBegin, write_of_row(5, 3, mutant ? 9 : 8));
    b.read(0, kLater, Direction::East, 0, 6);
  });
  RuleProgram& undefined =
      add(Rule::MemoryUndefined, "row_by_register", [&](ProgramBuilder& b, bool mutant) {
        b.declare(1, 4, mutant ? 5 : 4);
        write_row(b, kBegin, write_of_row(5, 2, 0, 1));
        b.read(0, kLater, Direction::East, 0, 6);
      });
  undefined.sound_registers = {0, 4};
  undefined.mutant_registers = {0, 5};
  // A row of another slice takes the bank of its word all the same, and is no hazard.
  add(Rule::BankConflict, "row_of_another_slice", [&](ProgramBuilder& b, bool mutant) {
    b.fill(kBegin, 0, 6);
    b.fill(kBegin + 1, 0, half + 6);
    const uint64_t issue = write_row(b, kLater, write_of_row(6, 1, 1));
    b.read(0, issue, Direction::East, 0, mutant ? 6 : half + 6);
  });
  // Rows 1 to 3 lie in the lower bank, rows 4 and 5 in the upper one; row 5 is of slice 1.
  RuleProgram& bank =
      add(Rule::BankConflict, "row_by_register", [&](ProgramBuilder& b, bool mutant) {
        b.declare(1, 0, mutant ? 4 : 2);
        b.fill(kBegin, 0, half + 5);
        const uint64_t issue = write_row(b, kLater, write_of_row(half - 1, 2, 1, 1));
        b.read(0, issue, Direction::East, 0, half + 5);
      });
  bank.sound_registers = {0, 2};
  bank.mutant_registers = {0, 4};
  RuleProgram& hazard =
      add(Rule::MemoryHazard, "row_by_register", [&](ProgramBuilder& b, bool mutant) {
        b.declare(1, 0, 1);
        b.fill(kBegin, 0, 6);
        const uint64_t issue = write_row(b, kLater, write_of_row(5, 1, 2, 1));
        b.read(0, issue + static_cast<uint64_t>(latency_mem_write(target_.lanes)) - (mutant ? 1 : 0),
               Direction::East, 0, 6);
      });
  hazard.sound_registers = {0, 1};
  hazard.mutant_registers = {0, 0};
  hazard.also = {Rule::BankConflict};
  add(Rule::AddressRange, "row_beyond_the_last_word", [&](ProgramBuilder& b, bool mutant) {
    write_row(b, kBegin, write_of_row(words - 1, 3, mutant ? 8 : 7));
  });
  // Word 4, if it were not for the sign of the row.
  add(Rule::AddressRange, "row_below_zero", [&](ProgramBuilder& b, bool mutant) {
    input(b, kBegin + 1);
    MemInstruction x = write_of_row(5, 1, mutant ? 0 : 1);
    x.s1 = -1;
    x.timing.n1 = x.timing.p1 = 1;
    write_row(b, kBegin, x);
  });
  RuleProgram& range =
      add(Rule::AddressRange, "row_by_register", [&](ProgramBuilder& b, bool mutant) {
        b.declare(2, 0, mutant ? 5 : 4);
        write_row(b, kBegin, write_of_row(words - 2, 2, 3, 2));
      });
  range.sound_registers = {0, 0, 4};
  range.mutant_registers = {0, 0, 5};
  add(Rule::IllegalEncoding, "row_without_rows", [&](ProgramBuilder& b, bool mutant) {
    write_row(b, kBegin, write_of_row(5, 0, mutant ? 1 : 0));
  });
}

}  // namespace pianola::test
