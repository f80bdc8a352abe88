// The core in the form that is synthesized, Verilated, against the emulator: random programs in
// lockstep (every drive of every cycle), with memory that is ideal and with memory that freezes it; and
// the programs of the rules, sound and broken. Machine cycles of several clock edges are the same machine
// cycles.
#include <gtest/gtest.h>

#include <algorithm>

#include "emulator/emulator.h"
#include "emulator/lockstep.h"
#include "tests/programs/dump_memory.h"
#include "tests/programs/program_requests.h"
#include "tests/programs/rtl_player.h"
#include "tests/support/rule_programs.h"

namespace pianola::test {
namespace {

constexpr uint64_t kPrograms = 40;

struct Core {
  const char* name;
  const char* target;
  int beats;  // clock edges per machine cycle
};

class SynthesisForm : public testing::TestWithParam<Core> {
 protected:
  SynthesisForm() : target_(load_target(GetParam().target).value()) {
    target_.beats = GetParam().beats;
  }

  // A program, and a dump of all that it wrote to MEM, from both; true if the core froze.
  void play(uint64_t seed, Jitter* jitter, bool& froze) {
    RtlDeviceOptions options;
    options.build = rtl_build_options();
    options.build.synthesis_form = true;
    if (jitter) {
      options.allow = Jitter::allow;
      options.allow_context = jitter;
    }
    const std::unique_ptr<Device> rtl = make_lockstep_device(options);
    Emulator emulator;
    Roll roll = random_program(target_, seed);
    std::vector<LaunchRequest> requests = {request_for(roll, seed)};
    const WordSets words = written_words(roll, 0, requests[0].registers);
    LaunchRequest dump;
    dump.entry = add_dump_entry(roll, words);
    requests.push_back(dump);
    ASSERT_TRUE(rtl->load(roll, seed).ok());
    ASSERT_TRUE(emulator.load(roll, seed).ok());
    for (const LaunchRequest& request : requests) {
      const auto found = rtl->launch(request);
      const auto expected = emulator.launch(request);
      ASSERT_TRUE(found.ok()) << "seed " << seed << ": " << to_string(found.error());
      ASSERT_TRUE(expected.ok()) << to_string(expected.error());
      EXPECT_EQ(found->cycles, expected->cycles) << "seed " << seed;
      EXPECT_EQ(found->host_output, expected->host_output) << "seed " << seed;
      froze = froze || found->frozen_after_first > 0;
    }
    EXPECT_TRUE(std::ranges::equal(rtl->kv_region(), emulator.kv_region())) << "seed " << seed;
  }

  Target target_;
};

TEST_P(SynthesisForm, PlaysRandomPrograms) {
  for (uint64_t seed = 1; seed <= kPrograms && !HasFatalFailure(); ++seed) {
    bool froze = false;
    play(seed, nullptr, froze);
    EXPECT_FALSE(froze) << "seed " << seed;
  }
}

TEST_P(SynthesisForm, PlaysRandomProgramsWhileTheMachineFreezes) {
  int frozen = 0;
  for (uint64_t seed = 1; seed <= kPrograms && !HasFatalFailure(); seed += 2) {
    Jitter jitter(seed, std::max(1, 10 / GetParam().beats));  // per clock edge
    bool froze = false;
    play(seed, &jitter, froze);
    frozen += froze;
  }
  EXPECT_GT(frozen, 3);
}

TEST_P(SynthesisForm, RaisesTheFaultOfABrokenRuleOnly) {
  RtlPlayer player(target_, true);
  for (const RuleProgram& program : rule_programs(target_)) {
    for (const bool sound : {true, false}) {
      const Roll& roll = sound ? program.sound : program.mutant;
      LaunchRequest request;
      request.registers = sound ? program.sound_registers : program.mutant_registers;
      request.host_input = random_host_input(roll, roll.metadata.entries[0], 7);
      player.load(roll, 1);
      const RtlOutcome out = player.launch(request);
      const std::string faults = describe_faults(target_, out.result);
      if (sound) {
        EXPECT_EQ(out.result.status, uint32_t{PIANOLA_RTL_DONE}) << program.name << "\n" << faults;
      } else {
        EXPECT_TRUE(out.has_fault(program.rule)) << program.name << "\n" << faults;
      }
    }
  }
}

constexpr Core kCores[] = {
    {"Core4", PIANOLA_CORE4, 1},
    {"Core4In2Beats", PIANOLA_CORE4, 2},
    {"ArtyA7", "arty-a7-100t", 16},
};
INSTANTIATE_TEST_SUITE_P(Forms, SynthesisForm, testing::ValuesIn(kCores),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace pianola::test
