// The forms of a MEM position, equal at the ports cycle by cycle: random nests of every opcode on all
// queues at once, words written and read back, launches one after the other, random freezes. One of
// them takes many clock edges a machine cycle, with the lanes of one edge at its ports. Rules that
// are broken are the subject of synthesis_form_test and of the tests in tests/programs.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <vector>

#include "Vmem16.h"
#include "Vmem32.h"
#include "Vmem4.h"
#include "Vmem_beats16.h"
#include "Vmem_beats32.h"
#include "Vmem_synthesis16.h"
#include "Vmem_synthesis4.h"
#include "isa/instructions.h"
#include "tests/rtl/unit_bench.h"

namespace pianola::bench {
namespace {

constexpr int kSlices = 4, kWords = 64, kBankWords = kWords / 2, kTimingLsb = 21, kEntryBits = 205;

// Launch registers: small ones for addresses, and lanes.
std::array<uint32_t, 32> registers() {
  std::array<uint32_t, 32> values{};
  for (uint32_t i = 1; i < 32; ++i) values[i] = i % 8;
  return values;
}

// Nested levels that take at most `cycles`; the cycles that they take.
int random_levels(Rng& rng, int cycles, Timing& timing) {
  int taken = 1;
  const auto level = [&](uint32_t& n, uint32_t& p, int iterations_max) {
    const int period = taken + pick(rng, 0, 2);
    const int most = std::min(iterations_max, (cycles - taken) / period);
    if (most < 1 || chance(rng, 30)) return false;
    n = static_cast<uint32_t>(pick(rng, 1, most));
    p = static_cast<uint32_t>(period);
    taken += static_cast<int>(n) * period;
    return true;
  };
  if (level(timing.n1, timing.p1, 7) && level(timing.n2, timing.p2, 3)) {
    level(timing.n3, timing.p3, 2);
  }
  return taken;
}

// Steps within `reach` words; lowest and highest of their sums.
std::array<int, 2> random_steps(Rng& rng, int reach, MemInstruction& x) {
  std::array<int, 2> range{0, 0};
  const auto step = [&](uint32_t n, int32_t& s) {
    if (n == 0) return;
    const int most = (reach - (range[1] - range[0])) / static_cast<int>(n);
    s = pick(rng, -std::min(most, 3), std::min(most, 3));
    range[s < 0 ? 0 : 1] += s * static_cast<int>(n);
  };
  step(x.timing.n1, x.s1);
  step(x.timing.n2, x.s2);
  step(x.timing.n3, x.s3);
  return range;
}

// One instruction that stays within a bank and breaks no rule.
MemInstruction random_access(Rng& rng, bool write, int bank, int lanes, int cycles, int& taken) {
  const std::array<uint32_t, 32> regs = registers();
  MemInstruction x;
  taken = random_levels(rng, cycles, x.timing);
  x.op = write ? (chance(rng, 30) ? MemOp::WriteLane : MemOp::Write)
               : (chance(rng, 40) ? MemOp::Gather : MemOp::Read);
  x.dir = chance(rng, 50) ? Direction::West : Direction::East;
  x.stream = static_cast<uint32_t>(pick(rng, 0, kStreams - 1));
  const std::array<int, 2> range = random_steps(rng, 16, x);
  const int low = bank * kBankWords;
  if (x.op == MemOp::Write && chance(rng, 50)) {
    x.rows = static_cast<uint32_t>(pick(rng, 1, 2));
    x.reg = static_cast<uint32_t>(pick(rng, 0, 31));
    x.row = static_cast<uint32_t>(pick(rng, -range[0], -range[0] + 7));
    const int highest = static_cast<int>(x.row + regs[x.reg]) + range[1];
    x.address = static_cast<uint32_t>(low + pick(rng, 0, kBankWords - 1 - (highest >> x.rows)));
    return x;
  }
  int room = kBankWords - 1 - (range[1] - range[0]);
  if (x.op == MemOp::WriteLane) {  // up to a lane of the next word
    --room;
    x.lane_reg = static_cast<uint32_t>(pick(rng, 0, 3));
    x.lane = static_cast<uint32_t>(pick(rng, 0, lanes - 1));
    const int lane = static_cast<int>(x.lane + regs[x.lane_reg]);
    x.lane_step = lane + static_cast<int>(x.timing.n1) < 2 * lanes ? 1 : 0;
  }
  if (x.op == MemOp::Gather) {
    x.index_dir = chance(rng, 50) ? Direction::West : Direction::East;
    x.index_stream = static_cast<uint32_t>(2 * pick(rng, 0, kStreams / 2 - 1));
    x.limit = static_cast<uint32_t>(pick(rng, 0, room));
    room -= static_cast<int>(x.limit);
  }
  const int address = low - range[0] + pick(rng, 0, room);
  x.reg = static_cast<uint32_t>(pick(rng, 0, 31));
  if (static_cast<int>(regs[x.reg]) > address) x.reg = 0;
  x.address = static_cast<uint32_t>(address) - regs[x.reg];
  return x;
}

struct Push {
  uint32_t start = 0, queues = 0;
  MemInstruction fields;
};

template <typename Simulation, typename Synthesis, int L, int Beats>
class MemForms {
 public:
  explicit MemForms(uint64_t seed) : rng_(seed) {
    simulation_.rst_ni = synthesis_.rst_ni = 0;
    clock(false);
    simulation_.rst_ni = synthesis_.rst_ni = 1;
  }

