#include "verifier/verify_roll.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/support/build_program.h"
#include "tests/support/rule_programs.h"
#include "tests/support/tiny_targets.h"

namespace pianola {
namespace {

using test::ProgramBuilder;

std::vector<Target> all_targets() {
  std::vector<Target> targets = test::odd_targets();
  for (const char* name : {"sim16", "sim32", "duo16"}) {
    targets.push_back(load_target(std::string(PIANOLA_SOURCE_DIR) + "/targets/" + name + ".toml").value());
  }
  return targets;
}

TEST(RulePrograms, SoundTwinIsAcceptedAndMutantBreaksExactlyItsRule) {
  for (const Target& target : all_targets()) {
    std::set<Rule> seen;
    for (const test::RuleProgram& program : test::rule_programs(target)) {
      SCOPED_TRACE(target.name + " " + program.name);
      const VerifyReport sound = verify_roll(program.sound);
      EXPECT_TRUE(sound.ok()) << to_string(sound);
      VerifyReport mutant = verify_roll(program.mutant);
      std::set<Rule> broken;
      for (const Violation& violation : mutant.violations) broken.insert(violation.rule);
      std::set<Rule> expected(program.also.begin(), program.also.end());
      expected.insert(program.rule);
      EXPECT_EQ(broken, expected) << to_string(mutant);
      EXPECT_TRUE(mutant.problems.empty()) << to_string(mutant);
      seen.insert(program.rule);
    }
    EXPECT_EQ(seen.size(), std::size(kRules)) << target.name;
  }
}

}  // namespace
}  // namespace pianola
