// Two programs for each rule of the machine spec: a sound one, and a mutant that differs in one thing and
// breaks exactly that rule. The verifier must refuse the mutant, and the RTL, given it all the same, must
// raise the fault of the same rule.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "isa/instructions.h"
#include "isa/roll.h"

namespace pianola::test {

struct RuleProgram {
  Rule rule{};
  std::string name;
  Roll sound, mutant;
  // Launch registers, by parameter index. With the mutant's the violation really happens; other values
  // within the declarations may be harmless.
  std::vector<uint32_t> sound_registers, mutant_registers;
  // Rules that the mutant cannot help breaking in the same cycle (memory_hazard: bank_conflict).
  std::vector<Rule> also;
};

// What the target cannot express is left out (a stage that it does not have); every rule has at least one
// program on a target with all stages.
std::vector<RuleProgram> rule_programs(const Target& target);

}  // namespace pianola::test
