// Random programs on every executor: the Verilated core in lockstep with the emulator (every drive of
// every cycle), the emulator alone and the naive interpreter must agree on host output, KV region,
// machine cycles and all words of MEM that a program writes. With memory that delivers at random the
// core freezes, and nothing else changes.
#include <gtest/gtest.h>

#include <algorithm>

#include "emulator/emulator.h"
#include "emulator/lockstep.h"
#include "emulator/naive_interpreter.h"
#include "tests/programs/dump_memory.h"
#include "tests/programs/parameter_sets.h"
#include "tests/programs/program_requests.h"
#include "tests/programs/rtl_player.h"

namespace pianola::test {
namespace {

// Jitter that the test turns on and off; ideal memory while it is off.
struct Switch {
  Jitter* jitter = nullptr;
  static uint32_t allow(void* context, uint32_t port, uint64_t edge, uint32_t most) {
    Jitter* jitter = static_cast<Switch*>(context)->jitter;
    return jitter ? Jitter::allow(jitter, port, edge, most) : most;
  }
};

struct Seen {
  LaunchResult result;
  std::vector<std::byte> kv;
};

class RandomProgramsOnRtl : public testing::TestWithParam<Target> {
 protected:
  void SetUp() override {
    RtlDeviceOptions options;
    options.build = rtl_build_options();
    options.allow = Switch::allow;
    options.allow_context = &jitter_;
    rtl_ = make_lockstep_device(options);
  }

  static Seen launch(Device& device, const LaunchRequest& request) {
    auto result = device.launch(request);
    if (!result.ok()) {
      ADD_FAILURE() << device.name() << ": " << to_string(result.error());
      return {};
    }
    const auto kv = device.kv_region();
    return {std::move(*result), {kv.begin(), kv.end()}};
  }

  // Plays one request everywhere; true if nothing differs.
  bool agree(const LaunchRequest& request, Seen& rtl) {
    rtl = launch(*rtl_, request);
    bool same = true;
    for (Device* other : {static_cast<Device*>(&emulator_), static_cast<Device*>(&naive_)}) {
      const Seen seen = launch(*other, request);
      same = same && rtl.result.cycles == seen.result.cycles &&
             rtl.result.host_output == seen.result.host_output && rtl.kv == seen.kv;
      EXPECT_TRUE(same) << other->name() << ": cycles " << seen.result.cycles << ", host output "
                        << (rtl.result.host_output == seen.result.host_output) << ", KV region "
                        << (rtl.kv == seen.kv) << " (1: equal)";
    }
    return same;
  }

  // Two launches of a program with different registers and inputs, then all that they wrote to MEM.
  void play(uint64_t seed) {
    Roll roll = random_program(GetParam(), seed);
    std::vector<LaunchRequest> requests = {request_for(roll, seed), request_for(roll, ~seed)};
    WordSets words(static_cast<size_t>(roll.target.slices()));
    for (const LaunchRequest& request : requests) {
      words = merge(words, written_words(roll, 0, request.registers));
    }
    LaunchRequest dump;
    dump.entry = add_dump_entry(roll, words);
    requests.push_back(dump);
    for (Device* device : {rtl_.get(), static_cast<Device*>(&emulator_),
                           static_cast<Device*>(&naive_)}) {
      const Status loaded = device->load(roll, seed);
      ASSERT_TRUE(loaded.ok()) << to_string(loaded.error());
    }
    for (const LaunchRequest& request : requests) {
      Seen rtl;
      ASSERT_TRUE(agree(request, rtl)) << "seed " << seed << ", entry " << request.entry;
      if (request.entry != 0) continue;
      EXPECT_EQ(rtl.result.cycles, roll.metadata.entries[0].cycles);
      if (!jitter_.jitter) {
        EXPECT_EQ(rtl.result.frozen_after_first, 0u);
      }
      frozen_ += rtl.result.frozen_after_first;
    }
  }

  Switch jitter_;
  std::unique_ptr<Device> rtl_;
  Emulator emulator_;
  NaiveInterpreter naive_;
  uint64_t frozen_ = 0;
};

TEST_P(RandomProgramsOnRtl, PlayAlikeOnAllExecutors) {
  for (uint64_t seed = 1; seed <= kProgramsPerSet; ++seed) {
    play(seed);
    if (HasFatalFailure()) return;
  }
}

TEST_P(RandomProgramsOnRtl, PlayAlikeWhileTheMachineFreezes) {
  int programs = 0, frozen = 0;
  for (uint64_t seed = 1; seed <= kProgramsPerSet; seed += 4) {
    Jitter jitter(seed, seed % 8 == 1 ? 15 : 5);
    jitter_.jitter = &jitter;
    const uint64_t before = frozen_;
    play(seed);
    if (HasFatalFailure()) return;
    ++programs;
    frozen += frozen_ > before;
  }
  EXPECT_GT(frozen, programs / 3) << "of " << programs;  // FIFOs hold all that some programs need
}

INSTANTIATE_TEST_SUITE_P(Targets, RandomProgramsOnRtl, testing::ValuesIn(rtl_parameter_sets()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace pianola::test
