// Assembles the Graph of a Llama from facts and named tensors, whichever container they came
// from, and collects everything that stands against it, so that a user sees all of it at once.
#pragma once

#include <array>
#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/graph/graph.h"
#include "isa/result.h"

namespace pianola {

// What is wrong with a model. Unsupported parts win: of a model that is not for us, missing
// pieces mean nothing.
struct ImportProblems {
  std::vector<std::string> unsupported;
  std::vector<std::string> malformed;

  bool none() const { return unsupported.empty() && malformed.empty(); }
  // One error with a line per problem; at most 100 lines. CHECKs that there is one.
  Error to_error(const std::string& where) const;
};

// A tensor as its container describes it.
struct SourceTensor {
  std::size_t rank = 0;
  std::size_t rows = 0;  // 1 for rank 0 and 1; for rank > 2 all but the last dimension
  std::size_t cols = 0;
  std::optional<DType> dtype;  // nullopt: not one of ours
  std::string dtype_name;
  std::span<const std::byte> bytes;
};
using SourceTensors = std::map<std::string, SourceTensor, std::less<>>;

enum class LlamaPart { AttentionNorm, Q, K, V, O, FfnNorm, Gate, Up, Down };
inline constexpr std::size_t kLlamaParts = 9;

// How a container names the tensors: layer_prefix + layer number + parts[part].
struct LlamaNames {
  std::string_view embedding;
  std::string_view final_norm;
  std::string_view head;
  std::string_view layer_prefix;
  std::array<std::string_view, kLlamaParts> parts;
  std::string_view ignored_suffix;  // tensors that hold nothing a model needs; may be empty
};

struct LlamaSource {
  ModelFacts facts;  // vocab 0: take it from the embedding
  LlamaNames names;
  SourceTensors tensors;
  bool dimensions_only = false;   // tensors without bytes
  bool interleaved_rope = false;  // q and k rows pair 2i with 2i + 1 (GGUF)
};

// Adds to `problems` what is wrong with facts alone (a head count of 0, ...).
void check_facts(const ModelFacts& facts, ImportProblems& problems);

// Errors: Unsupported, Malformed: `problems` and all that is found here, in one message.
Result<Graph> assemble_llama(LlamaSource source, ImportProblems problems, const std::string& where);

}  // namespace pianola
