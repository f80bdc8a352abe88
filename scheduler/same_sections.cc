#include <algorithm>
#include <optional>

#include "scheduler/vector_program.h"

namespace pianola {
namespace {

class Comparison {
 public:
  explicit Comparison(const VectorProgram& program) : program_(program) {}

  bool same(const VectorOperation& a, const VectorOperation& b) {
    return a.index() == b.index() &&
           std::visit([&](const auto& x) { return same(x, std::get<std::decay_t<decltype(x)>>(b)); },
                      a);
  }

 private:
  bool same(const VxmOperation& a, const VxmOperation& b) {
    return a.nest.count == b.nest.count && same(a.x, b.x) && same(a.y, b.y) && same(a.z, b.z) &&
           a.pass == b.pass && same_group(a.group, b.group) && a.accumulator == b.accumulator &&
           a.accumulator_step == b.accumulator_step && a.closes_group == b.closes_group &&
           a.chain == b.chain && same(a.writes, b.writes) && a.to_host == b.to_host &&
           a.to_kv == b.to_kv;
  }
  bool same(const MatmulOperation& a, const MatmulOperation& b) {
    return a.mxm == b.mxm && a.activations == b.activations && a.tiles == b.tiles &&
           a.windows == b.windows && a.repeats == b.repeats && a.tile_cycles == b.tile_cycles &&
           a.format == b.format && a.orientation == b.orientation && a.source == b.source && same(a.rows, b.rows) &&
           same(a.activation, b.activation) && same(a.sums, b.sums) &&
           same(a.consumers, b.consumers);
  }
  bool same(const CopyInOperation& a, const CopyInOperation& b) {
    return a.source == b.source && a.nest.count == b.nest.count &&
           same(a.destination, b.destination);
  }
  bool same(const CopyOutOperation& a, const CopyOutOperation& b) {
    return a.nest.count == b.nest.count && same(a.source, b.source);
  }
  bool same(const SxmOperation& a, const SxmOperation& b) {
    return a.nest.count == b.nest.count && same(a.source, b.source) && a.move == b.move &&
           same(a.destination, b.destination);
  }
  bool same(const Operand& a, const Operand& b) {
    return a.source == b.source && a.format == b.format && same(a.ref, b.ref);
  }
  bool same(const ArrayRef& a, const ArrayRef& b) {
    return same_words(a.array, b.array) && a.index == b.index && a.step == b.step &&
           a.reg == b.reg && a.slice == b.slice && a.row == b.row && a.lane == b.lane && a.lane_reg == b.lane_reg &&
           a.lane_step == b.lane_step;
  }
  template <typename T>
  bool same(const std::vector<T>& a, const std::vector<T>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [this](const T& x, const T& y) { return same(x, y); });
  }

  bool same_words(ArrayId a, ArrayId b) const {
    if (a < 0 || b < 0 || a == b) return (a < 0) == (b < 0);
    const Array &x = program_.arrays[static_cast<size_t>(a)],
                &y = program_.arrays[static_cast<size_t>(b)];
    return x.home == y.home && x.bank == y.bank && x.slice == y.slice && x.streams == y.streams &&
           x.address == y.address;
  }

  // Groups are numbered as they come, so that those of two sections are everywhere as far apart.
  bool same_group(AccumulatorGroup a, AccumulatorGroup b) {
    if (a < 0 || b < 0) return a < 0 && b < 0;
    if (!distance_) distance_ = b - a;
    const std::vector<int>& sizes = program_.accumulator_groups;
    return b - a == *distance_ && sizes[static_cast<size_t>(a)] == sizes[static_cast<size_t>(b)];
  }

  const VectorProgram& program_;
  std::optional<int> distance_;  // of groups
};

}  // namespace

bool same_sections(const VectorProgram& program, int a, int b) {
  const int first = program.sections[static_cast<size_t>(a)].first;
  const int other = program.sections[static_cast<size_t>(b)].first;
  const int count = section_end(program, a) - first;
  if (section_end(program, b) - other != count) return false;
  Comparison comparison(program);
  for (int i = 0; i < count; ++i) {
    if (!comparison.same(program.operations[static_cast<size_t>(first + i)],
                         program.operations[static_cast<size_t>(other + i)])) {
      return false;
    }
  }
  return true;
}

}  // namespace pianola
