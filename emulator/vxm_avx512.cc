// VXM passes with AVX-512: 16 lanes go through all stages in registers, or a whole segment if a
// reduction tree needs one. Argmax and segments of other sizes are left to the portable stages.
#include "emulator/avx512.h"

#if defined(__x86_64__)
// Intrinsics of g++ 12 leave the value of masked-off lanes undefined on purpose (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>

#include <array>
#include <utility>

#include "emulator/special_functions_avx512.h"
#include "emulator/vxm_kernel.h"
#include "emulator/vxm_shapes.h"

#define PIANOLA_AVX512_INLINE [[PIANOLA_AVX512, gnu::always_inline]] inline

namespace pianola {
namespace {

namespace fast = arith::fast;

constexpr int kWidth = 16;  // lanes of a register

// ---- Arithmetic ----

PIANOLA_AVX512_INLINE __m512i canonical(__m512 a) {
  return _mm512_mask_mov_epi32(_mm512_castps_si512(a), _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q),
                               _mm512_set1_epi32(static_cast<int>(arith::kCanonicalNan)));
}
PIANOLA_AVX512_INLINE __m512i multiply(__m512i a, __m512i b) {
  return canonical(_mm512_mul_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b)));
}
PIANOLA_AVX512_INLINE __m512i add(__m512i a, __m512i b) {
  return canonical(_mm512_add_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b)));
}
PIANOLA_AVX512_INLINE __m512i subtract(__m512i a, __m512i b) {
  return canonical(_mm512_sub_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b)));
}

// The values in the form in which they are compared: fast::signed_key.
PIANOLA_AVX512_INLINE __m512i keys_of(__m512i v) {
  const __m512i negative = _mm512_srai_epi32(v, 31);
  return _mm512_xor_si512(v, _mm512_and_si512(negative, _mm512_set1_epi32(0x7fffffff)));
}

PIANOLA_AVX512_INLINE __mmask16 nans_of(__m512i v) {
  const __m512 a = _mm512_castsi512_ps(v);
  return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
}

template <bool kLargest>
PIANOLA_AVX512_INLINE __m512i extreme(__m512i a, __m512i b) {
  const __m512i p = keys_of(a), q = keys_of(b);
  const __m512i key = kLargest ? _mm512_max_epi32(p, q) : _mm512_min_epi32(p, q);
  const auto nan = static_cast<__mmask16>(nans_of(a) | nans_of(b));
  return _mm512_mask_mov_epi32(keys_of(key), nan,
                               _mm512_set1_epi32(static_cast<int>(arith::kCanonicalNan)));
}

// A function of one lane that is not worth intrinsics.
template <auto Lane>
PIANOLA_AVX512_INLINE __m512i lane_by_lane(__m512i a) {
  alignas(64) uint32_t lanes[kWidth];
  _mm512_store_si512(lanes, a);
#pragma GCC ivdep
  for (uint32_t& lane : lanes) lane = static_cast<uint32_t>(Lane(lane));
  return _mm512_load_si512(lanes);
}

[[PIANOLA_AVX512, gnu::noinline]] __m512i rsqrt(__m512i a) {
  return lane_by_lane<fast::rsqrt_lane>(a);
}
[[PIANOLA_AVX512, gnu::noinline]] __m512i log2(__m512i a) { return lane_by_lane<fast::log2_lane>(a); }

PIANOLA_AVX512_INLINE __m512i special(VxmSfu sfu, __m512i a) {
  switch (sfu) {
    case VxmSfu::None: break;
    case VxmSfu::Exp2: return special_avx512::exp2(a);
    case VxmSfu::Reciprocal: return special_avx512::reciprocal(a);
    case VxmSfu::Rsqrt: return rsqrt(a);
    case VxmSfu::Log2: return log2(a);
  }
  return a;
}

// ---- Planes of bytes ----

// A transposition of 4 x 4 bytes in every 128 bits, and one of 4 x 4 words of 32 bits.
PIANOLA_AVX512_INLINE __m512i transpose_bytes(__m512i v) {
  return _mm512_shuffle_epi8(v, _mm512_broadcast_i32x4(_mm_setr_epi8(
                                    0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)));
}
PIANOLA_AVX512_INLINE __m512i transpose_words(__m512i v) {
  return _mm512_permutexvar_epi32(
      _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), v);
}

