// The VXM chain against a model written from docs/isa.md, section 6, and isa/arithmetic.h: random
// passes over every field, random freezes, every rule.
#include <gtest/gtest.h>

#include <bit>
#include <functional>
#include <optional>
#include <set>

#include "Vvxm16.h"
#include "Vvxm32.h"
#include "Vvxm4.h"
#include "Vvxm_small16.h"
#include "Vvxm_synthesis16.h"
#include "Vvxm_synthesis32.h"
#include "Vvxm_synthesis4.h"
#include "isa/arithmetic.h"
#include "isa/instructions.h"
#include "tests/rtl/unit_bench.h"

// Instructions here name only the fields that matter.
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

namespace pianola::bench {
namespace {

constexpr int kAccumulators = 32;
using Registers = std::array<uint32_t, 32>;
template <int L>
using Vector = std::array<uint32_t, L>;

struct Pass {
  VxmInstruction fields;
  int acc_offset = 0, select_offset = 0;
  std::array<bool, 4> first{}, last{};  // by level; [0] unused
};

int format_count(VxmFormat format) {
  switch (format) {
    case VxmFormat::None: return 0;
    case VxmFormat::I8: return 1;
    case VxmFormat::Bf16:
    case VxmFormat::F16: return 2;
    default: return 4;
  }
}
int format_count(VxmOutFormat format) {
  switch (format) {
    case VxmOutFormat::None: return 0;
    case VxmOutFormat::I8: return 1;
    case VxmOutFormat::Bf16:
    case VxmOutFormat::F16: return 2;
    default: return 4;
  }
}
bool uses_file(VxmAccOp op) { return op != VxmAccOp::None && op != VxmAccOp::AddK2; }
bool accumulates(VxmAccOp op) {
  return op == VxmAccOp::Add || op == VxmAccOp::Max || op == VxmAccOp::Min;
}
bool loads(const Pass& p) {
  const int level = static_cast<int>(p.fields.first);
  return p.fields.acc_op == VxmAccOp::Load ||
         (accumulates(p.fields.acc_op) && level != 0 && p.first[level]);
}
bool emits(const Pass& p) {
  const int level = static_cast<int>(p.fields.emit);
  return p.fields.out_format != VxmOutFormat::None && (level == 0 || p.last[level]);
}
template <int L>
int segment_lanes(LaneSegment segment) {
  return segment == LaneSegment::All ? L : 8 << static_cast<int>(segment);
}

template <int L>
class VxmReference {
 public:
  int64_t mul3_cycle(const Pass& p) const {
    return cycle_ + latency_vxm_in(L) + 2 * latency_vxm_mul(L) + latency_vxm_add(L) +
           latency_vxm_select(L) + (p.fields.sfu != VxmSfu::None ? latency_vxm_sfu(L) : 0);
  }
  int64_t combine_cycle(const Pass& p) const {
    return mul3_cycle(p) + latency_vxm_mul(L) +
           (p.fields.tree != VxmTree::None
                ? latency_vxm_tree(L) + (p.fields.root != VxmRoot::None ? latency_vxm_root(L) : 0)
                : 0);
  }
  int64_t acc_cycle(const Pass& p) const { return combine_cycle(p) + latency_vxm_mul(L); }

  // Whether the pass may issue now without a stage conflict or a hazard, and finds its accumulator.
  bool may_issue(const Pass& p) const {
    if (mul3_.contains(mul3_cycle(p)) || combine_.contains(combine_cycle(p))) return false;
    if (!uses_file(p.fields.acc_op)) return true;
    const int a = static_cast<int>(p.fields.acc) + p.acc_offset;
    const int64_t at = acc_cycle(p);
    bool loaded = loads(p);
    for (const auto& [other_at, other] : waiting_) {
      if (!uses_file(other.pass.fields.acc_op)) continue;
      if (static_cast<int>(other.pass.fields.acc) + other.pass.acc_offset != a) continue;
      if (std::abs(other_at - at) < latency_vxm_add(L)) return false;
    }
    if (last_use_[a] + latency_vxm_add(L) > at) return false;
    if (loaded_[a]) loaded = true;
    for (const auto& [other_at, other] : waiting_)
      if (other_at < at && loads(other.pass) &&
          static_cast<int>(other.pass.fields.acc) + other.pass.acc_offset == a)
        loaded = true;
    return loaded;
  }

