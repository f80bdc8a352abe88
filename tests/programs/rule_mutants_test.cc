// The two programs of each rule on the Verilated core: the sound one plays without a fault, the
// mutant, which no verifier has seen, raises the fault of its rule.
#include <gtest/gtest.h>

#include <set>

#include "tests/programs/parameter_sets.h"
#include "tests/programs/program_requests.h"
#include "tests/programs/rtl_player.h"
#include "tests/support/rule_programs.h"

namespace pianola::test {
namespace {

LaunchRequest request_with(const Roll& roll, const std::vector<uint32_t>& registers) {
  LaunchRequest request;
  request.registers = registers;
  request.host_input = random_host_input(roll, roll.metadata.entries[0], 7);
  return request;
}

class RuleMutantsOnRtl : public testing::TestWithParam<Target> {};

TEST_P(RuleMutantsOnRtl, SoundProgramsPlayWithoutAFault) {
  RtlPlayer player(GetParam());
  for (const RuleProgram& program : rule_programs(GetParam())) {
    player.load(program.sound, 1);
    const RtlOutcome out = player.launch(request_with(program.sound, program.sound_registers));
    EXPECT_EQ(out.result.status, uint32_t{PIANOLA_RTL_DONE})
        << program.name << "\n" << describe_faults(GetParam(), out.result);
    EXPECT_EQ(out.result.cycles, program.sound.metadata.entries[0].cycles) << program.name;
    EXPECT_EQ(out.result.frozen_after_first, 0u) << program.name;
  }
}

TEST_P(RuleMutantsOnRtl, MutantRaisesTheFaultOfItsRule) {
  RtlPlayer player(GetParam());
  std::set<Rule> seen;
  for (const RuleProgram& program : rule_programs(GetParam())) {
    player.load(program.mutant, 1);
    const RtlOutcome out = player.launch(request_with(program.mutant, program.mutant_registers));
    EXPECT_TRUE(out.has_fault(program.rule))
        << program.name << " ended with status " << out.result.status
                        << " and these faults:\n" << describe_faults(GetParam(), out.result);
    seen.insert(program.rule);
  }
  EXPECT_EQ(seen.size(), std::size(kRules));
}

INSTANTIATE_TEST_SUITE_P(Targets, RuleMutantsOnRtl, testing::ValuesIn(rtl_parameter_sets()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace pianola::test
