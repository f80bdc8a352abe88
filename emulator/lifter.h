// The walk that lifts an entry (emulator/lift.h): what every queue issues, cycle by cycle. By concern: the
// walk and the streams are in lift.cc, MEM in lift_memory.cc, VXM, MXM and SXM in lift_units.cc, the ports
// in lift_ports.cc.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "emulator/lift.h"
#include "emulator/lifted_steps.h"
#include "emulator/memory_contents.h"
#include "emulator/schedule_issues.h"

namespace pianola {

inline Place place_of(const void* address) { return reinterpret_cast<uintptr_t>(address); }

// Streams of an operand, and of a result.
inline int streams_of(VxmFormat format) {
  constexpr int kCounts[] = {0, 1, 4, 4, 2, 2, 4, 4};
  return kCounts[static_cast<int>(format)];
}

inline int streams_of(VxmOutFormat format) {
  constexpr int kCounts[] = {0, 1, 4, 4, 2, 2};
  return kCounts[static_cast<int>(format)];
}

// Lanes of a segment of a vector.
inline int lanes_of(LaneSegment segment, int lanes) {
  return segment == LaneSegment::All ? lanes : 8 << static_cast<int>(segment);
}

struct Iteration {
  uint32_t i1, i2, i3;
};

inline int64_t stepped(int64_t base, const Iteration& it, int32_t s1, int32_t s2, int32_t s3) {
  return base + int64_t{it.i1} * s1 + int64_t{it.i2} * s2 + int64_t{it.i3} * s3;
}

// Delivers the vectors of a segment list one by one.
class SegmentCursor {
 public:
  explicit SegmentCursor(std::span<const Segment> segments) : segments_(segments) {}

  // The segment of the next vector and its address without the parameter; null at the end.
  const Segment* next(uint64_t& vector) {
    while (number_ < segments_.size()) {
      const Segment& segment = segments_[number_];
      if (segment.count > 0 && repeat_ < segment.repeat) {
        vector = segment.base + static_cast<uint64_t>(segment.stride * int64_t{repeat_}) + item_;
        if (++item_ == segment.count) {
          item_ = 0;
          ++repeat_;
        }
        return &segment;
      }
      item_ = repeat_ = 0;
      ++number_;
    }
    return nullptr;
  }

 private:
  std::span<const Segment> segments_;
  size_t number_ = 0;
  uint32_t repeat_ = 0, item_ = 0;
};

class Lifter {
 public:
  Lifter(const Roll& roll, const Entry& entry, const LiftMemory& memory,
         const LiftOptions& options)
      : target_(roll.target), roll_(roll), entry_(entry), memory_(memory), options_(options),
        lanes_(roll.target.lanes), tape_(entry.tape), kv_read_(entry.kv_read),
        program_(std::make_unique<Program>()),
        contents_(roll.target.slices(), roll.target.words_per_slice) {
    program_->lanes = lanes_;
    program_->vector_stride = (static_cast<size_t>(lanes_) + 15) / 16 * 16;
  }

  Result<std::unique_ptr<Program>> run();

 private:
  struct StreamSlot {
    uint64_t diagonal = ~uint64_t{0};
    int position = 0;
    Place place = 0;
  };
  struct PendingDrive {
    Place place;
    Direction direction;
    uint16_t position;
    uint8_t stream;
  };
  void fail(Rule rule, int position, const std::string& what);

  void prepare();

  // Least and largest value of a register of the machine.
  std::pair<int64_t, int64_t> register_range(uint32_t index) const;

  // A word that this entry may write can not be used in place.
  void mark_written_words();
  void list_written_words();

  // The walk over the cycles.
  void follow_cycles();
  void apply_drives();

  // What lies there; a reader that needs the bytes counts as one.
  Place read(int position, Direction direction, uint32_t stream) {
    const Place place = look(position, direction, stream);
    count_use(place);
    return place;
  }
  Place look(int position, Direction direction, uint32_t stream) {
    if (stream >= static_cast<uint32_t>(target_.streams)) {
      fail(Rule::IllegalEncoding, position, "stream " + std::to_string(stream));
      return 0;
    }
    const bool east = direction == Direction::East;
    const uint64_t diagonal = east ? cycle_ + ring_ - position : cycle_ + position;
    const StreamSlot& slot =
        (east ? east_ : west_)[(diagonal & (ring_ - 1)) * streams_ + stream];
    if (slot.diagonal != diagonal) {
      fail(Rule::StreamUndefined, position,
           std::string(east ? "east" : "west") + " stream " + std::to_string(stream));
      return 0;
    }
    return slot.place;
  }

  void count_use(Place place) {
    if (!is_vector(place)) return;
    const uint64_t vector = place & ~kVectorBit;
    if (vector >= steps_.uses.size()) steps_.uses.resize(std::max(vectors_, 2 * vector), 0);
    uint8_t& uses = steps_.uses[vector];
    if (uses < 255) ++uses;
  }

