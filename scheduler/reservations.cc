#include "scheduler/reservations.h"

namespace pianola {
namespace {

// A queue executes one nest after the other: nests that interleave are cut into many instructions. A nest
// that issues at least every kDenseGap cycles keeps others out of its gaps, if its stencil wants that.
constexpr int64_t kDenseGap = 4;

bool is_dense(const TimedNest& nest) {
  return nest.iterations() > 1 && nest.span() < nest.iterations() * kDenseGap;
}

}  // namespace

// Remembers how far the base must move at least for this collision to end.
bool Reservations::is_free(const BitRow& row, int64_t cycle) {
  if (!row.test(cycle)) return true;
  skip_ = row.next_free(cycle) - cycle;
  return false;
}

bool Reservations::take(BitRow& row, int64_t cycle, Journal& journal) {
  if (!is_free(row, cycle)) return false;
  row.set(cycle);
  journal.bits.emplace_back(&row, cycle);
  return true;
}

// The cycles of a nest in its queue's row: its issues, or all between if it wants no company.
bool Reservations::take_queue(BitRow& row, int64_t first, const TimedNest& nest, bool alone,
                Journal& journal) {
  if (alone && is_dense(nest)) {
    for (int64_t cycle = first; cycle <= first + nest.span(); ++cycle) {
      if (!take(row, cycle, journal)) return false;
    }
    return true;
  }
  return for_each_iteration(nest, [&](int64_t time, int, int, int) {
    return take(row, first + time, journal);
  });
}

bool Reservations::reserve(Stencil& stencil, int64_t base, Journal& journal) {
  for (const ChainUse& use : stencil.chains) {
    Timetable::Chain& chain = table_.chains[use.chain];
    if (!take_queue(chain.issue, base + use.issue, use.nest, stencil.alone, journal)) return false;
    const bool free = for_each_iteration(use.nest, [&](int64_t time, int, int, int) {
      return take(chain.middle, base + use.middle + time, journal) &&
             take(chain.back, base + use.back + time, journal);
    });
    if (!free) return false;
  }
  for (const MemoryUse& use : stencil.memory) {
    if (!reserve_memory(use, base, stencil.alone, journal)) return false;
  }
  if (stencil.sxm >= 0) {
    const bool free = for_each_iteration(stencil.sxm_nest, [&](int64_t time, int, int, int) {
      return take(table_.sxm[stencil.sxm], base + stencil.sxm_offset + time, journal);
    });
    if (!free) return false;
  }
  return reserve_streams(stencil, base, journal);
}

bool Reservations::reserve_memory(const MemoryUse& use, int64_t base, bool alone, Journal& journal) {
  Timetable::Slice& slice = table_.slices[use.slice];
  BitRow& queue = use.write ? slice.write_queue : slice.read_queue;
  Timetable::Bank& bank = slice.banks[use.bank];
  BitRow& mine = use.write ? bank.writes : bank.reads;
  BitRow& others = use.write ? bank.reads : bank.writes;
  if (!take_queue(queue, base + use.offset, use.nest, alone, journal)) return false;
  return for_each_iteration(use.nest, [&](int64_t time, int, int, int) {
    const int64_t cycle = base + use.offset + time;
    return is_free(others, cycle) && take(mine, cycle, journal);
  });
}

bool Reservations::reserve_streams(Stencil& stencil, int64_t base, Journal& journal) {
  std::vector<bool> done(stencil.streams.size(), false);
  for (size_t i = 0; i < stencil.streams.size(); ++i) {
    if (done[i]) continue;
    StreamUse& use = stencil.streams[i];
    StreamUse* twin = use.twin >= 0 ? &stencil.streams[use.twin] : nullptr;
    const bool found = stencil.streams_chosen
                           ? streams_free(use, use.chosen, base) &&
                                 (!twin || streams_free(*twin, twin->chosen, base))
                           : choose_streams(use, twin, base);
    if (!found) {
      skip_ = 1;
      return false;
    }
    hold(use, base, journal);
    if (twin) {
      twin->chosen = use.chosen;
      hold(*twin, base, journal);
      done[use.twin] = true;
    }
  }
  return true;
}

bool Reservations::choose_streams(StreamUse& use, const StreamUse* twin, int64_t base) const {
  const int align = use.width > 4 ? 4 : use.width;
  for (int first = 0; first + use.width <= target_.streams; first += align) {
    if (!streams_free(use, first, base)) continue;
    if (twin && !streams_free(*twin, first, base)) continue;
    use.chosen = first;
    return true;
  }
  return false;
}

bool Reservations::streams_free(const StreamUse& use, int first, int64_t base) const {
  return for_each_iteration(use.nest, [&](int64_t time, int, int, int) {
    for (int s = first; s < first + use.width; ++s) {
      if (!table_.streams.is_free(use.dir, s, use.from, use.to, base + use.drive + time)) {
        return false;
      }
    }
    return true;
  });
}

void Reservations::hold(const StreamUse& use, int64_t base, Journal& journal) {
  for_each_iteration(use.nest, [&](int64_t time, int, int, int) {
    for (int s = use.chosen; s < use.chosen + use.width; ++s) {
      table_.streams.reserve(use.dir, s, use.from, use.to, base + use.drive + time);
      journal.hops.push_back({use.dir, s, use.from, use.to, base + use.drive + time});
    }
    return true;
  });
}

void Reservations::undo(const Journal& journal) {
  for (const auto& [row, cycle] : journal.bits) row->clear(cycle);
  for (const Journal::Hop& hop : journal.hops) {
    table_.streams.release(hop.dir, hop.stream, hop.from, hop.to, hop.drive);
  }
}

}  // namespace pianola
