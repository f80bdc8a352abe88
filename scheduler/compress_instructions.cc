#include "scheduler/compress_instructions.h"

#include <algorithm>
#include <optional>

namespace pianola {
namespace {

constexpr int kCountMax[3] = {256, 256, 1024};
constexpr int64_t kPeriodMax[3] = {255, 4095, 65535};

bool fits(int64_t value, int bits) {
  return value >= -(int64_t{1} << (bits - 1)) && value < int64_t{1} << (bits - 1);
}

// The fields of an instruction that move with the iterations, as value and steps per level. A null
// step means that the field cannot step at that level; bits is the width of a step.
struct Walk {
  int64_t value;
  int32_t* step[3];
  int bits;
  bool ascends = false;  // no step may be negative
};

struct Walks {
  std::array<Walk, 2> items;
  int count = 0;
  void add(int64_t value, int32_t* s1, int32_t* s2, int32_t* s3, int bits) {
    items[count++] = {value, {s1, s2, s3}, bits};
  }
};

Walks walks_of(MemInstruction& m) {
  Walks w;
  // Row writes step by rows, and no row is negative.
  w.add((int64_t{m.address} << m.rows) + m.row, &m.s1, &m.s2, &m.s3, 16);
  w.items[0].ascends = m.rows > 0;
  return w;
}
Walks walks_of(VxmInstruction& v) {
  Walks w;
  w.add(v.acc, &v.acc_s1, &v.acc_s2, &v.acc_s3, 6);
  w.add(v.select_imm, &v.select_s1, &v.select_s2, nullptr, 10);
  return w;
}
Walks walks_of(MxmLoadInstruction& l) {
  Walks w;
  w.add(l.row, &l.row_s1, &l.row_s2, &l.row_s3, 10);
  return w;
}
Walks walks_of(MxmMacInstruction& m) {
  Walks w;
  w.add(m.acc, &m.acc_s1, &m.acc_s2, &m.acc_s3, 7);
  return w;
}
Walks walks_of(SxmInstruction& s) {
  Walks w;
  w.add(s.amount, &s.amount_s1, nullptr, nullptr, 10);
  return w;
}
Walks walks_of(PortRecvInstruction&) { return {}; }
Walks walks_of(PortSendInstruction&) { return {}; }

Walks walks_of(AnyInstruction& instruction) {
  return std::visit([](auto& i) { return walks_of(i); }, instruction);
}

void set_value(MemInstruction& m, int, int64_t v) {
  m.address = static_cast<uint32_t>(v >> m.rows);
  m.row = static_cast<uint32_t>(v & ((int64_t{1} << m.rows) - 1));
}
void set_value(VxmInstruction& x, int item, int64_t v) {
  if (item == 0) {
    x.acc = static_cast<uint32_t>(v);
  } else {
    x.select_imm = static_cast<int32_t>(v);
  }
}
void set_value(MxmLoadInstruction& l, int, int64_t v) { l.row = static_cast<uint32_t>(v); }
void set_value(MxmMacInstruction& m, int, int64_t v) { m.acc = static_cast<uint32_t>(v); }
void set_value(SxmInstruction& s, int, int64_t v) { s.amount = static_cast<int32_t>(v); }
void set_value(PortRecvInstruction&, int, int64_t) {}
void set_value(PortSendInstruction&, int, int64_t) {}

// What an iteration's index does to fields that name a level.
struct Resolve {
  const std::array<int, 3>& count;
  const std::array<int, 3>& index;

  template <typename I>
  void operator()(I&) const {}
  void operator()(MemInstruction& m) const {
    if (m.op != MemOp::WriteLane) return;
    m.lane += m.lane_step * static_cast<uint32_t>(index[0]);
    m.lane_step = 0;
  }
  void operator()(VxmInstruction& v) const {
    if (v.first != VxmFirst::Never) {
      if (index[static_cast<int>(v.first) - 1] == 0) v.acc_op = VxmAccOp::Load;
      v.first = VxmFirst::Never;
    }
    if (v.emit != VxmEmit::Always) {
      const int level = static_cast<int>(v.emit) - 1;
      v.emit = VxmEmit::Always;
      if (index[level] != count[level] - 1) {
        v.out_format = VxmOutFormat::None;
        v.out_source = VxmOutSource::V;
        v.out_dirs = v.out_stream = 0;
      }
    }
  }
  void operator()(MxmMacInstruction& m) const {
    if (m.swap == MxmMacSwap::Level1) {
      m.swap = index[0] == 0 ? MxmMacSwap::Always : MxmMacSwap::Never;
    }
    if (m.clear == MxmMacClear::Level2) {
      m.clear = index[1] == 0 ? MxmMacClear::Always : MxmMacClear::Never;
    }
    if (m.emit == MxmMacEmit::Level2) {
      const bool last = index[1] == count[1] - 1;
      m.emit = last ? MxmMacEmit::Always : MxmMacEmit::Never;
      if (!last) {
        m.out_dir = Direction::East;
        m.out_stream = 0;
      }
    }
  }
};

// Fields that name a level of one iteration say the same without it.
struct DropTrivialLevels {
  const std::array<int, 3>& count;

