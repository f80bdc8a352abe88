// What the random programs and a real model exercise, counted in the instructions that they push, and
// which units were at work while the machine froze. Tables are written to PIANOLA_COVERAGE_DIR.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "cli/model_input.h"
#include "emulator/coverage.h"
#include "emulator/schedule_issues.h"
#include "tests/programs/parameter_sets.h"
#include "tests/programs/program_requests.h"
#include "tests/programs/rtl_player.h"
#include "tests/support/tiny_targets.h"

namespace pianola::test {
namespace {

constexpr int kQueueKinds = static_cast<int>(QueueKind::MxmMac) + 1;
constexpr std::array<const char*, kQueueKinds> kQueueNames = {
    "tape.recv", "kv.recv",   "host.recv", "kv.send",  "host.send", "vxm.pass",
    "mem.read",  "mem.write", "sxm.move",  "mxm.load", "mxm.mac"};

void write_table(const std::string& name, const std::string& table) {
  std::ofstream(PIANOLA_COVERAGE_DIR "/coverage_" + name + ".txt") << table;
}

// Too many lanes to build a core here: the programs of tests/emulator, which the emulator and the naive
// interpreter play there. They are here for the segments of trees and moves.
Target wide_target(int lanes) {
  return tiny_target({.name = "tiny" + std::to_string(lanes), .lanes = lanes, .streams = 32,
                      .slices_per_position = 4, .load_streams = 8});
}

bool is_wide_segment(const std::string& value) {
  return value.ends_with("segment = S64") || value.ends_with("segment = S128") ||
         value.ends_with("segment = S256");
}

// How many different values of a field without names were issued.
size_t values_of(const Coverage& coverage, std::string_view unit, std::string_view field) {
  for (size_t u = 0; u < std::size(kUnits); ++u) {
    for (size_t f = 0; kUnits[u].name == unit && f < kUnits[u].fields.size(); ++f) {
      if (kUnits[u].fields[f].name == field) return coverage.units[u].fields[f].issues.size();
    }
  }
  return 0;
}

TEST(ProgramCoverage, RandomProgramsExerciseEveryNamedValue) {
  Coverage all = empty_coverage();
  for (const Target& target : rtl_parameter_sets()) {
    for (uint64_t seed = 1; seed <= kProgramsPerSet; ++seed) {
      Coverage one = empty_coverage();
      add_launch(one, random_program(target, seed), 0);
      merge(all, one);
    }
  }
  write_table("random_programs", to_string(all));
  EXPECT_EQ(values_of(all, "MEM", "rows"), 4u) << to_string(all);
  EXPECT_GT(values_of(all, "MEM", "row"), 20u) << to_string(all);
  std::vector<std::string> missing = missing_values(all);
  std::erase_if(missing, is_wide_segment);
  EXPECT_EQ(missing, std::vector<std::string>{}) << to_string(all);
  for (const int lanes : {128, 256}) {
    for (uint64_t seed = 1; seed <= 15; ++seed) {
      add_launch(all, random_program(wide_target(lanes), seed), 0);
    }
  }
  EXPECT_EQ(missing_values(all), std::vector<std::string>{}) << to_string(all);
}

TEST(ProgramCoverage, RealModelUsesEveryUnit) {
  InputOptions options;
  options.path = PIANOLA_SOURCE_DIR "/models/nursery-llama";
  options.target = PIANOLA_SOURCE_DIR "/targets/sim16.toml";
  auto input = open_input(options);
  ASSERT_TRUE(input.ok()) << to_string(input.error());
  const Target& target = input->roll.target;
  Coverage coverage = empty_coverage();
  for (size_t entry = 0; entry < input->roll.metadata.entries.size(); ++entry) {
    add_launch(coverage, input->roll, static_cast<int>(entry));
  }
  write_table("nursery_llama", to_string(coverage));
  for (size_t unit = 0; unit < coverage.units.size(); ++unit) {
    EXPECT_GT(coverage.units[unit].issues, 0u) << kUnits[unit].name;
  }
  for (size_t queue = 0; queue < target.queues.size(); ++queue) {
    if (target.queues[queue].kind == QueueKind::HostRecv) continue;  // tokens come in registers
    EXPECT_GT(coverage.queues[static_cast<int>(queue)], 0u) << "queue " << queue;
  }
}

struct FrozenUnits {
  std::array<uint64_t, kQueueKinds> issues{}, frozen{};
};

// Issues of the cycles right before and after frozen clock edges.
void count_frozen(const Roll& roll, const std::vector<bool>& frozen_after, FrozenUnits& units) {
  const IssueSchedule schedule =
      schedule_issues(roll.target, roll.entry_words(roll.metadata.entries[0])).value();
  const auto frozen = [&](uint64_t cycle) {
    return cycle < frozen_after.size() && frozen_after[cycle];
  };
  for (size_t queue = 0; queue < schedule.queues.size(); ++queue) {
    const auto kind = static_cast<size_t>(roll.target.queues[queue].kind);
    for (IssueCursor at(schedule.queues[queue]); !at.done(); at.advance()) {
      ++units.issues[kind];
      units.frozen[kind] += frozen(at.cycle()) || (at.cycle() > 0 && frozen(at.cycle() - 1));
    }
  }
}

TEST(ProgramCoverage, MachineFreezesDuringTheWorkOfEveryUnit) {
  const Target target = tiny4();
  RtlPlayer player(target);
  FrozenUnits units;
  for (uint64_t seed = 1; seed <= kProgramsPerSet; ++seed) {
    const Roll roll = random_program(target, seed);
    player.load(roll, seed);
    Jitter jitter(seed, 8);
    const RtlOutcome out = player.launch(request_for(roll, seed), &jitter);
    ASSERT_EQ(out.result.status, uint32_t{PIANOLA_RTL_DONE});
    ASSERT_EQ(out.result.cycles, roll.metadata.entries[0].cycles);
    count_frozen(roll, out.frozen_after, units);
  }
  std::ostringstream table;
  for (size_t kind = 0; kind < kQueueKinds; ++kind) {
    table << "  " << kQueueNames[kind] << ": " << units.issues[kind] << " issues, "
          << units.frozen[kind] << " next to frozen clock edges\n";
    EXPECT_GT(units.frozen[kind], 0u) << kQueueNames[kind];
  }
  write_table("freezes", table.str());
}

}  // namespace
}  // namespace pianola::test
