// Vector operations: what the machine must do for one entry, in program order, without times, streams or
// addresses. The lowering writes this; the scheduler places it.
//
// An operation is a loop nest of up to three levels (i1 innermost) over vectors. Arrays are runs of
// vectors in MEM; an ArrayRef walks one with a step per level. Program order fixes the order of
// tape, KV and host vectors and of tiles per MXM; everything else is ordered by its data alone.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "isa/instructions.h"
#include "isa/roll.h"

namespace pianola {

using ArrayId = int;

// Where an array lives: a *home* is a group of four slices that can be read in one cycle (slices of one
// MEM position, or of neighbours where positions hold fewer); see homes_of().
struct Array {
  std::string name;
  int home = 0;
  int bank = 0;
  int slice = 0;    // first slice within the home
  // Slices that together hold one vector: 1 (bytes), 2 (fp16) or 4 (fp32); or as many tile rows or cache
  // rows as are read at once.
  int streams = 1;
  int vectors = 0;
  bool persistent = false;  // keeps its contents between launches
  // Filled in by allocate_memory: word address of vector 0.
  int address = -1;
};

struct ArrayRef {
  ArrayId array = -1;
  int index = 0;           // vector of iteration (0, 0, 0)
  std::array<int, 3> step{};  // per level
  int reg = 0;             // launch register added to the index
  int slice = -1;          // reads: the one of the array's slices that is read; -1: all of them
  // Writes: one row of bytes, which the array's slices hold in turn; index, steps and register count rows.
  bool row = false;
  // Writes: one lane, or -1 for whole vectors; a launch register added to it, and lanes per iteration of level
  // 1. A lane beyond the last is one of the next vector.
  int lane = -1, lane_reg = 0, lane_step = 0;
};

struct Nest {
  std::array<int, 3> count{1, 1, 1};
  int64_t iterations() const { return int64_t{1} * count[0] * count[1] * count[2]; }
};

// Accumulators of a VXM chain that belong together, from the first operation that names the group to
// the one that closes it.
using AccumulatorGroup = int;

enum class OperandSource : uint8_t { None, Array, Mxm, Tape, Kv };

struct Operand {
  OperandSource source = OperandSource::None;
  VxmFormat format = VxmFormat::None;
  ArrayRef ref;
};

// One VXM pass per iteration.
struct VxmOperation {
  std::string name;
  Nest nest;
  Operand x, y, z;
  // The pass: every field but timing, streams, formats of operands and accumulator numbers.
  VxmInstruction pass;
  AccumulatorGroup group = -1;
  int accumulator = 0;                // first one, within the group
  std::array<int, 3> accumulator_step{};
  bool closes_group = false;
  int chain = 0;
  bool stays_on_chain = false;        // else another one will do, if it is free earlier
  std::vector<ArrayRef> writes;       // all take the output
  bool to_host = false, to_kv = false;
};

enum class TileSource : uint8_t { Tape, Array };

// Tiles through one MXM: for each window, `tiles` tiles are loaded; each takes `activations` vectors; the
// sums of a window go into an array, or to the consumers, which split the activations among themselves. All
// windows are gone through `repeats` times, each time for other outputs; then their tiles follow each other
// at the steps per tile, and the third step of rows, activation and sums is per repeat.
struct MatmulOperation {
  std::string name;
  int mxm = 0;
  int activations = 1;   // vectors per tile
  int tiles = 1;         // per window
  int windows = 1;
  int repeats = 1;
  int tile_cycles = 0;   // a tile takes no fewer; so that matrix units that share slices and streams keep in step
  MxmLoadFormat format{};
  MxmLoadOrientation orientation{};
  TileSource source = TileSource::Tape;
  // Array: what is read for one load step, from arrays whose vectors together are as wide as the MXM
  // loads; step: per load step of a tile, per tile, per window.
  std::vector<ArrayRef> rows;
  ArrayRef activation;   // step: per activation, per tile, per window
  // The int32 sums, if they wait in MEM: step per activation, per window, per repeat. No consumers then.
  ArrayRef sums;
  // Consumers: nest.count[0] activations each (in order), nest.count[1] == windows. x is the sum.
  std::vector<VxmOperation> consumers;
};

enum class CopySource : uint8_t { Tape, Kv };

// Vectors of a port into an array: array.streams vectors per iteration.
struct CopyInOperation {
  std::string name;
  CopySource source = CopySource::Tape;
  Nest nest;
  ArrayRef destination;
};

// An array's vectors out of the KV port.
struct CopyOutOperation {
  std::string name;
  Nest nest;
  ArrayRef source;
};

// A move between lanes.
struct SxmOperation {
  std::string name;
  Nest nest;
  ArrayRef source;
  SxmInstruction move;  // op, amount, segment
  ArrayRef destination;
};

using VectorOperation = std::variant<VxmOperation, MatmulOperation, CopyInOperation,
                                     CopyOutOperation, SxmOperation>;

// A stretch of operations, up to the next section. Neighbouring sections of one group do the same work on
// other data (the layers of a model): the scheduler may place the first ones and repeat them.
struct Section {
  int first = 0;  // operation
  std::string group;
};

struct VectorProgram {
  std::vector<Array> arrays;
  std::vector<int> accumulator_groups;  // size of each group
  std::vector<VectorOperation> operations;
  std::vector<Section> sections;  // ascending; what comes before the first one belongs to none
  std::vector<RegisterDeclaration> registers;
};

// Neighbouring sections of one group that are worth repeating: sections first .. first + count - 1.
struct SectionRun {
  int first = 0, count = 0;
};
constexpr int kSectionRunMin = 6;
// Neighbouring sections of a run use different memory; every second one the same.
constexpr int kSectionMemories = 2;
std::vector<SectionRun> section_runs(const VectorProgram& program);
// Whether two sections do the same in the same words of memory. Arrays have their addresses.
bool same_sections(const VectorProgram& program, int a, int b);
// The operation after the last one of a section.
int section_end(const VectorProgram& program, int section);

std::string to_text(const VectorProgram& program);

// The homes of a target: for each, its four global slice numbers, west to east.
std::vector<std::array<int, 4>> homes_of(const Target& target);

}  // namespace pianola
