// Lifting: the schedule of a roll does not depend on data, so what an entry computes can be found
// once. Lifting follows the dispatcher and the queues, moves no bytes, and asks for every stream
// read which drive it sees; what remains is a straight list of vector operations (a Program) whose
// operands are pointers: into the data tape, into MEM, into the KV region, or into a small arena of
// vectors. Playing the program is a walk over the list.
//
// Order. An operation may be executed at any time from its issue to its drive: its operands were
// driven before it issues, and nobody reads its result before the cycle after its drive. So passes
// of one instruction are executed in batches, and multiplications that only accumulate wait until
// a sum is emitted. Memory operations are executed in the order of their cycles.
//
// In place. A vector of the tape or of the KV region is used where it lies (KV writes reach the
// region at END), and so is a word of MEM at a constant address that this entry never writes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "emulator/device.h"
#include "emulator/late_places.h"
#include "emulator/packed_weights.h"
#include "emulator/paged_vector.h"
#include "emulator/vxm_shapes.h"
#include "isa/instructions.h"

namespace pianola {

struct CopyStep {  // one vector
  Place to = 0, from = 0;
};

struct MemoryStep {  // READ, WRITE, WRITE_LANE or GATHER whose address depends on data or registers
  Place vector = 0;  // READ, GATHER: the result; else the source
  uint8_t* slice = nullptr;
  int32_t address = 0;
  uint32_t reg = 0;
  uint32_t lane = 0, lane_reg = 0;               // WRITE_LANE
  Place index_low = 0, index_high = 0;           // GATHER
  uint32_t limit = 0;                            // GATHER
  // WRITE with rows: `address` is that of row 0; the step writes if `row` and the register select
  // the slice.
  uint8_t rows = 0, turn = 0;  // turn: the slice's number in its position, modulo 2^rows
  int32_t row = 0;
  // Words of the slice that it may touch: the first, and the one after the last.
  uint32_t first_word = 0, last_word = 0;
};

struct SegmentStep {  // RECV from a segment whose base depends on a launch parameter
  Place to = 0;
  const uint8_t* region = nullptr;
  uint64_t region_vectors = 0;
  uint64_t vector = 0;
  uint32_t parameter = 0, limit = 0;
  uint64_t parameter_stride = 0;
};

struct VxmControl {  // an instruction and what follows from it
  VxmInstruction instruction;
  int x_count = 0, y_count = 0, z_count = 0, out_count = 0;  // streams
  int places_per_pass = 0;  // their sum
  int segment = 0;          // lanes
  int shape = kNoVxmShape;  // of kVxmShapes
};

struct VxmPass {
  int32_t threshold = 0;  // without the register
  uint8_t accumulator = 0;
  bool loads = false;     // `first` makes ADD, MAX and MIN load
  bool drives = false;
};

struct VxmBatch {
  uint32_t control = 0;
  uint32_t first_pass = 0, passes = 0;
  uint64_t first_place = 0;  // for each pass: x, y, z, out
  uint32_t chain = 0;
};

// A tile vector is weight `index` of the bytes of a vector.
struct TileRow {
  MxmLoadFormat format = MxmLoadFormat::Int8;
  MxmLoadOrientation orientation = MxmLoadOrientation::Output;
  uint8_t index = 0;
  friend bool operator==(const TileRow&, const TileRow&) = default;
};

struct MacStep {
  Place x = 0;
  Place words = 0;      // where the sum goes, if as words,
  uint32_t planes = 0;  // else the first of four in Program::mac_planes, zero where nobody reads
  uint16_t accumulator = 0;
  bool clears = false, emits = false;
};

struct MacRun {  // activations that meet one tile
  // The tile: L vectors of L weights, `stride` bytes apart.
  const int8_t* weights = nullptr;
  uint32_t stride = 0;
  bool input_orientation = false;
  bool unpacks = false;     // first fill `weights` from the rows below
  bool whole_rows = false;  // unpacking only brings them together
  uint64_t first_row = 0;   // into Program::row_places
  uint64_t first_form = 0;  // into Program::tile_rows, unless whole_rows
  uint32_t mxm = 0;
  uint32_t first_step = 0, steps = 0;
};

struct SxmStep {
  SxmOp op{};
  int width = 1;
  int32_t amount = 0;
  int segment = 0;
  Place from[4] = {0, 0, 0, 0}, to[4] = {0, 0, 0, 0}, index = 0;
  const uint8_t* rows = nullptr;  // TRANSPOSE_OUT: the buffer
};

// What the blocks of a product have in common: the codes that meet its tiles, and their scales. They
// are gathered once, into `buffer`.
struct ProductInput {
  uint32_t columns = 0, windows = 0, tiles = 0;  // tiles of all windows
  uint64_t first_place = 0;   // product_places: codes [tile][column], scales [window][column][4]
  uint32_t first_count = 0;   // product_counts: tiles of each window
  bool has_scales = false;
  int32_t offset = 0;         // of the packed weights
  uint32_t slot = 0;
  // Gathered:
  bool by_column = false;          // the form of the codes
  int8_t* codes = nullptr;         // [tile][group of 4 lanes][column][4], or [tile][column][lane]
  int32_t* corrections = nullptr;  // [window][column]: - offset * sum of the codes
  float* scales = nullptr;         // [window][column][lane]
  float* first_lanes = nullptr;    // [window][column]: lane 0 of the scales
  bool uniform = false;            // all lanes of each scale are equal
};

struct ProductColumn {  // a token
  Place initial[4] = {0, 0, 0, 0};  // fp32 that the terms are added to, if not zero
  Place out[4] = {0, 0, 0, 0};
  uint8_t accumulator = 0;
  bool loads = false;  // the first term is not added to anything
};

// A block of outputs of a product with weights: for each column and window, in ascending order,
//   sum = exact product of the window's tiles and codes
//   accumulator += fp32(sum) * weight scale * scale of the codes
struct Product {
  uint32_t input = 0, chain = 0;
  uint32_t first_column = 0;         // product_columns
  const uint8_t* tiles = nullptr;    // a stretch of emulator/packed_weights.h
  const uint8_t* weight_scales = nullptr;
  MxmLoadFormat format = MxmLoadFormat::Int8;
};

enum class OperationKind : uint8_t {
  Copy, Read, Write, WriteLane, Gather, Receive, Vxm, Mac, Sxm, ProductInput, Product,
};

struct Operation {
  OperationKind kind{};
  uint32_t count = 1;  // Copy, Read, Write, Product: neighbours in their list
  uint32_t first = 0;  // index into the list of the kind
};

struct RecordedDrive {
  uint64_t cycle = 0;
  uint16_t position = 0;
  Direction direction{};
  uint8_t stream = 0;
  Place from = 0;
};

struct Program {
  uint64_t cycles = 0;
  int lanes = 0;
  PagedVector<Operation> operations;
  PagedVector<CopyStep> copies;
  PagedVector<MemoryStep> memory_steps;
  PagedVector<SegmentStep> segment_steps;
  PagedVector<VxmControl> vxm_controls;
  PagedVector<VxmPass> vxm_passes;
  PagedVector<VxmBatch> vxm_batches;
  PagedVector<Place> vxm_places;
  PagedVector<MacRun> mac_runs;
  PagedVector<MacStep> mac_steps;
  PagedVector<Place> mac_planes;
  PagedVector<Place> row_places;  // of the vectors that tiles are unpacked from
  PagedVector<TileRow> tile_rows;
  PagedVector<SxmStep> sxm_steps;
  PagedVector<ProductInput> product_inputs;
  PagedVector<Place> product_places;
  PagedVector<uint16_t> product_counts;
  PagedVector<Product> products;
  PagedVector<ProductColumn> product_columns;
  LatePlaces late_places;
  PagedVector<RecordedDrive> drives;  // only if recorded

