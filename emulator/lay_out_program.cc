#include "emulator/lay_out_program.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "emulator/find_words.h"
#include "emulator/keep_in_memory.h"
#include "emulator/visit_places.h"
#include "emulator/word_vectors.h"

namespace pianola {
namespace {

bool changes_state(const Program& p, const Operation& operation) {
  switch (operation.kind) {
    case OperationKind::Copy: return !is_vector(p.copies[operation.first].to);
    case OperationKind::Write:
    case OperationKind::WriteLane:
    case OperationKind::Mac:
    case OperationKind::ProductInput:
    case OperationKind::Product: return true;
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

void sort_operations(Program& p, const PagedVector<uint64_t>& times) {
  PagedVector<uint32_t> order(times.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](uint32_t a, uint32_t b) { return times[a] < times[b]; });
  PagedVector<Operation> sorted(order.size());
  for (size_t i = 0; i < order.size(); ++i) sorted[i] = p.operations[order[i]];
  p.operations = std::move(sorted);
}

void drop_dead(Program& p, uint64_t vectors) {
  PagedVector<uint8_t> live(vectors, 0);
  PagedVector<Operation> kept;
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
    uint64_t seen = LatePlaces::kNothingSeen;
    visit_places(
        p, operation,
        [&](Place& place) {
          p.late_places.visit(place, seen, [&](Place one) {
            if (is_vector(one)) live[number_of(one)] = 1;
          });
        },
        [](Place&) {});
    kept.push_back(operation);
  }
  std::reverse(kept.begin(), kept.end());
  p.operations = std::move(kept);
}

// Slots of the arena by vector number, but for those that have a home. Freed slots are taken again, last
// freed first. Words take four slots that follow each other, by the number of their first vector.
class SlotAllocator {
 public:
  SlotAllocator(Program& program, const PagedVector<Place>& homes, const PagedVector<uint8_t>& words)
      : p_(program), homes_(homes), words_(words), slots_(homes.size(), 0),
        last_use_(homes.size(), kNever) {}

  void run(bool keep_all) {
    for (uint32_t i = 0; !keep_all && i < p_.operations.size(); ++i) {
      visit_uses(i, [&](uint64_t vector) { last_use_[vector] = i; });
    }
    for (uint32_t i = 0; i < p_.operations.size(); ++i) {
      // Results never take the place of an operand of the same operation.
      visit_places(
          p_, p_.operations[i], [](Place&) {},
          [&](Place& place) {
            if (is_vector(place) && has_slot(number_of(place))) take(number_of(place));
          });
      visit_uses(i, [&](uint64_t vector) {
        if (last_use_[vector] != i) return;
        last_use_[vector] = kNever;
        if (has_slot(vector)) free_[words_[vector]].push_back(slots_[vector]);
      });
    }
  }
  size_t used() const { return used_; }
  size_t slot_of(uint64_t vector) const { return slots_[vector]; }

 private:
  static constexpr uint32_t kNever = std::numeric_limits<uint32_t>::max();

  template <typename Visit>
  void visit_uses(uint32_t number, Visit visit) {
    uint64_t seen = LatePlaces::kNothingSeen;
    visit_places(
        p_, p_.operations[number],
        [&](Place& place) {
          p_.late_places.visit(place, seen, [&](Place one) {
            if (is_vector(one)) visit(number_of(one));
          });
        },
        [](Place&) {});
  }
  bool has_slot(uint64_t vector) const {
    return homes_[vector] == 0 && words_[vector] <= kFirstOfWords;
  }
  void take(uint64_t vector) {
    std::vector<uint32_t>& free = free_[words_[vector]];
    if (free.empty()) {
      slots_[vector] = static_cast<uint32_t>(used_);
      used_ += words_[vector] == kFirstOfWords ? 4 : 1;
    } else {
      slots_[vector] = free.back();
      free.pop_back();
    }
  }