PIANOLA_AVX512_INLINE __m128i plane_at(Place place, int first) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(place + static_cast<Place>(first)));
}

PIANOLA_AVX512_INLINE __m512i load_words(const Place* places, int first) {
  if (are_words(places)) return _mm512_loadu_si512(words_at(places) + first);
  __m512i planes = _mm512_castsi128_si512(plane_at(places[0], first));
  planes = _mm512_inserti32x4(planes, plane_at(places[1], first), 1);
  planes = _mm512_inserti32x4(planes, plane_at(places[2], first), 2);
  planes = _mm512_inserti32x4(planes, plane_at(places[3], first), 3);
  return transpose_bytes(transpose_words(planes));
}

PIANOLA_AVX512_INLINE void store_plane(Place place, int first, __m128i plane) {
  if (place == 0) return;  // nobody reads it
  _mm_storeu_si128(reinterpret_cast<__m128i*>(place + static_cast<Place>(first)), plane);
}

PIANOLA_AVX512_INLINE void store_words(const Place* places, int count, int first, __m512i v) {
  if (count == 4 && are_words(places)) {
    _mm512_storeu_si512(words_at(places) + first, v);
    return;
  }
  const __m512i planes = transpose_words(transpose_bytes(v));
  store_plane(places[0], first, _mm512_castsi512_si128(planes));
  store_plane(places[1], first, _mm512_extracti32x4_epi32(planes, 1));
  if (count == 2) return;
  store_plane(places[2], first, _mm512_extracti32x4_epi32(planes, 2));
  store_plane(places[3], first, _mm512_extracti32x4_epi32(planes, 3));
}

PIANOLA_AVX512_INLINE __m512i load_halves(const Place* places, int first) {
  return _mm512_or_si512(_mm512_cvtepu8_epi32(plane_at(places[0], first)),
                         _mm512_slli_epi32(_mm512_cvtepu8_epi32(plane_at(places[1], first)), 8));
}

// 16 lanes of an operand from lane `first` on, converted.
PIANOLA_AVX512_INLINE __m512i load(VxmFormat format, const Place* places, int first) {
  switch (format) {
    case VxmFormat::None: break;
    case VxmFormat::F32:
    case VxmFormat::Raw: return load_words(places, first);
    case VxmFormat::I32:
      return _mm512_castps_si512(_mm512_cvtepi32_ps(load_words(places, first)));
    case VxmFormat::I8:
      return _mm512_castps_si512(
          _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(plane_at(places[0], first))));
    case VxmFormat::F16:
      return canonical(_mm512_cvtph_ps(_mm512_cvtepi32_epi16(load_halves(places, first))));
    case VxmFormat::Bf16: {
      const __m512i wide = _mm512_slli_epi32(load_halves(places, first), 16);
      const __mmask16 normal = _mm512_test_epi32_mask(wide, _mm512_set1_epi32(0x7f800000));
      const __m512i sign = _mm512_and_si512(wide, _mm512_set1_epi32(INT32_MIN));
      return canonical(_mm512_castsi512_ps(_mm512_mask_mov_epi32(sign, normal, wide)));
    }
    case VxmFormat::F32Lane0: {
      if (are_words(places)) return _mm512_set1_epi32(static_cast<int>(*words_at(places)));
      uint32_t all = 0;
      for (int b = 3; b >= 0; --b) all = all << 8 | *reinterpret_cast<const uint8_t*>(places[b]);
      return _mm512_set1_epi32(static_cast<int>(all));
    }
  }
  return _mm512_setzero_si512();
}

PIANOLA_AVX512_INLINE __m128i to_int8(__m512i v) {
  const __m512 a = _mm512_castsi512_ps(v);
  const __m512 limit = _mm512_set1_ps(127.0f);
  const __m512 clamped =
      _mm512_max_ps(_mm512_min_ps(a, limit), _mm512_sub_ps(_mm512_setzero_ps(), limit));
  return _mm512_cvtepi32_epi8(
      _mm512_maskz_cvtps_epi32(_mm512_cmp_ps_mask(a, a, _CMP_ORD_Q), clamped));
}

