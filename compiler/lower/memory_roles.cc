#include "compiler/lower/memory_roles.h"

#include <algorithm>
#include <cstdlib>

#include "scheduler/vector_program.h"

namespace pianola {
namespace {

// Groups of homes from `first` on, up to the next matrix unit; returns the home after the last one.
int cut_groups(const Target& target, Side& side, int first) {
  const int count = static_cast<int>(side.homes.size()), size = homes_per_tile(target);
  int end = first + 1;
  while (end < count && !is_divided(target, side, first, end)) ++end;
  for (; first + size <= end; first += size) {
    side.groups.push_back({{side.homes.begin() + first, side.homes.begin() + first + size}, false});
  }
  if (first < end && side.codes_home < 0) side.codes_home = side.homes[end - 1];
  return end;
}

Side side_of(const Target& target, bool west) {
  Side side;
  for (size_t i = 0; i < target.mxm_positions.size(); ++i) {
    if ((target.mxm_positions[i] < target.vxm_position) == west) {
      side.mxms.push_back(static_cast<int>(i));
    }
  }
  const std::vector<std::array<int, 4>> homes = homes_of(target);
  for (size_t i = 0; i < homes.size(); ++i) {
    if ((target.slice_position(homes[i][0]) < target.vxm_position) == west) {
      side.homes.push_back(static_cast<int>(i));
    }
  }
  // Homes come west to east.
  if (west) std::reverse(side.homes.begin(), side.homes.end());
  for (int home = kStateHomes; home < static_cast<int>(side.homes.size());) {
    home = cut_groups(target, side, home);
  }
  return side;
}

}  // namespace

int homes_per_tile(const Target& target) { return std::max(1, target.mxm_load_streams / 4); }

bool is_divided(const Target& target, const Side& side, int first, int last) {
  const std::vector<std::array<int, 4>> homes = homes_of(target);
  int low = target.positions(), high = -1;
  for (const int home : {side.homes[first], side.homes[last]}) {
    for (const int slice : homes[home]) {
      low = std::min(low, target.slice_position(slice));
      high = std::max(high, target.slice_position(slice));
    }
  }
  return std::any_of(target.mxm_positions.begin(), target.mxm_positions.end(),
                     [&](int position) { return low < position && position < high; });
}

std::vector<Side> sides_of(const Target& target) {
  std::vector<Side> sides;
  for (const bool west : {false, true}) {
    Side side = side_of(target, west);
    // The state is on the first side; the state homes of others hold little.
    const int size = homes_per_tile(target);
    if (!sides.empty() && size == kStateHomes && side.homes.size() >= kStateHomes) {
      side.groups.push_back({{side.homes.begin(), side.homes.begin() + size}, true});
    }
    if (!side.mxms.empty()) sides.push_back(std::move(side));
  }
  return sides;
}

}  // namespace pianola
