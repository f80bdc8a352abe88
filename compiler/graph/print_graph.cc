#include <charconv>

#include "compiler/graph/graph.h"

namespace pianola {
namespace {

// The shortest text that reads back as the same number; no locale.
template <typename T>
std::string number(T value) {
  char text[64];
  const auto end = std::to_chars(text, text + sizeof text, value);
  return {text, end.ptr};
}

std::string tensor_name(const Graph& graph, TensorId id) {
  if (index(id) < graph.tensors.size()) return graph.tensor(id).name;
  return "tensor#" + std::to_string(index(id));
}

std::string value_name(const Graph& graph, ValueId id) {
  if (index(id) < graph.values.size()) return graph.value(id).name;
  return "value#" + std::to_string(index(id));
}

std::string attributes(const Graph& graph, const Embedding& op) {
  return "table=" + tensor_name(graph, op.table);
}
std::string attributes(const Graph& graph, const RmsNorm& op) {
  return "gain=" + tensor_name(graph, op.gain) + " eps=" + number(op.eps);
}
std::string attributes(const Graph& graph, const Linear& op) {
  return "weight=" + tensor_name(graph, op.weight) +
         (op.has_bias ? " bias=" + tensor_name(graph, op.bias) : "");
}
std::string attributes(const Graph&, const Rope& op) {
  return "heads=" + number(op.heads) + " head_dim=" + number(op.head_dim) +
         " theta=" + number(op.theta);
}
std::string attributes(const Graph&, const Attention& op) {
  return "heads=" + number(op.heads) + " kv_heads=" + number(op.kv_heads) +
         " head_dim=" + number(op.head_dim) + " scale=" + number(op.scale) +
         " layer=" + number(op.layer);
}
std::string attributes(const Graph&, const SiluMul&) { return ""; }
std::string attributes(const Graph&, const Add&) { return ""; }
std::string attributes(const Graph& graph, const Logits& op) {
  return "weight=" + tensor_name(graph, op.weight);
}

std::string facts_text(const ModelFacts& facts) {
  std::string text = "model " + facts.architecture;
  const auto add = [&](const char* name, const std::string& value) {
    text += std::string(" ") + name + "=" + value;
  };
  add("hidden", number(facts.hidden));
  add("vocab", number(facts.vocab));
  add("layers", number(facts.layers));
  add("heads", number(facts.heads));
  add("kv_heads", number(facts.kv_heads));
  add("head_dim", number(facts.head_dim));
  add("ffn", number(facts.ffn));
  add("context_max", number(facts.context_max));
  add("rope_theta", number(facts.rope_theta));
  add("rms_eps", number(facts.rms_eps));
  add("bos", number(facts.bos_id));
  std::string eos;
  for (const std::int64_t id : facts.eos_ids)
    eos += (eos.empty() ? std::string() : std::string(",")) + number(id);
  add("eos", eos.empty() ? "none" : eos);
  add("tied", facts.tied_embedding ? "yes" : "no");
  return text + "\n";
}

}  // namespace

std::string to_text(const Graph& graph) {
  std::string text = facts_text(graph.facts);
  for (const Tensor& tensor : graph.tensors) {
    text += "tensor " + tensor.name + " " + std::string(to_string(tensor.dtype)) + " [" +
            number(tensor.rows) + ", " + number(tensor.cols) + "]" +
            (tensor.row_order.empty() ? "" : " rows reordered") + "\n";
  }
  for (const Node& node : graph.nodes) {
    const std::string out = value_name(graph, node.output);
    text += (out == node.name ? "" : out + " = ") + node.name + " = " +
            std::string(to_string(node.kind())) + "(";
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      text += std::string(i == 0 ? "" : ", ") + value_name(graph, node.inputs[i]);
    }
    text += ") [T, ";
    text += index(node.output) < graph.values.size() ? number(graph.value(node.output).width) : "?";
    text += "]";
    const std::string rest =
        std::visit([&](const auto& op) { return attributes(graph, op); }, node.op);
    text += (rest.empty() ? rest : std::string(" ") + rest) + "\n";
  }
  return text;
}

}  // namespace pianola
