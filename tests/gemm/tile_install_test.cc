// How long the matrix units of the published chip take to get their tiles, when they all get one at once.
#include <gtest/gtest.h>

#include <algorithm>

#include "emulator/emulator.h"
#include "emulator/schedule_issues.h"
#include "tests/gemm/tile_install_program.h"
#include "verifier/verify_roll.h"

namespace pianola::test {
namespace {

constexpr int kUnits = 4;
constexpr int64_t kPublishedCycles = 40;

// Cycles from the first READ of a launch to the last swap.
int64_t install_cycles(const Roll& roll, const Entry& entry) {
  const IssueSchedule issues = schedule_issues(roll.target, roll.entry_words(entry)).value();
  int64_t first_read = INT64_MAX, last_swap = -1, last = 0;
  int swaps = 0;
  for (size_t queue = 0; queue < issues.queues.size(); ++queue) {
    for (IssueCursor at(issues.queues[queue]); !at.done(); at.advance()) {
      const auto cycle = static_cast<int64_t>(at.cycle());
      last = std::max(last, cycle);
      if (roll.target.queues[queue].kind == QueueKind::MemRead) first_read = std::min(first_read, cycle);
      const auto* mac = std::get_if<MxmMacInstruction>(&at.instruction());
      if (!mac || mac->swap == MxmMacSwap::Never) continue;
      last_swap = std::max(last_swap, cycle);
      ++swaps;
    }
  }
  EXPECT_EQ(swaps, kUnits);
  // The last superlane has done the last instruction, too.
  EXPECT_GE(static_cast<int64_t>(issues.end_cycle), last + latency_skew(roll.target.lanes));
  return last_swap - first_read;
}

TEST(TileInstall, FourTilesTakeLessThanThePublishedCycles) {
  const Target target = load_target("tsp320").value();
  const auto lanes = static_cast<size_t>(target.lanes);
  const size_t unit_bytes = (lanes + 1) * lanes;
  const Roll roll = tile_install_program(target);
  const VerifyReport report = verify_roll(roll);
  EXPECT_TRUE(report.ok()) << to_string(report);
  const int64_t cycles = install_cycles(roll, roll.metadata.entries[1]);
  EXPECT_LT(cycles, kPublishedCycles);
  EXPECT_GE(cycles, target.lanes / target.mxm_load_streams);

  Emulator emulator;
  ASSERT_TRUE(emulator.load(roll, 1).ok());
  LaunchRequest request;
  ASSERT_TRUE(emulator.launch(request).ok());
  request.entry = 1;
  const Result<LaunchResult> played = emulator.launch(request);
  ASSERT_TRUE(played.ok()) << to_string(played.error());
  ASSERT_EQ(played->host_output.size(), 4 * kUnits * lanes);
  const auto weight = [&](size_t unit, size_t row, size_t lane) {
    const size_t slice = row % 16, word = row / 16, words = lanes / 16;
    const size_t vector = (slice / 4 * words + word) * 4 + slice % 4;
    return static_cast<int8_t>(roll.data[unit * unit_bytes + vector * lanes + lane]);
  };
  for (size_t unit = 0; unit < kUnits; ++unit) {
    for (size_t row = 0; row < lanes; ++row) {
      int32_t expected = 0;
      for (size_t lane = 0; lane < lanes; ++lane) {
        expected += weight(unit, row, lane) *
                    static_cast<int8_t>(roll.data[(unit + 1) * unit_bytes - lanes + lane]);
      }
      uint32_t got = 0;
      for (size_t plane = 0; plane < 4; ++plane) {
        got |= std::to_integer<uint32_t>(played->host_output[(unit * 4 + plane) * lanes + row]) << (8 * plane);
      }
      ASSERT_EQ(static_cast<int32_t>(got), expected) << "unit " << unit << ", row " << row;
    }
  }
}

}  // namespace
}  // namespace pianola::test
