// The native kernels against the portable functions, bit for bit, in the instruction sets that
// this host has. The kernels are forced inline, so every target below compiles its own copy.
#include "isa/arithmetic_fast.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "tests/isa/arithmetic_vectors.h"

namespace pianola {
namespace {

namespace fast = arith::fast;

constexpr int kLanes = 4099;  // odd, so that loop tails run too
constexpr uint64_t kSeed = 7;

template <auto Lane, typename In, typename Out>
void lanes_default(const In* a, Out* out, int lanes) {
  fast::each_lane<Lane>(a, out, lanes);
}

template <auto Lane>
void lanes_default(const uint32_t* a, const uint32_t* b, uint32_t* out, int lanes) {
  fast::each_lane<Lane>(a, b, out, lanes);
}

#if defined(__x86_64__)
#if defined(__clang__)  // has no such preference in the attribute
#define PIANOLA_AVX512 gnu::target("avx512f,avx512bw,avx512dq,avx512vl,avx512cd")
#else
#define PIANOLA_AVX512 \
  gnu::target("avx512f,avx512bw,avx512dq,avx512vl,avx512cd,prefer-vector-width=512")
#endif
template <auto Lane, typename In, typename Out>
[[gnu::target("avx2,fma")]] void lanes_avx2(const In* a, Out* out, int lanes) {
  fast::each_lane<Lane>(a, out, lanes);
}
template <auto Lane>
[[gnu::target("avx2,fma")]] void lanes_avx2(const uint32_t* a, const uint32_t* b, uint32_t* out,
                                            int lanes) {
  fast::each_lane<Lane>(a, b, out, lanes);
}
template <auto Lane, typename In, typename Out>
[[PIANOLA_AVX512]] void lanes_avx512(const In* a, Out* out, int lanes) {
  fast::each_lane<Lane>(a, out, lanes);
}
template <auto Lane>
[[PIANOLA_AVX512]] void lanes_avx512(const uint32_t* a, const uint32_t* b, uint32_t* out,
                                     int lanes) {
  fast::each_lane<Lane>(a, b, out, lanes);
}
#endif

bool host_has_avx2() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return false;
#endif
}

bool host_has_avx512() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512cd");
#else
  return false;
#endif
}

// Runs one array of inputs through every available copy of the kernel.
template <auto Lane, typename In, typename Out>
void expect_equal(Out (*portable)(In), const std::vector<In>& a) {
  const int lanes = static_cast<int>(a.size());
  std::vector<Out> expected(a.size());
  for (size_t i = 0; i < a.size(); ++i) expected[i] = portable(a[i]);
  const auto run = [&](auto kernel, const char* name) {
    std::vector<Out> out(a.size());
    {
      arith::FlushDenormalsScope flush;
      kernel(a.data(), out.data(), lanes);
    }
    for (size_t i = 0; i < a.size(); ++i) {
      ASSERT_EQ(out[i], expected[i]) << name << " " << std::hex << +a[i];
    }
  };
  run(lanes_default<Lane, In, Out>, "default");
#if defined(__x86_64__)
  if (host_has_avx2()) run(lanes_avx2<Lane, In, Out>, "avx2");
  if (host_has_avx512()) run(lanes_avx512<Lane, In, Out>, "avx512");
#endif
}

template <auto Lane>
void expect_equal(uint32_t (*portable)(uint32_t, uint32_t), const std::vector<uint32_t>& a,
                  const std::vector<uint32_t>& b) {
  const int lanes = static_cast<int>(a.size());
  std::vector<uint32_t> expected(a.size());
  for (size_t i = 0; i < a.size(); ++i) expected[i] = portable(a[i], b[i]);
  const auto run = [&](auto kernel, const char* name) {
    std::vector<uint32_t> out(a.size());
    {
      arith::FlushDenormalsScope flush;
      kernel(a.data(), b.data(), out.data(), lanes);
    }
    for (size_t i = 0; i < a.size(); ++i) {
      ASSERT_EQ(out[i], expected[i]) << name << " " << std::hex << a[i] << " " << b[i];
    }
  };
  run([](auto... args) { lanes_default<Lane>(args...); }, "default");
#if defined(__x86_64__)
  if (host_has_avx2()) run([](auto... args) { lanes_avx2<Lane>(args...); }, "avx2");
  if (host_has_avx512()) run([](auto... args) { lanes_avx512<Lane>(args...); }, "avx512");
#endif
}

template <auto Lane>
void check_binary(uint32_t (*portable)(uint32_t, uint32_t)) {
  const std::vector<uint32_t> values = directed_values();
  std::vector<uint32_t> a, b;
  for (const uint32_t x : values) {
    for (const uint32_t y : values) {
      a.push_back(x);
      b.push_back(y);
    }
  }
  expect_equal<Lane>(portable, a, b);
  Random random(kSeed);
  const uint64_t count = long_tests() ? 100'000'000 : 2'000'000;
  a.resize(kLanes);
  b.resize(kLanes);
  for (uint64_t done = 0; done < count && !testing::Test::HasFatalFailure(); done += kLanes) {
    for (size_t i = 0; i < kLanes; ++i) {
      const Operands operands = random_operands(random, i);
      a[i] = operands.a;
      b[i] = operands.b;
    }
    expect_equal<Lane>(portable, a, b);
  }
}

