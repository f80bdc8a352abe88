#include "isa/arithmetic.h"

#include <bit>

#include "isa/special_function_tables.h"

namespace pianola::arith {
namespace {

constexpr uint32_t kSignBit = 0x80000000u;
constexpr uint32_t kInfinity = 0x7f800000u;
constexpr uint32_t kFractionMask = 0x007fffffu;
constexpr uint32_t kHiddenBit = 0x00800000u;

bool is_nan(uint32_t a) { return (a & ~kSignBit) > kInfinity; }
bool is_infinite(uint32_t a) { return (a & ~kSignBit) == kInfinity; }
bool is_zero_or_subnormal(uint32_t a) { return (a & kInfinity) == 0; }
uint32_t exponent_of(uint32_t a) { return (a >> 23) & 0xffu; }
uint32_t significand_of(uint32_t a) { return (a & kFractionMask) | kHiddenBit; }

// value >> count, with the bits shifted out collected into the lowest bit. count < 32.
uint32_t shift_right_sticky(uint32_t value, uint32_t count) {
  const uint32_t lost = value & ((1u << count) - 1u);
  return (value >> count) | (lost != 0 ? 1u : 0u);
}

// value / 2^count to nearest, ties to even. 1 <= count <= 31.
uint32_t round_shift(uint32_t value, uint32_t count) {
  const uint32_t half = 1u << (count - 1u);
  const uint32_t lost = value & (2u * half - 1u);
  const uint32_t kept = value >> count;
  return kept + ((lost > half || (lost == half && (kept & 1u) != 0)) ? 1u : 0u);
}

// sign, a biased exponent that may be out of range, and a significand in [2^26, 2^27) that carries
// three bits below the last place, the lowest sticky: rounded, then checked for range.
uint32_t round_and_pack(uint32_t sign, int32_t exponent, uint32_t significand) {
  uint32_t rounded = round_shift(significand, 3);
  if (rounded == 2u * kHiddenBit) {
    rounded = kHiddenBit;
    ++exponent;
  }
  if (exponent <= 0) return sign;
  if (exponent >= 255) return sign | kInfinity;
  return sign | (static_cast<uint32_t>(exponent) << 23) | (rounded & kFractionMask);
}

// The total order of the bits as signed integers become unsigned ones: -inf lowest, -0 < +0.
uint32_t ordered_key(uint32_t a) { return (a & kSignBit) != 0 ? ~a : a | kSignBit; }

}  // namespace

uint32_t add(uint32_t a, uint32_t b) {
  if (is_nan(a) || is_nan(b)) return kCanonicalNan;
  if (is_infinite(a)) return (is_infinite(b) && a != b) ? kCanonicalNan : a;
  if (is_infinite(b)) return b;
  if (is_zero_or_subnormal(a)) a &= kSignBit;
  if (is_zero_or_subnormal(b)) b &= kSignBit;
  if ((a & ~kSignBit) < (b & ~kSignBit)) {
    const uint32_t swapped = a;
    a = b;
    b = swapped;
  }
  if (is_zero_or_subnormal(a)) return a & b;  // -0 only where both are
  if (is_zero_or_subnormal(b)) return a;

  const uint32_t sign = a & kSignBit;
  int32_t exponent = static_cast<int32_t>(exponent_of(a));
  const uint32_t distance = exponent_of(a) - exponent_of(b);
  const uint32_t large = significand_of(a) << 3;
  const uint32_t small = shift_right_sticky(significand_of(b) << 3, distance < 27 ? distance : 27);
  if (((a ^ b) & kSignBit) == 0) {
    uint32_t sum = large + small;
    if ((sum >> 27) != 0) {
      sum = shift_right_sticky(sum, 1);
      ++exponent;
    }
    return round_and_pack(sign, exponent, sum);
  }
  const uint32_t difference = large - small;
  if (difference == 0) return 0;
  const int shift = std::countl_zero(difference) - 5;  // to bit 26
  return round_and_pack(sign, exponent - shift, difference << shift);
}

uint32_t sub(uint32_t a, uint32_t b) { return add(a, b ^ kSignBit); }

uint32_t mul(uint32_t a, uint32_t b) {
  if (is_nan(a) || is_nan(b)) return kCanonicalNan;
  const uint32_t sign = (a ^ b) & kSignBit;
  const bool a_zero = is_zero_or_subnormal(a);
  const bool b_zero = is_zero_or_subnormal(b);
  if (is_infinite(a) || is_infinite(b))
    return (a_zero || b_zero) ? kCanonicalNan : sign | kInfinity;
  if (a_zero || b_zero) return sign;

  int32_t exponent = static_cast<int32_t>(exponent_of(a) + exponent_of(b)) - 127;
  uint64_t product = static_cast<uint64_t>(significand_of(a)) * significand_of(b);  // [2^46, 2^48)
  if ((product >> 47) != 0) {
    ++exponent;
  } else {
    product <<= 1;
  }
  const uint32_t sticky = (product & 0x1fffffu) != 0 ? 1u : 0u;
  return round_and_pack(sign, exponent, static_cast<uint32_t>(product >> 21) | sticky);
}

uint32_t min(uint32_t a, uint32_t b) {
  if (is_nan(a) || is_nan(b)) return kCanonicalNan;
  return ordered_key(b) < ordered_key(a) ? b : a;
}

uint32_t max(uint32_t a, uint32_t b) {
  if (is_nan(a) || is_nan(b)) return kCanonicalNan;
  return ordered_key(b) > ordered_key(a) ? b : a;
}

uint32_t abs(uint32_t a) { return a & ~kSignBit; }

uint32_t neg(uint32_t a) { return a ^ kSignBit; }

uint32_t int32_to_f32(int32_t a) {
  if (a == 0) return 0;
  const uint32_t sign = a < 0 ? kSignBit : 0u;
  const uint32_t magnitude = a < 0 ? 0u - static_cast<uint32_t>(a) : static_cast<uint32_t>(a);
  const int shift = std::countl_zero(magnitude);
  const uint32_t normalized = magnitude << shift;  // bit 31 set; bit 31 alone is 2^(31 - shift)
  return round_and_pack(sign, 127 + 31 - shift, shift_right_sticky(normalized, 5));
}

uint32_t int8_to_f32(int8_t a) { return int32_to_f32(a); }

uint32_t bf16_to_f32(uint16_t a) {
  const uint32_t wide = static_cast<uint32_t>(a) << 16;
  if (is_nan(wide)) return kCanonicalNan;
  return is_zero_or_subnormal(wide) ? wide & kSignBit : wide;
}

uint32_t f16_to_f32(uint16_t a) {
  const uint32_t sign = static_cast<uint32_t>(a & 0x8000u) << 16;
  const uint32_t exponent = (a >> 10) & 0x1fu;
  const uint32_t fraction = a & 0x3ffu;
  if (exponent == 31) return fraction != 0 ? kCanonicalNan : sign | kInfinity;
  if (exponent != 0) return sign | ((exponent + 112u) << 23) | (fraction << 13);
  if (fraction == 0) return sign;
  // fraction * 2^-24: bit 9 alone is 2^-15, biased 112.
  const uint32_t shift = static_cast<uint32_t>(std::countl_zero(fraction)) - 22u;  // to bit 9
  return sign | ((112u - shift) << 23) | ((fraction << (shift + 14u)) & kFractionMask);
}

int8_t f32_to_int8_sat(uint32_t a) {
  const int32_t wide = f32_to_int32_sat(a);
  return static_cast<int8_t>(wide > 127 ? 127 : wide < -127 ? -127 : wide);
}

int32_t f32_to_int32_sat(uint32_t a) {
  if (is_nan(a)) return 0;
  const bool negative = (a & kSignBit) != 0;
  const uint32_t exponent = exponent_of(a);
  if (exponent < 126) return 0;  // below one half
  if (exponent >= 127 + 31) return negative ? INT32_MIN : INT32_MAX;
  const uint32_t magnitude = exponent >= 150 ? significand_of(a) << (exponent - 150)
                                             : round_shift(significand_of(a), 150 - exponent);
  return static_cast<int32_t>(negative ? 0u - magnitude : magnitude);
}

uint16_t f32_to_bf16(uint32_t a) {
  if (is_nan(a)) return kCanonicalNanBf16;
  if (is_zero_or_subnormal(a)) a &= kSignBit;
  // Adding to the bits carries from the fraction into the exponent, and from there to infinity.
  return static_cast<uint16_t>((a + 0x7fffu + ((a >> 16) & 1u)) >> 16);
}

uint16_t f32_to_f16(uint32_t a) {
  const uint32_t sign = (a & kSignBit) >> 16;
  const uint32_t magnitude = a & ~kSignBit;
  if (is_nan(a)) return kCanonicalNanF16;
  if (magnitude >= 0x47800000u) return static_cast<uint16_t>(sign | 0x7c00u);  // from 65536
  if (magnitude >= 0x38800000u) {                                              // from 2^-14
    return static_cast<uint16_t>(sign | round_shift(magnitude - (112u << 23), 13));
  }
  const uint32_t exponent = exponent_of(a);
  if (exponent < 102) return static_cast<uint16_t>(sign);  // below 2^-25, half the last place
  return static_cast<uint16_t>(sign | round_shift(significand_of(a), 126 - exponent));
}

// Special functions. All share one evaluation: 2^27 + c0 +- ((a1 +- ((a2 * d) >> 17)) * d) >> 17.
namespace {

constexpr uint32_t kOffsetMask = (1u << kSpecialOffsetBits) - 1u;

struct SpecialRow {
  uint32_t c0, a1, a2;
};

SpecialRow special_row(uint32_t index) {
  const uint64_t word = (static_cast<uint64_t>(kSpecialHigh[index]) << 32) | kSpecialLow[index];
  return {.c0 = static_cast<uint32_t>(word) & ((1u << kSpecialC0Bits) - 1u),
          .a1 = static_cast<uint32_t>(word >> kSpecialC0Bits) & ((1u << kSpecialA1Bits) - 1u),
          .a2 = static_cast<uint32_t>(word >> (kSpecialC0Bits + kSpecialA1Bits))};
}

// Segment `index` at offset d in [0, 2^17): a 28-bit significand, 2^27 being its hidden bit.
uint32_t evaluate_rising(uint32_t index, uint32_t d) {
  const SpecialRow row = special_row(index);
  const uint32_t slope = row.a1 + ((row.a2 * d) >> kSpecialOffsetBits);
  const uint64_t step = (static_cast<uint64_t>(slope) * d) >> kSpecialOffsetBits;
  return (1u << kSpecialC0Bits) + row.c0 + static_cast<uint32_t>(step);
}

uint32_t evaluate_falling(uint32_t index, uint32_t d) {
  const SpecialRow row = special_row(index);
  const uint32_t slope = row.a1 - ((row.a2 * d) >> kSpecialOffsetBits);
  const uint64_t step = (static_cast<uint64_t>(slope) * d) >> kSpecialOffsetBits;
  return (1u << kSpecialC0Bits) + row.c0 - static_cast<uint32_t>(step);
}

// Without its guard bits, half up: [2^23, 2^24], so adding it to an exponent field carries.
uint32_t drop_guard_bits(uint32_t value) {
  return (value + (1u << (kSpecialGuardBits - 1))) >> kSpecialGuardBits;
}

// The falling functions index by the upper 7 fraction bits; the lower 16 are the offset.
uint32_t fraction_segment(uint32_t a) { return (a >> 16) & 0x7fu; }
uint32_t fraction_offset(uint32_t a) { return (a & 0xffffu) << 1; }

}  // namespace

uint32_t exp2(uint32_t a) {
  constexpr uint32_t kOne = 0x3f800000u;
  const bool negative = (a & kSignBit) != 0;
  if (is_nan(a)) return kCanonicalNan;
  const uint32_t exponent = exponent_of(a);
  if (exponent >= 127 + 7) return negative ? 0u : kInfinity;  // |a| >= 128
  if (exponent < 127 - 25) return kOne;                       // |a| < 2^-25
  // |a| in units of 2^-24, half up, then a itself as two's complement: integer . fraction.
  const uint32_t magnitude = (((significand_of(a) << 8) >> (133u - exponent)) + 1u) >> 1;
  const uint32_t fixed = negative ? 0u - magnitude : magnitude;
  const uint32_t biased = (fixed >> 24) ^ 0x80u;  // integer part + 128
  if (biased < 2) return 0;                       // below -126
  const uint32_t segment = (fixed >> kSpecialOffsetBits) & 0x7fu;
  const uint32_t value = evaluate_rising(kSpecialBaseExp2 + segment, fixed & kOffsetMask);
  return ((biased - 2u) << 23) + drop_guard_bits(value);
}

uint32_t reciprocal(uint32_t a) {
  const uint32_t sign = a & kSignBit;
  if (is_nan(a)) return kCanonicalNan;
  if (is_zero_or_subnormal(a)) return sign | kInfinity;
  const uint32_t exponent = exponent_of(a);
  if (exponent >= 254) return sign;
  const uint32_t value =
      evaluate_falling(kSpecialBaseReciprocal + fraction_segment(a), fraction_offset(a));
  const uint32_t result = ((252u - exponent) << 23) + drop_guard_bits(value);  // mod 2^32 at 253
  return is_zero_or_subnormal(result) ? sign : sign | result;
}

uint32_t rsqrt(uint32_t a) {
  if (is_nan(a)) return kCanonicalNan;
  if (is_zero_or_subnormal(a)) return kInfinity;
  if ((a & kSignBit) != 0) return kCanonicalNan;
  if (is_infinite(a)) return 0;
  const uint32_t exponent = exponent_of(a);
  const uint32_t octave = (exponent & 1u) != 0 ? 0u : 128u;  // of [1, 4)
  const uint32_t value =
      evaluate_falling(kSpecialBaseRsqrt + octave + fraction_segment(a), fraction_offset(a));
  return ((189u - ((exponent + 1u) >> 1)) << 23) + drop_guard_bits(value);
}

uint32_t log2(uint32_t a) {
  if (is_nan(a)) return kCanonicalNan;
  if (is_zero_or_subnormal(a)) return kSignBit | kInfinity;
  if ((a & kSignBit) != 0) return kCanonicalNan;
  if (is_infinite(a)) return kInfinity;
  // a = 2^whole * (1 + t) with t in [-1/4, 1/2): log2(a) = whole + t * g(t), g from the table.
  const uint32_t fraction = a & kFractionMask;
  const bool upper = (fraction >> 22) != 0;                          // t < 0
  const uint32_t t = upper ? kHiddenBit - fraction : fraction << 1;  // |t| in units of 2^-24
  const int32_t whole = static_cast<int32_t>(exponent_of(a)) - (upper ? 126 : 127);
  const uint32_t g = evaluate_falling(kSpecialBaseLog2 + fraction_segment(a), fraction_offset(a));
  const uint64_t product = static_cast<uint64_t>(t) * g;  // units of 2^-51
  const bool negative = whole != 0 ? whole < 0 : upper;
  const uint64_t magnitude = static_cast<uint64_t>(whole < 0 ? -whole : whole) << 51;
  const bool subtract = whole != 0 && negative != upper;
  const uint64_t sum = subtract ? magnitude - product : magnitude + product;
  if (sum == 0) return 0;
  const int shift = std::countl_zero(sum);
  const uint32_t rounded = (static_cast<uint32_t>((sum << shift) >> 39) + 1u) >> 1;
  return (negative ? kSignBit : 0u) + (static_cast<uint32_t>(138 - shift) << 23) + rounded;
}

}  // namespace pianola::arith
