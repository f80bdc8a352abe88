// Special functions of 16 lanes: the bits of isa/arithmetic_fast.h. What makes them fast is that their
// tables are looked up in registers; gathering 16 words from memory takes longer than all the rest.
#pragma once

#include "emulator/avx512.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include "isa/arithmetic_fast.h"

namespace pianola::special_avx512 {

constexpr int kSegments = 128;  // of exp2 and of the reciprocal

// Of 32 words by the low five bits of the index.
[[PIANOLA_AVX512, gnu::always_inline]] inline __m512i pair_at(const uint32_t* table,
                                                              __m512i index) {
  return _mm512_permutex2var_epi32(_mm512_loadu_si512(table), index,
                                   _mm512_loadu_si512(table + 16));
}

[[PIANOLA_AVX512, gnu::always_inline]] inline __m512i table_at(const uint32_t* table,
                                                               __m512i index) {
  const __mmask16 bit5 = _mm512_test_epi32_mask(index, _mm512_set1_epi32(32));
  const __mmask16 bit6 = _mm512_test_epi32_mask(index, _mm512_set1_epi32(64));
  const __m512i low = _mm512_mask_blend_epi32(bit5, pair_at(table, index),
                                              pair_at(table + 32, index));
  const __m512i high = _mm512_mask_blend_epi32(bit5, pair_at(table + 64, index),
                                               pair_at(table + 96, index));
  return _mm512_mask_blend_epi32(bit6, low, high);
}

// special_value_lane: index below kSegments, d below 2^17.
template <bool kRising>
[[PIANOLA_AVX512, gnu::always_inline]] inline __m512i value_at(uint32_t base, __m512i index,
                                                               __m512i d) {
  constexpr int kA1LowBits = 32 - arith::kSpecialC0Bits;
  constexpr int kA1HighBits = arith::kSpecialA1Bits - kA1LowBits;
  static_assert(arith::kSpecialOffsetBits == 17 && arith::kSpecialA1Bits == 22);
  const __m512i low = table_at(arith::kSpecialLow + base, index);
  const __m512i high = table_at(arith::kSpecialHigh + base, index);
  const __m512i c0 = _mm512_and_si512(low, _mm512_set1_epi32((1 << arith::kSpecialC0Bits) - 1));
  const __m512i a1_high = _mm512_and_si512(high, _mm512_set1_epi32((1 << kA1HighBits) - 1));
  const __m512i a1 = _mm512_or_si512(_mm512_slli_epi32(a1_high, kA1LowBits),
                                     _mm512_srli_epi32(low, arith::kSpecialC0Bits));
  const __m512i a2 = _mm512_srli_epi32(high, kA1HighBits);
  const __m512i bend = _mm512_srli_epi32(_mm512_mullo_epi32(a2, d), 17);
  const __m512i slope = kRising ? _mm512_add_epi32(a1, bend) : _mm512_sub_epi32(a1, bend);
  // slope * d / 2^17 has 39 bits before it is divided: in two parts, of which neither loses any.
  const __m512i small = _mm512_mullo_epi32(_mm512_and_si512(slope, _mm512_set1_epi32(255)), d);
  const __m512i large = _mm512_mullo_epi32(_mm512_srli_epi32(slope, 8), d);
  const __m512i step =
      _mm512_srli_epi32(_mm512_add_epi32(large, _mm512_srli_epi32(small, 8)), 9);
  const __m512i one = _mm512_set1_epi32(1 << arith::kSpecialC0Bits);
  const __m512i value = _mm512_add_epi32(one, kRising ? _mm512_add_epi32(c0, step)
                                                      : _mm512_sub_epi32(c0, step));
  const __m512i half = _mm512_set1_epi32(1 << (arith::kSpecialGuardBits - 1));
  return _mm512_srli_epi32(_mm512_add_epi32(value, half), arith::kSpecialGuardBits);
}

[[PIANOLA_AVX512, gnu::always_inline]] inline __m512i canonical_if_nan(__m512i magnitude,
                                                                       __m512i result) {
  const __mmask16 nan = _mm512_cmpgt_epi32_mask(magnitude, _mm512_set1_epi32(0x7f800000));
  return _mm512_mask_mov_epi32(result, nan, _mm512_set1_epi32(0x7fc00000));
}

[[PIANOLA_AVX512, gnu::always_inline]] inline __m512i exp2(__m512i a) {
  const __m512i magnitude = _mm512_and_si512(a, _mm512_set1_epi32(0x7fffffff));
  const __m512i negative = _mm512_srai_epi32(a, 31);  // a mask
  const __m512i mantissa = _mm512_and_si512(a, _mm512_set1_epi32(0x7fffff));
  const __m512i significand =
      _mm512_slli_epi32(_mm512_or_si512(mantissa, _mm512_set1_epi32(0x800000)), 8);
  const __m512i exponent = _mm512_srli_epi32(magnitude, 23);
  const __m512i shift = _mm512_and_si512(_mm512_sub_epi32(_mm512_set1_epi32(133), exponent),
                                         _mm512_set1_epi32(31));
  const __m512i fixed_magnitude = _mm512_srli_epi32(
      _mm512_add_epi32(_mm512_srlv_epi32(significand, shift), _mm512_set1_epi32(1)), 1);
  const __m512i fixed =
      _mm512_sub_epi32(_mm512_xor_si512(fixed_magnitude, negative), negative);
  const __m512i segment =
      _mm512_and_si512(_mm512_srli_epi32(fixed, 17), _mm512_set1_epi32(kSegments - 1));
  const __m512i offset = _mm512_and_si512(fixed, _mm512_set1_epi32((1 << 17) - 1));
  const __m512i biased =
      _mm512_xor_si512(_mm512_srli_epi32(fixed, 24), _mm512_set1_epi32(0x80));
  const __m512i value = value_at<true>(arith::kSpecialBaseExp2, segment, offset);
  const __m512i two = _mm512_set1_epi32(2);
  __m512i result =
      _mm512_add_epi32(_mm512_slli_epi32(_mm512_sub_epi32(biased, two), 23), value);
  result = _mm512_mask_mov_epi32(result, _mm512_cmplt_epi32_mask(biased, two),
                                 _mm512_setzero_si512());
  result = _mm512_mask_mov_epi32(
      result, _mm512_cmpgt_epi32_mask(exponent, _mm512_set1_epi32(133)),
      _mm512_andnot_si512(negative, _mm512_set1_epi32(0x7f800000)));
  result = _mm512_mask_mov_epi32(result,
                                 _mm512_cmplt_epi32_mask(exponent, _mm512_set1_epi32(102)),
                                 _mm512_set1_epi32(0x3f800000));
  return canonical_if_nan(magnitude, result);
}

[[PIANOLA_AVX512, gnu::always_inline]] inline __m512i reciprocal(__m512i a) {
  const __m512i magnitude = _mm512_and_si512(a, _mm512_set1_epi32(0x7fffffff));
  const __m512i exponent = _mm512_srli_epi32(magnitude, 23);
  const __m512i segment =
      _mm512_and_si512(_mm512_srli_epi32(a, 16), _mm512_set1_epi32(kSegments - 1));
  const __m512i offset =
      _mm512_slli_epi32(_mm512_and_si512(a, _mm512_set1_epi32(0xffff)), 1);
  const __m512i value = value_at<false>(arith::kSpecialBaseReciprocal, segment, offset);
  const __m512i zero = _mm512_setzero_si512();
  __m512i result = _mm512_add_epi32(
      _mm512_slli_epi32(_mm512_sub_epi32(_mm512_set1_epi32(252), exponent), 23), value);
  result = _mm512_mask_mov_epi32(
      result, _mm512_cmplt_epi32_mask(result, _mm512_set1_epi32(0x800000)), zero);
  result = _mm512_mask_mov_epi32(
      result, _mm512_cmpeq_epi32_mask(exponent, _mm512_set1_epi32(255)), zero);
  result = _mm512_mask_mov_epi32(result, _mm512_cmpeq_epi32_mask(exponent, zero),
                                 _mm512_set1_epi32(0x7f800000));
  result = _mm512_or_si512(result, _mm512_sub_epi32(a, magnitude));  // the sign
  return canonical_if_nan(magnitude, result);
}

}  // namespace pianola::special_avx512
#endif
