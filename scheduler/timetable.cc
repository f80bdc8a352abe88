#include "scheduler/timetable.h"

namespace pianola {

Timetable::Timetable(const Target& target)
    : streams(target.positions(), target.streams),
      slices(target.slices()),
      chains(target.vxm_chains),
      sxm(target.sxm_positions.size()) {}

void Timetable::close(int64_t cycle) {
  streams.close(cycle);
  for (Slice& slice : slices) {
    for (CellRow* row : {&slice.read_queue, &slice.write_queue}) row->close(cycle);
    for (Bank& bank : slice.banks) {
      bank.reads.close(cycle);
      bank.writes.close(cycle);
    }
  }
  for (Chain& chain : chains) {
    for (CellRow* row : {&chain.issue, &chain.middle, &chain.back}) row->close(cycle);
  }
  for (CellRow& row : sxm) row.close(cycle);
}

}  // namespace pianola
