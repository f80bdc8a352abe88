// The arithmetic of the machine over arrays of lanes, on the host's own floating-point unit: bit
// for bit what isa/arithmetic.h computes, many times faster.
//
//   FlushDenormalsScope flush;               // this thread, until the end of the block
//   fast::add(a, b, out, 320);
//
// The loops are written for the compiler to vectorize: no branches, selects on integers, and
// everything forced inline, so a caller compiled for a wider instruction set (target attributes,
// target_clones) gets its own wide copy. `out` may be one of the inputs; it may not overlap one
// partly. The scalar forms (add_lane, ...) are there to fuse operations in a kernel of one's own.
//
// Contract: inside a FlushDenormalsScope, rounding to nearest, compiled without -ffast-math and
// with -ffp-contract=off. On a host that is not x86-64 every function calls the portable one.
#pragma once

#include <bit>
#include <cstdint>

#include "isa/arithmetic.h"
#include "isa/special_function_tables.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace pianola::arith {

#if defined(__x86_64__)
inline constexpr bool kNativeArithmetic = true;

// Sets DAZ and FTZ and rounding to nearest in this thread, masks the exceptions, and puts
// everything back at the end. The empty statements keep memory accesses, and with them the
// arithmetic between a load and a store, on their side of the switch.
class FlushDenormalsScope {
 public:
  FlushDenormalsScope() : saved_(_mm_getcsr()) {
    _mm_setcsr(kMasksAndFlush);
    asm volatile("" ::: "memory");
  }
  ~FlushDenormalsScope() {
    asm volatile("" ::: "memory");
    _mm_setcsr(saved_);
  }
  FlushDenormalsScope(const FlushDenormalsScope&) = delete;
  FlushDenormalsScope& operator=(const FlushDenormalsScope&) = delete;

 private:
  static constexpr unsigned kMasksAndFlush = 0x1f80u | 0x8000u | 0x0040u;
  unsigned saved_;
};
#else
inline constexpr bool kNativeArithmetic = false;

class FlushDenormalsScope {
 public:
  FlushDenormalsScope() {}
  ~FlushDenormalsScope() {}
  FlushDenormalsScope(const FlushDenormalsScope&) = delete;
  FlushDenormalsScope& operator=(const FlushDenormalsScope&) = delete;
};
#endif

