#include "emulator/batch_steps.h"

#include <algorithm>
#include <limits>

namespace pianola {
namespace {

constexpr int kVxmBatchLanes = 512;  // lanes of one batch, at least one pass
constexpr int64_t kMostStride = int64_t{1} << 31;  // of a tile that is used where it lies
constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();

void add_operation(Program& program, PagedVector<uint64_t>& times, OperationKind kind, size_t first,
                   uint64_t time) {
  program.operations.push_back({kind, 1, static_cast<uint32_t>(first)});
  times.push_back(time);
}

void add_product(Program& program, PagedVector<uint64_t>& times, uint32_t number, uint64_t time,
                 std::vector<bool>& gathered) {
  const uint32_t input = program.products[number].input;
  gathered.resize(program.product_inputs.size(), false);
  if (!gathered[input]) {
    gathered[input] = true;
    add_operation(program, times, OperationKind::ProductInput, input, time);
  }
  add_operation(program, times, OperationKind::Product, number, time);
}

// Int8 tiles are used where they lie; others are unpacked, once for runs that follow each other.
void place_tile(Program& program, const LiftedTile& tile, bool is_new, MacRun& run) {
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
  run.unpacks = is_new || tile.whole_rows;
  run.first_row = tile.first_row;
  if (!run.unpacks || !tile.regular) return;
  const int per_byte = 8 / weight_bits(tile.source.format);
  run.first_row = program.tile_rows.size();
  for (int r = 0; r < lanes; ++r) {
    const uint8_t* from = tile.source.row(static_cast<uint32_t>(r / per_byte));
    program.tile_rows.push_back({reinterpret_cast<uintptr_t>(from), tile.source.format,
                                 tile.source.orientation, static_cast<uint8_t>(r % per_byte)});
  }
}

void add_places(const PassPlaces& places, const VxmControl& control, PagedVector<Place>& to) {
  to.insert(to.end(), places.x.begin(), places.x.begin() + control.x_count);
  to.insert(to.end(), places.y.begin(), places.y.begin() + control.y_count);
  to.insert(to.end(), places.z.begin(), places.z.begin() + control.z_count);
  to.insert(to.end(), places.out.begin(), places.out.begin() + control.out_count);
}

MacStep step_of(const LiftedMac& mac) {
  MacStep step;
  step.x = mac.x;
  step.accumulator = mac.accumulator;
  step.clears = mac.clears;
  step.emits = mac.emits();
  for (Place b = 0; b < 4 && step.emits; ++b) step.out[b] = mac.out + b;
  return step;
}

}  // namespace

// Passes of a chain are executed in the order in which they enter the accumulator stage. A batch
// is executed at the last issue so far, which is never after a drive of a pass still to come:
// passes before it entered that stage, so issued, earlier. A fused product takes the place of its
// last pass.
void batch_passes(LiftedSteps& steps, Program& program, PagedVector<uint64_t>& times) {
  const size_t most = std::max(1, kVxmBatchLanes / program.lanes);
  const auto ends_product = [&](const PagedVector<LiftedPass>& passes, size_t i) {
    return passes[i].product != kNone && steps.last_passes[passes[i].product] == i;
  };
  std::vector<bool> gathered;  // by product input
  for (size_t c = 0; c < steps.chains.size(); ++c) {
    LiftedChain& chain = steps.chains[c];
    PagedVector<LiftedPass>& passes = chain.passes;
    uint64_t time = 0;
    for (size_t i = 0; i < passes.size();) {
      if (passes[i].product != kNone) {
        if (ends_product(passes, i)) {
          time = std::max(time, passes[i].issue);
          add_product(program, times, passes[i].product, time, gathered);
        }
        ++i;
        continue;
      }
      VxmBatch batch;
      batch.control = passes[i].control;
      batch.chain = static_cast<uint32_t>(c);
      batch.first_pass = static_cast<uint32_t>(program.vxm_passes.size());
      batch.first_place = program.vxm_places.size();
      const VxmControl& control = program.vxm_controls[batch.control];
      uint64_t first_drive = kNever;
      for (; i < passes.size() && batch.passes < most; ++i) {
        const LiftedPass& pass = passes[i];
        if (ends_product(passes, i)) break;
        if (pass.product != kNone) continue;
        if (pass.control != batch.control) break;
        const uint64_t latest = std::max(time, pass.issue);
        if (latest > first_drive) break;
        time = latest;
        ++batch.passes;
        if (pass.pass.drives) {
          first_drive = std::min(first_drive, pass.issue + steps.delays[pass.control].drive);
        }
        program.vxm_passes.push_back(pass.pass);
        add_places(chain.places_of(pass, control), control, program.vxm_places);
      }
      add_operation(program, times, OperationKind::Vxm, program.vxm_batches.size(), time);
      program.vxm_batches.push_back(batch);
    }
    chain = {};
  }
}

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
      place_tile(program, tile, unpacked != number, run);
      run.first_step = static_cast<uint32_t>(program.mac_steps.size());
      unpacked = number;
      uint64_t first_drive = kNever, time = 0;
      for (; i < steps.size() && steps[i].tile == number && !steps[i].fused; ++i, ++run.steps) {
        if (steps[i].issue > first_drive) break;
        time = steps[i].issue;
        if (steps[i].emits()) first_drive = std::min(first_drive, time + lifted.mac_delay);
        program.mac_steps.push_back(step_of(steps[i]));
      }
      add_operation(program, times, OperationKind::Mac, program.mac_runs.size(), time);
      program.mac_runs.push_back(run);
    }
    mxm = {};
  }
}

}  // namespace pianola
