// Executes a QuantizedGraph exactly as docs/numerics.md says, bit for bit, one token at a time: the
// oracle for what a roll computes. It knows nothing of machines: no lowering, no schedule.
// All fp32 values are bit patterns and go through the portable functions of isa/arithmetic.h; the
// host's floating-point unit is not used.
//
//   QuantizedInterpreter interpreter(quantized_graph);
//   std::vector<float> next = interpreter.step(id);      // logits, [vocabulary]
//   std::span<const uint32_t> x = interpreter.value(3);  // v3 of that token, to find a difference
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "compiler/passes/quantized_graph.h"

namespace pianola {

class QuantizedInterpreter {
 public:
  // What QQuantize makes of a value: one scale for each activation group.
  struct Codes {
    std::vector<int8_t> codes;     // [padded features]
    std::vector<uint32_t> scales;  // [groups], fp32
  };

  // The graph must outlive this.
  explicit QuantizedInterpreter(const QuantizedGraph& graph);

  // Forgets all positions.
  void reset();
  // Positions processed since reset().
  int position() const { return position_; }

  // Logits after one more token. A token outside the vocabulary, or a position outside the context
  // of the graph, is a CHECK.
  std::vector<float> step(int token);

  // Of the last token: a value's bits, [value_widths[v]]; the codes that a QQuantize made.
  std::span<const uint32_t> value(QValue v) const { return values_[static_cast<std::size_t>(v)]; }
  const Codes& codes(QValue v) const { return codes_[static_cast<std::size_t>(v)]; }

 private:
  using Bits = std::vector<uint32_t>;  // fp32 values

  // Keys or values of one KV head, in order of positions.
  struct Rows {
    std::vector<int8_t> codes;  // [positions][head_width]
    Bits scales;                // [positions]
  };
  struct HeadCache {
    Rows keys, values;
  };

  void run(const QNode& node, const QEmbed& op);
  void run(const QNode& node, const QQuantize& op);
  void run(const QNode& node, const QLinear& op);
  void run(const QNode& node, const QAttention& op);
  void run(const QNode& node, const QSiluMul& op);
  void run(const QNode& node, const QLogits& op);

  Bits rotate(std::span<const uint32_t> head) const;
  void append(Rows& rows, std::span<const uint32_t> head) const;
  void attend(const QAttention& op, std::span<const uint32_t> query, const HeadCache& cache,
              std::span<uint32_t> out) const;

  std::span<const uint32_t> input(const QNode& node, std::size_t i) const {
    return value(node.inputs[i]);
  }

  const QuantizedGraph& graph_;
  std::size_t lanes_;
  std::vector<Bits> weight_scales_;            // by matrix: [rows][windows], fp32
  std::vector<Bits> values_;                   // by QValue
  std::vector<Codes> codes_;                   // by QValue
  std::vector<std::vector<HeadCache>> cache_;  // [layer][KV head]
  int token_ = 0;
  int position_ = 0;
  std::vector<float> logits_;
};

}  // namespace pianola
