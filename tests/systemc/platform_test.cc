// Both cores on the SystemC platform: whatever the memory's timing, outputs and machine cycles are
// those of the emulator, both cores freeze at the same clock edges, and nothing locks up.
#include <gtest/gtest.h>

#include "emulator/emulator.h"
#include "emulator/rtl_device.h"
#include "emulator/systemc_device.h"
#include "tests/support/random_program.h"
#include "tests/support/tiny_targets.h"
#include "tests/systemc/copy_program.h"

namespace pianola::test {
namespace {

// Everything that a series of launches shows.
struct Outcome {
  std::vector<LaunchResult> launches;
  std::vector<std::byte> kv;
};

Outcome play(Device& device, const Roll& roll, const std::vector<LaunchRequest>& requests) {
  Outcome outcome;
  const Status loaded = device.load(roll, 7);
  EXPECT_TRUE(loaded.ok()) << (loaded.ok() ? "" : to_string(loaded.error()));
  if (!loaded.ok()) return outcome;
  for (const LaunchRequest& request : requests) {
    const Result<LaunchResult> result = device.launch(request);
    EXPECT_TRUE(result.ok()) << (result.ok() ? "" : to_string(result.error()));
    if (!result.ok()) return outcome;
    outcome.launches.push_back(*result);
  }
  outcome.kv.assign(device.kv_region().begin(), device.kv_region().end());
  return outcome;
}

SystemcOptions options_of(SystemcCore core, const MemoryTiming& timing) {
  SystemcOptions options;
  options.core = core;
  options.timing = timing;
  options.build.checks = options.build.probes = false;
  return options;
}

Outcome play_on(SystemcCore core, const MemoryTiming& timing, const Roll& roll,
                const std::vector<LaunchRequest>& requests) {
  return play(*make_systemc_device(options_of(core, timing)), roll, requests);
}

void expect_same_results(const Outcome& expected, const Outcome& got) {
  ASSERT_EQ(expected.launches.size(), got.launches.size());
  for (size_t i = 0; i < got.launches.size(); ++i) {
    EXPECT_EQ(expected.launches[i].cycles, got.launches[i].cycles) << "launch " << i;
    EXPECT_TRUE(expected.launches[i].host_output == got.launches[i].host_output) << "launch " << i;
  }
  EXPECT_TRUE(expected.kv == got.kv);
}

void expect_same_edges(const Outcome& a, const Outcome& b) {
  ASSERT_EQ(a.launches.size(), b.launches.size());
  for (size_t i = 0; i < a.launches.size(); ++i) {
    EXPECT_EQ(a.launches[i].frozen_cycles, b.launches[i].frozen_cycles) << "launch " << i;
    EXPECT_EQ(a.launches[i].frozen_after_first, b.launches[i].frozen_after_first) << "launch " << i;
  }
}

MemoryTiming small_bursts() {
  MemoryTiming timing;
  timing.latency_cycles = 4;
  timing.burst_bytes = 16;
  return timing;
}

class Copies : public testing::Test {
 protected:
  void SetUp() override {
    for (const uint64_t seed : {1, 2}) requests_.push_back(copy_request(roll_, seed));
    Emulator emulator;
    expected_ = play(emulator, roll_, requests_);
    ideal_ = play_on(SystemcCore::Emulator, small_bursts(), roll_, requests_);
  }
  // Plays with both cores; returns what they agree on.
  Outcome play_both(const MemoryTiming& timing) {
    const Outcome emulated = play_on(SystemcCore::Emulator, timing, roll_, requests_);
    const Outcome verilated = play_on(SystemcCore::Rtl, timing, roll_, requests_);
    expect_same_results(expected_, emulated);
    expect_same_results(expected_, verilated);
    expect_same_edges(emulated, verilated);
    return emulated;
  }