  // One launch: at first all words are written, then the banks change roles in every phase.
  void launch(int phases, bool fill) {
    simulation_.start_i = synthesis_.start_i = 1;
    clock(chance(rng_, 50));
    simulation_.start_i = synthesis_.start_i = 0;
    now_ = 0;
    for (int phase = fill ? -1 : 0; phase < phases && !testing::Test::HasFatalFailure(); ++phase) {
      std::vector<Push> pushes = phase < 0 ? fill_all() : random_phase(phase % 2);
      std::stable_sort(pushes.begin(), pushes.end(),
                       [](const Push& a, const Push& b) { return a.start < b.start; });
      for (const Push& push : pushes) {
        while (chance(rng_, 20)) cycle(nullptr);
        cycle(&push);
      }
      int idle = 0;
      while (idle < 3) {
        cycle(nullptr);
        idle = simulation_.holds_o || simulation_.busy_o ? 0 : idle + 1;
        ASSERT_LT(now_, 60000u) << "the queues never empty";
      }
    }
  }
  uint64_t drives() const { return drives_; }
  uint64_t pushed(MemOp op) const { return pushed_.at(op); }

 private:
  std::vector<Push> fill_all() {
    MemInstruction x;
    x.op = MemOp::Write;
    x.timing = {.start = now_ + 20, .n1 = kWords - 1, .p1 = 1};
    x.s1 = 1;
    return {{x.timing.start, 0xfu << kSlices, x}};
  }
  // Reads in one bank, writes in the other. The first instruction starts when all may be stored.
  std::vector<Push> random_phase(int bank) {
    std::vector<Push> pushes;
    for (int queue = 0; queue < 2 * kSlices; ++queue) {
      uint32_t start = now_ + 60 + static_cast<uint32_t>(pick(rng_, 0, 20));
      for (int left = pick(rng_, 0, 4); left > 0; --left) {
        int taken = 0;
        MemInstruction x = random_access(rng_, queue >= kSlices,
                                         queue >= kSlices ? 1 - bank : bank, L, 40, taken);
        x.timing.start = start & 0xffff;
        pushes.push_back({start, 1u << queue, x});
        start += static_cast<uint32_t>(taken + pick(rng_, 2, 12));
      }
    }
    return pushes;
  }

  // A machine cycle; the push waits while the machine is frozen.
  void cycle(const Push* push) {
    for (bool enabled = false; !enabled;) {
      enabled = !chance(rng_, 20);
      const bool pushes = push && enabled;
      simulation_.push_i = synthesis_.push_i = pushes ? static_cast<uint8_t>(push->queues) : 0;
      if (pushes) {
        ++pushed_[push->fields.op];
        const Word word = encode_push(0, 1, push->fields);
        for (int i = 0; i < (kEntryBits + 31) / 32; ++i) {
          uint32_t value = 0;
          for (int bit = 0; bit < 32 && i * 32 + bit < kEntryBits; ++bit) {
            const int from = kTimingLsb + i * 32 + bit;
            value |= static_cast<uint32_t>(word[static_cast<size_t>(from / 64)] >> (from % 64) & 1)
                     << bit;
          }
          simulation_.entry_i[i] = synthesis_.entry_i[i] = value;
        }
      }
      ASSERT_NO_FATAL_FAILURE(clock(enabled));
    }
  }

