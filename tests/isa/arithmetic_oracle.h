// Two oracles for fp32 add and multiply that share nothing with isa/arithmetic.cc: MPFR at 24 bits
// with an unbounded exponent, and a soft float that holds the exact result in 128 bits and picks
// the nearer neighbour by comparing distances. Both apply the machine's flush rules afterwards.
#pragma once

#include <mpfr.h>

#include <bit>
#include <cmath>
#include <cstdint>

namespace pianola::oracle {

__extension__ using Wide = unsigned __int128;
__extension__ using SignedWide = __int128;

inline constexpr uint32_t kNan = 0x7fc00000u;

inline bool is_nan(uint32_t a) { return (a & 0x7fffffffu) > 0x7f800000u; }
inline bool is_subnormal(uint32_t a) { return (a & 0x7f800000u) == 0 && (a & 0x7fffffu) != 0; }
inline float to_float(uint32_t a) { return std::bit_cast<float>(a); }
inline float daz(uint32_t a) { return to_float(is_subnormal(a) ? a & 0x80000000u : a); }

class MpfrOracle {
 public:
  MpfrOracle() { mpfr_inits2(24, a_, b_, r_, static_cast<mpfr_ptr>(nullptr)); }
  ~MpfrOracle() { mpfr_clears(a_, b_, r_, static_cast<mpfr_ptr>(nullptr)); }
  MpfrOracle(const MpfrOracle&) = delete;
  MpfrOracle& operator=(const MpfrOracle&) = delete;

  uint32_t add(uint32_t a, uint32_t b) { return run(a, b, mpfr_add); }
  uint32_t sub(uint32_t a, uint32_t b) { return run(a, b, mpfr_sub); }
  uint32_t mul(uint32_t a, uint32_t b) { return run(a, b, mpfr_mul); }

 private:
  template <typename Operation>
  uint32_t run(uint32_t a, uint32_t b, Operation operation) {
    mpfr_set_flt(a_, daz(a), MPFR_RNDN);
    mpfr_set_flt(b_, daz(b), MPFR_RNDN);
    operation(r_, a_, b_, MPFR_RNDN);
    if (mpfr_nan_p(r_)) return kNan;
    const uint32_t sign = mpfr_signbit(r_) ? 0x80000000u : 0u;
    if (mpfr_zero_p(r_)) return sign;
    if (mpfr_inf_p(r_) || mpfr_get_exp(r_) > 128) return sign | 0x7f800000u;
    if (mpfr_get_exp(r_) < -125) return sign;  // MPFR's significand is in [1/2, 1)
    return std::bit_cast<uint32_t>(mpfr_get_flt(r_, MPFR_RNDN));
  }

