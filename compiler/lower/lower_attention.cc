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

// Heads first .. first + count - 1 of x rotated: [head][vector][token].
void Lowering::rotate(const Heads& h, ArrayId x, ArrayId out, int first, int count, int chain,
                      const std::string& name) {
  if (h.vectors > 1) return rotate_wide(h, x, out, first, count, chain, name);
  const ArrayId product = add_value(name + ".cosine", state({2, 0}), count);
  const ArrayId partner = add_value(name + ".partner", state({0, 0}), count);
  const int base = first * tokens_;
  SxmOperation swap;
  swap.name = name + ".partner";
  swap.nest.count = {tokens_, count, 1};
  swap.source = to(x, base, {1, tokens_, 0});
  swap.destination = to(partner, 0, {1, tokens_, 0});
  swap.move.op = SxmOp::Rotate;
  swap.move.amount = lanes_ / 2;
  emit(swap);
  VxmOperation cosine;
  cosine.name = name + ".cosine";
  cosine.chain = chain;
  cosine.nest.count = {tokens_, count, 1};
  cosine.x = from(x, base, {1, tokens_, 0});
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
  sine.writes = {to(out, base, {1, tokens_, 0})};
  emit(sine);
}

// Heads of several vectors: the partner of a vector is another vector. A rotary row holds cos, -sin and sin of
// half a head. Both products of a vector meet in an accumulator.
void Lowering::rotate_wide(const Heads& h, ArrayId x, ArrayId out, int first, int count, int chain,
                           const std::string& name) {
  const int half = h.vectors / 2, step = half * tokens_;
  const int most = std::max(1, target_.vxm_accumulators / 4 / tokens_);
  // Level 2 walks the vectors of half a head, or the heads where that is one vector.
  const int length = half > 1 ? half : count, repeats = half > 1 ? count : 1;
  const int stride = half > 1 ? tokens_ : h.vectors * tokens_;
  for (int i = 0; i < repeats * length; i += std::min(most, length - i % length)) {
    const int vectors = std::min(most, length - i % length);
    const int base = (first + i / length) * h.vectors * tokens_ + i % length * stride;
    const int row = half > 1 ? i % length : 0;
    for (int side = 0; side < 2; ++side) {
      VxmOperation op;
      op.name = name;
      op.chain = chain;
      op.nest.count = {tokens_, vectors, 2};
      op.x = from(x, base + side * step, {1, stride, (1 - 2 * side) * step});
      op.y = from(rotary_, row, {rotary_row_, half > 1 ? 1 : 0, (1 + side) * half});
      op.pass.mul1 = VxmOperand::Y;
      op.pass.acc_op = VxmAccOp::Add;
      op.pass.first = VxmFirst::Level3;
      op.pass.emit = VxmEmit::Level3;
      op.pass.out_format = VxmOutFormat::F32;
      op.pass.out_source = VxmOutSource::W;
      op.group = new_group(tokens_ * vectors);
      op.accumulator_step = {1, tokens_, 0};
      op.closes_group = true;
      op.writes = {to(out, base + side * step, {1, stride, 0})};
      emit(op);
    }
  }
}

Place Lowering::head_codes_place(int head, Place place) const {
  const int side = side_of_head(head), home = sides_[side].codes_home;
  if (home < 0) return on_side(side, place);
  return {home, place.bank, place.slice};
}

// As many tokens as the accumulators hold with all query heads of a KV head; all chunks but the last are equal.
std::vector<Lowering::TokenChunk> Lowering::attention_chunks() const {
  const int most = shape_.attention_tokens > 0 ? shape_.attention_tokens
                                                : attention_tokens(graph_, target_);
  const int chunks = (tokens_ + most - 1) / most, size = (tokens_ + chunks - 1) / chunks;
  std::vector<TokenChunk> list;
  for (int first = 0; first < tokens_; first += size) {
    list.push_back({first, std::min(size, tokens_ - first)});
  }
  return list;
}

Lowering::Query Lowering::declare_query(const Heads& h) {
  const int heads = h.op->heads;
  Query query;
  std::map<int, ArrayId> codes_of_mxm;
  for (int kv = 0; kv < h.op->kv_heads; ++kv) {
    query.scales.push_back(add_value(h.name + ".query_scales", head_place(kv, {2, 0}), h.group));
    const auto [at, added] = codes_of_mxm.emplace(mxm_of_head(kv), -1);
    if (added) {
      at->second = add_array(h.name + ".query_codes", head_codes_place(kv, {0, 1, 3}), 1,
                             heads * h.vectors * tokens_);
    }
    query.codes.push_back(at->second);
  }
  if (h.vectors > 1) {
    query.inverse = add_value(h.name + ".query_inverse", state({3, 0}), heads);
    query.maxima = add_value(h.name + ".query_max", state({3, 1}), heads);
  }
  return query;
}