PIANOLA_AVX512_INLINE void store(VxmOutFormat format, const Place* places, int first, __m512i v) {
  switch (format) {
    case VxmOutFormat::None: return;
    case VxmOutFormat::I8: return store_plane(places[0], first, to_int8(v));
    case VxmOutFormat::F32: return store_words(places, 4, first, v);
    case VxmOutFormat::I32:
      return store_words(places, 4, first, lane_by_lane<fast::f32_to_int32_sat_lane>(v));
    case VxmOutFormat::Bf16:
      return store_words(places, 2, first, lane_by_lane<fast::f32_to_bf16_lane>(v));
    case VxmOutFormat::F16:
      return store_words(places, 2, first, lane_by_lane<fast::f32_to_f16_lane>(v));
  }
}

// ---- Reduction trees ----

PIANOLA_AVX512_INLINE __m512i combine(VxmTree tree, __m512i a, __m512i b) {
  return tree == VxmTree::Sum ? _mm512_castps_si512(_mm512_add_ps(_mm512_castsi512_ps(a),
                                                                  _mm512_castsi512_ps(b)))
                              : _mm512_max_epi32(a, b);
}

// Sum, Max or Absmax of a segment of kRegisters registers, neighbours first: partners are exchanged
// at distances 1, 2, 4 and 8, so that all lanes come to hold the result.
template <int kRegisters, VxmTree kTree>
PIANOLA_AVX512_INLINE __m512i reduce(const __m512i* v) {
  __m512i level[kRegisters];
  __mmask16 nans = 0;
  for (int i = 0; i < kRegisters; ++i) {
    __m512i a = v[i];
    if (kTree != VxmTree::Sum) nans = static_cast<__mmask16>(nans | nans_of(a));
    if (kTree == VxmTree::Absmax) a = _mm512_and_si512(a, _mm512_set1_epi32(0x7fffffff));
    if (kTree == VxmTree::Max) a = keys_of(a);
    a = combine(kTree, a, _mm512_shuffle_epi32(a, _MM_PERM_CDAB));
    a = combine(kTree, a, _mm512_shuffle_epi32(a, _MM_PERM_BADC));
    a = combine(kTree, a, _mm512_shuffle_i32x4(a, a, 0xb1));
    level[i] = combine(kTree, a, _mm512_shuffle_i32x4(a, a, 0x4e));
  }
  for (int count = kRegisters; count > 1; count /= 2) {
    for (int i = 0; i < count / 2; ++i) {
      level[i] = combine(kTree, level[2 * i], level[2 * i + 1]);
    }
  }
  if (kTree == VxmTree::Sum) return canonical(_mm512_castsi512_ps(level[0]));
  const __m512i result = kTree == VxmTree::Max ? keys_of(level[0]) : level[0];
  const auto all = static_cast<__mmask16>(nans != 0 ? 0xffff : 0);
  return _mm512_mask_mov_epi32(result, all,
                               _mm512_set1_epi32(static_cast<int>(arith::kCanonicalNan)));
}

template <int kRegisters>
PIANOLA_AVX512_INLINE __m512i reduce(VxmTree tree, const __m512i* v) {
  switch (tree) {
    case VxmTree::None:
    case VxmTree::Argmax: break;
    case VxmTree::Sum: return reduce<kRegisters, VxmTree::Sum>(v);
    case VxmTree::Max: return reduce<kRegisters, VxmTree::Max>(v);
    case VxmTree::Absmax: return reduce<kRegisters, VxmTree::Absmax>(v);
  }
  return v[0];
}

// ---- Passes ----

struct Batch {
  const VxmControl* control;
  const VxmPass* passes;
  const Place* places;
  uint32_t count;
  int lanes;
  uint32_t k1, k2, select_base;
  uint32_t* file;  // accumulators of the chain
};

// The operands of 16 lanes.
struct Operands {
  __m512i y, z, k1, k2, lane;
  PIANOLA_AVX512_INLINE __m512i of(VxmOperand which) const {
    switch (which) {
      case VxmOperand::None: break;
      case VxmOperand::Y: return y;
      case VxmOperand::Z: return z;
      case VxmOperand::K1: return k1;
      case VxmOperand::K2: return k2;
      case VxmOperand::Lane: return _mm512_castps_si512(_mm512_cvtepi32_ps(lane));
    }
    return _mm512_setzero_si512();
  }
};