  uint32_t step(const std::optional<Pass>& pass, const Streams<L>& streams,
                const Registers& registers) {
    uint32_t faults = 0;
    if (pass) faults |= issue(*pass, streams, registers);
    const auto entering = waiting_.find(cycle_);
    if (entering != waiting_.end()) {
      faults |= accumulate(entering->second);
      waiting_.erase(entering);
    }
    ++cycle_;
    return faults;
  }
  std::optional<Drive> drive() const {
    const auto found = drives_.find(cycle_);
    return found == drives_.end() ? std::nullopt : std::optional(found->second);
  }
  bool busy() const {
    if (drives_.upper_bound(cycle_) != drives_.end()) return true;
    for (const auto& [at, other] : waiting_)
      if (emits(other.pass)) return true;
    return false;
  }

 private:
  struct Waiting {
    Pass pass;
    Vector<L> v, r;
    uint32_t k2;
  };

  uint32_t issue(const Pass& p, const Streams<L>& streams, const Registers& registers) {
    const VxmInstruction& f = p.fields;
    uint32_t faults = 0;
    const auto k = [&](uint32_t reg) { return reg == 0 ? 0u : registers[reg]; };
    const uint32_t k1 = k(f.k1), k2 = k(f.k2);
    const auto fetch = [&](VxmFormat format, Direction dir, uint32_t stream) {
      Vector<L> out{};
      for (int i = 0; i < format_count(format); ++i)
        if (((streams.defined[static_cast<int>(dir)] >> (stream + i)) & 1) == 0)
          faults |= rule_bit(Rule::StreamUndefined);
      const auto& from = streams.bytes[static_cast<int>(dir)];
      for (int lane = 0; lane < L; ++lane) {
        const int at = format == VxmFormat::F32Lane0 ? 0 : lane;
        uint32_t bits = 0;
        for (int i = 0; i < format_count(format); ++i)
          bits |= static_cast<uint32_t>(from[stream + i][at]) << (8 * i);
        switch (format) {
          case VxmFormat::None: break;
          case VxmFormat::I8: out[lane] = arith::int8_to_f32(static_cast<int8_t>(bits)); break;
          case VxmFormat::I32: out[lane] = arith::int32_to_f32(static_cast<int32_t>(bits)); break;
          case VxmFormat::Bf16: out[lane] = arith::bf16_to_f32(static_cast<uint16_t>(bits)); break;
          case VxmFormat::F16: out[lane] = arith::f16_to_f32(static_cast<uint16_t>(bits)); break;
          case VxmFormat::F32:
          case VxmFormat::Raw:
          case VxmFormat::F32Lane0: out[lane] = bits; break;
        }
      }
      return out;
    };
    Vector<L> v = fetch(f.x_format, f.x_dir, f.x_stream);
    const Vector<L> y = fetch(f.y_format, f.y_dir, f.y_stream);
    const Vector<L> z = fetch(f.z_format, f.z_dir, f.z_stream);
    const auto operand = [&](VxmOperand which, int lane) -> uint32_t {
      switch (which) {
        case VxmOperand::None: return 0;
        case VxmOperand::Y: return y[lane];
        case VxmOperand::Z: return z[lane];
        case VxmOperand::K1: return k1;
        case VxmOperand::K2: return k2;
        case VxmOperand::Lane: return arith::int32_to_f32(lane);
      }
      return 0;
    };
    const int64_t threshold = static_cast<int32_t>(
        k(f.select_reg) + static_cast<uint32_t>(f.select_imm + p.select_offset));
    for (int i = 0; i < L; ++i) {
      if (f.mul1 != VxmOperand::None) v[i] = arith::mul(v[i], operand(f.mul1, i));
      if (f.mul2 != VxmOperand::None) v[i] = arith::mul(v[i], operand(f.mul2, i));
      const uint32_t o = operand(f.add_operand, i);
      switch (f.add_op) {
        case VxmAddOp::None: break;
        case VxmAddOp::Add: v[i] = arith::add(v[i], o); break;
        case VxmAddOp::Sub: v[i] = arith::sub(v[i], o); break;
        case VxmAddOp::Rsub: v[i] = arith::sub(o, v[i]); break;
        case VxmAddOp::Min: v[i] = arith::min(v[i], o); break;
        case VxmAddOp::Max: v[i] = arith::max(v[i], o); break;
        case VxmAddOp::Iadd: v[i] += o; break;
      }
      const bool keep = f.select == VxmSelect::None || (f.select == VxmSelect::Lt && i < threshold) ||
                        (f.select == VxmSelect::Ge && i >= threshold) ||
                        (f.select == VxmSelect::Eq && i == threshold);
      if (!keep) v[i] = k2;
      switch (f.sfu) {
        case VxmSfu::None: break;
        case VxmSfu::Exp2: v[i] = arith::exp2(v[i]); break;
        case VxmSfu::Reciprocal: v[i] = arith::reciprocal(v[i]); break;
        case VxmSfu::Rsqrt: v[i] = arith::rsqrt(v[i]); break;
        case VxmSfu::Log2: v[i] = arith::log2(v[i]); break;
      }
      if (f.mul3 != VxmOperand::None) v[i] = arith::mul(v[i], operand(f.mul3, i));
    }
    Vector<L> r{};
    if (f.tree != VxmTree::None) {
      const int lanes = segment_lanes<L>(f.segment);
      for (int begin = 0; begin < L; begin += lanes) {
        uint32_t value = reduce(f.tree, &v[begin], lanes);
        switch (f.root) {
          case VxmRoot::None: break;
          case VxmRoot::Scale: value = arith::mul(value, k1); break;
          case VxmRoot::Reciprocal: value = arith::reciprocal(arith::mul(value, k1)); break;
          case VxmRoot::Rsqrt: value = arith::rsqrt(arith::add(arith::mul(value, k1), k2)); break;
        }
        for (int i = 0; i < lanes; ++i) r[begin + i] = value;
      }
    }
    for (int i = 0; i < L; ++i) {
      switch (f.combine) {
        case VxmCombine::None: break;
        case VxmCombine::R: v[i] = arith::mul(v[i], r[i]); break;
        case VxmCombine::Replace: v[i] = r[i]; break;
        default: v[i] = arith::mul(v[i], operand(static_cast<VxmOperand>(f.combine), i));
      }
    }
    if (!mul3_.insert(mul3_cycle(p)).second) faults |= rule_bit(Rule::StageConflict);
    if (!combine_.insert(combine_cycle(p)).second) faults |= rule_bit(Rule::StageConflict);
    const int a = static_cast<int>(f.acc) + p.acc_offset;
    if (uses_file(f.acc_op) && (a < 0 || a >= kAccumulators))
      return faults | rule_bit(Rule::AddressRange);
    waiting_[acc_cycle(p)] = {p, v, r, k2};
    return faults;
  }

