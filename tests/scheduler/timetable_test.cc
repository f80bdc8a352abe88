// Rows of packed cells against sets of numbers.
#include "scheduler/timetable.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <utility>

namespace pianola::test {
namespace {

struct CellRun {
  int64_t first, step, count;
  uint64_t mask;
};

CellRun random_run(std::mt19937_64& random, int bits) {
  // Around the ends of words and pages, at steps that pack into words and others.
  const int64_t first = static_cast<int64_t>(random() % 3) * 8192 + static_cast<int64_t>(random() % 200);
  constexpr int64_t kSteps[] = {1, 2, 4, 8, 32, 64, 128, 3, 5, 24, 100};
  const auto count = static_cast<int64_t>(random() % 3 == 0 ? 1 : 1 + random() % 90);
  const uint64_t all = bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
  uint64_t mask = bits == 1 ? 1 : random() & all;
  if (mask == 0) mask = 1;
  return {first, count == 1 ? 0 : kSteps[random() % std::size(kSteps)], count, mask};
}

class CellRowTest : public testing::TestWithParam<int> {};

TEST_P(CellRowTest, HoldsWhatASetOfBitsHolds) {
  const int bits = GetParam();
  for (uint64_t seed = 0; seed < 40; ++seed) {
    std::mt19937_64 random(seed);
    CellRow row(bits);
    std::set<std::pair<int64_t, int>> taken;  // cell, bit
    const auto each = [&](const CellRun& run, auto&& f) {
      for (int64_t i = 0; i < run.count; ++i) {
        for (int bit = 0; bit < bits; ++bit) {
          if (run.mask >> bit & 1) f(std::pair{run.first + i * run.step, bit});
        }
      }
    };
    std::vector<CellRun> held;
    for (int turn = 0; turn < 60; ++turn) {
      const CellRun run = random_run(random, bits);
      int64_t free = run.first;
      while (taken.contains({free, 0})) ++free;
      if (bits == 1) {
        ASSERT_EQ(row.next_free(run.first), free) << "seed " << seed;
      }
      int64_t expected = -1;
      each(run, [&](const auto& cell) {
        if (expected < 0 && taken.contains(cell)) expected = cell.first;
      });
      ASSERT_EQ(row.first_taken(run.first, run.step, run.count, run.mask), expected)
          << "seed " << seed << ", turn " << turn;
      if (expected < 0) {
        row.take(run.first, run.step, run.count, run.mask);
        each(run, [&](const auto& cell) { taken.insert(cell); });
        held.push_back(run);
      } else if (random() % 3 == 0) {
        const CellRun gone = held[random() % held.size()];
        row.release(gone.first, gone.step, gone.count, gone.mask);
        each(gone, [&](const auto& cell) { taken.erase(cell); });
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Bits, CellRowTest, testing::Values(1, 2, 4, 8, 16, 32, 64));

TEST(StreamTable, KeepsValuesApartThatMeet) {
  StreamTable table(7, 2);
  // Driven at position 1 in cycle 10, 12, 14; at position 4 three cycles later.
  table.reserve(Direction::East, 1, 1, 5, 10, 2, 3);
  EXPECT_FALSE(table.is_free(Direction::East, 1, 3, 5, 12, 1, 1));  // meets the first at 4
  EXPECT_TRUE(table.is_free(Direction::East, 1, 3, 5, 13, 1, 1));
  EXPECT_FALSE(table.is_free(Direction::East, 1, 3, 5, 13, 1, 2));  // the second would meet
  EXPECT_TRUE(table.is_free(Direction::East, 1, 5, 6, 14, 1, 1));   // nobody goes on beyond 5
  EXPECT_TRUE(table.is_free(Direction::East, 0, 3, 5, 12, 1, 1));
  EXPECT_TRUE(table.is_free(Direction::West, 1, 5, 3, 12, 1, 1));
  table.release(Direction::East, 1, 1, 5, 10, 2, 3);
  EXPECT_TRUE(table.is_free(Direction::East, 1, 3, 5, 12, 1, 2));
}

}  // namespace
}  // namespace pianola::test