  mpfr_t a_, b_, r_;
};

// sign * significand * 2^exponent, rounded to 24 bits by looking at both neighbours.
inline uint32_t nearest(bool negative, Wide significand, int exponent) {
  const uint32_t sign = negative ? 0x80000000u : 0u;
  if (significand == 0) return sign;
  const uint64_t high = static_cast<uint64_t>(significand >> 64);
  const int width = high != 0
                        ? 64 + static_cast<int>(std::bit_width(high))
                        : static_cast<int>(std::bit_width(static_cast<uint64_t>(significand)));
  // The last place, in units of 2^exponent.
  const Wide unit = static_cast<Wide>(1) << (width > 24 ? width - 24 : 0);
  Wide below = significand / unit * unit;
  const Wide down = significand - below;
  const Wide up = unit - down;
  if (down != 0 && (up < down || (up == down && (below / unit) % 2 == 1))) below += unit;
  const double value = std::ldexp(static_cast<double>(below), exponent);  // exact
  if (value < 0x1p-126) return sign;
  if (value >= 0x1p128) return sign | 0x7f800000u;
  return sign | std::bit_cast<uint32_t>(static_cast<float>(value));
}

struct Exact {
  bool negative;
  uint64_t significand;
  int exponent;
};

inline Exact take_apart(uint32_t a) {
  const int field = static_cast<int>(a >> 23 & 0xffu);
  return {(a >> 31) != 0, field == 0 ? 0u : (a & 0x7fffffu) + 0x800000u, field - 150};
}

inline uint32_t soft_mul(uint32_t a, uint32_t b) {
  if (is_nan(a) || is_nan(b)) return kNan;
  const Exact x = take_apart(a), y = take_apart(b);
  const bool negative = x.negative != y.negative;
  if (x.exponent == 105 || y.exponent == 105) {
    if (x.significand == 0 || y.significand == 0) return kNan;
    return (negative ? 0x80000000u : 0u) | 0x7f800000u;
  }
  return nearest(negative, static_cast<Wide>(x.significand) * y.significand,
                 x.exponent + y.exponent);
}

inline uint32_t soft_add(uint32_t a, uint32_t b) {
  if (is_nan(a) || is_nan(b)) return kNan;
  Exact x = take_apart(a), y = take_apart(b);
  if (x.exponent == 105 || y.exponent == 105) {
    if (x.exponent == y.exponent && x.negative != y.negative) return kNan;
    return x.exponent == 105 ? a : b;
  }
  if (x.significand == 0 && y.significand == 0) {
    return x.negative && y.negative ? 0x80000000u : 0u;
  }
  if (x.significand == 0) return b;
  if (y.significand == 0) return a;
  if (x.exponent < y.exponent) {
    const Exact swapped = x;
    x = y;
    y = swapped;
  }
  // Over 60 places apart the smaller only says on which side of the larger the sum is.
  const bool far = x.exponent - y.exponent > 60;
  const int exponent = far ? x.exponent - 60 : y.exponent;
  const SignedWide left = static_cast<SignedWide>(x.significand) << (x.exponent - exponent);
  const SignedWide right = far ? 1 : static_cast<SignedWide>(y.significand);
  const SignedWide sum = (x.negative ? -left : left) + (y.negative ? -right : right);
  if (sum == 0) return 0;
  return nearest(sum < 0, static_cast<Wide>(sum < 0 ? -sum : sum), exponent);
}

// Round to nearest even at a fixed number of fraction bits; |value| < 2^52 of those units.
inline double round_to_unit(double value, double unit) {
  return std::nearbyint(value / unit) * unit;
}

inline int32_t to_integer(uint32_t a, double low, double high) {
  if (is_nan(a)) return 0;
  const double rounded = std::nearbyint(static_cast<double>(to_float(a)));
  return static_cast<int32_t>(rounded < low ? low : rounded > high ? high : rounded);
}

inline uint16_t to_bf16(uint32_t a) {
  if (is_nan(a)) return 0x7fc0;
  const double value = daz(a);
  const uint16_t sign = (a >> 31) != 0 ? 0x8000 : 0;
  if (value == 0) return sign;
  if (std::isinf(value)) return static_cast<uint16_t>(sign | 0x7f80);
  int exponent = 0;
  std::frexp(value, &exponent);
  const double rounded = std::fabs(round_to_unit(value, std::ldexp(1.0, exponent - 8)));
  if (rounded >= 0x1p128) return static_cast<uint16_t>(sign | 0x7f80);
  return static_cast<uint16_t>(sign | std::bit_cast<uint32_t>(static_cast<float>(rounded)) >> 16);
}

inline double f16_value(uint16_t a) {  // finite
  const int field = a >> 10 & 31;
  const double magnitude =
      field == 0 ? std::ldexp(a & 1023, -24) : std::ldexp(1024 + (a & 1023), field - 25);
  return (a & 0x8000) != 0 ? -magnitude : magnitude;
}

inline uint16_t to_f16(uint32_t a) {
  if (is_nan(a)) return 0x7e00;
  const double value = std::fabs(static_cast<double>(daz(a)));
  const uint16_t sign = (a >> 31) != 0 ? 0x8000 : 0;
  if (value == 0) return sign;
  int exponent = 0;
  std::frexp(value, &exponent);
  const double unit = std::ldexp(1.0, exponent - 11 < -24 ? -24 : exponent - 11);
  const double rounded = std::isinf(value) ? value : round_to_unit(value, unit);
  if (rounded >= 65536.0) return static_cast<uint16_t>(sign | 0x7c00);
  if (rounded < 0x1p-14) return static_cast<uint16_t>(sign | static_cast<int>(rounded * 0x1p24));
  std::frexp(rounded, &exponent);
  const int significand = static_cast<int>(std::ldexp(rounded, 11 - exponent));
  return static_cast<uint16_t>(sign | ((exponent + 14) << 10) | (significand & 1023));
}

}  // namespace pianola::oracle
