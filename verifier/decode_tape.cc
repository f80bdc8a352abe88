// From instruction words to steps: every way in which a word can be illegal on a target, and the
// ranges of its values over all iterations and all values of the launch registers.
#include <algorithm>

#include "verifier/step.h"

namespace pianola::verifier {
namespace {

constexpr uint8_t side(Direction direction) { return direction == Direction::West ? 1 : 0; }

// Streams that one value takes: 0 for none.
int streams_of(VxmFormat format) {
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
int streams_of(VxmOutFormat format) { return streams_of(static_cast<VxmFormat>(format)); }

int lanes_of(LaneSegment segment, int lanes) {
  return segment == LaneSegment::All ? lanes : 8 << static_cast<int>(segment);
}

When when_of(VxmFirst first) {
  switch (first) {
    case VxmFirst::Never: return When::Never;
    case VxmFirst::Level1: return When::First1;
    case VxmFirst::Level2: return When::First2;
    case VxmFirst::Level3: return When::First3;
  }
  return When::Never;
}
When when_of(VxmEmit emit) {
  switch (emit) {
    case VxmEmit::Always: return When::Always;
    case VxmEmit::Level1: return When::Last1;
    case VxmEmit::Level2: return When::Last2;
    case VxmEmit::Level3: return When::Last3;
  }
  return When::Never;
}

// Builds one step, noting the first thing that is illegal.
class StepBuilder {
 public:
  StepBuilder(const Target& target, const RegisterRanges& registers, Step& step,
              std::string& reason)
      : target_(target), registers_(registers), step_(step), reason_(reason) {}

  bool mem(const QueueInfo& queue, const MemInstruction& x);
  bool pass(const VxmInstruction& x);
  bool load(const MxmLoadInstruction& x);
  bool mac(const MxmMacInstruction& x);
  bool move(const SxmInstruction& x);
  bool receive(const PortRecvInstruction& x);
  bool send(const PortSendInstruction& x);

 private:
  void require(bool condition, const char* reason) {
    if (!condition && reason_.empty()) reason_ = reason;
  }
  bool legal() const { return reason_.empty(); }
  // A read of `count` neighbouring streams that must be aligned to `align`.
  void read(Direction direction, uint32_t stream, int count, int align) {
    if (count == 0) return;
    require(stream % align == 0, "a stream that is not aligned to its format");
    require(static_cast<int>(stream) + count <= target_.streams,
            "a stream that the target does not have");
    step_.read[step_.reads++] = {side(direction), static_cast<uint8_t>(stream),
                                 static_cast<uint8_t>(count)};
  }
  void drive(uint32_t directions, uint32_t stream, int count, int align, When when) {
    require(stream % align == 0, "an output stream that is not aligned to its format");
    require(static_cast<int>(stream) + count <= target_.streams,
            "an output stream that the target does not have");
    require(directions != 0, "an output without a direction");
    step_.drive_directions = static_cast<uint8_t>(directions);
    step_.drive_stream = static_cast<uint8_t>(stream);
    step_.drive_count = static_cast<uint8_t>(count);
    step_.drive_when = when;
  }
  void latency(int cycles) {
    step_.drive_latency = static_cast<uint16_t>(cycles);
    step_.finish_latency = step_.drive_latency;
  }
  void timing(const Timing& timing) {
    require(timing_is_legal(timing), "loop levels that do not nest");
    step_.timing = timing;
  }
  void affine(int64_t base, int32_t s1, int32_t s2, int32_t s3) {
    step_.base = static_cast<int32_t>(base);
    step_.s1 = s1;
    step_.s2 = s2;
    step_.s3 = s3;
  }
  void stage(bool used, VxmStage stage, const char* reason) {
    require(!used || (target_.vxm_stages & stage) != 0, reason);
  }
  void pass_stages(const VxmInstruction& x);
  int lanes() const { return target_.lanes; }

  const Target& target_;
  const RegisterRanges& registers_;
  Step& step_;
  std::string& reason_;
};

bool StepBuilder::mem(const QueueInfo& queue, const MemInstruction& x) {
  const bool reads = x.op == MemOp::Read || x.op == MemOp::Gather;
  require(reads == (queue.kind == QueueKind::MemRead), "an opcode of the other queue of the slice");
  timing(x.timing);
  affine(x.address, x.s1, x.s2, x.s3);
  step_.offset = registers_[x.reg];
  step_.rotates = true;
  if (reads) {
    step_.action = x.op == MemOp::Read ? Action::Read : Action::Gather;
    drive(x.dir == Direction::East ? 1 : 2, x.stream, 1, 1, When::Always);
    latency(latency_mem_read(lanes()));
    step_.finish_latency = 0;  // END does not wait for a value that memory drives
    if (x.op == MemOp::Gather) {
      read(x.index_dir, x.index_stream, 2, 2);
      step_.offset.high += x.limit;
    }
    return legal();
  }
  step_.action = x.op == MemOp::Write ? Action::Write : Action::WriteLane;
  read(x.dir, x.stream, 1, 1);
  require(x.rows > 0 || x.row == 0, "a row of a write without rows");
  if (x.rows > 0) {
    affine(x.row, x.s1, x.s2, x.s3);
    step_.rows = static_cast<uint8_t>(x.rows);
    step_.address = static_cast<uint16_t>(x.address);
    step_.rotates = false;
  }
  if (x.op == MemOp::WriteLane) {
    const Interval& lane = registers_[x.lane_reg];
    step_.lane = {lane.low + x.lane, lane.high + x.lane + int64_t{x.lane_step} * x.timing.n1};
    if (step_.lane.high >= lanes()) step_.offset.high += 1;
    if (step_.lane.low >= lanes()) step_.offset.low += 1;
  }
  return legal();
}

void StepBuilder::pass_stages(const VxmInstruction& x) {
  stage(x.mul1 != VxmOperand::None, kStageMul1, "the target has no stage mul1");
  stage(x.mul2 != VxmOperand::None, kStageMul2, "the target has no stage mul2");
  stage(x.add_op != VxmAddOp::None, kStageAdd, "the target has no stage add");
  stage(x.select != VxmSelect::None, kStageSelect, "the target has no stage select");
  stage(x.sfu != VxmSfu::None, kStageSfu, "the target has no stage sfu");
  stage(x.mul3 != VxmOperand::None, kStageMul3, "the target has no stage mul3");
  stage(x.tree != VxmTree::None, kStageTree, "the target has no stage tree");
  stage(x.root != VxmRoot::None, kStageRoot, "the target has no stage root");
  stage(x.combine != VxmCombine::None, kStageCombine, "the target has no stage combine");
  stage(x.acc_op != VxmAccOp::None, kStageAccumulate, "the target has no stage accumulate");
  stage(x.out_format != VxmOutFormat::None && x.out_format != VxmOutFormat::F32, kStageRound,
        "the target has no stage round");
}

bool StepBuilder::pass(const VxmInstruction& x) {
  step_.action = Action::Pass;
  timing(x.timing);
  pass_stages(x);
  require(x.add_op == VxmAddOp::None || x.add_operand != VxmOperand::None,
          "an add stage without an operand");
  const bool tree = x.tree != VxmTree::None;
  const bool takes_r = x.combine == VxmCombine::R || x.combine == VxmCombine::Replace ||
                       x.acc_source == VxmAccSource::R || x.root != VxmRoot::None;
  require(tree || !takes_r, "a tree's result without a tree");
  require(lanes() % lanes_of(x.segment, lanes()) == 0, "a segment that does not divide the lanes");
  read(x.x_dir, x.x_stream, streams_of(x.x_format), std::max(1, streams_of(x.x_format)));
  read(x.y_dir, x.y_stream, streams_of(x.y_format), std::max(1, streams_of(x.y_format)));
  read(x.z_dir, x.z_stream, streams_of(x.z_format), std::max(1, streams_of(x.z_format)));

  const int mul = latency_vxm_mul(lanes()), add = latency_vxm_add(lanes());
  int enter = latency_vxm_in(lanes()) + 2 * mul + add + latency_vxm_select(lanes());
  if (x.sfu != VxmSfu::None) enter += latency_vxm_sfu(lanes());
  step_.enter_mul3 = static_cast<uint16_t>(enter);
  enter += mul;
  if (tree) enter += latency_vxm_tree(lanes());
  if (x.root != VxmRoot::None) enter += latency_vxm_root(lanes());
  step_.enter_combine = static_cast<uint16_t>(enter);
  latency(enter + mul + add + latency_vxm_out(lanes()));

  affine(x.acc, x.acc_s1, x.acc_s2, x.acc_s3);
  switch (x.acc_op) {
    case VxmAccOp::None:
    case VxmAccOp::AddK2: break;
    case VxmAccOp::Load: step_.use = AccumulatorUse::Set; break;
    case VxmAccOp::Read: step_.use = AccumulatorUse::Read; break;
    case VxmAccOp::Add:
    case VxmAccOp::Max:
    case VxmAccOp::Min: step_.use = AccumulatorUse::Modify; break;
  }
  step_.set_when = when_of(x.first);
  if (x.out_format != VxmOutFormat::None) {
    const int count = streams_of(x.out_format);
    drive(x.out_dirs, x.out_stream, count, count, when_of(x.emit));
  }
  return legal();
}

bool StepBuilder::load(const MxmLoadInstruction& x) {
  step_.action = Action::Load;
  timing(x.timing);
  affine(x.row, x.row_s1, x.row_s2, x.row_s3);
  step_.count = static_cast<uint8_t>(1 << static_cast<int>(x.format));
  read(x.dir, x.stream, target_.mxm_load_streams, 1);
  return legal();
}

bool StepBuilder::mac(const MxmMacInstruction& x) {
  step_.action = Action::Mac;
  timing(x.timing);
  affine(x.acc, x.acc_s1, x.acc_s2, x.acc_s3);
  read(x.dir, x.stream, 1, 1);
  latency(latency_mxm_mac(lanes()));
  constexpr When kSwap[] = {When::Never, When::Always, When::First1};
  constexpr When kClear[] = {When::Never, When::Always, When::First2};
  constexpr When kEmit[] = {When::Never, When::Always, When::Last2};
  step_.swap_when = kSwap[static_cast<int>(x.swap)];
  step_.set_when = kClear[static_cast<int>(x.clear)];
  if (x.emit != MxmMacEmit::Never) {
    drive(x.out_dir == Direction::East ? 1 : 2, x.out_stream, 4, 4,
          kEmit[static_cast<int>(x.emit)]);
  }
  return legal();
}

bool StepBuilder::move(const SxmInstruction& x) {
  timing(x.timing);
  const int width = 1 << static_cast<int>(x.width);
  const bool transposes = x.op == SxmOp::TransposeIn || x.op == SxmOp::TransposeOut;
  step_.action = x.op == SxmOp::TransposeIn    ? Action::TransposeIn
                 : x.op == SxmOp::TransposeOut ? Action::TransposeOut
                                               : Action::Move;
  require(!transposes || width == 1, "a transpose of more than one stream");
  const int segment = lanes_of(x.segment, lanes());
  require(lanes() % segment == 0, "a segment that does not divide the lanes");
  affine(x.amount, x.amount_s1, 0, 0);
  latency(latency_sxm(lanes()));
  if (x.op != SxmOp::TransposeOut) read(x.dir, x.stream, width, width);
  if (x.op == SxmOp::Permute) read(x.index_dir, x.index_stream, 1, 1);
  if (x.op != SxmOp::TransposeIn) drive(x.out_dirs, x.out_stream, width, width, When::Always);
  // What the amount may be, ends included.
  const int rows = lanes() > 64 ? 16 : lanes();
  switch (x.op) {
    case SxmOp::Shift:
    case SxmOp::Rotate: step_.lane = {1 - segment, segment - 1}; break;
    case SxmOp::Permute: step_.lane = {0, 0}; break;
    case SxmOp::Distribute: step_.lane = {0, lanes() - 1}; break;
    case SxmOp::TransposeIn:
    case SxmOp::TransposeOut: step_.lane = {0, rows - 1}; break;
  }
  return legal();
}

bool StepBuilder::receive(const PortRecvInstruction& x) {
  step_.action = Action::Receive;
  timing(x.timing);
  require(x.count >= 1 && static_cast<int>(x.count) <= target_.port_width_vectors,
          "a count that is zero or more than the port is wide");
  drive(x.out_dirs, x.out_stream, static_cast<int>(x.count), 1, When::Always);
  step_.count = static_cast<uint8_t>(x.count);
  latency(latency_port_recv(lanes()));
  return legal();
}

bool StepBuilder::send(const PortSendInstruction& x) {
  step_.action = Action::Send;
  timing(x.timing);
  require(x.count >= 1 && static_cast<int>(x.count) <= target_.port_width_vectors,
          "a count that is zero or more than the port is wide");
  read(x.dir, x.stream, static_cast<int>(x.count), 1);
  step_.count = static_cast<uint8_t>(x.count);
  return legal();
}

template <typename Instruction>
bool decode_fields(const Word& word, Instruction& x, std::string& reason) {
  if (decode(word, x)) return true;
  reason = "a field without meaning, or an unused field that is not zero";
  return false;
}

std::string range_text(const char* what, const Interval& got, int64_t low, int64_t high) {
  return std::string(what) + " from " + std::to_string(got.low) + " to " +
         std::to_string(got.high) + ", expected " + std::to_string(low) + " to " +
         std::to_string(high);
}

}  // namespace

bool decode_step(const Target& target, const RegisterRanges& registers, int queue, const Word& word,
                 Step& step, std::string& reason) {
  const QueueInfo& info = target.queues[queue];
  StepBuilder builder(target, registers, step, reason);
  switch (info.kind) {
    case QueueKind::TapeRecv:
    case QueueKind::KvRecv:
    case QueueKind::HostRecv: {
      PortRecvInstruction x;
      return decode_fields(word, x, reason) && builder.receive(x);
    }
    case QueueKind::KvSend:
    case QueueKind::HostSend: {
      PortSendInstruction x;
      return decode_fields(word, x, reason) && builder.send(x);
    }
    case QueueKind::VxmPass: {
      VxmInstruction x;
      return decode_fields(word, x, reason) && builder.pass(x);
    }
    case QueueKind::MemRead:
    case QueueKind::MemWrite: {
      MemInstruction x;
      return decode_fields(word, x, reason) && builder.mem(info, x);
    }
    case QueueKind::SxmMove: {
      SxmInstruction x;
      return decode_fields(word, x, reason) && builder.move(x);
    }
    case QueueKind::MxmLoad: {
      MxmLoadInstruction x;
      return decode_fields(word, x, reason) && builder.load(x);
    }
    case QueueKind::MxmMac: {
      MxmMacInstruction x;
      return decode_fields(word, x, reason) && builder.mac(x);
    }
  }
  return false;
}

std::string find_range_violation(const Target& target, QueueKind kind, const Step& step) {
  Interval values = step.box();
  int64_t low = 0, high = 0;
  const char* what = "accumulator";
  switch (kind) {
    case QueueKind::TapeRecv:
    case QueueKind::KvRecv:
    case QueueKind::HostRecv:
    case QueueKind::KvSend:
    case QueueKind::HostSend: return {};
    case QueueKind::MemRead:
    case QueueKind::MemWrite:
      if (step.lane.high >= 2 * target.lanes) {
        return range_text("lane", step.lane, 0, 2 * target.lanes - 1);
      }
      what = "word address";
      values.low += step.offset.low;
      values.high += step.offset.high;
      if (step.rows > 0) {
        if (values.low < 0) return range_text("row", values, 0, INT32_MAX);
        values = step.words(values);
      }
      high = target.words_per_slice - 1;
      break;
    case QueueKind::VxmPass:
      if (step.use == AccumulatorUse::None) return {};
      high = target.vxm_accumulators - 1;
      break;
    case QueueKind::MxmLoad:
      what = "tile row";  // upper end: see the replay of loads
      high = values.high;
      break;
    case QueueKind::MxmMac: high = target.mxm_accumulators - 1; break;
    case QueueKind::SxmMove:
      what = "amount";
      low = step.lane.low;
      high = step.lane.high;
      break;
  }
  if (values.low >= low && values.high <= high) return {};
  return range_text(what, values, low, high);
}

}  // namespace pianola::verifier
