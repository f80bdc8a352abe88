// The state of one lowering, shared by the parts that lower products, attention and the rest.
//
// Where arrays live: the state homes of a target are four groups of four slices on one side of
// the VXM. The operands of a pass must come from different homes, and what a pass writes must not be
// in a bank that it reads; so every kind of array has its home and bank:
//
//           bank 0                              bank 1
//   home 0  residual, scores, attention sums    products, query and probability codes
//   home 1  activation scales, gains, rotary    rstd, key scales, up products, probability scales,
//                                               reciprocals of new rows
//   home 2  weight scales, maxima, query scales reciprocals, rotated heads, value scales
//   home 3  keys, softmax sums                  values, activation codes, softmax maxima
#pragma once

#include <map>
#include <string>
#include <vector>

#include "compiler/lower/lower_graph.h"

namespace pianola {

// Reserved launch registers.
inline constexpr int kPositionRegister = 1, kBlockRegister = 2, kLaneRegister = 3;
inline constexpr int kFirstConstantRegister = 4;

struct Place {
  int home, bank, slice = 0;
};

class Lowering {
 public:
  Lowering(const QuantizedGraph& graph, const Target& target, const EntryShape& shape);

  LoweredEntry run(const DataTape& tape);

 private:
  // lowering.cc: arrays, registers, operations.
  ArrayId add_array(std::string name, Place place, int streams, int vectors);
  ArrayId add_value(const std::string& name, Place place, int vectors) {
    return add_array(name, place, 4, vectors * tokens_);
  }
  int constant(float value);
  void declare_registers();
  void emit(VectorOperation operation) {
    out_.program.operations.push_back(std::move(operation));
  }
  void begin_section(std::string group);
  void begin_section_of(const QNode& node);
  AccumulatorGroup new_group(int size);
  static Operand from(ArrayId array, int index, std::array<int, 3> step,
                      VxmFormat format = VxmFormat::F32);
  static ArrayRef to(ArrayId array, int index, std::array<int, 3> step);

  // lower_graph.cc
  void lower(const QNode& node, const QEmbed& op);
  void lower(const QNode& node, const QQuantize& op);
  void lower(const QNode& node, const QLinear& op);
  void lower(const QNode& node, const QAttention& op);
  void lower(const QNode& node, const QSiluMul& op);
  void lower(const QNode& node, const QLogits& op);
  void receive_rotary();
  struct Codes {
    std::vector<ArrayId> by_side;  // codes, [vector][token]
    ArrayId scales = -1;           // [window][token]
  };
  void lower_statistics(const QNode& node, const QQuantize& op, ArrayId x, ArrayId gain,
                        ArrayId maxima);
  ArrayId lower_rstd(const QNode& node, const QQuantize& op, ArrayId x, int vectors);

  // lower_linear.cc
  struct Product {
    const QuantizedMatrix* matrix;
    ArrayId output = -1;  // -1: to the host
    ArrayId residual = -1;
    int output_index = 0;
  };
  void lower_product(const QNode& node, const Codes& codes, const Product& product);
  void lower_block(const QNode& node, const Codes& codes, const Product& product, int block,
                   ArrayId scales, int scales_index);
  int tiles_per_window(const QuantizedMatrix& matrix) const {
    return matrix.window / target_.lanes;
  }

  // lower_cache.cc
  struct Cache {
    ArrayId keys = -1, key_scales = -1, values = -1, value_scales = -1;
    uint64_t base = 0;  // of this head in the KV region
  };
  struct Heads {
    const QAttention* op;
    std::string name;
    int vectors;  // of one head
    int group;    // query heads per kv head
    int blocks;   // of positions
  };
  Cache declare_cache(const Heads& h, int head);
  void stage_cache(const Heads& h, const Cache& cache, const std::string& name);
  void stage_scales(ArrayId scales, uint64_t base, const std::string& name);
  void append(const Heads& h, const Cache& cache, int head, ArrayId keys, ArrayId values);
  void append_row(const Heads& h, ArrayId source, int head, ArrayId rows, ArrayId scales,
                  uint64_t base_rows, uint64_t base_scales, const std::string& name);
  void add_segment(std::vector<Segment>& list, uint64_t base, uint32_t count, int parameter,
                   uint64_t parameter_stride, uint32_t limit);

