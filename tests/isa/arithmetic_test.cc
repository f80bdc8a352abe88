// The portable arithmetic against MPFR and an independent soft float, and against the host.
#include "isa/arithmetic.h"

#include <gtest/gtest.h>

#include "tests/isa/arithmetic_oracle.h"
#include "tests/isa/arithmetic_vectors.h"

namespace pianola {
namespace {

using Binary = uint32_t (*)(uint32_t, uint32_t);

constexpr uint64_t kSeed = 20240607;

uint64_t random_count() { return long_tests() ? 100'000'000 : 3'000'000; }

// Every directed pair, then random ones; `expected(a, b)` is the oracle.
template <typename Expected>
void expect_agreement(Binary operation, Expected expected) {
  const std::vector<uint32_t> values = directed_values();
  for (const uint32_t a : values) {
    for (const uint32_t b : values) {
      ASSERT_EQ(operation(a, b), expected(a, b)) << std::hex << a << " " << b;
    }
  }
  Random random(kSeed);
  for (uint64_t i = 0; i < random_count(); ++i) {
    const auto [a, b] = random_operands(random, i);
    ASSERT_EQ(operation(a, b), expected(a, b)) << std::hex << a << " " << b;
  }
}

TEST(Add, AgreesWithMpfr) {
  oracle::MpfrOracle mpfr;
  expect_agreement(arith::add, [&](uint32_t a, uint32_t b) { return mpfr.add(a, b); });
}

TEST(Sub, AgreesWithMpfr) {
  oracle::MpfrOracle mpfr;
  expect_agreement(arith::sub, [&](uint32_t a, uint32_t b) { return mpfr.sub(a, b); });
}

TEST(Mul, AgreesWithMpfr) {
  oracle::MpfrOracle mpfr;
  expect_agreement(arith::mul, [&](uint32_t a, uint32_t b) { return mpfr.mul(a, b); });
}

TEST(Add, AgreesWithSoftFloat) { expect_agreement(arith::add, oracle::soft_add); }

TEST(Mul, AgreesWithSoftFloat) { expect_agreement(arith::mul, oracle::soft_mul); }

TEST(Add, TreatsSubnormalsAsZero) {
  EXPECT_EQ(arith::add(0x00000001, 0x00000001), 0x00000000u);
  EXPECT_EQ(arith::add(0x80000001, 0x807fffff), 0x80000000u);
  EXPECT_EQ(arith::add(0x007fffff, 0x3f800000), 0x3f800000u);
  EXPECT_EQ(arith::add(0x00800001, 0x80800000), 0x00000000u);  // 2^-149 is tiny
  EXPECT_EQ(arith::add(0x80800001, 0x00800000), 0x80000000u);
}

TEST(Add, SumOfOppositeEqualsIsPositiveZero) {
  EXPECT_EQ(arith::add(0x3f800000, 0xbf800000), 0x00000000u);
  EXPECT_EQ(arith::add(0x80000000, 0x80000000), 0x80000000u);
  EXPECT_EQ(arith::add(0x80000000, 0x00000000), 0x00000000u);
}

TEST(Mul, FlushesWhatIsTinyAfterRounding) {
  // 2^-126 * (1 - 2^-46) rounds up to 2^-126 at 24 bits: not tiny, as x86 has it.
  EXPECT_EQ(arith::mul(0x00800001, 0x3f7ffffe), 0x00800000u);
  EXPECT_EQ(arith::mul(0x00800000, 0x3f7fffff), 0x00000000u);
  EXPECT_EQ(arith::mul(0x80800000, 0x3f7fffff), 0x80000000u);
}

TEST(Nan, ResultIsCanonical) {
  for (const uint32_t nan : {0x7f800001u, 0xff800001u, 0x7fffffffu, 0xffc00000u}) {
    for (const uint32_t other : {0x00000000u, 0x3f800000u, 0x7f800000u, 0x7fc12345u}) {
      for (const Binary operation : {arith::add, arith::sub, arith::mul, arith::min, arith::max}) {
        EXPECT_EQ(operation(nan, other), arith::kCanonicalNan);
        EXPECT_EQ(operation(other, nan), arith::kCanonicalNan);
      }
    }
    EXPECT_EQ(arith::neg(nan), nan ^ 0x80000000u);  // sign operations pass bits
    EXPECT_EQ(arith::abs(nan), nan & 0x7fffffffu);
  }
}

TEST(MinMax, OrdersByValueThenSign) {
  std::vector<uint32_t> values = directed_values();
  Random random(kSeed);
  for (int i = 0; i < 500; ++i) values.push_back(static_cast<uint32_t>(random.next()));
  const auto less = [](uint32_t a, uint32_t b) {
    const double x = oracle::to_float(a), y = oracle::to_float(b);  // subnormals as they are
    return x < y || (x == y && (a >> 31) > (b >> 31));
  };
  for (const uint32_t a : values) {
    for (const uint32_t b : values) {
      const bool nan = oracle::is_nan(a) || oracle::is_nan(b);
      const uint32_t low = nan ? oracle::kNan : less(b, a) ? b : a;
      const uint32_t high = nan ? oracle::kNan : less(a, b) ? b : a;
      ASSERT_EQ(arith::min(a, b), low) << std::hex << a << " " << b;
      ASSERT_EQ(arith::max(a, b), high) << std::hex << a << " " << b;
    }
  }
}

bool int32_agrees(uint32_t bits) {
  const int32_t a = static_cast<int32_t>(bits);
  const float expected = static_cast<float>(static_cast<double>(a));
  return arith::int32_to_f32(a) == std::bit_cast<uint32_t>(expected);
}

TEST(ConvertToF32, RoundsInt32ToNearestEven) {
  for (uint32_t shift = 0; shift < 32; ++shift) {
    for (uint32_t offset = 0; offset < 400; ++offset) {
      for (const uint32_t base : {1u << shift, 0x1000001u << (shift % 8)}) {
        const uint32_t bits = base + offset - 200u;
        ASSERT_TRUE(int32_agrees(bits) && int32_agrees(0u - bits)) << bits;
      }
    }
  }
  Random random(kSeed);
  for (uint64_t i = 0; i < random_count(); ++i) {
    const uint64_t bits = random.next();
    const uint32_t a = static_cast<uint32_t>(bits) >> ((bits >> 32) % 32);
    ASSERT_TRUE(int32_agrees(a)) << a;
  }
}

TEST(ConvertToF32, IsExactForInt8Bf16AndF16) {
  for (int a = -128; a < 128; ++a) {
    EXPECT_EQ(arith::int8_to_f32(static_cast<int8_t>(a)),
              std::bit_cast<uint32_t>(static_cast<float>(a)));
  }
  for (uint32_t a = 0; a < 65536; ++a) {
    const uint32_t wide = a << 16;
    const uint32_t bf16 = oracle::is_nan(wide)         ? oracle::kNan
                          : oracle::is_subnormal(wide) ? wide & 0x80000000u
                                                       : wide;
    ASSERT_EQ(arith::bf16_to_f32(static_cast<uint16_t>(a)), bf16) << std::hex << a;
    const uint32_t sign = (a & 0x8000u) << 16;
    uint32_t f16 = sign | 0x7f800000u;
    if ((a & 0x7c00u) != 0x7c00u) {
      const float value = static_cast<float>(oracle::f16_value(static_cast<uint16_t>(a)));
      f16 = std::bit_cast<uint32_t>(value);
    } else if ((a & 0x3ffu) != 0) {
      f16 = oracle::kNan;
    }
    ASSERT_EQ(arith::f16_to_f32(static_cast<uint16_t>(a)), f16) << std::hex << a;
  }
}

bool conversions_agree(uint32_t a) {
  return arith::f32_to_int8_sat(a) == oracle::to_integer(a, -127, 127) &&
         arith::f32_to_int32_sat(a) == oracle::to_integer(a, -2147483648.0, 2147483647.0) &&
         arith::f32_to_bf16(a) == oracle::to_bf16(a) && arith::f32_to_f16(a) == oracle::to_f16(a);
}

TEST(ConvertFromF32, RoundsToNearestEvenAndSaturates) {
  for (const uint32_t a : directed_values()) {
    ASSERT_TRUE(conversions_agree(a)) << std::hex << a;
  }
  for (uint32_t half = 0; half < 4096; ++half) {  // ties of f16, bf16 and small integers
    for (uint32_t exponent = 100; exponent < 160; ++exponent) {
      const uint32_t a = (exponent << 23) | (half << 11);
      for (const uint32_t neighbour : {a - 1u, a, a + 1u}) {
        ASSERT_TRUE(conversions_agree(neighbour)) << std::hex << neighbour;
      }
    }
  }
  const uint32_t step = long_tests() ? 1 : 1999;
  for (uint64_t a = 0; a < (1ull << 32); a += step) {
    ASSERT_TRUE(conversions_agree(static_cast<uint32_t>(a))) << std::hex << a;
  }
}

TEST(ConvertFromF32, HasSymmetricInt8Limits) {
  EXPECT_EQ(arith::f32_to_int8_sat(0xc3000000), -127);  // -128
  EXPECT_EQ(arith::f32_to_int8_sat(0xff800000), -127);
  EXPECT_EQ(arith::f32_to_int8_sat(0x7f800000), 127);
  EXPECT_EQ(arith::f32_to_int8_sat(0x7fc00000), 0);
  EXPECT_EQ(arith::f32_to_int8_sat(0x3f000000), 0);  // 0.5 to even
  EXPECT_EQ(arith::f32_to_int8_sat(0x3fc00000), 2);  // 1.5 to even
  EXPECT_EQ(arith::f32_to_int32_sat(0xcf000000), INT32_MIN);
  EXPECT_EQ(arith::f32_to_int32_sat(0x4f000000), INT32_MAX);
}

}  // namespace
}  // namespace pianola