  static uint32_t reduce(VxmTree op, const uint32_t* v, int lanes) {
    if (op == VxmTree::Argmax) {
      int best = 0;
      for (int i = 1; i < lanes; ++i)
        if (key(v[i]) > key(v[best])) best = i;
      return arith::int32_to_f32(best);
    }
    std::vector<uint32_t> nodes(v, v + lanes);
    if (op == VxmTree::Absmax)
      for (uint32_t& node : nodes) node = arith::abs(node);
    while (nodes.size() > 1) {
      std::vector<uint32_t> next;
      for (size_t i = 0; i < nodes.size(); i += 2) {
        if (i + 1 == nodes.size())
          next.push_back(nodes[i]);
        else
          next.push_back(op == VxmTree::Sum ? arith::add(nodes[i], nodes[i + 1])
                                            : arith::max(nodes[i], nodes[i + 1]));
      }
      nodes = next;
    }
    return nodes[0];
  }
  static int64_t key(uint32_t a) {
    if ((a & 0x7fffffffu) > 0x7f800000u) return INT64_MIN;
    return (a >> 31) != 0 ? -1 - static_cast<int64_t>(a & 0x7fffffffu) : static_cast<int64_t>(a);
  }

  uint32_t accumulate(const Waiting& in) {
    const VxmInstruction& f = in.pass.fields;
    uint32_t faults = 0;
    const int a = uses_file(f.acc_op) ? static_cast<int>(f.acc) + in.pass.acc_offset : 0;
    const VxmAccOp op = loads(in.pass) ? VxmAccOp::Load : f.acc_op;
    if (uses_file(f.acc_op)) {
      if (last_use_[a] + latency_vxm_add(L) > cycle_) faults |= rule_bit(Rule::AccumulatorHazard);
      last_use_[a] = cycle_;
      if (op != VxmAccOp::Load && !loaded_[a]) faults |= rule_bit(Rule::AccumulatorUndefined);
    }
    Vector<L> w{};
    for (int i = 0; i < L; ++i) {
      const uint32_t s = f.acc_source == VxmAccSource::R ? in.r[i] : in.v[i];
      uint32_t& acc = file_[a][i];
      switch (op) {
        case VxmAccOp::None: w[i] = s; break;
        case VxmAccOp::Load: w[i] = acc = s; break;
        case VxmAccOp::Add: w[i] = acc = arith::add(acc, s); break;
        case VxmAccOp::Max: w[i] = acc = arith::max(acc, s); break;
        case VxmAccOp::Min: w[i] = acc = arith::min(acc, s); break;
        case VxmAccOp::AddK2: w[i] = arith::add(s, in.k2); break;
        case VxmAccOp::Read: w[i] = acc; break;
      }
    }
    if (op == VxmAccOp::Load) loaded_[a] = true;
    if (emits(in.pass)) {
      const int count = format_count(f.out_format);
      Drive d{.dirs = f.out_dirs, .stream = f.out_stream, .count = static_cast<uint32_t>(count),
              .data = std::vector<uint8_t>(count * L)};
      for (int i = 0; i < L; ++i) {
        const uint32_t value = f.out_source == VxmOutSource::W ? w[i] : in.v[i];
        uint32_t bits = value;
        switch (f.out_format) {
          case VxmOutFormat::I8: bits = static_cast<uint8_t>(arith::f32_to_int8_sat(value)); break;
          case VxmOutFormat::I32: bits = static_cast<uint32_t>(arith::f32_to_int32_sat(value)); break;
          case VxmOutFormat::Bf16: bits = arith::f32_to_bf16(value); break;
          case VxmOutFormat::F16: bits = arith::f32_to_f16(value); break;
          case VxmOutFormat::None:
          case VxmOutFormat::F32: break;
        }
        for (int b = 0; b < count; ++b) d.data[b * L + i] = static_cast<uint8_t>(bits >> (8 * b));
      }
      drives_[cycle_ + latency_vxm_add(L) + latency_vxm_out(L)] = d;
    }
    return faults;
  }

