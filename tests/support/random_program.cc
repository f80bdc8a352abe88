#include "tests/support/random_program.h"

#include "tests/support/random_author.h"
#include "verifier/verify_roll.h"

namespace pianola::test {

bool Author::send(int depth) {
  const std::vector<int> counts = {1, 1, 2, 4, 4};
  const int count = std::min(random_.pick(counts), target_.port_width_vectors);
  PortSendInstruction x;
  x.timing = random_timing(options_.issues_max);
  x.count = static_cast<uint32_t>(count);
  const std::optional<Operand> in = need(target_.port_position, 0, count, x.timing, depth);
  if (!in) return false;
  x.dir = in->dir;
  x.stream = in->stream;
  add(builder_.queue(random_.chance(80) ? QueueKind::HostSend : QueueKind::KvSend), 0, x);
  return commit();
}

// What an MXM emits, as much of it as the port is wide.
bool Author::send_sums(int mxm) {
  PortSendInstruction x;
  x.timing = random_timing(options_.issues_max);
  x.count = static_cast<uint32_t>(std::min(4, target_.port_width_vectors));
  const std::optional<Operand> in = from_mac(mxm, target_.port_position, 0, x.timing, 1);
  if (!in) return false;
  x.dir = in->dir;
  x.stream = in->stream;
  add(builder_.queue(QueueKind::HostSend), 0, x);
  return commit();
}

bool Author::fill(int slice, int depth) {
  MemInstruction x;
  x.op = MemOp::Write;
  x.timing = random_timing(options_.issues_max);
  if (depth == 0 && x.timing.n1 == 0) x.timing = Timing{.start = 0, .n1 = 5, .p1 = 1};
  const int count = static_cast<int>(issues_of(x.timing));
  const std::optional<Operand> in =
      need(target_.slice_position(slice), 0, 1, x.timing, depth);
  if (!in || count > target_.words_per_slice) return false;
  x.dir = in->dir;
  x.stream = slice_stream(in->stream, slice);
  x.s1 = 1;
  x.s2 = static_cast<int32_t>(x.timing.n1 + 1);
  x.s3 = static_cast<int32_t>((x.timing.n1 + 1) * (x.timing.n2 + 1));
  const int low = random_.below(target_.words_per_slice - count + 1);
  x.address = static_cast<uint32_t>(low);
  if (random_.chance(30)) {  // the same words from the last to the first
    x.address = static_cast<uint32_t>(low + count - 1);
    x.s1 = -x.s1, x.s2 = -x.s2, x.s3 = -x.s3;
  }
  const bool by_register = options_.registers && depth > 0 && random_.chance(15) &&
                           low + count + static_cast<int>(kAddressSmallMax) < target_.words_per_slice;
  if (by_register) x.reg = kAddressSmall;  // defines nothing for certain
  if (!by_register) to_fill_.push_back({slice, low, count});
  add(builder_.queue(QueueKind::MemWrite, slice), 0, x);
  return commit();
}

bool Author::fill_masked() {
  const int per_position = target_.slices_per_position;
  const int count = std::min({4, per_position, target_.port_width_vectors});
  if (count < 2) return false;
  const int slice = random_.below(static_cast<int>(target_.mem_positions.size())) * per_position +
                    random_.below(per_position - count + 1);
  MemInstruction x;
  x.op = MemOp::Write;
  x.timing = Timing{.start = 0, .n1 = static_cast<uint32_t>(random_.between(3, 8)), .p1 = 1};
  const std::optional<Operand> in =
      need(target_.slice_position(slice), 0, count == 3 ? 2 : count, x.timing, 1);
  if (!in) return false;
  const int used = count == 3 ? 2 : count;
  x.dir = in->dir;
  x.stream = slice_stream(in->stream, slice);
  x.s1 = 1;
  const int words = static_cast<int>(x.timing.n1) + 1;
  x.address = static_cast<uint32_t>(random_.below(target_.words_per_slice - words + 1));
  for (int i = 0; i < used; ++i) to_fill_.push_back({slice + i, static_cast<int>(x.address), words});
  add(builder_.queue(QueueKind::MemWrite, slice), 0, x, (1u << used) - 1);
  return commit();
}

// Rows that slices of a position hold in turn, the slices of the instruction or more than those.
bool Author::fill_rows() {
  const bool by_register = options_.registers && !filled_.empty() && random_.chance(50);
  const Words over = by_register ? random_.pick(filled_) : Words{random_.below(target_.slices())};
  const int per_position = target_.slices_per_position;
  MemInstruction x;
  x.op = MemOp::Write;
  x.timing = random_timing(options_.issues_max);
  x.rows = static_cast<uint32_t>(random_.between(1, 3));
  const int turns = 1 << x.rows;
  const int stride = random_.chance(80) ? 1 : random_.pick(std::vector<int>{3, turns});
  const int reach = stride * (static_cast<int>(issues_of(x.timing)) - 1);
  const int low = random_.below(std::min(511 - reach, turns * over.count + 2 * turns) + 1);
  const int words = (low + reach + static_cast<int>(kAddressLargeMax)) / turns + 1;
  if (words > target_.words_per_slice) return false;
  // Where reads will see it.
  const int room = target_.words_per_slice - words;
  x.address = static_cast<uint32_t>(by_register ? std::min(over.low, room)
                                                : random_.below(room + 1));
  x.row = static_cast<uint32_t>(low);
  x.s1 = stride;
  x.s2 = stride * static_cast<int32_t>(x.timing.n1 + 1);
  x.s3 = x.s2 * static_cast<int32_t>(x.timing.n2 + 1);
  if (random_.chance(30)) {  // the last row first
    x.row = static_cast<uint32_t>(low + reach);
    x.s1 = -x.s1, x.s2 = -x.s2, x.s3 = -x.s3;
  }
  if (by_register) x.reg = random_.chance(50) ? kAddressSmall : kAddressLarge;
  const std::optional<Operand> in =
      need(target_.slice_position(over.slice), 0, 1, x.timing, options_.depth_max - 1);
  if (!in) return false;
  x.dir = in->dir;
  x.stream = in->stream;
  const int slices = random_.chance(70) ? std::min(turns, per_position)
                                        : random_.between(1, std::min(8, per_position));
  const int first = over.slice - slice_offset(over.slice) +
                    random_.below(per_position - slices + 1);
  for (int slice = first; slice < first + slices && !by_register && stride == 1; ++slice) {
    const int begin = low + (slice_offset(slice) - low % turns + 2 * turns) % turns;
    if (begin > low + reach) continue;
    to_fill_.push_back({slice, static_cast<int>(x.address) + begin / turns,
                        (low + reach - begin) / turns + 1});
  }
  add(builder_.queue(QueueKind::MemWrite, first), 0, x, (1u << slices) - 1);
  return commit();
}

bool Author::write_lane() {
  const int slice = random_.below(target_.slices());
  MemInstruction x;
  x.op = MemOp::WriteLane;
  x.timing = random_timing(std::min(options_.issues_max, target_.lanes));
  x.lane_step = static_cast<uint32_t>(random_.below(2));
  const bool by_register = options_.registers && random_.chance(60);
  x.lane_reg = by_register ? kLane : 0;
  const int most = (by_register ? target_.lanes : 2 * target_.lanes - 1) -
                   static_cast<int>(x.lane_step * x.timing.n1);
  if (most < 0) return false;
  x.lane = static_cast<uint32_t>(random_.below(std::min(most, 511) + 1));
  x.address = static_cast<uint32_t>(random_.below(target_.words_per_slice - 1));
  const std::optional<Operand> in = need(target_.slice_position(slice), 0, 1, x.timing, 1);
  if (!in) return false;
  x.dir = in->dir;
  x.stream = slice_stream(in->stream, slice);
  add(builder_.queue(QueueKind::MemWrite, slice), 0, x);
  return commit();
}

bool Author::load_tile(int mxm) {
  const int place = target_.mxm_positions[static_cast<size_t>(mxm)];
  const int streams = target_.mxm_load_streams;
  MxmLoadInstruction x;
  x.format = static_cast<MxmLoadFormat>(random_.below(3));
  x.orientation = static_cast<MxmLoadOrientation>(random_.below(2));
  const int weights = 1 << static_cast<int>(x.format);
  if (target_.lanes % weights != 0) return false;
  const int rows = streams * weights;
  const int loads = (target_.lanes + rows - 1) / rows;
  x.timing.n1 = static_cast<uint32_t>(loads - 1);
  x.timing.p1 = loads > 1 ? static_cast<uint32_t>(random_.between(1, 3)) : 0;
  if (loads % 2 == 0 && loads > 2 && random_.chance(40)) {  // two loops, last rows first
    x.timing = Timing{.start = 0, .n1 = static_cast<uint32_t>(loads / 2 - 1), .p1 = 1};
    const bool outermost = random_.chance(50);
    (outermost ? x.timing.n3 : x.timing.n2) = 1;
    (outermost ? x.timing.p3 : x.timing.p2) = x.timing.n1 + 1;
    x.row = static_cast<uint32_t>(rows * loads / 2);
    x.row_s1 = rows;
    (outermost ? x.row_s3 : x.row_s2) = -rows * loads / 2;
  } else if (random_.chance(40)) {
    x.row = static_cast<uint32_t>(rows * (loads - 1));
    x.row_s1 = -rows;
  } else {
    x.row_s1 = rows;
  }
  if (x.row_s1 < -512 || x.row_s1 > 511 || x.row_s2 < -512 || x.row_s3 < -512 ||
      x.timing.n1 > 255) return false;
  const std::optional<Operand> in =
      random_.chance(50) ? from_port(place, 0, streams, x.timing)
                         : from_memory(place, 0, streams, x.timing);
  if (!in) return false;
  x.dir = in->dir;
  x.stream = in->stream;
  add(builder_.queue(QueueKind::MxmLoad, mxm), 0, x);
  return commit();
}

bool Author::fill_transposer(int sxm) {
  const int place = target_.sxm_positions[static_cast<size_t>(sxm)];
  const int rows = target_.lanes > 64 ? 16 : target_.lanes;
  SxmInstruction x;
  x.op = SxmOp::TransposeIn;
  x.timing = Timing{.start = 0,
                    .n1 = static_cast<uint32_t>(rows - 1),
                    .p1 = static_cast<uint32_t>(random_.between(1, 2))};
  x.amount = random_.chance(50) ? 0 : rows - 1;
  x.amount_s1 = x.amount == 0 ? 1 : -1;
  const std::optional<Operand> in = need(place, 0, 1, x.timing, 1);
  if (!in) return false;
  x.dir = in->dir;
  x.stream = in->stream;
  add(builder_.queue(QueueKind::SxmMove, sxm), 0, x);
  return commit();
}

// A pass that only loads accumulators.
bool Author::accumulate() {
  VxmInstruction x;
  x.timing = random_timing(options_.issues_max);
  const int chain = random_.below(target_.vxm_chains);
  if (!pass_fields(x, chain, true) || !operand_fields(x, 0, 1)) return false;
  add(builder_.queue(QueueKind::VxmPass, chain), 0, x);
  return commit();
}

bool Author::mac_silently() {
  const int unit = random_mxm();
  MxmMacInstruction x;
  x.timing = random_timing(options_.issues_max);
  if (!mac_fields(x, unit)) return false;
  const std::optional<Operand> in =
      need(target_.mxm_positions[static_cast<size_t>(unit)], 0, 1, x.timing, 1);
  if (!in) return false;
  x.dir = in->dir;
  x.stream = in->stream;
  add(builder_.queue(QueueKind::MxmMac, unit), 0, x);
  return commit();
}

// Places the piece as early as it goes and hands it to the builder.
bool Author::commit() {
  std::stable_sort(operations_.begin(), operations_.end(),
                   [](const Operation& a, const Operation& b) { return a.offset < b.offset; });
  // The dispatcher needs up to two words an instruction.
  const int64_t pace = 2 * (kWordBits / 8 / target_.instruction_bytes_per_cycle + 1);
  const int64_t earliest =
      64 + pace * static_cast<int64_t>(builder_.instructions() + operations_.size());
  int64_t origin = earliest - operations_.front().offset;
  for (const Operation& op : operations_) {
    for (int k = 0; k < 8; ++k) {
      if ((op.mask >> k & 1) == 0) continue;
      origin = std::max(origin,
                        static_cast<int64_t>(reservations_.free_from(op.queue + k)) - op.offset);
    }
  }
  bool placed = false;
  for (int attempt = 0; attempt < 24 && !placed; ++attempt) {
    placed = reservations_.place(operations_, static_cast<uint64_t>(origin));
    if (!placed) origin += random_.between(1, 3);
  }
  if (!placed) return false;
  for (const Operation& op : operations_) {
    std::visit([&](const auto& x) {
      builder_.push(op.queue, static_cast<uint64_t>(origin + op.offset), x, op.mask);
    }, op.instruction);
  }
  filled_.insert(filled_.end(), to_fill_.begin(), to_fill_.end());
  return true;
}

// The tape in pieces that repeat, walk backwards and depend on a parameter.
void Author::split_segments(Roll& roll) {
  Entry& entry = roll.metadata.entries[0];
  uint64_t left = 0;
  for (const Segment& segment : entry.tape) left += segment.count;
  const uint64_t vectors = left;
  entry.tape.clear();
  while (left > 0) {
    Segment segment;
    segment.count = static_cast<uint32_t>(1 + random_.bits() % std::min<uint64_t>(left, 5));
    segment.repeat = static_cast<uint32_t>(1 + random_.bits() % std::min<uint64_t>(left / segment.count, 3));
    const uint64_t room = vectors - segment.count;
    const uint64_t steps = segment.repeat - 1;
    const uint64_t stride = steps == 0 ? 0 : random_.bits() % (room / steps + 1);
    const bool down = random_.chance(30);
    uint64_t rest = room - stride * steps;
    segment.stride = down ? -static_cast<int64_t>(stride) : static_cast<int64_t>(stride);
    segment.base = down ? stride * steps : 0;
    if (options_.registers && rest >= kAddressLargeMax && random_.chance(40)) {
      segment.parameter = kAddressLarge;
      segment.limit = static_cast<uint32_t>(random_.between(0, 5));
      segment.parameter_stride = random_.bits() % (rest / kAddressLargeMax + 1);
      rest -= kAddressLargeMax * segment.parameter_stride;
    }
    segment.base += random_.bits() % (rest + 1);
    left -= uint64_t{segment.count} * segment.repeat;
    entry.tape.push_back(segment);
  }
}

Roll Author::write() {
  const std::vector<uint32_t> maxima = register_maxima(target_);
  for (uint32_t i = kAddressSmall; i <= kThreshold; ++i) builder_.declare(static_cast<int>(i), 0, maxima[i]);
  for (uint32_t i = 0; i < kConstants; ++i) {
    // Mostly numbers of everyday size; sometimes any pattern.
    const uint32_t bits = static_cast<uint32_t>(random_.bits());
    const uint32_t number = (bits & 0x807fffffu) | static_cast<uint32_t>(random_.between(118, 134)) << 23;
    const uint32_t value = random_.chance(15) ? bits : number;
    builder_.declare(static_cast<int>(kConstantFirst + i), value, value).role =
        RegisterDeclaration::Role::Constant;
  }
  const auto attempt = [&](auto&& piece) {
    for (int i = 0; i < 8; ++i) {
      operations_.clear();
      to_fill_.clear();
      if (piece()) return;
    }
  };
  for (int slice = 0; slice < target_.slices(); ++slice) attempt([&] { return fill(slice, 0); });
  const int sxms = static_cast<int>(target_.sxm_positions.size());
  for (int i = 0; i < options_.pieces; ++i) {
    attempt([&] {
      switch (random_.below(24)) {
        case 0: return fill(random_.below(target_.slices()), options_.depth_max);
        case 1: return fill_masked();
        case 2: return write_lane();
        case 3:
        case 4:
        case 5: return load_tile(random_mxm());
        case 6: return sxms > 0 && fill_transposer(random_.below(sxms));
        case 7: return accumulate();
        case 8: return mac_silently();
        case 9:
        case 10: return send_sums(random_mxm());
        case 11:
        case 12: return fill_rows();
        default: return send(options_.depth_max);
      }
    });
  }
  // What memory holds at the end.
  for (int i = 0; i < 4; ++i) attempt([&] { return send(0); });
  if (!builder_.build()) {
    RandomProgramOptions fewer = options_;
    fewer.pieces = options_.pieces / 2;
    return Author(target_, random_.bits(), fewer).write();
  }
  Roll roll = builder_.finish("random");
  split_segments(roll);
  return roll;
}

Roll write_random_program(const Target& target, uint64_t seed, const RandomProgramOptions& options) {
  return Author(target, seed, options).write();
}

Roll random_program(const Target& target, uint64_t seed, const RandomProgramOptions& options) {
  for (uint64_t attempt = 0; attempt < 64; ++attempt) {
    Roll roll = write_random_program(target, seed + (attempt << 48), options);
    if (verify_roll(roll).ok()) return roll;
  }
  CHECK(false && "no sound program in 64 attempts");
  return {};
}

std::vector<uint32_t> random_registers(const Entry& entry, uint64_t seed) {
  Random random(seed);
  std::vector<uint32_t> values;
  for (const RegisterDeclaration& r : entry.registers) {
    if (static_cast<size_t>(r.index) >= values.size()) values.resize(static_cast<size_t>(r.index) + 1);
    const uint64_t steps = (r.maximum - r.minimum) / r.multiple;
    values[static_cast<size_t>(r.index)] =
        r.minimum + static_cast<uint32_t>(random.bits() % (steps + 1)) * r.multiple;
  }
  return values;
}

std::vector<std::byte> random_host_input(const Roll& roll, const Entry& entry, uint64_t seed) {
  Random random(seed);
  std::vector<std::byte> bytes(static_cast<size_t>(entry.host_receive_vectors) *
                               static_cast<size_t>(roll.target.lanes));
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.bits());
  return bytes;
}

}  // namespace pianola::test
