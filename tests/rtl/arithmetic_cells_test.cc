// Every arithmetic cell of the hardware, Verilated, against the portable C++ bit for bit.
#include <gtest/gtest.h>

#include "Varithmetic_bench.h"
#include "isa/arithmetic.h"
#include "tests/isa/arithmetic_vectors.h"
#include "verilated.h"

namespace pianola {
namespace {

uint32_t extended(int8_t value) { return static_cast<uint32_t>(static_cast<int32_t>(value)); }

class ArithmeticCells : public testing::Test {
 protected:
  ArithmeticCells() : bench_(&context_) {}

  void expect(const char* cell, uint32_t actual, uint32_t expected) {
    if (actual == expected) return;
    ADD_FAILURE() << cell << "(" << std::hex << bench_.a_i << ", " << bench_.b_i << ") is "
                  << actual << ", expected " << expected;
  }

  void check(uint32_t a, uint32_t b) {
    bench_.a_i = a;
    bench_.b_i = b;
    bench_.eval();
    const uint16_t half = static_cast<uint16_t>(a);
    expect("add", bench_.add_o, arith::add(a, b));
    expect("sub", bench_.sub_o, arith::sub(a, b));
    expect("mul", bench_.mul_o, arith::mul(a, b));
    expect("min", bench_.min_o, arith::min(a, b));
    expect("max", bench_.max_o, arith::max(a, b));
    expect("int32_to_f32", bench_.convert_int32_o, arith::int32_to_f32(static_cast<int32_t>(a)));
    expect("int8_to_f32", bench_.convert_int8_o, arith::int8_to_f32(static_cast<int8_t>(a)));
    expect("bf16_to_f32", bench_.convert_bf16_o, arith::bf16_to_f32(half));
    expect("f16_to_f32", bench_.convert_f16_o, arith::f16_to_f32(half));
    expect("f32_to_int8", bench_.round_int8_o, extended(arith::f32_to_int8_sat(a)));
    expect("f32_to_int32", bench_.round_int32_o, static_cast<uint32_t>(arith::f32_to_int32_sat(a)));
    expect("f32_to_bf16", bench_.round_bf16_o, arith::f32_to_bf16(a));
    expect("f32_to_f16", bench_.round_f16_o, arith::f32_to_f16(a));
    expect("exp2", bench_.exp2_o, arith::exp2(a));
    expect("reciprocal", bench_.reciprocal_o, arith::reciprocal(a));
    expect("rsqrt", bench_.rsqrt_o, arith::rsqrt(a));
    expect("log2", bench_.log2_o, arith::log2(a));
  }

  VerilatedContext context_;
  Varithmetic_bench bench_;
};

TEST_F(ArithmeticCells, AgreeOnDirectedPairs) {
  const std::vector<uint32_t> values = directed_values();
  for (const uint32_t a : values) {
    for (const uint32_t b : values) {
      check(a, b);
      if (HasFailure()) return;
    }
  }
}

TEST_F(ArithmeticCells, AgreeOnRandomPairs) {
  Random random(11);
  const uint64_t count = long_tests() ? 100'000'000 : 1'000'000;
  for (uint64_t i = 0; i < count && !HasFailure(); ++i) {
    const Operands operands = random_operands(random, i);
    check(operands.a, operands.b);
  }
}

// Moderate exponents, where the special functions and the conversions do their work, and small
// integers.
TEST_F(ArithmeticCells, AgreeOnModerateValues) {
  Random random(12);
  const uint64_t count = long_tests() ? 100'000'000 : 1'000'000;
  for (uint64_t i = 0; i < count && !HasFailure(); ++i) {
    const uint64_t bits = random.next();
    const uint32_t a = static_cast<uint32_t>(bits);
    const uint32_t exponent = 96u + static_cast<uint32_t>(bits >> 32) % 64u;
    check((i & 1u) != 0 ? (a & 0x807fffffu) | (exponent << 23) : a >> ((bits >> 40) % 32u),
          static_cast<uint32_t>(bits >> 16));
  }
}

TEST_F(ArithmeticCells, AgreeOnAllSixteenBitInputs) {
  for (uint32_t a = 0; a < 65536 && !HasFailure(); ++a) {
    check(a, a << 16);
    check((a << 16) | 0x8000u, a << 15);  // every upper half, at a tie
  }
}

}  // namespace
}  // namespace pianola
