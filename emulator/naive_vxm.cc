// What a VXM chain does.
#include "emulator/naive_machine.h"

#include <algorithm>

#include "isa/arithmetic.h"

namespace pianola::naive {
namespace {

int format_streams(VxmFormat format) {
  switch (format) {
    case VxmFormat::None:
      return 0;
    case VxmFormat::I8:
      return 1;
    case VxmFormat::Bf16:
    case VxmFormat::F16:
      return 2;
    case VxmFormat::I32:
    case VxmFormat::F32:
    case VxmFormat::Raw:
    case VxmFormat::F32Lane0:
      return 4;
  }
  return 0;
}

uint32_t special_function(VxmSfu sfu, uint32_t value) {
  switch (sfu) {
    case VxmSfu::None:
      break;
    case VxmSfu::Exp2:
      return arith::exp2(value);
    case VxmSfu::Reciprocal:
      return arith::reciprocal(value);
    case VxmSfu::Rsqrt:
      return arith::rsqrt(value);
    case VxmSfu::Log2:
      return arith::log2(value);
  }
  return value;
}

// Lane of the largest value by the key of max; NaN is the smallest; ties to the lowest lane.
uint32_t lane_of_largest(const Patterns& values) {
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

uint32_t reduce(VxmTree tree, Patterns values) {
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

uint32_t root_of(VxmRoot root, uint32_t r, uint32_t k1, uint32_t k2) {
  switch (root) {
    case VxmRoot::None:
      return r;
    case VxmRoot::Scale:
      return arith::mul(r, k1);
    case VxmRoot::Reciprocal:
      return arith::reciprocal(arith::mul(r, k1));
    case VxmRoot::Rsqrt:
      return arith::rsqrt(arith::add(arith::mul(r, k1), k2));
  }
  return r;
}

bool level_is(uint32_t level, const Iteration& it, const Timing& timing, bool last) {
  const uint32_t index = level == 1 ? it.i1 : level == 2 ? it.i2 : it.i3;
  const uint32_t n = level == 1 ? timing.n1 : level == 2 ? timing.n2 : timing.n3;
  return index == (last ? n : 0);
}

}  // namespace

// Section 6: VXM.

Patterns Machine::operand(int position, VxmFormat format, Direction direction, uint32_t stream) {
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
      case VxmFormat::None:
        break;
      case VxmFormat::I8:
        result[i] = arith::int8_to_f32(static_cast<int8_t>(raw[i]));
        break;
      case VxmFormat::I32:
        result[i] = arith::int32_to_f32(static_cast<int32_t>(raw[i]));
        break;
      case VxmFormat::F32:
      case VxmFormat::Raw:
        result[i] = raw[i];
        break;
      case VxmFormat::Bf16:
        result[i] = arith::bf16_to_f32(static_cast<uint16_t>(raw[i]));
        break;
      case VxmFormat::F16:
        result[i] = arith::f16_to_f32(static_cast<uint16_t>(raw[i]));
        break;
      case VxmFormat::F32Lane0:
        result[i] = raw[0];
        break;
    }
  }
  return result;
}

uint32_t Machine::select_operand(VxmOperand which, const Operands& operands, int lane) {
  switch (which) {
    case VxmOperand::None:
      break;
    case VxmOperand::Y:
      return operands.y[lane];
    case VxmOperand::Z:
      return operands.z[lane];
    case VxmOperand::K1:
      return operands.k1;
    case VxmOperand::K2:
      return operands.k2;
    case VxmOperand::Lane:
      return arith::int32_to_f32(lane);
  }
  return 0;
}

void Machine::multiply(Patterns& v, VxmOperand which, const Operands& operands) {
  if (which == VxmOperand::None) return;
  for (int i = 0; i < lanes_; ++i) v[i] = arith::mul(v[i], select_operand(which, operands, i));
}

void Machine::add_stage(const VxmInstruction& x, Patterns& v, const Operands& operands) {
  if (x.add_op == VxmAddOp::None) return;
  if (x.add_operand == VxmOperand::None) fault(Rule::IllegalEncoding, "add_op without operand");
  for (int i = 0; i < lanes_; ++i) {
    const uint32_t o = select_operand(x.add_operand, operands, i);
    switch (x.add_op) {
      case VxmAddOp::None:
        break;
      case VxmAddOp::Add:
        v[i] = arith::add(v[i], o);
        break;
      case VxmAddOp::Sub:
        v[i] = arith::sub(v[i], o);
        break;
      case VxmAddOp::Rsub:
        v[i] = arith::sub(o, v[i]);
        break;
      case VxmAddOp::Min:
        v[i] = arith::min(v[i], o);
        break;
      case VxmAddOp::Max:
        v[i] = arith::max(v[i], o);
        break;
      case VxmAddOp::Iadd:
        v[i] = v[i] + o;
        break;
    }
  }
}

void Machine::select_stage(const VxmInstruction& x, const Iteration& it, Patterns& v, uint32_t k2) {
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

Patterns Machine::tree_stage(const VxmInstruction& x, const Patterns& v, const Operands& operands) {
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

void Machine::check_stages(const VxmInstruction& x) {
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

void Machine::execute(const VxmInstruction& x, const Iteration& it, const QueueInfo& info) {
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

void Machine::enter_accumulator_stages() {
  while (!passes_.empty() && passes_.begin()->first == cycle_) {
    const WaitingPass pass = std::move(passes_.begin()->second);
    passes_.erase(passes_.begin());
    place_ = "VXM chain " + std::to_string(pass.chain);
    finish_pass(pass);
  }
}

Patterns Machine::accumulate(const WaitingPass& pass, const Patterns& s) {
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
                    static_cast<int64_t>(it.i2) * x.acc_s2 + static_cast<int64_t>(it.i3) * x.acc_s3;
  if (a < 0 || a >= target_.vxm_accumulators) {
    fault(Rule::AddressRange, "accumulator " + std::to_string(a));
    return s;
  }
  if (chain.last_use[a] &&
      cycle_ - *chain.last_use[a] < static_cast<uint64_t>(latency_vxm_add(lanes_))) {
    fault(Rule::AccumulatorHazard, "accumulator " + std::to_string(a));
  }
  chain.last_use[a] = cycle_;
  Patterns& acc = chain.accumulators[a];
  const bool loads =
      x.acc_op == VxmAccOp::Load || (x.acc_op != VxmAccOp::Read && x.first != VxmFirst::Never &&
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

void Machine::finish_pass(const WaitingPass& pass) {
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
      case VxmOutFormat::None:
        break;
      case VxmOutFormat::I8:
        out[i] = static_cast<uint8_t>(arith::f32_to_int8_sat(source[i]));
        count = 1;
        break;
      case VxmOutFormat::I32:
        out[i] = static_cast<uint32_t>(arith::f32_to_int32_sat(source[i]));
        break;
      case VxmOutFormat::F32:
        out[i] = source[i];
        break;
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

}  // namespace pianola::naive
