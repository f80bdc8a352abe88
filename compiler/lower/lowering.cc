#include "compiler/lower/lowering.h"

#include <bit>
#include <string_view>
#include <utility>

#include "isa/arithmetic.h"

namespace pianola {

Lowering::Lowering(const QuantizedGraph& graph, const Target& target, const EntryShape& shape)
    : graph_(graph),
      target_(target),
      shape_(shape),
      lanes_(target.lanes),
      tokens_(shape.tokens),
      weights_stay_(target.weights == Residence::Mem),
      cache_stays_(target.kv == KvResidence::Mem),
      sides_(sides_of(target)),
      values_(graph.value_widths.size(), -1),
      value_banks_(graph.value_widths.size(), 0) {
  CHECK(!sides_.empty());
}

int Lowering::mxm_of(int index) const {
  const int sides = static_cast<int>(sides_.size());
  const Side& side = sides_[index % sides];
  return side.mxms[index / sides % side.mxms.size()];
}

int Lowering::side_of_mxm(int mxm) const {
  for (size_t side = 0; side < sides_.size(); ++side) {
    for (int other : sides_[side].mxms) {
      if (other == mxm) return static_cast<int>(side);
    }
  }
  CHECK(false && "matrix unit on no side");
  return 0;
}

ArrayId Lowering::add_array(std::string name, Place place, int streams, int vectors) {
  Array array;
  array.name = std::move(name);
  array.home = place.home;
  array.bank = place.bank;
  array.slice = place.slice;
  array.streams = streams;
  array.vectors = vectors;
  out_.program.arrays.push_back(std::move(array));
  return static_cast<ArrayId>(out_.program.arrays.size()) - 1;
}

// Every section spreads its work alike, so that neighbours of a group differ in their data alone.
void Lowering::begin_section(std::string group) {
  out_.program.sections.push_back(
      {static_cast<int>(out_.program.operations.size()), std::move(group)});
  next_block_ = 0;
  next_slice_ = 0;
  next_sums_ = 0;
}

// A section for each node outside of layers, and one per layer. Where caches are staged, sections reach from
// the first product of one feed-forward to that of the next: there the cache of the next layer is staged,
// while long products keep the units busy, and what is staged and used in one section leaves nothing
// behind.
void Lowering::begin_section_of(const QNode& node) {
  constexpr std::string_view kLayers = "layers.";
  std::string layer;
  if (node.name.starts_with(kLayers)) {
    layer = node.name.substr(0, node.name.find('.', kLayers.size()) + 1);
  }
  const bool enters = layer_.empty();
  const bool changes = layer != layer_;
  layer_ = layer;
  if (layer.empty()) {
    begin_section(node.name);
  } else if (cache_stays_) {
    if (changes) begin_section("layers");
  } else {
    if (enters) begin_section("layers.first");
    begin_staged_section(node);
  }
}

void Lowering::begin_staged_section(const QNode& node) {
  if (std::holds_alternative<QAttention>(node.op)) products_since_attention_ = 0;
  if (!std::holds_alternative<QLinear>(node.op) || ++products_since_attention_ != 2) return;
  const QNode* next = next_attention(node);
  begin_section(next ? "layers" : "layers.last");
  if (next) stage_cache_of(*next);
}

// The first attention behind this node; null: none.
const QNode* Lowering::next_attention(const QNode& node) const {
  const QNode* end = graph_.nodes.data() + graph_.nodes.size();
  const QNode* next = &node + 1;
  while (next != end && !std::holds_alternative<QAttention>(next->op)) ++next;
  return next == end ? nullptr : next;
}

AccumulatorGroup Lowering::new_group(int size) {
  out_.program.accumulator_groups.push_back(size);
  return static_cast<AccumulatorGroup>(out_.program.accumulator_groups.size()) - 1;
}

Operand Lowering::from(ArrayId array, int index, std::array<int, 3> step, VxmFormat format) {
  Operand operand;
  operand.source = OperandSource::Array;
  operand.format = format;
  operand.ref = to(array, index, step);
  return operand;
}

ArrayRef Lowering::to(ArrayId array, int index, std::array<int, 3> step) {
  ArrayRef ref;
  ref.array = array;
  ref.index = index;
  ref.step = step;
  return ref;
}

// The register that holds a constant; +0 is register 0.
int Lowering::constant(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if (bits == 0) return 0;
  const auto found = constants_.find(bits);
  if (found != constants_.end()) return found->second;
  const int index = kFirstConstantRegister + static_cast<int>(constants_.size());
  CHECK(index < kLaunchRegisters);
  constants_.emplace(bits, index);
  RegisterDeclaration declaration;
  declaration.index = index;
  declaration.name = "constant" + std::to_string(constants_.size());
  declaration.role = RegisterDeclaration::Role::Constant;
  declaration.minimum = declaration.maximum = bits;
  out_.program.registers.push_back(declaration);
  return index;
}

void Lowering::declare_registers() {
  using Role = RegisterDeclaration::Role;
  const auto declare = [this](int index, std::string name, Role role, int argument, int maximum) {
    RegisterDeclaration declaration;
    declaration.index = index;
    declaration.name = std::move(name);
    declaration.role = role;
    declaration.argument = argument;
    declaration.maximum = static_cast<uint32_t>(maximum);
    out_.program.registers.push_back(std::move(declaration));
  };
  const int last = shape_.context - tokens_;
  declare(kPositionRegister, "position", Role::Position, 0, last);
  declare(kBlockRegister, "position_block", Role::PositionBlock, 0, last / lanes_);
  declare(kLaneRegister, "position_lane", Role::PositionLane, 0, std::min(last, lanes_ - 1));
  for (int t = 0; t < tokens_; ++t) {
    declare(kLaunchRegisters + t, "token" + std::to_string(t), Role::Token, t,
            graph_.model.vocabulary - 1);
  }
}

LoweredEntry Lowering::run(const DataTape& tape) {
  if (shape_.kind != EntryKind::Load) declare_registers();
  if (weights_stay_) declare_resident_weights();
  if (cache_stays_) declare_resident_caches();

  const uint64_t table = tape.weights_vectors;
  const uint64_t row = static_cast<uint64_t>(graph_.value_widths[0] / lanes_) * 4;
  const uint64_t rotary = table + row * static_cast<uint64_t>(graph_.model.vocabulary);
  if (shape_.kind == EntryKind::Load) {
    if (weights_stay_) load_resident_weights();
    if (cache_stays_) clear_resident_caches();
  } else {
    for (int t = 0; t < tokens_; ++t) {
      Segment segment;
      segment.base = table;
      segment.count = static_cast<uint32_t>(row);
      segment.parameter = kLaunchRegisters + t;
      segment.parameter_stride = row;
      segment.limit = static_cast<uint32_t>(graph_.model.vocabulary - 1);
      out_.tape.push_back(segment);
    }
    const uint64_t rotary_vectors =
        static_cast<uint64_t>(rotary_row_vectors(graph_, lanes_)) * 4;
    Segment segment;
    segment.base = rotary;
    segment.count = static_cast<uint32_t>(rotary_vectors * static_cast<uint64_t>(tokens_));
    segment.parameter = kPositionRegister;
    segment.parameter_stride = rotary_vectors;
    segment.limit = static_cast<uint32_t>(shape_.context - tokens_);
    out_.tape.push_back(segment);
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      const QNode& node = graph_.nodes[i];
      begin_section_of(node);
      if (weights_stay_ && std::holds_alternative<QLinear>(node.op)) {
        lower_resident(static_cast<int>(i));
      } else {
        std::visit([&](const auto& op) { lower(node, op); }, node.op);
      }
      const auto* linear = std::get_if<QLinear>(&node.op);
      if (linear && linear->has_residual) {
        out_.residuals.push_back(static_cast<int>(out_.program.operations.size()) - 1);
      }
      if (std::holds_alternative<QEmbed>(node.op)) receive_rotary();
    }
  }
  const bool reads_weights = shape_.kind == EntryKind::Load || !weights_stay_;
  if (reads_weights && tape_vectors_ > 0) {
    CHECK(tape_vectors_ == tape.weights_vectors);
    Segment segment;
    segment.count = static_cast<uint32_t>(tape_vectors_);
    out_.tape.push_back(segment);
  }
  return std::move(out_);
}

}  // namespace pianola
