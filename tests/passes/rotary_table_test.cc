// Correctly rounded constants against long double, whose 64 bits leave 40 to spare.
#include "compiler/passes/rotary_table.h"

#include <gtest/gtest.h>

#include <cmath>

namespace pianola {
namespace {

TEST(RotaryTable, IsTheRoundedLongDouble) {
  for (const int head_size : {8, 12, 16, 48, 64, 128}) {
    for (const double theta : {10000.0, 500000.0, 1234.5}) {
      constexpr int kPositions = 600;
      const int half = head_size / 2;
      const RotaryTable table = make_rotary_table(kPositions, head_size, theta);
      ASSERT_EQ(table.cosine.size(), static_cast<std::size_t>(kPositions * half));
      for (int p = 0; p < kPositions; ++p) {
        for (int j = 0; j < half; ++j) {
          const long double exponent = -2.0L * j / head_size;
          const long double angle = p * std::pow(static_cast<long double>(theta), exponent);
          EXPECT_EQ(table.cosine[p * half + j], static_cast<float>(std::cos(angle)));
          EXPECT_EQ(table.sine[p * half + j], static_cast<float>(std::sin(angle)));
        }
      }
    }
  }
}

TEST(RotaryTable, ScoreConstantsAreRoundedLongDoubles) {
  constexpr long double kLog2E = 1.44269504088896340735992468100189214L;
  for (int size = 2; size <= 512; size += 2) {
    const long double exact = kLog2E / (127 * std::sqrt(static_cast<long double>(size)));
    EXPECT_EQ(score_constant(size), static_cast<float>(exact)) << size;
  }
  EXPECT_EQ(minus_log2_e(), static_cast<float>(-kLog2E));
}

}  // namespace
}  // namespace pianola
