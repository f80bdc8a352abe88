// exp2, reciprocal, rsqrt and log2 over all 2^32 inputs (a stride of them without PIANOLA_LONG=1)
// against double precision, and against MPFR where an error comes close to the largest seen. The
// bounds here are the ones docs/arithmetic.md states.
#include <gtest/gtest.h>
#include <mpfr.h>

#include <bit>
#include <cmath>
#include <cstdio>
#include <thread>
#include <vector>

#include "isa/arithmetic.h"
#include "tests/isa/arithmetic_vectors.h"

namespace pianola {
namespace {

constexpr int kThreads = 2;

struct Function {
  const char* name;
  uint32_t (*machine)(uint32_t);
  double (*reference)(double);
  int (*exact)(mpfr_ptr, mpfr_srcptr, mpfr_rnd_t);
  double bound_ulp;
  int direction;  // where the result is monotonic over positive inputs: +1 rises, -1 falls
};

double reciprocal_reference(double x) { return 1.0 / x; }
double rsqrt_reference(double x) { return 1.0 / std::sqrt(x == 0 ? 0.0 : x); }  // of -0 too
int mpfr_reciprocal(mpfr_ptr out, mpfr_srcptr in, mpfr_rnd_t round) {
  return mpfr_ui_div(out, 1, in, round);
}

const Function kExp2 = {"exp2", arith::exp2, std::exp2, mpfr_exp2, 0.94, 1};
const Function kReciprocal = {
    "reciprocal", arith::reciprocal, reciprocal_reference, mpfr_reciprocal, 0.81, -1};
const Function kRsqrt = {"rsqrt", arith::rsqrt, rsqrt_reference, mpfr_rec_sqrt, 0.65, -1};
const Function kLog2 = {"log2", arith::log2, std::log2, mpfr_log2, 0.69, 1};

// Distance in units of the last place of the exact value, by MPFR at 200 bits.
double exact_ulp(const Function& function, uint32_t a) {
  mpfr_t x, y;
  mpfr_inits2(200, x, y, static_cast<mpfr_ptr>(nullptr));
  mpfr_set_flt(x, std::bit_cast<float>(a), MPFR_RNDN);
  function.exact(y, x, MPFR_RNDN);
  const long exponent = mpfr_zero_p(y) ? -125 : mpfr_get_exp(y);
  mpfr_set_flt(x, std::bit_cast<float>(function.machine(a)), MPFR_RNDN);
  mpfr_sub(y, x, y, MPFR_RNDN);
  mpfr_mul_2si(y, y, 24 - exponent, MPFR_RNDN);
  const double error = std::fabs(mpfr_get_d(y, MPFR_RNDN));
  mpfr_clears(x, y, static_cast<mpfr_ptr>(nullptr));
  return error;
}

struct Sweep {
  double worst_ulp = 0;
  uint32_t worst_input = 0;
  uint64_t checked = 0;
  uint64_t wrong_special = 0;  // NaN, infinity, zero or flush other than the rules say
  uint32_t wrong_input = 0;
  uint64_t not_monotonic = 0;
};

void check_one(const Function& function, uint32_t a, Sweep& sweep) {
  const uint32_t result = function.machine(a);
  const bool subnormal = (a & 0x7f800000u) == 0;
  const float x = std::bit_cast<float>(subnormal ? a & 0x80000000u : a);
  const double reference = function.reference(x);
  const double magnitude = std::fabs(reference);
  const uint32_t sign = std::signbit(reference) ? 0x80000000u : 0u;
  uint32_t expected = 0;
  ++sweep.checked;
  if (std::isnan(reference)) {
    expected = arith::kCanonicalNan;
  } else if (magnitude >= 0x1p128) {
    expected = sign | 0x7f800000u;
  } else if (magnitude < 0x1p-126) {
    expected = sign;
  } else {
    const float value = std::bit_cast<float>(result);
    const double last_place = std::bit_cast<double>(
        (std::bit_cast<uint64_t>(magnitude) & 0x7ff0000000000000u) - (uint64_t{23} << 52));
    double error = std::fabs(value - reference) / last_place;
    if (error > sweep.worst_ulp) {
      error = exact_ulp(function, a);
      if (error > sweep.worst_ulp) {
        sweep.worst_ulp = error;
        sweep.worst_input = a;
      }
    }
    expected = std::isfinite(value) ? result : ~result;
  }
  if (result != expected && sweep.wrong_special++ == 0) sweep.wrong_input = a;
}

// Bits [begin, end) by `step`, with the monotonic order of neighbours checked along.
Sweep sweep_range(const Function& function, uint64_t begin, uint64_t end, uint64_t step) {
  Sweep sweep;
  for (uint64_t bits = begin; bits < end; bits += step) {
    const uint32_t a = static_cast<uint32_t>(bits);
    check_one(function, a, sweep);
    const uint32_t next = a + 1u;
    if (((a ^ next) & 0x80000000u) != 0 || (next & 0x7fffffffu) > 0x7f800000u) continue;
    const float here = std::bit_cast<float>(function.machine(a));
    const float there = std::bit_cast<float>(function.machine(next));
    const bool rises = (function.direction > 0) != ((a >> 31) != 0);
    // The sign of 1/x changes nothing here: below zero larger bits are smaller numbers.
    if (rises ? there < here : there > here) ++sweep.not_monotonic;
  }
  return sweep;
}

void expect_bound(const Function& function) {
  const uint64_t step = long_tests() ? 1 : 257;
  std::vector<Sweep> parts(kThreads);
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&function, &parts, step, i] {
      // Interleaved blocks: the expensive inputs are not spread evenly.
      for (uint64_t block = i; block < 256; block += kThreads) {
        const uint64_t first = (block << 24) + (step - (block << 24) % step) % step;
        const Sweep part = sweep_range(function, first, (block + 1) << 24, step);
        Sweep& total = parts[i];
        if (part.worst_ulp > total.worst_ulp) {
          total.worst_ulp = part.worst_ulp;
          total.worst_input = part.worst_input;
        }
        if (part.wrong_special != 0 && total.wrong_special == 0) {
          total.wrong_input = part.wrong_input;
        }
        total.wrong_special += part.wrong_special;
        total.not_monotonic += part.not_monotonic;
        total.checked += part.checked;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  Sweep borders;
  for (const uint32_t a : directed_values()) check_one(function, a, borders);
  parts.push_back(borders);

  uint64_t checked = 0;
  double worst = 0;
  uint32_t worst_input = 0;
  uint64_t not_monotonic = 0;
  for (const Sweep& part : parts) {
    EXPECT_EQ(part.wrong_special, 0u) << function.name << " " << std::hex << part.wrong_input;
    checked += part.checked;
    not_monotonic += part.not_monotonic;
    if (part.worst_ulp > worst) {
      worst = part.worst_ulp;
      worst_input = part.worst_input;
    }
  }
  std::printf("%s: %llu inputs, largest error %.6f ulp at %08x, %llu out of order\n", function.name,
              static_cast<unsigned long long>(checked), worst, worst_input,
              static_cast<unsigned long long>(not_monotonic));
  EXPECT_LE(worst, function.bound_ulp) << function.name << " " << std::hex << worst_input;
  EXPECT_EQ(not_monotonic, 0u) << function.name;
}

TEST(SpecialFunctions, Exp2IsWithinItsBound) { expect_bound(kExp2); }
TEST(SpecialFunctions, ReciprocalIsWithinItsBound) { expect_bound(kReciprocal); }
TEST(SpecialFunctions, RsqrtIsWithinItsBound) { expect_bound(kRsqrt); }
TEST(SpecialFunctions, Log2IsWithinItsBound) { expect_bound(kLog2); }

uint32_t power_of_two(int exponent) { return static_cast<uint32_t>(exponent + 127) << 23; }

TEST(SpecialFunctions, AreExactAtPowersOfTwo) {
  for (int k = -126; k <= 127; ++k) {
    const uint32_t integer = arith::int32_to_f32(k);
    EXPECT_EQ(arith::exp2(integer), power_of_two(k)) << k;
    EXPECT_EQ(arith::log2(power_of_two(k)), integer) << k;
    if (k <= 126) {
      EXPECT_EQ(arith::reciprocal(power_of_two(k)), power_of_two(-k)) << k;
    }
    if (k % 2 == 0) {
      EXPECT_EQ(arith::rsqrt(power_of_two(k)), power_of_two(-k / 2)) << k;
    }
  }
}

TEST(SpecialFunctions, FollowTheRulesAtTheEnds) {
  constexpr uint32_t kNan = arith::kCanonicalNan, kInf = 0x7f800000u, kMinus = 0x80000000u;
  struct Case {
    uint32_t (*function)(uint32_t);
    uint32_t input, expected;
  };
  const Case cases[] = {
      {arith::exp2, 0, 0x3f800000},
      {arith::exp2, kMinus, 0x3f800000},
      {arith::exp2, 0x00000001, 0x3f800000},
      {arith::exp2, kInf, kInf},
      {arith::exp2, kInf | kMinus, 0},
      {arith::exp2, 0x43000000, kInf},        // 128
      {arith::exp2, 0xc2fc0000, 0x00800000},  // -126
      {arith::exp2, 0xc2fc0001, 0},
      {arith::exp2, 0xffc00000, kNan},
      {arith::reciprocal, 0, kInf},
      {arith::reciprocal, kMinus, kInf | kMinus},
      {arith::reciprocal, 0x807fffff, kInf | kMinus},
      {arith::reciprocal, kInf, 0},
      {arith::reciprocal, kInf | kMinus, kMinus},
      {arith::reciprocal, 0x7e800001, 0},  // just above 2^126
      {arith::reciprocal, 0xff7fffff, kMinus},
      {arith::reciprocal, 0x7f800001, kNan},
      {arith::rsqrt, 0, kInf},
      {arith::rsqrt, kMinus, kInf},
      {arith::rsqrt, 0x80000001, kInf},
      {arith::rsqrt, kInf, 0},
      {arith::rsqrt, 0xbf800000, kNan},
      {arith::rsqrt, kInf | kMinus, kNan},
      {arith::log2, 0, kInf | kMinus},
      {arith::log2, kMinus, kInf | kMinus},
      {arith::log2, 0x007fffff, kInf | kMinus},
      {arith::log2, kInf, kInf},
      {arith::log2, 0x3f800000, 0},
      {arith::log2, 0x80800000, kNan},
      {arith::log2, kInf | kMinus, kNan},
  };
  for (const Case& item : cases) {
    EXPECT_EQ(item.function(item.input), item.expected) << std::hex << item.input;
  }
}

}  // namespace
}  // namespace pianola
