// Reservation tables: which cycles of a resource are taken. A resource is one row of bits, one per
// cycle; stream registers are kept by diagonal, because a value that moves one position per cycle
// keeps (cycle - position) constant going east and (cycle + position) going west.
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

// One bit per cycle; cycles beyond the end are free.
class BitRow {
 public:
  bool test(int64_t cycle) const {
    const size_t word = static_cast<size_t>(cycle) >> 6;
    return word < bits_.size() && (bits_[word] >> (cycle & 63) & 1);
  }
  // The first free cycle from `cycle` on.
  int64_t next_free(int64_t cycle) const {
    size_t word = static_cast<size_t>(cycle) >> 6;
    if (word >= bits_.size()) return cycle;
    uint64_t free = ~bits_[word] & ~uint64_t{0} << (cycle & 63);
    while (free == 0) {
      if (++word >= bits_.size()) return static_cast<int64_t>(word) << 6;
      free = ~bits_[word];
    }
    return static_cast<int64_t>(word << 6) + std::countr_zero(free);
  }
  void set(int64_t cycle) {
    const size_t word = static_cast<size_t>(cycle) >> 6;
    if (word >= bits_.size()) bits_.resize(word + word / 2 + 64);
    bits_[word] |= uint64_t{1} << (cycle & 63);
  }
  void clear(int64_t cycle) { bits_[static_cast<size_t>(cycle) >> 6] &= ~(uint64_t{1} << (cycle & 63)); }

 private:
  std::vector<uint64_t> bits_;
};

// The stream registers of the machine. A value occupies the positions behind its driver up to its
// last reader.
class StreamTable {
 public:
  StreamTable(int positions, int streams)
      : positions_(positions), streams_(streams), rows_(2 * static_cast<size_t>(streams)) {}

  int streams() const { return streams_; }
  bool is_free(Direction dir, int stream, int from, int to, int64_t drive_cycle) const {
    const Row& row = rows_[row_index(dir, stream)];
    const size_t at = diagonal(dir, from, drive_cycle), page = at / kPage;
    return page >= row.size() || !row[page] || ((*row[page])[at % kPage] & hops(from, to)) == 0;
  }
  void reserve(Direction dir, int stream, int from, int to, int64_t drive_cycle) {
    Row& row = rows_[row_index(dir, stream)];
    const size_t at = diagonal(dir, from, drive_cycle), page = at / kPage;
    if (page >= row.size()) row.resize(page + 1);
    if (!row[page]) row[page] = std::make_unique<Page>();
    (*row[page])[at % kPage] |= hops(from, to);
  }
  void release(Direction dir, int stream, int from, int to, int64_t drive_cycle) {
    const size_t at = diagonal(dir, from, drive_cycle);
    (*rows_[row_index(dir, stream)][at / kPage])[at % kPage] &= ~hops(from, to);
  }

 private:
  // Pages of diagonals, there once something is in them: most streams rest most of the time.
  static constexpr size_t kPage = 1024;
  using Page = std::array<uint64_t, kPage>;
  using Row = std::vector<std::unique_ptr<Page>>;

  size_t row_index(Direction dir, int stream) const {
    return static_cast<size_t>(stream) * 2 + (dir == Direction::West);
  }
  size_t diagonal(Direction dir, int from, int64_t cycle) const {
    return static_cast<size_t>(dir == Direction::East ? cycle - from + positions_ : cycle + from);
  }
  // Bits of the positions after `from` up to `to`.
  static uint64_t hops(int from, int to) {
    const int low = from < to ? from + 1 : to, high = from < to ? to : from - 1;
    return ((uint64_t{2} << high) - 1) & ~((uint64_t{1} << low) - 1);
  }

  int positions_, streams_;
  std::vector<Row> rows_;
};

// Everything that can be taken cycle by cycle.
struct Timetable {
  explicit Timetable(const Target& target);

  struct Bank {
    BitRow reads, writes;
  };
  struct Slice {
    BitRow read_queue, write_queue;
    Bank banks[2];
  };
  struct Chain {
    BitRow issue, middle, back;  // entry of the pass, of mul3, of combine
  };
  StreamTable streams;
  std::vector<Slice> slices;
  std::vector<Chain> chains;
  std::vector<BitRow> sxm;
};

}  // namespace pianola
