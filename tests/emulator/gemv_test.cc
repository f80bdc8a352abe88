#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>

#include "emulator/emulator.h"
#include "emulator/naive_interpreter.h"
#include "tests/emulator/compare_executors.h"
#include "tests/emulator/gemv_program.h"

namespace pianola::test {
namespace {

std::vector<uint32_t> patterns_of(const std::vector<std::byte>& planes) {
  std::vector<uint32_t> result;
  for (size_t first = 0; first < planes.size(); first += 64) {
    for (size_t i = 0; i < 16; ++i) {
      uint32_t pattern = 0;
      for (size_t b = 0; b < 4; ++b) {
        pattern |= std::to_integer<uint32_t>(planes[first + 16 * b + i]) << (8 * b);
      }
      result.push_back(pattern);
    }
  }
  return result;
}

TEST(Gemv, EqualsIndependentArithmetic) {
  const Target target = load_target("sim16").value();
  const GemvShape shape{.groups = 3, .blocks = 5};
  const Roll roll = gemv_program(target, shape);
  LaunchRequest request;
  request.host_input = random_host_input(roll, 0, 3);
  const std::vector<uint32_t> expected = gemv_expected(roll, shape, request.host_input);
  NaiveInterpreter naive;
  ASSERT_TRUE(naive.load(roll, 1).ok());
  const auto naive_result = naive.launch(request);
  ASSERT_TRUE(naive_result.ok()) << to_string(naive_result.error());
  EXPECT_EQ(patterns_of(naive_result->host_output), expected);
  EXPECT_EQ(naive_result->cycles, roll.metadata.entries[0].cycles);
  EXPECT_TRUE(executors_agree(roll, {request, request}, 2));
}

// Not a test of speed: prints it.
TEST(Gemv, PrintsItsSpeed) {
  const Target target = load_target("sim16").value();
  const GemvShape shape;
  const Roll roll = gemv_program(target, shape);
  LaunchRequest request;
  request.host_input = random_host_input(roll, 0, 3);
  const std::vector<uint32_t> expected = gemv_expected(roll, shape, request.host_input);
  int count = 0;
  const Kernels* const* kernels = host_kernels(count);
  using Clock = std::chrono::steady_clock;
  const auto seconds = [](Clock::duration d) { return std::chrono::duration<double>(d).count(); };
  for (int k = 0; k < count; ++k) {
    Emulator emulator(kernels[k]);
    ASSERT_TRUE(emulator.load(roll, 1).ok());
    const auto start = Clock::now();
    const auto first = emulator.launch(request);
    const double lifting = seconds(Clock::now() - start);
    ASSERT_TRUE(first.ok()) << to_string(first.error());
    EXPECT_EQ(patterns_of(first->host_output), expected);
    double best = 1e9;
    for (int i = 0; i < 200; ++i) {
      const auto begin = Clock::now();
      ASSERT_TRUE(emulator.launch(request).ok());
      best = std::min(best, seconds(Clock::now() - begin));
    }
    std::printf("%-8s %llu cycles, %d tiles: first launch %.1f ms, then %.0f us (%.0f Mcycles/s)\n",
                kernels[k]->name, static_cast<unsigned long long>(first->cycles),
                2 * shape.groups * shape.blocks, 1e3 * lifting, 1e6 * best,
                1e-6 * static_cast<double>(first->cycles) / best);
  }
}

}  // namespace
}  // namespace pianola::test
