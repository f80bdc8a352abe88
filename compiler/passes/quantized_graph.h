// The quantized graph: what the machine computes, number for number, before anything is lowered.
// Its operations are those of docs/numerics.md; the quantized interpreter executes it directly and
// the lowering turns it into vector operations. Both must give the same bits.
//
// Layout: every feature dimension is padded with zeros to whole vectors of `lanes`. A head of
// `head_size` features occupies `head_width` lanes: the first half of the head at the start of the
// first half of the lanes, the second half at the start of the second half, so that the partner of
// a lane in rotate-half is always head_width / 2 away.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "isa/roll.h"

namespace pianola {

// What a target fixes of the arithmetic.
struct Numerics {
  int lanes = 0;             // L: vectors, sum trees, position blocks
  int weight_window = 0;     // divides every matrix's window: columns that share all scales
  int activation_group = 0;  // elements that share an activation scale; a multiple of the window
};

// A weight matrix [rows, cols], rows and cols padded to lanes; zero where padded.
struct QuantizedMatrix {
  std::string name;
  int rows = 0, cols = 0;
  // 8: codes -127..127 (or -128 from Q8_0); 4: codes -8..7; 2: codes -1..1
  int bits = 8;
  int window = 0;                  // columns per scale; the last window may be shorter
  std::vector<int8_t> codes;       // [rows][cols]
  std::vector<uint16_t> scales;    // [rows][windows], fp16 bits
  int windows() const { return (cols + window - 1) / window; }
};

using QValue = int;   // index of a value: one fp32 vector array per token
using QMatrix = int;  // index into matrices

// x[token] = table row of the token's id.
struct QEmbed {};
// codes and scales of x (times gain, where gain is not folded): with eps >= 0 the scales carry
// rsqrt(mean(x^2) + eps).
struct QQuantize {
  int gain = -1;  // index into gains; -1: folded into the weights, or none
  bool normalize = false;
  float eps = 0;
  int width = 0;  // true width n of the mean
};
// y = matrix * quantized input (+ residual, as the accumulator's first value).
struct QLinear {
  QMatrix matrix = 0;
  bool has_residual = false;  // inputs[1]
};
// Rotary embedding, quantized KV cache, softmax, product with V. inputs: q, k, v (not rotated).
struct QAttention {
  int layer = 0;
  int heads = 0, kv_heads = 0, head_size = 0, head_width = 0;
  float score_constant = 0;  // fp32 of log2(e) / (127 sqrt(head_size)); times absmax(q) is q's scale
};
// silu(gate) * up
struct QSiluMul {};
// The last node: its input is sent to the host.
struct QLogits {};

using QOp = std::variant<QEmbed, QQuantize, QLinear, QAttention, QSiluMul, QLogits>;

struct QNode {
  std::string name;
  QOp op;
  std::vector<QValue> inputs;
  QValue output = -1;
};

struct QuantizedGraph {
  RollModel model;
  Numerics numerics;
  std::vector<QNode> nodes;              // topological order
  std::vector<int> value_widths;         // padded features of each value
  std::vector<QuantizedMatrix> matrices;
  std::vector<std::vector<float>> gains; // padded
  std::vector<float> embedding;          // [vocab][padded hidden], fp32; may be left out
  // Rotary tables for positions 0..context-1: [context][head_width / 2 or lanes]; see numerics.md.
  int rotary_width = 0;
  std::vector<float> cosine, sine;
  // Attention shares the matrix units with the products around it: see tape_order.h.
  bool attention_takes_turns = false;
  bool dimensions_only = false;          // no codes, scales and embedding; gains are zero
  // Largest relative error that requantizing a block-quantized tensor brought (0: none was needed).
  double requantization_loss = 0;
  std::vector<std::string> notes;        // what the user should know (requantized tensors)
};

std::string to_text(const QuantizedGraph& graph);

}  // namespace pianola
