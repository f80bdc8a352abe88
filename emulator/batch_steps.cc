#include "emulator/batch_steps.h"

#include <algorithm>
#include <limits>

namespace pianola {
namespace {

constexpr int64_t kMostStride = int64_t{1} << 31;  // of a tile that is used where it lies
constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();

void add_operation(Program& program, PagedVector<uint64_t>& times, OperationKind kind, size_t first,
                   uint64_t time) {
  program.operations.push_back({kind, 1, static_cast<uint32_t>(first)});
  times.push_back(time);
}

// Where the rows of a tile are unpacked from, noted in the program.
void add_rows(Program& program, const LiftedMxm& mxm, const LiftedTile& tile, MacRun& run) {
  const int lanes = program.lanes;
  run.first_row = program.row_places.size();
  run.first_form = program.tile_rows.size();
  const int per_byte = tile.regular ? 8 / weight_bits(tile.source.format) : 1;
  for (int r = 0; r < lanes; ++r) {
    LiftedRow row;
    if (tile.regular) {
      row = {reinterpret_cast<uintptr_t>(tile.source.row(static_cast<uint32_t>(r / per_byte))),
             {tile.source.format, tile.source.orientation, static_cast<uint8_t>(r % per_byte)}};
    } else {
      row = mxm.rows[tile.first_row + static_cast<uint64_t>(r)];
    }
    program.row_places.push_back(row.from);
    if (!tile.whole_rows) program.tile_rows.push_back(row.form);
  }
}

// Int8 tiles are used where they lie; others are unpacked, once for runs that follow each other. `before`: the run
// before this one of the same tile, or null.
void place_tile(Program& program, const LiftedMxm& mxm, const LiftedTile& tile,
                const MacRun* before, MacRun& run) {
  const int lanes = program.lanes;
  if (tile.regular && tile.source.spread == 1 && tile.source.stride >= 0 &&
      tile.source.stride < kMostStride && tile.source.format == MxmLoadFormat::Int8) {
    run.weights = reinterpret_cast<const int8_t*>(tile.source.rows);
    run.stride = static_cast<uint32_t>(tile.source.stride);
    return;
  }
  run.weights = reinterpret_cast<const int8_t*>(program.tiles.data) +
                static_cast<size_t>(run.mxm) * lanes * lanes;
  run.stride = static_cast<uint32_t>(lanes);
  // Rows that are looked at where they lie must be there for every run.
  run.whole_rows = tile.whole_rows;
  run.unpacks = before == nullptr || tile.whole_rows;
  if (before != nullptr) {
    run.first_row = before->first_row;
    run.first_form = before->first_form;
  } else {
    add_rows(program, mxm, tile, run);
  }
}

MacStep step_of(Program& program, const LiftedMac& mac) {
  MacStep step;
  step.x = mac.x;
  step.accumulator = mac.accumulator;
  step.clears = mac.clears;
  step.emits = mac.emits();
  step.planes = static_cast<uint32_t>(program.mac_planes.size());
  for (Place b = 0; b < 4 && step.emits; ++b) program.mac_planes.push_back(mac.out + b);
  return step;
}

}  // namespace

void batch_multiplications(LiftedSteps& lifted, Program& program, PagedVector<uint64_t>& times) {
  for (size_t m = 0; m < lifted.mxms.size(); ++m) {
    LiftedMxm& mxm = lifted.mxms[m];
    const PagedVector<LiftedMac>& steps = mxm.steps;
    uint32_t unpacked = kNone;
    for (size_t i = 0; i < steps.size();) {
      if (steps[i].fused) {
        ++i;
        continue;
      }
      const uint32_t number = steps[i].tile;
      const LiftedTile& tile = mxm.tiles[number];
      MacRun run;
      run.mxm = static_cast<uint32_t>(m);
      run.input_orientation = tile.input_orientation;
      const MacRun* before = unpacked == number ? &program.mac_runs.back() : nullptr;
      place_tile(program, mxm, tile, before, run);
      run.first_step = static_cast<uint32_t>(program.mac_steps.size());
      unpacked = number;
      uint64_t first_drive = kNever, time = 0;
      for (; i < steps.size() && steps[i].tile == number && !steps[i].fused; ++i, ++run.steps) {
        if (steps[i].issue > first_drive) break;
        time = steps[i].issue;
        if (steps[i].emits()) first_drive = std::min(first_drive, time + lifted.mac_delay);
        program.mac_steps.push_back(step_of(program, steps[i]));
      }
      add_operation(program, times, OperationKind::Mac, program.mac_runs.size(), time);
      program.mac_runs.push_back(run);
    }
    mxm = {};
  }
}

}  // namespace pianola
