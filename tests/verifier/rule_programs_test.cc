#include "tests/support/rule_programs.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/support/tiny_targets.h"
#include "verifier/verify_roll.h"

namespace pianola {
namespace {

void check_programs(const Target& target) {
  std::set<Rule> seen;
  for (const test::RuleProgram& program : test::rule_programs(target)) {
    SCOPED_TRACE(target.name + " " + program.name);
    const VerifyReport sound = verify_roll(program.sound);
    EXPECT_TRUE(sound.ok()) << to_string(sound);
    const VerifyReport mutant = verify_roll(program.mutant);
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

TEST(RulePrograms, MutantBreaksExactlyItsRuleOnProductTargets) {
  for (const char* name : {"sim16", "sim32", "duo16"}) {
    check_programs(load_target(std::string(PIANOLA_SOURCE_DIR) + "/targets/" + name + ".toml").value());
  }
}

TEST(RulePrograms, MutantBreaksExactlyItsRuleOnOddTargets) {
  for (const Target& target : test::odd_targets()) check_programs(target);
}

TEST(RulePrograms, MissingStageIsIllegalOnATargetWithoutIt) {
  const Target target = test::tiny_target({.stages = R"("mul1", "tree", "accumulate", "round")"});
  check_programs(target);
  bool found = false;
  for (const test::RuleProgram& program : test::rule_programs(target)) {
    found = found || program.name == "illegal_encoding.missing_stage";
  }
  EXPECT_TRUE(found);
}

}  // namespace
}  // namespace pianola
