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
//
// Of weights in MEM, sums wait on the other side, in homes 1 and 2. Where an MXM loads from more than one home,
// copies of the cache are in as many on the other side, what else meets operands of products is in its homes 0
// and 3, heads take turns in the homes of attention, and codes are next to the matrix units.
#pragma once

#include <climits>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "compiler/lower/lower_graph.h"
#include "compiler/lower/memory_roles.h"
#include "compiler/lower/resident_layout.h"
#include "compiler/lower/turn_clock.h"
#include "compiler/passes/tape_order.h"

namespace pianola {

// Reserved launch registers.
inline constexpr int kPositionRegister = 1, kBlockRegister = 2, kLaneRegister = 3;
inline constexpr int kFirstConstantRegister = 4;

struct Place {
  int home, bank, slice = 0;
  bool operator==(const Place&) const = default;
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
    const bool done = closes_product(operation);
    out_.program.operations.push_back(std::move(operation));
    if (done) release_passes();
  }
  void begin_section(std::string group);
  void begin_section_of(const QNode& node);
  void begin_staged_section(const QNode& node);
  const QNode* next_attention(const QNode& node) const;
  AccumulatorGroup new_group(int size);
  void fold(VxmOperation& op, VxmAccSource source, VxmAccOp how, int rows);
  void keep_largest(VxmOperation& op) { fold(op, VxmAccSource::R, VxmAccOp::Max, tokens_); }
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
  Place codes_place(int mxm, int turn) const;
  // Where an activation group's codes are: in which array of an MXM, and behind how many groups there.
  struct CodesPlace {
    int turn = 0, index = 0;
  };
  struct Codes {
    std::vector<std::vector<ArrayId>> by_mxm;  // [mxm][turn]: codes, [vector][token]; some the same
    std::vector<CodesPlace> groups;
    ArrayId scales = -1;                       // [window][token]
  };
  int codes_turns(const QNode& node, std::vector<CodesPlace>& groups) const;
  ArrayRef codes_at(const std::vector<ArrayId>& turns, const std::vector<CodesPlace>& groups,
                    int vector, std::array<int, 3> step) const;
  // The arrays of one quantization; gain may be -1.
  struct Quantization {
    std::string name;
    ArrayId x = -1, gain = -1, maxima = -1, inverse = -1, scales = -1;
    std::vector<std::vector<ArrayId>> codes;  // [copy][turn]: all copies get the same
    std::vector<CodesPlace> groups;
  };
  // Activation groups of `size` vectors each.
  struct GroupPiece {
    int vector = 0, group = 0;  // the first ones
    int groups = 0, size = 0, chain = 0;
  };
  std::vector<GroupPiece> group_pieces(int first, int end) const;
  // Of elementwise work on products: not the one that sums up products.
  int element_chain() const { return weights_stay_ ? target_.vxm_chains - 1 : 0; }
  // Reductions over the vectors of one token use an accumulator every few cycles, and leave no room for a dense
  // pass; those of many tokens are dense, too.
  int dense_chain() const { return tokens_ == 1 ? 0 : element_chain(); }
  void lower_maxima(const Quantization& q, const GroupPiece& piece);
  void lower_inverse(const Quantization& q, int group, int groups, int chain);
  void lower_codes(const Quantization& q, const GroupPiece& piece);
  void lower_waiting_pieces(const QNode& node, const Quantization& q);
  void lower_scales(const Quantization& q, ArrayId rstd, int group, int groups);
  Quantization declare_codes(const QNode& node, const QQuantize& op);
  void quantize_vectors(const QNode& node, const Quantization& q, int first, int end);
  ArrayId lower_rstd(const QNode& node, const QQuantize& op, ArrayId x, int vectors);

