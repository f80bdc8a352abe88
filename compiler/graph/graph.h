// The tensor IR: what a model computes, before anything is known about a machine.
//
// A Graph is a list of nodes in topological order over values of shape [T, width], T being the
// symbolic number of tokens. Value 0 is the input: token ids, shape [T]. Every node defines one
// value; the Logits node is last and its value is the graph's output, [T, vocab]. Weights are
// Tensors: spans into files (or buffers) that the owning Model keeps alive and in place.
//
//   t0  = tokens
//   v1  = embed    Embedding(t0)            [T, hidden]
//   v2  = layers.0.attention_norm RmsNorm(v1)
//   ...
//   v90 = logits   Logits(v89)              [T, vocab]
//
// Passes copy or edit a Graph; verify() says whether what they made is still one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "isa/result.h"

namespace pianola {

// ---- Weights --------------------------------------------------------------------------------

enum class DType { F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1 };

std::string_view to_string(DType dtype);
// Elements per block (1 or 32) and bytes per block.
std::size_t block_elements(DType dtype);
std::size_t block_bytes(DType dtype);

// A weight of shape [rows, cols], rows contiguous; a vector (gain, bias) is [1, n].
// Block formats are those of GGUF: 32 elements of one row share a scale, cols % 32 == 0.
struct Tensor {
  std::string name;  // as in the model file
  std::size_t rows = 0;
  std::size_t cols = 0;
  DType dtype = DType::F32;
  std::span<const std::byte> storage;  // rows * row_bytes(); kept alive by the owning Model
  // Row r is stored as row row_order[r]; empty means in order. GGUF's interleaved-RoPE q and k
  // rows are normalised to rotate-half order with it, without a copy.
  std::vector<std::uint32_t> row_order;

  std::size_t row_bytes() const;
  std::size_t blocks_per_row() const;  // cols / block_elements
  // The bytes of row `row` as stored (row_order applied).
  std::span<const std::byte> row(std::size_t row) const;
  // Exact values of one row; out.size() == cols. F16 subnormals, infinities and NaN included.
  void dequantize_row(std::size_t row, std::span<float> out) const;
  // The raw blocks of a row of Q8_0 (codes -128..127) or Q4_0 (codes -8..7):
  // element c = codes[c] * float(scale_f16[c / 32]).  codes.size() == cols,
  // scale_f16.size() == blocks_per_row(). CHECKs that the dtype is one of the two.
  void block_codes(std::size_t row, std::span<std::int8_t> codes,
                   std::span<std::uint16_t> scale_f16) const;
};

// Exact conversions of stored halves.
float f16_to_f32(std::uint16_t bits);
float bf16_to_f32(std::uint16_t bits);

// ---- Values and nodes -----------------------------------------------------------------------

enum class ValueId : std::uint32_t {};   // index into Graph::values
enum class TensorId : std::uint32_t {};  // index into Graph::tensors

constexpr std::size_t index(ValueId id) { return static_cast<std::size_t>(id); }
constexpr std::size_t index(TensorId id) { return static_cast<std::size_t>(id); }

inline constexpr ValueId kTokens{0};

enum class ElementType { TokenId, F32 };

struct Value {
  std::string name;
  ElementType element = ElementType::F32;
  std::size_t width = 0;  // [T, width]; token ids have width 1
};

// One struct per operation. Inputs are in Node::inputs, in the order written here.

// (tokens) -> [T, hidden]: rows of the table.
struct Embedding {
  TensorId table;  // [vocab, hidden]
};
// (x) -> gain * x / sqrt(mean(x^2) + eps)
struct RmsNorm {
  TensorId gain;  // [1, width]
  float eps = 0;
};
// (x [T, in]) -> [T, out]: y = W x + bias
struct Linear {
  TensorId weight;  // [out, in]
  bool has_bias = false;
  TensorId bias{};  // [1, out] where has_bias
};
// (x [T, heads * head_dim]) -> same shape. Rotate-half: element i of a head pairs with
// i + head_dim / 2, angle = position * theta^(-2 i / head_dim).
struct Rope {
  std::size_t heads = 0;
  std::size_t head_dim = 0;
  double theta = 0;
};
// (q [T, heads * head_dim], k [T, kv_heads * head_dim], v alike) -> [T, heads * head_dim].
// Causal over everything since position 0; query head h reads kv head h / (heads / kv_heads).
// k and v (after Rope) are what the KV cache of `layer` holds.
struct Attention {
  std::size_t heads = 0;
  std::size_t kv_heads = 0;
  std::size_t head_dim = 0;
  float scale = 0;  // scores = scale * q.k
  std::size_t layer = 0;
};
// (gate, up) -> silu(gate) * up
struct SiluMul {};
// (a, b) -> a + b
struct Add {};
// (x [T, hidden]) -> [T, vocab]: the output product; last node. The tensor is the embedding's
// own id where the model ties them.
struct Logits {
  TensorId weight;  // [vocab, hidden]
};

enum class OpKind { Embedding, RmsNorm, Linear, Rope, Attention, SiluMul, Add, Logits };
using Op = std::variant<Embedding, RmsNorm, Linear, Rope, Attention, SiluMul, Add, Logits>;

struct Node {
  std::string name;  // unique, e.g. "layers.3.q_rope"
  Op op;
  std::vector<ValueId> inputs;
  ValueId output{};

  OpKind kind() const { return static_cast<OpKind>(op.index()); }
};

std::string_view to_string(OpKind kind);

// ---- The graph ------------------------------------------------------------------------------

struct ModelFacts {
  std::string architecture;  // "llama"
  std::size_t hidden = 0;
  std::size_t vocab = 0;
  std::size_t layers = 0;
  std::size_t heads = 0;
  std::size_t kv_heads = 0;
  std::size_t head_dim = 0;
  std::size_t ffn = 0;
  std::size_t context_max = 0;  // positions
  double rope_theta = 0;
  float rms_eps = 0;
  std::int64_t bos_id = -1;           // -1: none
  std::vector<std::int64_t> eos_ids;  // any of them ends a text
  bool tied_embedding = false;
};

struct Graph {
  ModelFacts facts;
  std::vector<Tensor> tensors;
  std::vector<Value> values;  // [0] is the token ids
  std::vector<Node> nodes;    // topological order
  bool dimensions_only = false;  // tensors have shapes but no storage

  const Tensor& tensor(TensorId id) const {
    CHECK(index(id) < tensors.size());
    return tensors[index(id)];
  }
  const Value& value(ValueId id) const {
    CHECK(index(id) < values.size());
    return values[index(id)];
  }

  // Builders: they append and CHECK nothing about shapes; verify() does.
  TensorId add_tensor(Tensor tensor);
  // Appends a node and the value it defines, named alike.
  ValueId add_node(std::string name, Op op, std::vector<ValueId> inputs, std::size_t width);
};

// A graph with its token input only.
Graph empty_graph(ModelFacts facts);

// Every problem of shape, use and order, one sentence each; empty for a sound graph. Never
// crashes on an unsound one.
std::vector<std::string> find_problems(const Graph& graph);
// The same as one Error (Malformed) with a line per problem.
Status verify(const Graph& graph);

// One line per fact, tensor and node; the text depends on the graph alone.
std::string to_text(const Graph& graph);

}  // namespace pianola
