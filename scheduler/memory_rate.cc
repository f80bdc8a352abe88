#include "scheduler/memory_rate.h"

#include <algorithm>

namespace pianola {
namespace {

constexpr int64_t kWordBytes = 32;
constexpr int64_t kNever = INT64_MAX;

// The operations of one port in order of time.
class PortCursor {
 public:
  explicit PortCursor(const std::vector<PlacedInstruction>& instructions)
      : instructions_(instructions) {}

  int64_t cycle() const {
    if (at_ == instructions_.size()) return kNever;
    const PlacedInstruction& p = instructions_[at_];
    return p.first + index_[0] * p.period[0] + index_[1] * p.period[1] + index_[2] * p.period[2];
  }
  int64_t vectors() const {
    const AnyInstruction& instruction = instructions_[at_].instruction;
    if (const auto* receive = std::get_if<PortRecvInstruction>(&instruction)) return receive->count;
    return std::get<PortSendInstruction>(instruction).count;
  }
  void advance() {
    for (size_t level = 0; level < 3; ++level) {
      if (++index_[level] < instructions_[at_].count[level]) return;
      index_[level] = 0;
    }
    ++at_;
  }

 private:
  const std::vector<PlacedInstruction>& instructions_;
  size_t at_ = 0;
  std::array<int, 3> index_{};
};

// The words of the tape in the cycles in which they are executed.
class WordCursor {
 public:
  explicit WordCursor(std::span<const Word> words) : words_(words) {}

  int64_t cycle() const { return at_ == words_.size() ? kNever : cycle_; }
  void advance() {
    const Header header = decode_header(words_[at_++]);
    cycle_ += header.kind == WordKind::Nop ? header.nop_count : 1;
  }

 private:
  std::span<const Word> words_;
  size_t at_ = 0;
  int64_t cycle_ = 0;
};

}  // namespace

bool memory_keeps_up(const std::array<std::vector<PlacedInstruction>, 3>& ports,
                     std::span<const Word> words, const Target& target) {
  const int64_t rate = target.memory_bytes_per_cycle;
  if (rate == 0) return true;
  const int64_t depth = int64_t{target.tape_fifo_vectors} * target.lanes;
  std::array<PortCursor, 3> cursors = {PortCursor(ports[0]), PortCursor(ports[1]),
                                       PortCursor(ports[2])};
  WordCursor word(words);
  int64_t level = depth, cycle = 0;
  while (true) {
    PortCursor& port = *std::min_element(
        cursors.begin(), cursors.end(),
        [](const PortCursor& a, const PortCursor& b) { return a.cycle() < b.cycle(); });
    const int64_t now = std::min(port.cycle(), word.cycle());
    if (now == kNever) return true;
    level = std::min(depth, level + (now - cycle) * rate);
    cycle = now;
    if (word.cycle() == now) {
      level -= kWordBytes;
      word.advance();
    } else {
      level -= port.vectors() * target.lanes;
      port.advance();
    }
    if (level < 0) return false;
  }
}

}  // namespace pianola
