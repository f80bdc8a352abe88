#include "reference/float_reference.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace pianola {
namespace {

using Eigen::Index;

// Keeps what is there and makes room for `columns` columns, doubling.
void grow(Eigen::MatrixXf& matrix, Index rows, Index columns) {
  if (matrix.rows() == rows && matrix.cols() >= columns) return;
  const Index capacity = std::max<Index>(columns, 2 * matrix.cols());
  matrix.conservativeResize(rows, capacity);
}

}  // namespace

FloatReference::FloatReference(const Graph& graph) : graph_(graph) {
  CHECK(verify(graph).ok());
  for (const Tensor& tensor : graph.tensors) {
    Weights weights(static_cast<Index>(tensor.rows), static_cast<Index>(tensor.cols));
    for (std::size_t row = 0; row < tensor.rows; ++row) {
      tensor.dequantize_row(row, {weights.row(static_cast<Index>(row)).data(), tensor.cols});
    }
    weights_.push_back(std::move(weights));
  }
  caches_.resize(graph.facts.layers);
  values_.resize(graph.values.size());
  last_use_.assign(graph.values.size(), graph.nodes.size());
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    for (const ValueId input : graph.nodes[n].inputs) last_use_[index(input)] = n;
  }
}

void FloatReference::reset() { position_ = 0; }

std::vector<float> FloatReference::step(int token) {
  const Eigen::MatrixXf column = extend({&token, 1});
  return {column.data(), column.data() + column.size()};
}

Eigen::MatrixXf FloatReference::logits(std::span<const int> ids) {
  reset();
  return extend(ids);
}

Eigen::MatrixXf FloatReference::extend(std::span<const int> ids) {
  if (ids.empty()) return Eigen::MatrixXf(static_cast<Index>(graph_.facts.vocab), 0);
  for (std::size_t n = 0; n < graph_.nodes.size(); ++n) {
    const Node& node = graph_.nodes[n];
    Activations out = std::visit([&](const auto& op) { return run(node, op, ids); }, node.op);
    values_[index(node.output)] = std::move(out);
    for (const ValueId input : node.inputs) {
      if (last_use_[index(input)] == n) values_[index(input)].resize(0, 0);
    }
  }
  position_ += ids.size();
  return std::move(values_[index(graph_.nodes.back().output)]);
}

const FloatReference::Activations& FloatReference::input(const Node& node, std::size_t i) const {
  return values_[index(node.inputs[i])];
}

FloatReference::Activations FloatReference::run(const Node&, const Embedding& op,
                                                std::span<const int> ids) {
  const Weights& table = weights(op.table);
  Activations out(table.cols(), static_cast<Index>(ids.size()));
  for (std::size_t t = 0; t < ids.size(); ++t) {
    CHECK(ids[t] >= 0 && ids[t] < table.rows());
    out.col(static_cast<Index>(t)) = table.row(ids[t]).transpose();
  }
  return out;
}

FloatReference::Activations FloatReference::run(const Node& node, const RmsNorm& op,
                                                std::span<const int>) {
  const Activations& x = input(node, 0);
  const auto gain = weights(op.gain).row(0).transpose();
  Activations out(x.rows(), x.cols());
  for (Index t = 0; t < x.cols(); ++t) {
    const float mean = x.col(t).squaredNorm() / static_cast<float>(x.rows());
    out.col(t) = (x.col(t) / std::sqrt(mean + op.eps)).cwiseProduct(gain);
  }
  return out;
}

FloatReference::Activations FloatReference::run(const Node& node, const Linear& op,
                                                std::span<const int>) {
  Activations out = weights(op.weight) * input(node, 0);
  if (op.has_bias) out.colwise() += weights(op.bias).row(0).transpose();
  return out;
}

FloatReference::Activations FloatReference::run(const Node& node, const Rope& op,
                                                std::span<const int>) {
  Activations x = input(node, 0);
  const std::size_t half = op.head_dim / 2;
  for (Index t = 0; t < x.cols(); ++t) {
    const double position = static_cast<double>(position_) + static_cast<double>(t);
    for (std::size_t i = 0; i < half; ++i) {
      const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(op.head_dim);
      const double angle = position * std::pow(op.theta, exponent);
      const auto cosine = static_cast<float>(std::cos(angle));
      const auto sine = static_cast<float>(std::sin(angle));
      for (std::size_t head = 0; head < op.heads; ++head) {
        float& a = x(static_cast<Index>(head * op.head_dim + i), t);
        float& b = x(static_cast<Index>(head * op.head_dim + i + half), t);
        const float rotated = a * cosine - b * sine;
        b = b * cosine + a * sine;
        a = rotated;
      }
    }
  }
  return x;
}

FloatReference::Activations FloatReference::run(const Node& node, const Attention& op,
                                                std::span<const int>) {
  const Activations& q = input(node, 0);
  const Index tokens = q.cols();
  const auto past = static_cast<Index>(position_);
  const Index total = past + tokens;
  const auto dim = static_cast<Index>(op.head_dim);
  const auto kv_width = static_cast<Index>(op.kv_heads * op.head_dim);
  Cache& cache = caches_[op.layer];
  grow(cache.keys, kv_width, total);
  grow(cache.values, kv_width, total);
  cache.keys.middleCols(past, tokens) = input(node, 1);
  cache.values.middleCols(past, tokens) = input(node, 2);

  Activations out(q.rows(), tokens);
  const auto group = static_cast<Index>(op.heads / op.kv_heads);
  for (Index head = 0; head < static_cast<Index>(op.heads); ++head) {
    const Index kv_row = head / group * dim;
    const auto keys = cache.keys.block(kv_row, 0, dim, total);
    const auto values = cache.values.block(kv_row, 0, dim, total);
    Activations scores = keys.transpose() * q.middleRows(head * dim, dim) * op.scale;
    for (Index t = 0; t < tokens; ++t) {  // softmax over positions 0..past + t
      auto seen = scores.col(t).head(past + t + 1);
      seen = (seen.array() - seen.maxCoeff()).exp().matrix();
      seen /= seen.sum();
      scores.col(t).tail(tokens - 1 - t).setZero();
    }
    out.middleRows(head * dim, dim).noalias() = values * scores;
  }
  return out;
}

FloatReference::Activations FloatReference::run(const Node& node, const SiluMul&,
                                                std::span<const int>) {
  const auto gate = input(node, 0).array();
  const auto up = input(node, 1).array();
  return (gate / (1.0f + (-gate).exp()) * up).matrix();
}

FloatReference::Activations FloatReference::run(const Node& node, const Add&,
                                                std::span<const int>) {
  return input(node, 0) + input(node, 1);
}

FloatReference::Activations FloatReference::run(const Node& node, const Logits& op,
                                                std::span<const int>) {
  return weights(op.weight) * input(node, 0);
}

}  // namespace pianola
