// The mutants of tests/support/rule_programs.h: the naive interpreter must meet the rule that each
// breaks; their sound twins must play alike on all executors.
#include "tests/support/rule_programs.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "emulator/emulator.h"
#include "emulator/naive_interpreter.h"
#include "tests/emulator/compare_executors.h"
#include "tests/support/tiny_targets.h"

namespace pianola::test {
namespace {

std::vector<Target> targets() {
  std::vector<Target> all = odd_targets();
  for (const char* name : {"sim16", "sim32", "duo16"}) all.push_back(load_target(name).value());
  return all;
}

LaunchRequest request_for(const Roll& roll, const std::vector<uint32_t>& registers) {
  LaunchRequest request;
  request.registers = registers;
  request.host_input = random_host_input(roll, 0, 7);
  return request;
}

TEST(RulePrograms, SoundProgramsPlayAlikeOnAllExecutors) {
  for (const Target& target : targets()) {
    for (const RuleProgram& program : rule_programs(target)) {
      EXPECT_TRUE(executors_agree(program.sound,
                                  {request_for(program.sound, program.sound_registers)}, 1))
          << target.name << " " << program.name;
    }
  }
}

TEST(RulePrograms, NaiveInterpreterMeetsTheRuleThatAMutantBreaks) {
  for (const Target& target : targets()) {
    for (const RuleProgram& program : rule_programs(target)) {
      if (program.rule == Rule::PortRate) continue;  // its ports are never short of anything
      NaiveInterpreter naive;
      ASSERT_TRUE(naive.load(program.mutant, 1).ok());
      const auto result =
          naive.launch(request_for(program.mutant, program.mutant_registers));
      ASSERT_FALSE(result.ok()) << target.name << " " << program.name;
      std::vector<Rule> rules = program.also;
      rules.push_back(program.rule);
      const bool named = std::any_of(rules.begin(), rules.end(), [&](Rule rule) {
        return result.error().message.starts_with(rule_name(rule));
      });
      EXPECT_TRUE(named) << target.name << " " << program.name << ": "
                         << to_string(result.error());
    }
  }
}

// Rules about the contents of memory are not the emulator's; no mutant may crash it.
TEST(RulePrograms, EmulatorSurvivesMutants) {
  for (const Target& target : targets()) {
    for (const RuleProgram& program : rule_programs(target)) {
      Emulator emulator;
      ASSERT_TRUE(emulator.load(program.mutant, 1).ok());
      (void)emulator.launch(request_for(program.mutant, program.mutant_registers)).ok();
    }
  }
}

}  // namespace
}  // namespace pianola::test