  // lower_attention.cc
  ArrayId rotate(const Heads& h, ArrayId x, int heads, const std::string& name, Place place);
  void rotate_wide(const Heads& h, ArrayId x, ArrayId product, ArrayId out, int head,
                   const std::string& name);
  struct Query {
    std::vector<ArrayId> codes;  // by side, [kv head][vector][query head of the group][token]
    ArrayId scales = -1;         // [query head][token]
  };
  Query quantize_queries(const Heads& h, ArrayId queries);
  struct Softmax {
    ArrayId scores = -1, maximum = -1, weights = -1, codes = -1, scales = -1, reciprocal = -1;
  };
  Softmax lower_scores(const Heads& h, const Cache& cache, const Query& query, int head);
  void lower_softmax(const Heads& h, const Cache& cache, Softmax& softmax, int head);
  void lower_weighted_sum(const Heads& h, const Cache& cache, const Softmax& softmax, int head,
                          ArrayId out);
  int side_of_head(int head) const { return head % static_cast<int>(sides_.size()); }

  struct Side {
    int home;               // its first home
    std::vector<int> mxms;
  };
  Place on_side(int side, Place place) const {
    place.home += sides_[side].home;
    return place;
  }
  Place state(Place place) const { return on_side(state_side_, place); }
  int mxm_of(int index) const;   // spreads work over all matrix units
  int side_of_mxm(int mxm) const;
  int chain_of(int side) const { return side % target_.vxm_chains; }

  const QuantizedGraph& graph_;
  const Target& target_;
  EntryShape shape_;
  int lanes_, tokens_;
  bool resident_;     // weights in MEM
  bool cache_stays_;  // KV in MEM
  std::vector<Side> sides_;
  int state_side_ = 0;
  LoweredEntry out_;
  std::vector<ArrayId> values_;        // by QValue: fp32 [vector][token]
  std::vector<int> value_banks_;       // bank in home 0 of residual values
  std::map<QValue, Codes> codes_;
  std::map<uint32_t, int> constants_;  // fp32 bits -> register
  ArrayId rotary_ = -1;                // [token][row]
  int rotary_row_ = 0;
  int next_block_ = 0;                 // spreads products over the matrix units
  int next_slice_ = 0;
  std::string layer_;                  // "layers.N." of the section, empty outside of layers
  uint64_t tape_vectors_ = 0;          // of weights and scales, so far
  struct ResidentBlock {
    ArrayId tiles = -1, scales = -1;
    int mxm = 0;
  };
  std::vector<std::vector<ResidentBlock>> resident_blocks_;  // [matrix][block]
  std::vector<ArrayId> resident_gains_;
  void receive(ArrayId id);
  void declare_resident_weights();
  void load_resident_weights();
  std::vector<Cache> caches_;  // resident: [layer * kv_heads + head]
  void declare_resident_caches();
  void clear_resident_caches();
};

// What turns heads into codes and scales begins so: the largest magnitude of the tokens' heads.
VxmOperation absmax_of(Operand x, Nest nest);
// Vectors of one rotary row, and of one head's cache per position.
int rotary_row_vectors(const QuantizedGraph& graph, int lanes);
struct CacheLayout {
  int row_vectors = 0;       // per position, keys or values
  int positions = 0, blocks = 0;
  uint64_t keys = 0, key_scales = 0, values = 0, value_scales = 0;  // offsets within a head
  uint64_t size = 0;         // of a head
};
CacheLayout cache_layout(const QAttention& op, int positions, int lanes);

// pack_tape.cc: the order of the data tape, block by block, as lower_product walks it.
int blocks_per_chunk(const QuantizedMatrix& matrix);

}  // namespace pianola
