// The two forms of the row of streams and MEM positions, equal at the ports cycle by cycle: random nests of every
// opcode on all queues of two MEM positions at once, between units that drive at random; words written and read
// back, launches one after the other, random freezes. Rules that are broken are the subject of
// synthesis_form_test and of the tests in tests/programs.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "Vrow16.h"
#include "Vrow4.h"
#include "Vrow_synthesis16.h"
#include "Vrow_synthesis4.h"
#include "isa/instructions.h"
#include "tests/rtl/random_accesses.h"
#include "tests/rtl/unit_bench.h"

namespace pianola::bench {
namespace {

// Positions 1 and 3 are MEM. The outer ones have four drivers of four vectors, which define all streams that flow
// inward; position 2 has one.
constexpr int kPositions = 5, kDrivers = 4, kVectors = 16, kAtBits = kStreams + 8, kRowBits = 3;
constexpr int kFirstQueues[] = {0, 1, 9, 10, 18};

struct Push {
  uint32_t start = 0;
  int position = 0;
  uint32_t queues = 0;  // of the position
  MemInstruction fields;
  bool as_late_as_may_be = false;  // starts two cycles after the push, whenever that is
};

template <typename Port>
uint32_t bits(const Port& port, int lsb, int width) {
  uint32_t value = 0;
  for (int i = 0; i < width; ++i) value |= (port[(lsb + i) / 32] >> ((lsb + i) % 32) & 1) << i;
  return value;
}

template <typename Simulation, typename Synthesis, int L>
class RowForms {
 public:
  explicit RowForms(uint64_t seed) : rng_(seed) {
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
    while (now_ < kPositions) cycle(nullptr);  // all streams are defined from here on
    for (int phase = fill ? -1 : 0; phase < phases && !testing::Test::HasFatalFailure(); ++phase) {
      std::vector<Push> pushes = phase < 0        ? fill_all()
                                 : phase % 5 == 3 ? overwriting_phase()
                                 : phase % 5 == 4 ? late_phase(phase % 2)
                                                  : random_phase(phase % 2);
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
  uint64_t compared() const { return compared_; }
  uint64_t pushed(MemOp op) const { return pushed_.at(op); }

 private:
  std::vector<Push> fill_all() {
    MemInstruction x;
    x.op = MemOp::Write;
    x.timing = {.start = now_ + 20, .n1 = kWords - 1, .p1 = 1};
    x.s1 = 1;
    return {{x.timing.start, 1, 0xfu << kSlices, x}, {x.timing.start, 3, 0xfu << kSlices, x}};
  }
  // Reads in one bank, writes in the other. The first instruction starts when all may be stored. Some wait for
  // longer than a queue's place in any table of the near future.
  std::vector<Push> random_phase(int bank) {
    std::vector<Push> pushes;
    for (const int position : {1, 3}) {
      for (int queue = 0; queue < 2 * kSlices; ++queue) {
        uint32_t start = now_ + 110 + static_cast<uint32_t>(pick(rng_, 0, 20));
        for (int left = pick(rng_, 0, 4); left > 0; --left) {
          int taken = 0;
          MemInstruction x = random_access(rng_, queue >= kSlices,
                                           queue >= kSlices ? 1 - bank : bank, L, 40, taken);
          x.timing.start = start & 0xffff;
          pushes.push_back({start, position, 1u << queue, x});
          start += static_cast<uint32_t>(taken + (chance(rng_, 5) ? pick(rng_, 60, 300) : pick(rng_, 2, 12)));
        }
      }
    }
    return pushes;
  }

  // Reads and writes of the same words of a bank in turn, the write of a word as soon as it was read.
  std::vector<Push> overwriting_phase() {
    std::vector<Push> pushes;
    for (const int position : {1, 3}) {
      for (int slice = 0; slice < kSlices; ++slice) {
        MemInstruction x;
        x.timing = {.start = now_ + 60 + static_cast<uint32_t>(pick(rng_, 0, 9)), .n1 = 15, .p1 = 2};
        x.s1 = 1;
        x.address = static_cast<uint32_t>(pick(rng_, 0, 1) * kBankWords + pick(rng_, 0, kBankWords - 16));
        x.stream = static_cast<uint32_t>(pick(rng_, 0, kStreams / kSlices - 1) * kSlices);
        x.dir = chance(rng_, 50) ? Direction::West : Direction::East;
        x.op = MemOp::Read;
        pushes.push_back({x.timing.start, position, 1u << slice, x});
        x.timing.start += static_cast<uint32_t>(2 * pick(rng_, 0, 2) + 1);
        x.op = MemOp::Write;
        pushes.push_back({x.timing.start, position, 1u << (kSlices + slice), x});
      }
    }
    return pushes;
  }
  // An instruction for each queue, with no time to wait.
  std::vector<Push> late_phase(int bank) {
    std::vector<Push> pushes;
    for (const int position : {1, 3}) {
      for (int queue = 0; queue < 2 * kSlices; ++queue) {
        int taken = 0;
        const MemInstruction x = random_access(rng_, queue >= kSlices,
                                               queue >= kSlices ? 1 - bank : bank, L, 40, taken);
        pushes.push_back({now_, position, 1u << queue, x, true});
      }
    }
    return pushes;
  }

  // A clock edge; the push waits while the machine is frozen.
  void cycle(const Push* push) {
    for (bool enabled = false; !enabled;) {
      enabled = !chance(rng_, 20);
      const bool pushes = push && enabled;
      simulation_.push_i = synthesis_.push_i =
          pushes ? push->queues << kFirstQueues[push->position] : 0;
      if (pushes) {
        ++pushed_[push->fields.op];
        MemInstruction fields = push->fields;
        if (push->as_late_as_may_be) fields.timing.start = now_ + 2;
        const Word word = encode_push(0, 1, fields);
        set_entry(simulation_.entry_i, word);
        set_entry(synthesis_.entry_i, word);
      }
      clock(enabled);
      ASSERT_NO_FATAL_FAILURE(compare());
    }
  }

  // Drives of the outer positions in all streams, of the inner one at random.
  void drive() {
    uint32_t valid = 0xf000f, words[kPositions * kDrivers] = {};
    for (uint32_t d = 0; d < kDrivers; ++d) {
      words[d] = 4u << 8 | 4 * d << 2 | 1;
      words[4 * kDrivers + d] = 4u << 8 | 4 * d << 2 | 2;
    }
    if (chance(rng_, 60)) {
      valid |= 1u << 2 * kDrivers;
      words[2 * kDrivers] = static_cast<uint32_t>(pick(rng_, 1, 4)) << 8 |
                            static_cast<uint32_t>(pick(rng_, 0, kStreams - 1)) << 2 |
                            static_cast<uint32_t>(pick(rng_, 1, 3));
    }
    simulation_.valid_i = synthesis_.valid_i = valid;
    for (int i = 0; i < kPositions * kDrivers / 2; ++i) {
      simulation_.drive_i[i] = synthesis_.drive_i[i] = words[2 * i] | words[2 * i + 1] << 16;
    }
    for (int i = 0; i < kPositions * kVectors * L / 4; ++i) {
      simulation_.data_i[i] = synthesis_.data_i[i] = static_cast<uint32_t>(rng_());
    }
  }

  void clock(bool enabled) {
    const std::array<uint32_t, 32> values = registers();
    for (int i = 0; i < 32; ++i) simulation_.regs_i[i] = synthesis_.regs_i[i] = values[i];
    simulation_.now_i = synthesis_.now_i = static_cast<uint16_t>(now_);
    simulation_.en_i = synthesis_.en_i = enabled;
    simulation_.live_i = synthesis_.live_i = enabled;
    drive();
    const std::vector<uint8_t> read = what_units_read();
    const auto at = std::pair{simulation_.east_at_o, simulation_.west_at_o};
    edge(simulation_);
    edge(synthesis_);
    // A unit may be evaluated after the row in the same edge.
    EXPECT_EQ(what_units_read(at.first, at.second), read) << "cycle " << now_;
    now_ += enabled;
    // Where a position finds its streams depends on the number of the cycle.
    simulation_.now_i = synthesis_.now_i = static_cast<uint16_t>(simulation_.start_i ? 0 : now_);
    simulation_.eval();
    synthesis_.eval();
  }
  // The streams of the units' positions in the store of the simulation form.
  std::vector<uint8_t> what_units_read() {
    return what_units_read(simulation_.east_at_o, simulation_.west_at_o);
  }
  template <typename At>
  std::vector<uint8_t> what_units_read(const At& east_at, const At& west_at) {
    std::vector<uint8_t> bytes;
    const auto add = [&](const auto& at, const auto& store) {
      for (const int p : {0, 2, 4}) {
        for (int s = 0; s < kStreams; ++s) {
          const auto* from = reinterpret_cast<const uint8_t*>(&store[place_of(at, p, s)]);
          bytes.insert(bytes.end(), from, from + L);
        }
      }
    };
    add(east_at, simulation_.east_o);
    add(west_at, simulation_.west_o);
    return bytes;
  }
  // Where the simulation form keeps a stream, in words.
  template <typename At>
  static size_t place_of(const At& at, int p, int s) {
    const uint32_t plane = bits(at, p * kAtBits + s, 1);
    const uint32_t row = bits(at, p * kAtBits + kStreams, kRowBits);
    return ((row * kStreams + static_cast<uint32_t>(s)) * 2 + plane) * L / 4;
  }

  template <typename Model>
  void edge(Model& model) {
    model.clk_i = 0;
    model.eval();
    for (int p = 0; p < kPositions; ++p) EXPECT_EQ(model.fault_o[p], 0u) << "cycle " << now_;
    model.clk_i = 1;
    model.eval();
  }

  void compare() {
    ASSERT_EQ(simulation_.holds_o, synthesis_.holds_o) << "cycle " << now_;
    ASSERT_EQ(simulation_.busy_o, synthesis_.busy_o) << "cycle " << now_;
    for (const int p : {0, 2, 4}) {
      compare(p, "east", simulation_.east_def_o, synthesis_.east_def_o, simulation_.east_at_o,
              simulation_.east_o, synthesis_.east_o);
      compare(p, "west", simulation_.west_def_o, synthesis_.west_def_o, simulation_.west_at_o,
              simulation_.west_o, synthesis_.west_o);
    }
  }
  template <typename Defined, typename At, typename Store, typename Streams>
  void compare(int p, const char* direction, const Defined& defined, const Defined& expected,
               const At& at, const Store& store, const Streams& streams) {
    const uint32_t set = bits(expected, p * kStreams, kStreams);
    ASSERT_EQ(bits(defined, p * kStreams, kStreams), set)
        << "cycle " << now_ << " position " << p << " " << direction;
    for (int s = 0; s < kStreams; ++s) {
      if ((set >> s & 1) == 0) continue;
      ++compared_;
      ASSERT_EQ(std::memcmp(&store[place_of(at, p, s)], &streams[static_cast<size_t>(p * kStreams + s) * L / 4], L), 0)
          << "cycle " << now_ << " position " << p << " " << direction << " stream " << s;
    }
  }

  Rng rng_;
  VerilatedContext context_;
  Simulation simulation_{&context_, "simulation"};
  Synthesis synthesis_{&context_, "synthesis"};
  uint32_t now_ = 0;
  uint64_t compared_ = 0;
  std::map<MemOp, uint64_t> pushed_;
};

template <typename Simulation, typename Synthesis, int L>
void play(uint64_t seed) {
  RowForms<Simulation, Synthesis, L> forms(seed);
  for (int launch = 0; launch < 4; ++launch) {
    ASSERT_NO_FATAL_FAILURE(forms.launch(60, launch == 0)) << "launch " << launch;
  }
  EXPECT_GT(forms.compared(), 100000u);
  for (const MemOp op : {MemOp::Read, MemOp::Write, MemOp::Gather, MemOp::WriteLane}) {
    EXPECT_GT(forms.pushed(op), 100u);
  }
}

TEST(MemoryRow, FormsAreEqualAtThePortsWith4Lanes) { play<Vrow4, Vrow_synthesis4, 4>(1); }
TEST(MemoryRow, FormsAreEqualAtThePortsWith16Lanes) { play<Vrow16, Vrow_synthesis16, 16>(2); }

}  // namespace
}  // namespace pianola::bench