  int64_t cycle_ = 0;
  std::set<int64_t> mul3_, combine_;
  std::map<int64_t, Waiting> waiting_;  // by the cycle in which they enter the accumulators
  std::map<int64_t, Drive> drives_;
  std::array<Vector<L>, kAccumulators> file_{};
  std::array<bool, kAccumulators> loaded_{};
  std::array<int64_t, kAccumulators> last_use_ = [] {
    std::array<int64_t, kAccumulators> a;
    a.fill(-1000);
    return a;
  }();
};

template <typename Model, int L>
struct VxmBench : UnitBench<Model, L> {
  using UnitBench<Model, L>::model;
  VxmReference<L> reference;
  Registers registers{};
  uint32_t faults = 0;
  bool compare_faults = true;

  void set_pass(const Pass& p) {
    set_payload(model.instr_i, encode_push(0, 1, p.fields));
    model.acc_offset_i = static_cast<uint32_t>(p.acc_offset) & 0x1ffu;
    model.select_offset_i = static_cast<uint32_t>(p.select_offset) & 0xfffffu;
    model.first1_i = p.first[1];
    model.first2_i = p.first[2];
    model.first3_i = p.first[3];
    model.last1_i = p.last[1];
    model.last2_i = p.last[2];
    model.last3_i = p.last[3];
  }
  void cycle(Rng& rng, const std::optional<Pass>& pass) {
    for (model.en_i = 0; chance(rng, 15);) {
      model.issue_i = rng() & 1;
      this->clock();
    }
    model.en_i = 1;
    model.issue_i = pass.has_value();
    if (pass) set_pass(*pass);
    for (int i = 0; i < 32; ++i) model.regs_i[i] = registers[i];
    this->apply_streams();
    this->settle();
    const auto expected = reference.drive();
    ASSERT_EQ(model.out_valid_o != 0, expected.has_value());
    if (expected) {
      const Drive found = this->drive();
      ASSERT_EQ(found.dirs, expected->dirs);
      ASSERT_EQ(found.stream, expected->stream);
      ASSERT_EQ(found.count, expected->count);
      ASSERT_EQ(found.data, expected->data);
    }
    ASSERT_EQ(model.busy_o != 0, reference.busy());
    ASSERT_EQ(model.fault_o, faults);
    faults = reference.step(pass, this->streams, registers);
    this->clock();
  }
  void restart(Rng& rng) {
    this->start();
    reference = {};
    faults = 0;
    for (uint32_t& value : registers) value = random_bits(rng);
    for (int i = 20; i < 32; ++i) registers[i] = static_cast<uint32_t>(pick(rng, -2 * L, 2 * L));
  }
  static uint32_t random_bits(Rng& rng) {
    static constexpr uint32_t kSpecial[] = {0,           0x80000000u, 0x3f800000u, 0xbf800000u,
                                            0x7f800000u, 0xff800000u, 0x7fc00000u, 0x7f812345u,
                                            0x00000001u, 0x807fffffu, 0x7f7fffffu, 0x00800000u};
    switch (pick(rng, 0, 9)) {
      case 0: return kSpecial[pick(rng, 0, 11)];
      case 1: return static_cast<uint32_t>(rng());
      default:  // about 2^-6 to 2^6
        return (static_cast<uint32_t>(rng()) & 0x807fffffu) |
               (static_cast<uint32_t>(pick(rng, 121, 133)) << 23);
    }
  }
  void random_floats(Rng& rng) {
    this->randomize_streams(rng);
    for (auto& direction : this->streams.bytes)
      for (int s = 0; s < kStreams; s += 4) {
        if (chance(rng, 25)) continue;
        for (int lane = 0; lane < L; ++lane) {
          const uint32_t bits = random_bits(rng);
          for (int b = 0; b < 4; ++b)
            direction[s + b][lane] = static_cast<uint8_t>(bits >> (8 * b));
        }
      }
  }
};

template <int L>
LaneSegment random_segment(Rng& rng) {
  for (;;) {
    const auto segment = static_cast<LaneSegment>(pick(rng, 0, 5));
    if (L % segment_lanes<L>(segment) == 0) return segment;
  }
}

template <int L>
Pass random_pass(Rng& rng) {
  Pass p;
  VxmInstruction& f = p.fields;
  const auto read = [&](Direction& dir, uint32_t& stream, VxmFormat& format) {
    format = static_cast<VxmFormat>(pick(rng, 0, 7));
    if (format == VxmFormat::None) return;
    dir = static_cast<Direction>(pick(rng, 0, 1));
    const int count = format_count(format);
    stream = count * pick(rng, 0, kStreams / count - 1);
  };
  read(f.x_dir, f.x_stream, f.x_format);
  read(f.y_dir, f.y_stream, f.y_format);
  read(f.z_dir, f.z_stream, f.z_format);
  const auto operand = [&] {
    return static_cast<VxmOperand>(chance(rng, 40) ? 0 : pick(rng, 1, 5));
  };
  f.mul1 = operand();
  f.mul2 = operand();
  f.mul3 = operand();
  f.add_op = static_cast<VxmAddOp>(pick(rng, 0, 6));
  f.add_operand = f.add_op == VxmAddOp::None ? VxmOperand::None
                                             : static_cast<VxmOperand>(pick(rng, 1, 5));
  f.select = static_cast<VxmSelect>(pick(rng, 0, 3));
  if (f.select != VxmSelect::None) {
    f.select_reg = chance(rng, 50) ? 0 : pick(rng, 20, 31);
    f.select_imm = pick(rng, -L, 2 * L);
    f.select_s1 = pick(rng, -512, 511);
    f.select_s2 = pick(rng, -512, 511);
    p.select_offset = chance(rng, 20) ? pick(rng, -1 << 19, (1 << 19) - 1) : pick(rng, -L, L);
  }
  f.sfu = static_cast<VxmSfu>(chance(rng, 50) ? 0 : pick(rng, 1, 4));
  f.tree = static_cast<VxmTree>(chance(rng, 40) ? 0 : pick(rng, 1, 4));
  if (f.tree != VxmTree::None) {
    f.segment = random_segment<L>(rng);
    f.root = static_cast<VxmRoot>(pick(rng, 0, 3));
    f.acc_source = static_cast<VxmAccSource>(pick(rng, 0, 1));
  }
  f.combine = static_cast<VxmCombine>(pick(rng, 0, f.tree == VxmTree::None ? 5 : 7));
  f.acc_op = static_cast<VxmAccOp>(pick(rng, 0, 6));
  if (uses_file(f.acc_op)) {
    f.acc = pick(rng, 0, 63);
    f.acc_s1 = pick(rng, -32, 31);
    f.acc_s2 = pick(rng, -32, 31);
    f.acc_s3 = pick(rng, -32, 31);
    p.acc_offset = pick(rng, 0, kAccumulators - 1) - static_cast<int>(f.acc);
  }
  if (accumulates(f.acc_op)) f.first = static_cast<VxmFirst>(pick(rng, 0, 3));
  f.k1 = pick(rng, 0, 31);
  f.k2 = pick(rng, 0, 31);
  f.out_format = static_cast<VxmOutFormat>(pick(rng, 0, 5));
  if (f.out_format != VxmOutFormat::None) {
    f.emit = static_cast<VxmEmit>(chance(rng, 50) ? 0 : pick(rng, 1, 3));
    f.out_source = static_cast<VxmOutSource>(pick(rng, 0, 1));
    f.out_dirs = pick(rng, 1, 3);
    const int count = format_count(f.out_format);
    f.out_stream = count * pick(rng, 0, kStreams / count - 1);
  }
  for (int level = 1; level < 4; ++level) {
    p.first[level] = chance(rng, 50);
    p.last[level] = chance(rng, 50);
  }
  return p;
}

template <typename Model, int L>
void run_random(uint64_t seed, int cycles) {
  Rng rng(seed);
  VxmBench<Model, L> bench;
  int issued = 0;
  for (int launch = 0; launch < 3; ++launch) {
    bench.restart(rng);
    for (int c = 0; c < cycles; ++c) {
      bench.random_floats(rng);
      std::optional<Pass> pass = random_pass<L>(rng);
      for (int attempt = 0; attempt < 4 && !bench.reference.may_issue(*pass); ++attempt)
        pass = random_pass<L>(rng);
      if (!bench.reference.may_issue(*pass) || chance(rng, 10)) pass.reset();
      issued += pass.has_value();
      bench.cycle(rng, pass);
      if (::testing::Test::HasFatalFailure()) return;
      ASSERT_EQ(bench.faults, 0u) << "the generator broke a rule in cycle " << c;
    }
  }
  EXPECT_GT(issued, cycles);
}

TEST(Vxm, MatchesModelWith4Lanes) { run_random<Vvxm4, 4>(1, 8000); }
TEST(Vxm, MatchesModelWith16Lanes) { run_random<Vvxm16, 16>(2, 8000); }
TEST(Vxm, MatchesModelWith32Lanes) { run_random<Vvxm32, 32>(3, 5000); }
TEST(Vxm, SynthesisFormMatchesModelWith4Lanes) { run_random<Vvxm_synthesis4, 4>(1, 8000); }
TEST(Vxm, SynthesisFormMatchesModelWith16Lanes) { run_random<Vvxm_synthesis16, 16>(2, 3000); }
TEST(Vxm, SynthesisFormMatchesModelWith32Lanes) { run_random<Vvxm_synthesis32, 32>(3, 1500); }

// Cycles from issue to drive, counted on the RTL.
template <typename Model, int L>
int measure_latency(const VxmInstruction& fields) {
  Rng rng(4);
  VxmBench<Model, L> bench;
  bench.restart(rng);
  bench.random_floats(rng);
  bench.apply_streams();
  bench.set_pass({.fields = fields});
  bench.model.issue_i = 1;
  int cycle = 0;
  for (; cycle < 500; ++cycle) {
    bench.settle();
    if (bench.model.out_valid_o) break;
    bench.clock();
    bench.model.issue_i = 0;
  }
  return cycle;
}

TEST(Vxm, HasTheLatencyOfTheStagesItUses) {
  const int base = latency_vxm_in(16) + 4 * latency_vxm_mul(16) + 2 * latency_vxm_add(16) +
                   latency_vxm_select(16) + latency_vxm_out(16);
  VxmInstruction x{.x_format = VxmFormat::F32, .out_format = VxmOutFormat::F32, .out_dirs = 1};
  EXPECT_EQ((measure_latency<Vvxm16, 16>(x)), base);
  x.sfu = VxmSfu::Exp2;
  EXPECT_EQ((measure_latency<Vvxm16, 16>(x)), base + latency_vxm_sfu(16));
  x.tree = VxmTree::Sum;
  EXPECT_EQ((measure_latency<Vvxm16, 16>(x)), base + latency_vxm_sfu(16) + latency_vxm_tree(16));
  x.root = VxmRoot::Scale;
  EXPECT_EQ((measure_latency<Vvxm16, 16>(x)),
            base + latency_vxm_sfu(16) + latency_vxm_tree(16) + latency_vxm_root(16));
  x.sfu = VxmSfu::None;
  EXPECT_EQ((measure_latency<Vvxm32, 32>(x)),
            base + latency_vxm_tree(32) + latency_vxm_root(32));
}

// Passes without regard to the rules about time: conflicts, hazards and undefined accumulators.
TEST(Vxm, NamesTheRuleThatBreaks) {
  Rng rng(5);
  VxmBench<Vvxm16, 16> bench;
  std::map<Rule, int> seen;
  for (int launch = 0; launch < 1500; ++launch) {
    bench.restart(rng);
    for (int c = 0; c < 200 && bench.faults == 0; ++c) {
      bench.random_floats(rng);
      if (chance(rng, 5)) bench.streams.defined = {static_cast<uint32_t>(rng()) & 0xffffu, 0xffffu};
      std::optional<Pass> pass;
      if (chance(rng, 25)) {
        pass = random_pass<16>(rng);
        if (uses_file(pass->fields.acc_op)) {
          pass->acc_offset = pick(rng, 0, 2) - static_cast<int>(pass->fields.acc);
          if (chance(rng, 50)) {
            pass->fields.acc_op = VxmAccOp::Load;
            pass->fields.first = VxmFirst::Never;
          }
          if (chance(rng, 2)) pass->acc_offset = pick(rng, -80, 80);
        }
      }
      bench.cycle(rng, pass);
      if (::testing::Test::HasFatalFailure()) return;
    }
    bench.settle();
    ASSERT_EQ(bench.model.fault_o, bench.faults);
    for (Rule rule : kRules)
      if ((bench.faults & rule_bit(rule)) != 0) ++seen[rule];
  }
  for (Rule rule : {Rule::StreamUndefined, Rule::AddressRange, Rule::AccumulatorUndefined,
                    Rule::AccumulatorHazard, Rule::StageConflict})
    EXPECT_GT(seen[rule], 5) << rule_name(rule);
}

template <typename Model>
bool refuses(const std::function<void(VxmInstruction&)>& change, int bit = -1) {
  Rng rng(6);
  VxmBench<Model, 16> bench;
  bench.restart(rng);
  bench.random_floats(rng);
  bench.apply_streams();
  Pass p;
  p.fields = {.x_format = VxmFormat::F32, .out_format = VxmOutFormat::F32, .out_dirs = 1};
  change(p.fields);
  bench.set_pass(p);
  if (bit >= 0) bench.model.instr_i[bit / 32] |= 1u << (bit % 32);
  bench.model.issue_i = 1;
  bench.clock();
  bench.settle();
  return (bench.model.fault_o & rule_bit(Rule::IllegalEncoding)) != 0;
}

TEST(Vxm, RefusesFieldsWithoutMeaning) {
  using X = VxmInstruction;
  const auto check = [](const std::function<void(X&)>& change) { return refuses<Vvxm16>(change); };
  EXPECT_FALSE(check([](X&) {}));
  EXPECT_TRUE(check([](X& x) { x.x_stream = 2; }));
  EXPECT_TRUE(check([](X& x) { x.x_stream = 16; }));
  EXPECT_TRUE(check([](X& x) { x.y_stream = 15, x.y_format = VxmFormat::F16; }));
  EXPECT_FALSE(check([](X& x) { x.y_stream = 15, x.y_format = VxmFormat::I8; }));
  EXPECT_TRUE(check([](X& x) { x.out_stream = 14; }));
  EXPECT_TRUE(check([](X& x) { x.out_dirs = 0; }));
  EXPECT_TRUE(check([](X& x) { x.tree = VxmTree::Sum, x.segment = LaneSegment::S32; }));
  EXPECT_FALSE(check([](X& x) { x.tree = VxmTree::Sum, x.segment = LaneSegment::S16; }));
  EXPECT_TRUE(check([](X& x) { x.combine = VxmCombine::R; }));
  EXPECT_TRUE(check([](X& x) { x.combine = VxmCombine::Replace; }));
  EXPECT_TRUE(check([](X& x) { x.acc_source = VxmAccSource::R; }));
  for (auto field : {&X::mul1, &X::mul2, &X::mul3, &X::add_operand}) {
    EXPECT_TRUE(check([&](X& x) { x.*field = static_cast<VxmOperand>(6); }));
    EXPECT_TRUE(check([&](X& x) { x.*field = static_cast<VxmOperand>(7); }));
  }
  EXPECT_TRUE(check([](X& x) { x.add_op = static_cast<VxmAddOp>(7); }));
  EXPECT_TRUE(check([](X& x) { x.sfu = static_cast<VxmSfu>(5); }));
  EXPECT_TRUE(check([](X& x) { x.tree = static_cast<VxmTree>(5); }));
  EXPECT_TRUE(check([](X& x) { x.acc_op = static_cast<VxmAccOp>(7); }));
  EXPECT_TRUE(check([](X& x) { x.out_format = static_cast<VxmOutFormat>(6); }));
  // Fields that nothing uses: y_dir, select_imm, segment, root, acc, first; and beyond the last.
  for (int bit : {10, 49, 94, 97, 106, 130, 156})
    EXPECT_TRUE(refuses<Vvxm16>([](X&) {}, bit)) << bit;
}

// A target without any optional stage: every use of one is refused, the rest is a copy.
TEST(Vxm, RefusesStagesTheTargetLeavesOut) {
  using X = VxmInstruction;
  const auto check = [](const std::function<void(X&)>& change) {
    return refuses<Vvxm_small16>(change) && !refuses<Vvxm16>(change);
  };
  EXPECT_FALSE(refuses<Vvxm_small16>([](X&) {}));
  EXPECT_TRUE(check([](X& x) { x.mul1 = VxmOperand::K1; }));
  EXPECT_TRUE(check([](X& x) { x.mul2 = VxmOperand::K1; }));
  EXPECT_TRUE(check([](X& x) { x.mul3 = VxmOperand::K1; }));
  EXPECT_TRUE(check([](X& x) { x.add_op = VxmAddOp::Add, x.add_operand = VxmOperand::K1; }));
  EXPECT_TRUE(check([](X& x) { x.select = VxmSelect::Lt; }));
  EXPECT_TRUE(check([](X& x) { x.sfu = VxmSfu::Exp2; }));
  EXPECT_TRUE(check([](X& x) { x.tree = VxmTree::Sum; }));
  EXPECT_TRUE(check([](X& x) { x.tree = VxmTree::Sum, x.root = VxmRoot::Scale; }));
  EXPECT_TRUE(check([](X& x) { x.combine = VxmCombine::K1; }));
  EXPECT_TRUE(check([](X& x) { x.acc_op = VxmAccOp::Load; }));
  EXPECT_TRUE(check([](X& x) { x.out_format = VxmOutFormat::I8; }));
}

}  // namespace
}  // namespace pianola::bench
