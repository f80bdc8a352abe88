// The author of random programs: see random_program.h. Operands are found in find_random_operands.cc,
// pieces are written in random_program.cc.
#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "tests/support/random_program.h"
#include "tests/support/reserve_program.h"

namespace pianola::test {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 1) {}
  uint64_t bits() {
    uint64_t x = state_ += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
  }
  int below(int n) { return static_cast<int>(bits() % static_cast<uint64_t>(n)); }
  int between(int low, int high) { return low + below(high - low + 1); }
  bool chance(int percent) { return below(100) < percent; }
  template <typename T>
  const T& pick(const std::vector<T>& values) {
    return values[static_cast<size_t>(below(static_cast<int>(values.size())))];
  }
  template <typename T>
  void shuffle(std::vector<T>& values) {
    for (size_t i = values.size(); i > 1; --i) {
      std::swap(values[i - 1], values[static_cast<size_t>(below(static_cast<int>(i)))]);
    }
  }

 private:
  uint64_t state_;
};

// Launch registers of every random program.
constexpr uint32_t kAddressSmall = 1, kAddressLarge = 2, kLane = 3, kThreshold = 4;
constexpr uint32_t kConstantFirst = 5, kConstants = 4;
constexpr uint32_t kAddressSmallMax = 1, kAddressLargeMax = 3;

struct Operand {
  Direction dir = Direction::East;
  uint32_t stream = 0;
};
struct Words {
  int slice = 0, low = 0, count = 0;
};

inline uint32_t issues_of(const Timing& t) { return static_cast<uint32_t>(timing_issues(t)); }

// Writes one program, piece by piece.
class Author {
 public:
  Author(const Target& target, uint64_t seed, const RandomProgramOptions& options)
      : target_(target), options_(options), random_(seed), builder_(target),
        reservations_(target, register_maxima(target)) {}

  Roll write();

 private:
  static std::vector<uint32_t> register_maxima(const Target& target) {
    std::vector<uint32_t> maxima(kLaunchRegisters, UINT32_MAX);
    maxima[0] = 0;
    maxima[kAddressSmall] = kAddressSmallMax;
    maxima[kAddressLarge] = kAddressLargeMax;
    maxima[kLane] = static_cast<uint32_t>(target.lanes - 1);
    maxima[kThreshold] = static_cast<uint32_t>(target.lanes + 2);
    return maxima;
  }

  // Operands: what puts `count` neighbouring streams at `position` in cycle `when` (and after it in the
  // rhythm of `timing`). Nothing if this try did not find a way.
  std::optional<Operand> need(int position, int64_t when, int count, const Timing& timing, int depth);
  std::optional<Operand> from_port(int position, int64_t when, int count, const Timing& timing);
  std::optional<Operand> from_memory(int position, int64_t when, int count, const Timing& timing);
  std::optional<Operand> from_gather(int position, int64_t when, const Timing& timing, int depth);
  std::optional<Operand> from_pass(int position, int64_t when, int count, Timing timing, int depth);
  std::optional<Operand> from_move(int position, int64_t when, int count, const Timing& timing,
                                   int depth);
  std::optional<Operand> from_transposer(int position, int64_t when, const Timing& timing);
  std::optional<Operand> from_mac(int unit, int position, int64_t when, Timing timing, int depth);

  // Pieces; false if this try came to nothing.
  bool send(int depth);
  bool send_sums(int mxm);
  bool fill(int slice, int depth);
  bool fill_masked();
  bool fill_rows();
  bool write_lane();
  bool load_tile(int mxm);
  bool fill_transposer(int sxm);
  bool accumulate();
  bool mac_silently();
  bool commit();

  bool pass_fields(VxmInstruction& x, int chain, bool must_use_accumulator);
  bool read_accumulator(VxmInstruction& x, int chain);
  std::optional<uint32_t> addresses(const Words& words, const Timing& timing, MemInstruction& x,
                                    int spare = 0);
  bool operand_fields(VxmInstruction& x, int64_t when, int depth);
  bool mac_fields(MxmMacInstruction& x, int mxm);

  Timing random_timing(int issues_max);
  // Adds iterations to a level that has none; returns the cycles by which the first issue moves ahead.
  std::optional<int> extend(Timing& timing, int level);
  uint32_t stream_for(int count) {
    const int align = count == 2 || count == 4 ? count : 1;
    return static_cast<uint32_t>(random_.below((target_.streams - count) / align + 1) * align);
  }
  uint32_t directions(Direction dir) {
    return random_.chance(25) ? 3u : direction_bit(dir);
  }
  void add(int queue, int64_t offset, const AnyInstruction& instruction, uint32_t mask = 1) {
    operations_.push_back({queue, mask, offset, instruction});
  }
  int apart(int a, int b) const { return distance(a, b); }
  bool has(uint32_t stage) const { return (target_.vxm_stages & stage) != 0; }
  LaneSegment random_segment() {
    std::vector<LaneSegment> segments = {LaneSegment::All};
    for (int i = 1; i <= 5; ++i) {
      if (target_.lanes % (8 << i) == 0) segments.push_back(static_cast<LaneSegment>(i));
    }
    return random_.pick(segments);
  }
  int random_mxm() { return random_.below(static_cast<int>(target_.mxm_positions.size())); }
  int slice_offset(int slice) const { return slice % target_.slices_per_position; }
  uint32_t slice_stream(uint32_t stream, int slice) const {
    return (stream - static_cast<uint32_t>(slice_offset(slice))) &
           static_cast<uint32_t>(target_.streams - 1);
  }
  uint32_t constant() {
    return random_.chance(20)
               ? 0
               : kConstantFirst + static_cast<uint32_t>(random_.below(static_cast<int>(kConstants)));
  }
  void split_segments(Roll& roll);

  const Target& target_;
  const RandomProgramOptions& options_;
  Random random_;
  ProgramBuilder builder_;
  Reservations reservations_;
  std::vector<Operation> operations_;  // of the piece being written
  std::vector<Words> filled_;
  std::vector<Words> to_fill_;  // by the piece being written
};

}  // namespace pianola::test
