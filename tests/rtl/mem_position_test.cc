// A MEM position of one clock edge a machine cycle and one of many, with the lanes of one edge at its ports, equal
// cycle by cycle: random nests of every opcode on all queues at once, words written and read back,
// launches one after the other, random freezes. Rules that are broken are the subject of
// synthesis_form_test and of the tests in tests/programs.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <vector>

#include "Vmem16.h"
#include "Vmem32.h"
#include "Vmem_beats16.h"
#include "Vmem_beats32.h"
#include "isa/instructions.h"
#include "tests/rtl/random_accesses.h"
#include "tests/rtl/unit_bench.h"

namespace pianola::bench {
namespace {

struct Push {
  uint32_t start = 0, queues = 0;
  MemInstruction fields;
};

template <typename Whole, typename InBeats, int L, int Beats>
class MemForms {
 public:
  explicit MemForms(uint64_t seed) : rng_(seed) {
    whole_.rst_ni = in_beats_.rst_ni = 0;
    clock(false);
    whole_.rst_ni = in_beats_.rst_ni = 1;
  }

  // One launch: at first all words are written, then the banks change roles in every phase.
  void launch(int phases, bool fill) {
    whole_.start_i = in_beats_.start_i = 1;
    clock(chance(rng_, 50));
    whole_.start_i = in_beats_.start_i = 0;
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
        idle = whole_.holds_o || whole_.busy_o ? 0 : idle + 1;
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
      whole_.push_i = in_beats_.push_i = pushes ? static_cast<uint8_t>(push->queues) : 0;
      if (pushes) {
        ++pushed_[push->fields.op];
        const Word word = encode_push(0, 1, push->fields);
        set_entry(whole_.entry_i, word);
        set_entry(in_beats_.entry_i, word);
      }
      ASSERT_NO_FATAL_FAILURE(clock(enabled));
    }
  }

  void clock(bool enabled) {
    const std::array<uint32_t, 32> values = registers();
    for (int i = 0; i < 32; ++i) whole_.regs_i[i] = in_beats_.regs_i[i] = values[i];
    whole_.now_i = in_beats_.now_i = static_cast<uint16_t>(now_);
    whole_.east_def_i = in_beats_.east_def_i = 0xffff;
    whole_.west_def_i = in_beats_.west_def_i = 0xffff;
    for (auto& direction : streams_) {
      for (auto& stream : direction) {
        for (uint8_t& byte : stream) byte = static_cast<uint8_t>(rng_());
      }
    }
    edge<1>(whole_, enabled, 0, whole_out_);
    for (int beat = 0; beat < Beats; ++beat) {
      edge<Beats>(in_beats_, enabled, beat, in_beats_out_);
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
  Controls& controls(const Whole&) { return whole_controls_; }
  Controls& controls(const InBeats&) { return in_beats_controls_; }
  void compare_control() {
    const Controls &a = whole_controls_, &b = in_beats_controls_;
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
      if (!enabled || (whole_controls_.valid >> k & 1) == 0) continue;
      ++drives_;
      ASSERT_EQ(whole_out_[k], in_beats_out_[k]) << "cycle " << now_ << " slice " << k;
    }
  }

  Rng rng_;
  VerilatedContext context_;
  Whole whole_{&context_, "whole"};
  InBeats in_beats_{&context_, "in_beats"};
  std::array<std::array<std::array<uint8_t, L>, kStreams>, 2> streams_{};  // [direction][stream][lane]
  std::array<std::array<uint8_t, L>, kSlices> whole_out_{}, in_beats_out_{};
  Controls whole_controls_, in_beats_controls_;
  uint32_t now_ = 0;
  uint64_t drives_ = 0;
  std::map<MemOp, uint64_t> pushed_;
};

template <typename Whole, typename InBeats, int L, int Beats>
void play(uint64_t seed) {
  MemForms<Whole, InBeats, L, Beats> forms(seed);
  for (int launch = 0; launch < 4; ++launch) {
    ASSERT_NO_FATAL_FAILURE(forms.launch(60, launch == 0)) << "launch " << launch;
  }
  EXPECT_GT(forms.drives(), 5000u);
  for (const MemOp op : {MemOp::Read, MemOp::Write, MemOp::Gather, MemOp::WriteLane}) {
    EXPECT_GT(forms.pushed(op), 100u);
  }
}

TEST(MemPosition, IsTheSameInBeatsOfALane) { play<Vmem16, Vmem_beats16, 16, 16>(3); }
TEST(MemPosition, IsTheSameInBeatsOfTwoLanes) { play<Vmem32, Vmem_beats32, 32, 16>(4); }

}  // namespace
}  // namespace pianola::bench
