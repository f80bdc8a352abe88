// The int8 cache of keys and values: where it lies, its staging into MEM, and the append of new rows. A
// key is a tile vector of one output (its position), a value a tile vector of one input: so an append is
// whole rows and nothing is ever transposed.
#include "compiler/lower/lowering.h"

namespace pianola {

CacheLayout cache_layout(const QAttention& op, int positions, int lanes) {
  CacheLayout layout;
  layout.row_vectors = op.head_width / lanes;
  layout.positions = positions;
  // One block more than positions need: an append of several tokens writes back two blocks.
  layout.blocks = positions / lanes + 1;
  const uint64_t rows = static_cast<uint64_t>(positions) * layout.row_vectors;
  const uint64_t scales = static_cast<uint64_t>(layout.blocks) * 4;
  layout.key_scales = rows;
  layout.values = rows + scales;
  layout.value_scales = layout.values + rows;
  layout.size = layout.value_scales + scales;
  return layout;
}

uint64_t kv_region_vectors(const QuantizedGraph& graph, const Target& target) {
  if (target.kv == KvResidence::Mem) return 0;
  uint64_t vectors = 0;
  for (const QNode& node : graph.nodes) {
    if (const auto* op = std::get_if<QAttention>(&node.op)) {
      vectors += cache_layout(*op, graph.model.context, target.lanes).size *
                 static_cast<uint64_t>(op->kv_heads);
    }
  }
  return vectors;
}

void Lowering::add_segment(std::vector<Segment>& list, uint64_t base, uint32_t count,
                           int parameter, uint64_t parameter_stride, uint32_t limit) {
  Segment segment;
  segment.base = base;
  segment.count = count;
  segment.parameter = parameter;
  segment.parameter_stride = parameter_stride;
  segment.limit = limit;
  list.push_back(segment);
}

namespace {

// The output format that fills so many streams.
VxmOutFormat format_of_streams(int streams) {
  return streams == 1 ? VxmOutFormat::I8 : streams == 2 ? VxmOutFormat::F16 : VxmOutFormat::F32;
}

}  // namespace

// Rows are spread over as many slices as the MXM has load streams, so that it can take as many at once; but at
// most over the four of a home: beyond, each home has a copy, of which other rows are read.
Lowering::Cache Lowering::declare_cache(const Heads& h, int head) {
  const int positions = cache_stays_ ? graph_.model.context : shape_.context;
  const CacheLayout layout = cache_layout(*h.op, positions, lanes_);
  const int side = cache_side(head);
  const std::string name = h.name + "[" + std::to_string(head) + "]";
  Cache cache;
  const int streams = std::min(4, target_.mxm_load_streams);
  const int words = layout.row_vectors * positions / streams;
  for (int copy = 0; copy < homes_per_tile(target_); ++copy) {
    const int home = kStateHomes - 1 - copy;
    cache.keys.push_back(add_array(name + ".keys", on_side(side, {home, 0}), streams, words));
    cache.values.push_back(add_array(name + ".values", on_side(side, {home, 1}), streams, words));
    for (ArrayId id : {cache.keys.back(), cache.values.back()}) {
      out_.program.arrays[id].persistent = cache_stays_;
    }
  }
  cache.key_scales = add_array(name + ".key_scales", head_place(head, {1, 1}), 4, layout.blocks);
  cache.value_scales = add_array(name + ".value_scales", head_place(head, {2, 1}), 4, layout.blocks);
  for (ArrayId id : {cache.key_scales, cache.value_scales}) {
    out_.program.arrays[id].persistent = cache_stays_;
  }
  const CacheLayout whole = cache_layout(*h.op, graph_.model.context, lanes_);
  cache.base = (static_cast<uint64_t>(h.op->layer) * h.op->kv_heads + head) * whole.size;
  return cache;
}

// What one load step of a tile of rows reads: of each copy the rows that the others do not give.
std::vector<ArrayRef> Lowering::cache_rows(const std::vector<ArrayId>& copies, int index,
                                           int per_tile, int per_block) const {
  std::vector<ArrayRef> rows;
  for (size_t i = 0; i < copies.size(); ++i) {
    rows.push_back(to(copies[i], index + static_cast<int>(i),
                      {static_cast<int>(copies.size()), per_tile, per_block}));
  }
  return rows;
}

void Lowering::declare_resident_caches() {
  for (const QNode& node : graph_.nodes) {
    if (!std::holds_alternative<QAttention>(node.op)) continue;
    const Heads h = heads_of(node);
    for (int head = 0; head < h.op->kv_heads; ++head) caches_.push_back(declare_cache(h, head));
  }
}

Lowering::Heads Lowering::heads_of(const QNode& node) const {
  const auto& op = std::get<QAttention>(node.op);
  return {&op, node.name, op.head_width / lanes_, op.heads / op.kv_heads, shape_.context / lanes_};
}

// Out of the KV region into MEM; early, so that the KV port delivers it beside the weights of the products
// before the attention.
void Lowering::stage_cache_of(const QNode& attention) {
  if (cache_stays_ || staged_for_ == &attention) return;
  staged_for_ = &attention;
  const Heads h = heads_of(attention);
  caches_.clear();
  for (int head = 0; head < h.op->kv_heads; ++head) {
    caches_.push_back(declare_cache(h, head));
    stage_cache(h, caches_.back(), h.name + "[" + std::to_string(head) + "]");
  }
}

void Lowering::clear_resident_caches() {
  for (const Cache& cache : caches_) {
    std::vector<ArrayId> arrays = {cache.key_scales, cache.value_scales};
    arrays.insert(arrays.end(), cache.keys.begin(), cache.keys.end());
    arrays.insert(arrays.end(), cache.values.begin(), cache.values.end());
    for (ArrayId id : arrays) {
      VxmOperation zero;
      zero.name = out_.program.arrays[id].name + ".clear";
      zero.nest.count = {out_.program.arrays[id].vectors, 1, 1};
      zero.pass.out_format = format_of_streams(out_.program.arrays[id].streams);
      zero.writes = {to(id, 0, {1, 0, 0})};
      emit(zero);
    }
  }
}

// Positions before this launch's, out of the KV region into MEM. Scales pass through a select: lanes
// that hold nothing valid become zero before any arithmetic sees them.
void Lowering::stage_cache(const Heads& h, const Cache& cache, const std::string& name) {
  const CacheLayout whole = cache_layout(*h.op, graph_.model.context, lanes_);
  const uint64_t stride = static_cast<uint64_t>(whole.positions);
  for (const bool values : {false, true}) {
    for (int j = 0; j < h.vectors; ++j) {
      CopyInOperation copy;
      copy.name = name + (values ? ".values" : ".keys");
      copy.source = CopySource::Kv;
      const int words = lanes_ / target_.mxm_load_streams;  // of a block of positions
      const int blocks = shape_.context / lanes_;
      copy.nest.count = {words, blocks, 1};
      copy.destination = to(values ? cache.values.front() : cache.keys.front(),
                            j * words * blocks, {1, words, 0});
      emit(copy);
      add_segment(out_.kv_read,
                  cache.base + (values ? whole.values : whole.keys) +
                      static_cast<uint64_t>(j) * stride,
                  static_cast<uint32_t>(shape_.context), -1, 0, 0);
    }
    stage_scales(values ? cache.value_scales : cache.key_scales,
                 cache.base + (values ? whole.value_scales : whole.key_scales), name);
  }
}

void Lowering::stage_scales(ArrayId scales, uint64_t base, const std::string& name) {
  const int blocks = shape_.context / lanes_ + 1;
  VxmOperation mask;
  mask.name = name + ".stage_scales";
  mask.nest.count = {1, blocks, 1};
  mask.x.source = OperandSource::Kv;
  mask.x.format = VxmFormat::F32;
  mask.pass.select = VxmSelect::Lt;
  mask.pass.select_reg = kPositionRegister;
  mask.pass.select_s2 = -lanes_;
  mask.pass.out_format = VxmOutFormat::F32;
  mask.writes = {to(scales, 0, {0, 1, 0})};
  emit(mask);
  add_segment(out_.kv_read, base, static_cast<uint32_t>(blocks) * 4, -1, 0, 0);
}

// One new row per token into the cache: codes to the rows at the launch's position, scales to the
// lanes of their positions.
void Lowering::append_row(const Heads& h, ArrayId source, int head,
                          const std::vector<ArrayId>& rows, ArrayId scales, uint64_t base_rows,
                          uint64_t base_scales, int chain, const std::string& name) {
  const int first = head * h.vectors * tokens_;
  const uint32_t c127 = static_cast<uint32_t>(constant(1.0f / 127.0f));
  const int region_positions = graph_.model.context;
  const int positions = cache_stays_ ? region_positions : shape_.context;
  VxmOperation codes = absmax_of(from(source, first, {1, tokens_, 0}), {{tokens_, h.vectors, 1}});
  codes.name = name + ".codes";
  codes.chain = chain;
  VxmOperation scale = absmax_of(from(source, first, {1, 0, 0}), {{tokens_, 1, 1}});
  scale.name = name + ".scale";
  scale.chain = chain;
  if (h.vectors == 1) {
    codes.pass.root = VxmRoot::Reciprocal;
    codes.pass.combine = VxmCombine::R;
    scale.pass.root = VxmRoot::Scale;
    scale.pass.combine = VxmCombine::Replace;
  } else {
    const ArrayId maxima = add_value(name + ".max", state({2, 0}), 1);
    const ArrayId inverse = add_value(name + ".inverse", state({1, 1}), 1);
    VxmOperation largest = codes;
    largest.name = name + ".absmax";
    keep_largest(largest);
    largest.writes = {to(maxima, 0, {1, 0, 0})};
    emit(largest);
    VxmOperation invert;
    invert.name = name + ".inverse";
    invert.chain = chain;
    invert.nest.count = {tokens_, 1, 1};
    invert.x = from(maxima, 0, {1, 0, 0});
    invert.pass.mul1 = VxmOperand::K1;
    invert.pass.k1 = c127;
    invert.pass.sfu = VxmSfu::Reciprocal;
    invert.pass.out_format = VxmOutFormat::F32;
    invert.writes = {to(inverse, 0, {1, 0, 0})};
    emit(invert);
    codes.pass.tree = VxmTree::None;
    codes.y = from(inverse, 0, {1, 0, 0});
    codes.pass.mul1 = VxmOperand::Y;
    scale.x = from(maxima, 0, {1, 0, 0});
    scale.pass.tree = VxmTree::None;
    scale.pass.mul1 = VxmOperand::K1;
  }
  codes.pass.k1 = h.vectors == 1 ? c127 : 0;
  codes.pass.out_format = VxmOutFormat::I8;
  for (ArrayId copy : rows) {
    ArrayRef row = to(copy, 0, {1, positions, 0});
    row.reg = kPositionRegister;
    row.row = true;
    codes.writes.push_back(row);
  }
  codes.to_kv = !cache_stays_;
  emit(codes);
  scale.pass.k1 = c127;
  scale.pass.out_format = VxmOutFormat::F32;
  ArrayRef lane = to(scales, 0, {0, 0, 0});
  lane.reg = kBlockRegister;
  lane.lane = 0;
  lane.lane_reg = kLaneRegister;
  lane.lane_step = tokens_ > 1 ? 1 : 0;
  scale.writes = {lane};
  emit(scale);
  if (cache_stays_) return;

  const uint32_t last = static_cast<uint32_t>(shape_.context - tokens_);
  for (int j = 0; j < h.vectors; ++j) {
    add_segment(out_.kv_write, base_rows + static_cast<uint64_t>(j) * region_positions,
                static_cast<uint32_t>(tokens_), kPositionRegister, 1, last);
  }
  const int blocks = tokens_ > 1 ? 2 : 1;
  CopyOutOperation back;
  back.name = name + ".scales_back";
  back.nest.count = {blocks, 1, 1};
  back.source = to(scales, 0, {1, 0, 0});
  back.source.reg = kBlockRegister;
  emit(back);
  add_segment(out_.kv_write, base_scales, static_cast<uint32_t>(blocks) * 4, kBlockRegister, 4,
              last / static_cast<uint32_t>(lanes_));
}

void Lowering::append_key(const Heads& h, const Cache& cache, int head, ArrayId keys, int chain) {
  const CacheLayout whole = cache_layout(*h.op, graph_.model.context, lanes_);
  append_row(h, keys, head, cache.keys, cache.key_scales, cache.base + whole.keys,
             cache.base + whole.key_scales, chain, h.name + "[" + std::to_string(head) + "].key");
}

void Lowering::append_value(const Heads& h, const Cache& cache, int head, ArrayId values,
                            int chain) {
  const CacheLayout whole = cache_layout(*h.op, graph_.model.context, lanes_);
  append_row(h, values, head, cache.values, cache.value_scales, cache.base + whole.values,
             cache.base + whole.value_scales, chain,
             h.name + "[" + std::to_string(head) + "].value");
}

}  // namespace pianola
