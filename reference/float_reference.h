// Executes a Graph in float32 with Eigen: dequantized weights, float activations, a KV cache of
// floats. It is the oracle for accuracy (perplexity, KL, top-1), not for bits: sums are in
// whatever order Eigen takes.
//
//   FloatReference reference(model.graph);
//   Eigen::MatrixXf logits = reference.logits(ids);       // [vocab, T], whole sequence at once
//   reference.reset();
//   std::vector<float> next = reference.step(ids[0]);     // token by token, the same values
#pragma once

#include <Eigen/Core>
#include <cstddef>
#include <span>
#include <vector>

#include "compiler/graph/graph.h"

namespace pianola {

class FloatReference {
 public:
  // Dequantizes all weights (4 bytes each). The graph must be verified (CHECK) and outlive this.
  explicit FloatReference(const Graph& graph);

  // Forgets all positions.
  void reset();
  // Positions processed since reset().
  std::size_t position() const { return position_; }

  // Logits after one more token. A token outside the vocabulary is a CHECK; positions are not
  // limited by the model's context.
  std::vector<float> step(int token);
  // Logits after each of several more tokens: [vocab, ids.size()], one column per token.
  Eigen::MatrixXf extend(std::span<const int> ids);
  // reset(), then extend(): column p holds the logits after ids[0..p].
  Eigen::MatrixXf logits(std::span<const int> ids);

 private:
  // A node's result: one column per token, contiguous.
  using Activations = Eigen::MatrixXf;  // [width, T]
  using Weights = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

  struct Cache {
    Activations keys;    // [kv_heads * head_dim, capacity >= position]
    Activations values;  // alike
  };

  Activations run(const Node& node, const Embedding& op, std::span<const int> ids);
  Activations run(const Node& node, const RmsNorm& op, std::span<const int> ids);
  Activations run(const Node& node, const Linear& op, std::span<const int> ids);
  Activations run(const Node& node, const Rope& op, std::span<const int> ids);
  Activations run(const Node& node, const Attention& op, std::span<const int> ids);
  Activations run(const Node& node, const SiluMul& op, std::span<const int> ids);
  Activations run(const Node& node, const Add& op, std::span<const int> ids);
  Activations run(const Node& node, const Logits& op, std::span<const int> ids);

  const Activations& input(const Node& node, std::size_t i) const;
  const Weights& weights(TensorId id) const { return weights_[index(id)]; }

  const Graph& graph_;
  std::vector<Weights> weights_;       // by TensorId
  std::vector<Cache> caches_;          // by layer
  std::vector<Activations> values_;    // by ValueId, of the tokens being processed
  std::vector<std::size_t> last_use_;  // by ValueId: the node after which the value is dropped
  std::size_t position_ = 0;
};

}  // namespace pianola
