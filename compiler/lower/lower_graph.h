// Quantized graph -> vector operations for one entry (T tokens, N positions), and the vectors of the data
// tape. The data tape is the same for all entries: they read the same weights in the same order.
#pragma once

#include <cstddef>
#include <vector>

#include "compiler/graph/graph.h"
#include "compiler/passes/quantized_graph.h"
#include "isa/roll.h"
#include "scheduler/vector_program.h"

namespace pianola {

struct EntryShape {
  EntryKind kind = EntryKind::Decode;
  int tokens = 1;   // T
  int context = 0;  // N, a multiple of lanes
  EntryOutput output = EntryOutput::Logits;
  // Tokens whose attention is computed together, at most; 0: attention_tokens. Fewer take less memory.
  int attention_tokens = 0;
};

// Tokens that an entry can choose from.
inline constexpr int kChosenFromMax = 1 << 24;

struct LoweredEntry {
  VectorProgram program;
  std::vector<Segment> tape, kv_read, kv_write;
  std::vector<PersistentRegion> persistent;  // valid after allocate_memory: see name_regions
  std::vector<int> residuals;  // the last operation of each product with a residual: two per layer
};

// The data tape: weights and scales in order of use, then the embedding table, then the rotary table.
struct DataTape {
  std::vector<std::byte> bytes;  // whole vectors of lanes bytes; empty for dimensions alone
  uint64_t vectors = 0;
  uint64_t weights_vectors = 0;
};

// Tokens that one entry can take at most on this target: products hold a sum of each.
int max_tokens(const Target& target);
// Those whose attention can be computed together: it holds a sum for every query head of a KV head, too.
int attention_tokens(const QuantizedGraph& graph, const Target& target);
// Size of the KV region in vectors; 0 where the cache lives in MEM.
uint64_t kv_region_vectors(const QuantizedGraph& graph, const Target& target);

// Unsupported or OutOfRange if the target cannot hold the model (with what to change).
Status check_fits(const QuantizedGraph& graph, const Target& target);
// Weights are released as they are packed. `table` is the embedding, where the graph leaves it out.
DataTape build_data_tape(QuantizedGraph graph, const Target& target, const Tensor* table = nullptr);
LoweredEntry lower_entry(const QuantizedGraph& graph, const Target& target,
                         const EntryShape& shape, const DataTape& tape);

}  // namespace pianola
