// The two forms of the stream registers, equal at the ports where they hold something, for any drives.
#include <gtest/gtest.h>

#include <cstdint>
#include <random>

#include "Vstreams4.h"
#include "Vstreams_synthesis4.h"
#include "verilated.h"

namespace {

constexpr int kWords = 16;  // 16 streams of 4 lanes

template <typename Model>
void drive(Model& model, std::mt19937_64 random) {
  model.en_i = random() % 8 != 0;
  model.start_i = random() % 64 == 0;
  model.east_def_i = random() % 4 ? random() & 0xffff : 0;
  model.west_def_i = random() % 4 ? random() & 0xffff : 0;
  model.p_valid_i = random() % 2 ? random() & 0xf : 0;
  model.p_dirs_i = random() & 0xff;
  model.p_stream_i = random() & 0xffffff;
  model.p_count_i = random() & 0xffff;
  model.q_valid_i = random() & 1;
  model.q_dirs_i = random() & 3;
  model.q_stream_i = random() & 63;
  model.q_count_i = random() & 15;
  for (int i = 0; i < kWords; ++i) {
    model.east_i[i] = static_cast<uint32_t>(random());
    model.west_i[i] = static_cast<uint32_t>(random());
  }
  for (int i = 0; i < 4; ++i) {
    model.p_data_i[i] = static_cast<uint32_t>(random());
    model.q_data_i[i] = static_cast<uint32_t>(random());
  }
}

template <typename Model>
void clock(Model& model) {
  model.clk_i = 1;
  model.eval();
  model.clk_i = 0;
  model.eval();
}

}  // namespace

TEST(StreamPosition, SynthesisFormMovesWhatTheSimulationMoves) {
  VerilatedContext context;
  Vstreams4 simulation{&context, "simulation"};
  Vstreams_synthesis4 synthesis{&context, "synthesis"};
  std::mt19937_64 random(1);
  for (int cycle = 0; cycle < 20000; ++cycle) {
    simulation.rst_ni = synthesis.rst_ni = cycle >= 2;
    drive(simulation, random);
    drive(synthesis, random);
    random.discard(100);
    clock(simulation);
    clock(synthesis);
    ASSERT_EQ(simulation.east_def_o, synthesis.east_def_o) << cycle;
    ASSERT_EQ(simulation.west_def_o, synthesis.west_def_o) << cycle;
    for (int i = 0; i < kWords; ++i) {  // a word is a stream; what holds nothing need not move
      if (simulation.east_def_o >> i & 1) {
        ASSERT_EQ(simulation.east_o[i], synthesis.east_o[i]) << cycle << " stream " << i;
      }
      if (simulation.west_def_o >> i & 1) {
        ASSERT_EQ(simulation.west_o[i], synthesis.west_o[i]) << cycle << " stream " << i;
      }
    }
  }
}
