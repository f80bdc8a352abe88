// The two forms of the stream registers, equal where they hold something, for any drives: positions with
// four drivers of a vector and with one of four, freezes, several launches.
#include <gtest/gtest.h>

#include <cstdint>
#include <random>

#include "Vstreams4.h"
#include "Vstreams_synthesis4.h"
#include "verilated.h"

namespace {

constexpr int kPositions = 5, kStreams = 16, kDrivers = 4, kVectors = 4, kAtBits = kStreams + 8;
constexpr int kRowBits = 3;

template <typename Model>
void drive(Model& model, std::mt19937_64 random) {
  model.en_i = model.live_i = random() % 8 != 0;
  model.start_i = random() % 64 == 0;
  uint32_t valid = random() % 4 ? static_cast<uint32_t>(random() & random()) : 0;
  // Position 1 and 3 have one driver.
  valid &= 0xf1f1f;
  model.valid_i = valid;
  for (int i = 0; i < kPositions * kDrivers / 2; ++i) {
    model.drive_i[i] = static_cast<uint32_t>(random()) & 0x0fff0fff;
  }
  for (int i = 0; i < kPositions * kVectors; ++i) {
    model.data_i[i] = static_cast<uint32_t>(random());
  }
}

template <typename Model>
void clock(Model& model) {
  model.clk_i = 1;
  model.eval();
  model.clk_i = 0;
  model.eval();
}

template <typename Port>
uint32_t bits(const Port& port, int lsb, int width) {
  uint32_t value = 0;
  for (int i = 0; i < width; ++i) {
    value |= (port[(lsb + i) / 32] >> ((lsb + i) % 32) & 1) << i;
  }
  return value;
}

// Where the simulation form keeps a vector of 32 bits, as a reader finds it.
template <typename Port>
uint32_t word_at(const Port& at, int position, int stream) {
  const uint32_t plane = bits(at, position * kAtBits + stream, 1);
  const uint32_t row = bits(at, position * kAtBits + kStreams, kRowBits);
  return (row * kStreams + static_cast<uint32_t>(stream)) * 2 + plane;
}

}  // namespace

TEST(StreamRow, SynthesisFormMovesWhatTheSimulationLeavesInPlace) {
  VerilatedContext context;
  Vstreams4 simulation{&context, "simulation"};
  Vstreams_synthesis4 synthesis{&context, "synthesis"};
  std::mt19937_64 random(1);
  uint64_t compared = 0;
  for (int cycle = 0; cycle < 20000; ++cycle) {
    simulation.rst_ni = synthesis.rst_ni = cycle >= 2;
    drive(simulation, random);
    drive(synthesis, random);
    random.discard(100);
    clock(simulation);
    clock(synthesis);
    if (cycle < 2) continue;
    for (int p = 0; p < kPositions; ++p) {
      ASSERT_EQ(bits(simulation.east_def_o, p * kStreams, kStreams),
                bits(synthesis.east_def_o, p * kStreams, kStreams));
      ASSERT_EQ(bits(simulation.west_def_o, p * kStreams, kStreams),
                bits(synthesis.west_def_o, p * kStreams, kStreams));
      for (int s = 0; s < kStreams; ++s) {
        if (bits(synthesis.east_def_o, p * kStreams + s, 1)) {
          ++compared;
          ASSERT_EQ(simulation.east_o[word_at(simulation.east_at_o, p, s)],
                    synthesis.east_o[p * kStreams + s])
              << "cycle " << cycle << " position " << p << " east stream " << s;
        }
        if (bits(synthesis.west_def_o, p * kStreams + s, 1)) {
          ++compared;
          ASSERT_EQ(simulation.west_o[word_at(simulation.west_at_o, p, s)],
                    synthesis.west_o[p * kStreams + s])
              << "cycle " << cycle << " position " << p << " west stream " << s;
        }
      }
    }
  }
  EXPECT_GT(compared, 100000u);
}
