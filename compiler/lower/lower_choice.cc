// The greedy choice, for entries that send tokens instead of logits: the largest logit of each token and
// the index of the first that has it.
//
// Blocks of logits become one value and one index each, which are written to the lanes of two vectors per
// `lanes` blocks; those become the lanes of fewer vectors, and so on, until one vector is left. Indices are
// whole numbers in fp32, exact below 2^24. In a step with vectors of values m and indices i, whose lanes
// stand for `reach` tokens each,
//
//   value = max(m)     lane = argmax(m)     index = sum over k of (i[k] + reach * k) * exp2(-200 (k - lane)^2)
//
// where the power is 1 at k = lane and 0 elsewhere.
#include <algorithm>
#include <limits>

#include "compiler/lower/lowering.h"

namespace pianola {
namespace {

constexpr float kBelowAllPowers = -200;  // exp2 of it is zero

VxmInstruction to_f32() {
  VxmInstruction pass;
  pass.out_format = VxmOutFormat::F32;
  return pass;
}

// The tree's result in all lanes.
VxmInstruction reduction(VxmTree tree) {
  VxmInstruction pass = to_f32();
  pass.tree = tree;
  pass.combine = VxmCombine::Replace;
  return pass;
}

}  // namespace

// Places for `count` values and indices per token. Lanes that stand for nothing lose against all others.
Lowering::Choices Lowering::declare_choices(int count, int level) {
  Choices choices;
  choices.count = count;
  choices.vectors = (count + lanes_ - 1) / lanes_;
  const int bank = level % 2;
  const std::string name = "choice" + std::to_string(level);
  const int vectors = choices.vectors * tokens_ + 1;  // a lane beyond a vector is one of the next
  choices.values = add_array(name + ".values", state({1, bank}), 4, vectors);
  choices.indices = add_array(name + ".indices", state({2, bank}), 4, vectors);
  if (count % lanes_ == 0) return choices;
  VxmOperation clear;
  clear.name = name + ".clear";
  clear.nest.count = {tokens_, 1, 1};
  clear.pass = to_f32();
  clear.writes = {to(choices.indices, choices.vectors - 1, {choices.vectors, 0, 0})};
  emit(clear);
  clear.pass.select = VxmSelect::Lt;
  clear.pass.k2 = static_cast<uint32_t>(constant(-std::numeric_limits<float>::infinity()));
  clear.writes = {to(choices.values, choices.vectors - 1, {choices.vectors, 0, 0})};
  emit(clear);
  return choices;
}

// Lanes `first` on, one per iteration of level 1, of a token's vectors (level 2).
ArrayRef Lowering::lanes_of(const Choices& choices, ArrayId array, int first) const {
  ArrayRef ref = to(array, first / lanes_, {0, choices.vectors, 0});
  ref.lane = first % lanes_;
  ref.lane_step = 1;
  return ref;
}

// Of blocks first .. first + count - 1; logits [block - first][token].
void Lowering::choose_in_blocks(ArrayId logits, int first, int count) {
  const int rest = graph_.model.vocabulary % lanes_;
  const int whole = graph_.model.vocabulary / lanes_;
  for (int block = first; block < first + count;) {
    const bool partial = block == whole;
    const int end = partial ? block + 1 : std::min({first + count, whole, block + lanes_});
    for (const VxmTree tree : {VxmTree::Max, VxmTree::Argmax}) {
      VxmOperation op;
      op.name = tree == VxmTree::Max ? "choice0.value" : "choice0.index";
      op.chain = element_chain();
      op.nest.count = {end - block, tokens_, 1};
      op.x = from(logits, (block - first) * tokens_, {tokens_, 1, 0});
      op.pass = reduction(tree);
      if (partial) {
        op.pass.select = VxmSelect::Lt;
        op.pass.select_imm = rest;
        op.pass.k2 = static_cast<uint32_t>(constant(-std::numeric_limits<float>::infinity()));
      }
      op.writes = {lanes_of(choices_, tree == VxmTree::Max ? choices_.values : choices_.indices,
                            block)};
      emit(op);
    }
    block = end;
  }
}

// Steps until one vector is left per token; its value and index go to the host.
void Lowering::finish_choice() {
  float reach = static_cast<float>(lanes_);
  for (int level = 1; choices_.vectors > 1; ++level, reach *= static_cast<float>(lanes_)) {
    const Choices next = declare_choices(choices_.vectors, level + 1);
    choose(next, reach, level);
    choices_ = next;
  }
  choose({}, reach, 0);
}

// One step, to the lanes of `next`, or to the host if that has none.
void Lowering::choose(const Choices& next, float reach, int level) {
  const std::string name = "choice" + std::to_string(level);
  const int vectors = choices_.vectors;
  const ArrayId lane = add_value(name + ".lane", state({0, 0}), vectors);
  const ArrayId distance = add_value(name + ".distance", state({3, 1}), vectors);
  const ArrayId reaches = add_array(name + ".reaches", state({0, 1}), 4, 1);
  const ArrayId indices = add_value(name + ".indices", state({0, 0}), vectors);
  VxmOperation scale;
  scale.name = name + ".reaches";
  scale.pass = to_f32();
  scale.pass.add_op = VxmAddOp::Add;
  scale.pass.add_operand = VxmOperand::K1;
  scale.pass.k1 = static_cast<uint32_t>(constant(1));
  scale.pass.mul3 = VxmOperand::Lane;
  scale.pass.combine = VxmCombine::K2;
  scale.pass.k2 = static_cast<uint32_t>(constant(reach));
  scale.writes = {to(reaches, 0, {})};
  emit(scale);
  // In pieces that fill the lanes of one vector.
  for (int first = 0; first < vectors; first += lanes_) {
    const std::array<int, 3> step = {1, vectors, 0};
    VxmOperation op;
    op.chain = element_chain();
    op.nest.count = {std::min(lanes_, vectors - first), tokens_, 1};
    const auto begin = [&](const char* what, ArrayId x, VxmInstruction pass) {
      op.name = name + what;
      op.x = from(x, first, step);
      op.y = op.z = {};
      op.pass = pass;
      op.to_host = false;
    };
    const auto send = [&](ArrayId array) {
      op.writes.clear();
      op.to_host = next.vectors == 0;
      if (!op.to_host) op.writes = {lanes_of(next, array, first)};
      emit(op);
    };
    const auto keep = [&](ArrayId array) {
      op.writes = {to(array, first, step)};
      emit(op);
    };
    begin(".value", choices_.values, reduction(VxmTree::Max));
    send(next.values);
    begin(".lane", choices_.values, reduction(VxmTree::Argmax));
    keep(lane);
    begin(".distance", lane, to_f32());
    op.pass.add_op = VxmAddOp::Sub;
    op.pass.add_operand = VxmOperand::Lane;
    keep(distance);
    begin(".indices", choices_.indices, to_f32());
    op.y = from(reaches, 0, {});
    op.pass.add_op = VxmAddOp::Add;
    op.pass.add_operand = VxmOperand::Y;
    keep(indices);
    begin(".index", distance, reduction(VxmTree::Sum));
    op.y = op.x;
    op.z = from(indices, first, step);
    op.pass.mul1 = VxmOperand::Y;
    op.pass.mul2 = VxmOperand::K1;
    op.pass.k1 = static_cast<uint32_t>(constant(kBelowAllPowers));
    op.pass.sfu = VxmSfu::Exp2;
    op.pass.mul3 = VxmOperand::Z;
    send(next.indices);
  }
}

}  // namespace pianola
