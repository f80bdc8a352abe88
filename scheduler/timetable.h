// Reservation tables: which cycles of a resource are taken. A row has a cell of one or more bits per cycle;
// stream registers are kept by diagonal, because a value that moves one position per cycle keeps
// (cycle - position) constant going east and (cycle + position) going west.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <vector>

#include "isa/instructions.h"
#include "isa/target.h"

namespace pianola {

// Cells of `bits` bits, a power of two. They are there in pages once something is taken in them: most rows rest
// most of the time. Runs are `count` cells, `step` apart, and the same bits of each.
class CellRow {
 public:
  explicit CellRow(int bits = 1) : bits_(bits), per_word_(64 / bits) {}

  // The first cell of the run in which a bit of the mask is taken; -1: none.
  int64_t first_taken(int64_t first, int64_t step, int64_t count, uint64_t mask = 1) const {
    int64_t found = -1;
    for_each_word(first, step, count, mask, [&](int64_t word, uint64_t bits) {
      const uint64_t* at = find(word);
      const uint64_t taken = at ? *at & bits : 0;
      if (taken != 0) found = word * per_word_ + std::countr_zero(taken) / bits_;
      return taken == 0;
    });
    return found;
  }
  void take(int64_t first, int64_t step, int64_t count, uint64_t mask = 1) {
    for_each_word(first, step, count, mask, [&](int64_t word, uint64_t bits) {
      make(word) |= bits;
      return true;
    });
  }
  void release(int64_t first, int64_t step, int64_t count, uint64_t mask = 1) {
    for_each_word(first, step, count, mask, [&](int64_t word, uint64_t bits) {
      make(word) &= ~bits;
      return true;
    });
  }
  // Cells before `cell` are not free any more, and need no memory.
  void close(int64_t cell) {
    closed_ = std::max(closed_, cell / (kPage * per_word_) * kPage);
    const auto pages = std::min(pages_.size(), static_cast<size_t>(closed_ / kPage));
    for (size_t page = 0; page < pages; ++page) pages_[page].reset();
  }
  // Of one bit: the first free cell from `cell` on.
  int64_t next_free(int64_t cell) const {
    int64_t word = cell / 64;
    uint64_t below = (uint64_t{1} << (cell % 64)) - 1;
    for (const uint64_t* at; (at = find(word)) != nullptr; ++word, below = 0) {
      const uint64_t free = ~(*at | below);
      if (free != 0) return word * 64 + std::countr_zero(free);
    }
    return std::max(cell, word * 64);
  }

 private:
  static constexpr int64_t kPage = 128;
  using Page = std::array<uint64_t, kPage>;

  const uint64_t* find(int64_t word) const {
    static constexpr uint64_t kClosed = ~uint64_t{0};
    if (word < closed_) return &kClosed;
    const auto page = static_cast<size_t>(word / kPage);
    if (page >= pages_.size() || !pages_[page]) return nullptr;
    return &(*pages_[page])[static_cast<size_t>(word % kPage)];
  }
  uint64_t& make(int64_t word) {
    const auto page = static_cast<size_t>(word / kPage);
    if (page >= pages_.size()) pages_.resize(page + 1);
    if (!pages_[page]) pages_[page] = std::make_unique<Page>();
    return (*pages_[page])[static_cast<size_t>(word % kPage)];
  }

  // Calls f(word, bits) for the words of a run until it returns false.
  template <typename F>
  void for_each_word(int64_t first, int64_t step, int64_t count, uint64_t mask, F&& f) const {
    const bool packs = step > 0 && step < per_word_ && std::has_single_bit(static_cast<uint64_t>(step));
    // One bit at the beginning of each of a word's cells in the run.
    const uint64_t cells = packs ? ~uint64_t{0} / ((uint64_t{1} << step * bits_) - 1) : 1;
    for (int64_t i = 0; i < count;) {
      const int64_t cell = first + i * step, slot = cell % per_word_;
      const int64_t fit = packs ? std::min(count - i, (per_word_ - slot + step - 1) / step) : 1;
      const int64_t width = fit * step * bits_;
      const uint64_t some = packs && width < 64 ? cells & ((uint64_t{1} << width) - 1) : cells;
      if (!f(cell / per_word_, mask * some << slot * bits_)) return;
      i += fit;
    }
  }

  int64_t bits_, per_word_;
  int64_t closed_ = 0;  // words
  std::vector<std::unique_ptr<Page>> pages_;
};

// The stream registers of the machine. A value occupies the positions behind its driver up to its
// last reader.
class StreamTable {
 public:
  StreamTable(int positions, int streams) : positions_(positions) {
    const auto bits = static_cast<int>(std::bit_ceil(static_cast<unsigned>(positions)));
    for (int i = 0; i < 2 * streams; ++i) rows_.emplace_back(bits);
  }

  // Values driven at `count` cycles, `step` apart, the first at `drive`.
  bool is_free(Direction dir, int stream, int from, int to, int64_t drive, int64_t step,
               int64_t count) const {
    const CellRow& row = rows_[row_index(dir, stream)];
    return row.first_taken(diagonal(dir, from, drive), step, count, hops(from, to)) < 0;
  }
  void reserve(Direction dir, int stream, int from, int to, int64_t drive, int64_t step,
               int64_t count) {
    rows_[row_index(dir, stream)].take(diagonal(dir, from, drive), step, count, hops(from, to));
  }
  void release(Direction dir, int stream, int from, int to, int64_t drive, int64_t step,
               int64_t count) {
    rows_[row_index(dir, stream)].release(diagonal(dir, from, drive), step, count, hops(from, to));
  }
  // Drives before `cycle` are not free any more.
  void close(int64_t cycle) {
    for (CellRow& row : rows_) row.close(cycle);
  }

 private:
  size_t row_index(Direction dir, int stream) const {
    return static_cast<size_t>(stream) * 2 + (dir == Direction::West);
  }
  int64_t diagonal(Direction dir, int from, int64_t cycle) const {
    return dir == Direction::East ? cycle - from + positions_ : cycle + from;
  }
  // Bits of the positions after `from` up to `to`.
  static uint64_t hops(int from, int to) {
    const int low = from < to ? from + 1 : to, high = from < to ? to : from - 1;
    return ((uint64_t{2} << high) - 1) & ~((uint64_t{1} << low) - 1);
  }

  int positions_;
  std::vector<CellRow> rows_;
};

// Everything that can be taken cycle by cycle.
struct Timetable {
  explicit Timetable(const Target& target);
  // Nothing may be taken any more before `cycle`.
  void close(int64_t cycle);

  struct Bank {
    CellRow reads, writes;
  };
  struct Slice {
    CellRow read_queue, write_queue;
    Bank banks[2];
  };
  struct Chain {
    CellRow issue, middle, back;  // entry of the pass, of mul3, of combine
  };
  StreamTable streams;
  std::vector<Slice> slices;
  std::vector<Chain> chains;
  std::vector<CellRow> sxm;
};

}  // namespace pianola
