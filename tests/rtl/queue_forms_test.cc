// The two forms of queues, FIFOs of vectors and delay lines, equal at the ports cycle by cycle:
// random nests and steps, pushes up to a full queue, late starts, several launches, random freezes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "Vqueues.h"
#include "Vqueues_synthesis.h"
#include "isa/instructions.h"
#include "tests/rtl/unit_bench.h"

namespace pianola::bench {
namespace {

constexpr int kTimingLsb = 21, kTimingBits = 78, kEntryBits = kTimingBits + kPayloadBits;
constexpr int kFifoDepth = 13;
constexpr uint32_t kOverrun = 1u << static_cast<int>(Rule::QueueOverrun);

class QueueForms {
 public:
  explicit QueueForms(uint64_t seed) : rng_(seed) {
    set([](auto& model) { model.rst_ni = 0; });
    clock(true);
    set([](auto& model) { model.rst_ni = 1; });
  }

  void launch(int cycles) {
    set([](auto& model) { model.start_i = 1; });
    clock(chance(rng_, 50));
    set([](auto& model) { model.start_i = 0; });
    now_ = static_cast<uint32_t>(pick(rng_, 0, 65535));
    stored_ = read_ = 0;
    free_ = now_;
    for (int i = 0; i < cycles; ++i) {
      // A late instruction waits for a whole turn of the cycle's number.
      late_percent_ = i > cycles * 4 / 5 ? 10 : 0;
      ASSERT_NO_FATAL_FAILURE(cycle()) << "cycle " << i;
    }
  }

  uint64_t issues = 0, full = 0, late = 0, vectors = 0, delayed = 0;

 private:
  template <typename Action>
  void set(Action action) {
    action(simulation_);
    action(synthesis_);
  }
  void clock(bool enabled) {
    set([&](auto& model) {
      model.en_i = enabled;
      model.clk_i = 1;
      model.eval();
      model.clk_i = 0;
      model.eval();
    });
  }

  // An instruction that starts after those before it, with few repetitions and any steps; the cycle
  // after it.
  uint32_t set_entry() {
    MemInstruction x;
    Timing& t = x.timing;
    const uint32_t start = std::max(now_ + 2, free_) + static_cast<uint32_t>(pick(rng_, 0, 3));
    t.start = (chance(rng_, late_percent_) ? now_ - 3 : start) & 0xffff;
    if (chance(rng_, 60))
      t.n1 = static_cast<uint32_t>(pick(rng_, 1, 3)),
      t.p1 = static_cast<uint32_t>(pick(rng_, 1, 2));
    if (chance(rng_, 50)) t.n2 = static_cast<uint32_t>(pick(rng_, 1, 2)), t.p2 = t.n1 * t.p1 + 1;
    if (chance(rng_, 40))
      t.n3 = static_cast<uint32_t>(pick(rng_, 1, 2)), t.p3 = t.n1 * t.p1 + t.n2 * t.p2 + 2;
    const Word word = encode_push(0, 1, x);
    for (int i = 0; i * 32 < kEntryBits; ++i) {
      uint32_t value = 0;
      for (int bit = 0; bit < 32 && i * 32 + bit < kEntryBits; ++bit) {
        const int from = kTimingLsb + i * 32 + bit;
        const bool timing = i * 32 + bit < kTimingBits;
        const uint64_t source =
            timing ? word[static_cast<size_t>(from / 64)] >> (from % 64) : rng_();
        value |= static_cast<uint32_t>(source & 1) << bit;
      }
      set([&](auto& model) { model.entry_i[i] = value; });
    }
    return start + t.n1 * t.p1 + t.n2 * t.p2 + t.n3 * t.p3 + 1;
  }

