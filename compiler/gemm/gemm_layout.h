// An int8 product C[m x n] = A[m x k] B[k x n] with exact int32 sums: where its operands and results lie in MEM, and
// which matrix unit makes which part of C.
//
// Operands are vectors of `lanes` consecutive k: rows of A and columns of B. Either can be *stationary* (a tile of
// `lanes` such vectors is installed in a matrix unit, a tile for every `lanes` of k) or *stream* by. Whole blocks of
// `lanes` rows of A are stationary and all columns of B stream. For the rows that are left over a tile would be
// installed that is mostly empty, so there the roles are mixed: B's tiles are stationary, and those rows stream.
//
// Each side (hemisphere) makes half of the columns of C from what lies in its own slices: all of A's whole blocks,
// its own columns of B, once, and the rows left over for each of its matrix units.
//   A   slice i holds rows i, i + P, ... of each block, P = load streams: P rows are read at once.
//   B   columns are spread over the P slices. A matrix unit streams what lies in its own part of them; a tile takes
//       lanes / P columns of each.
// docs/gemm.md has why, and where the cycles go.
#pragma once

#include <vector>

#include "isa/result.h"
#include "isa/target.h"

namespace pianola {

inline constexpr int kHomeSlices = 4;

struct GemmShape {
  int m = 0, k = 0, n = 0;
};

struct GemmSlice {
  int home = 0, slice = 0;
};

struct GemmSide {
  std::vector<int> mxms;
  std::vector<int> a_homes, b_homes;   // load_streams / 4: four slices each
  std::vector<GemmSlice> rest_slices;  // by unit
  std::vector<int> sums_homes;         // by unit
};

// What one matrix unit does without a pause: some stationary blocks one after the other, each with all its tiles
// along k, and for each tile the same vectors.
struct GemmPart {
  bool a_stationary = true;
  int side = 0, unit = 0;  // number of the matrix unit within the side
  // Stationary: blocks block, block + stride, ... of A's rows, or of the columns in B's slices of the side.
  int block = 0, stride = 1, windows = 1;
  // Streaming: columns first ... of a B slice of the side, or rows first ... of those left over.
  int slice = 0, first = 0, vectors = 0;
  int tile_cycles = 0;  // of the units of a side, which take turns in loading, the same at the same time
  int bank = 0;         // of the sums
};

struct GemmLayout {
  GemmShape shape;
  int lanes = 0, load_streams = 0;
  int load_steps = 0;      // reads of every slice for a tile
  int tiles = 0;           // along k
  int a_blocks = 0;        // of A's rows that are stationary; the last one may reach beyond m
  int rest = 0;            // rows of A behind them, which stream
  int column_stride = 0;   // words from one tile's columns to the next one's in a slice of B
  std::vector<GemmSide> sides;
  std::vector<GemmPart> parts;  // in the order of time

  // Columns first_column(s) .. first_column(s + 1) - 1 of B lie in slice s, counted over all sides.
  int first_column(int slice) const {
    return static_cast<int>(int64_t{shape.n} * slice / (static_cast<int64_t>(sides.size()) * load_streams));
  }
  int columns(int side, int slice) const {
    return first_column(side * load_streams + slice + 1) - first_column(side * load_streams + slice);
  }
};

// Cycles in which the busiest matrix unit computes.
int64_t mac_cycles(const GemmLayout& layout);

// K is at most 256 tiles. Errors: InvalidArgument (the shape), Unsupported (the target is built otherwise), OutOfRange (does not fit).
Result<GemmLayout> lay_out_gemm(const GemmShape& shape, const Target& target);

}  // namespace pianola
