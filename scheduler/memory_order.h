// When a word may be read or written: the data dependences of the schedule, word by word. Accesses
// through a launch register count for every word that they may reach.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "isa/target.h"

namespace pianola {

class MemoryOrder {
 public:
  MemoryOrder(int slices, int words)
      : words_(words), table_(static_cast<size_t>(slices) * words) {}

  // Earliest cycle in which a READ (WRITE) of any of the words may issue.
  int64_t read_from(int slice, int begin, int end) const {
    int64_t cycle = 0;
    for (int w = begin; w < end; ++w) cycle = std::max<int64_t>(cycle, at(slice, w).readable);
    return cycle;
  }
  int64_t write_from(int slice, int begin, int end) const {
    int64_t cycle = 0;
    for (int w = begin; w < end; ++w) cycle = std::max<int64_t>(cycle, at(slice, w).writable);
    return cycle;
  }
  void read_at(int slice, int begin, int end, int64_t cycle) {
    for (int w = begin; w < end; ++w) {
      Word& word = at(slice, w);
      word.writable = std::max(word.writable, static_cast<int32_t>(cycle + 1));
    }
  }
  void write_at(int slice, int begin, int end, int64_t cycle, int latency) {
    for (int w = begin; w < end; ++w) {
      Word& word = at(slice, w);
      word.readable = std::max(word.readable, static_cast<int32_t>(cycle + latency));
      word.writable = std::max(word.writable, static_cast<int32_t>(cycle + 1));
    }
  }

 private:
  struct Word {
    int32_t readable = 0, writable = 0;
  };
  const Word& at(int slice, int word) const {
    return table_[static_cast<size_t>(slice) * words_ + word];
  }
  Word& at(int slice, int word) { return table_[static_cast<size_t>(slice) * words_ + word]; }

  int words_;
  std::vector<Word> table_;
};

}  // namespace pianola