  // Working memory. Places point into it, so it never moves.
  struct Buffer {
    std::unique_ptr<uint8_t[]> bytes;
    uint8_t* data = nullptr;  // aligned to 64
    size_t size = 0;
    void allocate(size_t size_bytes);
  };
  Buffer arena, host_input, host_output, kv_output, transpose, tiles, mxm_accumulators,
      vxm_accumulators, product_buffers,
      strip;  // the weights of 16 outputs, for kernels that widen them
  uint64_t host_sent = 0, kv_sent = 0;  // vectors
  // Words of MEM that a launch may write: the first, counted through all slices, and the one after the
  // last.
  std::vector<std::pair<uint64_t, uint64_t>> written_words;
  // Whether packed weights read such words, as of so many packed stretches.
  bool changes_weights = false;
  size_t stretches_seen = 0;
  size_t vector_stride = 0;  // bytes between vectors of the arena
};

struct LiftOptions {
  bool record_drives = false;  // keep every driven vector, for drive_events
  bool fuse = true;  // products with weights become one operation a block; not if drives are recorded
};

// Memories that a program points into.
struct LiftMemory {
  std::vector<uint8_t*> slices;
  std::span<const uint8_t> mem;  // all of them, one after the other
  std::byte* kv = nullptr;
  PackedWeights* packed = nullptr;  // null: nothing is fused
};

Result<std::unique_ptr<Program>> lift(const Roll& roll, const Entry& entry,
                                      const LiftMemory& memory, const LiftOptions& options);

// How many operations of each sort a program has, a line each.
std::string describe_program(const Program& program);

}  // namespace pianola
