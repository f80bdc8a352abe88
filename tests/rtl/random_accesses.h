// Random instructions of MEM that break no rule, for the benches of its forms.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "isa/instructions.h"
#include "tests/rtl/unit_bench.h"

namespace pianola::bench {

constexpr int kSlices = 4, kWords = 64, kBankWords = kWords / 2;

// Launch registers: small ones for addresses, and lanes.
inline std::array<uint32_t, 32> registers() {
  std::array<uint32_t, 32> values{};
  for (uint32_t i = 1; i < 32; ++i) values[i] = i % 8;
  return values;
}

// Nested levels that take at most `cycles`; the cycles that they take.
inline int random_levels(Rng& rng, int cycles, Timing& timing) {
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
inline std::array<int, 2> random_steps(Rng& rng, int reach, MemInstruction& x) {
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
inline MemInstruction random_access(Rng& rng, bool write, int bank, int lanes, int cycles, int& taken) {
  const std::array<uint32_t, 32> regs = registers();
  MemInstruction x;
  taken = random_levels(rng, cycles, x.timing);
  x.op = write ? (chance(rng, 30) ? MemOp::WriteLane : MemOp::Write)
               : (chance(rng, 40) ? MemOp::Gather : MemOp::Read);
  x.dir = chance(rng, 50) ? Direction::West : Direction::East;
  // Slice k adds k: reads of different slices never drive the same stream.
  x.stream = static_cast<uint32_t>(write ? pick(rng, 0, kStreams - 1)
                                         : pick(rng, 0, kStreams / kSlices - 1) * kSlices);
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

// The timing and the fields of a word, as MEM takes them from the front.
template <typename Port>
void set_entry(Port& port, const Word& word) {
  constexpr int kTimingLsb = 21, kBits = 205;
  for (int i = 0; i < (kBits + 31) / 32; ++i) {
    uint32_t value = 0;
    for (int bit = 0; bit < 32 && i * 32 + bit < kBits; ++bit) {
      const int from = kTimingLsb + i * 32 + bit;
      value |= static_cast<uint32_t>(word[static_cast<size_t>(from / 64)] >> (from % 64) & 1) << bit;
    }
    port[i] = value;
  }
}

}  // namespace pianola::bench
