#include "emulator/lay_out_program.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace pianola {
namespace {

bool is_vector(Place place) { return (place & kVectorBit) != 0; }
uint64_t number_of(Place place) { return place & ~kVectorBit; }

// Calls use(place) for every operand of an operation and define(place) for every result; results
// follow operands.
template <typename Use, typename Define>
void visit_places(Program& p, const Operation& operation, Use use, Define define) {
  switch (operation.kind) {
    case OperationKind::Copy: {
      CopyStep& step = p.copies[operation.first];
      use(step.from);
      define(step.to);
      return;
    }
    case OperationKind::Read: return define(p.memory_steps[operation.first].vector);
    case OperationKind::Write:
    case OperationKind::WriteLane: return use(p.memory_steps[operation.first].vector);
    case OperationKind::Gather: {
      MemoryStep& step = p.memory_steps[operation.first];
      use(step.index_low);
      use(step.index_high);
      return define(step.vector);
    }
    case OperationKind::Receive: return define(p.segment_steps[operation.first].to);
    case OperationKind::Vxm: {
      const VxmBatch& batch = p.vxm_batches[operation.first];
      const VxmControl& control = p.vxm_controls[batch.control];
      const int operands = control.places_per_pass - control.out_count;
      Place* places = p.vxm_places.data() + batch.first_place;
      for (uint32_t i = 0; i < batch.passes; ++i) {
        for (int k = 0; k < operands; ++k) use(places[i * control.places_per_pass + k]);
      }
      for (uint32_t i = 0; i < batch.passes; ++i) {
        for (int k = operands; k < control.places_per_pass; ++k) {
          define(places[i * control.places_per_pass + k]);
        }
      }
      return;
    }
    case OperationKind::Mac: {
      const MacRun& run = p.mac_runs[operation.first];
      if (run.unpacks) {
        for (int r = 0; r < p.lanes; ++r) use(p.tile_rows[run.first_row + r].from);
      }
      for (uint32_t i = 0; i < run.steps; ++i) use(p.mac_steps[run.first_step + i].x);
      for (uint32_t i = 0; i < run.steps; ++i) {
        for (Place& out : p.mac_steps[run.first_step + i].out) define(out);
      }
      return;
    }
    case OperationKind::Sxm: {
      SxmStep& step = p.sxm_steps[operation.first];
      for (int b = 0; b < step.width; ++b) use(step.from[b]);
      use(step.index);
      for (int b = 0; b < step.width; ++b) define(step.to[b]);
      return;
    }
  }
}

bool changes_state(const Program& p, const Operation& operation) {
  switch (operation.kind) {
    case OperationKind::Copy: return !is_vector(p.copies[operation.first].to);
    case OperationKind::Write:
    case OperationKind::WriteLane:
    case OperationKind::Mac: return true;
    case OperationKind::Vxm: {
      const VxmBatch& batch = p.vxm_batches[operation.first];
      const VxmAccOp op = p.vxm_controls[batch.control].instruction.acc_op;
      return op != VxmAccOp::None && op != VxmAccOp::AddK2 && op != VxmAccOp::Read;
    }
    // A RECV checks that its parameter stays in the region; dropping it drops nothing else.
    case OperationKind::Read:
    case OperationKind::Gather:
    case OperationKind::Receive:
    case OperationKind::Sxm: return false;
  }
  return true;
}

void sort_operations(Program& p, const std::vector<uint64_t>& times) {
  std::vector<uint32_t> order(times.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](uint32_t a, uint32_t b) { return times[a] < times[b]; });
  std::vector<Operation> sorted(order.size());
  for (size_t i = 0; i < order.size(); ++i) sorted[i] = p.operations[order[i]];
  p.operations = std::move(sorted);
}

void drop_dead(Program& p, uint64_t vectors) {
  std::vector<uint8_t> live(vectors, 0);
  std::vector<Operation> kept;
  for (size_t i = p.operations.size(); i-- > 0;) {
    const Operation operation = p.operations[i];
    bool needed = changes_state(p, operation);
    visit_places(
        p, operation, [](Place&) {},
        [&](Place& place) {
          if (!is_vector(place)) return;
          if (live[number_of(place)] != 0) {
            needed = true;
          } else {
            place = 0;
          }
        });
    if (!needed) continue;
    visit_places(
        p, operation,
        [&](Place& place) {
          if (is_vector(place)) live[number_of(place)] = 1;
        },
        [](Place&) {});
    kept.push_back(operation);
  }
  std::reverse(kept.begin(), kept.end());
  p.operations = std::move(kept);
}

// Slots of the arena by vector number. Freed slots are taken again, last freed first.
size_t allocate_slots(Program& p, uint64_t vectors, bool keep_all, std::vector<uint32_t>& slots) {
  constexpr uint32_t kNever = std::numeric_limits<uint32_t>::max();
  std::vector<uint32_t> last_use(vectors, kNever);
  if (!keep_all) {
    for (size_t i = 0; i < p.operations.size(); ++i) {
      visit_places(
          p, p.operations[i],
          [&](Place& place) {
            if (is_vector(place)) last_use[number_of(place)] = static_cast<uint32_t>(i);
          },
          [](Place&) {});
    }
  }
  slots.assign(vectors, 0);
  std::vector<uint32_t> free;
  size_t used = 0;
  for (size_t i = 0; i < p.operations.size(); ++i) {
    // Results never take the place of an operand of the same operation.
    visit_places(
        p, p.operations[i], [](Place&) {},
        [&](Place& place) {
          if (!is_vector(place)) return;
          if (free.empty()) {
            slots[number_of(place)] = static_cast<uint32_t>(used++);
          } else {
            slots[number_of(place)] = free.back();
            free.pop_back();
          }
        });
    visit_places(
        p, p.operations[i],
        [&](Place& place) {
          if (!is_vector(place) || last_use[number_of(place)] != i) return;
          last_use[number_of(place)] = kNever;
          free.push_back(slots[number_of(place)]);
        },
        [](Place&) {});
  }
  return used;
}

void merge_neighbours(Program& p) {
  std::vector<Operation> merged;
  for (const Operation& operation : p.operations) {
    const bool mergeable = operation.kind == OperationKind::Copy ||
                           operation.kind == OperationKind::Read ||
                           operation.kind == OperationKind::Write;
    if (mergeable && !merged.empty() && merged.back().kind == operation.kind &&
        merged.back().first + merged.back().count == operation.first) {
      ++merged.back().count;
    } else {
      merged.push_back(operation);
    }
  }
  p.operations = std::move(merged);
}

}  // namespace

void lay_out_program(Program& p, const std::vector<uint64_t>& times, uint64_t vectors,
                     bool keep_all) {
  sort_operations(p, times);
  if (!keep_all) drop_dead(p, vectors);
  std::vector<uint32_t> slots;
  const size_t used = allocate_slots(p, vectors, keep_all, slots);
  p.arena.allocate(used * p.vector_stride);
  const auto resolve = [&](Place& place) {
    if (!is_vector(place)) return;
    place = reinterpret_cast<uintptr_t>(p.arena.data + slots[number_of(place)] * p.vector_stride);
  };
  for (const Operation& operation : p.operations) visit_places(p, operation, resolve, resolve);
  for (RecordedDrive& drive : p.drives) resolve(drive.from);
  merge_neighbours(p);
}

}  // namespace pianola