PIANOLA_AVX512_INLINE __m512i add_stage(VxmAddOp op, __m512i v, __m512i o) {
  switch (op) {
    case VxmAddOp::None: break;
    case VxmAddOp::Add: return add(v, o);
    case VxmAddOp::Sub: return subtract(v, o);
    case VxmAddOp::Rsub: return subtract(o, v);
    case VxmAddOp::Min: return extreme<false>(v, o);
    case VxmAddOp::Max: return extreme<true>(v, o);
    case VxmAddOp::Iadd: return _mm512_add_epi32(v, o);
  }
  return v;
}

PIANOLA_AVX512_INLINE __m512i select_stage(VxmSelect select, int32_t threshold, __m512i v,
                                           const Operands& o) {
  const __m512i limit = _mm512_set1_epi32(threshold);
  switch (select) {
    case VxmSelect::None: break;
    case VxmSelect::Lt:
      return _mm512_mask_mov_epi32(o.k2, _mm512_cmplt_epi32_mask(o.lane, limit), v);
    case VxmSelect::Ge:
      return _mm512_mask_mov_epi32(o.k2, _mm512_cmpge_epi32_mask(o.lane, limit), v);
    case VxmSelect::Eq:
      return _mm512_mask_mov_epi32(o.k2, _mm512_cmpeq_epi32_mask(o.lane, limit), v);
  }
  return v;
}

PIANOLA_AVX512_INLINE __m512i accumulate(VxmAccOp op, __m512i s, __m512i k2, uint32_t* file) {
  __m512i w = s;
  switch (op) {
    case VxmAccOp::None: return s;
    case VxmAccOp::AddK2: return add(s, k2);
    case VxmAccOp::Read: return _mm512_loadu_si512(file);
    case VxmAccOp::Load: break;
    case VxmAccOp::Add: w = add(_mm512_loadu_si512(file), s); break;
    case VxmAccOp::Max: w = extreme<true>(_mm512_loadu_si512(file), s); break;
    case VxmAccOp::Min: w = extreme<false>(_mm512_loadu_si512(file), s); break;
  }
  _mm512_storeu_si512(file, w);
  return w;
}

// All lanes are equal, and the ports of scalars are free.
PIANOLA_AVX512_INLINE __m512i root_of(VxmRoot root, __m512i r, const Operands& o) {
  if (root == VxmRoot::None) return r;
  r = multiply(r, o.k1);
  if (root == VxmRoot::Scale) return r;
  if (root == VxmRoot::Rsqrt) r = add(r, o.k2);
  const auto value = static_cast<uint32_t>(_mm_cvtsi128_si32(_mm512_castsi512_si128(r)));
  return _mm512_set1_epi32(static_cast<int>(root == VxmRoot::Rsqrt ? fast::rsqrt_lane(value)
                                                                   : fast::reciprocal_lane(value)));
}

PIANOLA_AVX512_INLINE __m512i multiply_by(VxmOperand which, __m512i v, const Operands& o) {
  return which == VxmOperand::None ? v : multiply(v, o.of(which));
}

