// VXM passes with AVX-512: planes of bytes, special functions and reduction trees of 16 lanes at a time
// in registers; the other stages are left to the compiler.
#include "emulator/avx512.h"

#if defined(__x86_64__)
// Intrinsics of g++ 12 leave the value of masked-off lanes undefined on purpose (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>

#include "emulator/special_functions_avx512.h"
#include "emulator/vxm_kernel.h"

#define PIANOLA_AVX512_INLINE [[PIANOLA_AVX512, gnu::always_inline]] inline

namespace pianola {
namespace {

// A transposition of 4 x 4 bytes in every 128 bits, and one of 4 x 4 words of 32 bits.
PIANOLA_AVX512_INLINE __m512i transpose_bytes(__m512i v) {
  return _mm512_shuffle_epi8(v, _mm512_broadcast_i32x4(_mm_setr_epi8(
                                    0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)));
}
PIANOLA_AVX512_INLINE __m512i transpose_words(__m512i v) {
  return _mm512_permutexvar_epi32(
      _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), v);
}

PIANOLA_AVX512_INLINE __m512i combine(VxmTree tree, __m512i a, __m512i b) {
  return tree == VxmTree::Sum ? _mm512_castps_si512(_mm512_add_ps(_mm512_castsi512_ps(a),
                                                                  _mm512_castsi512_ps(b)))
                              : _mm512_max_epi32(a, b);
}

// The values in the form in which they are compared: fast::signed_key.
PIANOLA_AVX512_INLINE __m512i keys_of(__m512i v) {
  const __m512i negative = _mm512_srai_epi32(v, 31);
  return _mm512_xor_si512(v, _mm512_and_si512(negative, _mm512_set1_epi32(0x7fffffff)));
}

PIANOLA_AVX512_INLINE __mmask16 nans_of(__m512i v) {
  return _mm512_cmpgt_epi32_mask(_mm512_and_si512(v, _mm512_set1_epi32(0x7fffffff)),
                                 _mm512_set1_epi32(0x7f800000));
}

// Sum, Max and Absmax of a segment of kRegisters registers, neighbours first: partners are exchanged
// at distances 1, 2, 4 and 8, so that all lanes come to hold the result.
template <int kRegisters, VxmTree kTree>
PIANOLA_AVX512_INLINE __m512i reduce(const uint32_t* v) {
  __m512i level[kRegisters];
  __mmask16 nans = 0;
  for (int i = 0; i < kRegisters; ++i) {
    __m512i a = _mm512_loadu_si512(v + 16 * i);
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
  const __m512i result = kTree == VxmTree::Max ? keys_of(level[0]) : level[0];
  const bool nan = kTree == VxmTree::Sum ? nans_of(result) != 0 : nans != 0;
  return nan ? _mm512_set1_epi32(0x7fc00000) : result;
}

template <int kRegisters, VxmTree kTree>
[[PIANOLA_AVX512]] void reduce_all(const uint32_t* v, int count, uint32_t* r) {
  for (int i = 0; i < count; i += 16 * kRegisters) {
    const __m512i result = reduce<kRegisters, kTree>(v + i);
    for (int j = 0; j < kRegisters; ++j) _mm512_storeu_si512(r + i + 16 * j, result);
  }
}

template <int kRegisters>
bool reduce_segments(VxmTree tree, const uint32_t* v, int count, uint32_t* r) {
  switch (tree) {
    case VxmTree::Sum: reduce_all<kRegisters, VxmTree::Sum>(v, count, r); return true;
    case VxmTree::Max: reduce_all<kRegisters, VxmTree::Max>(v, count, r); return true;
    case VxmTree::Absmax: reduce_all<kRegisters, VxmTree::Absmax>(v, count, r); return true;
    case VxmTree::None:
    case VxmTree::Argmax: break;
  }
  return false;
}

struct Host {
  static constexpr bool kOwn = true;

  [[PIANOLA_AVX512]] static void load(const Place* places, int step, int passes, int lanes,
                                      uint32_t* out) {
    for (int p = 0; p < passes; ++p, places += step, out += lanes) {
      for (int i = 0; i < lanes; i += 16) {
        const auto plane = [&](int b) __attribute__((always_inline)) {
          return _mm_loadu_si128(reinterpret_cast<const __m128i*>(places[b] + i));
        };
        __m512i planes = _mm512_castsi128_si512(plane(0));
        planes = _mm512_inserti32x4(planes, plane(1), 1);
        planes = _mm512_inserti32x4(planes, plane(2), 2);
        planes = _mm512_inserti32x4(planes, plane(3), 3);
        _mm512_storeu_si512(out + i, transpose_bytes(transpose_words(planes)));
      }
    }
  }

  [[PIANOLA_AVX512]] static void store(const VxmPass* pass, const Place* places, int step,
                                       int passes, int lanes, const uint32_t* values) {
    for (int p = 0; p < passes; ++p, places += step, values += lanes) {
      if (!pass[p].drives) continue;
      for (int i = 0; i < lanes; i += 16) {
        const __m512i planes = transpose_words(transpose_bytes(_mm512_loadu_si512(values + i)));
        const auto put = [&](int b, __m128i plane) __attribute__((always_inline)) {
          if (places[b] != 0) _mm_storeu_si128(reinterpret_cast<__m128i*>(places[b] + i), plane);
        };
        put(0, _mm512_castsi512_si128(planes));
        put(1, _mm512_extracti32x4_epi32(planes, 1));
        put(2, _mm512_extracti32x4_epi32(planes, 2));
        put(3, _mm512_extracti32x4_epi32(planes, 3));
      }
    }
  }

  [[PIANOLA_AVX512]] static bool special(VxmSfu sfu, uint32_t* v, int count) {
    if (sfu != VxmSfu::Exp2 && sfu != VxmSfu::Reciprocal) return false;
    for (int i = 0; i < count; i += 16) {
      const __m512i a = _mm512_loadu_si512(v + i);
      _mm512_storeu_si512(v + i, sfu == VxmSfu::Exp2 ? special_avx512::exp2(a)
                                                     : special_avx512::reciprocal(a));
    }
    return true;
  }

  static bool tree(VxmTree tree, int segment, const uint32_t* v, int count, uint32_t* r) {
    switch (segment) {
      case 16: return reduce_segments<1>(tree, v, count, r);
      case 32: return reduce_segments<2>(tree, v, count, r);
      case 64: return reduce_segments<4>(tree, v, count, r);
      case 128: return reduce_segments<8>(tree, v, count, r);
      default: return false;
    }
  }
};

}  // namespace

[[PIANOLA_AVX512]] void vxm_avx512(Program& program, const VxmBatch& batch,
                                   const uint32_t* registers, int accumulators) {
  vxm_kernel::run_any<Host>(program, batch, registers, accumulators);
}

}  // namespace pianola
#endif
