#include <cmath>
#include <set>

#include "compiler/graph/graph.h"

namespace pianola {
namespace {

// Collects every problem of one graph.
class Verifier {
 public:
  explicit Verifier(const Graph& graph) : graph_(graph) {}

  std::vector<std::string> run() {
    if (graph_.values.empty() || graph_.values[0].element != ElementType::TokenId) {
      problem("value 0 is not the token ids");
    }
    for (const Tensor& tensor : graph_.tensors) check_tensor(tensor);
    defined_.assign(graph_.values.size(), false);
    used_.assign(graph_.values.size(), false);
    if (!defined_.empty()) defined_[0] = true;
    for (const Node& node : graph_.nodes) check_node(node);
    for (std::size_t i = 0; i < graph_.values.size(); ++i) check_value(i);
    if (graph_.nodes.empty() || graph_.nodes.back().kind() != OpKind::Logits) {
      problem("the last node is not Logits");
    }
    return std::move(problems_);
  }

 private:
  void problem(std::string text) { problems_.push_back(std::move(text)); }
  void problem(const Node& node, const std::string& text) {
    problem("node " + node.name + " (" + std::string(to_string(node.kind())) + "): " + text);
  }
  static std::string shape(std::size_t rows, std::size_t cols) {
    return std::string("[") + std::to_string(rows) + ", " + std::to_string(cols) + "]";
  }

  void check_tensor(const Tensor& tensor) {
    const std::string name = "tensor " + tensor.name + ": ";
    if (!tensor_names_.insert(tensor.name).second) problem(name + "the name is used twice");
    if (tensor.rows == 0 || tensor.cols == 0) problem(name + "it is empty");
    if (tensor.cols % block_elements(tensor.dtype) != 0) {
      problem(name + "rows of " + std::to_string(tensor.cols) + " hold no whole blocks of " +
              std::string(to_string(tensor.dtype)));
    }
    std::size_t bytes = 0;
    if (!graph_.dimensions_only &&
        (__builtin_mul_overflow(tensor.rows, tensor.row_bytes(), &bytes) ||
         bytes != tensor.storage.size())) {
      problem(name + "storage of " + std::to_string(tensor.storage.size()) +
              " bytes does not hold " + shape(tensor.rows, tensor.cols) + " of " +
              std::string(to_string(tensor.dtype)));
    }
    if (tensor.row_order.empty()) return;
    const std::set<std::uint32_t> rows(tensor.row_order.begin(), tensor.row_order.end());
    if (tensor.row_order.size() != tensor.rows || rows.size() != tensor.rows ||
        *rows.rbegin() != tensor.rows - 1) {
      problem(name + "row_order is no permutation of its rows");
    }
  }

  void check_value(std::size_t i) {
    const std::string name = "value " + graph_.values[i].name + ": ";
    if (graph_.values[i].width == 0) problem(name + "its width is 0");
    if (!value_names_.insert(graph_.values[i].name).second) {
      problem(name + "the name is used twice");
    }
    if (!defined_[i]) problem(name + "no node defines it");
    const bool output = !graph_.nodes.empty() && index(graph_.nodes.back().output) == i;
    if (!used_[i] && !output) problem(name + "no node uses it");
  }

  void check_node(const Node& node) {
    if (!node_names_.insert(node.name).second) problem(node, "the name is used twice");
    if (node.kind() == OpKind::Logits && &node != &graph_.nodes.back()) {
      problem(node, "Logits must be the last node");
    }
    bool readable = true;
    for (const ValueId input : node.inputs) {
      if (index(input) >= graph_.values.size()) {
        problem(node, "input " + std::to_string(index(input)) + " does not exist");
        readable = false;
        continue;
      }
      used_[index(input)] = true;
      if (!defined_[index(input)]) {
        problem(node, "input " + graph_.value(input).name + " is used before its definition");
      }
    }
    if (index(node.output) >= graph_.values.size()) {
      problem(node, "its output does not exist");
      return;
    }
    if (defined_[index(node.output)]) problem(node, "its output is defined twice");
    defined_[index(node.output)] = true;
    if (output_type(node) != ElementType::F32) problem(node, "its output is not F32");
    if (readable) std::visit([&](const auto& op) { check_op(node, op); }, node.op);
  }

  ElementType output_type(const Node& node) const { return graph_.value(node.output).element; }

  // Number and element type of the inputs; false where check_op cannot go on.
  bool inputs(const Node& node, std::size_t count, ElementType element = ElementType::F32) {
    if (node.inputs.size() != count) {
      problem(node, "expected " + std::to_string(count) + " inputs, found " +
                        std::to_string(node.inputs.size()));
      return false;
    }
    for (const ValueId input : node.inputs) {
      if (graph_.value(input).element != element) {
        problem(node, "input " + graph_.value(input).name +
                          (element == ElementType::TokenId ? " is not token ids" : " is not F32"));
      }
    }
    return true;
  }