  void drive(uint64_t cycle, int position, Direction direction, uint32_t stream, Place place) {
    if (stream >= static_cast<uint32_t>(target_.streams)) {
      return fail(Rule::IllegalEncoding, position, "stream " + std::to_string(stream));
    }
    wheel_[cycle & wheel_mask_].push_back({place, direction, static_cast<uint16_t>(position),
                                           static_cast<uint8_t>(stream)});
    if (target_.floorplan[position] != UnitKind::Mem) ++unit_drives_;
  }

  void drive_both(uint64_t cycle, int position, uint32_t directions, uint32_t stream,
                  Place place) {
    if (directions == 0) fail(Rule::IllegalEncoding, position, "no direction to drive");
    if ((directions & 1) != 0) drive(cycle, position, Direction::East, stream, place);
    if ((directions & 2) != 0) drive(cycle, position, Direction::West, stream, place);
  }

  // The first of some new vectors.
  Place new_vectors(uint64_t count) {
    const Place first = kVectorBit | vectors_;
    vectors_ += count;
    return first;
  }
  Place new_vector() { return new_vectors(1); }

  void add_operation(OperationKind kind, size_t first, uint64_t time) {
    program_->operations.push_back({kind, 1, static_cast<uint32_t>(first)});
    times_.push_back(time);
  }

  void add_copy(Place to, Place from) {
    add_operation(OperationKind::Copy, program_->copies.size(), cycle_);
    program_->copies.push_back({to, from});
  }

  // MEM.
  Place read_word(int slice, int64_t address);
  Place read_known(int slice, int64_t address, Place known);

  // A WRITE to one word of `first` to `last` - 1: word w if the register is w - base.
  void annotate(int slice, int64_t first, int64_t last, int64_t base, uint32_t reg, Place vector);

  // Nothing looked at these words since they were written, so the stores may bear the cycles of
  // the writes, and the vectors live no longer than they must.
  void add_stores();
  void store_words(int slice, int64_t first, int64_t last);
  // At the end: what is not in a named region nobody may rely on in later launches.
  void store_persistent_words();

  void set_words(MemoryStep& step, int64_t first, int64_t last) const;

  // A WRITE with rows. Its slice is chosen when the program is played, unless no register has a
  // part in it.
  void write_row(const MemInstruction& x, const Iteration& it, const QueueInfo& info);

  void issue(const MemInstruction& x, const Iteration& it, const QueueInfo& info);

  // VXM, MXM and SXM.
  void read_operand(LiftedChain& chain, int position, Direction direction, uint32_t stream,
                    int count);

  static bool level_is(uint32_t level, const Iteration& it, const Timing& timing, bool last);
  uint32_t add_control(const VxmInstruction& each, int position);
  void issue(const VxmInstruction& x, const Iteration& it, const QueueInfo& info);
  void issue(const MxmLoadInstruction& x, const Iteration& it, const QueueInfo& info);

  // A vector in place that only another entry can change: of the data tape, or of MEM.
  bool is_constant(const uint8_t* vector) const;

  void install_tile(LiftedMxm& mxm, const QueueInfo& info);
  void issue(const MxmMacInstruction& x, const Iteration& it, const QueueInfo& info);
  void issue(const SxmInstruction& x, const Iteration& it, const QueueInfo& info);

  // The ports.
  Place receive(const QueueInfo& info);
  void issue(const PortRecvInstruction& x, const Iteration&, const QueueInfo& info);
  void issue(const PortSendInstruction& x, const Iteration&, const QueueInfo& info);

  void reserve_steps();
  void sort_passes();

  const Target& target_;
  const Roll& roll_;
  const Entry& entry_;
  const LiftMemory& memory_;
  const LiftOptions options_;
  const int lanes_;
  int transpose_rows_ = 0;
  IssueSchedule schedule_;
  SegmentCursor tape_, kv_read_;
  std::unique_ptr<Program> program_;
  std::optional<Error> error_;

  uint64_t cycle_ = 0;
  size_t number_ = 0;  // of the instruction that issues, in its queue
  uint64_t ring_ = 0;  // diagonals in the tables below, a power of two
  uint64_t streams_ = 0;
  std::vector<StreamSlot> east_, west_;  // [diagonal mod ring][stream]
  std::vector<std::vector<PendingDrive>> wheel_;  // by cycle of the drive
  uint64_t wheel_mask_ = 0;  // its size, a power of two, less one
  int64_t unit_drives_ = 0;
  std::vector<std::vector<uint8_t>> written_;  // [slice][word]; empty: nothing
  MemoryContents contents_;
  std::vector<MemoryContents::Store> stores_;
  LiftedSteps steps_;
  std::map<Word, uint32_t> controls_;
  uint64_t host_received_ = 0, host_sent_ = 0, kv_sent_ = 0, kv_write_vectors_ = 0;
  uint64_t vectors_ = 0;
  PagedVector<uint64_t> times_;  // of each operation
};

}  // namespace pianola