// The query heads that share a KV head.
void Lowering::quantize_queries(const Heads& h, ArrayId queries, const Query& query, int kv,
                                int chain) {
  const int per_kv = h.group * tokens_ * h.vectors;
  const uint32_t c127 = static_cast<uint32_t>(constant(1.0f / 127.0f));
  const uint32_t score = static_cast<uint32_t>(constant(h.op->score_constant));
  for (int g = 0; g < h.group && h.vectors > 1; ++g) {
    const int head = kv * h.group + g;
    VxmOperation largest = absmax_of(from(queries, head * h.vectors * tokens_, {1, tokens_, 0}),
                                     {{tokens_, h.vectors, 1}});
    largest.name = h.name + ".query_max";
    largest.chain = chain;
    keep_largest(largest);
    largest.writes = {to(query.maxima, head * tokens_, {1, 0, 0})};
    emit(largest);
  }
  const int heads_first = kv * h.group * tokens_, count = h.group * tokens_;
  if (h.vectors > 1) {
    VxmOperation invert;
    invert.name = h.name + ".query_inverse";
    invert.chain = chain;
    invert.nest.count = {count, 1, 1};
    invert.x = from(query.maxima, heads_first, {1, 0, 0});
    invert.pass.mul1 = VxmOperand::K1;
    invert.pass.k1 = c127;
    invert.pass.sfu = VxmSfu::Reciprocal;
    invert.pass.out_format = VxmOutFormat::F32;
    invert.writes = {to(query.inverse, heads_first, {1, 0, 0})};
    emit(invert);
  }
  VxmOperation codes;
  codes.name = h.name + ".query_codes";
  codes.chain = chain;
  VxmOperation scale;
  scale.name = h.name + ".query_scales";
  scale.chain = chain;
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
    codes.pass.mul1 = VxmOperand::Y;
    scale.x = from(query.maxima, heads_first, {1, 0, 0});
    scale.pass.mul1 = VxmOperand::K1;
  }
  codes.pass.out_format = VxmOutFormat::I8;
  for (const TokenChunk& chunk : attention_chunks()) {
    codes.nest.count = {chunk.count, h.group, h.vectors};
    codes.x = from(queries, kv * per_kv + chunk.first, {1, h.vectors * tokens_, tokens_});
    if (h.vectors > 1) codes.y = from(query.inverse, heads_first + chunk.first, {1, tokens_, 0});
    codes.writes = {to(query.codes[kv], kv * per_kv + chunk.first * h.group * h.vectors,
                       {1, chunk.count, h.group * chunk.count})};
    emit(codes);
  }
  scale.pass.k1 = score;
  scale.pass.out_format = VxmOutFormat::F32;
  scale.writes = {to(query.scales[kv], 0, {1, 0, 0})};
  emit(scale);
}

