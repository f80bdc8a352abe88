#include "emulator/lift.h"

#include <algorithm>
#include <bit>

#include "emulator/batch_steps.h"
#include "emulator/fuse_products.h"
#include "emulator/lay_out_program.h"
#include "emulator/lifter.h"

namespace pianola {

void Program::Buffer::allocate(size_t size_bytes) {
  bytes = std::make_unique<uint8_t[]>(size_bytes + 128);
  const uintptr_t address = reinterpret_cast<uintptr_t>(bytes.get());
  data = bytes.get() + (64 - address % 64) % 64;
  size = size_bytes;
}

namespace {

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

}  // namespace

Result<std::unique_ptr<Program>> Lifter::run() {
  TRY(schedule_, schedule_issues(target_, roll_.entry_words(entry_)));
  prepare();
  reserve_steps();
  mark_written_words();
  follow_cycles();
  if (error_) return *error_;
  store_persistent_words();
  steps_.uses.resize(vectors_, 0);
  sort_passes();
  if (options_.fuse && !options_.record_drives && memory_.packed != nullptr) {
    const IsConstant constant = [this](const uint8_t* vector) { return is_constant(vector); };
    fuse_products(constant, steps_, *memory_.packed, *program_);
  }
  batch_passes(steps_, *program_, times_);
  batch_multiplications(steps_, *program_, times_);
  steps_ = {};
  program_->cycles = schedule_.end_cycle + 1;
  program_->host_sent = host_sent_;
  program_->kv_sent = kv_sent_;
  list_written_words();
  lay_out_program(*program_, times_, vectors_, memory_.mem, options_.record_drives);
  return std::move(program_);
}

void Lifter::fail(Rule rule, int position, const std::string& what) {
  if (error_) return;
  error_ = Error{ErrorCode::Mismatch, std::string(rule_name(rule)) + ": " + what,
                 entry_.name + " cycle " + std::to_string(cycle_) + " position " +
                     std::to_string(position)};
}

void Lifter::prepare() {
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
  steps_.mac_delay = static_cast<uint32_t>(latency_mxm_mac(lanes_));
  steps_.chains.resize(target_.vxm_chains);
  steps_.mxms.resize(target_.mxm_positions.size());
  for (LiftedMxm& mxm : steps_.mxms) {
    mxm.shadow.resize(lanes_);
    mxm.loaded.assign(lanes_, 0);
  }
  streams_ = static_cast<uint64_t>(target_.streams);
  ring_ = std::bit_ceil(static_cast<uint64_t>(target_.positions()) + 1);
  east_.assign(ring_ * target_.streams, {});
  west_.assign(ring_ * target_.streams, {});
  const int longest = latency_vxm_in(lanes_) + 4 * latency_vxm_mul(lanes_) +
                      2 * latency_vxm_add(lanes_) + latency_vxm_select(lanes_) +
                      latency_vxm_sfu(lanes_) + latency_vxm_tree(lanes_) +
                      latency_vxm_root(lanes_) + latency_vxm_out(lanes_) +
                      latency_mxm_mac(lanes_) + latency_sxm(lanes_) + latency_mem_read(lanes_);
  wheel_.resize(std::bit_ceil(static_cast<uint64_t>(longest) + 2));
  wheel_mask_ = wheel_.size() - 1;
}

void Lifter::follow_cycles() {
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

void Lifter::apply_drives() {
  std::vector<PendingDrive>& now = wheel_[cycle_ & wheel_mask_];
  for (const PendingDrive& drive : now) {
    const bool east = drive.direction == Direction::East;
    const uint64_t diagonal =
        east ? cycle_ + ring_ - drive.position : cycle_ + drive.position;
    StreamSlot& slot = (east ? east_ : west_)[(diagonal & (ring_ - 1)) * streams_ + drive.stream];
    if (slot.diagonal == diagonal && slot.position == drive.position) {
      fail(Rule::StreamConflict, drive.position, "stream " + std::to_string(drive.stream));
    }
    slot = {diagonal, drive.position, drive.place};
    if (target_.floorplan[drive.position] != UnitKind::Mem) --unit_drives_;
    if (options_.record_drives) {
      program_->drives.push_back({cycle_, drive.position, drive.direction, drive.stream, drive.place});
    }
  }
  now.clear();
}

// Keys are not far from the cycles of issue, which are in order: each pass moves a few places at most.
void Lifter::sort_passes() {
  const auto key = [this](const LiftedPass& pass) {
    return pass.issue + steps_.delays[pass.control].key;
  };
  for (LiftedChain& chain : steps_.chains) {
    PagedVector<LiftedPass>& passes = chain.passes;
    for (size_t i = 1; i < passes.size(); ++i) {
      if (key(passes[i - 1]) <= key(passes[i])) continue;
      const LiftedPass pass = passes[i];
      size_t at = i;
      for (; at > 0 && key(passes[at - 1]) > key(pass); --at) passes[at] = passes[at - 1];
      passes[at] = pass;
    }
  }
}

// Steps are many: their lists get their room at once.
void Lifter::reserve_steps() {
  constexpr uint64_t kMostSteps = 1 << 23, kMostPlaces = 4 * kMostSteps;
  for (size_t q = 0; q < schedule_.queues.size(); ++q) {
    const QueueInfo& info = target_.queues[q];
    if (info.kind != QueueKind::VxmPass && info.kind != QueueKind::MxmMac) continue;
    uint64_t steps = 0, places = 0;
    for (const TimedInstruction& timed : schedule_.queues[q]) {
      const Timing& t = timing_of(timed.instruction);
      const uint64_t issues = (uint64_t{t.n1} + 1) * (uint64_t{t.n2} + 1) * (uint64_t{t.n3} + 1);
      steps = std::min(kMostSteps, steps + std::min(kMostSteps, issues));
      if (const auto* x = std::get_if<VxmInstruction>(&timed.instruction)) {
        int operands = 0;  // that take more if they are not neighbours
        for (const int streams : {streams_of(x->x_format), streams_of(x->y_format),
                                  streams_of(x->z_format), streams_of(x->out_format)}) {
          operands += streams == PassPlaces::kMost ? 1 : streams;
        }
        places = std::min(kMostPlaces, places + std::min(kMostSteps, issues) *
                                                    static_cast<uint64_t>(operands));
      }
    }
    if (info.kind == QueueKind::MxmMac) {
      steps_.mxms[info.unit].steps.reserve(steps);
    } else {
      steps_.chains[info.unit].passes.reserve(steps);
      steps_.chains[info.unit].places.reserve(places);
    }
  }
}

Result<std::unique_ptr<Program>> lift(const Roll& roll, const Entry& entry,
                                      const LiftMemory& memory, const LiftOptions& options) {
  return Lifter(roll, entry, memory, options).run();
}

}  // namespace pianola
