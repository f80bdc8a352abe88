// Products with weights that stay in MEM. They cannot be prefetched beyond a tile, so order alone hides the
// latency of what comes before and after: the first windows of all blocks go through the matrix units as
// their codes are produced, then group after group of blocks gets its last windows, so that what follows
// can begin with the first group. The int32 sums wait in MEM until scales and the VXM have time for them.
#include <algorithm>

#include "compiler/lower/lowering.h"
#include "compiler/lower/tile_format.h"

namespace pianola {
namespace {

// Cycles from a product's last sums to the codes that the next product begins with, about: as much work
// should not depend on them.
constexpr int kCodesLatencyCycles = 270;

// The bank of tiles in homes that are shared; sums of their products are in the other one.
constexpr int kSpareBank = 1;

constexpr int kCopyMax = 256;  // of one loop level

}  // namespace

Place Lowering::sums_place(bool spare) {
  const int turn = next_sums_++;
  if (sides_.size() == 1) return state({3, turn % 2});
  const int bank = spare ? 1 - kSpareBank : turn / 2 % 2;
  return on_side(static_cast<int>(sides_.size()) - 1, {1 + turn % 2, bank});
}

// Arrays that together hold `words` load steps, in the least used homes of the unit.
std::vector<ArrayId> Lowering::declare_tiles(const std::string& name, int unit, int words,
                                             std::vector<std::array<int, 2>>& used,
                                             bool& spare) {
  const int mxm = mxm_of(unit), side = side_of_mxm(mxm), bank_words = target_.words_per_slice / 2;
  const std::vector<int>& mxms = sides_[side].mxms;
  const int number = static_cast<int>(std::find(mxms.begin(), mxms.end(), mxm) - mxms.begin());
  const std::vector<TileGroup>* groups = nullptr;
  int best = -1, best_bank = 0, least = INT32_MAX;
  const auto consider = [&](const std::vector<TileGroup>& from, int share, int turn) {
    for (int g = 0, own = 0; g < static_cast<int>(from.size()); ++g) {
      if (from[g].spare != spare) continue;
      if (own++ % share != turn) continue;
      for (int bank : {0, 1}) {
        const int there = used[from[g].homes[0]][bank];
        if (spare && bank != kSpareBank) continue;
        if (there + words > (spare ? bank_words / 2 : bank_words) || there >= least) continue;
        groups = &from;
        best = g;
        best_bank = bank;
        least = there;
      }
    }
  };
  const auto& mine = sides_[side].groups;
  const int count = static_cast<int>(
      std::count_if(mine.begin(), mine.end(), [](const TileGroup& g) { return !g.spare; }));
  const int share = std::max(1, std::min(count, static_cast<int>(mxms.size())));
  spare = false;
  consider(mine, share, number % share);
  spare = best < 0;
  for (size_t s = 0; s < sides_.size() && best < 0; ++s) consider(sides_[s].groups, 1, 0);
  if (best < 0) {
    groups = &mine;  // the allocator will say that there is no room
    best = number % share;
  }
  std::vector<ArrayId> arrays;
  for (int home : (*groups)[best].homes) {
    arrays.push_back(add_array(name, {home, best_bank}, std::min(4, target_.mxm_load_streams), words));
    out_.program.arrays.back().persistent = true;
    used[home][best_bank] += words;
  }
  return arrays;
}

void Lowering::declare_resident_weights() {
  for (size_t i = 0; i < graph_.gains.size(); ++i) {
    resident_gains_.push_back(add_array("gain" + std::to_string(i), state({1, 0}), 4,
                                        static_cast<int>(graph_.gains[i].size()) / lanes_));
    out_.program.arrays.back().persistent = true;
  }
  for (size_t i = 0; i < graph_.matrices.size(); ++i) {
    const QuantizedMatrix& matrix = graph_.matrices[i];
    resident_scales_.push_back(add_array(matrix.name + ".scales",
                                         state({2, 0, static_cast<int>(i) % 2 * 2}), 2,
                                         matrix.rows / lanes_ * matrix.windows()));
    out_.program.arrays.back().persistent = true;
  }
  products_ = resident_products(graph_, target_);
  std::vector<std::array<int, 2>> used(homes_of(target_).size(), {0, 0});
  const int units = static_cast<int>(target_.mxm_positions.size());
  for (const ResidentProduct& product : products_) {
    ResidentArrays& arrays = resident_.emplace_back();
    const int steps = load_steps(product, target_);
    for (int unit = 0; unit < units; ++unit) {
      int tiles = 0;
      for (const ResidentUnit& what : windows_of_unit(product, unit, units)) {
        tiles += tiles_of_window(product, what.window);
      }
      arrays.tiles.emplace_back();
      if (tiles == 0) continue;
      const QNode& node = graph_.nodes[product.nodes[0]];
      bool spare = false;
      arrays.tiles.back() = declare_tiles(node.name + ".tiles", unit, tiles * steps, used, spare);
      arrays.spare = arrays.spare || spare;
    }
  }
}

// A whole array from the tape.
void Lowering::receive(ArrayId id) {
  const Array& array = out_.program.arrays[id];
  CopyInOperation copy;
  copy.name = array.name;
  for (int first = 0; first < array.vectors;) {
    const int left = array.vectors - first;
    copy.nest.count = {std::min(left, kCopyMax), std::clamp(left / kCopyMax, 1, kCopyMax), 1};
    copy.destination = to(id, first, {1, kCopyMax, 0});
    first += copy.nest.count[0] * copy.nest.count[1];
    emit(copy);
  }
  tape_vectors_ += static_cast<uint64_t>(array.vectors) * array.streams;
}

void Lowering::load_resident_weights() {
  for (ArrayId gain : resident_gains_) receive(gain);
  for (ArrayId scales : resident_scales_) receive(scales);
  for (const ResidentArrays& arrays : resident_) {
    for (const std::vector<ArrayId>& unit : arrays.tiles) {
      for (ArrayId id : unit) receive(id);
    }
  }
}

// All parts of the product that begins with this node, if one does.
void Lowering::lower_resident(int node) {
  bool first = true;
  for (size_t i = 0; i < products_.size(); ++i) {
    if (products_[i].nodes[0] != node) continue;
    if (!first && layer_.empty()) {
      const bool whole = products_[i].blocks.size() == kResidentBlocksMax;
      const std::string& name = graph_.nodes[node].name;
      begin_section(whole ? name : name + ".rest");
    }
    first = false;
    lower_resident(products_[i], resident_[i]);
  }
}

void Lowering::lower_resident(const ResidentProduct& product, const ResidentArrays& arrays) {
  ResidentWork work{&product, &arrays, nullptr, {}, {}};
  for (int index : product.nodes) {
    const QNode& node = graph_.nodes[index];
    const auto& op = std::get<QLinear>(node.op);
    const bool again = values_[node.output] >= 0;  // an earlier part has declared it
    Product output;
    if (again) {
      output.matrix = &graph_.matrices[op.matrix];
      output.output = values_[node.output];
      if (op.has_residual) output.residual = values_[node.inputs[1]];
    } else {
      output = declare_output(node, op);
    }
    work.outputs[op.matrix] = output;
    work.nodes[op.matrix] = &node;
    work.codes = &codes_.at(node.inputs[0]);
  }
  std::vector<BlockGroup> groups;
  for (int end : product.group_ends) {
    const int first = groups.empty() ? 0 : groups.back().end;
    groups.push_back({first, end,
                      add_array(graph_.nodes[product.nodes[0]].name + ".window_sums",
                                sums_place(arrays.spare), 4, (end - first) * product.windows * tokens_)});
  }
  const int early = early_windows(product);
  for (int window = 0; window < early; ++window) {
    for (const BlockGroup& group : groups) multiply(work, group, window, window + 1);
  }
  for (const BlockGroup& group : groups) {
    multiply(work, group, early, product.windows);
    for (int block = group.first; block < group.end;) {
      int end = block + 1;
      while (end < group.end && product.blocks[end].matrix == product.blocks[block].matrix) ++end;
      reduce(work, group, block, end);
      block = end;
    }
  }
}

// Windows that all blocks get before the first one gets its others.
int Lowering::early_windows(const ResidentProduct& product) const {
  if (layer_.empty()) return 0;
  const int64_t period = std::max(load_steps(product, target_), tokens_);
  const int64_t pass = period * static_cast<int64_t>(product.blocks.size()) *
                       product.tiles_per_window /
                       static_cast<int64_t>(target_.mxm_positions.size());
  const int64_t windows = (kCodesLatencyCycles + pass - 1) / std::max<int64_t>(1, pass);
  return static_cast<int>(std::min<int64_t>(product.windows - 1, windows));
}

// Windows first .. end - 1 of a group's blocks.
void Lowering::multiply(const ResidentWork& work, const BlockGroup& group, int first, int end) {
  const int units = static_cast<int>(target_.mxm_positions.size());
  // A last window that is shorter goes by itself.
  const int last = work.product->windows - 1;
  const bool shorter =
      end == work.product->windows &&
      tiles_of_window(*work.product, last) < work.product->tiles_per_window;
  for (int unit = 0; unit < units; ++unit) {
    multiply_on(work, group, unit, first, shorter ? last : end);
    if (shorter) multiply_on(work, group, unit, last, end);
  }
}

void Lowering::multiply_on(const ResidentWork& work, const BlockGroup& group, int unit, int first,
                           int end) {
  const ResidentProduct& product = *work.product;
  const int units = static_cast<int>(target_.mxm_positions.size());
  const int whole = static_cast<int>(product.blocks.size()) / units * units;
  const int begin = group.first + (unit - group.first % units + units) % units;
  const int limit = std::min(group.end, whole);
  // Windows whose codes follow each other in one array.
  const std::vector<CodesPlace>& places = work.codes->groups;
  const auto group_of = [&](int window) {
    return static_cast<size_t>(window * product.tiles_per_window * lanes_ / target_.activation_group);
  };
  const auto end_from = [&](int window) {
    int next = window + 1;
    for (; next < end; ++next) {
      const CodesPlace &a = places[group_of(next - 1)], &b = places[group_of(next)];
      if (a.turn != b.turn || b.index - a.index > 1) break;
    }
    return next;
  };
  for (int w = first; begin < limit && w < end; w = end_from(w)) {
    emit_windows(work, group, {begin, w}, end_from(w) - w, 1, (limit - begin + units - 1) / units);
  }
  for (int block = std::max(group.first, whole); block < group.end; ++block) {
    const int share = units_per_block(product, block, units);
    for (int w = first; w < end;) {
      if (place_of(product, {block, w}, units).unit != unit) {
        ++w;
        continue;
      }
      const int windows = (end_from(w) - w + share - 1) / share;
      emit_windows(work, group, {block, w}, windows, share, 1);
      w += windows * share;
    }
  }
}

// Windows of a block, `stride` apart, then those of the blocks that the unit has next.
void Lowering::emit_windows(const ResidentWork& work, const BlockGroup& group, ResidentUnit start,
                            int windows, int stride, int repeats) {
  const ResidentProduct& product = *work.product;
  const int units = static_cast<int>(target_.mxm_positions.size());
  const ResidentPlace place = place_of(product, start, units);
  const int steps = load_steps(product, target_), per_window = product.tiles_per_window;
  MatmulOperation op;
  op.name = work.nodes.at(product.blocks[start.block].matrix)->name;
  op.mxm = mxm_of(place.unit);
  op.activations = tokens_;
  op.tiles = tiles_of_window(product, start.window);
  op.windows = windows;
  op.repeats = repeats;
  op.format = load_format(product.bits);
  op.orientation = MxmLoadOrientation::Output;
  op.source = TileSource::Array;
  for (ArrayId id : work.arrays->tiles[place.unit]) {
    op.rows.push_back(to(id, place.tile * steps,
                         {1, steps, (repeats > 1 ? product.tiles : per_window) * steps}));
  }
  op.activation = codes_at(work.codes->by_mxm[op.mxm], work.codes->groups, start.window * per_window,
                           {1, tokens_, repeats > 1 ? 0 : stride * per_window * tokens_});
  op.sums = to(group.sums,
               ((start.block - group.first) * product.windows + start.window) * tokens_,
               {1, stride * tokens_, units * product.windows * tokens_});
  emit(op);
}

// The sums of all windows with their scales, in ascending order, on the residual if there is one. They fill the
// first chain with dense passes; what comes next, with gaps in which no dense passes fit, is on the last one.
void Lowering::reduce(const ResidentWork& work, const BlockGroup& group, int first, int end) {
  const ResidentProduct& product = *work.product;
  const QMatrix id = product.blocks[first].matrix;
  const Product& output = work.outputs.at(id);
  const std::string& name = work.nodes.at(id)->name;
  const int most = std::max(1, target_.vxm_accumulators / 4 / tokens_);
  const int windows = product.windows;
  // Activation scales are stored per smallest window.
  const int stride = output.matrix->window / graph_.numerics.weight_window * tokens_;
  for (int from_block = first; from_block < end; from_block += most) {
    const int count = std::min(most, end - from_block);
    const int block = product.blocks[from_block].block;
    VxmOperation sum;
    sum.group = new_group(tokens_ * count);
    sum.accumulator_step = {1, tokens_, 0};
    if (output.residual >= 0) {
      VxmOperation preload = sum;
      preload.name = name + ".residual";
      preload.nest.count = {tokens_, count, 1};
      preload.x = from(output.residual, block * tokens_, {1, tokens_, 0});
      preload.pass.acc_op = VxmAccOp::Load;
      emit(preload);
    }
    sum.name = name;
    sum.nest.count = {tokens_, count, windows};
    sum.x = from(group.sums, (from_block - group.first) * windows * tokens_,
                 {1, windows * tokens_, tokens_}, VxmFormat::I32);
    sum.y = from(resident_scales_[id], block * windows, {0, windows, 1}, VxmFormat::F16);
    sum.z = from(work.codes->scales, 0, {1, 0, stride});
    sum.pass.mul1 = VxmOperand::Y;
    sum.pass.mul2 = VxmOperand::Z;
    sum.pass.acc_op = VxmAccOp::Add;
    if (output.residual < 0) sum.pass.first = VxmFirst::Level3;
    sum.pass.emit = VxmEmit::Level3;
    sum.pass.out_format = VxmOutFormat::F32;
    sum.pass.out_source = VxmOutSource::W;
    sum.closes_group = true;
    if (output.chosen_from) {
      const ArrayId logits = add_value(name + ".logits", state({0, 1}), count);
      sum.writes = {to(logits, 0, {1, tokens_, 0})};
      emit(sum);
      choose_in_blocks(logits, block, count);
      continue;
    }
    sum.to_host = output.output < 0;
    if (!sum.to_host) sum.writes = {to(output.output, block * tokens_, {1, tokens_, 0})};
    emit(sum);
  }
}

}  // namespace pianola
