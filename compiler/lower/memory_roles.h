// Which homes of a target serve for what. Each hemisphere that has matrix units is a *side*; its homes are
// counted outward from the VXM. The first four are state homes (lowering.h). The others hold resident
// tiles, in groups of as many homes as the load streams of an MXM come from; a home that is left over next
// to the matrix units holds their activation codes.
#pragma once

#include <vector>

#include "isa/target.h"

namespace pianola {

inline constexpr int kStateHomes = 4;

struct TileGroup {
  std::vector<int> homes;
  // Shared with other things: used where the others are full, and only in part.
  bool spare = false;
};

struct Side {
  std::vector<int> homes;  // outward from the VXM
  std::vector<int> mxms;
  std::vector<TileGroup> groups;
  int codes_home = -1;     // -1: a state home
};

// Homes that the load streams of an MXM come from.
int homes_per_tile(const Target& target);
// The sides that have matrix units, east first.
std::vector<Side> sides_of(const Target& target);
// Whether a matrix unit stands between homes `first` .. `last` of a side.
bool is_divided(const Target& target, const Side& side, int first, int last);

}  // namespace pianola
