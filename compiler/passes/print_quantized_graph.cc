#include <sstream>

#include "compiler/passes/quantized_graph.h"

namespace pianola {
namespace {

struct OpPrinter {
  const QuantizedGraph& graph;
  std::ostringstream& out;

  void operator()(const QEmbed&) { out << "embed"; }
  void operator()(const QQuantize& op) {
    out << "quantize" << (op.normalize ? " normalized" : "");
    if (op.gain >= 0) out << " gain g" << op.gain;
  }
  void operator()(const QLinear& op) {
    const QuantizedMatrix& m = graph.matrices[op.matrix];
    out << "linear " << m.name << " [" << m.rows << ", " << m.cols << "] w" << m.bits << "/"
        << m.window << (op.has_residual ? " + residual" : "");
  }
  void operator()(const QAttention& op) {
    out << "attention layer " << op.layer << " heads " << op.heads << "/" << op.kv_heads
        << " size " << op.head_size << " width " << op.head_width;
  }
  void operator()(const QSiluMul&) { out << "silu_mul"; }
  void operator()(const QLogits&) { out << "logits"; }
};

}  // namespace

std::string to_text(const QuantizedGraph& graph) {
  std::ostringstream out;
  out << "quantized graph: lanes " << graph.numerics.lanes << ", window "
      << graph.numerics.weight_window << ", activation group " << graph.numerics.activation_group
      << "\n";
  for (const QNode& node : graph.nodes) {
    out << "  v" << node.output << " = " << node.name << " ";
    std::visit(OpPrinter{graph, out}, node.op);
    out << " (";
    for (size_t i = 0; i < node.inputs.size(); ++i) out << (i ? ", v" : "v") << node.inputs[i];
    out << ")";
    if (node.output >= 0) out << " [T, " << graph.value_widths[node.output] << "]";
    out << "\n";
  }
  for (const std::string& note : graph.notes) out << "  note: " << note << "\n";
  return out.str();
}

}  // namespace pianola
