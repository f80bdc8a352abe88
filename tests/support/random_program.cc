#include "tests/support/random_program.h"

#include <algorithm>
#include <optional>

#include "tests/support/reserve_program.h"
#include "verifier/verify_roll.h"

namespace pianola::test {
namespace {

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

uint32_t issues_of(const Timing& t) { return static_cast<uint32_t>(timing_issues(t)); }

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
  bool write_lane();
  bool load_tile(int mxm);
  bool fill_transposer(int sxm);
  bool accumulate();
  bool mac_silently();
  bool commit();

  bool pass_fields(VxmInstruction& x, int chain, bool must_use_accumulator);
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

// Operands

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
  x.acc = static_cast<uint32_t>(random_.below(std::min(target_.vxm_accumulators, 64)));
  const auto stride = [&](uint32_t n) { return n == 0 || random_.chance(30) ? 0 : random_.between(-2, 2); };
  x.acc_s1 = stride(x.timing.n1);
  x.acc_s2 = stride(x.timing.n2);
  x.acc_s3 = stride(x.timing.n3);
  if (x.acc_op == VxmAccOp::Load) return true;
  const bool set = reservations_.vxm_accumulator_set(chain, static_cast<int>(x.acc));
  if (x.acc_op != VxmAccOp::Read && (!set || random_.chance(60))) {
    x.first = static_cast<VxmFirst>(random_.between(1, 3));
  }
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

// Pieces

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
      switch (random_.below(22)) {
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

}  // namespace

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