// All inputs of up to 16 bits; of 32 bits the directed ones and a stride.
template <auto Lane, typename In, typename Out>
void check_unary(Out (*portable)(In)) {
  if constexpr (sizeof(In) == 4) {
    std::vector<In> directed;
    for (const uint32_t value : directed_values()) directed.push_back(static_cast<In>(value));
    expect_equal<Lane>(portable, directed);
  }
  const uint64_t count = uint64_t{1} << (8 * sizeof(In));
  const uint64_t step = sizeof(In) == 4 && !long_tests() ? 1021 : 1;
  std::vector<In> a;
  for (uint64_t bits = 0; bits < count && !testing::Test::HasFatalFailure();) {
    a.clear();
    for (; a.size() < kLanes && bits < count; bits += step) a.push_back(static_cast<In>(bits));
    expect_equal<Lane>(portable, a);
  }
}

TEST(FastBinary, EqualsPortableAdd) { check_binary<fast::add_lane>(arith::add); }
TEST(FastBinary, EqualsPortableSub) { check_binary<fast::sub_lane>(arith::sub); }
TEST(FastBinary, EqualsPortableMul) { check_binary<fast::mul_lane>(arith::mul); }
TEST(FastBinary, EqualsPortableMin) { check_binary<fast::min_lane>(arith::min); }
TEST(FastBinary, EqualsPortableMax) { check_binary<fast::max_lane>(arith::max); }

TEST(FastUnary, EqualsPortableAbs) { check_unary<fast::abs_lane>(arith::abs); }
TEST(FastUnary, EqualsPortableNeg) { check_unary<fast::neg_lane>(arith::neg); }
TEST(FastUnary, EqualsPortableInt32ToF32) {
  check_unary<fast::int32_to_f32_lane>(arith::int32_to_f32);
}
TEST(FastUnary, EqualsPortableInt8ToF32) {
  check_unary<fast::int8_to_f32_lane>(arith::int8_to_f32);
}
TEST(FastUnary, EqualsPortableBf16ToF32) {
  check_unary<fast::bf16_to_f32_lane>(arith::bf16_to_f32);
}
TEST(FastUnary, EqualsPortableF16ToF32) { check_unary<fast::f16_to_f32_lane>(arith::f16_to_f32); }
TEST(FastUnary, EqualsPortableF32ToInt8) {
  check_unary<fast::f32_to_int8_sat_lane>(arith::f32_to_int8_sat);
}
TEST(FastUnary, EqualsPortableF32ToInt32) {
  check_unary<fast::f32_to_int32_sat_lane>(arith::f32_to_int32_sat);
}
TEST(FastUnary, EqualsPortableF32ToBf16) {
  check_unary<fast::f32_to_bf16_lane>(arith::f32_to_bf16);
}
TEST(FastUnary, EqualsPortableF32ToF16) { check_unary<fast::f32_to_f16_lane>(arith::f32_to_f16); }
TEST(FastUnary, EqualsPortableExp2) { check_unary<fast::exp2_lane>(arith::exp2); }
TEST(FastUnary, EqualsPortableReciprocal) { check_unary<fast::reciprocal_lane>(arith::reciprocal); }
TEST(FastUnary, EqualsPortableRsqrt) { check_unary<fast::rsqrt_lane>(arith::rsqrt); }
TEST(FastUnary, EqualsPortableLog2) { check_unary<fast::log2_lane>(arith::log2); }

TEST(FastArrays, WorkInPlace) {
  std::vector<uint32_t> a(kLanes), b(kLanes), expected(kLanes);
  Random random(kSeed);
  for (int i = 0; i < kLanes; ++i) {
    const Operands operands = random_operands(random, static_cast<uint64_t>(i));
    a[i] = operands.a;
    b[i] = operands.b;
    expected[i] = arith::exp2(arith::mul(arith::add(a[i], b[i]), b[i]));
  }
  arith::FlushDenormalsScope flush;
  fast::add(a.data(), b.data(), a.data(), kLanes);
  fast::mul(a.data(), b.data(), b.data(), kLanes);
  fast::exp2(b.data(), b.data(), kLanes);
  EXPECT_EQ(b, expected);
}

TEST(FlushDenormals, IsUndoneAtTheEndOfTheScope) {
  volatile float tiny = std::numeric_limits<float>::min();
  volatile float half = 0.5f;
  {
    arith::FlushDenormalsScope flush;
    if (arith::kNativeArithmetic) {
      EXPECT_EQ(std::bit_cast<uint32_t>(tiny * half), 0u);
    }
  }
  EXPECT_EQ(std::bit_cast<uint32_t>(tiny * half), 0x00400000u);
}

}  // namespace
}  // namespace pianola