  // lower_linear.cc
  struct Product {
    const QuantizedMatrix* matrix;
    ArrayId output = -1;  // -1: to the host, or to the choice
    ArrayId residual = -1;
    bool chosen_from = false;  // the logits of an entry that sends tokens
  };
  Product declare_output(const QNode& node, const QLinear& op);
  void lower_part(const TapePart& part, const Product& product);
  void lower_block(const TapePart& part, const Product& product, int block, const ArrayRef& output,
                   const ArrayRef& scales);
  int tiles_per_window(const QuantizedMatrix& matrix) const {
    return matrix.window / target_.lanes;
  }

  // lower_choice.cc
  // Of each token: `count` values with their indices, in the lanes of arrays [token][vector].
  struct Choices {
    ArrayId values = -1, indices = -1;
    int count = 0, vectors = 0;
  };
  Choices declare_choices(int count, int level);
  ArrayRef lanes_of(const Choices& choices, ArrayId array, int first) const;
  void choose_in_blocks(ArrayId logits, int first, int count);
  void choose(const Choices& next, float reach, int level);
  void finish_choice();

  // lower_resident.cc
  struct ResidentArrays {
    std::vector<std::vector<ArrayId>> tiles;  // [matrix unit][home]
    bool spare = false;                       // some are in homes that sums use, too
  };
  // Of one product, while it is lowered.
  struct ResidentWork {
    const ResidentProduct* product;
    const ResidentArrays* arrays;
    const Codes* codes;
    std::map<QMatrix, Product> outputs;
    std::map<QMatrix, const QNode*> nodes;
  };
  // Blocks first .. end - 1, and where their sums wait: [block][window][token].
  struct BlockGroup {
    int first = 0, end = 0;
    ArrayId sums = -1;
  };
  void declare_resident_weights();
  void load_resident_weights();
  std::vector<ArrayId> declare_tiles(const std::string& name, int unit, int words,
                                     std::vector<std::array<int, 2>>& used, bool& spare);
  void lower_resident(int node);
  void lower_resident(const ResidentProduct& product, const ResidentArrays& arrays);
  int early_windows(const ResidentProduct& product) const;
  void multiply(const ResidentWork& work, const BlockGroup& group, int first, int end);
  void multiply_on(const ResidentWork& work, const BlockGroup& group, int unit, int first,
                   int end);
  void emit_windows(const ResidentWork& work, const BlockGroup& group, ResidentUnit start,
                    int windows, int stride, int repeats);
  void reduce(const ResidentWork& work, const BlockGroup& group, int first, int end);
  Place sums_place(bool spare);

  // lower_cache.cc
  struct Cache {
    std::vector<ArrayId> keys, values;  // as many copies as an MXM loads from homes
    ArrayId key_scales = -1, value_scales = -1;
    uint64_t base = 0;  // of this head in the KV region
  };
  struct Heads {
    const QAttention* op;
    std::string name;
    int vectors;  // of one head
    int group;    // query heads per kv head
    int blocks;   // of positions
  };
  Heads heads_of(const QNode& node) const;
  Cache declare_cache(const Heads& h, int head);
  void stage_cache_of(const QNode& attention);
  void stage_cache(const Heads& h, const Cache& cache, const std::string& name);
  void stage_scales(ArrayId scales, uint64_t base, const std::string& name);
  void append_key(const Heads& h, const Cache& cache, int head, ArrayId keys, int chain);
  void append_value(const Heads& h, const Cache& cache, int head, ArrayId values, int chain);
  std::vector<ArrayRef> cache_rows(const std::vector<ArrayId>& copies, int index, int per_tile,
                                   int per_block) const;
  void append_row(const Heads& h, ArrayId source, int head, const std::vector<ArrayId>& rows,
                  ArrayId scales, uint64_t base_rows, uint64_t base_scales, int chain,
                  const std::string& name);
  void add_segment(std::vector<Segment>& list, uint64_t base, uint32_t count, int parameter,
                   uint64_t parameter_stride, uint32_t limit);

