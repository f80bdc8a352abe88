// Where resident weights lie. Products that read the same codes one after the other (queries, keys and
// values; gate and up) are one *resident product*: its blocks of `lanes` outputs are dealt to the matrix
// units in turn, and what is left over is dealt by windows, so that all units have the same work. Both the
// tape that brings the weights and the lowering that reads them go by this.
#pragma once

#include <vector>

#include "compiler/passes/quantized_graph.h"
#include "isa/target.h"

namespace pianola {

// Larger products are cut into parts of so many blocks, each a product of its own.
inline constexpr size_t kResidentBlocksMax = 96;

struct ResidentBlock {
  QMatrix matrix = 0;
  int block = 0;  // of `lanes` rows of the matrix
};

struct ResidentProduct {
  std::vector<int> nodes;             // of the graph, one per matrix
  std::vector<ResidentBlock> blocks;  // in the order in which they are computed
  // Blocks that what comes next takes together end here: heads of one KV group, or an activation group.
  std::vector<int> group_ends;
  int tiles = 0;             // of a block
  int tiles_per_window = 0;  // the last window may be shorter
  int windows = 0;
  int bits = 8;
};

// Windows of blocks that lie one after the other: `tiles` tiles each.
struct ResidentUnit {
  int block = 0;  // index into ResidentProduct::blocks
  int window = 0;
};

// Where a window of a block is: which of the matrix units, and after how many tiles of the product there.
struct ResidentPlace {
  int unit = 0, tile = 0;
};

std::vector<ResidentProduct> resident_products(const QuantizedGraph& graph, const Target& target);
// `units` matrix units.
ResidentPlace place_of(const ResidentProduct& product, const ResidentUnit& what, int units);
// Every window that a matrix unit has, in the order in which their tiles lie.
std::vector<ResidentUnit> windows_of_unit(const ResidentProduct& product, int unit, int units);
int tiles_of_window(const ResidentProduct& product, int window);
// Load steps of a tile: words of each slice that its rows come from.
int load_steps(const ResidentProduct& product, const Target& target);
// Matrix units that share a block which is left over; 1 for all others.
int units_per_block(const ResidentProduct& product, int block, int units);

}  // namespace pianola
