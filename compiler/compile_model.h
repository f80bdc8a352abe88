// Model -> roll: quantize, lower each entry, schedule, encode. Entries are independent of each other and
// are made in parallel; the roll does not depend on how many threads there are.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "compiler/graph/graph.h"
#include "compiler/passes/quantize_graph.h"
#include "isa/roll.h"
#include "isa/target.h"

namespace pianola {

struct CompileOptions {
  WeightQuantization weights = WeightQuantization::Auto;
  int context = 0;   // positions; 0: what the model was trained for, at most 512
  int verify = -1;   // tokens of the verify entries; 0: none; -1: 4, if the machine holds so many
  // Logits, or Tokens: the machine chooses greedily, and the host needs not take the logits.
  EntryOutput output = EntryOutput::Logits;
  int threads = 0;   // 0: as many as there are processors
  std::span<const std::byte> tokenizer;                    // serialized
  std::function<void(int done, int total)> on_progress;    // called from one thread at a time
};

struct Compilation {
  Roll roll;
  std::vector<std::string> notes;  // what the user should know: requantized tensors
};

// Errors: Unsupported (the model has parts that cannot be compiled), OutOfRange (does not fit).
Result<Compilation> compile_model(const Graph& graph, const Target& target,
                                  const CompileOptions& options);

// Machine cycles of the layer in the middle, from residual to residual: 0 where there is no such layer.
struct LayerCycles {
  uint64_t attention = 0;  // from the last layer's sum to the one after attention: with q, k, v and o
  uint64_t ffn = 0;        // from there to the layer's sum
};

// What a compilation would give, without the weights: entries with their exact cycles, and what is
// taken of each memory. The schedule does not depend on weights, so a graph of dimensions alone will do.
struct Plan {
  RollModel model;
  std::vector<Entry> entries;
  std::vector<LayerCycles> layer_cycles;       // of each entry
  std::vector<PersistentRegion> persistent;
  std::vector<std::array<int, 2>> words_used;  // by slice and bank, at most at any time in any entry
  uint64_t data_vectors = 0;                   // of the data tape
  uint64_t kv_vectors = 0;                     // of the KV region
};

// Errors as of compile_model.
Result<Plan> plan_model(const Graph& graph, const Target& target, const CompileOptions& options);

// The positions that a context of 0 stands for, and the buckets of a context, ascending.
int default_context(const Graph& graph, const Target& target);
std::vector<int> context_buckets(int context, int lanes);

}  // namespace pianola
