// What is taken from a memory that several ports share, and what the FIFO of the tape, which pays for all of
// it, holds over time. Operations come in any order of cycles.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pianola {

class MemoryLedger {
 public:
  // Bytes that are taken, by stretch of kStretch cycles.
  struct Demand {
    int64_t first = 0;  // number of the first stretch
    std::vector<int64_t> bytes;

    void clear() { bytes.clear(); }
    void add(int64_t cycle, int64_t amount);
  };

  // Rate in bytes per cycle, depth in bytes.
  MemoryLedger(int64_t rate, int64_t depth) : gain_(rate * kStretch), rate_(rate), depth_(depth) {}

  // Bytes that the FIFO lacks at most if this is taken, too, and `reserve` is to be left at any time.
  int64_t missing(const Demand& demand, int64_t reserve) const;
  void take(const Demand& demand);
  int64_t level_at(int64_t cycle) const;
  // From when on the FIFO is full, if nothing more is taken.
  int64_t full_from() const {
    return (static_cast<int64_t>(levels_.size()) + depth_ / gain_ + 1) * kStretch;
  }
  int64_t rate() const { return rate_; }
  int64_t depth() const { return depth_; }

 private:
  static constexpr int64_t kStretch = 16;

  // What is taken in a stretch is taken before the rate refills it.
  int64_t after(int64_t level, int64_t taken) const {
    const int64_t filled = level - taken + gain_;
    return filled < depth_ ? filled : depth_;
  }
  int64_t before(int64_t stretch) const {
    if (stretch == 0 || levels_.empty()) return depth_;
    const auto last = static_cast<int64_t>(levels_.size()) - 1;
    if (stretch - 1 <= last) return levels_[static_cast<size_t>(stretch - 1)];
    const int64_t level = levels_.back(), rest = stretch - 1 - last;
    return rest > (depth_ - level) / gain_ ? depth_ : level + rest * gain_;
  }

  int64_t gain_, rate_, depth_;
  std::vector<int64_t> taken_, levels_;  // by stretch: bytes taken in it, level after it
};

}  // namespace pianola
