// Evaluates a QuantizedGraph's *weights* in plain double precision: no activation, key or value is
// quantized. What the quantized interpreter loses against it, quantized activations lose; what it
// loses against the model file, the quantized weights do. Only for tests.
#pragma once

#include <Eigen/Core>
#include <vector>

#include "compiler/passes/quantized_graph.h"

namespace pianola {

class WeightsInDouble {
 public:
  explicit WeightsInDouble(const QuantizedGraph& graph);
  void reset();
  // Logits after one more token, [vocabulary].
  std::vector<float> step(int token);
  // A value of the last token, [padded features].
  const Eigen::VectorXd& value(QValue v) const { return values_[static_cast<std::size_t>(v)]; }

 private:
  using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

  Eigen::VectorXd run(const QNode& node, const QEmbed& op);
  Eigen::VectorXd run(const QNode& node, const QQuantize& op);
  Eigen::VectorXd run(const QNode& node, const QLinear& op);
  Eigen::VectorXd run(const QNode& node, const QAttention& op);
  Eigen::VectorXd run(const QNode& node, const QSiluMul& op);
  Eigen::VectorXd run(const QNode& node, const QLogits& op);

  const Eigen::VectorXd& input(const QNode& node, std::size_t i) const {
    return value(node.inputs[i]);
  }
  Eigen::VectorXd rotate(const Eigen::VectorXd& head) const;

  const QuantizedGraph& graph_;
  std::vector<Matrix> matrices_;
  std::vector<Eigen::VectorXd> values_;
  std::vector<std::vector<Eigen::VectorXd>> keys_, values_of_layer_;  // [layer][position]
  int token_ = 0, position_ = 0;
  std::vector<float> logits_;
};

}  // namespace pianola
