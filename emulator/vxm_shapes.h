// What a VXM pass does in each stage, apart from where its operands lie and which accumulator it uses; and
// the shapes of the passes that language models are compiled to, for which kernels have code of their own:
// a pass takes about as long as it takes to ask every stage what it is to do.
#pragma once

#include <array>
#include <cstddef>

#include "isa/instructions.h"

namespace pianola {

struct VxmShape {
  VxmFormat x = VxmFormat::None, y = VxmFormat::None, z = VxmFormat::None;
  VxmOperand mul1 = VxmOperand::None, mul2 = VxmOperand::None;
  VxmAddOp add_op = VxmAddOp::None;
  VxmOperand add_operand = VxmOperand::None;
  VxmSelect select = VxmSelect::None;
  VxmSfu sfu = VxmSfu::None;
  VxmOperand mul3 = VxmOperand::None;
  VxmTree tree = VxmTree::None;
  VxmRoot root = VxmRoot::None;
  VxmCombine combine = VxmCombine::None;
  VxmAccSource acc_source = VxmAccSource::V;
  VxmAccOp acc_op = VxmAccOp::None;
  VxmOutSource out_source = VxmOutSource::V;
  VxmOutFormat out = VxmOutFormat::None;
  bool first_loads = false;  // a pass may load the accumulator instead
  friend constexpr bool operator==(const VxmShape&, const VxmShape&) = default;
};

constexpr bool folds(VxmAccOp op) {
  return op == VxmAccOp::Add || op == VxmAccOp::Max || op == VxmAccOp::Min;
}

constexpr VxmShape shape_of(const VxmInstruction& i) {
  VxmShape s{i.x_format, i.y_format, i.z_format, i.mul1, i.mul2, i.add_op, i.add_operand, i.select,
             i.sfu, i.mul3, i.tree, i.root, i.combine, i.acc_source, i.acc_op, i.out_source,
             i.out_format};
  if (s.add_op == VxmAddOp::None) s.add_operand = VxmOperand::None;
  // Nearly all that fold do so from a first pass on.
  s.first_loads = folds(s.acc_op) ||
                  (i.first != VxmFirst::Never && i.acc_op != VxmAccOp::None);
  return s;
}

namespace vxm_shapes {

using F = VxmFormat;
using O = VxmOperand;

// Vectors of fp32 in and out.
constexpr VxmShape kPlain = {.x = F::F32, .out = VxmOutFormat::F32};

constexpr VxmShape with(VxmShape s, auto change) {
  change(s);
  return s;
}
constexpr VxmShape folded(VxmShape s, VxmAccOp op, VxmAccSource source = VxmAccSource::V) {
  s.acc_op = op;
  s.acc_source = source;
  s.out_source = VxmOutSource::W;
  s.first_loads = folds(op);
  return s;
}
constexpr VxmShape times(O first, O second = O::None) {
  VxmShape s = kPlain;
  s.mul1 = first;
  s.mul2 = second;
  if (first == O::Y || second == O::Y) s.y = F::F32;
  if (first == O::Z || second == O::Z) s.z = F::F32;
  return s;
}
constexpr VxmShape function(VxmSfu sfu, O first = O::None) {
  return with(times(first), [&](VxmShape& s) { s.sfu = sfu; });
}
constexpr VxmShape reduced(VxmShape s, VxmTree tree, VxmRoot root, VxmCombine combine) {
  s.tree = tree;
  s.root = root;
  s.combine = combine;
  return s;
}
constexpr VxmShape selected(VxmShape s) {
  s.select = VxmSelect::Lt;
  return s;
}
// Of matrix products.
constexpr VxmShape sums(VxmShape s) {
  s.x = F::I32;
  return s;
}
constexpr VxmShape codes(VxmShape s) {
  s.out = VxmOutFormat::I8;
  return s;
}
constexpr VxmShape scores(VxmAccOp op) {
  VxmShape s = folded(selected(sums(times(O::Y, O::Z))), op, VxmAccSource::R);
  s.tree = VxmTree::Max;
  s.out_source = VxmOutSource::V;
  return s;
}
constexpr VxmShape largest(VxmAccOp op) {
  return folded(reduced(kPlain, VxmTree::Absmax, VxmRoot::None, VxmCombine::None), op,
                VxmAccSource::R);
}

constexpr VxmShape kExponential =  // of a score less the largest; its sum, and times the scale of V
    with(folded(reduced(function(VxmSfu::Exp2), VxmTree::Sum, VxmRoot::None, VxmCombine::Z),
                VxmAccOp::Add, VxmAccSource::R),
         [](VxmShape& s) {
           s.y = s.z = F::F32;
           s.add_op = VxmAddOp::Sub;
           s.add_operand = O::Y;
           s.out_source = VxmOutSource::V;
         });

}  // namespace vxm_shapes

constexpr std::array kVxmShapes = [] {
  using namespace vxm_shapes;
  constexpr VxmAccSource kFromTree = VxmAccSource::R;
  return std::to_array<VxmShape>({
      // Sums of a window times scales; products with values.
      folded(sums(times(O::Y)), VxmAccOp::Add),
      folded(sums(times(O::Y, O::Z)), VxmAccOp::Add),
      folded(times(O::Y), VxmAccOp::Add),
      folded(VxmShape{.out = VxmOutFormat::F32}, VxmAccOp::Read),
      // Scores and their largest, the exponentials, what they are divided by.
      scores(VxmAccOp::Max),
      scores(VxmAccOp::Load),
      kExponential,
      function(VxmSfu::Reciprocal),
      function(VxmSfu::Reciprocal, O::K1),
      // Quantization: the largest magnitude of one vector or several, the scale, the codes.
      largest(VxmAccOp::Max),
      reduced(kPlain, VxmTree::Absmax, VxmRoot::Scale, VxmCombine::Replace),
      codes(reduced(kPlain, VxmTree::Absmax, VxmRoot::Reciprocal, VxmCombine::R)),
      codes(times(O::None, O::Z)),
      codes(times(O::Y)),
      // Norms: sums of squares and their reciprocal root.
      folded(reduced(times(O::Y), VxmTree::Sum, VxmRoot::None, VxmCombine::None), VxmAccOp::Add,
             kFromTree),
      with(function(VxmSfu::Rsqrt, O::K1),
           [](VxmShape& s) {
             s.add_op = VxmAddOp::Add;
             s.add_operand = O::K2;
           }),
      // Activation: 1 + exp2(-x), then x / that times the other half.
      folded(function(VxmSfu::Exp2, O::K1), VxmAccOp::AddK2),
      with(function(VxmSfu::Reciprocal),
           [](VxmShape& s) {
             s.y = s.z = F::F32;
             s.mul3 = O::Y;
             s.combine = VxmCombine::Z;
           }),
      // Rotation, scaling, staging.
      with(times(O::Y),
           [](VxmShape& s) {
             s.z = F::F32;
             s.add_op = VxmAddOp::Add;
             s.add_operand = O::Z;
           }),
      times(O::K1),
      times(O::K1, O::Y),
      times(O::Y),
      selected(kPlain),
      VxmShape{.out = VxmOutFormat::F32},
  });
}();

constexpr int kNoVxmShape = -1;

// The number of a shape in the list.
constexpr int number_of(const VxmShape& shape) {
  for (size_t i = 0; i < kVxmShapes.size(); ++i) {
    if (kVxmShapes[i] == shape) return static_cast<int>(i);
  }
  return kNoVxmShape;
}

}  // namespace pianola
