// What the walk over the cycles leaves behind for the units that are played in groups: passes of the
// VXM chains and multiplications of the MXMs, each with its cycles. emulator/fuse_products.h takes
// out what is a product with weights; emulator/batch_steps.h makes operations of it all.
//
// There are millions of them in a long entry, most of which go into products. So they are small: making
// memory usable takes longer than all that is done to it.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "emulator/lift.h"

namespace pianola {

constexpr uint32_t kNone = ~uint32_t{0};

// Cycles from the issue of a pass to the accumulator stage, and to its drive.
struct PassDelays {
  uint32_t key = 0, drive = 0;
};

struct LiftedPass {
  uint64_t issue = 0;
  uint64_t first_place = 0;
  uint32_t control = 0;
  uint32_t product = kNone;  // the fused product that it is part of
  VxmPass pass;
};

// Places of a pass by operand.
struct PassPlaces {
  static constexpr int kMost = 4;
  std::array<Place, kMost> x{}, y{}, z{}, out{};
};

struct LiftedChain {
  PagedVector<LiftedPass> passes;
  PagedVector<Place> places;
  size_t instruction = ~size_t{0};
  uint32_t control = 0;

  // Four vectors whose numbers follow each other take one place.
  void add_places(std::span<const Place> operand) {
    bool neighbours = operand.size() == PassPlaces::kMost && is_vector(operand[0]);
    for (size_t b = 1; b < operand.size(); ++b) {
      neighbours = neighbours && operand[b] == operand[0] + b;
    }
    if (neighbours) {
      places.push_back(operand[0] | kNeighboursBit);
    } else {
      places.insert(places.end(), operand.begin(), operand.end());
    }
  }

  // The results of a pass that does not drive have no places.
  PassPlaces places_of(const LiftedPass& pass, const VxmControl& control) const {
    PassPlaces result;
    const Place* from = places.data() + pass.first_place;
    const auto take = [&from](int count, std::array<Place, PassPlaces::kMost>& to) {
      if (count == PassPlaces::kMost && (*from & kNeighboursBit) != 0 && is_vector(*from)) {
        const Place first = *from++ & ~kNeighboursBit;
        for (Place b = 0; b < to.size(); ++b) to[b] = first + b;
      } else {
        std::copy_n(from, count, to.begin());
        from += count;
      }
    };
    take(control.x_count, result.x);
    take(control.y_count, result.y);
    take(control.z_count, result.z);
    if (pass.pass.drives) take(control.out_count, result.out);
    return result;
  }

 private:
  static constexpr Place kNeighboursBit = Place{1} << 61;
};

struct LiftedTile {
  TileSource source;        // if regular
  bool regular = false;     // rows at fixed distances, of one format and orientation
  bool constant = false;    // and in memory that this entry does not change
  bool input_orientation = false;
  bool whole_rows = false;  // a vector of bytes each, in the orientation of the tile
  uint64_t first_row = 0;   // if not regular: into LiftedMxm::rows
};

struct LiftedRow {
  Place from = 0;
  TileRow form;
};

struct LiftedMac {
  uint64_t issue = 0;
  Place x = 0;
  Place out = 0;  // the first of four vectors, if it emits
  uint32_t tile = 0;
  uint16_t accumulator = 0;
  bool clears = false;
  bool fused = false;
  bool emits() const { return out != 0; }
};

struct LiftedMxm {
  PagedVector<LiftedMac> steps;
  PagedVector<LiftedTile> tiles;
  PagedVector<LiftedRow> rows;
  std::vector<LiftedRow> shadow;
  std::vector<uint8_t> loaded;
  int rows_loaded = 0;
};

struct LiftedSteps {
  std::vector<LiftedChain> chains;
  std::vector<LiftedMxm> mxms;
  std::vector<PassDelays> delays;  // by control
  std::vector<uint32_t> last_passes;  // of the fused products, in their chains
  uint32_t mac_delay = 0;          // cycles from the issue of a multiplication to its drive
  PagedVector<uint8_t> uses;       // reads of each vector, counted up to 255
};

}  // namespace pianola