  void cycle() {
    const bool enabled = !chance(rng_, 20);
    const uint32_t end = set_entry();
    uint32_t push = chance(rng_, 30) ? static_cast<uint32_t>(pick(rng_, 0, 3)) : 0;
    const int room = kFifoDepth - stored_;
    const int written = std::min({room, pick(rng_, 0, 2), 2});
    const int read = chance(rng_, 60) ? std::min(stored_, pick(rng_, 0, 4)) : 0;
    const auto data = rng_();
    const auto line = static_cast<uint32_t>(rng_());
    const bool valid = chance(rng_, 40);
    set([&](auto& model) {
      model.en_i = enabled;
      model.now_i = static_cast<uint16_t>(now_);
      model.push_i = push;
      model.write_count_i = written;
      std::memcpy(&model.write_data_i, &data, sizeof data);
      model.read_count_i = read;
      model.use_i = read_ > 0;
      model.valid_i = valid;
      model.data_i = line;
      model.eval();
    });
    // A push that a queue has no room for is no push.
    if (synthesis_.fault0_o & kOverrun) push &= ~1u, ++full;
    if (synthesis_.fault1_o & kOverrun) push &= ~2u, ++full;
    set([&](auto& model) {
      model.push_i = push;
      model.eval();
    });
    ASSERT_NO_FATAL_FAILURE(compare());
    clock(enabled);
    stored_ += written - read;
    if (read > 0) read_ = read;
    now_ += enabled;
    if (enabled && push != 0) free_ = end;
  }

  void compare() {
    const auto& a = simulation_;
    const auto& b = synthesis_;
    ASSERT_EQ(a.want_o, b.want_o);
    ASSERT_EQ(a.issue_o, b.issue_o);
    ASSERT_EQ(a.holds_o, b.holds_o);
    ASSERT_EQ(a.fault0_o, b.fault0_o);
    ASSERT_EQ(a.fault1_o, b.fault1_o);
    late += (b.fault0_o >> static_cast<int>(Rule::QueueLate)) & 1;
    for (int q = 0; q < 2; ++q) {
      if (!(b.want_o >> q & 1)) continue;
      ++issues;
      ASSERT_EQ(a.ends_o >> (6 * q) & 63, b.ends_o >> (6 * q) & 63);
      ASSERT_EQ(a.a_offset_o >> (20 * q) & 0xfffff, b.a_offset_o >> (20 * q) & 0xfffff);
      ASSERT_EQ(a.b_offset_o >> (20 * q) & 0xfffff, b.b_offset_o >> (20 * q) & 0xfffff);
      const auto& instr_a = q == 0 ? a.instr0_o : a.instr1_o;
      const auto& instr_b = q == 0 ? b.instr0_o : b.instr1_o;
      for (int i = 0; i * 32 < kPayloadBits; ++i) ASSERT_EQ(instr_a[i], instr_b[i]);
    }
    for (int i = 0; i < read_; ++i, ++vectors) ASSERT_EQ(a.read_data_o[i], b.read_data_o[i]);
    ASSERT_EQ(a.valid_o, b.valid_o);
    ASSERT_EQ(a.busy_o, b.busy_o);
    for (int i = 0; i < 3; ++i) {
      if (!(b.valid_o >> i & 1)) continue;
      ++delayed;
      ASSERT_EQ(a.data_o[i], b.data_o[i]) << "line " << i;
    }
  }

  Rng rng_;
  VerilatedContext context_;
  Vqueues simulation_{&context_, "simulation"};
  Vqueues_synthesis synthesis_{&context_, "synthesis"};
  uint32_t now_ = 0, free_ = 0;
  int stored_ = 0, read_ = 0, late_percent_ = 0;
};

TEST(QueueForms, AreEqualAtThePorts) {
  QueueForms forms(1);
  for (int launch = 0; launch < 40; ++launch) {
    ASSERT_NO_FATAL_FAILURE(forms.launch(1000)) << "launch " << launch;
  }
  EXPECT_GT(forms.issues, 10000u);
  EXPECT_GT(forms.full, 500u);
  EXPECT_GT(forms.late, 10u);
  EXPECT_GT(forms.vectors, 10000u);
  EXPECT_GT(forms.delayed, 10000u);
}

}  // namespace
}  // namespace pianola::bench
