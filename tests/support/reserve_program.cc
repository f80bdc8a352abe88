#include "tests/support/reserve_program.h"

#include <algorithm>

namespace pianola::test {
namespace {

int vectors_of(VxmFormat format) {
  if (format == VxmFormat::None) return 0;
  if (format == VxmFormat::I8) return 1;
  return format == VxmFormat::Bf16 || format == VxmFormat::F16 ? 2 : 4;
}

}  // namespace

Reservations::Reservations(const Target& target, std::vector<uint32_t> register_maxima)
    : target_(target), register_maxima_(std::move(register_maxima)) {
  const auto count = [](int value) { return static_cast<size_t>(value); };
  free_from_.resize(target.queues.size());
  visible_.assign(count(target.slices()),
                  std::vector<uint64_t>(count(target.words_per_slice), kNever));
  set_.assign(count(target.vxm_chains), std::vector<uint64_t>(count(target.vxm_accumulators), kNever));
  mxms_.resize(target.mxm_positions.size());
  for (Mxm& mxm : mxms_) mxm.cleared.resize(count(target.mxm_accumulators));
  rows_.assign(target.sxm_positions.size(),
               std::vector<uint64_t>(count(target.lanes > 64 ? 16 : target.lanes), kNever));
  const int fifos[] = {target.tape_fifo_vectors, target.kv_fifo_vectors, target.host_fifo_vectors,
                       target.kv_fifo_vectors, target.host_fifo_vectors};
  for (const int fifo : fifos) port_level_.push_back(static_cast<uint64_t>(fifo * target.lanes));
  port_cycle_.resize(port_level_.size());
}

bool Reservations::is_written(int slice, int64_t low, int64_t high, uint64_t cycle) const {
  if (low < 0 || high >= target_.words_per_slice) return false;
  for (int64_t word = low; word <= high; ++word) {
    if (visible_[static_cast<size_t>(slice)][static_cast<size_t>(word)] > cycle) return false;
  }
  return true;
}

bool Reservations::transposer_full(int sxm) const {
  const std::vector<uint64_t>& rows = rows_[static_cast<size_t>(sxm)];
  return std::find(rows.begin(), rows.end(), kNever) == rows.end();
}

bool Reservations::drive(const QueueInfo& at, uint64_t cycle, uint32_t dirs, uint32_t stream,
                         int count) {
  for (uint32_t side = 0; side < 2; ++side) {
    if ((dirs >> side & 1) == 0) continue;
    const uint64_t place = static_cast<uint64_t>(at.position);
    const uint64_t diagonal = side == 0 ? cycle + 1000 - place : cycle + place;
    for (int k = 0; k < count; ++k) {
      uint64_t& drivers = drives_[(diagonal * 2 + side) * 64 + stream + static_cast<uint64_t>(k)];
      if ((drivers >> at.position & 1) != 0) return false;
      set(drivers, drivers | uint64_t{1} << at.position);
    }
  }
  return true;
}

bool Reservations::is_defined(const QueueInfo& at, uint64_t cycle, Direction dir, uint32_t stream,
                              int count) {
  const uint64_t place = static_cast<uint64_t>(at.position);
  const uint64_t side = dir == Direction::East ? 0 : 1;
  const uint64_t diagonal = side == 0 ? cycle + 1000 - place : cycle + place;
  for (int k = 0; k < count; ++k) {
    const auto found = drives_.find((diagonal * 2 + side) * 64 + stream + static_cast<uint64_t>(k));
    if (found == drives_.end()) return false;
    const uint64_t upstream = side == 0 ? found->second & ((uint64_t{1} << place) - 1)
                                        : found->second >> place >> 1;
    if (upstream == 0) return false;
  }
  return true;
}

bool Reservations::take_bank(int slice, uint64_t cycle, int64_t low, int64_t high, bool writes) {
  if (low < 0 || high >= target_.words_per_slice) return false;
  const int64_t half = target_.words_per_slice / 2;
  const uint64_t banks = (low < half ? 1u : 0u) | (high >= half ? 2u : 0u);
  uint64_t& taken = banks_[static_cast<uint64_t>(slice) << 40 | cycle];
  const uint64_t others = writes ? taken & 3 : taken >> 2;
  if ((others & banks) != 0) return false;
  set(taken, taken | (writes ? banks << 2 : banks));
  return true;
}

bool Reservations::take_port(QueueKind kind, uint64_t cycle, uint32_t count) {
  const int rates[] = {target_.tape_bytes_per_cycle, target_.kv_bytes_per_cycle,
                       target_.host_bytes_per_cycle, target_.kv_bytes_per_cycle,
                       target_.host_bytes_per_cycle};
  const int fifos[] = {target_.tape_fifo_vectors, target_.kv_fifo_vectors, target_.host_fifo_vectors,
                       target_.kv_fifo_vectors, target_.host_fifo_vectors};
  const size_t port = static_cast<size_t>(kind);
  const uint64_t full = static_cast<uint64_t>(fifos[port] * target_.lanes);
  const uint64_t gained = (cycle - port_cycle_[port]) * static_cast<uint64_t>(rates[port]);
  const uint64_t level = std::min(full, port_level_[port] + gained);
  const uint64_t bytes = uint64_t{count} * static_cast<uint64_t>(target_.lanes);
  if (level < bytes) return false;
  const bool host = kind == QueueKind::HostRecv || kind == QueueKind::HostSend;
  if (!host && !take_memory(cycle, bytes)) return false;
  set(port_level_[port], level - bytes);
  set(port_cycle_[port], cycle);
  return true;
}

// What ports take from the memory that they share, whatever the words take: those come at their rate, and a
// few at once.
bool Reservations::take_memory(uint64_t cycle, uint64_t bytes) {
  if (target_.memory_bytes_per_cycle == 0) return true;
  const int64_t full = int64_t{target_.tape_fifo_vectors} * target_.lanes - 4 * kWordBits / 8;
  const int64_t rate = target_.memory_bytes_per_cycle - target_.instruction_bytes_per_cycle;
  set(memory_bytes_[cycle], memory_bytes_[cycle] + bytes);
  int64_t level = full;
  uint64_t now = 0;
  for (const auto& [next, taken] : memory_bytes_) {
    level = std::min(full, level + static_cast<int64_t>(next - now) * rate);
    level -= static_cast<int64_t>(taken);
    if (level < 0) return false;
    now = next;
  }
  return true;
}

// WRITE with rows: any of the rows that the registers may make it takes the bank of its word.
bool Reservations::issue_row(const MemInstruction& x, const QueueInfo& at, const Iteration& it) {
  const int64_t row = static_cast<int64_t>(x.row) + int64_t{x.s1} * it.i1 +
                      int64_t{x.s2} * it.i2 + int64_t{x.s3} * it.i3;
  const int64_t last = row + register_maxima_[x.reg], slices = int64_t{1} << x.rows;
  if (row < 0) return false;
  if (!take_bank(at.unit, it.cycle, x.address + row / slices, x.address + last / slices, true) ||
      !is_defined(at, it.cycle, x.dir, x.stream, 1)) {
    return false;
  }
  if (row != last || row % slices != at.slice % slices) return true;
  uint64_t& visible = visible_[static_cast<size_t>(at.unit)]
                              [static_cast<size_t>(x.address + row / slices)];
  const uint64_t seen = it.cycle + static_cast<uint64_t>(latency_mem_write(target_.lanes));
  if (seen < visible) set(visible, seen);
  return true;
}

bool Reservations::issue(const MemInstruction& x, const QueueInfo& at, const Iteration& it) {
  if (x.rows > 0) return issue_row(x, at, it);
  const int64_t address = static_cast<int64_t>(x.address) + int64_t{x.s1} * it.i1 +
                          int64_t{x.s2} * it.i2 + int64_t{x.s3} * it.i3;
  int64_t low = address, high = address + register_maxima_[x.reg];
  const uint32_t stream =
      (x.stream + static_cast<uint32_t>(at.slice)) % static_cast<uint32_t>(target_.streams);
  const bool reads = x.op == MemOp::Read || x.op == MemOp::Gather;
  if (x.op == MemOp::Gather) {
    high += x.limit;
    if (!is_defined(at, it.cycle, x.index_dir, x.index_stream, 2)) return false;
  }
  if (x.op == MemOp::WriteLane) {
    const int64_t lane = int64_t{register_maxima_[x.lane_reg]} + x.lane + int64_t{x.lane_step} * it.i1;
    // The range must hold for all iterations at once: the verifier looks at intervals.
    const int64_t most = int64_t{register_maxima_[x.lane_reg]} + x.lane +
                         int64_t{x.lane_step} * x.timing.n1;
    if (lane >= 2 * target_.lanes) return false;
    if (most >= target_.lanes) high += 1;
    if (int64_t{x.lane} >= target_.lanes) low += 1;
  }
  if (!take_bank(at.unit, it.cycle, low, high, !reads)) return false;
  if (reads) {
    if (!is_written(at.unit, low, high, it.cycle)) return false;
    return drive(at, it.cycle + static_cast<uint64_t>(latency_mem_read(target_.lanes)),
                 direction_bit(x.dir), stream, 1);
  }
  if (!is_defined(at, it.cycle, x.dir, stream, 1)) return false;
  if (low != high) return true;
  uint64_t& visible = visible_[static_cast<size_t>(at.unit)][static_cast<size_t>(low)];
  const uint64_t seen = it.cycle + static_cast<uint64_t>(latency_mem_write(target_.lanes));
  if (seen < visible) set(visible, seen);
  return true;
}

bool Reservations::use_accumulator(size_t chain, int64_t acc, uint64_t cycle, bool sets) {
  if (acc < 0 || acc >= target_.vxm_accumulators) return false;
  const uint64_t apart = static_cast<uint64_t>(latency_vxm_add(target_.lanes));
  const auto key = [&](uint64_t when) {
    return (when << 16) | chain << 8 | static_cast<uint64_t>(acc);
  };
  for (uint64_t when = cycle - apart + 1; when < cycle + apart; ++when) {
    const auto found = uses_.find(key(when));
    if (found != uses_.end() && found->second != 0) return false;
  }
  set(uses_[key(cycle)], 1);
  uint64_t& first = set_[chain][static_cast<size_t>(acc)];
  if (!sets) return first < cycle;
  if (cycle < first) set(first, cycle);
  return true;
}

bool Reservations::issue(const VxmInstruction& x, const QueueInfo& at, const Iteration& it) {
  if (!is_defined(at, it.cycle, x.x_dir, x.x_stream, vectors_of(x.x_format)) ||
      !is_defined(at, it.cycle, x.y_dir, x.y_stream, vectors_of(x.y_format)) ||
      !is_defined(at, it.cycle, x.z_dir, x.z_stream, vectors_of(x.z_format))) {
    return false;
  }
  const int lanes = target_.lanes;
  const uint64_t drives = it.cycle + static_cast<uint64_t>(pass_latency(target_, x));
  const uint64_t accumulates =
      drives - static_cast<uint64_t>(latency_vxm_out(lanes) + latency_vxm_add(lanes));
  const uint64_t combines = accumulates - static_cast<uint64_t>(latency_vxm_mul(lanes));
  const int sfu = x.sfu == VxmSfu::None ? 0 : latency_vxm_sfu(lanes);
  const uint64_t chain = static_cast<uint64_t>(at.unit);
  uint64_t& mul3 = stages_[(it.cycle + static_cast<uint64_t>(sfu)) * 64 + chain * 2];
  if (mul3 != 0) return false;
  set(mul3, 1);
  uint64_t& combine = stages_[combines * 64 + chain * 2 + 1];
  if (combine != 0) return false;
  set(combine, 1);
  const bool modifies =
      x.acc_op == VxmAccOp::Add || x.acc_op == VxmAccOp::Max || x.acc_op == VxmAccOp::Min;
  if (modifies || x.acc_op == VxmAccOp::Load || x.acc_op == VxmAccOp::Read) {
    const int64_t acc = static_cast<int64_t>(x.acc) + int64_t{x.acc_s1} * it.i1 +
                        int64_t{x.acc_s2} * it.i2 + int64_t{x.acc_s3} * it.i3;
    const bool first = (x.first == VxmFirst::Level1 && it.i1 == 0) ||
                       (x.first == VxmFirst::Level2 && it.i2 == 0) ||
                       (x.first == VxmFirst::Level3 && it.i3 == 0);
    const bool sets = x.acc_op == VxmAccOp::Load || (modifies && first);
    if (!use_accumulator(chain, acc, accumulates, sets)) return false;
  }
  const bool emits = x.emit == VxmEmit::Always || (x.emit == VxmEmit::Level1 && it.i1 == x.timing.n1) ||
                     (x.emit == VxmEmit::Level2 && it.i2 == x.timing.n2) ||
                     (x.emit == VxmEmit::Level3 && it.i3 == x.timing.n3);
  if (x.out_format == VxmOutFormat::None || !emits) return true;
  return drive(at, drives, x.out_dirs, x.out_stream,
               vectors_of(static_cast<VxmFormat>(x.out_format)));
}

bool Reservations::issue(const MxmLoadInstruction& x, const QueueInfo& at, const Iteration& it) {
  // The writer loads all rows by one instruction: the last issue completes the tile.
  Mxm& mxm = mxms_[static_cast<size_t>(at.unit)];
  if (it.cycle < mxm.swapped) return false;
  const int weights = 1 << static_cast<int>(x.format);
  const int64_t row = static_cast<int64_t>(x.row) + int64_t{x.row_s1} * it.i1 +
                      int64_t{x.row_s2} * it.i2 + int64_t{x.row_s3} * it.i3;
  if (row < 0) return false;
  for (int i = 0; i < target_.mxm_load_streams && row + i * weights < target_.lanes; ++i) {
    if (!is_defined(at, it.cycle, x.dir, x.stream + static_cast<uint32_t>(i), 1)) return false;
  }
  const bool last = it.i1 == x.timing.n1 && it.i2 == x.timing.n2 && it.i3 == x.timing.n3;
  if (last) set(mxm.shadow, it.cycle + static_cast<uint64_t>(latency_mxm_load(target_.lanes)));
  return true;
}

bool Reservations::issue(const MxmMacInstruction& x, const QueueInfo& at, const Iteration& it) {
  Mxm& mxm = mxms_[static_cast<size_t>(at.unit)];
  if (!is_defined(at, it.cycle, x.dir, x.stream, 1)) return false;
  if (x.swap == MxmMacSwap::Always || (x.swap == MxmMacSwap::Level1 && it.i1 == 0)) {
    if (mxm.shadow == kNever || it.cycle < mxm.shadow) return false;
    set(mxm.shadow, kNever);
    set(mxm.swapped, it.cycle + 1);
    set(mxm.installed, 1);
  }
  if (mxm.installed == 0) return false;
  const int64_t acc = static_cast<int64_t>(x.acc) + int64_t{x.acc_s1} * it.i1 +
                      int64_t{x.acc_s2} * it.i2 + int64_t{x.acc_s3} * it.i3;
  if (acc < 0 || acc >= target_.mxm_accumulators) return false;
  const bool clears =
      x.clear == MxmMacClear::Always || (x.clear == MxmMacClear::Level2 && it.i2 == 0);
  uint64_t& cleared = mxm.cleared[static_cast<size_t>(acc)];
  if (!clears && cleared == 0) return false;
  set(cleared, 1);
  const bool emits =
      x.emit == MxmMacEmit::Always || (x.emit == MxmMacEmit::Level2 && it.i2 == x.timing.n2);
  return !emits || drive(at, it.cycle + static_cast<uint64_t>(latency_mxm_mac(target_.lanes)),
                         direction_bit(x.out_dir), x.out_stream, 4);
}

bool Reservations::issue(const SxmInstruction& x, const QueueInfo& at, const Iteration& it) {
  const int width = 1 << static_cast<int>(x.width);
  const int64_t amount = x.amount + int64_t{x.amount_s1} * it.i1;
  std::vector<uint64_t>& rows = rows_[static_cast<size_t>(at.unit)];
  const bool transposes = x.op == SxmOp::TransposeIn || x.op == SxmOp::TransposeOut;
  if (transposes && (amount < 0 || amount >= static_cast<int64_t>(rows.size()))) return false;
  if (x.op == SxmOp::TransposeOut) {
    for (const uint64_t row : rows) {
      if (row > it.cycle) return false;
    }
  } else if (!is_defined(at, it.cycle, x.dir, x.stream, width)) {
    return false;
  }
  if (x.op == SxmOp::TransposeIn) {
    uint64_t& row = rows[static_cast<size_t>(amount)];
    const uint64_t seen = it.cycle + static_cast<uint64_t>(latency_sxm_transpose(target_.lanes));
    if (seen < row) set(row, seen);
    return true;
  }
  if (x.op == SxmOp::Permute && !is_defined(at, it.cycle, x.index_dir, x.index_stream, 1)) {
    return false;
  }
  return drive(at, it.cycle + static_cast<uint64_t>(latency_sxm(target_.lanes)), x.out_dirs,
               x.out_stream, width);
}

bool Reservations::issue(const PortRecvInstruction& x, const QueueInfo& at, const Iteration& it) {
  return take_port(at.kind, it.cycle, x.count) &&
         drive(at, it.cycle + static_cast<uint64_t>(latency_port_recv(target_.lanes)), x.out_dirs,
               x.out_stream, static_cast<int>(x.count));
}

bool Reservations::issue(const PortSendInstruction& x, const QueueInfo& at, const Iteration& it) {
  return take_port(at.kind, it.cycle, x.count) &&
         is_defined(at, it.cycle, x.dir, x.stream, static_cast<int>(x.count));
}

bool Reservations::issue_all(const Operation& operation, int queue, uint64_t start) {
  const QueueInfo& at = target_.queues[static_cast<size_t>(queue)];
  const Timing& t = timing_of(operation.instruction);
  for (uint32_t i3 = 0; i3 <= t.n3; ++i3) {
    for (uint32_t i2 = 0; i2 <= t.n2; ++i2) {
      for (uint32_t i1 = 0; i1 <= t.n1; ++i1) {
        const Iteration it{start + i1 * t.p1 + i2 * t.p2 + i3 * t.p3, i1, i2, i3};
        if (!std::visit([&](const auto& x) { return issue(x, at, it); }, operation.instruction)) {
          return false;
        }
      }
    }
  }
  return true;
}

// The operations come in the order of their first issues: producers before consumers.
bool Reservations::place(const std::vector<Operation>& operations, uint64_t origin) {
  journal_.clear();
  bool good = true;
  for (size_t i = 0; i < operations.size() && good; ++i) {
    const Operation& op = operations[i];
    const uint64_t start = origin + static_cast<uint64_t>(op.offset);
    for (int k = 0; k < 8 && good; ++k) {
      if ((op.mask >> k & 1) == 0) continue;
      uint64_t& free = free_from_[static_cast<size_t>(op.queue + k)];
      good = start >= free;
      if (!good) break;
      set(free, start + timing_span(timing_of(op.instruction)) + 1);
      good = issue_all(op, op.queue + k, start);
    }
  }
  if (!good) {
    for (auto undo = journal_.rbegin(); undo != journal_.rend(); ++undo) *undo->first = undo->second;
  }
  return good;
}

}  // namespace pianola::test
