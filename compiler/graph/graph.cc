#include "compiler/graph/graph.h"

#include <utility>

namespace pianola {

std::string_view to_string(OpKind kind) {
  switch (kind) {
    case OpKind::Embedding:
      return "Embedding";
    case OpKind::RmsNorm:
      return "RmsNorm";
    case OpKind::Linear:
      return "Linear";
    case OpKind::Rope:
      return "Rope";
    case OpKind::Attention:
      return "Attention";
    case OpKind::SiluMul:
      return "SiluMul";
    case OpKind::Add:
      return "Add";
    case OpKind::Logits:
      return "Logits";
  }
  CHECK(false);
}

TensorId Graph::add_tensor(Tensor tensor) {
  const TensorId id{static_cast<std::uint32_t>(tensors.size())};
  tensors.push_back(std::move(tensor));
  return id;
}

ValueId Graph::add_node(std::string name, Op op, std::vector<ValueId> inputs, std::size_t width) {
  const ValueId id{static_cast<std::uint32_t>(values.size())};
  values.push_back({name, ElementType::F32, width});
  nodes.push_back({std::move(name), std::move(op), std::move(inputs), id});
  return id;
}

Graph empty_graph(ModelFacts facts) {
  Graph graph;
  graph.facts = std::move(facts);
  graph.values.push_back({"tokens", ElementType::TokenId, 1});
  return graph;
}

}  // namespace pianola
