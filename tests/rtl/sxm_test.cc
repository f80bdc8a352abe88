// The lane-moving unit against a model written from docs/isa.md, section 7.
#include <gtest/gtest.h>

#include <optional>

#include "Vsxm128.h"
#include "Vsxm16.h"
#include "Vsxm32.h"
#include "Vsxm4.h"
#include "isa/instructions.h"
#include "tests/rtl/unit_bench.h"

// Instructions here name only the fields that matter.
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

namespace pianola::bench {
namespace {

struct Move {
  SxmInstruction fields;
  int amount_offset = 0;
  int amount() const { return fields.amount + amount_offset; }
};

template <int L>
int segment_lanes(LaneSegment segment) {
  return segment == LaneSegment::All ? L : 8 << static_cast<int>(segment);
}
template <int L>
constexpr int kRows = L > 64 ? 16 : L;

template <int L>
class SxmReference {
 public:
  uint32_t step(const std::optional<Move>& move, const Streams<L>& streams) {
    const uint32_t faults = move ? issue(*move, streams) : 0;
    ++cycle_;
    return faults;
  }
  std::optional<Drive> drive() const {
    const auto found = drives_.find(cycle_);
    return found == drives_.end() ? std::nullopt : std::optional(found->second);
  }
  bool busy() const { return drives_.upper_bound(cycle_) != drives_.end(); }
  bool complete() const {
    for (int i = 0; i < kRows<L>; ++i)
      if (!written_[i]) return false;
    return true;
  }

 private:
  uint32_t issue(const Move& move, const Streams<L>& streams) {
    const SxmInstruction& f = move.fields;
    uint32_t faults = 0;
    const int dir = static_cast<int>(f.dir);
    const int count = 1 << static_cast<int>(f.width);
    const int amount = move.amount();
    const int lanes = segment_lanes<L>(f.segment);
    const auto& from = streams.bytes[dir];
    if (f.op != SxmOp::TransposeOut)
      for (int i = 0; i < count; ++i)
        if (((streams.defined[dir] >> (f.stream + i)) & 1) == 0)
          faults |= rule_bit(Rule::StreamUndefined);
    if (f.op == SxmOp::Permute &&
        ((streams.defined[static_cast<int>(f.index_dir)] >> f.index_stream) & 1) == 0)
      faults |= rule_bit(Rule::StreamUndefined);
    switch (f.op) {
      case SxmOp::Shift:
      case SxmOp::Rotate:
        if (std::abs(amount) >= lanes) return faults | rule_bit(Rule::AddressRange);
        break;
      case SxmOp::Permute: break;
      case SxmOp::Distribute:
        if (amount < 0 || amount >= L) return faults | rule_bit(Rule::AddressRange);
        break;
      case SxmOp::TransposeOut:
        if (!complete()) faults |= rule_bit(Rule::AccumulatorUndefined);
        [[fallthrough]];
      case SxmOp::TransposeIn:
        if (amount < 0 || amount >= kRows<L>) return faults | rule_bit(Rule::AddressRange);
    }
    if (f.op == SxmOp::TransposeIn) {
      rows_[amount] = from[f.stream];
      written_[amount] = true;
      return faults;
    }
    Drive d{.dirs = f.out_dirs, .stream = f.out_stream, .count = static_cast<uint32_t>(count),
            .data = std::vector<uint8_t>(count * L)};
    for (int b = 0; b < count; ++b)
      for (int i = 0; i < L; ++i) {
        const int begin = i / lanes * lanes;
        uint8_t value = 0;
        switch (f.op) {
          case SxmOp::Shift: {
            const int place = i - begin + amount;
            if (place >= 0 && place < lanes) value = from[f.stream + b][begin + place];
            break;
          }
          case SxmOp::Rotate:
            value = from[f.stream + b][begin + ((i - begin + amount) % lanes + lanes) % lanes];
            break;
          case SxmOp::Permute:
            value = from[f.stream + b][streams.bytes[static_cast<int>(f.index_dir)]
                                                    [f.index_stream][i] % L];
            break;
          case SxmOp::Distribute: value = from[f.stream + b][amount]; break;
          case SxmOp::TransposeIn: break;
          case SxmOp::TransposeOut:
            value = rows_[i % kRows<L>][i / kRows<L> * kRows<L> + amount];
        }
        d.data[b * L + i] = value;
      }
    drives_[cycle_ + latency_sxm(L)] = d;
    return faults;
  }

