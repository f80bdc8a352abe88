// Products with weight matrices: a block of `lanes` outputs at a time, a window of tiles summed in the
// MXM, the scales applied in the VXM as the sums come.
#include <algorithm>

#include "compiler/lower/lowering.h"

namespace pianola {

// A product outside of layers (the head) is long: it has sections of its own, each of so many chunks
// that their scales take turns in all places.
constexpr int kChunksPerSection = 4;

void Lowering::lower_product(const QNode& node, const Codes& codes, const Product& product) {
  const QuantizedMatrix& matrix = *product.matrix;
  const int blocks = matrix.rows / lanes_, windows = matrix.windows();
  const int index = static_cast<int>(product.matrix - graph_.matrices.data());
  if (resident_) {
    for (int block = 0; block < blocks; ++block) {
      const ResidentBlock& where = resident_blocks_[index][block];
      lower_block(node, codes, product, block, where.scales, 0);
    }
    return;
  }
  const int chunk = blocks_per_chunk(matrix);
  for (int first = 0; first < blocks; first += chunk) {
    if (layer_.empty() && first > 0 && first / chunk % kChunksPerSection == 0) {
      const bool whole = first + kChunksPerSection * chunk <= blocks;
      begin_section(whole ? node.name : node.name + ".rest");
    }
    const int count = std::min(chunk, blocks - first);
    const ArrayId scales = add_array(node.name + ".weight_scales",
                                     state({2, 0, next_slice_ % 2 * 2}), 2, count * windows);
    next_slice_ = (next_slice_ + 1) % 4;
    CopyInOperation copy;
    copy.name = node.name + ".weight_scales";
    copy.nest.count = {windows, count, 1};
    copy.destination = to(scales, 0, {1, windows, 0});
    emit(copy);
    tape_vectors_ += static_cast<uint64_t>(count) * windows * 2;
    for (int block = first; block < first + count; ++block) {
      lower_block(node, codes, product, block, scales, (block - first) * windows);
    }
  }
}

void Lowering::lower_block(const QNode& node, const Codes& codes, const Product& product, int block,
                           ArrayId scales, int scales_index) {
  const QuantizedMatrix& matrix = *product.matrix;
  const int index = static_cast<int>(product.matrix - graph_.matrices.data());
  const int mxm = resident_ ? resident_blocks_[index][block].mxm : mxm_of(next_block_++);
  const int side = side_of_mxm(mxm), chain = chain_of(side);
  const AccumulatorGroup group = new_group(tokens_);
  if (product.residual >= 0) {
    VxmOperation preload;
    preload.name = node.name + ".residual";
    preload.chain = chain;
    preload.nest.count = {tokens_, 1, 1};
    preload.x = from(product.residual, block * tokens_, {1, 0, 0});
    preload.pass.acc_op = VxmAccOp::Load;
    preload.group = group;
    preload.accumulator_step = {1, 0, 0};
    emit(preload);
  }
  const int tiles = matrix.cols / lanes_, per_window = tiles_per_window(matrix);
  const int steps = (matrix.bits == 8 ? lanes_ : lanes_ / 2) / target_.mxm_load_streams;
  for (int first = 0; first < tiles;) {
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
    op.format = matrix.bits == 8 ? MxmLoadFormat::Int8 : MxmLoadFormat::Int4;
    op.orientation = MxmLoadOrientation::Output;
    if (resident_) {
      op.source = TileSource::Array;
      op.rows = to(resident_blocks_[index][block].tiles, first * steps, {0, steps, size * steps});
    } else {
      tape_vectors_ += static_cast<uint64_t>(windows) * size * steps *
                       static_cast<uint64_t>(target_.mxm_load_streams);
    }
    op.activation = to(codes.by_side[side], first * tokens_, {1, tokens_, size * tokens_});
    VxmOperation sum;
    sum.name = node.name;
    sum.chain = chain;
    sum.nest.count = {tokens_, windows, 1};
    sum.x.source = OperandSource::Mxm;
    sum.x.format = VxmFormat::I32;
    sum.y = from(scales, scales_index + first_window, {0, 1, 0}, VxmFormat::F16);
    // Activation scales are stored per smallest window.
    const int stride = matrix.window / graph_.numerics.weight_window * tokens_;
    sum.z = from(codes.scales, first_window * stride, {1, stride, 0});
    sum.pass.mul1 = VxmOperand::Y;
    sum.pass.mul2 = VxmOperand::Z;
    sum.pass.acc_op = VxmAccOp::Add;
    if (first == 0 && product.residual < 0) sum.pass.first = VxmFirst::Level2;
    sum.group = group;
    sum.accumulator_step = {1, 0, 0};
    if (last) {
      sum.pass.emit = VxmEmit::Level2;
      sum.pass.out_format = VxmOutFormat::F32;
      sum.pass.out_source = VxmOutSource::W;
      sum.closes_group = true;
      if (product.output >= 0) {
        sum.writes = {to(product.output, block * tokens_, {1, 0, 0})};
      } else {
        sum.to_host = true;
      }
    }
    op.consumers = {sum};
    emit(op);
    first += windows * size;
  }
}

// Tiles get the homes beyond the four state homes of their side, where nothing else reads.
void Lowering::declare_resident_weights() {
  const std::vector<std::array<int, 4>> homes = homes_of(target_);
  std::vector<std::vector<std::pair<int, int>>> used(sides_.size());  // words, home*2+bank
  for (size_t side = 0; side < sides_.size(); ++side) {
    const bool west = target_.slice_position(homes[sides_[side].home][0]) < target_.vxm_position;
    for (size_t home = sides_[side].home + 4; home < homes.size(); ++home) {
      if ((target_.slice_position(homes[home][0]) < target_.vxm_position) != west) break;
      used[side].emplace_back(0, static_cast<int>(home) * 2);
      used[side].emplace_back(0, static_cast<int>(home) * 2 + 1);
    }
  }
  for (size_t i = 0; i < graph_.gains.size(); ++i) {
    resident_gains_.push_back(add_array("gain" + std::to_string(i), state({1, 0}), 4,
                                        static_cast<int>(graph_.gains[i].size()) / lanes_));
    out_.program.arrays.back().persistent = true;
  }
  int next = 0;
  for (const QuantizedMatrix& matrix : graph_.matrices) {
    auto& blocks = resident_blocks_.emplace_back();
    const int streams = target_.mxm_load_streams;
    const int rows = matrix.bits == 8 ? lanes_ : lanes_ / 2;
    const int words = matrix.cols / lanes_ * rows / streams;
    for (int block = 0; block < matrix.rows / lanes_; ++block) {
      ResidentBlock where;
      where.mxm = mxm_of(next++);
      auto& candidates = used[side_of_mxm(where.mxm)];
      auto& least = *std::min_element(candidates.begin(), candidates.end());
      least.first += words;
      const std::string name = matrix.name + "[" + std::to_string(block) + "]";
      where.tiles =
          add_array(name + ".tiles", {least.second / 2, least.second % 2}, streams, words);
      where.scales = add_array(name + ".scales", state({2, 0, next % 2 * 2}), 2, matrix.windows());
      out_.program.arrays[where.tiles].persistent = true;
      out_.program.arrays[where.scales].persistent = true;
      blocks.push_back(where);
    }
  }
}

// A whole array from the tape.
void Lowering::receive(ArrayId id) {
  const Array& array = out_.program.arrays[id];
  CopyInOperation copy;
  copy.name = array.name;
  copy.nest.count = {array.vectors, 1, 1};
  copy.destination = to(id, 0, {1, 0, 0});
  tape_vectors_ += static_cast<uint64_t>(array.vectors) * array.streams;
  emit(copy);
}

void Lowering::load_resident_weights() {
  for (ArrayId gain : resident_gains_) receive(gain);
  for (const auto& blocks : resident_blocks_) {
    for (const ResidentBlock& where : blocks) {
      receive(where.scales);
      receive(where.tiles);
    }
  }
}

}  // namespace pianola