  const Target target_ = copy_target();
  const Roll roll_ = copy_program(target_);
  std::vector<LaunchRequest> requests_;
  Outcome expected_, ideal_;
};

TEST_F(Copies, AreNeverFrozenAfterTheFirstCycleByIdealMemory) {
  for (const MemoryTiming& timing : {MemoryTiming{}, small_bursts()}) {
    for (const LaunchResult& launch : play_both(timing).launches) {
      EXPECT_EQ(launch.frozen_after_first, 0u);
      EXPECT_GT(launch.frozen_cycles, 0u);  // the front waits for full FIFOs
    }
  }
}

TEST_F(Copies, AgreeUnderRandomJitter) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    MemoryTiming timing = small_bursts();
    timing.seed = seed;
    timing.jitter_cycles = 5 + 7 * static_cast<uint32_t>(seed);
    const Outcome outcome = play_both(timing);
    ASSERT_EQ(outcome.launches.size(), 2u);
    EXPECT_GT(outcome.launches[0].frozen_after_first, 0u) << "seed " << seed;
  }
}

TEST_F(Copies, GoOnWhenAPortThatWasStarvedIsFedAgain) {
  for (int port = 0; port < kPlatformPorts; ++port) {
    for (const uint64_t first : {0, 200}) {
      SCOPED_TRACE("port " + std::to_string(port) + " from " + std::to_string(first));
      MemoryTiming timing = small_bursts();
      timing.starved = static_cast<PlatformPort>(port);
      timing.starve_first = first;
      timing.starve_cycles = 20'000;
      const Outcome outcome = play_both(timing);
      ASSERT_EQ(outcome.launches.size(), 2u);
      EXPECT_GT(outcome.launches[0].frozen_cycles, ideal_.launches[0].frozen_cycles + 10'000);
      // A send port that takes nothing is noticed only when its FIFO is full.
      if (first > 0 || port >= 4) {
        EXPECT_GT(outcome.launches[0].frozen_after_first, 10'000u);
      }
    }
  }
}

TEST_F(Copies, AgreeUnderRefreshAndLowEfficiency) {
  MemoryTiming refresh = small_bursts();
  refresh.refresh_interval_cycles = 400;
  refresh.refresh_cycles = 150;
  EXPECT_GT(play_both(refresh).launches[0].frozen_cycles, ideal_.launches[0].frozen_cycles);
  MemoryTiming slow = small_bursts();
  slow.efficiency = 0.1;
  EXPECT_GT(play_both(slow).launches[0].frozen_after_first, 0u);
  play_both(ddr4_timing(target_.clock_mhz));
}

TEST_F(Copies, DoNotDependOnOtherDevicesOfTheProcess) {
  auto first = make_systemc_device(options_of(SystemcCore::Emulator, small_bursts()));
  MemoryTiming jitter = small_bursts();
  jitter.jitter_cycles = 30;
  auto second = make_systemc_device(options_of(SystemcCore::Emulator, jitter));
  ASSERT_TRUE(first->load(roll_, 7).ok());
  ASSERT_TRUE(second->load(roll_, 7).ok());
  for (size_t i = 0; i < requests_.size(); ++i) {
    const auto a = first->launch(requests_[i]), b = second->launch(requests_[i]);
    ASSERT_TRUE(a.ok() && b.ok());
    EXPECT_EQ(a->frozen_cycles, ideal_.launches[i].frozen_cycles);
    EXPECT_GT(b->frozen_cycles, a->frozen_cycles);
    EXPECT_TRUE(a->host_output == b->host_output);
  }
}

TEST_F(Copies, DoNotDependOnTheOrderInWhichVerilatedCoresEnd) {
  auto first = make_systemc_device(options_of(SystemcCore::Rtl, small_bursts()));
  auto second = make_systemc_device(options_of(SystemcCore::Rtl, small_bursts()));
  expect_same_results(expected_, play(*second, roll_, requests_));
  expect_same_results(expected_, play(*first, roll_, requests_));
  second.reset();
  expect_same_results(expected_, play(*first, roll_, requests_));
  first.reset();
}

TEST_F(Copies, FreezeAsTheVerilatedCoreWithItsOwnIdealMemory) {
  // The platform adds the time until the first burst, and no edge after the first machine cycle.
  RtlDeviceOptions options;
  options.build.checks = options.build.probes = false;
  const Outcome alone = play(*make_rtl_device(options), roll_, requests_);
  expect_same_results(expected_, alone);
  ASSERT_EQ(alone.launches.size(), ideal_.launches.size());
  EXPECT_GE(ideal_.launches[0].frozen_cycles, alone.launches[0].frozen_cycles);
  EXPECT_LT(ideal_.launches[0].frozen_cycles, alone.launches[0].frozen_cycles + 100);
}

TEST(SystemcDevice, PlaysRandomProgramsAlikeUnderAnyTiming) {
  const Target target = tiny_target();
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const Roll roll = random_program(target, seed);
    const Entry& entry = roll.metadata.entries[0];
    std::vector<LaunchRequest> requests(2);
    for (size_t i = 0; i < requests.size(); ++i) {
      requests[i].registers = random_registers(entry, seed + 10 * i);
      requests[i].host_input = random_host_input(roll, entry, seed + 10 * i);
    }
    Emulator emulator;
    const Outcome expected = play(emulator, roll, requests);
    const Outcome ideal = play_on(SystemcCore::Emulator, {}, roll, requests);
    expect_same_results(expected, ideal);
    MemoryTiming timing = small_bursts();
    timing.jitter_cycles = 60;
    timing.seed = seed;
    const Outcome emulated = play_on(SystemcCore::Emulator, timing, roll, requests);
    const Outcome verilated = play_on(SystemcCore::Rtl, timing, roll, requests);
    {
      SCOPED_TRACE("emulator");
      expect_same_results(expected, emulated);
    }
    {
      SCOPED_TRACE("Verilated core");
      expect_same_results(expected, verilated);
    }
    expect_same_edges(emulated, verilated);
    ASSERT_EQ(ideal.launches.size(), 2u);
    EXPECT_EQ(ideal.launches[0].frozen_after_first, 0u);
    EXPECT_GT(emulated.launches[0].frozen_cycles, ideal.launches[0].frozen_cycles);
  }
}

TEST(SystemcDevice, RefusesTimingsThatMakeNoSense) {
  const Target target = copy_target();
  const Roll roll = copy_program(target);
  std::vector<MemoryTiming> bad(4);
  bad[0].efficiency = 0;
  bad[1].burst_bytes = 0;
  bad[2].refresh_cycles = bad[2].refresh_interval_cycles = 100;
  bad[3].latency_cycles = 2'000'000;
  for (const MemoryTiming& timing : bad) {
    const auto device = make_systemc_device(options_of(SystemcCore::Emulator, timing));
    const Status status = device->load(roll, 0);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, ErrorCode::InvalidArgument);
    EXPECT_FALSE(device->launch({}).ok());
  }
}

TEST(SystemcDevice, ReportsAPortThatIsStarvedForGood) {
  const Target target = copy_target();
  const Roll roll = copy_program(target);
  MemoryTiming timing = small_bursts();
  timing.starved = PlatformPort::Tape;
  timing.starve_cycles = 30'000'000;
  const auto device = make_systemc_device(options_of(SystemcCore::Emulator, timing));
  ASSERT_TRUE(device->load(roll, 0).ok());
  const std::vector<std::byte> kv(device->kv_region().begin(), device->kv_region().end());
  const auto result = device->launch(copy_request(roll, 1));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::Io);
  EXPECT_NE(result.error().message.find("starved"), std::string::npos);
  EXPECT_TRUE(std::equal(kv.begin(), kv.end(), device->kv_region().begin()));
}

}  // namespace
}  // namespace pianola::test
