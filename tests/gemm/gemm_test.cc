// Products from the layout to the bits: the verifier accepts what the scheduler made, the emulator gets what plain
// loops get, in the planned cycles, and the Verilated core agrees with it drive by drive.
#include <gtest/gtest.h>

#include <random>

#include "compiler/gemm/compile_gemm.h"
#include "compiler/gemm/gemm_data.h"
#include "emulator/emulator.h"
#include "emulator/lockstep.h"
#include "tests/support/expect_error.h"
#include "verifier/verify_roll.h"

namespace pianola::test {
namespace {

struct Operands {
  std::vector<int8_t> a, b;  // [m, k], [k, n]
};

// All values of a byte, the lowest too.
Operands random_operands(const GemmShape& shape, uint32_t seed) {
  std::mt19937 random(seed);
  Operands out;
  out.a.resize(static_cast<size_t>(shape.m) * shape.k);
  out.b.resize(static_cast<size_t>(shape.k) * shape.n);
  for (auto* values : {&out.a, &out.b}) {
    for (int8_t& value : *values) value = static_cast<int8_t>(random() >> 24);
  }
  return out;
}

std::vector<int32_t> multiply(const GemmShape& shape, const Operands& operands) {
  const auto m = static_cast<size_t>(shape.m), k = static_cast<size_t>(shape.k), n = static_cast<size_t>(shape.n);
  std::vector<int32_t> c(m * n);
  for (size_t row = 0; row < m; ++row) {
    for (size_t depth = 0; depth < k; ++depth) {
      const int32_t factor = operands.a[row * k + depth];
      for (size_t column = 0; column < n; ++column) {
        c[row * n + column] += factor * operands.b[depth * n + column];
      }
    }
  }
  return c;
}

GemmRoll compile_verified(const GemmShape& shape, const Target& target, const Operands& operands) {
  Result<GemmRoll> made = compile_gemm(shape, target, operands.a, operands.b);
  if (!made.ok()) throw std::runtime_error(to_string(made.error()));
  const VerifyReport report = verify_roll(made->roll);
  if (!report.ok()) throw std::runtime_error("refused by the verifier: " + to_string(report));
  return std::move(*made);
}

// The product as the device computes it, in the cycles of the roll.
std::vector<int32_t> play(const GemmRoll& gemm, Device& device) {
  const Status loaded = device.load(gemm.roll, 1);
  if (!loaded.ok()) throw std::runtime_error(to_string(loaded.error()));
  std::vector<std::byte> sent;
  for (const int entry : {kGemmLoadEntry, kGemmEntry, kGemmFetchEntry}) {
    LaunchRequest request;
    request.entry = entry;
    Result<LaunchResult> result = device.launch(request);
    if (!result.ok()) throw std::runtime_error(to_string(result.error()));
    EXPECT_EQ(result->cycles, gemm.roll.metadata.entries[static_cast<size_t>(entry)].cycles);
    EXPECT_EQ(result->frozen_after_first, 0u);
    sent = std::move(result->host_output);
  }
  return unpack_gemm_result(gemm.layout, sent);
}

void expect_product(const GemmShape& shape, const std::string& target_name, Device& device) {
  SCOPED_TRACE(target_name + " " + std::to_string(shape.m) + "x" + std::to_string(shape.k) + "x" +
               std::to_string(shape.n));
  const Target target = load_target(target_name).value();
  const Operands operands = random_operands(shape, 7);
  const GemmRoll gemm = compile_verified(shape, target, operands);
  EXPECT_TRUE(play(gemm, device) == multiply(shape, operands));
  const Result<GemmPlan> plan = plan_gemm(shape, target);
  ASSERT_TRUE(plan.ok());
  for (size_t i = 0; i < plan->entries.size(); ++i) {
    EXPECT_EQ(plan->entries[i].cycles, gemm.roll.metadata.entries[i].cycles);
  }
}

TEST(Gemm, EmulatorAgreesWithPlainLoops) {
  // Rows left over that stream, some that are a block of their own, none; one vector; less than a tile.
  const GemmShape shapes[] = {{70, 100, 90}, {95, 64, 70}, {64, 33, 130}, {1, 1, 1}, {3, 200, 2}, {33, 31, 700}};
  for (const char* target : {"sim16", "duo16", "kv260", "tsp32"}) {
    for (const GemmShape& shape : shapes) {
      Emulator emulator;
      expect_product(shape, target, emulator);
    }
  }
  // More blocks than an instruction counts, and as many tiles.
  for (const GemmShape& shape : {GemmShape{16500, 16, 8}, {20, 4096, 40}, {3, 16, 60000}}) {
    Emulator emulator;
    expect_product(shape, "duo16", emulator);
  }
  for (const GemmShape& shape : {GemmShape{704, 650, 530}, {330, 640, 1}, {1, 321, 1000}}) {
    Emulator emulator;
    expect_product(shape, "tsp320", emulator);
  }
}

TEST(Gemm, VerilatedCoreAgreesWithTheEmulator) {
  for (const char* target : {"sim16", "duo16", "tsp32"}) {
    const std::unique_ptr<Device> lockstep = make_lockstep_device({});
    expect_product({70, 100, 90}, target, *lockstep);
  }
}

// The published product, at the size that leaves the most over.
TEST(Gemm, PublishedProductIsExact) {
  Emulator emulator;
  expect_product({2304, 4096, 1376}, "tsp320", emulator);
}

TEST(Gemm, PublishedProductsUseTheMatrixUnits) {
  const Target target = load_target("tsp320").value();
  for (int n = 1376; n <= 3500; n += 100) {
    const GemmShape shape{2304, 4096, n};
    const Result<GemmPlan> plan = plan_gemm(shape, target);
    ASSERT_TRUE(plan.ok()) << to_string(plan.error());
    EXPECT_GE(gemm_utilization(shape, target, plan->entries[kGemmEntry].cycles), 0.95) << n;
  }
}

TEST(Gemm, SchedulesOfThePublishedProductsAreSound) {
  const Target target = load_target("tsp320").value();
  for (const int n : {1476, 1976, 2576, 3476}) {
    const GemmShape shape{2304, 4096, n};
    compile_verified(shape, target, random_operands(shape, 1));
  }
}

TEST(Gemm, SaysWhatDoesNotFit) {
  const Target tsp320 = load_target("tsp320").value();
  expect_error(plan_gemm({0, 1, 1}, tsp320), ErrorCode::InvalidArgument, "m of the product: expected 1 to 1048576, got 0");
  expect_error(plan_gemm({1, 81921, 1}, tsp320), ErrorCode::InvalidArgument,
               "k of the product: expected 1 to 81920, got 81921");
  expect_error(plan_gemm({1, 1, -1}, tsp320), ErrorCode::InvalidArgument, "n of the product");
  expect_error(plan_gemm({20000, 4096, 320}, tsp320), ErrorCode::OutOfRange, "A of the product needs");
  expect_error(plan_gemm({320, 4096, 20000}, tsp320), ErrorCode::OutOfRange, "B of the product needs");
  expect_error(plan_gemm({6400, 1000, 6000}, tsp320), ErrorCode::OutOfRange, "C of the product needs");
  expect_error(plan_gemm({32, 32, 32}, load_target("sim32").value()), ErrorCode::Unsupported,
               "groups of four slices between the VXM and the matrix units");
}

}  // namespace
}  // namespace pianola::test
