#include "compiler/passes/tape_order.h"

#include <algorithm>

namespace pianola {
namespace {

// A layer is long if it takes so many FIFOs of the tape.
constexpr int64_t kFifosPerLayer = 8;

const QNode* maker_of(const QuantizedGraph& graph, QValue value) {
  const auto made = std::find_if(graph.nodes.begin(), graph.nodes.end(),
                                 [&](const QNode& node) { return node.output == value; });
  return made == graph.nodes.end() ? nullptr : &*made;
}

bool layers_are_long(const QuantizedGraph& graph, const Target& target) {
  int64_t bytes = 0;
  for (const QuantizedMatrix& matrix : graph.matrices) {
    bytes += int64_t{matrix.rows} * matrix.cols * matrix.bits / 8;
  }
  const int64_t fifo = int64_t{target.tape_fifo_vectors} * target.lanes;
  return bytes >= kFifosPerLayer * fifo * graph.model.layers;
}

}  // namespace

void order_products(QuantizedGraph& graph, const Target& target) {
  graph.attention_takes_turns = target.weights == Residence::Tape && layers_are_long(graph, target);
  std::vector<std::vector<QNode>::iterator> attentions;
  for (auto node = graph.nodes.begin(); node != graph.nodes.end(); ++node) {
    if (!std::holds_alternative<QAttention>(node->op)) continue;
    attentions.push_back(node);
    // Queries, keys and values, right before it.
    for (int i = 0; i < 3; ++i) {
      if ((node - 3 + i)->output != node->inputs[i]) graph.attention_takes_turns = false;
    }
  }
  if (!graph.attention_takes_turns) return;
  for (const auto& attention : attentions) std::iter_swap(attention - 3, attention - 2);
}

int vectors_before_last_group(const QuantizedGraph& graph, const Target& target, QValue value) {
  if (!graph.attention_takes_turns) return 0;
  const QNode* attention = maker_of(graph, value);
  if (attention == nullptr || !std::holds_alternative<QAttention>(attention->op)) return 0;
  const auto& op = std::get<QAttention>(attention->op);
  const int elements = op.heads / op.kv_heads * (op.kv_heads - 1) * op.head_width;
  return elements / target.activation_group * target.activation_group / target.lanes;
}

std::vector<TapePart> tape_parts(const QuantizedGraph& graph, const Target& target,
                                 const QNode& product) {
  const auto matrix_of = [&](const QNode& node) -> const QuantizedMatrix& {
    return graph.matrices[std::get<QLinear>(node.op).matrix];
  };
  const QuantizedMatrix& matrix = matrix_of(product);
  const int blocks = matrix.rows / target.lanes, windows = matrix.windows();
  if (!graph.attention_takes_turns) return {{&product, 0, blocks, 0, windows}};
  const QNode *end = graph.nodes.data() + graph.nodes.size(), *attention = &product + 1;
  if (attention < end && !std::holds_alternative<QAttention>(attention->op)) ++attention;
  if (attention < end && std::holds_alternative<QAttention>(attention->op)) {
    const auto& op = std::get<QAttention>(attention->op);
    const QNode& queries = attention[-2];
    const int all = matrix_of(queries).rows / target.lanes, first = all / op.kv_heads;
    if (&product == &queries) return {{&product, 0, first, 0, windows}};
    std::vector<TapePart> parts = {{&product, 0, blocks, 0, windows}};
    if (first < all) parts.push_back({&queries, first, all, 0, matrix_of(queries).windows()});
    return parts;
  }
  const QNode* codes = maker_of(graph, product.inputs[0]);
  CHECK(codes != nullptr);
  const int early =
      vectors_before_last_group(graph, target, codes->inputs[0]) * target.lanes / matrix.window;
  if (early == 0) return {{&product, 0, blocks, 0, windows}};
  return {{&product, 0, blocks, 0, early}, {&product, 0, blocks, early, windows}};
}

}  // namespace pianola
