// A batch of VXM passes, stage by stage over all lanes of all passes. Everything is forced inline, so
// a caller compiled for a wider instruction set gets its own copy (emulator/kernels.h). Inside a
// FlushDenormalsScope only: see isa/arithmetic_fast.h.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "emulator/lift.h"
#include "emulator/word_vectors.h"
#include "isa/arithmetic_fast.h"

#define PIANOLA_INLINE [[gnu::always_inline]] inline

namespace pianola::vxm_kernel {

namespace fast = arith::fast;

constexpr int kMostLanes = 512;  // lanes of all passes of a batch, or of one pass

// kLanes lanes a pass, or any number if 0: a constant number unrolls the inner loops.
template <int kLanes>
struct Shape {
  int passes;
  int dynamic_lanes;
  PIANOLA_INLINE int lanes() const { return kLanes != 0 ? kLanes : dynamic_lanes; }
};

template <int kLanes, typename Body>
PIANOLA_INLINE void each(const Shape<kLanes>& shape, Body body) {
  const int lanes = shape.lanes();
  for (int p = 0; p < shape.passes; ++p) {
    const int base = p * lanes;
#pragma GCC ivdep
#pragma GCC unroll 1
    for (int i = 0; i < lanes; ++i) body(base + i, p, i);
  }
}

struct alignas(64) Lanes {
  uint32_t at[kMostLanes];
};

// What an operand of a stage is: an array of lanes, or one pattern for all.
struct Operand {
  const uint32_t* lanes = nullptr;
  uint32_t pattern = 0;
};

template <auto Function, int kLanes>
PIANOLA_INLINE void apply(const Shape<kLanes>& shape, uint32_t* v, const Operand& o) {
  if (o.lanes != nullptr) {
    const uint32_t* lanes = o.lanes;
    each(shape, [=](int j, int, int) { v[j] = Function(v[j], lanes[j]); });
  } else {
    const uint32_t pattern = o.pattern;
    each(shape, [=](int j, int, int) { v[j] = Function(v[j], pattern); });
  }
}

PIANOLA_INLINE uint32_t rsub_lane(uint32_t a, uint32_t b) { return fast::sub_lane(b, a); }
PIANOLA_INLINE uint32_t iadd_lane(uint32_t a, uint32_t b) { return a + b; }

PIANOLA_INLINE const uint8_t* bytes_at(Place place) {
  return reinterpret_cast<const uint8_t*>(place);
}

template <int kLanes>
PIANOLA_INLINE void load_operand(const Shape<kLanes>& shape, VxmFormat format, const Place* places,
                                 int step, uint32_t* out) {
  const int lanes = shape.lanes();
  for (int p = 0; p < shape.passes; ++p, places += step, out += lanes) {
    if (format == VxmFormat::I8) {
      const int8_t* a = reinterpret_cast<const int8_t*>(places[0]);
#pragma GCC ivdep
#pragma GCC unroll 1
      for (int i = 0; i < lanes; ++i) out[i] = fast::int8_to_f32_lane(a[i]);
      continue;
    }
    if (are_words(places)) {
      const uint32_t* words = words_at(places);
      for (int i = 0; i < lanes; ++i) out[i] = words[format == VxmFormat::F32Lane0 ? 0 : i];
      continue;
    }
    const uint8_t* a = bytes_at(places[0]);
    const uint8_t* b = bytes_at(places[1]);
    if (format == VxmFormat::F16 || format == VxmFormat::Bf16) {
#pragma GCC ivdep
#pragma GCC unroll 1
      for (int i = 0; i < lanes; ++i) out[i] = a[i] | static_cast<uint32_t>(b[i]) << 8;
      continue;
    }
    const uint8_t* c = bytes_at(places[2]);
    const uint8_t* d = bytes_at(places[3]);
    if (format == VxmFormat::F32Lane0) {
      const uint32_t all = a[0] | static_cast<uint32_t>(b[0]) << 8 |
                           static_cast<uint32_t>(c[0]) << 16 | static_cast<uint32_t>(d[0]) << 24;
      for (int i = 0; i < lanes; ++i) out[i] = all;
      continue;
    }
#pragma GCC ivdep
#pragma GCC unroll 1
    for (int i = 0; i < lanes; ++i) {
      out[i] = a[i] | static_cast<uint32_t>(b[i]) << 8 | static_cast<uint32_t>(c[i]) << 16 |
               static_cast<uint32_t>(d[i]) << 24;
    }
  }
}

template <int kLanes>
PIANOLA_INLINE void convert_operand(const Shape<kLanes>& shape, VxmFormat format, uint32_t* v) {
  switch (format) {
    case VxmFormat::None:
    case VxmFormat::I8:
    case VxmFormat::F32:
    case VxmFormat::Raw:
    case VxmFormat::F32Lane0: return;
    case VxmFormat::I32:
      return each(shape, [=](int j, int, int) {
        v[j] = fast::int32_to_f32_lane(static_cast<int32_t>(v[j]));
      });
    case VxmFormat::Bf16:
      return each(shape, [=](int j, int, int) {
        v[j] = fast::bf16_to_f32_lane(static_cast<uint16_t>(v[j]));
      });
    case VxmFormat::F16:
      return each(shape, [=](int j, int, int) {
        v[j] = fast::f16_to_f32_lane(static_cast<uint16_t>(v[j]));
      });
  }
}

// Reads and converts; places are those of this operand in the first pass.
template <int kLanes>
PIANOLA_INLINE void fetch(const Shape<kLanes>& shape, VxmFormat format, const Place* places,
                          int step, uint32_t* out) {
  if (format == VxmFormat::None) return each(shape, [=](int j, int, int) { out[j] = 0; });
  load_operand(shape, format, places, step, out);
  convert_operand(shape, format, out);
}

template <int kLanes>
PIANOLA_INLINE void add_stage(const Shape<kLanes>& shape, VxmAddOp op, uint32_t* v,
                              const Operand& o) {
  switch (op) {
    case VxmAddOp::None: return;
    case VxmAddOp::Add: return apply<fast::add_lane>(shape, v, o);
    case VxmAddOp::Sub: return apply<fast::sub_lane>(shape, v, o);
    case VxmAddOp::Rsub: return apply<rsub_lane>(shape, v, o);
    case VxmAddOp::Min: return apply<fast::min_lane>(shape, v, o);
    case VxmAddOp::Max: return apply<fast::max_lane>(shape, v, o);
    case VxmAddOp::Iadd: return apply<iadd_lane>(shape, v, o);
  }
}

template <int kLanes>
PIANOLA_INLINE void select_stage(const Shape<kLanes>& shape, VxmSelect select,
                                 const VxmPass* passes, uint32_t base, uint32_t k2, uint32_t* v) {
  const int lanes = shape.lanes();
  for (int p = 0; p < shape.passes; ++p, v += lanes) {
    const int32_t threshold =
        static_cast<int32_t>(base + static_cast<uint32_t>(passes[p].threshold));
    if (select == VxmSelect::Lt) {
      for (int i = 0; i < lanes; ++i) v[i] = i < threshold ? v[i] : k2;
    } else if (select == VxmSelect::Ge) {
      for (int i = 0; i < lanes; ++i) v[i] = i >= threshold ? v[i] : k2;
    } else {
      for (int i = 0; i < lanes; ++i) v[i] = i == threshold ? v[i] : k2;
    }
  }
}

template <auto Function>
PIANOLA_INLINE void each_of(uint32_t* v, int count) {
#pragma GCC ivdep
#pragma GCC unroll 1
  for (int i = 0; i < count; ++i) v[i] = Function(v[i]);
}

PIANOLA_INLINE void special_stage(VxmSfu sfu, uint32_t* v, int count) {
  if (sfu == VxmSfu::None) return;
  switch (sfu) {
    case VxmSfu::None: return;
    case VxmSfu::Exp2: return each_of<fast::exp2_lane>(v, count);
    case VxmSfu::Reciprocal: return each_of<fast::reciprocal_lane>(v, count);
    case VxmSfu::Rsqrt: return each_of<fast::rsqrt_lane>(v, count);
    case VxmSfu::Log2: return each_of<fast::log2_lane>(v, count);
  }
}

// Lane of the largest value; NaN is smaller than all, ties go to the lowest lane.
PIANOLA_INLINE uint32_t argmax_of(const uint32_t* v, int count) {
  int best = 0;
  int32_t best_key = INT32_MIN;
  for (int i = 0; i < count; ++i) {
    const bool nan = fast::magnitude_of(v[i]) > 0x7f800000;
    const int32_t key = nan ? INT32_MIN : fast::signed_key(v[i]);  // -inf is above INT32_MIN
    if (key > best_key) {
      best_key = key;
      best = i;
    }
  }
  return fast::int32_to_f32_lane(best);
}

// One level: count values become (count + 1) / 2; a last one without a neighbour passes.
template <auto Function>
PIANOLA_INLINE int combine_neighbours(const uint32_t* from, uint32_t* to, int count) {
  const int pairs = count / 2;
#pragma GCC ivdep
#pragma GCC unroll 1
  for (int i = 0; i < pairs; ++i) to[i] = Function(from[2 * i], from[2 * i + 1]);
  if (count % 2 != 0) to[pairs] = from[count - 1];
  return pairs + count % 2;
}

// The segments of all passes at once, if their lanes are a power of two, else one by one.
template <auto Function>
PIANOLA_INLINE void reduce_segments(const uint32_t* v, int segments, int segment, uint32_t* r,
                                    uint32_t* scratch) {
  const bool together = (segment & (segment - 1)) == 0;
  const int group = together ? segments : 1;
  for (int first = 0; first < segments; first += group, v += segment, ++r) {
    int count = group * segment;
    const uint32_t* from = v;
    uint32_t* to = scratch;
    while (count > group) {
      count = combine_neighbours<Function>(from, to, count);
      from = to;
      to = to == scratch ? scratch + kMostLanes : scratch;
    }
    std::copy_n(from, group, r);
  }
}

PIANOLA_INLINE void root_stage(VxmRoot root, uint32_t k1, uint32_t k2, uint32_t* r, int count) {
  if (root == VxmRoot::None) return;
  for (int i = 0; i < count; ++i) r[i] = fast::mul_lane(r[i], k1);
  if (root == VxmRoot::Reciprocal) special_stage(VxmSfu::Reciprocal, r, count);
  if (root == VxmRoot::Rsqrt) {
    for (int i = 0; i < count; ++i) r[i] = fast::add_lane(r[i], k2);
    special_stage(VxmSfu::Rsqrt, r, count);
  }
}

// r: the result of a segment in each of its lanes.
template <int kLanes>
PIANOLA_INLINE void tree_stage(const Shape<kLanes>& shape, const VxmControl& control,
                               const uint32_t* v, uint32_t k1, uint32_t k2, uint32_t* r) {
  const VxmInstruction& x = control.instruction;
  const int segment = control.segment, count = shape.passes * shape.lanes();
  alignas(64) uint32_t scratch[3 * kMostLanes];
  Lanes results;  // one per segment of each pass
  const int segments = count / segment;
  if (x.tree == VxmTree::Argmax) {
    for (int s = 0; s < segments; ++s) results.at[s] = argmax_of(v + s * segment, segment);
  } else if (x.tree == VxmTree::Sum) {
    reduce_segments<fast::add_lane>(v, segments, segment, results.at, scratch);
  } else if (x.tree == VxmTree::Max) {
    reduce_segments<fast::max_lane>(v, segments, segment, results.at, scratch);
  } else {
    uint32_t* magnitudes = scratch + 2 * kMostLanes;
    each(shape, [=](int j, int, int) { magnitudes[j] = fast::abs_lane(v[j]); });
    reduce_segments<fast::max_lane>(magnitudes, segments, segment, results.at, scratch);
  }
  root_stage(x.root, k1, k2, results.at, segments);
  for (int s = 0; s < segments; ++s) std::fill_n(r + s * segment, segment, results.at[s]);
}

template <auto Function, int kLanes>
PIANOLA_INLINE void fold(const Shape<kLanes>& shape, uint32_t* acc, const uint32_t* s,
                         uint32_t* w) {
  const int lanes = shape.lanes();
#pragma GCC ivdep
#pragma GCC unroll 1
  for (int i = 0; i < lanes; ++i) w[i] = acc[i] = Function(acc[i], s[i]);
}

// In the order of the passes: s becomes w, and the file changes.
template <int kLanes>
PIANOLA_INLINE void accumulator_stage(const Shape<kLanes>& shape, const VxmInstruction& x,
                                      const VxmPass* passes, uint32_t* file, uint32_t k2,
                                      const uint32_t* s, uint32_t* w) {
  const int lanes = shape.lanes();
  for (int p = 0; p < shape.passes; ++p, s += lanes, w += lanes) {
    uint32_t* acc = file + static_cast<size_t>(passes[p].accumulator) * lanes;
    const VxmAccOp op = passes[p].loads ? VxmAccOp::Load : x.acc_op;
    switch (op) {
      case VxmAccOp::None: std::copy_n(s, lanes, w); break;
      case VxmAccOp::Load:
        std::copy_n(s, lanes, w);
        std::copy_n(s, lanes, acc);
        break;
      case VxmAccOp::Add: fold<fast::add_lane>(shape, acc, s, w); break;
      case VxmAccOp::Max: fold<fast::max_lane>(shape, acc, s, w); break;
      case VxmAccOp::Min: fold<fast::min_lane>(shape, acc, s, w); break;
      case VxmAccOp::AddK2:
        for (int i = 0; i < lanes; ++i) w[i] = fast::add_lane(s[i], k2);
        break;
      case VxmAccOp::Read: std::copy_n(acc, lanes, w); break;
    }
  }
}

template <int kLanes>
PIANOLA_INLINE void store(const Shape<kLanes>& shape, const VxmControl& control,
                          const VxmPass* passes, const Place* places, const uint32_t* v) {
  const int lanes = shape.lanes();
  alignas(64) uint32_t out[kMostLanes];
  for (int p = 0; p < shape.passes; ++p, v += lanes, places += control.places_per_pass) {
    if (!passes[p].drives) continue;
    const uint32_t* from = out;
    switch (control.instruction.out_format) {
      case VxmOutFormat::None: return;
      case VxmOutFormat::I8: {
        int8_t* to = reinterpret_cast<int8_t*>(places[0]);
        if (to == nullptr) continue;
#pragma GCC ivdep
#pragma GCC unroll 1
        for (int i = 0; i < lanes; ++i) to[i] = fast::f32_to_int8_sat_lane(v[i]);
        continue;
      }
      case VxmOutFormat::I32:
        for (int i = 0; i < lanes; ++i) {
          out[i] = static_cast<uint32_t>(fast::f32_to_int32_sat_lane(v[i]));
        }
        break;
      case VxmOutFormat::F32: from = v; break;
      case VxmOutFormat::Bf16:
        for (int i = 0; i < lanes; ++i) out[i] = fast::f32_to_bf16_lane(v[i]);
        break;
      case VxmOutFormat::F16:
        for (int i = 0; i < lanes; ++i) out[i] = fast::f32_to_f16_lane(v[i]);
        break;
    }
    if (are_words(places)) {
      std::memcpy(words_at(places), from, static_cast<size_t>(lanes) * sizeof(uint32_t));
      continue;
    }
    for (int b = 0; b < control.out_count; ++b) {
      uint8_t* to = reinterpret_cast<uint8_t*>(places[b]);
      if (to == nullptr) continue;
#pragma GCC ivdep
#pragma GCC unroll 1
      for (int i = 0; i < lanes; ++i) to[i] = static_cast<uint8_t>(from[i] >> (8 * b));
    }
  }
}

template <int kLanes>
PIANOLA_INLINE void run(Program& program, const VxmBatch& batch, const uint32_t* registers,
                        int accumulators) {
  const Shape<kLanes> shape{static_cast<int>(batch.passes), program.lanes};
  const int lanes = shape.lanes();
  const VxmControl& control = program.vxm_controls[batch.control];
  const VxmInstruction& x = control.instruction;
  const VxmPass* passes = program.vxm_passes.data() + batch.first_pass;
  const Place* places = program.vxm_places.data() + batch.first_place;
  const int step = control.places_per_pass;
  const uint32_t k1 = registers[x.k1], k2 = registers[x.k2];

  const auto uses = [&](VxmOperand which) {
    return x.mul1 == which || x.mul2 == which || x.mul3 == which ||
           (x.add_op != VxmAddOp::None && x.add_operand == which) ||
           static_cast<VxmOperand>(x.combine) == which;
  };
  Lanes v, y, z, numbers;
  fetch(shape, x.x_format, places, step, v.at);
  if (uses(VxmOperand::Y)) fetch(shape, x.y_format, places + control.x_count, step, y.at);
  if (uses(VxmOperand::Z)) {
    fetch(shape, x.z_format, places + control.x_count + control.y_count, step, z.at);
  }
  if (uses(VxmOperand::Lane)) {
    each(shape, [&](int j, int, int i) { numbers.at[j] = fast::int32_to_f32_lane(i); });
  }
  const auto operand = [&](VxmOperand which) -> Operand {
    switch (which) {
      case VxmOperand::None: break;
      case VxmOperand::Y: return {y.at, 0};
      case VxmOperand::Z: return {z.at, 0};
      case VxmOperand::K1: return {nullptr, k1};
      case VxmOperand::K2: return {nullptr, k2};
      case VxmOperand::Lane: return {numbers.at, 0};
    }
    return {};
  };
  const auto multiply = [&](VxmOperand which) __attribute__((always_inline)) {
    if (which != VxmOperand::None) apply<fast::mul_lane>(shape, v.at, operand(which));
  };
  multiply(x.mul1);
  multiply(x.mul2);
  add_stage(shape, x.add_op, v.at, operand(x.add_operand));
  if (x.select != VxmSelect::None) {
    const uint32_t base = registers[x.select_reg];
    select_stage(shape, x.select, passes, base, k2, v.at);
  }
  special_stage(x.sfu, v.at, shape.passes * lanes);
  multiply(x.mul3);

  Lanes r;
  if (x.tree != VxmTree::None) tree_stage(shape, control, v.at, k1, k2, r.at);
  if (x.combine == VxmCombine::Replace) {
    std::copy_n(r.at, shape.passes * lanes, v.at);
  } else if (x.combine == VxmCombine::R) {
    apply<fast::mul_lane>(shape, v.at, Operand{r.at, 0});
  } else {
    multiply(static_cast<VxmOperand>(x.combine));
  }
  const uint32_t* out = v.at;
  const uint32_t* s = x.acc_source == VxmAccSource::R ? r.at : v.at;
  if (x.acc_op != VxmAccOp::None) {
    uint32_t* file = reinterpret_cast<uint32_t*>(program.vxm_accumulators.data) +
                     static_cast<size_t>(batch.chain) * accumulators * lanes;
    uint32_t* w = z.at;  // the operands are used up
    accumulator_stage(shape, x, passes, file, k2, s, w);
    s = w;
  }
  if (x.out_source == VxmOutSource::W) out = s;
  store(shape, control, passes, places + step - control.out_count, out);
}

PIANOLA_INLINE void run_any(Program& program, const VxmBatch& batch, const uint32_t* registers,
                            int accumulators) {
  if (program.lanes == 16) return run<16>(program, batch, registers, accumulators);
  if (program.lanes == 32) return run<32>(program, batch, registers, accumulators);
  run<0>(program, batch, registers, accumulators);
}

}  // namespace pianola::vxm_kernel
