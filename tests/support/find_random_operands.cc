#include "tests/support/random_author.h"

namespace pianola::test {

Timing Author::random_timing(int issues_max) {
  Timing t;
  if (random_.chance(55)) t.n1 = static_cast<uint32_t>(random_.between(1, 7));
  if (random_.chance(40)) t.n2 = static_cast<uint32_t>(random_.between(1, 3));
  if (random_.chance(30)) t.n3 = static_cast<uint32_t>(random_.between(1, 2));
  if (static_cast<int>(issues_of(t)) > issues_max) t = Timing{.start = 0, .n1 = 2};
  const auto slack = [&] { return static_cast<uint32_t>(random_.chance(50) ? 0 : random_.below(5)); };
  if (t.n1 > 0) t.p1 = 1 + slack();
  if (t.n2 > 0) t.p2 = t.n1 * t.p1 + 1 + slack();
  if (t.n3 > 0) t.p3 = t.n1 * t.p1 + t.n2 * t.p2 + 1 + slack();
  return t;
}

std::optional<int> Author::extend(Timing& timing, int level) {
  Timing t = timing;
  uint32_t& n = level == 1 ? t.n1 : level == 2 ? t.n2 : t.n3;
  uint32_t& p = level == 1 ? t.p1 : level == 2 ? t.p2 : t.p3;
  if (n != 0) return std::nullopt;
  n = static_cast<uint32_t>(random_.between(1, 3));
  const uint32_t inner = level == 1 ? 0 : level == 2 ? t.n1 * t.p1 : t.n1 * t.p1 + t.n2 * t.p2;
  p = inner + static_cast<uint32_t>(random_.between(1, 5));
  if (!timing_is_legal(t) || static_cast<int>(issues_of(t)) > options_.issues_max * 2) {
    return std::nullopt;
  }
  timing = t;
  return static_cast<int>(n * p);
}

std::optional<Operand> Author::need(int position, int64_t when, int count, const Timing& timing,
                                    int depth) {
  for (int attempt = 0; attempt < 6; ++attempt) {
    const size_t mark = operations_.size();
    std::optional<Operand> operand;
    switch (random_.below(depth > 0 ? 9 : 3)) {
      case 0: operand = from_port(position, when, count, timing); break;
      case 1:
      case 2: operand = from_memory(position, when, count, timing); break;
      case 3:
        if (count == 1) operand = from_gather(position, when, timing, depth - 1);
        break;
      case 4:
      case 5: operand = from_pass(position, when, count, timing, depth - 1); break;
      case 6: operand = from_move(position, when, count, timing, depth - 1); break;
      case 7:
        if (count == 1) operand = from_transposer(position, when, timing);
        break;
      case 8:
        if (count == 4) operand = from_mac(random_mxm(), position, when, timing, depth - 1);
        break;
    }
    if (operand) return operand;
    operations_.resize(mark);
  }
  return std::nullopt;
}

std::optional<Operand> Author::from_port(int position, int64_t when, int count,
                                         const Timing& timing) {
  const int port = target_.port_position;
  if (port == position || count > target_.port_width_vectors) return std::nullopt;
  const std::vector<QueueKind> ports = {QueueKind::TapeRecv, QueueKind::KvRecv, QueueKind::HostRecv,
                                        QueueKind::HostRecv};
  const Operand out{toward(port, position), stream_for(count)};
  PortRecvInstruction x;
  x.timing = timing;
  x.count = static_cast<uint32_t>(count);
  x.out_dirs = directions(out.dir);
  x.out_stream = out.stream;
  add(builder_.queue(random_.pick(ports)),
      when - apart(port, position) - latency_port_recv(target_.lanes), x);
  return out;
}

// An affine walk through written words that stays `spare` short of their end.
std::optional<uint32_t> Author::addresses(const Words& words, const Timing& timing,
                                          MemInstruction& x, int spare) {
  int budget = words.count - 1 - spare;
  if (budget < 0) return std::nullopt;
  if (options_.registers && random_.chance(25)) {
    const bool large = random_.chance(50);
    const int most = static_cast<int>(large ? kAddressLargeMax : kAddressSmallMax);
    if (most <= budget) {
      x.reg = large ? kAddressLarge : kAddressSmall;
      budget -= most;
    }
  }
  int base = words.low;
  const auto level = [&](uint32_t n, int32_t& stride) {
    if (n == 0) return;
    const int step = random_.below(budget / static_cast<int>(n) + 1);
    const bool down = random_.chance(30);
    budget -= step * static_cast<int>(n);
    stride = down ? -step : step;
    if (down) base += step * static_cast<int>(n);
  };
  level(timing.n1, x.s1);
  level(timing.n2, x.s2);
  level(timing.n3, x.s3);
  x.address = static_cast<uint32_t>(base + random_.below(budget + 1));
  return x.address;
}

std::optional<Operand> Author::from_memory(int position, int64_t when, int count,
                                           const Timing& timing) {
  if (filled_.empty()) return std::nullopt;
  const Words& words = random_.pick(filled_);
  const int place = target_.slice_position(words.slice);
  if (place == position) return std::nullopt;
  const Operand out{toward(place, position), stream_for(count)};
  MemInstruction x;
  x.op = MemOp::Read;
  x.dir = out.dir;
  x.timing = timing;
  const auto issue = [&](int slice) {
    return when - apart(target_.slice_position(slice), position) - latency_mem_read(target_.lanes);
  };
  const bool masked =
      count > 1 && slice_offset(words.slice) + count <= target_.slices_per_position && count <= 8;
  if (count == 1 || (masked && random_.chance(60))) {
    if (!addresses(words, timing, x)) return std::nullopt;
    x.stream = slice_stream(out.stream, words.slice);
    add(builder_.queue(QueueKind::MemRead, words.slice), issue(words.slice), x, (1u << count) - 1);
    return out;
  }
  // One slice for each stream.
  std::vector<Words> sources = filled_;
  random_.shuffle(sources);
  std::vector<int> taken;
  for (const Words& source : sources) {
    const int at = target_.slice_position(source.slice);
    if (static_cast<int>(taken.size()) == count) break;
    if (at == position || toward(at, position) != out.dir) continue;
    if (std::find(taken.begin(), taken.end(), source.slice) != taken.end()) continue;
    MemInstruction y = x;
    if (!addresses(source, timing, y)) continue;
    y.stream = slice_stream(out.stream + static_cast<uint32_t>(taken.size()), source.slice);
    add(builder_.queue(QueueKind::MemRead, source.slice), issue(source.slice), y);
    taken.push_back(source.slice);
  }
  if (static_cast<int>(taken.size()) != count) return std::nullopt;
  return out;
}

std::optional<Operand> Author::from_gather(int position, int64_t when, const Timing& timing,
                                           int depth) {
  if (filled_.empty()) return std::nullopt;
  const Words words = random_.pick(filled_);
  const int place = target_.slice_position(words.slice);
  if (place == position) return std::nullopt;
  const Operand out{toward(place, position), stream_for(1)};
  MemInstruction x;
  x.op = MemOp::Gather;
  x.dir = out.dir;
  x.timing = timing;
  x.limit = static_cast<uint32_t>(random_.below(words.count));
  if (!addresses(words, timing, x, static_cast<int>(x.limit))) return std::nullopt;
  x.stream = slice_stream(out.stream, words.slice);
  const int64_t issue = when - apart(place, position) - latency_mem_read(target_.lanes);
  const std::optional<Operand> index = need(place, issue, 2, timing, depth);
  if (!index) return std::nullopt;
  x.index_dir = index->dir;
  x.index_stream = index->stream;
  add(builder_.queue(QueueKind::MemRead, words.slice), issue, x);
  return out;
}

// Everything of a pass but its timing, operands and output.
bool Author::pass_fields(VxmInstruction& x, int chain, bool must_use_accumulator) {
  const auto operand = [&](uint32_t stage) {
    return has(stage) && random_.chance(40) ? static_cast<VxmOperand>(random_.between(1, 5))
                                            : VxmOperand::None;
  };
  x.mul1 = operand(kStageMul1);
  x.mul2 = operand(kStageMul2);
  if (has(kStageAdd) && random_.chance(40)) {
    x.add_op = static_cast<VxmAddOp>(random_.between(1, 6));
    x.add_operand = static_cast<VxmOperand>(random_.between(1, 5));
  }
  if (has(kStageSelect) && random_.chance(30)) {
    x.select = static_cast<VxmSelect>(random_.between(1, 3));
    x.select_reg = random_.chance(50) && options_.registers ? kThreshold : 0;
    x.select_imm = random_.between(-3, target_.lanes);
    x.select_s1 = random_.between(-2, 2);
    x.select_s2 = random_.between(-2, 2);
  }
  if (has(kStageSfu) && random_.chance(30)) x.sfu = static_cast<VxmSfu>(random_.between(1, 4));
  x.mul3 = operand(kStageMul3);
  if (has(kStageTree) && random_.chance(35)) {
    x.tree = static_cast<VxmTree>(random_.between(1, 4));
    x.segment = random_segment();
    if (has(kStageRoot) && random_.chance(50)) x.root = static_cast<VxmRoot>(random_.between(1, 3));
  }
  const bool tree = x.tree != VxmTree::None;
  if (has(kStageCombine) && random_.chance(tree ? 80 : 30)) {
    x.combine = static_cast<VxmCombine>(random_.between(1, tree ? 7 : 5));
  }
  if (tree && random_.chance(40)) x.acc_source = VxmAccSource::R;
  x.k1 = constant();
  x.k2 = constant();
  if (!has(kStageAccumulate)) return !must_use_accumulator;
  if (!must_use_accumulator && random_.chance(40)) {
    if (random_.chance(30)) x.acc_op = VxmAccOp::AddK2;
    return true;
  }
  x.acc_op = must_use_accumulator ? VxmAccOp::Load : static_cast<VxmAccOp>(random_.between(1, 6));
  if (x.acc_op == VxmAccOp::AddK2) return true;
  if (x.acc_op == VxmAccOp::Read) return read_accumulator(x, chain);
  x.acc = static_cast<uint32_t>(random_.below(std::min(target_.vxm_accumulators, 64)));
  const auto stride = [&](uint32_t n) { return n == 0 || random_.chance(30) ? 0 : random_.between(-2, 2); };
  x.acc_s1 = stride(x.timing.n1);
  x.acc_s2 = stride(x.timing.n2);
  x.acc_s3 = stride(x.timing.n3);
  if (x.acc_op == VxmAccOp::Load) return true;
  const bool set = reservations_.vxm_accumulator_set(chain, static_cast<int>(x.acc));
  if (!set || random_.chance(60)) x.first = static_cast<VxmFirst>(random_.between(1, 3));
  return true;
}

// One that has been loaded; false if there is none.
bool Author::read_accumulator(VxmInstruction& x, int chain) {
  std::vector<uint32_t> loaded;
  for (int acc = 0; acc < std::min(target_.vxm_accumulators, 64); ++acc) {
    if (reservations_.vxm_accumulator_set(chain, acc)) loaded.push_back(static_cast<uint32_t>(acc));
  }
  if (loaded.empty()) return false;
  x.acc = random_.pick(loaded);
  return true;
}

bool Author::operand_fields(VxmInstruction& x, int64_t when, int depth) {
  const int place = target_.vxm_position;
  constexpr int kStreams[] = {0, 1, 4, 4, 2, 2, 4, 4};
  const auto operand = [&](int percent, VxmFormat& format, Direction& dir, uint32_t& stream) {
    if (!random_.chance(percent)) return true;
    const int value = random_.between(1, 7);
    const std::optional<Operand> found = need(place, when, kStreams[value], x.timing, depth);
    if (!found) return false;
    format = static_cast<VxmFormat>(value);
    dir = found->dir;
    stream = found->stream;
    return true;
  };
  if (!operand(85, x.x_format, x.x_dir, x.x_stream)) return false;
  if (!operand(35, x.y_format, x.y_dir, x.y_stream)) return false;
  if (random_.chance(20) && x.x_format != VxmFormat::None) {  // one stream, two operands
    x.z_format = x.x_format;
    x.z_dir = x.x_dir;
    x.z_stream = x.x_stream;
    return true;
  }
  return operand(20, x.z_format, x.z_dir, x.z_stream);
}

std::optional<Operand> Author::from_pass(int position, int64_t when, int count, Timing timing,
                                         int depth) {
  const int place = target_.vxm_position;
  if (place == position || (count != 1 && count != 2 && count != 4)) return std::nullopt;
  const Operand out{toward(place, position), stream_for(count)};
  VxmInstruction x;
  int64_t ahead = 0;
  if (random_.chance(35)) {
    const int level = random_.between(1, 3);
    const std::optional<int> moved = extend(timing, level);
    if (moved) {
      ahead = *moved;
      x.emit = static_cast<VxmEmit>(level);
    }
  }
  x.timing = timing;
  const int chain = random_.below(target_.vxm_chains);
  if (!pass_fields(x, chain, false)) return std::nullopt;
  const bool rounds = has(kStageRound);
  if (count != 4 && !rounds) return std::nullopt;
  x.out_format = count == 1   ? VxmOutFormat::I8
                 : count == 2 ? (random_.chance(50) ? VxmOutFormat::Bf16 : VxmOutFormat::F16)
                 : rounds && random_.chance(40) ? VxmOutFormat::I32
                                                : VxmOutFormat::F32;
  x.out_source = random_.chance(50) ? VxmOutSource::W : VxmOutSource::V;
  x.out_dirs = directions(out.dir);
  x.out_stream = out.stream;
  const int64_t issue = when - apart(place, position) - pass_latency(target_, x) - ahead;
  if (!operand_fields(x, issue, depth)) return std::nullopt;
  add(builder_.queue(QueueKind::VxmPass, chain), issue, x);
  return out;
}

std::optional<Operand> Author::from_move(int position, int64_t when, int count,
                                         const Timing& timing, int depth) {
  if (target_.sxm_positions.empty() || (count != 1 && count != 2 && count != 4)) return std::nullopt;
  const int unit = random_.below(static_cast<int>(target_.sxm_positions.size()));
  const int place = target_.sxm_positions[static_cast<size_t>(unit)];
  if (place == position) return std::nullopt;
  const Operand out{toward(place, position), stream_for(count)};
  SxmInstruction x;
  x.timing = timing;
  x.op = static_cast<SxmOp>(random_.below(4));
  x.width = static_cast<SxmWidth>(count / 2);
  int segment = target_.lanes;
  if (x.op == SxmOp::Shift || x.op == SxmOp::Rotate) {
    x.segment = random_segment();
    if (x.segment != LaneSegment::All) segment = 8 << static_cast<int>(x.segment);
  }
  const int n1 = static_cast<int>(timing.n1);
  if (x.op != SxmOp::Permute) {
    const bool is_signed = x.op != SxmOp::Distribute;
    const int low = is_signed ? 1 - segment : 0, high = segment - 1;
    x.amount = random_.between(low, high);
    if (n1 > 0 && random_.chance(60)) {
      const int up = (high - x.amount) / n1, down = (x.amount - low) / n1;
      x.amount_s1 = random_.chance(50) ? random_.between(0, std::min(up, 300))
                                       : -random_.between(0, std::min(down, 300));
    }
  }
  x.out_dirs = directions(out.dir);
  x.out_stream = out.stream;
  const int64_t issue = when - apart(place, position) - latency_sxm(target_.lanes);
  const std::optional<Operand> in = need(place, issue, count, timing, depth);
  if (!in) return std::nullopt;
  x.dir = in->dir;
  x.stream = in->stream;
  if (x.op == SxmOp::Permute) {
    const std::optional<Operand> index = need(place, issue, 1, timing, depth);
    if (!index) return std::nullopt;
    x.index_dir = index->dir;
    x.index_stream = index->stream;
  }
  add(builder_.queue(QueueKind::SxmMove, unit), issue, x);
  return out;
}

std::optional<Operand> Author::from_transposer(int position, int64_t when, const Timing& timing) {
  for (size_t unit = 0; unit < target_.sxm_positions.size(); ++unit) {
    const int place = target_.sxm_positions[unit];
    if (place == position || !reservations_.transposer_full(static_cast<int>(unit))) continue;
    const Operand out{toward(place, position), stream_for(1)};
    const int rows = target_.lanes > 64 ? 16 : target_.lanes;
    SxmInstruction x;
    x.op = SxmOp::TransposeOut;
    x.timing = timing;
    x.amount = random_.below(rows);
    if (timing.n1 > 0) x.amount_s1 = random_.below((rows - 1 - x.amount) / static_cast<int>(timing.n1) + 1);
    x.out_dirs = directions(out.dir);
    x.out_stream = out.stream;
    add(builder_.queue(QueueKind::SxmMove, static_cast<int>(unit)),
        when - apart(place, position) - latency_sxm(target_.lanes), x);
    return out;
  }
  return std::nullopt;
}

// Swap, clear and accumulators that fit the timing and the state of the MXM.
bool Author::mac_fields(MxmMacInstruction& x, int mxm) {
  const Timing& t = x.timing;
  if (reservations_.shadow_complete(mxm) && t.n2 == 0 && t.n3 == 0 && random_.chance(80)) {
    x.swap = t.n1 == 0 && random_.chance(50) ? MxmMacSwap::Always : MxmMacSwap::Level1;
  } else if (!reservations_.tile_installed(mxm)) {
    return false;
  }
  const int accumulators = std::min(target_.mxm_accumulators, 128);
  x.acc = static_cast<uint32_t>(random_.below(accumulators));
  x.acc_s1 = t.n1 == 0 ? 0 : random_.between(-1, 2);
  x.acc_s3 = t.n3 == 0 ? 0 : random_.between(-1, 2);
  const int choice = random_.below(10);
  // A window of sums keeps its accumulators over level 2.
  x.acc_s2 = t.n2 == 0 || choice >= 4 ? 0 : random_.between(-1, 2);
  int low = static_cast<int>(x.acc), high = low;
  const auto level = [&](int stride, uint32_t n) {
    (stride < 0 ? low : high) += stride * static_cast<int>(n);
  };
  level(x.acc_s1, t.n1);
  level(x.acc_s2, t.n2);
  level(x.acc_s3, t.n3);
  if (low < 0 || high >= accumulators) x.acc_s1 = x.acc_s2 = x.acc_s3 = 0;
  const bool set = reservations_.mxm_accumulator_set(mxm, static_cast<int>(x.acc));
  x.clear = choice < 4 ? MxmMacClear::Always
            : choice < 8 || !set ? MxmMacClear::Level2
                                 : MxmMacClear::Never;
  return true;
}

std::optional<Operand> Author::from_mac(int unit, int position, int64_t when, Timing timing,
                                        int depth) {
  const int place = target_.mxm_positions[static_cast<size_t>(unit)];
  if (place == position) return std::nullopt;
  const Operand out{toward(place, position), stream_for(4)};
  MxmMacInstruction x;
  x.emit = MxmMacEmit::Always;
  int64_t ahead = 0;
  if (random_.chance(50)) {
    const std::optional<int> moved = extend(timing, 2);
    if (moved) {
      ahead = *moved;
      x.emit = MxmMacEmit::Level2;
    }
  }
  x.timing = timing;
  if (!mac_fields(x, unit)) return std::nullopt;
  x.out_dir = out.dir;
  x.out_stream = out.stream;
  const int64_t issue = when - apart(place, position) - latency_mxm_mac(target_.lanes) - ahead;
  const std::optional<Operand> in = need(place, issue, 1, timing, depth);
  if (!in) return std::nullopt;
  x.dir = in->dir;
  x.stream = in->stream;
  add(builder_.queue(QueueKind::MxmMac, unit), issue, x);
  return out;
}

}  // namespace pianola::test