  void clock(bool enabled) {
    const std::array<uint32_t, 32> values = registers();
    for (int i = 0; i < 32; ++i) simulation_.regs_i[i] = synthesis_.regs_i[i] = values[i];
    simulation_.now_i = synthesis_.now_i = static_cast<uint16_t>(now_);
    simulation_.east_def_i = synthesis_.east_def_i = 0xffff;
    simulation_.west_def_i = synthesis_.west_def_i = 0xffff;
    for (auto& direction : streams_) {
      for (auto& stream : direction) {
        for (uint8_t& byte : stream) byte = static_cast<uint8_t>(rng_());
      }
    }
    edge<1>(simulation_, enabled, 0, simulation_out_);
    for (int beat = 0; beat < Beats; ++beat) {
      edge<Beats>(synthesis_, enabled, beat, synthesis_out_);
      ASSERT_NO_FATAL_FAILURE(compare_control());
    }
    ASSERT_NO_FATAL_FAILURE(compare_data(enabled));
    now_ += enabled;
  }
  // An edge with the lanes of a beat at the ports; what is driven in it is added to `out`, [slice][lane].
  template <int B, typename Model>
  void edge(Model& model, bool enabled, int beat, std::array<std::array<uint8_t, L>, kSlices>& out) {
    constexpr int kPart = L / B;
    const auto set_streams = [&](auto& port, const auto& direction) {
      for (int s = 0; s < kStreams; ++s) {
        std::memcpy(reinterpret_cast<uint8_t*>(&port) + s * kPart, &direction[s][beat * kPart], kPart);
      }
    };
    set_streams(model.east_i, streams_[0]);
    set_streams(model.west_i, streams_[1]);
    if constexpr (B > 1) model.beat_i = static_cast<uint8_t>(beat);
    model.live_i = enabled;
    model.en_i = enabled && beat == B - 1;
    model.clk_i = 0;
    model.eval();
    EXPECT_EQ(model.fault_o, 0u) << "cycle " << now_;
    for (int k = 0; k < kSlices; ++k) {
      std::memcpy(&out[k][beat * kPart],
                  reinterpret_cast<const uint8_t*>(&model.out_data_o) + k * kPart, kPart);
    }
    controls(model) = {model.out_valid_o, model.holds_o, model.busy_o, model.out_dirs_o,
                       model.out_stream_o};
    model.clk_i = 1;
    model.eval();
  }

  // What a position says in a machine cycle beside the data.
  struct Controls {
    uint32_t valid = 0, holds = 0, busy = 0, dirs = 0, stream = 0;
  };
  Controls& controls(const Simulation&) { return simulation_controls_; }
  Controls& controls(const Synthesis&) { return synthesis_controls_; }
  void compare_control() {
    const Controls &a = simulation_controls_, &b = synthesis_controls_;
    ASSERT_EQ(a.valid, b.valid) << "cycle " << now_;
    ASSERT_EQ(a.holds, b.holds) << "cycle " << now_;
    ASSERT_EQ(a.busy, b.busy) << "cycle " << now_;
    for (int k = 0; k < kSlices; ++k) {
      if ((a.valid >> k & 1) == 0) continue;
      ASSERT_EQ(a.dirs >> (2 * k) & 3, b.dirs >> (2 * k) & 3) << "cycle " << now_;
      ASSERT_EQ(a.stream >> (6 * k) & 63, b.stream >> (6 * k) & 63) << "cycle " << now_;
    }
  }
  // In a frozen cycle nobody looks at what is driven.
  void compare_data(bool enabled) {
    for (int k = 0; k < kSlices; ++k) {
      if (!enabled || (simulation_controls_.valid >> k & 1) == 0) continue;
      ++drives_;
      ASSERT_EQ(simulation_out_[k], synthesis_out_[k]) << "cycle " << now_ << " slice " << k;
    }
  }

  Rng rng_;
  VerilatedContext context_;
  Simulation simulation_{&context_, "simulation"};
  Synthesis synthesis_{&context_, "synthesis"};
  std::array<std::array<std::array<uint8_t, L>, kStreams>, 2> streams_{};  // [direction][stream][lane]
  std::array<std::array<uint8_t, L>, kSlices> simulation_out_{}, synthesis_out_{};
  Controls simulation_controls_, synthesis_controls_;
  uint32_t now_ = 0;
  uint64_t drives_ = 0;
  std::map<MemOp, uint64_t> pushed_;
};

template <typename Simulation, typename Synthesis, int L, int Beats>
void play(uint64_t seed) {
  MemForms<Simulation, Synthesis, L, Beats> forms(seed);
  for (int launch = 0; launch < 4; ++launch) {
    ASSERT_NO_FATAL_FAILURE(forms.launch(60, launch == 0)) << "launch " << launch;
  }
  EXPECT_GT(forms.drives(), 5000u);
  for (const MemOp op : {MemOp::Read, MemOp::Write, MemOp::Gather, MemOp::WriteLane}) {
    EXPECT_GT(forms.pushed(op), 100u);
  }
}

TEST(MemPosition, FormsAreEqualAtThePortsWith4Lanes) { play<Vmem4, Vmem_synthesis4, 4, 1>(1); }
TEST(MemPosition, FormsAreEqualAtThePortsWith16Lanes) { play<Vmem16, Vmem_synthesis16, 16, 1>(2); }
TEST(MemPosition, IsTheSameInBeatsOfALane) { play<Vmem16, Vmem_beats16, 16, 16>(3); }
TEST(MemPosition, IsTheSameInBeatsOfTwoLanes) { play<Vmem32, Vmem_beats32, 32, 16>(4); }

}  // namespace
}  // namespace pianola::bench
