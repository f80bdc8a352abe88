// Products with weight matrices: a block of `lanes` outputs at a time, a window of tiles summed in the
// MXM, the scales applied in the VXM as the sums come.
#include <algorithm>

#include "compiler/lower/lowering.h"
#include "compiler/lower/tile_format.h"

namespace pianola {

// A product outside of layers (the head) is long: it has sections of its own, each of so many chunks
// that their scales take turns in all places.
constexpr int kChunksPerSection = 4;

void Lowering::lower(const QNode& node, const QLinear&) {
  const size_t first_operation = out_.program.operations.size();
  for (const TapePart& part : tape_parts(graph_, target_, node)) {
    const QNode& product = *part.product;
    auto at = linears_.find(product.output);
    if (at == linears_.end()) {
      at = linears_.emplace(product.output, declare_output(product, std::get<QLinear>(product.op))).first;
    }
    lower_part(part, at->second);
    emit_late_steps();
    release_passes();
  }
  if (!waits_for_turns(node)) return;
  waiting_ = take_back(first_operation);
  waiting_next_ = 0;
}

void Lowering::lower_part(const TapePart& part, const Product& product) {
  const std::string& name = part.product->name;
  const int windows = part.windows(), chunk = blocks_per_chunk(part);
  for (int first = part.first_block; first < part.end_block; first += chunk) {
    if (layer_.empty() && first > 0 && first / chunk % kChunksPerSection == 0) {
      const bool whole = first + kChunksPerSection * chunk <= part.end_block;
      begin_section(whole ? name : name + ".rest");
    }
    const int count = std::min(chunk, part.end_block - first);
    const ArrayId scales = add_array(name + ".weight_scales", state({2, 0, next_slice_ % 2 * 2}), 2,
                                     count * windows);
    next_slice_ = (next_slice_ + 1) % 4;
    CopyInOperation copy;
    copy.name = name + ".weight_scales";
    copy.nest.count = {windows, count, 1};
    copy.destination = to(scales, 0, {1, windows, 0});
    emit(copy);
    tape_vectors_ += static_cast<uint64_t>(count) * windows * 2;
    ArrayRef output = to(product.output, first * tokens_, {1, 0, 0});
    if (product.chosen_from) {
      output = to(add_value(name + ".logits", state({0, 1}), count), 0, {1, 0, 0});
    }
    for (int block = first; block < first + count; ++block, output.index += tokens_) {
      lower_block(part, product, block, output, to(scales, (block - first) * windows, {0, 1, 0}));
      if (!late_steps_.empty() && clock_.now() >= late_steps_.front().from) emit_late_step();
    }
    if (product.chosen_from) choose_in_blocks(output.array, first, count);
  }
}

// Of a block the sums of some windows, on the residual or on those of the windows before. They go to `output`, or
// to the host if that names no array.
void Lowering::lower_block(const TapePart& part, const Product& product, int block,
                           const ArrayRef& output, const ArrayRef& scales) {
  const QNode& node = *part.product;
  const Codes& codes = codes_.at(node.inputs[0]);
  const QuantizedMatrix& matrix = *product.matrix;
  const int mxm = mxm_of(next_block_++);
  const int side = side_of_mxm(mxm), chain = chain_of(side);
  const AccumulatorGroup group = new_group(tokens_);
  const ArrayId before = part.first_window > 0 ? product.output : product.residual;
  if (before >= 0) {
    VxmOperation preload;
    preload.name = node.name + ".residual";
    preload.chain = chain;
    preload.nest.count = {tokens_, 1, 1};
    preload.x = from(before, block * tokens_, {1, 0, 0});
    preload.pass.acc_op = VxmAccOp::Load;
    preload.group = group;
    preload.accumulator_step = {1, 0, 0};
    emit(preload);
  }
  const int per_window = tiles_per_window(matrix), begin = part.first_window * per_window;
  const int tiles = std::min(matrix.cols / lanes_, part.end_window * per_window);
  for (int first = begin; first < tiles;) {
    const int windows = std::max(1, (tiles - first) / per_window);
    const int size = std::min(per_window, tiles - first);
    const int first_window = first / per_window;
    const bool last = first + windows * size == tiles;
    MatmulOperation op;
    op.name = node.name;
    op.mxm = mxm;
    op.activations = tokens_;
    op.tiles = size;
    op.windows = windows;
    op.format = load_format(matrix.bits);
    op.orientation = MxmLoadOrientation::Output;
    const int64_t vectors = int64_t{windows} * size * tile_vectors(matrix.bits, lanes_);
    tape_vectors_ += static_cast<uint64_t>(vectors);
    clock_.load_from_tape(vectors);
    op.activation = codes_at(codes.by_mxm[mxm], codes.groups, first, {1, tokens_, size * tokens_});
    VxmOperation sum;
    sum.name = node.name;
    sum.chain = chain;
    sum.nest.count = {tokens_, windows, 1};
    sum.x.source = OperandSource::Mxm;
    sum.x.format = VxmFormat::I32;
    sum.y = from(scales.array, scales.index + first_window - part.first_window, scales.step, VxmFormat::F16);
    // Activation scales are stored per smallest window.
    const int stride = matrix.window / graph_.numerics.weight_window * tokens_;
    sum.z = from(codes.scales, first_window * stride, {1, stride, 0});
    sum.pass.mul1 = VxmOperand::Y;
    sum.pass.mul2 = VxmOperand::Z;
    sum.pass.acc_op = VxmAccOp::Add;
    if (first == begin && before < 0) sum.pass.first = VxmFirst::Level2;
    sum.group = group;
    sum.accumulator_step = {1, 0, 0};
    if (last) {
      sum.pass.emit = VxmEmit::Level2;
      sum.pass.out_format = VxmOutFormat::F32;
      sum.pass.out_source = VxmOutSource::W;
      sum.closes_group = true;
      sum.to_host = output.array < 0;
      if (!sum.to_host) sum.writes = {output};
    }
    op.consumers = {sum};
    emit(op);
    first += windows * size;
  }
}

}  // namespace pianola