// All passes, kRegisters registers at a time: what a tree reduces, or one if there is none. With a constant
// shape, all questions are answered before it runs.
template <int kRegisters>
PIANOLA_AVX512_INLINE void run(const Batch& b, const VxmShape x) {
  const VxmControl& control = *b.control;
  const auto combined = static_cast<VxmOperand>(x.combine);
  const auto uses = [&](VxmOperand which) __attribute__((always_inline)) {
    return x.mul1 == which || x.mul2 == which || x.mul3 == which || combined == which ||
           x.add_operand == which;
  };
  const bool uses_y = uses(VxmOperand::Y), uses_z = uses(VxmOperand::Z);
  const __m512i numbers =
      _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512i k1 = _mm512_set1_epi32(static_cast<int>(b.k1));
  const __m512i k2 = _mm512_set1_epi32(static_cast<int>(b.k2));
  const Place* places = b.places;
  for (uint32_t p = 0; p < b.count; ++p, places += control.places_per_pass) {
    const VxmPass& pass = b.passes[p];
    const auto threshold =
        static_cast<int32_t>(b.select_base + static_cast<uint32_t>(pass.threshold));
    const VxmAccOp acc_op = x.first_loads && pass.loads ? VxmAccOp::Load : x.acc_op;
    uint32_t* file = b.file + static_cast<size_t>(pass.accumulator) * b.lanes;
    const Place* y = places + control.x_count;
    const Place* z = y + control.y_count;
    const Place* out = z + control.z_count;
    for (int segment = 0; segment < b.lanes; segment += kWidth * kRegisters) {
      __m512i v[kRegisters];
      Operands o[kRegisters];
      for (int i = 0; i < kRegisters; ++i) {
        const int first = segment + kWidth * i;
        v[i] = load(x.x, places, first);
        if (uses_y) o[i].y = load(x.y, y, first);
        if (uses_z) o[i].z = load(x.z, z, first);
        o[i].k1 = k1;
        o[i].k2 = k2;
        o[i].lane = _mm512_add_epi32(numbers, _mm512_set1_epi32(first));
        v[i] = multiply_by(x.mul1, v[i], o[i]);
        v[i] = multiply_by(x.mul2, v[i], o[i]);
        if (x.add_op != VxmAddOp::None) v[i] = add_stage(x.add_op, v[i], o[i].of(x.add_operand));
        v[i] = select_stage(x.select, threshold, v[i], o[i]);
        v[i] = multiply_by(x.mul3, special(x.sfu, v[i]), o[i]);
      }
      __m512i r = v[0];
      if (x.tree != VxmTree::None) r = root_of(x.root, reduce<kRegisters>(x.tree, v), o[0]);
      for (int i = 0; i < kRegisters; ++i) {
        const int first = segment + kWidth * i;
        if (x.combine == VxmCombine::Replace) {
          v[i] = r;
        } else if (x.combine == VxmCombine::R) {
          v[i] = multiply(v[i], r);
        } else {
          v[i] = multiply_by(combined, v[i], o[i]);
        }
        const __m512i s = x.acc_source == VxmAccSource::R ? r : v[i];
        const __m512i w = accumulate(acc_op, s, o[i].k2, file + first);
        if (pass.drives) store(x.out, out, first, x.out_source == VxmOutSource::W ? w : v[i]);
      }
    }
  }
}

using Run = void (*)(const Batch&);

template <int kRegisters, size_t kNumber>
[[PIANOLA_AVX512]] void run_known(const Batch& b) {
  run<kRegisters>(b, kVxmShapes[kNumber]);
}

template <int kRegisters>
[[PIANOLA_AVX512, gnu::noinline]] void run_any_shape(const Batch& b) {
  run<kRegisters>(b, shape_of(b.control->instruction));
}

template <int kRegisters, size_t... kNumbers>
constexpr std::array<Run, kVxmShapes.size()> known_runs(std::index_sequence<kNumbers...>) {
  return {run_known<kRegisters, kNumbers>...};
}

// Of trees over 16 and 32 lanes; without a tree, of one register at a time.
using Numbers = std::make_index_sequence<kVxmShapes.size()>;
constexpr std::array kRuns16 = known_runs<1>(Numbers{});
constexpr std::array kRuns32 = known_runs<2>(Numbers{});

Run run_of(const VxmControl& control, int tree_lanes) {
  switch (tree_lanes) {
    case 16: return control.shape < 0 ? run_any_shape<1> : kRuns16[control.shape];
    case 32: return control.shape < 0 ? run_any_shape<2> : kRuns32[control.shape];
    case 64: return run_any_shape<4>;
    case 128: return run_any_shape<8>;
    default: return nullptr;
  }
}

}  // namespace

[[PIANOLA_AVX512]] void vxm_avx512(Program& program, const VxmBatch& batch,
                                   const uint32_t* registers, int accumulators) {
  const VxmControl& control = program.vxm_controls[batch.control];
  const VxmInstruction& x = control.instruction;
  const int lanes = program.lanes;
  const int tree_lanes = x.tree == VxmTree::None ? kWidth : control.segment;
  Batch b;
  b.control = &control;
  b.passes = program.vxm_passes.data() + batch.first_pass;
  b.places = program.vxm_places.data() + batch.first_place;
  b.count = batch.passes;
  b.lanes = lanes;
  b.k1 = registers[x.k1];
  b.k2 = registers[x.k2];
  b.select_base = registers[x.select_reg];
  b.file = reinterpret_cast<uint32_t*>(program.vxm_accumulators.data) +
           static_cast<size_t>(batch.chain) * accumulators * lanes;
  const Run run = lanes % kWidth == 0 && x.tree != VxmTree::Argmax ? run_of(control, tree_lanes)
                                                                    : nullptr;
  if (run != nullptr) return run(b);
  vxm_kernel::run_any(program, batch, registers, accumulators);
}

}  // namespace pianola
#endif
