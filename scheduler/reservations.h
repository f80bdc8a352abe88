// What stencils have taken of the machine: queues, banks, VXM stages, SXMs and stream registers, cycle by
// cycle. A stencil is reserved whole or not at all.
#pragma once

#include <cstdint>
#include <vector>

#include "isa/target.h"
#include "scheduler/stencil.h"
#include "scheduler/timetable.h"

namespace pianola {

class Reservations {
 public:
  // What one attempt has taken, to give it back.
  struct Journal {
    struct Cells {
      CellRow* row;
      int64_t first;
      TimedNest nest;
      int64_t runs;  // of the nest's first level
    };
    std::vector<Cells> cells;
    struct Values {
      StreamUse use;  // with its stream
      int64_t base;
    };
    std::vector<Values> values;

    void clear() {
      cells.clear();
      values.clear();
    }
  };

  // `dense_gap`: of PlaceOptions.
  Reservations(const Target& target, int dense_gap)
      : target_(target), table_(target), dense_gap_(dense_gap) {}

  // Takes everything that the stencil needs at `base` and chooses its streams, unless they are chosen
  // already. False: something is not free; what was taken until then is in the journal, too.
  bool reserve(Stencil& stencil, int64_t base, Journal& journal);
  void undo(const Journal& journal);
  // Nothing will be reserved before `cycle` any more, nor undone.
  void close(int64_t cycle) { table_.close(cycle); }
  // After a reserve that failed: how far the base must move at least.
  int64_t skip() const { return skip_; }
  // Whether the stencil has nests that `alone` makes a difference to.
  bool has_dense(const Stencil& stencil) const;

 private:
  bool is_dense(const TimedNest& nest) const;
  bool is_free(const CellRow& row, int64_t first, int64_t step, int64_t count);
  bool take(CellRow& row, int64_t first, const TimedNest& nest, Journal& journal,
            const CellRow* others = nullptr);
  bool take_queue(CellRow& row, int64_t first, const TimedNest& nest, bool alone,
                  Journal& journal);
  bool reserve_memory(const MemoryUse& use, int64_t base, bool alone, Journal& journal);
  bool reserve_streams(Stencil& stencil, int64_t base, Journal& journal);
  bool choose_streams(StreamUse& use, const StreamUse* twin, int64_t base) const;
  bool streams_free(const StreamUse& use, int first, int64_t base) const;
  void hold(const StreamUse& use, int64_t base, Journal& journal);

  const Target& target_;
  Timetable table_;
  int64_t dense_gap_;
  int64_t skip_ = 1;
};

}  // namespace pianola