  // lower_attention.cc
  void rotate(const Heads& h, ArrayId x, ArrayId out, int first, int count, int chain,
              const std::string& name);
  void rotate_wide(const Heads& h, ArrayId x, ArrayId out, int first, int count, int chain,
                   const std::string& name);
  // Tokens whose attention is computed together.
  struct TokenChunk {
    int first = 0, count = 0;
  };
  std::vector<TokenChunk> attention_chunks() const;
  struct Query {
    // By kv head: [kv head][chunk][vector][query head of the group][token of the chunk].
    std::vector<ArrayId> codes;
    std::vector<ArrayId> scales;  // by kv head: [query head of the group][token]
    ArrayId maxima = -1, inverse = -1;  // of heads of several vectors: [query head][token]
  };
  Query declare_query(const Heads& h);
  void quantize_queries(const Heads& h, ArrayId queries, const Query& query, int kv, int chain);
  struct Softmax {
    TokenChunk chunk;
    ArrayId scores = -1, maximum = -1, weights = -1, codes = -1, scales = -1, reciprocal = -1,
            sums = -1;
  };
  // One attention's caches by KV head, and its arrays: [head][vector][token].
  struct Attention {
    Heads heads;
    std::vector<Cache> caches;
    Query query;
    ArrayId unrotated_keys = -1, unrotated_queries = -1;
    ArrayId keys = -1, queries = -1, values = -1, out = -1;
    const QNode* node = nullptr;
  };
  // The attention of a KV group's heads for some tokens.
  struct AttentionWork {
    int head;
    Softmax softmax;
  };
  std::vector<AttentionWork> attention_works(const Heads& h) const;
  void rotate_keys(const Attention& a, int first, int count, int chain);
  void rotate_queries(const Attention& a, int first, int count, int chain);
  void lower_attention_at_once(const Attention& a);
  Softmax lower_scores(const Heads& h, const Cache& cache, const Query& query, int head,
                       const TokenChunk& chunk);
  void lower_weights(const Heads& h, const Cache& cache, Softmax& softmax, int head);
  void lower_weight_codes(const Heads& h, Softmax& softmax, int head);
  void lower_weighted_sum(const Heads& h, const Cache& cache, Softmax& softmax, int head);
  void lower_attention_out(const Heads& h, const Softmax& softmax, int head, ArrayId out);

  // lower_turns.cc
  // An attention in work.
  struct AttentionTurns {
    const Attention& attention;
    const QNode* reader;
    Quantization codes;             // of its result
    int64_t cache_vectors;          // of a head's keys or values
    int quantized = 0;              // vectors of the result
    AttentionWork* before = nullptr;  // has probabilities, and no sums yet
    int64_t sums_from = 0, softmax_cycles = 0;
  };
  // Part of an attention that waits for its turn beside the product that reads it, and the passes behind it.
  struct LateStep {
    std::vector<VectorOperation> operations, passes;
    int64_t from = 0;     // cycle of clock_, from the end of the step before it on
    int64_t vectors = 0;  // of tiles in MEM
  };
  std::vector<VectorOperation> take_back(size_t first);
  bool waits_for_turns(const QNode& node) const;
  void lower_attention_in_turns(const Attention& a);
  bool is_time_for(int64_t cycle) const;
  // Whether these are the last tiles of some sums.
  static bool closes_product(const VectorOperation& operation) {
    const auto* product = std::get_if<MatmulOperation>(&operation);
    return product && !product->consumers.empty() && product->consumers.back().closes_group;
  }
  void hold_passes(size_t first);
  void release_passes();
  int64_t next_block_vectors() const;
  void emit_block(const Attention& a);
  void emit_blocks_until(const Attention& a, int64_t cycle);
  void emit_blocks(AttentionTurns& turns, int blocks);
  void begin_work(AttentionTurns& turns, AttentionWork& work);
  void finish_work(AttentionTurns& turns);
  void emit_late_step();
  void emit_late_steps();
  LateStep take_back_step(size_t first, int64_t from);