  template <typename I>
  void operator()(I&) const {}
  void operator()(VxmInstruction& v) const {
    if (v.first != VxmFirst::Never && count[static_cast<int>(v.first) - 1] == 1) {
      v.first = VxmFirst::Never;
      v.acc_op = VxmAccOp::Load;
    }
    if (v.emit != VxmEmit::Always && count[static_cast<int>(v.emit) - 1] == 1) {
      v.emit = VxmEmit::Always;
    }
  }
  void operator()(MxmMacInstruction& m) const {
    if (m.swap == MxmMacSwap::Level1 && count[0] == 1) m.swap = MxmMacSwap::Always;
    if (m.clear == MxmMacClear::Level2 && count[1] == 1) m.clear = MxmMacClear::Always;
    if (m.emit == MxmMacEmit::Level2 && count[1] == 1) m.emit = MxmMacEmit::Always;
  }
};

void normalize(PlacedInstruction& p) {
  std::visit(DropTrivialLevels{p.count}, p.instruction);
  Walks walks = walks_of(p.instruction);
  for (int level = 0; level < 3; ++level) {
    if (p.count[level] > 1) continue;
    p.period[level] = 0;
    for (int i = 0; i < walks.count; ++i) {
      if (walks.items[i].step[level]) *walks.items[i].step[level] = 0;
    }
  }
}

bool names_level(const AnyInstruction& instruction, int level) {
  if (const auto* v = std::get_if<VxmInstruction>(&instruction)) {
    return (v->first != VxmFirst::Never && static_cast<int>(v->first) - 1 == level) ||
           (v->emit != VxmEmit::Always && static_cast<int>(v->emit) - 1 == level);
  }
  if (const auto* m = std::get_if<MxmMacInstruction>(&instruction)) {
    return (level == 0 && m->swap == MxmMacSwap::Level1) ||
           (level == 1 && (m->clear == MxmMacClear::Level2 || m->emit == MxmMacEmit::Level2));
  }
  if (const auto* m = std::get_if<MemInstruction>(&instruction)) {
    return m->op == MemOp::WriteLane && level == 0;
  }
  return false;
}

// The outermost level moves in where the middle one is not used, so that a run can grow outside of it.
void free_outer_level(PlacedInstruction& p) {
  if (p.count[1] > 1 || p.count[2] <= 1 || p.count[2] > kCountMax[1] ||
      p.period[2] > kPeriodMax[1] || names_level(p.instruction, 1) || names_level(p.instruction, 2)) {
    return;
  }
  Walks walks = walks_of(p.instruction);
  for (int i = 0; i < walks.count; ++i) {
    const Walk& walk = walks.items[i];
    if (walk.step[2] && !walk.step[1] && *walk.step[2] != 0) return;
  }
  for (int i = 0; i < walks.count; ++i) {
    const Walk& walk = walks.items[i];
    if (!walk.step[2]) continue;
    if (walk.step[1]) *walk.step[1] = *walk.step[2];
    *walk.step[2] = 0;
  }
  std::swap(p.count[1], p.count[2]);
  std::swap(p.period[1], p.period[2]);
}

void expand(const PlacedInstruction& p, std::vector<PlacedInstruction>& out) {
  for (int i3 = 0; i3 < p.count[2]; ++i3) {
    for (int i2 = 0; i2 < p.count[1]; ++i2) {
      for (int i1 = 0; i1 < p.count[0]; ++i1) {
        PlacedInstruction one = p;
        const std::array<int, 3> index{i1, i2, i3};
        one.first = p.first + i1 * p.period[0] + i2 * p.period[1] + i3 * p.period[2];
        one.count = {1, 1, 1};
        one.period = {0, 0, 0};
        std::visit(Resolve{p.count, index}, one.instruction);
        Walks walks = walks_of(one.instruction);
        for (int i = 0; i < walks.count; ++i) {
          int64_t value = walks.items[i].value;
          for (int level = 0; level < 3; ++level) {
            int32_t* step = walks.items[i].step[level];
            if (!step) continue;
            value += int64_t{*step} * index[level];
            *step = 0;
          }
          std::visit([&](auto& instruction) { set_value(instruction, i, value); },
                     one.instruction);
        }
        out.push_back(std::move(one));
      }
    }
  }
}

// Sets the walking values of `to` to those of `from`, and its steps of `level`.
void take_walks(AnyInstruction& to, AnyInstruction from, int level) {
  const Walks source = walks_of(from);
  for (int i = 0; i < source.count; ++i) {
    std::visit([&](auto& instruction) { set_value(instruction, i, source.items[i].value); }, to);
  }
  const Walks target = walks_of(to);
  for (int i = 0; i < target.count; ++i) {
    if (target.items[i].step[level]) *target.items[i].step[level] = *source.items[i].step[level];
  }
}

// True if the two differ in nothing but the values that walk and their steps of `level`.
bool same_shape(const AnyInstruction& a, const AnyInstruction& b, int level) {
  if (a.index() != b.index()) return false;
  AnyInstruction copy = b;
  take_walks(copy, a, level);
  return copy == a;
}

// True if the levels below `level` run alike and those above have one iteration each.
bool same_below(const PlacedInstruction& a, const PlacedInstruction& b, int level) {
  for (int other = 0; other < 3; ++other) {
    if (other == level) continue;
    if (a.count[other] != b.count[other] || a.period[other] != b.period[other]) return false;
    if (other > level && a.count[other] > 1) return false;
  }
  return true;
}

// The level at which a run can grow: above all levels in use.
int growth_level(const PlacedInstruction& p) {
  if (p.count[2] > 1) return 3;
  if (p.count[1] > 1) return 2;
  return p.count[0] > 1 ? 1 : 0;
}

// Lets `next` continue `run` as further iterations of `level`, if it does.
bool append(PlacedInstruction& run, const PlacedInstruction& next, int level) {
  if (!same_below(run, next, level) || !same_shape(run.instruction, next.instruction, level) ||
      run.count[level] + next.count[level] > kCountMax[level]) {
    return false;
  }
  const int last = run.count[level] - 1;
  const int64_t period = next.first - run.first - last * run.period[level];
  int64_t inner = 0;
  for (int other = 0; other < level; ++other) inner += (run.count[other] - 1) * run.period[other];
  if (period > kPeriodMax[level] || period <= inner) return false;
  if (last > 0 && period != run.period[level]) return false;
  if (next.count[level] > 1 && period != next.period[level]) return false;
  AnyInstruction instruction = run.instruction, other = next.instruction;
  const Walks from = walks_of(instruction), to = walks_of(other);
  for (int w = 0; w < from.count; ++w) {
    int32_t* step = from.items[w].step[level];
    const int64_t delta =
        to.items[w].value - from.items[w].value - (step ? int64_t{last} * *step : 0);
    if (!step) {
      if (delta != 0) return false;
      continue;
    }
    if (last > 0 && delta != *step) return false;
    if (next.count[level] > 1 && delta != *to.items[w].step[level]) return false;
    if (!fits(delta, from.items[w].bits) || (from.items[w].ascends && delta < 0)) return false;
    *step = static_cast<int32_t>(delta);
  }
  run.instruction = std::move(instruction);
  run.period[level] = period;
  run.count[level] += next.count[level];
  return true;
}

// Grows runs of `level` from neighbours. Items must be sorted.
std::vector<PlacedInstruction> grow(const std::vector<PlacedInstruction>& items, int level) {
  std::vector<PlacedInstruction> out;
  for (size_t i = 0; i < items.size();) {
    PlacedInstruction run = items[i++];
    if (growth_level(run) <= level + 1 && !names_level(run.instruction, level)) {
      while (i < items.size() && append(run, items[i], level)) ++i;
    }
    out.push_back(std::move(run));
  }
  return out;
}

bool within_limits(const PlacedInstruction& p) {
  for (int level = 0; level < 3; ++level) {
    if (p.count[level] > kCountMax[level] || p.period[level] > kPeriodMax[level]) return false;
  }
  return true;
}

}  // namespace

std::vector<PlacedInstruction> compress_queue(std::vector<PlacedInstruction> instructions) {
  const auto earlier = [](const PlacedInstruction& a, const PlacedInstruction& b) {
    return a.first < b.first;
  };
  std::sort(instructions.begin(), instructions.end(), earlier);
  std::vector<PlacedInstruction> sequence;
  size_t i = 0;
  while (i < instructions.size()) {
    size_t end = i + 1;
    int64_t last = instructions[i].last();
    while (end < instructions.size() && instructions[end].first <= last) {
      last = std::max(last, instructions[end].last());
      ++end;
    }
    if (end == i + 1 && within_limits(instructions[i])) {
      normalize(instructions[i]);
      free_outer_level(instructions[i]);
      sequence.push_back(std::move(instructions[i]));
    } else {
      std::vector<PlacedInstruction> issues;
      for (size_t k = i; k < end; ++k) expand(instructions[k], issues);
      std::sort(issues.begin(), issues.end(), earlier);
      issues = grow(issues, 0);
      issues = grow(issues, 1);
      sequence.insert(sequence.end(), std::make_move_iterator(issues.begin()),
                      std::make_move_iterator(issues.end()));
    }
    i = end;
  }
  sequence = grow(sequence, 1);
  return grow(sequence, 2);
}

}  // namespace pianola
