#include "scheduler/reservations.h"

#include <algorithm>

namespace pianola {
namespace {

// The same cycles with the level of most iterations innermost.
TimedNest longest_inside(TimedNest nest) {
  const auto longest = std::max_element(nest.count.begin(), nest.count.end()) - nest.count.begin();
  std::swap(nest.count[0], nest.count[static_cast<size_t>(longest)]);
  std::swap(nest.period[0], nest.period[static_cast<size_t>(longest)]);
  return nest;
}

// Calls f with the time of each first iteration of the innermost level, until it returns false.
template <typename F>
bool for_each_run(const TimedNest& nest, F&& f) {
  for (int i3 = 0; i3 < nest.count[2]; ++i3) {
    for (int i2 = 0; i2 < nest.count[1]; ++i2) {
      if (!f(i2 * nest.period[1] + i3 * nest.period[2])) return false;
    }
  }
  return true;
}

}  // namespace

bool Reservations::is_dense(const TimedNest& nest) const {
  return nest.iterations() > 1 && nest.span() < nest.iterations() * dense_gap_;
}

bool Reservations::has_dense(const Stencil& stencil) const {
  const auto dense = [this](const auto& use) { return is_dense(use.nest); };
  return std::any_of(stencil.chains.begin(), stencil.chains.end(), dense) ||
         std::any_of(stencil.memory.begin(), stencil.memory.end(), dense);
}

// Remembers how far the base must move at least for this collision to end.
bool Reservations::is_free(const CellRow& row, int64_t first, int64_t step, int64_t count) {
  const int64_t taken = row.first_taken(first, step, count);
  if (taken < 0) return true;
  skip_ = row.next_free(taken) - (step == 1 ? first : taken);
  return false;
}

// The cycles of a nest, all of which must be free in the other row, too.
bool Reservations::take(CellRow& row, int64_t first, const TimedNest& nest, Journal& journal,
                        const CellRow* others) {
  const TimedNest runs = longest_inside(nest);
  const size_t entry = journal.cells.size();
  journal.cells.push_back({&row, first, runs, 0});
  return for_each_run(runs, [&](int64_t time) {
    const int64_t begin = first + time;
    if (others && !is_free(*others, begin, runs.period[0], runs.count[0])) return false;
    if (!is_free(row, begin, runs.period[0], runs.count[0])) return false;
    row.take(begin, runs.period[0], runs.count[0]);
    ++journal.cells[entry].runs;
    return true;
  });
}

// The cycles of a nest in its queue's row: its issues, or all between if it wants no company.
bool Reservations::take_queue(CellRow& row, int64_t first, const TimedNest& nest, bool alone,
                              Journal& journal) {
  if (!alone || !is_dense(nest)) return take(row, first, nest, journal);
  TimedNest all;
  all.count[0] = static_cast<int>(nest.span()) + 1;
  all.period[0] = 1;
  return take(row, first, all, journal);
}

bool Reservations::reserve(Stencil& stencil, int64_t base, Journal& journal) {
  for (const ChainUse& use : stencil.chains) {
    Timetable::Chain& chain = table_.chains[use.chain];
    if (!take_queue(chain.issue, base + use.issue, use.nest, stencil.alone, journal) ||
        !take(chain.middle, base + use.middle, use.nest, journal) ||
        !take(chain.back, base + use.back, use.nest, journal)) {
      return false;
    }
  }
  for (const MemoryUse& use : stencil.memory) {
    if (!reserve_memory(use, base, stencil.alone, journal)) return false;
  }
  if (stencil.sxm >= 0 && !take(table_.sxm[stencil.sxm], base + stencil.sxm_offset,
                                stencil.sxm_nest, journal)) {
    return false;
  }
  return reserve_streams(stencil, base, journal);
}

bool Reservations::reserve_memory(const MemoryUse& use, int64_t base, bool alone, Journal& journal) {
  Timetable::Slice& slice = table_.slices[use.slice];
  CellRow& queue = use.write ? slice.write_queue : slice.read_queue;
  Timetable::Bank& bank = slice.banks[use.bank];
  CellRow& mine = use.write ? bank.writes : bank.reads;
  const CellRow& others = use.write ? bank.reads : bank.writes;
  const int64_t first = base + use.offset;
  return take_queue(queue, first, use.nest, alone, journal) &&
         take(mine, first, use.nest, journal, &others);
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
  const TimedNest runs = longest_inside(use.nest);
  return for_each_run(runs, [&](int64_t time) {
    for (int s = first; s < first + use.width; ++s) {
      if (!table_.streams.is_free(use.dir, s, use.from, use.to, base + use.drive + time,
                                  runs.period[0], runs.count[0])) {
        return false;
      }
    }
    return true;
  });
}

void Reservations::hold(const StreamUse& use, int64_t base, Journal& journal) {
  journal.values.push_back({use, base});
  const TimedNest runs = longest_inside(use.nest);
  for_each_run(runs, [&](int64_t time) {
    for (int s = use.chosen; s < use.chosen + use.width; ++s) {
      table_.streams.reserve(use.dir, s, use.from, use.to, base + use.drive + time, runs.period[0],
                             runs.count[0]);
    }
    return true;
  });
}

void Reservations::undo(const Journal& journal) {
  for (const Journal::Cells& cells : journal.cells) {
    int64_t left = cells.runs;
    for_each_run(cells.nest, [&](int64_t time) {
      if (left-- == 0) return false;
      cells.row->release(cells.first + time, cells.nest.period[0], cells.nest.count[0]);
      return true;
    });
  }
  for (const Journal::Values& values : journal.values) {
    const StreamUse& use = values.use;
    const int64_t base = values.base;
    const TimedNest runs = longest_inside(use.nest);
    for_each_run(runs, [&](int64_t time) {
      for (int s = use.chosen; s < use.chosen + use.width; ++s) {
        table_.streams.release(use.dir, s, use.from, use.to, base + use.drive + time,
                               runs.period[0], runs.count[0]);
      }
      return true;
    });
  }
}

}  // namespace pianola