  Program& p_;
  const PagedVector<Place>& homes_;
  const PagedVector<uint8_t>& words_;
  PagedVector<uint32_t> slots_, last_use_;
  std::vector<uint32_t> free_[2];  // of bytes, of words
  size_t used_ = 0;
};

// Buffers of gathered inputs are taken again after the last product that reads them.
void allocate_inputs(Program& p) {
  constexpr size_t kLine = 64;
  const auto padded = [](size_t size) { return (size + kLine - 1) / kLine * kLine; };
  struct Sizes {
    size_t codes, corrections, scales, first_lanes;
  };
  const auto sizes_of = [&](const ProductInput& input) -> Sizes {
    const size_t lanes = static_cast<size_t>(p.lanes);
    const size_t terms = size_t{input.windows} * input.columns;
    return {padded(size_t{input.tiles} * input.columns * lanes), padded(terms * 4),
            padded(terms * lanes * 4), padded(terms * 4)};
  };
  constexpr size_t kStrip = 16;  // outputs
  size_t slot_size = 0, strip_size = 0;
  for (const ProductInput& input : p.product_inputs) {
    const Sizes s = sizes_of(input);
    strip_size = std::max(strip_size, size_t{input.tiles} * static_cast<size_t>(p.lanes) * kStrip);
    slot_size = std::max(slot_size, s.codes + s.corrections + s.scales + s.first_lanes);
  }
  std::vector<size_t> last_use(p.product_inputs.size(), 0);
  for (size_t i = 0; i < p.operations.size(); ++i) {
    const Operation& operation = p.operations[i];
    if (operation.kind == OperationKind::Product) {
      last_use[p.products[operation.first].input] = i;
    }
  }
  std::vector<uint32_t> free;
  uint32_t used = 0;
  for (size_t i = 0; i < p.operations.size(); ++i) {
    const Operation& operation = p.operations[i];
    if (operation.kind == OperationKind::ProductInput) {
      uint32_t& slot = p.product_inputs[operation.first].slot;
      slot = free.empty() ? used++ : free.back();
      if (!free.empty()) free.pop_back();
    } else if (operation.kind == OperationKind::Product) {
      const uint32_t input = p.products[operation.first].input;
      if (last_use[input] == i) free.push_back(p.product_inputs[input].slot);
    }
  }
  p.product_buffers.allocate(used * slot_size);
  p.strip.allocate(strip_size);
  for (ProductInput& input : p.product_inputs) {
    const Sizes s = sizes_of(input);
    uint8_t* at = p.product_buffers.data + input.slot * slot_size;
    input.codes = reinterpret_cast<int8_t*>(at);
    input.corrections = reinterpret_cast<int32_t*>(at += s.codes);
    input.scales = reinterpret_cast<float*>(at += s.corrections);
    input.first_lanes = reinterpret_cast<float*>(at += s.scales);
  }
}

void merge_neighbours(Program& p) {
  PagedVector<Operation> merged;
  for (const Operation& operation : p.operations) {
    const bool mergeable = operation.kind == OperationKind::Copy ||
                           operation.kind == OperationKind::Read ||
                           operation.kind == OperationKind::Write ||
                           operation.kind == OperationKind::Product;
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

void lay_out_program(Program& p, const PagedVector<uint64_t>& times, uint64_t vectors,
                     std::span<const uint8_t> memory, bool keep_all) {
  sort_operations(p, times);
  PagedVector<Place> homes(vectors, 0);
  if (!keep_all) {
    drop_dead(p, vectors);
    keep_in_memory(p, memory, homes);
  }
  PagedVector<uint8_t> words(vectors, kNoWords);
  if (!keep_all) find_words(p, homes, words);
  SlotAllocator slots(p, homes, words);
  slots.run(keep_all);
  p.arena.allocate(slots.used() * p.vector_stride);
  if (!keep_all) shorten_passes(p, words);
  const auto resolve_vector = [&](Place& place) {
    if (!is_vector(place)) return;
    const uint64_t vector = number_of(place);
    if (homes[vector] != 0) {
      place = homes[vector];
    } else if (words[vector] > kFirstOfWords) {
      place = 0;
    } else {
      place = reinterpret_cast<uintptr_t>(p.arena.data + slots.slot_of(vector) * p.vector_stride);
      if (words[vector] == kFirstOfWords) place |= kWordsBit;
    }
  };
  const auto resolve = [&](Place& place) {
    if (is_late(place)) p.late_places.add_use(&place);
    resolve_vector(place);
  };
  for (const Operation& operation : p.operations) visit_places(p, operation, resolve, resolve);
  for (MacStep& step : p.mac_steps) {
    if (step.emits && are_words(&p.mac_planes[step.planes])) step.words = p.mac_planes[step.planes];
  }
  for (RecordedDrive& drive : p.drives) resolve(drive.from);
  for (LatePlaces::Late& late : p.late_places.all()) resolve_vector(late.before);
  for (Place& row : p.late_places.rows()) resolve_vector(row);
  allocate_inputs(p);
  merge_neighbours(p);
}

}  // namespace pianola