namespace fast {

// One lane.

// condition ? yes : no, spelled so that the compiler does not make a branch of it.
[[gnu::always_inline]] inline uint32_t select(bool condition, uint32_t yes, uint32_t no) {
  const uint32_t mask = 0u - static_cast<uint32_t>(condition);
  return (yes & mask) | (no & ~mask);
}

[[gnu::always_inline]] inline int32_t magnitude_of(uint32_t a) {
  return static_cast<int32_t>(a & 0x7fffffffu);  // signed: SSE2 compares only signed
}

[[gnu::always_inline]] inline uint32_t canonical(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  return magnitude_of(bits) > 0x7f800000 ? kCanonicalNan : bits;
}

[[gnu::always_inline]] inline uint32_t add_lane(uint32_t a, uint32_t b) {
  if constexpr (!kNativeArithmetic) return arith::add(a, b);
  return canonical(std::bit_cast<float>(a) + std::bit_cast<float>(b));
}

[[gnu::always_inline]] inline uint32_t sub_lane(uint32_t a, uint32_t b) {
  if constexpr (!kNativeArithmetic) return arith::sub(a, b);
  return canonical(std::bit_cast<float>(a) - std::bit_cast<float>(b));
}

[[gnu::always_inline]] inline uint32_t mul_lane(uint32_t a, uint32_t b) {
  if constexpr (!kNativeArithmetic) return arith::mul(a, b);
  return canonical(std::bit_cast<float>(a) * std::bit_cast<float>(b));
}

// The bits as a signed integer in the order of the values.
[[gnu::always_inline]] inline int32_t signed_key(uint32_t a) {
  const int32_t bits = static_cast<int32_t>(a);
  return bits ^ ((bits >> 31) & 0x7fffffff);
}

[[gnu::always_inline]] inline uint32_t min_lane(uint32_t a, uint32_t b) {
  const uint32_t selected = signed_key(b) < signed_key(a) ? b : a;
  const int32_t larger = magnitude_of(a) > magnitude_of(b) ? magnitude_of(a) : magnitude_of(b);
  return larger > 0x7f800000 ? kCanonicalNan : selected;
}

[[gnu::always_inline]] inline uint32_t max_lane(uint32_t a, uint32_t b) {
  const uint32_t selected = signed_key(b) > signed_key(a) ? b : a;
  const int32_t larger = magnitude_of(a) > magnitude_of(b) ? magnitude_of(a) : magnitude_of(b);
  return larger > 0x7f800000 ? kCanonicalNan : selected;
}

[[gnu::always_inline]] inline uint32_t abs_lane(uint32_t a) { return a & 0x7fffffffu; }

[[gnu::always_inline]] inline uint32_t neg_lane(uint32_t a) { return a ^ 0x80000000u; }

[[gnu::always_inline]] inline uint32_t int32_to_f32_lane(int32_t a) {
  if constexpr (!kNativeArithmetic) return arith::int32_to_f32(a);
  return std::bit_cast<uint32_t>(static_cast<float>(a));
}

[[gnu::always_inline]] inline uint32_t int8_to_f32_lane(int8_t a) {
  if constexpr (!kNativeArithmetic) return arith::int8_to_f32(a);
  return std::bit_cast<uint32_t>(static_cast<float>(static_cast<int32_t>(a)));
}

[[gnu::always_inline]] inline uint32_t bf16_to_f32_lane(uint16_t a) {
  const uint32_t wide = static_cast<uint32_t>(a) << 16;
  const uint32_t flushed = (wide & 0x7f800000u) == 0 ? wide & 0x80000000u : wide;
  return magnitude_of(wide) > 0x7f800000 ? kCanonicalNan : flushed;
}

[[gnu::always_inline]] inline uint32_t f16_to_f32_lane(uint16_t a) {
  if constexpr (!kNativeArithmetic) return arith::f16_to_f32(a);
  const int32_t magnitude = a & 0x7fff;
  const uint32_t sign = static_cast<uint32_t>(a & 0x8000) << 16;
  const uint32_t normal = (static_cast<uint32_t>(magnitude) << 13) + (112u << 23);
  const uint32_t subnormal = std::bit_cast<uint32_t>(static_cast<float>(magnitude) * 0x1p-24f);
  const uint32_t finite = select(magnitude < 0x400, subnormal, normal);
  const uint32_t value = sign | select(magnitude == 0x7c00, 0x7f800000u, finite);
  return select(magnitude > 0x7c00, kCanonicalNan, value);
}

[[gnu::always_inline]] inline int8_t f32_to_int8_sat_lane(uint32_t a) {
  if constexpr (!kNativeArithmetic) return arith::f32_to_int8_sat(a);
  const int32_t magnitude = magnitude_of(a);
  const uint32_t clamped =
      (a & 0x80000000u) | select(magnitude > 0x42fe0000, 0x42fe0000u, a & 0x7fffffffu);
  // Adding 1.5 * 2^23 leaves the rounded integer in the low bits.
  const uint32_t shifted = std::bit_cast<uint32_t>(std::bit_cast<float>(clamped) + 0x1.8p23f);
  return static_cast<int8_t>(select(magnitude > 0x7f800000, 0u, shifted - 0x4b400000u));
}

[[gnu::always_inline]] inline int32_t f32_to_int32_sat_lane(uint32_t a) {
  if constexpr (!kNativeArithmetic) return arith::f32_to_int32_sat(a);
  const int32_t magnitude = magnitude_of(a);
  // Below 2^23: adding and taking off 2^23 rounds to an integer. From there a is one.
  const float bias = std::bit_cast<float>((a & 0x80000000u) | 0x4b000000u);
  const uint32_t rounded = std::bit_cast<uint32_t>((std::bit_cast<float>(a) + bias) - bias);
  const bool fits = magnitude < 0x4f000000;  // below 2^31
  const uint32_t integral = select(magnitude < 0x4b000000, rounded, a);
  const int32_t converted = static_cast<int32_t>(std::bit_cast<float>(select(fits, integral, 0u)));
  const uint32_t limit = 0x7fffffffu + (a >> 31);
  const uint32_t saturated = select(fits, static_cast<uint32_t>(converted), limit);
  return static_cast<int32_t>(select(magnitude > 0x7f800000, 0u, saturated));
}

[[gnu::always_inline]] inline uint16_t f32_to_bf16_lane(uint32_t a) {
  const uint32_t flushed = (a & 0x7f800000u) == 0 ? a & 0x80000000u : a;
  const uint32_t rounded = (flushed + 0x7fffu + ((flushed >> 16) & 1u)) >> 16;
  return static_cast<uint16_t>(magnitude_of(a) > 0x7f800000 ? kCanonicalNanBf16 : rounded);
}

[[gnu::always_inline]] inline uint16_t f32_to_f16_lane(uint32_t a) {
  if constexpr (!kNativeArithmetic) return arith::f32_to_f16(a);
  const int32_t magnitude = magnitude_of(a);
  const uint32_t rebiased = static_cast<uint32_t>(magnitude) - (112u << 23);
  const uint32_t normal = (rebiased + 0xfffu + ((rebiased >> 13) & 1u)) >> 13;
  // The last place of 0.5 is 2^-24, the unit of f16 subnormals.
  const uint32_t shifted = std::bit_cast<uint32_t>(std::bit_cast<float>(abs_lane(a)) + 0.5f);
  const uint32_t finite = select(magnitude < 0x38800000, shifted - 0x3f000000u, normal);
  const uint32_t value = ((a >> 16) & 0x8000u) | select(magnitude >= 0x47800000, 0x7c00u, finite);
  return static_cast<uint16_t>(select(magnitude > 0x7f800000, kCanonicalNanF16, value));
}

// The special functions, as in isa/arithmetic.cc but without branches.

[[gnu::always_inline]] inline uint32_t special_value_lane(uint32_t index, uint32_t d, bool rising) {
  constexpr int kA1LowBits = 32 - kSpecialC0Bits;
  constexpr int kA1HighBits = kSpecialA1Bits - kA1LowBits;
  const uint32_t low = kSpecialLow[index];
  const uint32_t high = kSpecialHigh[index];
  const uint32_t c0 = low & ((1u << kSpecialC0Bits) - 1u);
  const uint32_t a1 = ((high & ((1u << kA1HighBits) - 1u)) << kA1LowBits) | (low >> kSpecialC0Bits);
  const uint32_t a2 = high >> kA1HighBits;
  const uint32_t bend = (a2 * d) >> kSpecialOffsetBits;
  const uint32_t slope = rising ? a1 + bend : a1 - bend;
  const uint32_t step =
      static_cast<uint32_t>((static_cast<uint64_t>(slope) * d) >> kSpecialOffsetBits);
  return (1u << kSpecialC0Bits) + (rising ? c0 + step : c0 - step);
}

[[gnu::always_inline]] inline uint32_t drop_guard_bits_lane(uint32_t value) {
  return (value + (1u << (kSpecialGuardBits - 1))) >> kSpecialGuardBits;
}

[[gnu::always_inline]] inline uint32_t exp2_lane(uint32_t a) {
  const int32_t magnitude = magnitude_of(a);
  const uint32_t negative = 0u - (a >> 31);  // a mask
  const uint32_t significand = ((a & 0x7fffffu) | 0x800000u) << 8;
  const int32_t exponent = magnitude >> 23;
  const uint32_t fixed_magnitude = ((significand >> ((133 - exponent) & 31)) + 1u) >> 1;
  const uint32_t fixed = (fixed_magnitude ^ negative) - negative;
  const uint32_t segment = (fixed >> kSpecialOffsetBits) & 0x7fu;
  const uint32_t offset = fixed & ((1u << kSpecialOffsetBits) - 1u);
  const int32_t biased = static_cast<int32_t>((fixed >> 24) ^ 0x80u);
  const uint32_t value =
      drop_guard_bits_lane(special_value_lane(kSpecialBaseExp2 + segment, offset, true));
  uint32_t result = (static_cast<uint32_t>(biased - 2) << 23) + value;
  result = select(biased < 2, 0u, result);
  result = select(exponent > 133, 0x7f800000u & ~negative, result);
  result = select(exponent < 102, 0x3f800000u, result);
  return select(magnitude > 0x7f800000, kCanonicalNan, result);
}

[[gnu::always_inline]] inline uint32_t reciprocal_lane(uint32_t a) {
  const int32_t magnitude = magnitude_of(a);
  const uint32_t sign = a & 0x80000000u;
  const int32_t exponent = magnitude >> 23;
  const uint32_t segment = (a >> 16) & 0x7fu;
  const uint32_t value = drop_guard_bits_lane(
      special_value_lane(kSpecialBaseReciprocal + segment, (a & 0xffffu) << 1, false));
  uint32_t result = (static_cast<uint32_t>(252 - exponent) << 23) + value;
  // From 2^126 the field holds -2, -1 or 0 where it is not a normal number.
  result = select(static_cast<int32_t>(result) < 0x800000, 0u, result);
  result = select(exponent == 255, 0u, result);
  result = sign | select(exponent == 0, 0x7f800000u, result);
  return select(magnitude > 0x7f800000, kCanonicalNan, result);
}

[[gnu::always_inline]] inline uint32_t rsqrt_lane(uint32_t a) {
  const int32_t magnitude = magnitude_of(a);
  const uint32_t exponent = static_cast<uint32_t>(magnitude) >> 23;
  const uint32_t segment = ((~exponent & 1u) << 7) | ((a >> 16) & 0x7fu);
  const uint32_t value = drop_guard_bits_lane(
      special_value_lane(kSpecialBaseRsqrt + segment, (a & 0xffffu) << 1, false));
  uint32_t result = ((189u - ((exponent + 1u) >> 1)) << 23) + value;
  result = select(magnitude == 0x7f800000, 0u, result);
  result = select((a >> 31) != 0, kCanonicalNan, result);
  result = select(exponent == 0, 0x7f800000u, result);
  return select(magnitude > 0x7f800000, kCanonicalNan, result);
}

[[gnu::always_inline]] inline uint32_t log2_lane(uint32_t a) {
  const int32_t magnitude = magnitude_of(a);
  const uint32_t fraction = a & 0x7fffffu;
  const uint32_t upper = fraction >> 22;
  const uint32_t t = select(upper != 0, 0x800000u - fraction, fraction << 1);
  const int32_t whole = (magnitude >> 23) - 127 + static_cast<int32_t>(upper);
  const uint32_t segment = (a >> 16) & 0x7fu;
  const uint32_t g = special_value_lane(kSpecialBaseLog2 + segment, (a & 0xffffu) << 1, false);
  const uint64_t product = static_cast<uint64_t>(t) * g;
  const uint64_t minus = uint64_t{0} - upper;  // a mask
  const uint64_t sum =
      (static_cast<uint64_t>(static_cast<int64_t>(whole)) << 51) + ((product ^ minus) - minus);
  const uint32_t sign = static_cast<uint32_t>(sum >> 32) & 0x80000000u;
  const uint64_t absolute = (sum ^ (uint64_t{0} - (sum >> 63))) + (sum >> 63);
  const int shift = std::countl_zero(absolute | 1u);
  const uint32_t rounded = (static_cast<uint32_t>((absolute << shift) >> 39) + 1u) >> 1;
  uint32_t result = sign + (static_cast<uint32_t>(138 - shift) << 23) + rounded;
  result = select(absolute == 0, 0u, result);
  result = select(magnitude == 0x7f800000, 0x7f800000u, result);
  result = select((a >> 31) != 0, kCanonicalNan, result);
  result = select(magnitude < 0x800000, 0xff800000u, result);
  return select(magnitude > 0x7f800000, kCanonicalNan, result);
}

// All lanes.

template <auto Lane, typename In, typename Out>
[[gnu::always_inline]] inline void each_lane(const In* a, Out* out, int lanes) {
#pragma GCC ivdep
  for (int i = 0; i < lanes; ++i) out[i] = Lane(a[i]);
}

template <auto Lane>
[[gnu::always_inline]] inline void each_lane(const uint32_t* a, const uint32_t* b, uint32_t* out,
                                             int lanes) {
#pragma GCC ivdep
  for (int i = 0; i < lanes; ++i) out[i] = Lane(a[i], b[i]);
}

[[gnu::always_inline]] inline void add(const uint32_t* a, const uint32_t* b, uint32_t* out,
                                       int lanes) {
  each_lane<add_lane>(a, b, out, lanes);
}
[[gnu::always_inline]] inline void sub(const uint32_t* a, const uint32_t* b, uint32_t* out,
                                       int lanes) {
  each_lane<sub_lane>(a, b, out, lanes);
}
[[gnu::always_inline]] inline void mul(const uint32_t* a, const uint32_t* b, uint32_t* out,
                                       int lanes) {
  each_lane<mul_lane>(a, b, out, lanes);
}
[[gnu::always_inline]] inline void min(const uint32_t* a, const uint32_t* b, uint32_t* out,
                                       int lanes) {
  each_lane<min_lane>(a, b, out, lanes);
}
[[gnu::always_inline]] inline void max(const uint32_t* a, const uint32_t* b, uint32_t* out,
                                       int lanes) {
  each_lane<max_lane>(a, b, out, lanes);
}
[[gnu::always_inline]] inline void abs(const uint32_t* a, uint32_t* out, int lanes) {
  each_lane<abs_lane>(a, out, lanes);
}
[[gnu::always_inline]] inline void neg(const uint32_t* a, uint32_t* out, int lanes) {
  each_lane<neg_lane>(a, out, lanes);
}
[[gnu::always_inline]] inline void int32_to_f32(const int32_t* a, uint32_t* out, int lanes) {
  each_lane<int32_to_f32_lane>(a, out, lanes);
}
[[gnu::always_inline]] inline void int8_to_f32(const int8_t* a, uint32_t* out, int lanes) {
  each_lane<int8_to_f32_lane>(a, out, lanes);
}
[[gnu::always_inline]] inline void bf16_to_f32(const uint16_t* a, uint32_t* out, int lanes) {
  each_lane<bf16_to_f32_lane>(a, out, lanes);
}
[[gnu::always_inline]] inline void f16_to_f32(const uint16_t* a, uint32_t* out, int lanes) {
  each_lane<f16_to_f32_lane>(a, out, lanes);
}
[[gnu::always_inline]] inline void f32_to_int8_sat(const uint32_t* a, int8_t* out, int lanes) {
  each_lane<f32_to_int8_sat_lane>(a, out, lanes);
}
[[gnu::always_inline]] inline void f32_to_int32_sat(const uint32_t* a, int32_t* out, int lanes) {
  each_lane<f32_to_int32_sat_lane>(a, out, lanes);
}
[[gnu::always_inline]] inline void f32_to_bf16(const uint32_t* a, uint16_t* out, int lanes) {
  each_lane<f32_to_bf16_lane>(a, out, lanes);
}
[[gnu::always_inline]] inline void f32_to_f16(const uint32_t* a, uint16_t* out, int lanes) {
  each_lane<f32_to_f16_lane>(a, out, lanes);
}
[[gnu::always_inline]] inline void exp2(const uint32_t* a, uint32_t* out, int lanes) {
  each_lane<exp2_lane>(a, out, lanes);
}
[[gnu::always_inline]] inline void reciprocal(const uint32_t* a, uint32_t* out, int lanes) {
  each_lane<reciprocal_lane>(a, out, lanes);
}
[[gnu::always_inline]] inline void rsqrt(const uint32_t* a, uint32_t* out, int lanes) {
  each_lane<rsqrt_lane>(a, out, lanes);
}
[[gnu::always_inline]] inline void log2(const uint32_t* a, uint32_t* out, int lanes) {
  each_lane<log2_lane>(a, out, lanes);
}

}  // namespace fast
}  // namespace pianola::arith
