#include "compiler/lower/lower_graph.h"

#include <algorithm>
#include <bit>

#include "compiler/lower/lowering.h"
#include "compiler/lower/tile_format.h"
#include "compiler/passes/rotary_table.h"
#include "isa/arithmetic.h"

namespace pianola {
namespace {

constexpr int kMostTokens = 32;

VxmInstruction output(VxmOutFormat format, VxmOutSource source = VxmOutSource::V) {
  VxmInstruction pass;
  pass.out_format = format;
  pass.out_source = source;
  return pass;
}

// fp32 nearest to 1 / n.
float reciprocal_of(int n) { return static_cast<float>(1.0 / n); }

}  // namespace

int max_tokens(const Target& target) {
  return std::min({kMostTokens, target.lanes, target.mxm_accumulators, target.vxm_accumulators / 2});
}

int attention_tokens(const QuantizedGraph& graph, const Target& target) {
  const int group = graph.model.heads / graph.model.kv_heads;
  return std::min(target.mxm_accumulators, target.vxm_accumulators / 2) / group;
}

LoweredEntry lower_entry(const QuantizedGraph& graph, const Target& target,
                         const EntryShape& shape, const DataTape& tape) {
  return Lowering(graph, target, shape).run(tape);
}

Status check_fits(const QuantizedGraph& graph, const Target& target) {
  const auto refuse = [&](const std::string& what) {
    return Error{ErrorCode::Unsupported, what, "target " + target.name};
  };
  const int streams = target.mxm_load_streams, spread = std::min(streams, 4);
  if (streams != 1 && streams != 2 && streams != 4 && streams != 8 && streams != 16) {
    return refuse("mxm.load_streams is " + std::to_string(streams) +
                  "; this compiler spreads tiles and cache rows over 1, 2, 4, 8 or 16 slices");
  }
  if (target.lanes / 2 % streams != 0) {
    return refuse("mxm.load_streams is " + std::to_string(streams) + ", of which " +
                  std::to_string(target.lanes / 2) +
                  " (vectors of a tile of 4-bit weights) are no multiple");
  }
  for (const QuantizedMatrix& matrix : graph.matrices) {
    const int vectors = tile_vectors(matrix.bits, target.lanes);
    if (vectors % streams == 0) continue;
    return refuse("mxm.load_streams is " + std::to_string(streams) + ", of which " +
                  std::to_string(vectors) + " (vectors of a tile of " +
                  std::to_string(matrix.bits) + "-bit weights) are no multiple");
  }
  if (target.slices_per_position % spread != 0) {
    return refuse("mem.slices_per_position is " + std::to_string(target.slices_per_position) +
                  ", no multiple of " + std::to_string(spread) +
                  "; cache rows are spread over the slices of one position");
  }
  if (homes_per_tile(target) > 1 && sides_of(target).size() < 2) {
    return refuse("mxm.load_streams is " + std::to_string(streams) +
                  ", but all matrix units are on one side; more than 4 need both");
  }
  if (target.sxm_positions.empty()) return refuse("no SXM; rotary embeddings need one");
  if (attention_tokens(graph, target) < 1) {
    return refuse("too few accumulators for " +
                  std::to_string(graph.model.heads / graph.model.kv_heads) +
                  " query heads per KV head");
  }
  for (const Side& side : sides_of(target)) {
    const bool west = target.mxm_positions[side.mxms[0]] < target.vxm_position;
    const std::string name = "the " + std::string(west ? "west" : "east") + " side";
    const int count = static_cast<int>(side.homes.size());
    const bool stays = target.weights == Residence::Mem;
    const int needed = kStateHomes + (stays ? homes_per_tile(target) : 0);
    if (count < needed) {
      return refuse(name + " has " + std::to_string(4 * count) +
                    " slices; with a matrix unit there it needs " + std::to_string(4 * needed));
    }
    if (is_divided(target, side, 0, kStateHomes - 1)) {
      return refuse("a matrix unit stands among the " + std::to_string(4 * kStateHomes) +
                    " slices of " + name + " that are next to the VXM; move it outward");
    }
    if (stays && side.groups.empty()) {
      return refuse(name + " has matrix units with fewer than " +
                    std::to_string(4 * homes_per_tile(target)) +
                    " neighbouring slices beyond the " + std::to_string(4 * kStateHomes) +
                    " next to the VXM; a tile is spread over so many");
    }
  }
  if (target.port_width_vectors < 4) {
    return refuse("ports.width_vectors is " + std::to_string(target.port_width_vectors) +
                  "; the bytes of fp32 and int32 values pass a port as 4 vectors at once");
  }
  const uint32_t stages = (1u << 11) - 1;
  if ((target.vxm_stages & stages) != stages) {
    return refuse("a transformer needs every stage of the VXM; add the missing ones to vxm.stages");
  }
  return Ok{};
}

void Lowering::lower(const QNode& node, const QEmbed&) {
  const int vectors = graph_.value_widths[node.output] / lanes_;
  const ArrayId x = add_value(node.name, state({0, 0}), vectors);
  values_[node.output] = x;
  CopyInOperation copy;
  copy.name = node.name;
  copy.nest.count = {vectors, tokens_, 1};
  copy.destination = to(x, 0, {tokens_, 1, 0});
  emit(copy);
}

// The rotary rows of the launch's positions.
void Lowering::receive_rotary() {
  rotary_row_ = rotary_row_vectors(graph_, lanes_);
  rotary_ = add_array("rotary", state_or_other({1, 0}, {3, 0}), 4, rotary_row_ * tokens_);
  CopyInOperation copy;
  copy.name = "rotary";
  copy.nest.count = {rotary_row_ * tokens_, 1, 1};
  copy.destination = to(rotary_, 0, {1, 0, 0});
  emit(copy);
}

// Level 2 becomes one fp32 vector for each of the `rows` iterations of level 1.
void Lowering::fold(VxmOperation& op, VxmAccSource source, VxmAccOp how, int rows) {
  op.pass.acc_source = source;
  op.pass.acc_op = how;
  op.pass.first = VxmFirst::Level2;
  op.pass.emit = VxmEmit::Level2;
  op.pass.out_format = VxmOutFormat::F32;
  op.pass.out_source = VxmOutSource::W;
  op.group = new_group(rows);
  op.accumulator_step = {1, 0, 0};
  op.closes_group = true;
}

// maxima[group][token] = largest |x * gain| of each activation group of the piece.
void Lowering::lower_maxima(const Quantization& q, const GroupPiece& piece) {
  VxmOperation op;
  op.name = q.name + ".absmax";
  op.chain = piece.chain;
  op.nest.count = {tokens_, piece.size, piece.groups};
  op.x = from(q.x, piece.vector * tokens_, {1, tokens_, piece.size * tokens_});
  if (q.gain >= 0) {
    op.y = from(q.gain, piece.vector, {0, 1, piece.size});
    op.pass.mul1 = VxmOperand::Y;
  }
  op.pass.tree = VxmTree::Absmax;
  keep_largest(op);
  op.writes = {to(q.maxima, piece.group * tokens_, {1, 0, tokens_})};
  emit(op);
}

// inverse[group][token] = 127 / maxima, of `groups` groups from `group` on.
void Lowering::lower_inverse(const Quantization& q, int group, int groups, int chain) {
  VxmOperation invert;
  invert.name = q.name + ".inverse";
  invert.chain = chain;
  invert.nest.count = {tokens_ * groups, 1, 1};
  invert.x = from(q.maxima, group * tokens_, {1, 0, 0});
  invert.pass = output(VxmOutFormat::F32);
  invert.pass.mul1 = VxmOperand::K1;
  invert.pass.k1 = static_cast<uint32_t>(constant(1.0f / 127.0f));
  invert.pass.sfu = VxmSfu::Reciprocal;
  invert.writes = {to(q.inverse, group * tokens_, {1, 0, 0})};
  emit(invert);
}

void Lowering::lower_codes(const Quantization& q, const GroupPiece& piece) {
  VxmOperation round;
  round.name = q.name + ".codes";
  round.chain = piece.chain;
  round.nest.count = {tokens_, piece.size, piece.groups};
  round.x = from(q.x, piece.vector * tokens_, {1, tokens_, piece.size * tokens_});
  round.pass = output(VxmOutFormat::I8);
  if (q.gain >= 0) {
    round.y = from(q.gain, piece.vector, {0, 1, piece.size});
    round.pass.mul1 = VxmOperand::Y;
  }
  round.z = from(q.inverse, piece.group * tokens_, {1, 0, tokens_});
  round.pass.mul2 = VxmOperand::Z;
  for (const std::vector<ArrayId>& turns : q.codes) {
    round.writes.push_back(
        codes_at(turns, q.groups, piece.vector, {1, tokens_, piece.size * tokens_}));
  }
  emit(round);
}

// The activation groups of vectors first .. end - 1 in pieces of equal groups. Where order alone hides latency, each is
// a piece.
std::vector<Lowering::GroupPiece> Lowering::group_pieces(int first, int end) const {
  const int per_group = target_.activation_group / lanes_;
  std::vector<GroupPiece> pieces;
  while (first < end) {
    GroupPiece piece;
    piece.vector = first;
    piece.group = first / per_group;
    piece.groups = weights_stay_ ? 1 : std::max(1, (end - first) / per_group);
    piece.size = std::min(per_group, end - first);
    piece.chain = element_chain();
    pieces.push_back(piece);
    first += piece.groups * piece.size;
  }
  return pieces;
}

// rstd[token] = rsqrt(mean(x^2) + eps)
ArrayId Lowering::lower_rstd(const QNode& node, const QQuantize& op, ArrayId x, int vectors) {
  const ArrayId sum = add_value(node.name + ".sumsq", state({3, 1}), 1);
  VxmOperation square;
  square.name = node.name + ".sumsq";
  square.nest.count = {tokens_, vectors, 1};
  square.x = square.y = from(x, 0, {1, tokens_, 0});
  square.pass.mul1 = VxmOperand::Y;
  square.pass.tree = VxmTree::Sum;
  fold(square, VxmAccSource::R, VxmAccOp::Add, tokens_);
  square.writes = {to(sum, 0, {1, 0, 0})};
  emit(square);

  const ArrayId rstd = add_value(node.name + ".rstd", state({1, 1}), 1);
  VxmOperation root;
  root.name = node.name + ".rstd";
  root.nest.count = {tokens_, 1, 1};
  root.x = from(sum, 0, {1, 0, 0});
  root.pass = output(VxmOutFormat::F32);
  root.pass.mul1 = VxmOperand::K1;
  root.pass.k1 = static_cast<uint32_t>(constant(reciprocal_of(op.width)));
  root.pass.add_op = VxmAddOp::Add;
  root.pass.add_operand = VxmOperand::K2;
  root.pass.k2 = static_cast<uint32_t>(constant(op.eps));
  root.pass.sfu = VxmSfu::Rsqrt;
  root.writes = {to(rstd, 0, {1, 0, 0})};
  emit(root);
  return rstd;
}

// Each piece before the next one is made.
void Lowering::lower_waiting_pieces(const QNode& node, const Quantization& q) {
  const std::vector<GroupPiece> pieces =
      group_pieces(0, graph_.value_widths[node.output] / lanes_);
  std::vector<VectorOperation>& waiting = waiting_pieces_[node.inputs[0]];
  const size_t share = waiting.size() / pieces.size();
  size_t next = 0;
  if (share == 0) {
    for (const GroupPiece& piece : pieces) lower_maxima(q, piece);
  }
  for (const GroupPiece& piece : pieces) {
    for (size_t i = 0; i < share; ++i) emit(std::move(waiting[next++]));
    if (share > 0) lower_maxima(q, piece);
    lower_inverse(q, piece.group, piece.groups, piece.chain);
    lower_codes(q, piece);
  }
}

// The scales of `groups` groups from `group` on, with the reciprocal root if there is one: a vector per smallest
// weight window, so that a product walks windows alone.
void Lowering::lower_scales(const Quantization& q, ArrayId rstd, int group, int groups) {
  const int windows = target_.activation_group / graph_.numerics.weight_window;
  VxmOperation scale;
  scale.name = q.name + ".scales";
  scale.nest.count = {tokens_, groups, 1};
  scale.x = from(q.maxima, group * tokens_, {1, tokens_, 0});
  scale.pass = output(VxmOutFormat::F32);
  scale.pass.mul1 = VxmOperand::K1;
  scale.pass.k1 = static_cast<uint32_t>(constant(1.0f / 127.0f));
  if (rstd >= 0) {
    scale.y = from(rstd, 0, {1, 0, 0});
    scale.pass.mul2 = VxmOperand::Y;
  }
  for (int w = 0; w < windows; ++w) {
    scale.writes = {to(q.scales, (group * windows + w) * tokens_, {1, windows * tokens_, 0})};
    emit(scale);
  }
}

// The arrays of a quantization.
Lowering::Quantization Lowering::declare_codes(const QNode& node, const QQuantize& op) {
  const int vectors = graph_.value_widths[node.output] / lanes_;
  const int per_group = target_.activation_group / lanes_;
  const int groups = (vectors + per_group - 1) / per_group;

  Quantization q;
  q.name = node.name;
  q.x = values_[node.inputs[0]];
  if (op.gain >= 0 && weights_stay_) {
    q.gain = resident_gains_[op.gain];
  } else if (op.gain >= 0) {
    q.gain = add_array(node.name + ".gain", state({1, 0}), 4, vectors);
    receive(q.gain);
  }
  q.maxima = add_value(node.name + ".max", state_or_other({2, 0}, {3, 0}), groups);
  q.inverse = add_value(node.name + ".inverse", state_or_other({2, 1}, {3, 1}), groups);
  Codes codes;
  std::vector<Place> places;
  q.groups.resize(static_cast<size_t>(groups));
  const int turns = codes_turns(node, q.groups);
  // Of few groups and of many, so that the codes of one product are written while those of another are read.
  const int first_turn = groups > 3 ? 2 : 0;
  codes.groups = q.groups;
  for (size_t mxm = 0; mxm < target_.mxm_positions.size(); ++mxm) {
    const Place place = codes_place(static_cast<int>(mxm), 0);
    const auto known = std::find(places.begin(), places.end(), place) - places.begin();
    if (known == static_cast<std::ptrdiff_t>(places.size())) {
      places.push_back(place);
      std::vector<ArrayId>& arrays = q.codes.emplace_back();
      for (int turn = 0; turn < turns; ++turn) {
        int size = 0;
        for (const CodesPlace& at : q.groups) {
          if (at.turn == turn) size = std::max(size, at.index + 1);
        }
        arrays.push_back(add_array(node.name, codes_place(static_cast<int>(mxm), first_turn + turn),
                                   1, std::min(size * per_group, vectors) * tokens_));
      }
    }
    codes.by_mxm.push_back(q.codes[known]);
  }
  next_slice_ = (next_slice_ + 1) % 4;
  const int windows = target_.activation_group / graph_.numerics.weight_window;
  codes.scales = q.scales = add_value(node.name + ".scales", state({1, 0}), groups * windows);
  codes_[node.output] = std::move(codes);
  return q;
}

// Codes and scales of vectors first .. end - 1, whole activation groups; of all, if they are normalized.
void Lowering::quantize_vectors(const QNode& node, const Quantization& q, int first, int end) {
  const auto& op = std::get<QQuantize>(node.op);
  const int per_group = target_.activation_group / lanes_;
  const int group = first / per_group, groups = (end + per_group - 1) / per_group - group;
  const std::vector<GroupPiece> pieces = group_pieces(first, end);
  for (const GroupPiece& piece : pieces) lower_maxima(q, piece);
  const ArrayId rstd = op.normalize ? lower_rstd(node, op, q.x, end) : -1;
  lower_inverse(q, group, groups, 0);
  for (const GroupPiece& piece : pieces) lower_codes(q, piece);
  lower_scales(q, rstd, group, groups);
}

void Lowering::lower(const QNode& node, const QQuantize& op) {
  if (codes_.contains(node.output)) return;  // attention made them
  const Quantization q = declare_codes(node, op);
  const int vectors = graph_.value_widths[node.output] / lanes_;
  if (!weights_stay_) return quantize_vectors(node, q, 0, vectors);
  lower_waiting_pieces(node, q);
  const ArrayId rstd = op.normalize ? lower_rstd(node, op, q.x, vectors) : -1;
  lower_scales(q, rstd, 0, static_cast<int>(q.groups.size()));
}

// Next to the matrix units each has codes of its own, so that their reads do not collide.
Place Lowering::codes_place(int mxm, int turn) const {
  const int side = side_of_mxm(mxm);
  const std::vector<int>& mxms = sides_[side].mxms;
  const int home = sides_[side].codes_home;
  if (home < 0) return on_side(side, {3, 1, next_slice_});
  const int number = static_cast<int>(std::find(mxms.begin(), mxms.end(), mxm) - mxms.begin());
  return {home, turn / 2 % 2, (number + turn % 2 * 2) % 4};
}

// Next to the matrix units, groups that are multiplied by as they come have arrays of their own, so that they can be
// read while others are written; all that are multiplied by later share one. Returns the number of arrays.
int Lowering::codes_turns(const QNode& node, std::vector<CodesPlace>& groups) const {
  int early = 0;
  for (const ResidentProduct& product : products_) {
    if (sides_.front().codes_home < 0) break;
    if (graph_.nodes[product.nodes[0]].inputs[0] != node.output) continue;
    const int vectors = early_windows(product) * product.tiles_per_window;
    early = vectors * lanes_ / target_.activation_group;
    break;
  }
  const int count = static_cast<int>(groups.size());
  if (tokens_ > 1 && early > 0) early = count;
  const int turns = std::min(early, early == count && count == 3 ? 3 : 2);
  for (int g = 0; g < count; ++g) {
    groups[g] = g < early ? CodesPlace{g % turns, g / turns} : CodesPlace{turns, g - early};
  }
  return early < count ? turns + 1 : turns;
}

ArrayRef Lowering::codes_at(const std::vector<ArrayId>& turns, const std::vector<CodesPlace>& groups,
                            int vector, std::array<int, 3> step) const {
  const int per_group = target_.activation_group / lanes_;
  const CodesPlace& at = groups[static_cast<size_t>(vector / per_group)];
  return to(turns[static_cast<size_t>(at.turn)],
            (at.index * per_group + vector % per_group) * tokens_, step);
}

Lowering::Product Lowering::declare_output(const QNode& node, const QLinear& op) {
  const QuantizedMatrix& matrix = graph_.matrices[op.matrix];
  Product product;
  product.matrix = &matrix;
  const bool to_host = [&] {
    for (const QNode& other : graph_.nodes) {
      if (std::holds_alternative<QLogits>(other.op) && other.inputs[0] == node.output) return true;
    }
    return false;
  }();
  if (op.has_residual) product.residual = values_[node.inputs[1]];
  if (to_host && shape_.output == EntryOutput::Tokens) {
    product.chosen_from = true;
    if (choices_.count == 0) choices_ = declare_choices(matrix.rows / lanes_, 1);
  } else if (!to_host) {
    // Sums with a residual change banks from one to the next; the up product of a gate has a home
    // of its own, because both meet in one pass.
    Place place = state({0, 1});
    if (op.has_residual) {
      place.bank = 1 - value_banks_[node.inputs[1]];
      value_banks_[node.output] = place.bank;
    }
    for (const QNode& other : graph_.nodes) {
      if (std::holds_alternative<QSiluMul>(other.op) && other.inputs[1] == node.output) {
        place = state_or_other({1, 1}, {0, 1});
      }
    }
    for (const QNode& other : graph_.nodes) {
      if (!std::holds_alternative<QAttention>(other.op) || homes_per_tile(target_) == 1) continue;
      if (other.inputs[1] == node.output) place = state({3, 0});
      if (other.inputs[2] == node.output) place = state({3, 1});
    }
    product.output = add_value(node.name, place, matrix.rows / lanes_);
    values_[node.output] = product.output;
  }
  return product;
}

void Lowering::lower(const QNode& node, const QSiluMul&) {
  const ArrayId gate = values_[node.inputs[0]], up = values_[node.inputs[1]];
  const int vectors = graph_.value_widths[node.output] / lanes_;
  const ArrayId denominator = add_value(node.name + ".denominator",
                                        state_or_other({2, 1}, {3, 1}), vectors);
  const ArrayId out = add_value(node.name, state({0, 0}), vectors);
  values_[node.output] = out;
  VxmOperation sigmoid;
  sigmoid.name = node.name + ".denominator";
  sigmoid.x = from(gate, 0, {1, tokens_, 0});
  sigmoid.pass = output(VxmOutFormat::F32, VxmOutSource::W);
  sigmoid.pass.mul1 = VxmOperand::K1;
  sigmoid.pass.k1 = static_cast<uint32_t>(constant(minus_log2_e()));
  sigmoid.pass.sfu = VxmSfu::Exp2;
  sigmoid.pass.acc_op = VxmAccOp::AddK2;
  sigmoid.pass.k2 = static_cast<uint32_t>(constant(1.0f));
  sigmoid.writes = {to(denominator, 0, {1, tokens_, 0})};
  VxmOperation product;
  product.name = node.name;
  product.x = from(denominator, 0, {1, tokens_, 0});
  product.y = from(gate, 0, {1, tokens_, 0});
  product.z = from(up, 0, {1, tokens_, 0});
  product.pass = output(VxmOutFormat::F32);
  product.pass.sfu = VxmSfu::Reciprocal;
  product.pass.mul3 = VxmOperand::Y;
  product.pass.combine = VxmCombine::Z;
  product.writes = {to(out, 0, {1, tokens_, 0})};
  // In pieces of an activation group, so that quantization can begin with the first: where order alone hides
  // latency, it takes each piece before the next one is there.
  const int piece = target_.activation_group / lanes_;
  std::vector<VectorOperation>& waiting = waiting_pieces_[node.output];
  for (int first = 0; first < vectors; first += piece) {
    const int count = std::min(piece, vectors - first);
    for (VxmOperation* op : {&sigmoid, &product}) {
      VxmOperation part = *op;
      part.chain = dense_chain();
      part.stays_on_chain = tokens_ == 1;
      part.nest.count = {tokens_, count, 1};
      for (Operand* o : {&part.x, &part.y, &part.z}) o->ref.index += first * tokens_;
      part.writes[0].index += first * tokens_;
      if (weights_stay_) {
        waiting.push_back(std::move(part));
      } else {
        emit(std::move(part));
      }
    }
  }
}

void Lowering::lower(const QNode&, const QLogits&) {
  if (shape_.output == EntryOutput::Tokens) finish_choice();
}

}  // namespace pianola