  int64_t cycle_ = 0;
  std::array<std::array<uint8_t, L>, kRows<L>> rows_{};
  std::array<bool, kRows<L>> written_{};
  std::map<int64_t, Drive> drives_;
};

template <typename Model, int L>
struct SxmBench : UnitBench<Model, L> {
  using UnitBench<Model, L>::model;
  SxmReference<L> reference;
  uint32_t faults = 0;

  void set_move(const Move& move) {
    set_payload(model.instr_i, encode_push(0, 1, move.fields));
    model.amount_offset_i = static_cast<uint32_t>(move.amount_offset) & 0x3fffu;
  }
  void cycle(Rng& rng, const std::optional<Move>& move) {
    for (model.en_i = 0; chance(rng, 15);) {
      model.issue_i = rng() & 1;
      this->clock();
    }
    model.en_i = 1;
    model.issue_i = move.has_value();
    if (move) set_move(*move);
    this->apply_streams();
    this->settle();
    const auto expected = reference.drive();
    ASSERT_EQ(model.out_valid_o != 0, expected.has_value());
    if (expected) {
      const Drive found = this->drive();
      ASSERT_EQ(found.dirs, expected->dirs);
      ASSERT_EQ(found.stream, expected->stream);
      ASSERT_EQ(found.count, expected->count);
      ASSERT_EQ(found.data, expected->data);
    }
    ASSERT_EQ(model.busy_o != 0, reference.busy());
    ASSERT_EQ(model.fault_o, faults);
    faults = reference.step(move, this->streams);
    this->clock();
  }
  void restart() {
    this->start();
    reference = {};
    faults = 0;
  }
};

template <int L>
Move random_move(Rng& rng) {
  Move move;
  SxmInstruction& f = move.fields;
  f.op = static_cast<SxmOp>(pick(rng, 0, 5));
  const bool transpose = f.op == SxmOp::TransposeIn || f.op == SxmOp::TransposeOut;
  f.width = transpose ? SxmWidth::W1 : static_cast<SxmWidth>(pick(rng, 0, 2));
  const int count = 1 << static_cast<int>(f.width);
  f.dir = static_cast<Direction>(pick(rng, 0, 1));
  f.stream = count * pick(rng, 0, kStreams / count - 1);
  if (f.op == SxmOp::Shift || f.op == SxmOp::Rotate) {
    do {
      f.segment = static_cast<LaneSegment>(pick(rng, 0, 5));
    } while (L % segment_lanes<L>(f.segment) != 0);
  }
  if (f.op == SxmOp::Permute) {
    f.index_dir = static_cast<Direction>(pick(rng, 0, 1));
    f.index_stream = pick(rng, 0, kStreams - 1);
  } else {
    const int lanes = segment_lanes<L>(f.segment);
    const int amount = f.op == SxmOp::Shift || f.op == SxmOp::Rotate
                           ? pick(rng, -(lanes - 1), lanes - 1)
                           : pick(rng, 0, (transpose ? kRows<L> : L) - 1);
    f.amount = pick(rng, -512, 511);
    f.amount_s1 = pick(rng, -512, 511);
    move.amount_offset = amount - f.amount;
  }
  if (f.op != SxmOp::TransposeIn) {
    f.out_dirs = pick(rng, 1, 3);
    f.out_stream = count * pick(rng, 0, kStreams / count - 1);
  }
  return move;
}

template <typename Model, int L>
void run_random(uint64_t seed, int cycles) {
  Rng rng(seed);
  SxmBench<Model, L> bench;
  for (int launch = 0; launch < 3; ++launch) {
    bench.restart();
    for (int c = 0; c < cycles; ++c) {
      bench.randomize_streams(rng);
      std::optional<Move> move = random_move<L>(rng);
      if (move->fields.op == SxmOp::TransposeOut && !bench.reference.complete()) move.reset();
      if (chance(rng, 10)) move.reset();
      bench.cycle(rng, move);
      if (::testing::Test::HasFatalFailure()) return;
      ASSERT_EQ(bench.faults, 0u);
    }
    ASSERT_TRUE(bench.reference.complete());
  }
}

TEST(Sxm, MatchesModelWith4Lanes) { run_random<Vsxm4, 4>(1, 5000); }
TEST(Sxm, MatchesModelWith16Lanes) { run_random<Vsxm16, 16>(2, 5000); }
TEST(Sxm, MatchesModelWith32Lanes) { run_random<Vsxm32, 32>(3, 5000); }
TEST(Sxm, MatchesModelWith128Lanes) { run_random<Vsxm128, 128>(4, 2000); }

TEST(Sxm, NamesTheRuleThatBreaks) {
  Rng rng(5);
  SxmBench<Vsxm16, 16> bench;
  std::map<Rule, int> seen;
  for (int launch = 0; launch < 2000; ++launch) {
    bench.restart();
    for (int c = 0; c < 100 && bench.faults == 0; ++c) {
      bench.randomize_streams(rng, chance(rng, 5) ? static_cast<uint32_t>(rng()) : 0xffffu);
      Move move = random_move<16>(rng);
      if (chance(rng, 5) && move.fields.op != SxmOp::Permute) move.amount_offset += pick(rng, -40, 40);
      if (move.fields.op == SxmOp::TransposeOut && chance(rng, 90)) continue;
      bench.cycle(rng, move);
      if (::testing::Test::HasFatalFailure()) return;
    }
    bench.settle();
    ASSERT_EQ(bench.model.fault_o, bench.faults);
    for (Rule rule : kRules)
      if ((bench.faults & rule_bit(rule)) != 0) ++seen[rule];
  }
  for (Rule rule : {Rule::StreamUndefined, Rule::AddressRange, Rule::AccumulatorUndefined})
    EXPECT_GT(seen[rule], 5) << rule_name(rule);
}

TEST(Sxm, RefusesFieldsWithoutMeaning) {
  Rng rng(6);
  SxmBench<Vsxm16, 16> bench;
  const auto refuses = [&](const SxmInstruction& x, int bit = -1) {
    bench.restart();
    bench.randomize_streams(rng);
    bench.apply_streams();
    bench.set_move({.fields = x});
    if (bit >= 0) bench.model.instr_i[bit / 32] |= 1u << (bit % 32);
    bench.model.issue_i = 1;
    bench.clock();
    bench.settle();
    return (bench.model.fault_o & rule_bit(Rule::IllegalEncoding)) != 0;
  };
  EXPECT_FALSE(refuses({.out_dirs = 1}));
  EXPECT_TRUE(refuses({}));  // drives nowhere
  EXPECT_TRUE(refuses({.op = static_cast<SxmOp>(6), .out_dirs = 1}));
  EXPECT_TRUE(refuses({.width = static_cast<SxmWidth>(3), .out_dirs = 1}));
  EXPECT_TRUE(refuses({.stream = 16, .out_dirs = 1}));
  EXPECT_TRUE(refuses({.stream = 2, .width = SxmWidth::W4, .out_dirs = 1}));
  EXPECT_TRUE(refuses({.width = SxmWidth::W2, .out_dirs = 1, .out_stream = 15}));
  EXPECT_TRUE(refuses({.op = SxmOp::TransposeOut, .width = SxmWidth::W2, .out_dirs = 1}));
  EXPECT_TRUE(refuses({.segment = LaneSegment::S32, .out_dirs = 1}));
  EXPECT_TRUE(refuses({.segment = static_cast<LaneSegment>(6), .out_dirs = 1}));
  // Unused: index_dir of SHIFT, amount of PERMUTE, out_stream of TRANSPOSE_IN; beyond the last.
  EXPECT_TRUE(refuses({.out_dirs = 1}, 35));
  EXPECT_TRUE(refuses({.op = SxmOp::Permute, .out_dirs = 1}, 12));
  EXPECT_TRUE(refuses({.op = SxmOp::TransposeIn}, 44));
  EXPECT_TRUE(refuses({.out_dirs = 1}, 50));
}

}  // namespace
}  // namespace pianola::bench
