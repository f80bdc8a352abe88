// A stencil: the instructions of one operation at fixed distances from a common base cycle, and all
// that they take while they run. The placer slides it along the reservation tables.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "scheduler/schedule.h"

namespace pianola {

// A loop nest in time.
struct TimedNest {
  std::array<int, 3> count{1, 1, 1};
  std::array<int64_t, 3> period{0, 0, 0};

  int64_t span() const {
    return (count[0] - 1) * period[0] + (count[1] - 1) * period[1] + (count[2] - 1) * period[2];
  }
  int64_t iterations() const { return int64_t{1} * count[0] * count[1] * count[2]; }
};

// Calls f(time, i1, i2, i3) for each iteration in order; stops when f returns false. True if none did.
template <typename F>
bool for_each_iteration(const TimedNest& nest, F&& f) {
  for (int i3 = 0; i3 < nest.count[2]; ++i3) {
    for (int i2 = 0; i2 < nest.count[1]; ++i2) {
      for (int i1 = 0; i1 < nest.count[0]; ++i1) {
        if (!f(i1 * nest.period[0] + i2 * nest.period[1] + i3 * nest.period[2], i1, i2, i3)) {
          return false;
        }
      }
    }
  }
  return true;
}

// A group of neighbouring streams between a driver and its readers, chosen when placed.
struct StreamUse {
  Direction dir{};
  int width = 1;
  int from = 0, to = 0;  // positions: driver, last reader
  int64_t drive = 0;     // offset of the drive from the base
  TimedNest nest;
  int twin = -1;         // another use that must take the same stream numbers (both directions driven)
  int preferred = 0;     // where the search begins
  int chosen = -1;
};

// Which field of an instruction a chosen stream goes into.
enum class StreamField : uint8_t { MemStream, X, Y, Z, VxmOut, Load, Mac, MacOut, Sxm, SxmOut, Recv, Send };

struct Part {
  PlacedInstruction instruction;  // first holds the offset from the base
  struct Link {
    StreamField field;
    int use;          // index into Stencil::streams
    int lane = 0;     // MEM: stream within the group
    int slice = 0;    // MEM: slice number within the position
  };
  std::vector<Link> links;
};

struct MemoryUse {
  bool write = false;
  int slice = 0, bank = 0;
  int64_t offset = 0;
  TimedNest nest;
  int address = 0;                // of iteration (0, 0, 0), register excluded
  std::array<int, 3> step{};
  int rows = 0;                   // log2; steps and reach count rows, of which a word holds 2^rows
  int row = 0;                    // of iteration (0, 0, 0)
  int reach_low = 0, reach_high = 0;  // what the register may add
  ArrayId array = -1;
};

struct ChainUse {
  int chain = 0;
  int64_t issue = 0, middle = 0, back = 0;  // offsets of the entries of the pass, mul3, combine
  TimedNest nest;
  // The accumulator stage, if the pass uses the file.
  int64_t accumulate = 0;
  AccumulatorGroup group = -1;
  bool closes_group = false;
  int accumulator = 0;
  std::array<int, 3> accumulator_step{};
  int part = -1;  // the pass instruction, whose acc field awaits the group's place
};

enum class Port : uint8_t { Tape, KvIn, KvOut, HostOut };

struct PortUse {
  Port port{};
  int64_t offset = 0;
  TimedNest nest;
  int vectors = 0;
};

struct Stencil {
  std::vector<Part> parts;
  std::vector<StreamUse> streams;
  std::vector<MemoryUse> memory;
  std::vector<ChainUse> chains;
  std::vector<PortUse> ports;
  int mxm = -1;
  int64_t first_load = 0, last_load = 0, first_mac = 0, last_mac = 0, last_swap = 0;
  int sxm = -1;
  int64_t sxm_offset = 0;
  TimedNest sxm_nest;
  bool streams_chosen = false;  // streams[i].chosen is given, not to be found
  bool alone = false;           // dense nests keep others out of their gaps
  bool continues = false;       // its instructions become further iterations of those before them
  int64_t earliest_offset = 0;  // smallest offset of any issue
  int64_t finish = 0;           // largest offset of any effect
};

struct StencilOptions {
  // Cycles between weight-load steps of a tile from the tape: 1, or what the tape sustains.
  int tape_load_period = 1;
  // Where the passes go; -1: where the operation says.
  int chain = -1;
  // Cycles between the iterations of a pass's second level, at least: room for others that come as regularly.
  int pass_period = 1;
};

Stencil build_stencil(const VectorProgram& program, const VectorOperation& operation,
                      const Target& target, const StencilOptions& options);

// Steps that load one tile, and the load period that the tape sustains.
int tile_load_steps(const MatmulOperation& operation, const Target& target);
int sustained_load_period(const Target& target);

}  // namespace pianola
