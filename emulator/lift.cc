#include "emulator/lift.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>
#include <optional>
#include <string>

#include "emulator/batch_steps.h"
#include "emulator/fuse_products.h"
#include "emulator/lay_out_program.h"
#include "emulator/lifted_steps.h"
#include "emulator/memory_contents.h"
#include "emulator/schedule_issues.h"

namespace pianola {

void Program::Buffer::allocate(size_t size_bytes) {
  bytes = std::make_unique<uint8_t[]>(size_bytes + 128);
  const uintptr_t address = reinterpret_cast<uintptr_t>(bytes.get());
  data = bytes.get() + (64 - address % 64) % 64;
  size = size_bytes;
}

namespace {

int streams_of(VxmFormat format) {
  constexpr int kCounts[] = {0, 1, 4, 4, 2, 2, 4, 4};
  return kCounts[static_cast<int>(format)];
}

int streams_of(VxmOutFormat format) {
  constexpr int kCounts[] = {0, 1, 4, 4, 2, 2};
  return kCounts[static_cast<int>(format)];
}

int lanes_of(LaneSegment segment, int lanes) {
  return segment == LaneSegment::All ? lanes : 8 << static_cast<int>(segment);
}

Place place_of(const void* address) { return reinterpret_cast<uintptr_t>(address); }

struct Iteration {
  uint32_t i1, i2, i3;
};

int64_t stepped(int64_t base, const Iteration& it, int32_t s1, int32_t s2, int32_t s3) {
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

// Calls back each queue in the cycles in which it issues: a ring of lists.
class Calendar {
 public:
  explicit Calendar(size_t queues) : head_(kCycles, -1), next_(queues, -1) {}
  void add(int queue, uint64_t cycle) {
    int& head = head_[cycle % kCycles];
    next_[queue] = head;
    head = queue;
  }
  // Takes everything that may be due; what is not is to be added again.
  void take(uint64_t cycle, std::vector<int>& queues) {
    queues.clear();
    int& head = head_[cycle % kCycles];
    for (int queue = head; queue >= 0; queue = next_[queue]) queues.push_back(queue);
    head = -1;
  }

 private:
  static constexpr uint64_t kCycles = 4096;
  std::vector<int> head_, next_;
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

  Result<std::unique_ptr<Program>> run() {
    TRY(schedule_, schedule_issues(target_, roll_.entry_words(entry_)));
    prepare();
    mark_written_words();
    follow_cycles();
    if (error_) return *error_;
    store_persistent_words();
    steps_.uses.resize(vectors_, 0);
    sort_passes();
    if (options_.fuse && !options_.record_drives && memory_.packed != nullptr) {
      fuse_products(roll_, steps_, *memory_.packed, *program_);
    }
    batch_passes(steps_, *program_, times_);
    batch_multiplications(steps_, *program_, times_);
    steps_ = {};
    program_->cycles = schedule_.end_cycle + 1;
    program_->host_sent = host_sent_;
    program_->kv_sent = kv_sent_;
    lay_out_program(*program_, times_, vectors_, options_.record_drives);
    return std::move(program_);
  }

 private:
  struct StreamSlot {
    uint64_t diagonal = ~uint64_t{0};
    int position = 0;
    Place place = 0;
  };
  struct PendingDrive {
    int position;
    Direction direction;
    int stream;
    Place place;
  };
  void fail(Rule rule, int position, const std::string& what) {
    if (error_) return;
    error_ = Error{ErrorCode::Mismatch, std::string(rule_name(rule)) + ": " + what,
                   entry_.name + " cycle " + std::to_string(cycle_) + " position " +
                       std::to_string(position)};
  }

  void prepare() {
    const size_t size = static_cast<size_t>(lanes_);
    program_->host_input.allocate(entry_.host_receive_vectors * size);
    program_->host_output.allocate(entry_.host_send_vectors * size);
    for (const Segment& segment : entry_.kv_write) {
      kv_write_vectors_ += uint64_t{segment.count} * segment.repeat;
    }
    program_->kv_output.allocate(kv_write_vectors_ * size);
    transpose_rows_ = lanes_ > 64 ? 16 : lanes_;
    program_->transpose.allocate(target_.sxm_positions.size() * transpose_rows_ * size);
    program_->tiles.allocate(target_.mxm_positions.size() * size * size);
    program_->mxm_accumulators.allocate(target_.mxm_positions.size() *
                                        target_.mxm_accumulators * size * 4);
    program_->vxm_accumulators.allocate(static_cast<size_t>(target_.vxm_chains) *
                                        target_.vxm_accumulators * size * 4);
    steps_.chains.resize(target_.vxm_chains);
    steps_.mxms.resize(target_.mxm_positions.size());
    for (LiftedMxm& mxm : steps_.mxms) {
      mxm.shadow.resize(lanes_);
      mxm.loaded.assign(lanes_, 0);
    }
    ring_ = std::bit_ceil(static_cast<uint64_t>(target_.positions()) + 1);
    east_.assign(ring_ * target_.streams, {});
    west_.assign(ring_ * target_.streams, {});
    const int longest = latency_vxm_in(lanes_) + 4 * latency_vxm_mul(lanes_) +
                        2 * latency_vxm_add(lanes_) + latency_vxm_select(lanes_) +
                        latency_vxm_sfu(lanes_) + latency_vxm_tree(lanes_) +
                        latency_vxm_root(lanes_) + latency_vxm_out(lanes_) +
                        latency_mxm_mac(lanes_) + latency_sxm(lanes_) + latency_mem_read(lanes_);
    wheel_.resize(std::bit_ceil(static_cast<uint64_t>(longest) + 2));
  }

  // Least and largest value of a register of the machine.
  std::pair<int64_t, int64_t> register_range(uint32_t index) const {
    if (index == 0) return {0, 0};
    for (const RegisterDeclaration& declaration : entry_.registers) {
      if (declaration.index == static_cast<int>(index)) {
        return {declaration.minimum, declaration.maximum};
      }
    }
    return {-target_.words_per_slice, target_.words_per_slice};
  }

  // A word that this entry may write can not be used in place.
  void mark_written_words() {
    const int words = target_.words_per_slice;
    written_.assign(target_.slices(), {});
    for (size_t q = 0; q < schedule_.queues.size(); ++q) {
      if (target_.queues[q].kind != QueueKind::MemWrite || schedule_.queues[q].empty()) continue;
      std::vector<int32_t> edges(words + 1, 0);
      for (const TimedInstruction& timed : schedule_.queues[q]) {
        const auto& x = std::get<MemInstruction>(timed.instruction);
        const auto [low, high] = register_range(x.reg);
        const int64_t extra = x.op == MemOp::WriteLane ? 1 : 0;
        const int64_t base = x.rows > 0 ? int64_t{x.row} : int64_t{x.address};
        const int64_t row_0 = x.rows > 0 ? int64_t{x.address} : 0;
        for (uint32_t i3 = 0; i3 <= x.timing.n3; ++i3) {
          for (uint32_t i2 = 0; i2 <= x.timing.n2; ++i2) {
            for (uint32_t i1 = 0; i1 <= x.timing.n1; ++i1) {
              const int64_t value = stepped(base, {i1, i2, i3}, x.s1, x.s2, x.s3);
              const int64_t lowest = row_0 + ((value + low) >> x.rows);
              const int64_t highest = row_0 + ((value + high + extra) >> x.rows);
              const int64_t first = std::clamp<int64_t>(lowest, 0, words);
              const int64_t last = std::clamp<int64_t>(highest + 1, first, words);
              ++edges[first];
              --edges[last];
            }
          }
        }
      }
      std::vector<uint8_t>& written = written_[target_.queues[q].unit];
      written.resize(words);
      int32_t depth = 0;
      for (int i = 0; i < words; ++i) {
        depth += edges[i];
        written[i] = depth > 0;
      }
    }
  }

  // The walk over the cycles.

  void follow_cycles() {
    std::vector<IssueCursor> cursors;
    Calendar calendar(schedule_.queues.size());
    for (size_t q = 0; q < schedule_.queues.size(); ++q) {
      cursors.emplace_back(schedule_.queues[q]);
      if (!cursors[q].done()) calendar.add(static_cast<int>(q), cursors[q].cycle());
    }
    std::vector<int> due;
    for (cycle_ = 0; cycle_ <= schedule_.end_cycle && !error_; ++cycle_) {
      calendar.take(cycle_, due);
      // Swaps before loads: a load takes effect a cycle later.
      for (const bool loads : {false, true}) {
        for (const int q : due) {
          const QueueInfo& info = target_.queues[q];
          if ((info.kind == QueueKind::MxmLoad) != loads) continue;
          IssueCursor& cursor = cursors[q];
          if (cursor.cycle() == cycle_) {
            const Iteration it{cursor.i1(), cursor.i2(), cursor.i3()};
            number_ = cursor.number();
            std::visit([&](const auto& x) { issue(x, it, info); }, cursor.instruction());
            cursor.advance();
          }
          if (!cursor.done()) calendar.add(q, cursor.cycle());
        }
      }
      apply_drives();
    }
    if (!error_ && unit_drives_ > 0) {
      --cycle_;
      fail(Rule::EndBusy, 0, "a result is not yet driven");
    }
  }

  void apply_drives() {
    std::vector<PendingDrive>& now = wheel_[cycle_ % wheel_.size()];
    for (const PendingDrive& drive : now) {
      const bool east = drive.direction == Direction::East;
      const uint64_t diagonal =
          east ? cycle_ + ring_ - drive.position : cycle_ + drive.position;
      StreamSlot& slot = (east ? east_ : west_)[diagonal % ring_ * target_.streams + drive.stream];
      if (slot.diagonal == diagonal && slot.position == drive.position) {
        fail(Rule::StreamConflict, drive.position, "stream " + std::to_string(drive.stream));
      }
      slot = {diagonal, drive.position, drive.place};
      if (target_.floorplan[drive.position] != UnitKind::Mem) --unit_drives_;
      if (options_.record_drives) {
        program_->drives.push_back({cycle_, static_cast<uint16_t>(drive.position),
                                    drive.direction, static_cast<uint8_t>(drive.stream),
                                    drive.place});
      }
    }
    now.clear();
  }

  Place read(int position, Direction direction, uint32_t stream) {
    if (stream >= static_cast<uint32_t>(target_.streams)) {
      fail(Rule::IllegalEncoding, position, "stream " + std::to_string(stream));
      return 0;
    }
    const bool east = direction == Direction::East;
    const uint64_t diagonal = east ? cycle_ + ring_ - position : cycle_ + position;
    const StreamSlot& slot =
        (east ? east_ : west_)[diagonal % ring_ * target_.streams + stream];
    if (slot.diagonal != diagonal) {
      fail(Rule::StreamUndefined, position,
           std::string(east ? "east" : "west") + " stream " + std::to_string(stream));
      return 0;
    }
    count_use(slot.place);
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
    wheel_[cycle % wheel_.size()].push_back(
        {position, direction, static_cast<int>(stream), place});
    if (target_.floorplan[position] != UnitKind::Mem) ++unit_drives_;
  }

  void drive_both(uint64_t cycle, int position, uint32_t directions, uint32_t stream,
                  Place place) {
    if (directions == 0) fail(Rule::IllegalEncoding, position, "no direction to drive");
    if ((directions & 1) != 0) drive(cycle, position, Direction::East, stream, place);
    if ((directions & 2) != 0) drive(cycle, position, Direction::West, stream, place);
  }

  Place new_vector() { return kVectorBit | vectors_++; }

  void add_operation(OperationKind kind, size_t first, uint64_t time) {
    program_->operations.push_back({kind, 1, static_cast<uint32_t>(first)});
    times_.push_back(time);
  }

  void add_copy(Place to, Place from) {
    add_operation(OperationKind::Copy, program_->copies.size(), cycle_);
    program_->copies.push_back({to, from});
  }

  // The units.

  Place read_word(int slice, int64_t address) {
    const Place known = contents_.at(slice, address);
    if (known != 0) return read_known(slice, address, known);
    const Place word = place_of(memory_.slices[slice] + address * lanes_);
    const std::vector<uint8_t>& written = written_[slice];
    if (written.empty() || written[address] == 0) return word;
    store_words(slice, address, address + 1);
    const Place vector = new_vector();
    add_copy(vector, word);
    contents_.learn(slice, address, vector);
    return vector;
  }

  Place read_known(int slice, int64_t address, Place known) {
    std::vector<uint32_t> notes;
    for (uint32_t i = contents_.notes_at(slice, address); i != MemoryContents::kNoNote;
         i = contents_.note(i).earlier) {
      notes.push_back(i);
    }
    // More readers than the streams show.
    count_use(known);
    count_use(known);
    for (size_t i = notes.size(); i-- > 0;) {
      const MemoryContents::Note& note = contents_.note(notes[i]);
      count_use(note.written);
      count_use(note.written);
      known = program_->late_places.add({known, note.written, note.reg, note.value});
    }
    if (!notes.empty()) contents_.learn(slice, address, known);
    return known;
  }

  // A WRITE to one word of `first` to `last` - 1: word w if the register is w - base.
  void annotate(int slice, int64_t first, int64_t last, int64_t base, uint32_t reg, Place vector) {
    last = std::min<int64_t>(last, target_.words_per_slice);
    for (int64_t word = std::max<int64_t>(first, 0); word < last; ++word) {
      contents_.annotate(slice, word, vector, reg, static_cast<uint32_t>(word - base));
    }
  }

  // Nothing looked at these words since they were written, so the stores may bear the cycles of
  // the writes, and the vectors live no longer than they must.
  void add_stores() {
    for (const MemoryContents::Store& store : stores_) {
      uint8_t* word = memory_.slices[store.slice] + size_t(store.word) * lanes_;
      add_operation(OperationKind::Copy, program_->copies.size(), store.cycle);
      program_->copies.push_back({place_of(word), store.from});
    }
    stores_.clear();
  }
  void store_words(int slice, int64_t first, int64_t last) {
    contents_.take_stores(slice, first, last, stores_);
    add_stores();
  }
  // At the end: what is not in a named region nobody may rely on in later launches.
  void store_persistent_words() {
    for (const PersistentRegion& region : roll_.metadata.persistent) {
      store_words(region.slice, region.first_word, int64_t{region.first_word} + region.words);
    }
  }

  // A WRITE with rows. Its slice is chosen when the program is played, unless no register has a
  // part in it.
  void write_row(const MemInstruction& x, const Iteration& it, const QueueInfo& info) {
    const int64_t row = stepped(x.row, it, x.s1, x.s2, x.s3);
    const auto turn = static_cast<uint8_t>(info.slice & ((1 << x.rows) - 1));
    const Place vector = read(info.position, x.dir, x.stream);
    if (x.reg == 0) {
      const int64_t address = int64_t{x.address} + (row >> x.rows);
      if (row < 0 || address >= target_.words_per_slice) {
        return fail(Rule::AddressRange, info.position, "row " + std::to_string(row));
      }
      if ((row & ((1 << x.rows) - 1)) == turn) contents_.write(info.unit, address, vector, cycle_);
      return;
    }
    // Word w of this slice holds row (w - address) * 2^rows + turn.
    const auto [low, high] = register_range(x.reg);
    const int64_t first = int64_t{x.address} + ((row + low) >> x.rows);
    const int64_t last = std::min<int64_t>(int64_t{x.address} + ((row + high) >> x.rows) + 1,
                                           target_.words_per_slice);
    for (int64_t word = std::max<int64_t>(first, 0); word < last; ++word) {
      const int64_t number = ((word - int64_t{x.address}) << x.rows) + turn;
      contents_.annotate(info.unit, word, vector, x.reg, static_cast<uint32_t>(number - row));
    }
    MemoryStep step;
    step.vector = vector;
    step.slice = memory_.slices[info.unit];
    step.address = static_cast<int32_t>(x.address);
    step.reg = x.reg;
    step.rows = static_cast<uint8_t>(x.rows);
    step.turn = turn;
    step.row = static_cast<int32_t>(row);
    add_operation(OperationKind::Write, program_->memory_steps.size(), cycle_);
    program_->memory_steps.push_back(step);
  }

  void issue(const MemInstruction& x, const Iteration& it, const QueueInfo& info) {
    const int64_t address = stepped(x.address, it, x.s1, x.s2, x.s3);
    if (x.stream >= static_cast<uint32_t>(target_.streams)) {
      return fail(Rule::IllegalEncoding, info.position, "stream " + std::to_string(x.stream));
    }
    if (x.rows > 0) return write_row(x, it, info);
    if (x.row > 0) return fail(Rule::IllegalEncoding, info.position, "a row without rows");
    const uint32_t stream = (x.stream + info.slice) % target_.streams;
    uint8_t* slice = memory_.slices[info.unit];
    const bool writes = x.op == MemOp::Write || x.op == MemOp::WriteLane;
    Place vector = writes ? read(info.position, x.dir, stream) : 0;
    if (x.reg == 0 && (x.op == MemOp::Read || x.op == MemOp::Write)) {
      if (address < 0 || address >= target_.words_per_slice) {
        return fail(Rule::AddressRange, info.position, "address " + std::to_string(address));
      }
      vector = writes ? vector : read_word(info.unit, address);
      if (writes) contents_.write(info.unit, address, vector, cycle_);
    } else {
      MemoryStep step;
      if (!writes) vector = new_vector();
      step.vector = vector;
      step.slice = slice;
      step.address = static_cast<int32_t>(address);
      step.reg = x.reg;
      step.lane = x.lane + it.i1 * x.lane_step;
      step.lane_reg = x.lane_reg;
      step.limit = x.limit;
      OperationKind kind = writes ? OperationKind::Write : OperationKind::Read;
      if (x.op == MemOp::WriteLane) kind = OperationKind::WriteLane;
      if (x.op == MemOp::Gather) {
        kind = OperationKind::Gather;
        step.index_low = read(info.position, x.index_dir, x.index_stream);
        step.index_high = read(info.position, x.index_dir, x.index_stream + 1);
      }
      const auto [low, high] = register_range(x.reg);
      const int64_t first = address + low;
      const int64_t last = address + high + 1 + (kind == OperationKind::Gather ? x.limit : 0) +
                           (kind == OperationKind::WriteLane ? 1 : 0);
      if (!writes) store_words(info.unit, first, last);
      if (kind == OperationKind::WriteLane) contents_.forget(info.unit, first, last);
      if (kind == OperationKind::Write) {
        annotate(info.unit, first, last, address, x.reg, vector);
      }
      add_operation(kind, program_->memory_steps.size(), cycle_);
      program_->memory_steps.push_back(step);
    }
    if (!writes) drive(cycle_ + latency_mem_read(lanes_), info.position, x.dir, stream, vector);
  }

  void read_operand(std::vector<Place>& places, int position, Direction direction,
                    uint32_t stream, int count) {
    if (count > 1 && stream % count != 0) {
      fail(Rule::IllegalEncoding, position, "operand stream is not aligned");
    }
    for (int b = 0; b < count; ++b) places.push_back(read(position, direction, stream + b));
  }

  static bool level_is(uint32_t level, const Iteration& it, const Timing& timing, bool last) {
    const uint32_t index = level == 1 ? it.i1 : level == 2 ? it.i2 : it.i3;
    const uint32_t n = level == 1 ? timing.n1 : level == 2 ? timing.n2 : timing.n3;
    return index == (last ? n : 0);
  }

  uint32_t add_control(const VxmInstruction& x, int position) {
    VxmControl control;
    control.instruction = x;
    control.x_count = streams_of(x.x_format);
    control.y_count = streams_of(x.y_format);
    control.z_count = streams_of(x.z_format);
    control.out_count = streams_of(x.out_format);
    control.places_per_pass =
        control.x_count + control.y_count + control.z_count + control.out_count;
    control.segment = lanes_of(x.segment, lanes_);
    if (lanes_ % control.segment != 0) fail(Rule::IllegalEncoding, position, "segment");
    const bool uses_r = x.combine == VxmCombine::R || x.combine == VxmCombine::Replace ||
                        x.acc_source == VxmAccSource::R;
    if (x.tree == VxmTree::None && uses_r) fail(Rule::IllegalEncoding, position, "no tree");
    if (x.add_op != VxmAddOp::None && x.add_operand == VxmOperand::None) {
      fail(Rule::IllegalEncoding, position, "add_op without operand");
    }
    program_->vxm_controls.push_back(control);
    return static_cast<uint32_t>(program_->vxm_controls.size() - 1);
  }

  void issue(const VxmInstruction& x, const Iteration& it, const QueueInfo& info) {
    LiftedChain& chain = steps_.chains[info.unit];
    if (chain.instruction != number_) {
      chain.instruction = number_;
      chain.control = add_control(x, info.position);
    }
    const VxmControl& control = program_->vxm_controls[chain.control];
    LiftedPass pass;
    pass.issue = cycle_;
    pass.key = cycle_ + latency_vxm_in(lanes_) + 4 * latency_vxm_mul(lanes_) +
               latency_vxm_add(lanes_) + latency_vxm_select(lanes_);
    if (x.sfu != VxmSfu::None) pass.key += latency_vxm_sfu(lanes_);
    if (x.tree != VxmTree::None) pass.key += latency_vxm_tree(lanes_);
    if (x.root != VxmRoot::None) pass.key += latency_vxm_root(lanes_);
    pass.drive = pass.key + latency_vxm_add(lanes_) + latency_vxm_out(lanes_);
    pass.control = chain.control;
    pass.first_place = chain.places.size();
    read_operand(chain.places, info.position, x.x_dir, x.x_stream, control.x_count);
    read_operand(chain.places, info.position, x.y_dir, x.y_stream, control.y_count);
    read_operand(chain.places, info.position, x.z_dir, x.z_stream, control.z_count);
    pass.pass.threshold = static_cast<int32_t>(
        stepped(x.select_imm, it, x.select_s1, x.select_s2, 0));
    const bool uses_file = x.acc_op != VxmAccOp::None && x.acc_op != VxmAccOp::AddK2;
    const int64_t accumulator = stepped(x.acc, it, x.acc_s1, x.acc_s2, x.acc_s3);
    if (uses_file && (accumulator < 0 || accumulator >= target_.vxm_accumulators)) {
      return fail(Rule::AddressRange, info.position, "VXM accumulator");
    }
    pass.pass.accumulator = static_cast<uint8_t>(accumulator);
    pass.pass.loads = x.first != VxmFirst::Never &&
                      level_is(static_cast<uint32_t>(x.first), it, x.timing, false);
    pass.pass.drives = control.out_count > 0 &&
                       (x.emit == VxmEmit::Always ||
                        level_is(static_cast<uint32_t>(x.emit), it, x.timing, true));
    if (pass.pass.drives && x.out_stream % control.out_count != 0) {
      fail(Rule::IllegalEncoding, info.position, "out_stream is not aligned");
    }
    for (int b = 0; b < control.out_count; ++b) {
      const Place out = pass.pass.drives ? new_vector() : 0;
      chain.places.push_back(out);
      if (out != 0) drive_both(pass.drive, info.position, x.out_dirs, x.out_stream + b, out);
    }
    chain.passes.push_back(pass);
  }

  void issue(const MxmLoadInstruction& x, const Iteration& it, const QueueInfo& info) {
    LiftedMxm& mxm = steps_.mxms[info.unit];
    const int per_byte = 1 << static_cast<int>(x.format);
    const int64_t first = stepped(x.row, it, x.row_s1, x.row_s2, x.row_s3);
    for (int i = 0; i < target_.mxm_load_streams; ++i) {
      const int64_t row = first + int64_t{i} * per_byte;
      if (row >= lanes_) continue;
      if (row < 0 || row + per_byte > lanes_) {
        return fail(Rule::AddressRange, info.position, "tile row " + std::to_string(row));
      }
      const Place from = read(info.position, x.dir, x.stream + i);
      for (int w = 0; w < per_byte; ++w) {
        mxm.shadow[row + w] = {from, x.format, x.orientation, static_cast<uint8_t>(w)};
        mxm.rows_loaded += mxm.loaded[row + w] == 0;
        mxm.loaded[row + w] = 1;
      }
    }
  }

  void install_tile(LiftedMxm& mxm, const QueueInfo& info) {
    if (mxm.rows_loaded != lanes_) {
      return fail(Rule::TileIncomplete, info.position, "rows of the shadow tile are missing");
    }
    LiftedTile tile;
    const TileRow& first = mxm.shadow[0];
    const int per_byte = 8 / weight_bits(first.format);
    const uint64_t stride = lanes_ > per_byte ? mxm.shadow[per_byte].from - first.from : lanes_;
    bool one_orientation = true;
    tile.regular = stride < (uint64_t{1} << 31);
    for (int r = 0; r < lanes_; ++r) {
      const TileRow& row = mxm.shadow[r];
      one_orientation = one_orientation && row.orientation == first.orientation;
      tile.regular = tile.regular && is_in_place(row.from) && row.format == first.format &&
                     row.from == first.from + static_cast<uint64_t>(r / per_byte) * stride &&
                     row.index == r % per_byte;
    }
    tile.regular = tile.regular && one_orientation;
    tile.input_orientation = one_orientation && first.orientation == MxmLoadOrientation::Input;
    if (tile.regular) {
      tile.source = {reinterpret_cast<const uint8_t*>(first.from), static_cast<uint32_t>(stride),
                     first.format, first.orientation};
    } else {
      tile.first_row = program_->tile_rows.size();
      program_->tile_rows.insert(program_->tile_rows.end(), mxm.shadow.begin(),
                                 mxm.shadow.end());
    }
    mxm.tiles.push_back(tile);
    mxm.rows_loaded = 0;
    mxm.loaded.assign(lanes_, 0);
  }

  void issue(const MxmMacInstruction& x, const Iteration& it, const QueueInfo& info) {
    LiftedMxm& mxm = steps_.mxms[info.unit];
    if (x.swap == MxmMacSwap::Always || (x.swap == MxmMacSwap::Level1 && it.i1 == 0)) {
      install_tile(mxm, info);
    }
    if (mxm.tiles.empty()) {
      return fail(Rule::AccumulatorUndefined, info.position, "no tile is installed");
    }
    const int64_t accumulator = stepped(x.acc, it, x.acc_s1, x.acc_s2, x.acc_s3);
    if (accumulator < 0 || accumulator >= target_.mxm_accumulators) {
      return fail(Rule::AddressRange, info.position, "MXM accumulator");
    }
    LiftedMac now;
    now.issue = cycle_;
    now.drive = cycle_ + latency_mxm_mac(lanes_);
    now.tile = static_cast<uint32_t>(mxm.tiles.size() - 1);
    now.step.x = read(info.position, x.dir, x.stream);
    now.step.accumulator = static_cast<uint32_t>(accumulator);
    now.step.clears =
        x.clear == MxmMacClear::Always || (x.clear == MxmMacClear::Level2 && it.i2 == 0);
    now.step.emits =
        x.emit == MxmMacEmit::Always || (x.emit == MxmMacEmit::Level2 && it.i2 == x.timing.n2);
    if (now.step.emits) {
      if (x.out_stream % 4 != 0) {
        fail(Rule::IllegalEncoding, info.position, "out_stream is not aligned");
      }
      for (int b = 0; b < 4; ++b) {
        now.step.out[b] = new_vector();
        drive(now.drive, info.position, x.out_dir, x.out_stream + b, now.step.out[b]);
      }
    }
    mxm.steps.push_back(now);
  }

  void issue(const SxmInstruction& x, const Iteration& it, const QueueInfo& info) {
    SxmStep step;
    step.op = x.op;
    step.width = 1 << static_cast<int>(x.width);
    step.segment = lanes_of(x.segment, lanes_);
    const int64_t amount = x.amount + int64_t{it.i1} * x.amount_s1;
    step.amount = static_cast<int32_t>(amount);
    if (lanes_ % step.segment != 0) fail(Rule::IllegalEncoding, info.position, "segment");
    const bool transposes = x.op == SxmOp::TransposeIn || x.op == SxmOp::TransposeOut;
    const bool moves = x.op == SxmOp::Shift || x.op == SxmOp::Rotate;
    const int limit = transposes ? transpose_rows_ : moves ? step.segment : lanes_;
    if (amount >= limit || amount <= (moves ? -limit : -1)) {
      return fail(Rule::AddressRange, info.position, "amount " + std::to_string(amount));
    }
    if ((transposes && step.width != 1) || x.stream % step.width != 0 ||
        x.out_stream % step.width != 0) {
      return fail(Rule::IllegalEncoding, info.position, "width or streams");
    }
    uint8_t* rows = program_->transpose.data +
                    static_cast<size_t>(info.unit) * transpose_rows_ * lanes_;
    if (x.op == SxmOp::TransposeIn) {
      return add_copy(place_of(rows + amount * lanes_), read(info.position, x.dir, x.stream));
    }
    if (x.op == SxmOp::Permute) step.index = read(info.position, x.index_dir, x.index_stream);
    if (x.op == SxmOp::TransposeOut) step.rows = rows;
    for (int b = 0; b < step.width; ++b) {
      if (!transposes) step.from[b] = read(info.position, x.dir, x.stream + b);
      step.to[b] = new_vector();
      drive_both(cycle_ + latency_sxm(lanes_), info.position, x.out_dirs, x.out_stream + b,
                 step.to[b]);
    }
    add_operation(OperationKind::Sxm, program_->sxm_steps.size(), cycle_);
    program_->sxm_steps.push_back(step);
  }

  Place receive(const QueueInfo& info) {
    if (info.kind == QueueKind::HostRecv) {
      if (host_received_ == entry_.host_receive_vectors) {
        fail(Rule::PortExhausted, info.position, "host.recv");
        return 0;
      }
      return place_of(program_->host_input.data + lanes_ * host_received_++);
    }
    const bool tape = info.kind == QueueKind::TapeRecv;
    SegmentStep step;
    const Segment* segment = (tape ? tape_ : kv_read_).next(step.vector);
    if (segment == nullptr) {
      fail(Rule::PortExhausted, info.position, tape ? "tape.recv" : "kv.recv");
      return 0;
    }
    step.region = reinterpret_cast<const uint8_t*>(tape ? roll_.data.data() : memory_.kv);
    step.region_vectors = tape ? roll_.data.size() / lanes_ : roll_.metadata.kv_vectors;
    if (segment->parameter < 0) {
      if (step.vector >= step.region_vectors) {
        fail(Rule::AddressRange, info.position, "segment beyond its region");
        return 0;
      }
      return place_of(step.region + step.vector * lanes_);
    }
    step.to = new_vector();
    step.parameter = static_cast<uint32_t>(segment->parameter);
    step.limit = segment->limit;
    step.parameter_stride = segment->parameter_stride;
    add_operation(OperationKind::Receive, program_->segment_steps.size(), cycle_);
    program_->segment_steps.push_back(step);
    return step.to;
  }

  void issue(const PortRecvInstruction& x, const Iteration&, const QueueInfo& info) {
    if (x.count < 1 || x.count > static_cast<uint32_t>(target_.port_width_vectors)) {
      return fail(Rule::IllegalEncoding, info.position, "count");
    }
    for (uint32_t i = 0; i < x.count && !error_; ++i) {
      drive_both(cycle_ + latency_port_recv(lanes_), info.position, x.out_dirs,
                 x.out_stream + i, receive(info));
    }
  }

  void issue(const PortSendInstruction& x, const Iteration&, const QueueInfo& info) {
    if (x.count < 1 || x.count > static_cast<uint32_t>(target_.port_width_vectors)) {
      return fail(Rule::IllegalEncoding, info.position, "count");
    }
    const bool kv = info.kind == QueueKind::KvSend;
    uint64_t& sent = kv ? kv_sent_ : host_sent_;
    const uint64_t limit = kv ? kv_write_vectors_ : entry_.host_send_vectors;
    for (uint32_t i = 0; i < x.count; ++i) {
      if (sent == limit) {
        return fail(Rule::PortExhausted, info.position, kv ? "kv.send" : "host.send");
      }
      uint8_t* to = (kv ? program_->kv_output : program_->host_output).data + lanes_ * sent++;
      add_copy(place_of(to), read(info.position, x.dir, x.stream + i));
    }
  }

  void sort_passes() {
    for (LiftedChain& chain : steps_.chains) {
      std::stable_sort(chain.passes.begin(), chain.passes.end(),
                       [](const auto& a, const auto& b) { return a.key < b.key; });
    }
  }

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
  uint64_t ring_ = 0;  // diagonals in the tables below
  std::vector<StreamSlot> east_, west_;  // [diagonal mod ring][stream]
  std::vector<std::vector<PendingDrive>> wheel_;  // by cycle of the drive
  int64_t unit_drives_ = 0;
  std::vector<std::vector<uint8_t>> written_;  // [slice][word]; empty: nothing
  MemoryContents contents_;
  std::vector<MemoryContents::Store> stores_;
  LiftedSteps steps_;
  uint64_t host_received_ = 0, host_sent_ = 0, kv_sent_ = 0, kv_write_vectors_ = 0;
  uint64_t vectors_ = 0;
  std::vector<uint64_t> times_;  // of each operation
};

}  // namespace

Result<std::unique_ptr<Program>> lift(const Roll& roll, const Entry& entry,
                                      const LiftMemory& memory, const LiftOptions& options) {
  return Lifter(roll, entry, memory, options).run();
}

}  // namespace pianola
