// What the walk over the cycles leaves behind for the units that are played in groups: passes of the
// VXM chains and multiplications of the MXMs, each with its cycles. emulator/fuse_products.h takes
// out what is a product with weights; emulator/batch_steps.h makes operations of it all.
#pragma once

#include <cstdint>
#include <vector>

#include "emulator/lift.h"

namespace pianola {

constexpr uint32_t kNone = ~uint32_t{0};

struct LiftedPass {
  uint64_t issue, key, drive;  // cycles; key: it enters the accumulator stage
  uint32_t control;
  uint64_t first_place;
  VxmPass pass;
  uint32_t product = kNone;  // the fused product that it is part of
  bool ends_product = false;
};

struct LiftedChain {
  std::vector<LiftedPass> passes;
  std::vector<Place> places;
  size_t instruction = ~size_t{0};
  uint32_t control = 0;
};

struct LiftedTile {
  TileSource source;        // if regular
  bool regular = false;     // rows at fixed distances, of one format and orientation
  bool constant = false;    // and in memory that this entry does not change
  bool input_orientation = false;
  bool whole_rows = false;  // a vector of bytes each, in the orientation of the tile
  uint64_t first_row = 0;   // else: into Program::tile_rows
};

struct LiftedMac {
  uint64_t issue, drive;
  uint32_t tile;
  MacStep step;
  bool fused = false;
};

struct LiftedMxm {
  std::vector<LiftedMac> steps;
  std::vector<LiftedTile> tiles;
  std::vector<TileRow> shadow;
  std::vector<uint8_t> loaded;
  int rows_loaded = 0;
};

struct LiftedSteps {
  std::vector<LiftedChain> chains;
  std::vector<LiftedMxm> mxms;
  std::vector<uint8_t> uses;  // reads of each vector, counted up to 255
};

}  // namespace pianola
