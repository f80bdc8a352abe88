// The emulator against the naive interpreter on random programs that the verifier accepts: every drive
// of every cycle, two launches on one load, and outputs that do not depend on the poison.
#include <gtest/gtest.h>

#include "emulator/coverage.h"
#include "emulator/emulator.h"
#include "tests/emulator/compare_executors.h"
#include "tests/support/build_program.h"
#include "tests/support/random_program.h"
#include "tests/support/tiny_targets.h"

namespace pianola {

// googletest would print the bytes of a target.
void PrintTo(const Target& target, std::ostream* out) { *out << target.name; }

}  // namespace pianola

namespace pianola::test {
namespace {

// Parameter sets with little in common. The wide ones have trees of several shapes and transpose by
// segments; 20 lanes are neither a power of two nor whole registers of the host.
std::vector<Target> parameter_sets() {
  std::vector<Target> targets = odd_targets();
  for (const char* name : {"sim16", "sim32", "duo16"}) {
    targets.push_back(load_target(name).value());
  }
  TinyTargetOptions options;
  options.streams = 32;
  options.slices_per_position = 4;
  for (const int lanes : {20, 128, 256}) {
    options.name = "tiny" + std::to_string(lanes);
    options.lanes = lanes;
    options.load_streams = lanes >= 128 ? 8 : 4;
    targets.push_back(tiny_target(options));
  }
  return targets;
}

uint64_t programs_for(const Target& target) { return target.lanes > 64 ? 15 : 90; }

LaunchRequest request_for(const Roll& roll, uint64_t seed) {
  const Entry& entry = roll.metadata.entries[0];
  LaunchRequest request;
  request.registers = random_registers(entry, seed);
  request.host_input = random_host_input(roll, entry, seed);
  return request;
}

class RandomPrograms : public testing::TestWithParam<Target> {};

TEST_P(RandomPrograms, PlayAlikeOnEmulatorAndNaiveInterpreter) {
  for (uint64_t seed = 1; seed <= programs_for(GetParam()); ++seed) {
    const Roll roll = random_program(GetParam(), seed);
    ASSERT_TRUE(executors_agree(
        roll, {request_for(roll, seed), request_for(roll, seed + 1000)}, seed))
        << "seed " << seed;
  }
}

TEST_P(RandomPrograms, DoNotDependOnThePoison) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const Roll roll = random_program(GetParam(), seed);
    std::vector<std::byte> outputs[2];
    for (const uint64_t poison : {0, 1}) {
      Emulator emulator;
      ASSERT_TRUE(emulator.load(roll, poison).ok());
      // The KV region is the host's to fill: what a program reads of it is not poison.
      for (size_t i = 0; i < emulator.kv_region().size(); ++i) {
        emulator.kv_region()[i] = static_cast<std::byte>(i * 7);
      }
      const auto result = emulator.launch(request_for(roll, seed));
      ASSERT_TRUE(result.ok()) << to_string(result.error());
      outputs[poison] = result->host_output;
    }
    EXPECT_EQ(outputs[0], outputs[1]) << "seed " << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, RandomPrograms, testing::ValuesIn(parameter_sets()),
                         [](const auto& info) { return info.param.name; });

TEST(Coverage, RandomProgramsExerciseEveryNamedValue) {
  Coverage all = empty_coverage();
  for (const Target& target : parameter_sets()) {
    for (uint64_t seed = 1; seed <= 120; ++seed) {
      Coverage one = empty_coverage();
      add_launch(one, random_program(target, seed), 0);
      merge(all, one);
    }
  }
  // The writer knows no accumulator that stays as it is: READ is tested in vxm_test.cc.
  std::vector<std::string> missing = missing_values(all);
  std::erase(missing, "VXM.acc_op = READ");
  EXPECT_EQ(missing, std::vector<std::string>{}) << to_string(all);
}

TEST(Coverage, CountsIssuesOfEachQueueOfAMask) {
  const Target target = tiny_target();
  ProgramBuilder builder(target);
  MemInstruction x;
  x.op = MemOp::Read;
  x.timing.n1 = 2;
  x.timing.p1 = 1;
  builder.push(builder.queue(QueueKind::MemRead, 0), 20, x, 3);
  ASSERT_TRUE(builder.build());
  Coverage coverage = empty_coverage();
  add_launch(coverage, builder.finish("mask"), 0);
  const UnitCoverage& mem = coverage.units[static_cast<int>(UnitTable::Mem)];
  EXPECT_EQ(mem.instructions, 2u);
  EXPECT_EQ(mem.issues, 6u);
  EXPECT_EQ(mem.fields[0].issues.at(0), 6u);  // op = READ
  EXPECT_EQ(missing_values(coverage).front(), "MEM.op = WRITE");
}

}  // namespace
}  // namespace pianola::test