Lowering::Softmax Lowering::lower_scores(const Heads& h, const Cache& cache, const Query& query,
                                         int head, const TokenChunk& chunk) {
  const int rows = h.group * chunk.count;  // (query head of the group, token)
  const int positions = cache_stays_ ? graph_.model.context : shape_.context;
  const int per_word = std::min(4, target_.mxm_load_streams);  // rows
  const int side = side_of_head(head);
  const std::string name = h.name + "[" + std::to_string(head) + "]";
  Softmax softmax;
  softmax.chunk = chunk;
  softmax.scores = add_array(name + ".scores", head_place(head, {0, 0}), 4, rows * h.blocks);
  softmax.maximum = add_array(name + ".maximum", head_place(head, {3, 1}), 4, rows);
  const AccumulatorGroup group = new_group(rows);
  MatmulOperation op;
  op.name = name + ".scores";
  op.mxm = mxm_of_head(head);
  op.activations = rows;
  op.tiles = h.vectors;
  op.windows = h.blocks;
  op.orientation = MxmLoadOrientation::Output;
  op.source = TileSource::Array;
  op.rows = cache_rows(cache.keys, 0, positions / per_word, lanes_ / per_word);
  op.activation = to(query.codes[head],
                     (head * tokens_ + chunk.first) * h.group * h.vectors, {1, rows, 0});
  // The threshold of the causal mask moves with the token: one consumer per query head, or one
  // for all where there is one token.
  const int per_consumer = tokens_ == 1 ? rows : chunk.count;
  for (int first = 0; first < rows; first += per_consumer) {
    VxmOperation score;
    score.name = name + ".scores";
    score.chain = chain_of(side);
    score.nest.count = {per_consumer, h.blocks, 1};
    score.x.source = OperandSource::Mxm;
    score.x.format = VxmFormat::I32;
    score.y = from(cache.key_scales, 0, {0, 1, 0});
    score.z = from(query.scales[head], first / chunk.count * tokens_ + chunk.first, {1, 0, 0});
    score.pass.mul1 = VxmOperand::Y;
    score.pass.mul2 = VxmOperand::Z;
    score.pass.select = VxmSelect::Lt;
    score.pass.select_reg = kPositionRegister;
    score.pass.select_imm = 1 + chunk.first;
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

// exp2(score - maximum), times the scale of the value.
void Lowering::lower_weights(const Heads& h, const Cache& cache, Softmax& softmax, int head) {
  const int rows = h.group * softmax.chunk.count, side = side_of_head(head), chain = chain_of(side);
  const std::string name = h.name + "[" + std::to_string(head) + "]";
  softmax.weights = add_array(name + ".weights", head_place(head, {1, 0}), 4, rows * h.blocks);
  const ArrayId sum = add_array(name + ".sum", head_place(head, {3, 1}), 4, rows);
  softmax.reciprocal = add_array(name + ".reciprocal", head_place(head, {3, 0}), 4, rows);
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
}

void Lowering::lower_weight_codes(const Heads& h, Softmax& softmax, int head) {
  const int rows = h.group * softmax.chunk.count, chain = chain_of(side_of_head(head));
  const std::string name = h.name + "[" + std::to_string(head) + "]";
  softmax.codes = add_array(name + ".weight_codes", head_codes_place(head, {0, 1, 2}), 1,
                            rows * h.blocks);
  softmax.scales = add_array(name + ".weight_scales", head_place(head, {1, 1}), 4,
                             rows * h.blocks);
  VxmOperation codes = absmax_of(from(softmax.weights, 0, {1, rows, 0}), {{rows, h.blocks, 1}});
  codes.name = name + ".weight_codes";
  codes.chain = chain;
  codes.pass.root = VxmRoot::Reciprocal;
  codes.pass.k1 = static_cast<uint32_t>(constant(1.0f / 127.0f));
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

void Lowering::lower_weighted_sum(const Heads& h, const Cache& cache, Softmax& softmax, int head) {
  const int rows = h.group * softmax.chunk.count, side = side_of_head(head), chain = chain_of(side);
  const int positions = cache_stays_ ? graph_.model.context : shape_.context;
  const int per_word = std::min(4, target_.mxm_load_streams);  // rows
  const std::string name = h.name + "[" + std::to_string(head) + "]";
  softmax.sums = add_array(name + ".sums", head_place(head, {0, 0}), 4, rows * h.vectors);
  for (int j = 0; j < h.vectors; ++j) {
    MatmulOperation op;
    op.name = name + ".sums";
    op.mxm = mxm_of_head(head);
    op.activations = rows;
    op.windows = h.blocks;
    op.orientation = MxmLoadOrientation::Input;
    op.source = TileSource::Array;
    op.rows = cache_rows(cache.values, j * positions / per_word, 0, lanes_ / per_word);
    op.activation = to(softmax.codes, 0, {1, 0, rows});
    VxmOperation sum;
    sum.name = name + ".sums";
    sum.chain = chain;
    sum.nest.count = {rows, h.blocks, 1};
    sum.x.source = OperandSource::Mxm;
    sum.x.format = VxmFormat::I32;
    sum.y = from(softmax.scales, 0, {1, rows, 0});
    sum.pass.mul1 = VxmOperand::Y;
    fold(sum, VxmAccSource::V, VxmAccOp::Add, rows);
    sum.writes = {to(softmax.sums, j * rows, {1, 0, 0})};
    op.consumers = {sum};
    emit(op);
  }
}

void Lowering::lower_attention_out(const Heads& h, const Softmax& softmax, int head, ArrayId out) {
  const int rows = h.group * softmax.chunk.count, chain = chain_of(side_of_head(head));
  VxmOperation normalize;
  normalize.name = h.name + "[" + std::to_string(head) + "].out";
  normalize.chain = chain;
  const TokenChunk& chunk = softmax.chunk;
  normalize.nest.count = {chunk.count, h.group, h.vectors};
  normalize.x = from(softmax.sums, 0, {1, chunk.count, rows});
  normalize.y = from(softmax.reciprocal, 0, {1, chunk.count, 0});
  normalize.pass.mul1 = VxmOperand::Y;
  normalize.pass.out_format = VxmOutFormat::F32;
  normalize.writes = {
      to(out, head * h.group * h.vectors * tokens_ + chunk.first,
         {1, h.vectors * tokens_, tokens_})};
  emit(normalize);
}

std::vector<Lowering::AttentionWork> Lowering::attention_works(const Heads& h) const {
  std::vector<AttentionWork> works;
  for (int head = 0; head < h.op->kv_heads; ++head) {
    for (const TokenChunk& chunk : attention_chunks()) works.push_back({head, {.chunk = chunk}});
  }
  return works;
}

// Of KV heads first .. first + count - 1.
void Lowering::rotate_keys(const Attention& a, int first, int count, int chain) {
  rotate(a.heads, a.unrotated_keys, a.keys, first, count, chain, a.heads.name + ".keys");
}

void Lowering::rotate_queries(const Attention& a, int first, int count, int chain) {
  const int group = a.heads.group;
  rotate(a.heads, a.unrotated_queries, a.queries, first * group, count * group, chain,
         a.heads.name + ".queries");
}

// One token: all heads go through each step together, so that no unit waits for one head's chain. Many tokens fill
// the units by themselves, and two heads' scores are as much as memory should hold.
void Lowering::lower_attention_at_once(const Attention& a) {
  const Heads& h = a.heads;
  // Weights in MEM wait for nothing: then the first KV group should be done early.
  const int together = weights_stay_ ? 1 : h.op->kv_heads;
  for (int first = 0; first < h.op->kv_heads; first += together) {
    const int chain = weights_stay_ ? first % target_.vxm_chains : 0;
    rotate_keys(a, first, together, chain);
    rotate_queries(a, first, together, chain);
    for (int head = first; head < first + together; ++head) {
      append_key(h, a.caches[head], head, a.keys, chain);
      append_value(h, a.caches[head], head, a.values, chain);
    }
    for (int head = first; head < first + together; ++head) {
      quantize_queries(h, a.queries, a.query, head, chain);
    }
  }
  std::vector<AttentionWork> works = attention_works(h);
  const int count = static_cast<int>(works.size()), ahead = tokens_ == 1 ? count : 1;
  const auto for_works = [&](int first, auto&& step) {
    for (int i = std::max(0, first); i < std::min(first + ahead, count); ++i) step(works[i]);
  };
  for (int first = 0; first < count + 2 * ahead; first += ahead) {
    for_works(first, [&](AttentionWork& work) {
      work.softmax = lower_scores(h, a.caches[work.head], a.query, work.head, work.softmax.chunk);
    });
    for_works(first - ahead, [&](AttentionWork& work) {
      lower_weights(h, a.caches[work.head], work.softmax, work.head);
    });
    for_works(first - ahead,
              [&](AttentionWork& work) { lower_weight_codes(h, work.softmax, work.head); });
    for_works(first - 2 * ahead, [&](AttentionWork& work) {
      lower_weighted_sum(h, a.caches[work.head], work.softmax, work.head);
    });
    for_works(first - 2 * ahead, [&](AttentionWork& work) {
      lower_attention_out(h, work.softmax, work.head, a.out);
    });
  }
}

void Lowering::lower(const QNode& node, const QAttention& op) {
  Attention a;
  a.node = &node;
  a.heads = heads_of(node);
  stage_cache_of(node);
  a.caches = caches_;
  if (cache_stays_) {
    const auto first = caches_.begin() + op.layer * op.kv_heads;
    a.caches.assign(first, first + op.kv_heads);
  }
  a.unrotated_queries = values_[node.inputs[0]];
  a.unrotated_keys = values_[node.inputs[1]];
  a.values = values_[node.inputs[2]];
  a.keys = add_value(node.name + ".keys", state({2, 1}), op.kv_heads * a.heads.vectors);
  a.queries = add_value(node.name + ".queries", state({2, 1}), op.heads * a.heads.vectors);
  a.query = declare_query(a.heads);
  // Results take the places of queries, where others of those are still needed.
  a.out = graph_.attention_takes_turns
              ? a.unrotated_queries
              : add_value(node.name, state({0, 1}), op.heads * a.heads.vectors);
  values_[node.output] = a.out;
  if (graph_.attention_takes_turns) {
    lower_attention_in_turns(a);
  } else {
    lower_attention_at_once(a);
  }
}

}  // namespace pianola