  int side_of_head(int head) const { return head % static_cast<int>(sides_.size()); }
  int mxm_of_head(int head) const {
    const std::vector<int>& mxms = sides_[side_of_head(head)].mxms;
    return mxms[head / sides_.size() % mxms.size()];
  }
  // Caches that take several homes are on the side where the state is not.
  int cache_side(int head) const {
    return homes_per_tile(target_) > 1 ? 1 - state_side_ : side_of_head(head);
  }
  // Of a head's operands. Heads that are worked on at the same time take turns in the homes.
  Place head_place(int head, Place place) const {
    if (homes_per_tile(target_) > 1) place.home = (place.home + head) % kStateHomes;
    return state(place);
  }
  Place head_codes_place(int head, Place place) const;

  // `home` counts outward from the VXM.
  Place on_side(int side, Place place) const {
    place.home = sides_[side].homes[place.home];
    return place;
  }
  Place state(Place place) const { return on_side(state_side_, place); }
  // With weights that stay in MEM, what reduces products reads homes 1 and 2 in nearly every cycle: other work
  // goes on beside it from elsewhere, on the other side if there is one.
  Place state_or_other(Place place, Place other) const {
    return weights_stay_ && homes_per_tile(target_) > 1 ? on_side(1 - state_side_, other)
                                                        : state(place);
  }
  int mxm_of(int index) const;   // spreads work over all matrix units
  int side_of_mxm(int mxm) const;
  int chain_of(int side) const { return side % target_.vxm_chains; }

  const QuantizedGraph& graph_;
  const Target& target_;
  EntryShape shape_;
  int lanes_, tokens_;
  bool weights_stay_;  // in MEM
  bool cache_stays_;   // in MEM
  std::vector<Side> sides_;
  int state_side_ = 0;
  LoweredEntry out_;
  std::vector<ArrayId> values_;        // by QValue: fp32 [vector][token]
  std::vector<int> value_banks_;       // bank in home 0 of residual values
  std::map<QValue, Codes> codes_;
  std::map<QValue, Product> linears_;  // products with weights of the tape
  // What makes a value in pieces of an activation group, as many operations for each; its quantization emits them.
  std::map<QValue, std::vector<VectorOperation>> waiting_pieces_;
  std::map<uint32_t, int> constants_;  // fp32 bits -> register
  ArrayId rotary_ = -1;                // [token][row]
  int rotary_row_ = 0;
  int next_block_ = 0;                 // spreads products over the matrix units
  int next_slice_ = 0;
  std::string layer_;                  // "layers.N." of the section, empty outside of layers
  int products_since_attention_ = INT_MIN;  // before the first one: never 2
  uint64_t tape_vectors_ = 0;          // of weights and scales, so far
  std::vector<ResidentProduct> products_;
  std::vector<ResidentArrays> resident_;  // of each product
  std::vector<ArrayId> resident_scales_;  // of each matrix: [block][window]
  std::vector<ArrayId> resident_gains_;
  int next_sums_ = 0;
  Choices choices_;
  void receive(ArrayId id);
  std::vector<Cache> caches_;  // resident: [layer * kv_heads + head]; else of staged_for_, by head
  const QNode* staged_for_ = nullptr;
  // Products that wait for their turns beside attention: values, then queries; how many operations and blocks of
  // them are emitted, and of how many KV heads the values are in the cache.
  std::vector<VectorOperation> waiting_;
  size_t waiting_next_ = 0;
  int blocks_emitted_ = 0, values_appended_ = 0;
  TurnClock clock_;
  // Passes that are emitted behind the next product.
  std::vector<VectorOperation> held_passes_;
  // What is left of an attention while the product that reads it begins.
  std::deque<LateStep> late_steps_;
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

// Of a part of a product the tape brings scales and tiles of so many blocks at a time.
int blocks_per_chunk(const TapePart& part);

}  // namespace pianola