  void input_width(const Node& node, std::size_t i, std::size_t expected) {
    const Value& value = graph_.value(node.inputs[i]);
    if (value.width == expected) return;
    problem(node, "input " + value.name + " has width " + std::to_string(value.width) +
                      ", expected " + std::to_string(expected));
  }

  void output_width(const Node& node, std::size_t expected) {
    const std::size_t width = graph_.value(node.output).width;
    if (width == expected) return;
    problem(node, "its output has width " + std::to_string(width) + ", expected " +
                      std::to_string(expected));
  }

  void weight(const Node& node, TensorId id, std::size_t rows, std::size_t cols) {
    if (index(id) >= graph_.tensors.size()) {
      problem(node, "tensor " + std::to_string(index(id)) + " does not exist");
      return;
    }
    const Tensor& tensor = graph_.tensor(id);
    if (tensor.rows == rows && tensor.cols == cols) return;
    problem(node, "tensor " + tensor.name + " has shape " + shape(tensor.rows, tensor.cols) +
                      ", expected " + shape(rows, cols));
  }

  // Product of two factors that a graph states; 0, which no value has, where it overflows.
  static std::size_t product(std::size_t a, std::size_t b) {
    std::size_t out = 0;
    return __builtin_mul_overflow(a, b, &out) ? 0 : out;
  }

  void check_op(const Node& node, const Embedding& op) {
    if (!inputs(node, 1, ElementType::TokenId)) return;
    output_width(node, graph_.facts.hidden);
    weight(node, op.table, graph_.facts.vocab, graph_.facts.hidden);
  }
  void check_op(const Node& node, const RmsNorm& op) {
    if (!inputs(node, 1)) return;
    const std::size_t width = graph_.value(node.inputs[0]).width;
    output_width(node, width);
    weight(node, op.gain, 1, width);
    if (!(op.eps > 0) || !std::isfinite(op.eps)) problem(node, "eps is not a positive number");
  }
  void check_op(const Node& node, const Linear& op) {
    if (!inputs(node, 1)) return;
    const std::size_t out = graph_.value(node.output).width;
    weight(node, op.weight, out, graph_.value(node.inputs[0]).width);
    if (op.has_bias) weight(node, op.bias, 1, out);
  }
  void check_op(const Node& node, const Rope& op) {
    if (!inputs(node, 1)) return;
    if (op.head_dim == 0 || op.head_dim % 2 != 0) problem(node, "head_dim is not even");
    if (!(op.theta > 0) || !std::isfinite(op.theta)) {
      problem(node, "theta is not a positive number");
    }
    input_width(node, 0, product(op.heads, op.head_dim));
    output_width(node, product(op.heads, op.head_dim));
  }
  void check_op(const Node& node, const Attention& op) {
    if (!inputs(node, 3)) return;
    if (op.kv_heads == 0 || op.heads % op.kv_heads != 0) {
      problem(node, "heads are no multiple of kv_heads");
    }
    if (op.layer >= graph_.facts.layers) problem(node, "its layer is not below the model's layers");
    if (!cache_layers_.insert(op.layer).second) problem(node, "its layer's KV cache is used twice");
    if (!(op.scale > 0) || !std::isfinite(op.scale)) {
      problem(node, "scale is not a positive number");
    }
    input_width(node, 0, product(op.heads, op.head_dim));
    input_width(node, 1, product(op.kv_heads, op.head_dim));
    input_width(node, 2, product(op.kv_heads, op.head_dim));
    output_width(node, product(op.heads, op.head_dim));
  }
  void check_op(const Node& node, const SiluMul&) { check_pair(node); }
  void check_op(const Node& node, const Add&) { check_pair(node); }
  void check_pair(const Node& node) {
    if (!inputs(node, 2)) return;
    input_width(node, 1, graph_.value(node.inputs[0]).width);
    output_width(node, graph_.value(node.inputs[0]).width);
  }
  void check_op(const Node& node, const Logits& op) {
    if (!inputs(node, 1)) return;
    output_width(node, graph_.facts.vocab);
    weight(node, op.weight, graph_.facts.vocab, graph_.value(node.inputs[0]).width);
  }

  const Graph& graph_;
  std::vector<std::string> problems_;
  std::vector<bool> defined_;
  std::vector<bool> used_;
  std::set<std::string> tensor_names_;
  std::set<std::string> value_names_;
  std::set<std::string> node_names_;
  std::set<std::size_t> cache_layers_;
};

}  // namespace

std::vector<std::string> find_problems(const Graph& graph) { return Verifier(graph).run(); }

Status verify(const Graph& graph) {
  const std::vector<std::string> problems = find_problems(graph);
  if (problems.empty()) return Ok{};
  std::string message = "the graph is not sound:";
  for (const std::string& problem : problems) message += "\n  " + problem;
  return Error{ErrorCode::Malformed, message, "graph"};
}

}  // namespace pianola
