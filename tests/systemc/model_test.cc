// A whole model on the emulator in the SystemC platform: no frozen edge with ideal memory, the same
// bits and machine cycles with any other, and what late memory costs.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>

#include "bench/measure_memory.h"
#include "emulator/systemc_device.h"
#include "tests/executors/play_model.h"

namespace pianola::test {
namespace {

constexpr int kTokens = 4;

class SystemcModel : public testing::Test {
 protected:
  void SetUp() override {
    if (model_is_missing(nursery_path())) GTEST_SKIP() << nursery_path() << " is not there";
    play_on("sim16");
  }

  void play_on(const char* target) {
    const Model model = must(import_model(nursery_path()));
    roll_.emplace(compile_verified(model.graph, target));
    Player player("emulator", *roll_);
    expected_ = generate(player.engine(), nursery_prompt(), kTokens);
  }

  // Edges frozen after the first cycles of all launches.
  uint64_t frozen_with(const MemoryTiming& timing, const char* what) {
    const auto device =
        make_systemc_device({.build = {}, .core = SystemcCore::Emulator, .timing = timing});
    const Status loaded = device->load(*roll_, 1);
    EXPECT_TRUE(loaded.ok());
    Engine engine = must(Engine::create(*roll_, *device));
    const auto start = std::chrono::steady_clock::now();
    const Generation found = generate(engine, nursery_prompt(), kTokens);
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    EXPECT_EQ(found.ids, expected_.ids) << what;
    EXPECT_TRUE(same_bits(expected_.logits, found.logits)) << what;
    uint64_t cycles = 0, frozen = 0, frozen_after_first = 0;
    for (const LaunchRecord& launch : engine.launches()) {
      EXPECT_EQ(launch.cycles, launch.predicted_cycles) << what;
      cycles += launch.cycles;
      frozen += launch.frozen_cycles;
      frozen_after_first += launch.frozen_after_first;
    }
    std::printf(
        "%-12s %llu machine cycles, %llu frozen, %llu of them after the first; %.2f Medges/s\n",
        what, static_cast<unsigned long long>(cycles), static_cast<unsigned long long>(frozen),
        static_cast<unsigned long long>(frozen_after_first),
        static_cast<double>(cycles + frozen) * 1e-6 / seconds);
    return frozen_after_first;
  }

  std::optional<Roll> roll_;
  Generation expected_;
};

TEST_F(SystemcModel, IsNotFrozenByIdealMemory) {
  EXPECT_EQ(frozen_with({}, "ideal"), 0u);
  MemoryTiming far;
  far.latency_cycles = 500;
  EXPECT_EQ(frozen_with(far, "far"), 0u);
}

// Tape, KV and instructions share one memory.
TEST_F(SystemcModel, IsNotFrozenByASharedMemory) {
  play_on("kv260");
  EXPECT_EQ(frozen_with({}, "kv260, ideal"), 0u);
  MemoryTiming less;
  less.efficiency = 0.9;
  EXPECT_GT(frozen_with(less, "kv260, 0.9"), 0u);
}

TEST_F(SystemcModel, IsFrozenByLateMemoryAndStaysTheSame) {
  MemoryTiming jitter;
  jitter.jitter_cycles = 20;
  EXPECT_GT(frozen_with(jitter, "jitter"), 0u);
  MemoryTiming half;
  half.efficiency = 0.5;
  EXPECT_GT(frozen_with(half, "half rate"), 0u);
  frozen_with(ddr4_timing(roll_->target.clock_mhz), "DDR4-2400");
}

TEST_F(SystemcModel, GoesOnWhenAPortThatWasStarvedIsFedAgain) {
  for (const PlatformPort port : {PlatformPort::Tape, PlatformPort::KvRead, PlatformPort::Words,
                                  PlatformPort::KvWrite, PlatformPort::HostSend}) {
    MemoryTiming timing;
    timing.starved = port;
    timing.starve_first = 3000;
    timing.starve_cycles = 2'000'000;
    const std::string what = "port " + std::to_string(static_cast<int>(port));
    EXPECT_GT(frozen_with(timing, what.c_str()), 1'000'000u) << what;
  }
}

// What a linear read costs follows from the data sheet's numbers alone: 64 bytes a cycle, of which refresh takes 350 ns
// every 7.8 us.
TEST_F(SystemcModel, LinearReadsAreAsFastAsTheMemory) {
  play_on("kv260");
  const auto& entries = roll_->metadata.entries;
  size_t decode = 0;
  while (entries[decode].kind != EntryKind::Decode) ++decode;
  const double clock = roll_->target.clock_mhz;
  for (const bool refresh : {false, true}) {
    const MemoryMeasurement m = must(measure_memory(
        *roll_, static_cast<int>(decode), refresh ? ddr4_timing(clock) : MemoryTiming{}));
    EXPECT_EQ(m.machine_cycles, entries[decode].cycles);
    EXPECT_GE(m.wall_cycles, m.machine_cycles);
    const double rate = refresh ? 64 * (1 - 0.35 / 7.8) : 64;
    const double expected = static_cast<double>(m.linear_bytes) / rate;
    // A launch begins when the FIFO of 64 KiB is full.
    const double refresh_cycles = 0.35 * clock, first_cycles = 65536 / rate + 100;
    EXPECT_GT(static_cast<double>(m.linear_cycles), expected - refresh_cycles);
    EXPECT_LT(static_cast<double>(m.linear_cycles), expected + refresh_cycles + first_cycles);
    EXPECT_NEAR(static_cast<double>(m.linear_bytes), static_cast<double>(m.bytes),
                0.6 * static_cast<double>(m.bytes));
  }
}

}  // namespace
}  // namespace pianola::test
