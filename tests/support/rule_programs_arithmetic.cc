// Rules of the matrix units and of the vector chains.
#include <algorithm>

#include "tests/support/rule_writer.h"

namespace pianola::test {

uint64_t RuleWriter::load_tile(ProgramBuilder& b, int missing) {
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
void RuleWriter::push_mac(ProgramBuilder& b, uint64_t issue, MxmMacInstruction mac) {
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

void RuleWriter::matrix() {
  MxmMacInstruction mac;
  mac.swap = MxmMacSwap::Always;
  mac.clear = MxmMacClear::Always;
  mac.emit = MxmMacEmit::Always;
  add(Rule::TileIncomplete, "rows_missing",
      [&](ProgramBuilder& b, bool mutant) { push_mac(b, load_tile(b, mutant ? 1 : 0) + 32, mac); });
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

void RuleWriter::chain() {
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

}  // namespace pianola::test
