#include "scheduler/timetable.h"

namespace pianola {

Timetable::Timetable(const Target& target)
    : streams(target.positions(), target.streams),
      slices(target.slices()),
      chains(target.vxm_chains),
      sxm(target.sxm_positions.size()) {}

}  // namespace pianola
