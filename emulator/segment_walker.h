// Walks what a port delivers or takes in a launch as runs of neighbouring vectors, without listing
// the vectors one by one.
#pragma once

#include <cstdint>
#include <span>

#include "isa/roll.h"

namespace pianola {

// Over a segment list, in its order; list and registers must outlive the walker.
class SegmentWalker {
 public:
  struct Run {
    uint64_t first = 0, count = 0;
  };
  SegmentWalker() = default;
  SegmentWalker(std::span<const Segment> segments, std::span<const uint32_t> registers)
      : segments_(segments), registers_(registers) {
    skip_empty();
  }
  bool done() const { return number_ == segments_.size(); }
  // The next run, of 1 to `most` vectors; joins neighbouring repetitions.
  Run next(uint64_t most);
  uint64_t vectors() const;  // of the whole list

 private:
  uint64_t address() const;
  void skip_empty();

  std::span<const Segment> segments_;
  std::span<const uint32_t> registers_;
  size_t number_ = 0;
  uint32_t repetition_ = 0, vector_ = 0;
};

}  // namespace pianola
