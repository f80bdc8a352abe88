// Attention: rotary embedding, scores, softmax over fixed position blocks, and the weighted sum of the
// values. The cache that it reads is in lower_cache.cc.
#include <algorithm>

#include "compiler/lower/lowering.h"

namespace pianola {

int rotary_row_vectors(const QuantizedGraph& graph, int lanes) {
  const int half = graph.rotary_width;
  return 2 * half == lanes ? 2 : 3 * half / lanes;
}

VxmOperation absmax_of(Operand x, Nest nest) {
  VxmOperation op;
  op.nest = nest;
  op.x = x;
  op.pass.tree = VxmTree::Absmax;
  return op;
}

// x rotated, all heads at once: [head][vector][token].
ArrayId Lowering::rotate(const Heads& h, ArrayId x, int heads, const std::string& name,
                         Place place) {
  const int vectors = heads * h.vectors;
  const ArrayId product = add_value(name + ".cosine", state({2, 0}), vectors);
  const ArrayId out = add_value(name, state(place), vectors);
  if (h.vectors > 1) {
    for (int head = 0; head < heads; ++head) rotate_wide(h, x, product, out, head, name);
    return out;
  }
  const ArrayId partner = add_value(name + ".partner", state({0, 0}), vectors);
  SxmOperation swap;
  swap.name = name + ".partner";
  swap.nest.count = {tokens_, heads, 1};
  swap.source = to(x, 0, {1, tokens_, 0});
  swap.destination = to(partner, 0, {1, tokens_, 0});
  swap.move.op = SxmOp::Rotate;
  swap.move.amount = lanes_ / 2;
  emit(swap);
  VxmOperation cosine;
  cosine.name = name + ".cosine";
  cosine.nest.count = {tokens_, heads, 1};
  cosine.x = from(x, 0, {1, tokens_, 0});
  cosine.y = from(rotary_, 0, {rotary_row_, 0, 0});
  cosine.pass.mul1 = VxmOperand::Y;
  cosine.pass.out_format = VxmOutFormat::F32;
  cosine.writes = {to(product, 0, {1, tokens_, 0})};
  emit(cosine);
  VxmOperation sine = cosine;
  sine.name = name;
  sine.x = from(partner, 0, {1, tokens_, 0});
  sine.y = from(rotary_, 1, {rotary_row_, 0, 0});
  sine.z = from(product, 0, {1, tokens_, 0});
  sine.pass.add_op = VxmAddOp::Add;
  sine.pass.add_operand = VxmOperand::Z;
  sine.writes = {to(out, 0, {1, tokens_, 0})};
  emit(sine);
  return out;
}

// A head of several vectors: the partner of a vector is another vector. A rotary row holds
// cos, -sin and sin of half a head.
void Lowering::rotate_wide(const Heads& h, ArrayId x, ArrayId product, ArrayId out, int head,
                           const std::string& name) {
  const int half = h.vectors / 2, base = head * h.vectors * tokens_, step = half * tokens_;
  VxmOperation cosine;
  cosine.name = name + ".cosine";
  cosine.nest.count = {tokens_, half, 2};
  cosine.x = from(x, base, {1, tokens_, step});
  cosine.y = from(rotary_, 0, {rotary_row_, 1, 0});
  cosine.pass.mul1 = VxmOperand::Y;
  cosine.pass.out_format = VxmOutFormat::F32;
  cosine.writes = {to(product, base, {1, tokens_, step})};
  emit(cosine);
  for (int side = 0; side < 2; ++side) {
    VxmOperation sine = cosine;
    sine.name = name;
    sine.nest.count = {tokens_, half, 1};
    sine.x = from(x, base + (1 - side) * step, {1, tokens_, 0});
    sine.y = from(rotary_, (1 + side) * half, {rotary_row_, 1, 0});
    sine.z = from(product, base + side * step, {1, tokens_, 0});
    sine.pass.add_op = VxmAddOp::Add;
    sine.pass.add_operand = VxmOperand::Z;
    sine.writes = {to(out, base + side * step, {1, tokens_, 0})};
    emit(sine);
  }
}

Lowering::Query Lowering::quantize_queries(const Heads& h, ArrayId queries) {
  const int heads = h.op->heads, per_kv = h.group * tokens_ * h.vectors;
  const uint32_t c127 = static_cast<uint32_t>(constant(1.0f / 127.0f));
  const uint32_t score = static_cast<uint32_t>(constant(h.op->score_constant));
  Query query;
  query.scales = add_value(h.name + ".query_scales", state({2, 0}), heads);
  for (size_t side = 0; side < sides_.size(); ++side) {
    query.codes.push_back(add_array(h.name + ".query_codes",
                                    on_side(static_cast<int>(side), {0, 1, 3}), 1,
                                    heads * h.vectors * tokens_));
  }
  ArrayId inverse = -1, maxima = -1;
  if (h.vectors > 1) {
    inverse = add_value(h.name + ".query_inverse", state({3, 0}), heads);
    maxima = add_value(h.name + ".query_max", state({3, 1}), heads);
  }
  for (int kv = 0; kv < h.op->kv_heads; ++kv) {
    for (int g = 0; g < h.group && h.vectors > 1; ++g) {
      const int head = kv * h.group + g;
      VxmOperation largest = absmax_of(from(queries, head * h.vectors * tokens_, {1, tokens_, 0}),
                                       {{tokens_, h.vectors, 1}});
      largest.name = h.name + ".query_max";
      largest.pass.acc_source = VxmAccSource::R;
      largest.pass.acc_op = VxmAccOp::Max;
      largest.pass.first = VxmFirst::Level2;
      largest.pass.emit = VxmEmit::Level2;
      largest.pass.out_format = VxmOutFormat::F32;
      largest.pass.out_source = VxmOutSource::W;
      largest.group = new_group(tokens_);
      largest.accumulator_step = {1, 0, 0};
      largest.closes_group = true;
      largest.writes = {to(maxima, head * tokens_, {1, 0, 0})};
      emit(largest);
    }
    const int heads_first = kv * h.group * tokens_, count = h.group * tokens_;
    if (h.vectors > 1) {
      VxmOperation invert;
      invert.name = h.name + ".query_inverse";
      invert.nest.count = {count, 1, 1};
      invert.x = from(maxima, heads_first, {1, 0, 0});
      invert.pass.mul1 = VxmOperand::K1;
      invert.pass.k1 = c127;
      invert.pass.sfu = VxmSfu::Reciprocal;
      invert.pass.out_format = VxmOutFormat::F32;
      invert.writes = {to(inverse, heads_first, {1, 0, 0})};
      emit(invert);
    }
    VxmOperation codes;
    codes.name = h.name + ".query_codes";
    codes.nest.count = {tokens_, h.group, h.vectors};
    codes.x = from(queries, kv * per_kv, {1, h.vectors * tokens_, tokens_});
    VxmOperation scale;
    scale.name = h.name + ".query_scales";
    scale.nest.count = {count, 1, 1};
    if (h.vectors == 1) {
      codes.pass.tree = VxmTree::Absmax;
      codes.pass.root = VxmRoot::Reciprocal;
      codes.pass.k1 = c127;
      codes.pass.combine = VxmCombine::R;
      scale.x = from(queries, kv * per_kv, {1, 0, 0});
      scale.pass.tree = VxmTree::Absmax;
      scale.pass.root = VxmRoot::Scale;
      scale.pass.combine = VxmCombine::Replace;
    } else {
      codes.y = from(inverse, heads_first, {1, tokens_, 0});
      codes.pass.mul1 = VxmOperand::Y;
      scale.x = from(maxima, heads_first, {1, 0, 0});
      scale.pass.mul1 = VxmOperand::K1;
    }
    codes.pass.out_format = VxmOutFormat::I8;
    codes.writes = {to(query.codes[side_of_head(kv)], kv * per_kv,
                       {1, tokens_, h.group * tokens_})};
    emit(codes);
    scale.pass.k1 = score;
    scale.pass.out_format = VxmOutFormat::F32;
    scale.writes = {to(query.scales, heads_first, {1, 0, 0})};
    emit(scale);
  }
  return query;
}

Lowering::Softmax Lowering::lower_scores(const Heads& h, const Cache& cache, const Query& query,
                                         int head) {
  const int rows = h.group * tokens_;  // (query head of the group, token)
  const int positions = cache_stays_ ? graph_.model.context : shape_.context;
  const int per_word = target_.mxm_load_streams;  // rows
  const int side = side_of_head(head);
  const std::string name = h.name + "[" + std::to_string(head) + "]";
  Softmax softmax;
  softmax.scores = add_array(name + ".scores", state({0, 0}), 4, rows * h.blocks);
  softmax.maximum = add_array(name + ".maximum", state({3, 1}), 4, rows);
  const AccumulatorGroup group = new_group(rows);
  MatmulOperation op;
  op.name = name + ".scores";
  op.mxm = sides_[side].mxms[head / sides_.size() % sides_[side].mxms.size()];
  op.activations = rows;
  op.tiles = h.vectors;
  op.windows = h.blocks;
  op.orientation = MxmLoadOrientation::Output;
  op.source = TileSource::Array;
  op.rows = to(cache.keys, 0, {0, positions / per_word, lanes_ / per_word});
  op.activation = to(query.codes[side], head * rows * h.vectors, {1, rows, 0});
  // The threshold of the causal mask moves with the token: one consumer per query head, or one
  // for all where there is one token.
  const int per_consumer = tokens_ == 1 ? rows : tokens_;
  for (int first = 0; first < rows; first += per_consumer) {
    VxmOperation score;
    score.name = name + ".scores";
    score.chain = chain_of(side);
    score.nest.count = {per_consumer, h.blocks, 1};
    score.x.source = OperandSource::Mxm;
    score.x.format = VxmFormat::I32;
    score.y = from(cache.key_scales, 0, {0, 1, 0});
    score.z = from(query.scales, head * rows + first, {1, 0, 0});
    score.pass.mul1 = VxmOperand::Y;
    score.pass.mul2 = VxmOperand::Z;
    score.pass.select = VxmSelect::Lt;
    score.pass.select_reg = kPositionRegister;
    score.pass.select_imm = 1;
    score.pass.select_s1 = tokens_ == 1 ? 0 : 1;
    score.pass.select_s2 = -lanes_;
    score.pass.k2 = static_cast<uint32_t>(constant(-1e30f));
    score.pass.tree = VxmTree::Max;
    score.pass.acc_source = VxmAccSource::R;
    score.pass.acc_op = VxmAccOp::Max;
    score.pass.first = VxmFirst::Level2;
    score.group = group;
    score.accumulator = first;
    score.accumulator_step = {1, 0, 0};
    score.pass.out_format = VxmOutFormat::F32;
    score.writes = {to(softmax.scores, first, {1, rows, 0})};
    op.consumers.push_back(score);
  }
  emit(op);
  VxmOperation maximum;
  maximum.name = name + ".maximum";
  maximum.chain = chain_of(side);
  maximum.nest.count = {rows, 1, 1};
  maximum.pass.acc_op = VxmAccOp::Read;
  maximum.pass.out_format = VxmOutFormat::F32;
  maximum.pass.out_source = VxmOutSource::W;
  maximum.group = group;
  maximum.accumulator_step = {1, 0, 0};
  maximum.closes_group = true;
  maximum.writes = {to(softmax.maximum, 0, {1, 0, 0})};
  emit(maximum);
  return softmax;
}

void Lowering::lower_softmax(const Heads& h, const Cache& cache, Softmax& softmax, int head) {
  const int rows = h.group * tokens_, side = side_of_head(head), chain = chain_of(side);
  const std::string name = h.name + "[" + std::to_string(head) + "]";
  const uint32_t c127 = static_cast<uint32_t>(constant(1.0f / 127.0f));
  softmax.weights = add_array(name + ".weights", state({1, 0}), 4, rows * h.blocks);
  softmax.codes = add_array(name + ".weight_codes", on_side(side, {0, 1, 2}), 1, rows * h.blocks);
  softmax.scales = add_array(name + ".weight_scales", state({1, 1}), 4, rows * h.blocks);
  const ArrayId sum = add_array(name + ".sum", state({3, 1}), 4, rows);
  softmax.reciprocal = add_array(name + ".reciprocal", state({3, 0}), 4, rows);
  const AccumulatorGroup group = new_group(rows);

  VxmOperation exponential;
  exponential.name = name + ".weights";
  exponential.chain = chain;
  exponential.nest.count = {rows, h.blocks, 1};
  exponential.x = from(softmax.scores, 0, {1, rows, 0});
  exponential.y = from(softmax.maximum, 0, {1, 0, 0});
  exponential.z = from(cache.value_scales, 0, {0, 1, 0});
  exponential.pass.add_op = VxmAddOp::Sub;
  exponential.pass.add_operand = VxmOperand::Y;
  exponential.pass.sfu = VxmSfu::Exp2;
  exponential.pass.tree = VxmTree::Sum;
  exponential.pass.combine = VxmCombine::Z;
  exponential.pass.acc_source = VxmAccSource::R;
  exponential.pass.acc_op = VxmAccOp::Add;
  exponential.pass.first = VxmFirst::Level2;
  exponential.group = group;
  exponential.accumulator_step = {1, 0, 0};
  exponential.pass.out_format = VxmOutFormat::F32;
  exponential.writes = {to(softmax.weights, 0, {1, rows, 0})};
  emit(exponential);

  VxmOperation total;
  total.name = name + ".sum";
  total.chain = chain;
  total.nest.count = {rows, 1, 1};
  total.pass.acc_op = VxmAccOp::Read;
  total.pass.out_format = VxmOutFormat::F32;
  total.pass.out_source = VxmOutSource::W;
  total.group = group;
  total.accumulator_step = {1, 0, 0};
  total.closes_group = true;
  total.writes = {to(sum, 0, {1, 0, 0})};
  emit(total);

  VxmOperation invert;
  invert.name = name + ".reciprocal";
  invert.chain = chain;
  invert.nest.count = {rows, 1, 1};
  invert.x = from(sum, 0, {1, 0, 0});
  invert.pass.sfu = VxmSfu::Reciprocal;
  invert.pass.out_format = VxmOutFormat::F32;
  invert.writes = {to(softmax.reciprocal, 0, {1, 0, 0})};
  emit(invert);

  VxmOperation codes = absmax_of(from(softmax.weights, 0, {1, rows, 0}), {{rows, h.blocks, 1}});
  codes.name = name + ".weight_codes";
  codes.chain = chain;
  codes.pass.root = VxmRoot::Reciprocal;
  codes.pass.k1 = c127;
  codes.pass.combine = VxmCombine::R;
  codes.pass.out_format = VxmOutFormat::I8;
  codes.writes = {to(softmax.codes, 0, {1, rows, 0})};
  emit(codes);
  VxmOperation scales = codes;
  scales.name = name + ".weight_scales";
  scales.pass.root = VxmRoot::Scale;
  scales.pass.combine = VxmCombine::Replace;
  scales.pass.out_format = VxmOutFormat::F32;
  scales.writes = {to(softmax.scales, 0, {1, rows, 0})};
  emit(scales);
}

void Lowering::lower_weighted_sum(const Heads& h, const Cache& cache, const Softmax& softmax,
                                  int head, ArrayId out) {
  const int rows = h.group * tokens_, side = side_of_head(head), chain = chain_of(side);
  const int positions = cache_stays_ ? graph_.model.context : shape_.context;
  const int per_word = target_.mxm_load_streams;  // rows
  const std::string name = h.name + "[" + std::to_string(head) + "]";
  const ArrayId sums = add_array(name + ".sums", state({0, 0}), 4, rows * h.vectors);
  for (int j = 0; j < h.vectors; ++j) {
    MatmulOperation op;
    op.name = name + ".sums";
    op.mxm = sides_[side].mxms[head / sides_.size() % sides_[side].mxms.size()];
    op.activations = rows;
    op.windows = h.blocks;
    op.orientation = MxmLoadOrientation::Input;
    op.source = TileSource::Array;
    op.rows = to(cache.values, j * positions / per_word, {0, 0, lanes_ / per_word});
    op.activation = to(softmax.codes, 0, {1, 0, rows});
    VxmOperation sum;
    sum.name = name + ".sums";
    sum.chain = chain;
    sum.nest.count = {rows, h.blocks, 1};
    sum.x.source = OperandSource::Mxm;
    sum.x.format = VxmFormat::I32;
    sum.y = from(softmax.scales, 0, {1, rows, 0});
    sum.pass.mul1 = VxmOperand::Y;
    sum.pass.acc_op = VxmAccOp::Add;
    sum.pass.first = VxmFirst::Level2;
    sum.pass.emit = VxmEmit::Level2;
    sum.pass.out_format = VxmOutFormat::F32;
    sum.pass.out_source = VxmOutSource::W;
    sum.group = new_group(rows);
    sum.accumulator_step = {1, 0, 0};
    sum.closes_group = true;
    sum.writes = {to(sums, j * rows, {1, 0, 0})};
    op.consumers = {sum};
    emit(op);
  }
  VxmOperation normalize;
  normalize.name = name + ".out";
  normalize.chain = chain;
  normalize.nest.count = {tokens_, h.group, h.vectors};
  normalize.x = from(sums, 0, {1, tokens_, rows});
  normalize.y = from(softmax.reciprocal, 0, {1, tokens_, 0});
  normalize.pass.mul1 = VxmOperand::Y;
  normalize.pass.out_format = VxmOutFormat::F32;
  normalize.writes = {
      to(out, head * h.group * h.vectors * tokens_, {1, h.vectors * tokens_, tokens_})};
  emit(normalize);
}

void Lowering::lower(const QNode& node, const QAttention& op) {
  Heads h{&op, node.name, op.head_width / lanes_, op.heads / op.kv_heads,
          shape_.context / lanes_};
  std::vector<Cache> caches;
  for (int head = 0; head < op.kv_heads; ++head) {
    if (cache_stays_) {
      caches.push_back(caches_[op.layer * op.kv_heads + head]);
      continue;
    }
    caches.push_back(declare_cache(h, head));
    stage_cache(h, caches.back(), node.name + "[" + std::to_string(head) + "]");
  }
  const ArrayId keys =
      rotate(h, values_[node.inputs[1]], op.kv_heads, node.name + ".keys", {2, 1});
  const ArrayId queries =
      rotate(h, values_[node.inputs[0]], op.heads, node.name + ".queries", {2, 1});
  for (int head = 0; head < op.kv_heads; ++head) {
    append(h, caches[head], head, keys, values_[node.inputs[2]]);
  }
  const Query query = quantize_queries(h, queries);
  const ArrayId out = add_value(node.name, state({0, 1}), op.heads * h.vectors);
  values_[node.output] = out;
  // One token: all heads go through each step together, so that no unit waits for one head's chain. Many
  // tokens fill the units by themselves, and two heads' scores are as much as memory should hold.
  const int ahead = tokens_ == 1 ? op.kv_heads : 1;
  std::vector<Softmax> softmax(op.kv_heads);
  for (int step = 0; step < op.kv_heads + 2 * ahead; step += ahead) {
    for (int head = step; head < std::min(step + ahead, op.kv_heads); ++head) {
      softmax[head] = lower_scores(h, caches[head], query, head);
    }
    for (int head = std::max(0, step - ahead); head < std::min(step, op.kv_heads); ++head) {
      lower_softmax(h, caches[head], softmax[head], head);
    }
    for (int head = std::max(0, step - 2 * ahead); head < std::min(step - ahead, op.kv_heads);
         ++head) {
      lower_weighted_sum(h, caches[head], softmax[head], head, out);
    }
  }
}

}  // namespace pianola
