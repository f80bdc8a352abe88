#include "compiler/lower/lower_graph.h"

#include <algorithm>
#include <bit>

#include "compiler/lower/lowering.h"
#include "compiler/passes/rotary_table.h"
#include "isa/arithmetic.h"

namespace pianola {
namespace {

VxmInstruction output(VxmOutFormat format, VxmOutSource source = VxmOutSource::V) {
  VxmInstruction pass;
  pass.out_format = format;
  pass.out_source = source;
  return pass;
}

// fp32 nearest to 1 / n.
float reciprocal_of(int n) { return static_cast<float>(1.0 / n); }

}  // namespace

int max_tokens(const QuantizedGraph& graph, const Target& target) {
  const int group = graph.model.heads / graph.model.kv_heads;
  const int accumulators = std::min(target.mxm_accumulators, target.vxm_accumulators / 2);
  return std::min({16, target.lanes, accumulators / group});
}

LoweredEntry lower_entry(const QuantizedGraph& graph, const Target& target,
                         const EntryShape& shape, const DataTape& tape) {
  return Lowering(graph, target, shape).run(tape);
}

Status check_fits(const QuantizedGraph& graph, const Target& target) {
  const auto refuse = [&](const std::string& what) {
    return Error{ErrorCode::Unsupported, what, "target " + target.name};
  };
  const int streams = target.mxm_load_streams;
  if (streams != 1 && streams != 2 && streams != 4) {
    return refuse("mxm.load_streams is " + std::to_string(streams) +
                  "; this compiler spreads tiles and cache rows over 1, 2 or 4 slices");
  }
  if (target.slices_per_position % streams != 0) {
    return refuse("mem.slices_per_position is " + std::to_string(target.slices_per_position) +
                  ", no multiple of mxm.load_streams, " + std::to_string(streams) +
                  "; cache rows are spread over the slices of one position");
  }
  if (target.sxm_positions.empty()) return refuse("no SXM; rotary embeddings need one");
  if (max_tokens(graph, target) < 1) {
    return refuse("too few accumulators for " +
                  std::to_string(graph.model.heads / graph.model.kv_heads) +
                  " query heads per KV head");
  }
  const std::vector<std::array<int, 4>> homes = homes_of(target);
  for (const bool west : {false, true}) {
    int count = 0, units = 0;
    for (const auto& home : homes) {
      count += (target.slice_position(home[0]) < target.vxm_position) == west;
    }
    for (int position : target.mxm_positions) units += (position < target.vxm_position) == west;
    const int needed = target.weights == Residence::Mem ? 5 : 4;
    if (units > 0 && count < needed) {
      return refuse("the " + std::string(west ? "west" : "east") + " side has " +
                    std::to_string(4 * count) + " slices; with a matrix unit there it needs " +
                    std::to_string(4 * needed));
    }
  }
  const uint32_t stages = (1u << 11) - 1;
  if ((target.vxm_stages & stages) != stages) {
    return refuse("a transformer needs every stage of the VXM; add the missing ones to vxm.stages");
  }
  return Ok{};
}

void Lowering::lower(const QNode& node, const QEmbed&) {
  const int vectors = graph_.value_widths[node.output] / lanes_;
  const ArrayId x = add_value(node.name, state({0, 0}), vectors);
  values_[node.output] = x;
  CopyInOperation copy;
  copy.name = node.name;
  copy.nest.count = {vectors, tokens_, 1};
  copy.destination = to(x, 0, {tokens_, 1, 0});
  emit(copy);
}

// The rotary rows of the launch's positions.
void Lowering::receive_rotary() {
  rotary_row_ = rotary_row_vectors(graph_, lanes_);
  rotary_ = add_array("rotary", state({1, 0}), 4, rotary_row_ * tokens_);
  CopyInOperation copy;
  copy.name = "rotary";
  copy.nest.count = {rotary_row_ * tokens_, 1, 1};
  copy.destination = to(rotary_, 0, {1, 0, 0});
  emit(copy);
}

// maxima[group][token] = largest |x * gain| of each activation group.
void Lowering::lower_statistics(const QNode& node, const QQuantize&, ArrayId x, ArrayId gain,
                                ArrayId maxima) {
  const int vectors = graph_.value_widths[node.output] / lanes_;
  const int per_group = target_.activation_group / lanes_;
  for (int first = 0; first < vectors;) {
    const int groups = std::max(1, (vectors - first) / per_group);
    const int size = std::min(per_group, vectors - first);
    VxmOperation op;
    op.name = node.name + ".absmax";
    op.nest.count = {tokens_, size, groups};
    op.x = from(x, first * tokens_, {1, tokens_, size * tokens_});
    op.pass = output(VxmOutFormat::F32, VxmOutSource::W);
    if (gain >= 0) {
      op.y = from(gain, first, {0, 1, size});
      op.pass.mul1 = VxmOperand::Y;
    }
    op.pass.tree = VxmTree::Absmax;
    op.pass.acc_source = VxmAccSource::R;
    op.pass.acc_op = VxmAccOp::Max;
    op.pass.first = VxmFirst::Level2;
    op.pass.emit = VxmEmit::Level2;
    op.group = new_group(tokens_);
    op.accumulator_step = {1, 0, 0};
    op.closes_group = true;
    op.writes = {to(maxima, first / per_group * tokens_, {1, 0, tokens_})};
    emit(op);
    first += groups * size;
  }
}

// rstd[token] = rsqrt(mean(x^2) + eps)
ArrayId Lowering::lower_rstd(const QNode& node, const QQuantize& op, ArrayId x, int vectors) {
  const ArrayId sum = add_value(node.name + ".sumsq", state({3, 1}), 1);
  VxmOperation square;
  square.name = node.name + ".sumsq";
  square.nest.count = {tokens_, vectors, 1};
  square.x = square.y = from(x, 0, {1, tokens_, 0});
  square.pass = output(VxmOutFormat::F32, VxmOutSource::W);
  square.pass.mul1 = VxmOperand::Y;
  square.pass.tree = VxmTree::Sum;
  square.pass.acc_source = VxmAccSource::R;
  square.pass.acc_op = VxmAccOp::Add;
  square.pass.first = VxmFirst::Level2;
  square.pass.emit = VxmEmit::Level2;
  square.group = new_group(tokens_);
  square.accumulator_step = {1, 0, 0};
  square.closes_group = true;
  square.writes = {to(sum, 0, {1, 0, 0})};
  emit(square);

  const ArrayId rstd = add_value(node.name + ".rstd", state({1, 1}), 1);
  VxmOperation root;
  root.name = node.name + ".rstd";
  root.nest.count = {tokens_, 1, 1};
  root.x = from(sum, 0, {1, 0, 0});
  root.pass = output(VxmOutFormat::F32);
  root.pass.mul1 = VxmOperand::K1;
  root.pass.k1 = static_cast<uint32_t>(constant(reciprocal_of(op.width)));
  root.pass.add_op = VxmAddOp::Add;
  root.pass.add_operand = VxmOperand::K2;
  root.pass.k2 = static_cast<uint32_t>(constant(op.eps));
  root.pass.sfu = VxmSfu::Rsqrt;
  root.writes = {to(rstd, 0, {1, 0, 0})};
  emit(root);
  return rstd;
}

void Lowering::lower(const QNode& node, const QQuantize& op) {
  const ArrayId x = values_[node.inputs[0]];
  const int vectors = graph_.value_widths[node.output] / lanes_;
  const int per_group = target_.activation_group / lanes_;
  const int groups = (vectors + per_group - 1) / per_group;

  ArrayId gain = -1;
  if (op.gain >= 0 && resident_) {
    gain = resident_gains_[op.gain];
  } else if (op.gain >= 0) {
    gain = add_array(node.name + ".gain", state({1, 0}), 4, vectors);
    receive(gain);
  }
  const ArrayId maxima = add_value(node.name + ".max", state({2, 0}), groups);
  lower_statistics(node, op, x, gain, maxima);
  const ArrayId rstd = op.normalize ? lower_rstd(node, op, x, vectors) : -1;
  const int c127 = constant(1.0f / 127.0f);

  const ArrayId inverse = add_value(node.name + ".inverse", state({2, 1}), groups);
  VxmOperation invert;
  invert.name = node.name + ".inverse";
  invert.nest.count = {tokens_ * groups, 1, 1};
  invert.x = from(maxima, 0, {1, 0, 0});
  invert.pass = output(VxmOutFormat::F32);
  invert.pass.mul1 = VxmOperand::K1;
  invert.pass.k1 = static_cast<uint32_t>(c127);
  invert.pass.sfu = VxmSfu::Reciprocal;
  invert.writes = {to(inverse, 0, {1, 0, 0})};
  emit(invert);

  Codes codes;
  for (size_t side = 0; side < sides_.size(); ++side) {
    codes.by_side.push_back(add_array(node.name, on_side(static_cast<int>(side), {3, 1, next_slice_}),
                                      1, vectors * tokens_));
  }
  next_slice_ = (next_slice_ + 1) % 4;
  for (int first = 0; first < vectors;) {
    const int count = std::max(1, (vectors - first) / per_group);
    const int size = std::min(per_group, vectors - first);
    VxmOperation round;
    round.name = node.name + ".codes";
    round.nest.count = {tokens_, size, count};
    round.x = from(x, first * tokens_, {1, tokens_, size * tokens_});
    round.pass = output(VxmOutFormat::I8);
    if (gain >= 0) {
      round.y = from(gain, first, {0, 1, size});
      round.pass.mul1 = VxmOperand::Y;
    }
    round.z = from(inverse, first / per_group * tokens_, {1, 0, tokens_});
    round.pass.mul2 = VxmOperand::Z;
    for (ArrayId array : codes.by_side) {
      round.writes.push_back(to(array, first * tokens_, {1, tokens_, size * tokens_}));
    }
    emit(round);
    first += count * size;
  }

  // One scale vector per smallest weight window, so that a product walks windows alone.
  const int windows = target_.activation_group / graph_.numerics.weight_window;
  codes.scales = add_value(node.name + ".scales", state({1, 0}), groups * windows);
  VxmOperation scale;
  scale.name = node.name + ".scales";
  scale.nest.count = {tokens_, groups, 1};
  scale.x = from(maxima, 0, {1, tokens_, 0});
  scale.pass = output(VxmOutFormat::F32);
  scale.pass.mul1 = VxmOperand::K1;
  scale.pass.k1 = static_cast<uint32_t>(c127);
  if (rstd >= 0) {
    scale.y = from(rstd, 0, {1, 0, 0});
    scale.pass.mul2 = VxmOperand::Y;
  }
  for (int w = 0; w < windows; ++w) {
    scale.writes = {to(codes.scales, w * tokens_, {1, windows * tokens_, 0})};
    emit(scale);
  }
  codes_[node.output] = codes;
}

void Lowering::lower(const QNode& node, const QLinear& op) {
  const QuantizedMatrix& matrix = graph_.matrices[op.matrix];
  Product product;
  product.matrix = &matrix;
  const bool to_host = [&] {
    for (const QNode& other : graph_.nodes) {
      if (std::holds_alternative<QLogits>(other.op) && other.inputs[0] == node.output) return true;
    }
    return false;
  }();
  if (op.has_residual) product.residual = values_[node.inputs[1]];
  if (!to_host) {
    // Sums with a residual change banks from one to the next; the up product of a gate has a home
    // of its own, because both meet in one pass.
    Place place{0, 1};
    if (op.has_residual) {
      place.bank = 1 - value_banks_[node.inputs[1]];
      value_banks_[node.output] = place.bank;
    }
    for (const QNode& other : graph_.nodes) {
      if (std::holds_alternative<QSiluMul>(other.op) && other.inputs[1] == node.output) {
        place = {1, 1};
      }
    }
    product.output = add_value(node.name, state(place), matrix.rows / lanes_);
    values_[node.output] = product.output;
  }
  lower_product(node, codes_.at(node.inputs[0]), product);
}

void Lowering::lower(const QNode& node, const QSiluMul&) {
  const ArrayId gate = values_[node.inputs[0]], up = values_[node.inputs[1]];
  const int vectors = graph_.value_widths[node.output] / lanes_;
  const ArrayId denominator = add_value(node.name + ".denominator", state({2, 1}), vectors);
  const ArrayId out = add_value(node.name, state({0, 0}), vectors);
  values_[node.output] = out;
  VxmOperation sigmoid;
  sigmoid.name = node.name + ".denominator";
  sigmoid.x = from(gate, 0, {1, tokens_, 0});
  sigmoid.pass = output(VxmOutFormat::F32, VxmOutSource::W);
  sigmoid.pass.mul1 = VxmOperand::K1;
  sigmoid.pass.k1 = static_cast<uint32_t>(constant(minus_log2_e()));
  sigmoid.pass.sfu = VxmSfu::Exp2;
  sigmoid.pass.acc_op = VxmAccOp::AddK2;
  sigmoid.pass.k2 = static_cast<uint32_t>(constant(1.0f));
  sigmoid.writes = {to(denominator, 0, {1, tokens_, 0})};
  VxmOperation product;
  product.name = node.name;
  product.x = from(denominator, 0, {1, tokens_, 0});
  product.y = from(gate, 0, {1, tokens_, 0});
  product.z = from(up, 0, {1, tokens_, 0});
  product.pass = output(VxmOutFormat::F32);
  product.pass.sfu = VxmSfu::Reciprocal;
  product.pass.mul3 = VxmOperand::Y;
  product.pass.combine = VxmCombine::Z;
  product.writes = {to(out, 0, {1, tokens_, 0})};
  // In pieces of an activation group, so that quantization can begin with the first.
  const int piece = target_.activation_group / lanes_;
  for (int first = 0; first < vectors; first += piece) {
    const int count = std::min(piece, vectors - first);
    for (VxmOperation* op : {&sigmoid, &product}) {
      VxmOperation part = *op;
      part.nest.count = {tokens_, count, 1};
      for (Operand* o : {&part.x, &part.y, &part.z}) o->ref.index += first * tokens_;
      part.writes[0].index += first * tokens_;
      emit(part);
    }
  }
}

void Lowering::lower(const QNode&, const QLogits&) {}

}  // namespace pianola
