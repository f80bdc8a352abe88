// What the benches of the single units (VXM chain, MXM, SXM) share: a clocked Verilated model with
// the ports all units have in common, random streams, and the queue of drives a reference predicts.
//
//   UnitBench<Vsxm16, 16> bench;
//   bench.randomize_streams(rng);          // what the unit sees in this machine cycle
//   bench.model.issue_i = 1; ...           // what the sequencer says
//   bench.settle();                        // outputs of this cycle can be read
//   bench.clock();                         // the edge; moves state only with enable
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "isa/instructions.h"
#include "isa/word.h"
#include "verilated.h"

namespace pianola::bench {

constexpr int kStreams = 16;
constexpr int kPayloadLsb = 99;
constexpr int kPayloadBits = 157;

using Rng = std::mt19937_64;

inline int pick(Rng& rng, int low, int high) {  // both included
  return low + static_cast<int>(rng() % static_cast<uint64_t>(high - low + 1));
}
inline bool chance(Rng& rng, int percent) { return pick(rng, 0, 99) < percent; }

// The unit's fields of an instruction word, as the port instr_i takes them.
template <typename Port>
void set_payload(Port& port, const Word& word) {
  for (int i = 0; i < (kPayloadBits + 31) / 32; ++i) {
    uint32_t value = 0;
    for (int bit = 0; bit < 32; ++bit) {
      const int from = kPayloadLsb + i * 32 + bit;
      if (i * 32 + bit < kPayloadBits && ((word[from / 64] >> (from % 64)) & 1) != 0)
        value |= 1u << bit;
    }
    port[i] = value;
  }
}

template <int L>
struct Streams {
  std::array<std::array<std::array<uint8_t, L>, kStreams>, 2> bytes{};  // [direction][stream][lane]
  std::array<uint32_t, 2> defined{};                                    // [direction]
};

// What a unit drives in one cycle.
struct Drive {
  uint32_t dirs = 0, stream = 0, count = 0;
  std::vector<uint8_t> data;  // count x L
  bool operator==(const Drive&) const = default;
};

template <typename Model, int L>
class UnitBench {
 public:
  UnitBench() : model_(std::make_unique<Model>()), model(*model_) {
    model.rst_ni = 0;
    model.en_i = 1;
    model.start_i = 0;
    model.clk_i = 0;
    model.eval();
    clock();
    model.rst_ni = 1;
  }
  ~UnitBench() { model.final(); }

  void randomize_streams(Rng& rng, uint32_t defined_mask = 0xffffu) {
    for (auto& direction : streams.bytes)
      for (auto& stream : direction)
        for (auto& byte : stream) byte = static_cast<uint8_t>(rng());
    streams.defined = {defined_mask & 0xffffu, defined_mask & 0xffffu};
  }
  // The members of `streams` to the ports.
  void apply_streams() {
    std::memcpy(&model.east_i[0], streams.bytes[0].data(), kStreams * L);
    std::memcpy(&model.west_i[0], streams.bytes[1].data(), kStreams * L);
    model.east_def_i = static_cast<uint16_t>(streams.defined[0]);
    model.west_def_i = static_cast<uint16_t>(streams.defined[1]);
  }
  void settle() { model.eval(); }
  void clock() {
    model.clk_i = 1;
    model.eval();
    model.clk_i = 0;
    model.eval();
  }
  void start() {
    model.start_i = 1;
    clock();
    model.start_i = 0;
  }
  Drive drive() const {
    Drive d{.dirs = model.out_dirs_o, .stream = model.out_stream_o, .count = model.out_count_o,
            .data = std::vector<uint8_t>(static_cast<size_t>(model.out_count_o) * L)};
    std::memcpy(d.data.data(), &model.out_data_o[0], d.data.size());
    return d;
  }

  Streams<L> streams;

 private:
  std::unique_ptr<Model> model_;

 public:
  Model& model;
};

inline uint32_t rule_bit(Rule rule) { return 1u << static_cast<uint32_t>(rule); }

}  // namespace pianola::bench
