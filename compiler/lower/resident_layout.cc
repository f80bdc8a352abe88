#include "compiler/lower/resident_layout.h"

#include <algorithm>

#include "compiler/lower/tile_format.h"

namespace pianola {
namespace {

int blocks_of(const QuantizedGraph& graph, int node, int lanes) {
  return graph.matrices[std::get<QLinear>(graph.nodes[node].op).matrix].rows / lanes;
}

// The node of type T that reads a value, or null.
template <typename T>
const QNode* reader_of(const QuantizedGraph& graph, QValue value) {
  for (const QNode& node : graph.nodes) {
    if (!std::holds_alternative<T>(node.op)) continue;
    if (std::find(node.inputs.begin(), node.inputs.end(), value) != node.inputs.end()) return &node;
  }
  return nullptr;
}

// How many blocks of each matrix make a group.
std::vector<int> shares_of(const QuantizedGraph& graph, const Target& target,
                           const std::vector<int>& nodes) {
  const int vectors = target.activation_group / target.lanes;
  std::vector<int> shares(nodes.size(), vectors);
  const QNode* attention = reader_of<QAttention>(graph, graph.nodes[nodes[0]].output);
  if (attention) {
    const auto& op = std::get<QAttention>(attention->op);
    for (size_t i = 0; i < nodes.size(); ++i) {
      const bool query = graph.nodes[nodes[i]].output == attention->inputs[0];
      shares[i] = op.head_width / target.lanes * (query ? op.heads / op.kv_heads : 1);
    }
  }
  return shares;
}

ResidentProduct product_of(const QuantizedGraph& graph, const Target& target,
                           std::vector<int> nodes) {
  ResidentProduct product;
  const QuantizedMatrix& matrix =
      graph.matrices[std::get<QLinear>(graph.nodes[nodes[0]].op).matrix];
  product.tiles = matrix.cols / target.lanes;
  product.tiles_per_window = matrix.window / target.lanes;
  product.windows = matrix.windows();
  product.bits = matrix.bits;
  const std::vector<int> shares = shares_of(graph, target, nodes);
  std::vector<int> next(nodes.size(), 0);
  for (bool more = true; more;) {
    more = false;
    for (size_t i = 0; i < nodes.size(); ++i) {
      const int end = std::min(next[i] + shares[i], blocks_of(graph, nodes[i], target.lanes));
      const QMatrix id = std::get<QLinear>(graph.nodes[nodes[i]].op).matrix;
      for (; next[i] < end; ++next[i]) {
        product.blocks.push_back({id, next[i]});
        more = true;
      }
    }
    if (more) product.group_ends.push_back(static_cast<int>(product.blocks.size()));
  }
  product.nodes = std::move(nodes);
  return product;
}

// Parts end where a group ends. The last ones are small, so that little is left over when memory is full.
void cut(ResidentProduct product, std::vector<ResidentProduct>& parts) {
  ResidentProduct part = product;
  const bool whole = product.blocks.size() <= kResidentBlocksMax;
  for (int first = 0, done = 0, next = 0; next < static_cast<int>(product.group_ends.size());) {
    part.blocks.clear();
    part.group_ends.clear();
    const int left = static_cast<int>(product.blocks.size()) - first;
    const int most = whole ? left : std::min(static_cast<int>(kResidentBlocksMax), left / 2);
    while (next < static_cast<int>(product.group_ends.size()) &&
           (done == first || product.group_ends[next] - first <= most)) {
      done = product.group_ends[next++];
      part.group_ends.push_back(done - first);
    }
    part.blocks.assign(product.blocks.begin() + first, product.blocks.begin() + done);
    parts.push_back(part);
    first = done;
  }
}

}  // namespace

std::vector<ResidentProduct> resident_products(const QuantizedGraph& graph, const Target& target) {
  std::vector<ResidentProduct> products;
  std::vector<int> nodes;
  const auto close = [&] {
    if (!nodes.empty()) cut(product_of(graph, target, std::move(nodes)), products);
    nodes.clear();
  };
  const auto matrix_of = [&](int node) -> const QuantizedMatrix& {
    return graph.matrices[std::get<QLinear>(graph.nodes[node].op).matrix];
  };
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    if (!std::holds_alternative<QLinear>(graph.nodes[i].op)) {
      close();
      continue;
    }
    const int node = static_cast<int>(i);
    if (!nodes.empty() && (graph.nodes[nodes[0]].inputs != graph.nodes[i].inputs ||
                           matrix_of(nodes[0]).bits != matrix_of(node).bits ||
                           matrix_of(nodes[0]).window != matrix_of(node).window)) {
      close();
    }
    nodes.push_back(node);
  }
  close();
  return products;
}

int load_steps(const ResidentProduct& product, const Target& target) {
  const int vectors = tile_vectors(product.bits, target.lanes);
  return (vectors + target.mxm_load_streams - 1) / target.mxm_load_streams;
}

int tiles_of_window(const ResidentProduct& product, int window) {
  return std::min(product.tiles_per_window, product.tiles - window * product.tiles_per_window);
}

int units_per_block(const ResidentProduct& product, int block, int units) {
  const int blocks = static_cast<int>(product.blocks.size()), whole = blocks / units * units;
  return block < whole ? 1 : std::max(1, units / (blocks - whole));
}

ResidentPlace place_of(const ResidentProduct& product, const ResidentUnit& what, int units) {
  const int blocks = static_cast<int>(product.blocks.size()), whole = blocks / units * units;
  const int before = what.block / units * product.tiles;
  if (what.block < whole) {
    return {what.block % units, before + what.window * product.tiles_per_window};
  }
  const int share = units_per_block(product, what.block, units);
  return {(what.block - whole) * share + what.window % share,
          whole / units * product.tiles + what.window / share * product.tiles_per_window};
}

std::vector<ResidentUnit> windows_of_unit(const ResidentProduct& product, int unit, int units) {
  std::vector<ResidentUnit> out;
  for (int block = 0; block < static_cast<int>(product.blocks.size()); ++block) {
    for (int window = 0; window < product.windows; ++window) {
      if (place_of(product, {block, window}, units).unit == unit) out.push_back({block, window});
    }
  }
  return out;
}

}  // namespace pianola
