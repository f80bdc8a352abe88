// The arithmetic of the machine on raw bits, in integers only: the normative form. The emulator's
// native kernels (isa/arithmetic_fast.h) and the hardware cells (rtl/fp_*.sv) are tested to agree
// with these functions bit for bit; docs/arithmetic.md states the rules and the algorithms.
//
// Rules. fp32 is IEEE binary32, round to nearest even, one rounding an operation. A subnormal
// operand counts as the zero of its sign; a result that is tiny after rounding becomes the zero of
// its sign (x86 with DAZ and FTZ). Every NaN that an operation or a conversion produces is
// kCanonicalNan. min, max, abs and neg select or change the sign and pass all other bits.
#pragma once

#include <cstdint>

namespace pianola::arith {

inline constexpr uint32_t kCanonicalNan = 0x7fc00000u;  // fp32
inline constexpr uint16_t kCanonicalNanBf16 = 0x7fc0u;
inline constexpr uint16_t kCanonicalNanF16 = 0x7e00u;

// fp32 x fp32 -> fp32.
uint32_t add(uint32_t a, uint32_t b);
uint32_t sub(uint32_t a, uint32_t b);  // a + (-b)
uint32_t mul(uint32_t a, uint32_t b);

// The smaller or larger by ordered key: -inf < ... < -0 < +0 < ... < +inf, subnormals in their
// place and passed as they are; canonical NaN if either is NaN.
uint32_t min(uint32_t a, uint32_t b);
uint32_t max(uint32_t a, uint32_t b);

// Sign operations: they change bit 31 and pass the rest, NaN and subnormals included.
uint32_t abs(uint32_t a);
uint32_t neg(uint32_t a);

// To fp32. int32 rounds; the others are exact. A bf16 subnormal becomes the zero of its sign (it
// is an fp32 subnormal); an f16 subnormal becomes the normal fp32 of its value.
uint32_t int32_to_f32(int32_t a);
uint32_t int8_to_f32(int8_t a);
uint32_t bf16_to_f32(uint16_t a);
uint32_t f16_to_f32(uint16_t a);

// From fp32, round to nearest even. Integers saturate (int8 at +-127, int32 at its limits) and NaN
// gives 0. bf16 and f16 overflow to infinity; f16 results may be subnormal; fp32 subnormals give
// the zero of their sign.
int8_t f32_to_int8_sat(uint32_t a);
int32_t f32_to_int32_sat(uint32_t a);
uint16_t f32_to_bf16(uint32_t a);
uint16_t f32_to_f16(uint32_t a);

// Special functions by table and polynomial, within 1 ulp of the exact value (measured over all
// inputs: docs/arithmetic.md). Exact where the exact result is a power of two.
uint32_t exp2(uint32_t a);        // exp2(-inf) = +0, below -126: +0, from 128: +inf
uint32_t reciprocal(uint32_t a);  // 1/+-0 = +-inf, 1/+-inf = +-0, tiny results are +-0
uint32_t rsqrt(uint32_t a);       // 1/sqrt(+-0) = +inf, 1/sqrt(+inf) = +0, negative: NaN
uint32_t log2(uint32_t a);        // log2(+-0) = -inf, log2(+inf) = +inf, negative: NaN

}  // namespace pianola::arith
