#include "scheduler/timetable.h"

namespace pianola {
namespace {

int64_t depth_bytes(int vectors, const Target& target) {
  return int64_t{vectors} * target.lanes;
}

}  // namespace

Timetable::Timetable(const Target& target)
    : streams(target.positions(), target.streams),
      slices(target.slices()),
      chains(target.vxm_chains),
      sxm(target.sxm_positions.size()),
      tape(target.tape_bytes_per_cycle, depth_bytes(target.tape_fifo_vectors, target)),
      kv_in(target.kv_bytes_per_cycle, depth_bytes(target.kv_fifo_vectors, target)),
      kv_out(target.kv_bytes_per_cycle, depth_bytes(target.kv_fifo_vectors, target)),
      host_out(target.host_bytes_per_cycle, depth_bytes(target.host_fifo_vectors, target)) {}

}  // namespace pianola
