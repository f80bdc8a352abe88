#include "emulator/segment_walker.h"

#include <algorithm>

namespace pianola {

SegmentWalker::Run SegmentWalker::next(uint64_t most) {
  Run run{address(), 0};
  while (!done() && run.count < most && address() == run.first + run.count) {
    const Segment& segment = segments_[number_];
    const uint64_t count = std::min<uint64_t>(most - run.count, segment.count - vector_);
    run.count += count;
    vector_ += static_cast<uint32_t>(count);
    if (vector_ < segment.count) break;
    vector_ = 0;
    if (++repetition_ < segment.repeat) continue;
    repetition_ = 0;
    ++number_;
    skip_empty();
  }
  return run;
}

uint64_t SegmentWalker::address() const {
  const Segment& segment = segments_[number_];
  uint64_t base = segment.base + static_cast<uint64_t>(int64_t{repetition_} * segment.stride);
  if (segment.parameter >= 0) {
    const auto index = static_cast<size_t>(segment.parameter);
    const uint32_t value = index < registers_.size() ? registers_[index] : 0;
    base += uint64_t{std::min(value, segment.limit)} * segment.parameter_stride;
  }
  return base + vector_;
}

uint64_t SegmentWalker::vectors() const {
  uint64_t total = 0;
  for (const Segment& segment : segments_) total += uint64_t{segment.count} * segment.repeat;
  return total;
}

void SegmentWalker::skip_empty() {
  while (!done() && (segments_[number_].count == 0 || segments_[number_].repeat == 0)) ++number_;
}

}  // namespace pianola
