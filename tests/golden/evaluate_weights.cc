#include "tests/golden/evaluate_weights.h"

#include <cmath>

#include "compiler/graph/graph.h"

namespace pianola {

using Eigen::Index;
using Eigen::VectorXd;

WeightsInDouble::WeightsInDouble(const QuantizedGraph& graph)
    : graph_(graph), values_(graph.value_widths.size()) {
  for (const QuantizedMatrix& matrix : graph.matrices) {
    Matrix dense(matrix.rows, matrix.cols);
    for (int r = 0; r < matrix.rows; ++r) {
      for (int c = 0; c < matrix.cols; ++c) {
        const auto row = static_cast<std::size_t>(r);
        const std::uint16_t scale =
            matrix.scales[row * static_cast<std::size_t>(matrix.windows()) + c / matrix.window];
        dense(r, c) = double{f16_to_f32(scale)} *
                      matrix.codes[row * static_cast<std::size_t>(matrix.cols) + c];
      }
    }
    matrices_.push_back(std::move(dense));
  }
  reset();
}

void WeightsInDouble::reset() {
  position_ = 0;
  keys_.assign(static_cast<std::size_t>(graph_.model.layers), {});
  values_of_layer_ = keys_;
}

std::vector<float> WeightsInDouble::step(int token) {
  token_ = token;
  for (const QNode& node : graph_.nodes) {
    VectorXd out = std::visit([&](const auto& op) { return run(node, op); }, node.op);
    if (node.output >= 0) values_[static_cast<std::size_t>(node.output)] = std::move(out);
  }
  ++position_;
  return logits_;
}

VectorXd WeightsInDouble::run(const QNode& node, const QEmbed&) {
  const Index width = graph_.value_widths[static_cast<std::size_t>(node.output)];
  return Eigen::Map<const Eigen::VectorXf>(graph_.embedding.data() + token_ * width, width)
      .cast<double>();
}

VectorXd WeightsInDouble::run(const QNode& node, const QQuantize& op) {
  VectorXd x = input(node, 0);
  const double mean = x.squaredNorm() / op.width;
  if (op.gain >= 0) {
    const std::vector<float>& gain = graph_.gains[static_cast<std::size_t>(op.gain)];
    x = x.cwiseProduct(
        Eigen::Map<const Eigen::VectorXf>(gain.data(), x.size()).cast<double>().eval());
  }
  return op.normalize ? VectorXd(x / std::sqrt(mean + double{op.eps})) : x;
}

VectorXd WeightsInDouble::run(const QNode& node, const QLinear& op) {
  VectorXd out = matrices_[static_cast<std::size_t>(op.matrix)] * input(node, 0);
  if (op.has_residual) out += input(node, 1);
  return out;
}

VectorXd WeightsInDouble::rotate(const VectorXd& head) const {
  const Index half = head.size() / 2;
  VectorXd out(head.size());
  for (Index j = 0; j < half; ++j) {
    const double c = graph_.cosine[static_cast<std::size_t>(position_ * half + j)];
    const double s = graph_.sine[static_cast<std::size_t>(position_ * half + j)];
    out(j) = head(j) * c - head(j + half) * s;
    out(j + half) = head(j + half) * c + head(j) * s;
  }
  return out;
}

VectorXd WeightsInDouble::run(const QNode& node, const QAttention& op) {
  const Index width = op.head_width;
  auto& keys = keys_[static_cast<std::size_t>(op.layer)];
  auto& values = values_of_layer_[static_cast<std::size_t>(op.layer)];
  VectorXd k = input(node, 1);
  for (int head = 0; head < op.kv_heads; ++head) {
    k.segment(head * width, width) = rotate(k.segment(head * width, width));
  }
  keys.push_back(k);
  values.push_back(input(node, 2));
  VectorXd out(op.heads * width);
  for (int head = 0; head < op.heads; ++head) {
    const Index kv = head / (op.heads / op.kv_heads) * width;
    const VectorXd q = rotate(input(node, 0).segment(head * width, width));
    VectorXd scores(static_cast<Index>(keys.size()));
    for (Index j = 0; j < scores.size(); ++j) {
      scores(j) = q.dot(keys[static_cast<std::size_t>(j)].segment(kv, width)) /
                  std::sqrt(static_cast<double>(op.head_size));
    }
    const VectorXd weights = (scores.array() - scores.maxCoeff()).exp();
    VectorXd sum = VectorXd::Zero(width);
    for (Index j = 0; j < scores.size(); ++j) {
      sum += weights(j) * values[static_cast<std::size_t>(j)].segment(kv, width);
    }
    out.segment(head * width, width) = sum / weights.sum();
  }
  return out;
}

VectorXd WeightsInDouble::run(const QNode& node, const QSiluMul&) {
  const auto gate = input(node, 0).array();
  return gate / (1 + (-gate).exp()) * input(node, 1).array();
}

VectorXd WeightsInDouble::run(const QNode& node, const QLogits&) {
  const VectorXd& x = input(node, 0);
  logits_.resize(static_cast<std::size_t>(graph_.model.vocabulary));
  for (std::size_t i = 0; i < logits_.size(); ++i) {
    logits_[i] = static_cast<float>(x(static_cast<Index>(i)));
  }
  return {};
}

}  // namespace pianola
