#include "compiler/passes/quantize_graph.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "compiler/passes/quantize_matrix.h"
#include "compiler/passes/rotary_table.h"
#include "compiler/passes/tape_order.h"

namespace pianola {
namespace {

// A value of the float graph, as the quantized graph sees it.
struct Known {
  QValue value = -1;            // fp32 vectors, if it is materialized
  const Node* norm = nullptr;   // it is this RmsNorm, materialized only as codes
  QValue norm_input = -1;
  QValue quantized = -1;        // its QQuantize, once made
  int gain = -1;                // gain index used by that QQuantize
};

class Quantizer {
 public:
  Quantizer(const Graph& graph, const Target& target, const QuantizeOptions& options)
      : graph_(graph), target_(target), options_(options), known_(graph.values.size()) {}

  Result<QuantizedGraph> run() {
    set_facts();
    if (graph_.facts.head_dim % 2 != 0) {
      return Error{ErrorCode::Unsupported,
                   "head size " + std::to_string(graph_.facts.head_dim) +
                       " is odd; rotate-half pairs need an even one",
                   "model"};
    }
    if (target_.scale != ScaleFormat::F16) {
      return Error{ErrorCode::Unsupported,
                   "weights.scale is not f16, the only format that scales of weights have here",
                   "target " + target_.name};
    }
    find_uses();
    find_residuals();
    for (const Node& node : graph_.nodes) convert(node);
    if (!problems_.empty()) {
      return Error{ErrorCode::Unsupported, "this graph has parts that cannot be quantized:" + problems_,
                   "quantize_graph"};
    }
    if (options_.weights == WeightQuantization::Ternary && !out_.dimensions_only) {
      char text[120];
      std::snprintf(text, sizeof text, "weights rounded to -1, 0, 1: relative error at most %.5f in a matrix",
                    ternary_loss_);
      out_.notes.emplace_back(text);
    }
    order_products(out_, target_);
    return std::move(out_);
  }

 private:
  void set_facts() {
    const auto& f = graph_.facts;
    out_.dimensions_only = graph_.dimensions_only || options_.dimensions_only;
    out_.numerics.lanes = target_.lanes;
    out_.numerics.activation_group = target_.activation_group;
    out_.numerics.weight_window = std::gcd(window_of(target_.w8), window_of(target_.w4));
    RollModel& m = out_.model;
    m.architecture = f.architecture;
    m.vocabulary = static_cast<int>(f.vocab);
    m.hidden = static_cast<int>(f.hidden);
    m.layers = static_cast<int>(f.layers);
    m.heads = static_cast<int>(f.heads);
    m.kv_heads = static_cast<int>(f.kv_heads);
    m.head_size = static_cast<int>(f.head_dim);
    m.feed_forward = static_cast<int>(f.ffn);
    m.context = options_.context;
    m.bos = static_cast<int>(f.bos_id);
    for (int64_t id : f.eos_ids) m.eos.push_back(static_cast<int>(id));
    m.quantization = options_.weights == WeightQuantization::Ternary ? "ternary"
                     : options_.weights == WeightQuantization::W4    ? "w4"
                     : options_.weights == WeightQuantization::W8    ? "w8"
                                                                     : "auto";
    width_ = head_width(m.head_size, target_.lanes);
  }

  // A window lies inside one activation group, so a wider weight group has its scales per window.
  int window_of(const WeightScheme& scheme) const {
    return scheme.group == 0 ? target_.activation_group
                             : std::min(scheme.group, target_.activation_group);
  }

  void find_uses() {
    users_.resize(graph_.values.size());
    maker_.assign(graph_.values.size(), nullptr);
    for (const Node& node : graph_.nodes) {
      for (ValueId input : node.inputs) users_[index(input)].push_back(&node);
      maker_[index(node.output)] = &node;
    }
  }

  bool made_by(ValueId id, OpKind kind) const {
    return maker_[index(id)] != nullptr && maker_[index(id)]->kind() == kind;
  }

  // Marks each Add whose first or second operand is a Linear used nowhere else, the other being
  // there before it (nodes are in one array, so their addresses are their order).
  void find_residuals() {
    residual_of_.assign(graph_.values.size(), -1);
    for (const Node& node : graph_.nodes) {
      if (node.kind() != OpKind::Add) continue;
      for (int side = 0; side < 2; ++side) {
        const size_t product = index(node.inputs[side]), other = index(node.inputs[1 - side]);
        if (made_by(node.inputs[side], OpKind::Linear) && users_[product].size() == 1 &&
            maker_[other] < maker_[product]) {
          residual_of_[product] = static_cast<int>(other);
          break;
        }
      }
    }
    for (const Node& node : graph_.nodes) {
      if (node.kind() != OpKind::Rope) continue;
      head_rows_.resize(graph_.values.size(), 0);
      head_rows_[index(node.inputs[0])] = static_cast<int>(std::get<Rope>(node.op).heads);
    }
    head_rows_.resize(graph_.values.size(), 0);
    head_columns_.resize(graph_.values.size(), 0);
    for (const Node& node : graph_.nodes) {
      if (node.kind() != OpKind::Attention) continue;
      const auto& op = std::get<Attention>(node.op);
      head_rows_[index(node.inputs[2])] = static_cast<int>(op.kv_heads);
      head_columns_[index(node.output)] = static_cast<int>(op.heads);
    }
  }

  void convert(const Node& node) {
    switch (node.kind()) {
      case OpKind::Embedding: return convert_embedding(node);
      case OpKind::RmsNorm: {
        Known& k = known_[index(node.output)];
        k.norm = &node;
        k.norm_input = vectors(node, node.inputs[0]);
        return;
      }
      case OpKind::Linear: {
        const auto& op = std::get<Linear>(node.op);
        if (op.has_bias) return problem(node, "has a bias");
        return convert_linear(node, op.weight);
      }
      case OpKind::Logits: {
        convert_linear(node, std::get<Logits>(node.op).weight);
        add("logits", QLogits{}, {known_[index(node.output)].value}, 0);
        return;
      }
      case OpKind::Rope: {
        known_[index(node.output)].value = vectors(node, node.inputs[0]);
        return;
      }
      case OpKind::Attention: return convert_attention(node);
      case OpKind::SiluMul: {
        known_[index(node.output)].value =
            add(node.name, QSiluMul{},
                {vectors(node, node.inputs[0]), vectors(node, node.inputs[1])},
                padded(graph_.value(node.output).width));
        return;
      }
      case OpKind::Add: {
        for (int side = 0; side < 2; ++side) {
          const size_t product = index(node.inputs[side]);
          if (residual_of_[product] == static_cast<int>(index(node.inputs[1 - side]))) {
            known_[index(node.output)].value = known_[product].value;
            return;
          }
        }
        return problem(node, "adds something that is not a product and its residual");
      }
    }
  }

  void convert_embedding(const Node& node) {
    const Tensor& table = graph_.tensor(std::get<Embedding>(node.op).table);
    const size_t width = padded(table.cols);
    known_[index(node.output)].value = add(node.name, QEmbed{}, {}, static_cast<int>(width));
    if (out_.dimensions_only) return;
    if (options_.with_embedding) out_.embedding.reserve(table.rows * width);
    std::vector<float> row(width, 0.0f);
    bool finite = true;
    for (size_t r = 0; r < table.rows; ++r) {
      table.dequantize_row(r, std::span(row).first(table.cols));
      finite = finite && all_finite(row);
      if (options_.with_embedding) {
        out_.embedding.insert(out_.embedding.end(), row.begin(), row.end());
      }
    }
    if (!finite) problem(node, "has values that are infinite or NaN");
  }

  const WeightScheme& scheme_of(int bits) const { return bits == 8 ? target_.w8 : target_.w4; }

  int bits_of(const Node& node, const Tensor& tensor) const {
    switch (options_.weights) {
      case WeightQuantization::W8: return 8;
      case WeightQuantization::W4: return 4;
      case WeightQuantization::Ternary: return node.kind() == OpKind::Logits ? 8 : 2;
      case WeightQuantization::Auto: return tensor.dtype == DType::Q4_0 ? 4 : 8;
    }
    return 8;
  }

  MatrixLayout layout_of(const Tensor& tensor, int row_heads, int column_heads) const {
    const int size = out_.model.head_size;
    MatrixLayout layout;
    layout.rows = row_heads > 0 ? lay_out_heads(row_heads, size, width_)
                                : pad_features(static_cast<int>(tensor.rows), target_.lanes);
    layout.columns = column_heads > 0 ? lay_out_heads(column_heads, size, width_)
                                      : pad_features(static_cast<int>(tensor.cols), target_.lanes);
    return layout;
  }

  // Whether every product that reads this norm quantizes its weights here, so that the gain can
  // be folded into all of them. Ternary weights would not be ternary any more.
  bool can_fold(const Node& norm) const {
    for (const Node& node : graph_.nodes) {
      if (node.inputs.empty() || node.inputs[0] != norm.output) continue;
      const TensorId id = node.kind() == OpKind::Linear   ? std::get<Linear>(node.op).weight
                          : node.kind() == OpKind::Logits ? std::get<Logits>(node.op).weight
                                                          : TensorId{0};
      const Tensor& tensor = graph_.tensor(id);
      const int bits = bits_of(node, tensor);
      const WeightScheme& scheme = scheme_of(bits);
      const MatrixLayout layout =
          layout_of(tensor, head_rows_[index(node.output)], 0);
      if (bits == 2) return false;
      if (scheme.group != 0 && passes_through(tensor, layout, bits, window_of(scheme))) {
        return false;
      }
    }
    return true;
  }

  std::vector<float> gain_values(const Node& norm) const {
    const Tensor& tensor = graph_.tensor(std::get<RmsNorm>(norm.op).gain);
    std::vector<float> gain(tensor.cols);
    if (!out_.dimensions_only) tensor.dequantize_row(0, gain);
    return gain;
  }

  static bool all_finite(std::span<const float> values) {
    return std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); });
  }

  // The fp32 vectors of a value that `reader` reads. A norm has none: only products can read it.
  QValue vectors(const Node& reader, ValueId id) {
    const QValue value = known_[index(id)].value;
    if (value >= 0) return value;
    problem(reader, "reads " + graph_.value(id).name + ", which is there only as codes");
    return 0;  // any value: the graph is refused
  }

  // The codes of a value; made once, shared by all products that read it.
  QValue quantized(const Node& reader, ValueId id) {
    Known& k = known_[index(id)];
    if (k.quantized >= 0) return k.quantized;
    QQuantize op;
    op.width = static_cast<int>(graph_.value(id).width);
    const QValue input = k.norm ? k.norm_input : vectors(reader, id);
    if (k.norm) {
      op.normalize = true;
      op.eps = std::get<RmsNorm>(k.norm->op).eps;
      if (!all_finite(gain_values(*k.norm))) {
        problem(*k.norm, "has gains that are infinite or NaN");
      }
      if (!can_fold(*k.norm)) {
        std::vector<float> gain = gain_values(*k.norm);
        gain.resize(padded(gain.size()), 0.0f);
        k.gain = op.gain = static_cast<int>(out_.gains.size());
        out_.gains.push_back(std::move(gain));
      }
    }
    k.quantized = add(graph_.value(id).name + ".codes", op, {input}, out_.value_widths[input]);
    return k.quantized;
  }

  void convert_linear(const Node& node, TensorId weight) {
    const Tensor& tensor = graph_.tensor(weight);
    const ValueId input = node.inputs[0];
    const QValue codes = quantized(node, input);
    const Known& source = known_[index(input)];
    MatrixQuantization how;
    how.bits = bits_of(node, tensor);
    const WeightScheme& scheme = scheme_of(how.bits);
    how.window = window_of(scheme);
    how.per_channel = scheme.group == 0;
    std::vector<float> gain;
    if (source.norm && source.gain < 0) {
      gain = gain_values(*source.norm);
      how.column_gain = &gain;
    }
    const MatrixLayout layout =
        layout_of(tensor, head_rows_[index(node.output)], head_columns_[index(input)]);
    double loss = 0;
    QuantizedMatrix matrix = out_.dimensions_only
                                 ? matrix_of_shape(layout, how)
                                 : quantize_matrix(tensor, layout, how, &loss);
    matrix.name = node.name;
    const auto finite = [](uint16_t scale) { return (scale & 0x7c00) != 0x7c00; };
    if (!std::all_of(matrix.scales.begin(), matrix.scales.end(), finite)) {
      problem(node, "has weights that are infinite, NaN or too large for fp16 scales");
    }
    if (how.bits == 2) {
      ternary_loss_ = std::max(ternary_loss_, loss);
    } else if (tensor.dtype != DType::F32 && tensor.dtype != DType::F16 && tensor.dtype != DType::BF16 &&
        loss > 0) {
      char text[160];
      std::snprintf(text, sizeof text, "%s: %s blocks requantized to w%d, relative error %.5f",
                    node.name.c_str(), std::string(to_string(tensor.dtype)).c_str(), how.bits, loss);
      out_.notes.emplace_back(text);
      out_.requantization_loss = std::max(out_.requantization_loss, loss);
    }
    QLinear op;
    op.matrix = static_cast<QMatrix>(out_.matrices.size());
    const int rows = matrix.rows;
    out_.matrices.push_back(std::move(matrix));
    std::vector<QValue> inputs = {codes};
    if (residual_of_[index(node.output)] >= 0) {
      op.has_residual = true;
      inputs.push_back(vectors(node, ValueId(residual_of_[index(node.output)])));
    }
    known_[index(node.output)].value = add(node.name, op, std::move(inputs), rows);
  }

  // Heads have a layout of their own, and the rotation is part of the attention: q, k and v must be
  // products that nothing else reads, q and k rotated once, and only products may read the result.
  bool has_plain_heads(const Node& node) const {
    const auto& op = std::get<Attention>(node.op);
    for (int i = 0; i < 3; ++i) {
      ValueId id = node.inputs[i];
      if (i < 2) {
        if (!made_by(id, OpKind::Rope) || users_[index(id)].size() != 1) return false;
        const auto& rope = std::get<Rope>(maker_[index(id)]->op);
        if (rope.head_dim != op.head_dim || rope.theta != graph_.facts.rope_theta) return false;
        id = maker_[index(id)]->inputs[0];
      }
      if (!made_by(id, OpKind::Linear) || users_[index(id)].size() != 1) return false;
    }
    const auto& readers = users_[index(node.output)];
    return op.head_dim == graph_.facts.head_dim &&
           std::all_of(readers.begin(), readers.end(),
                       [](const Node* reader) { return reader->kind() == OpKind::Linear; });
  }

  void convert_attention(const Node& node) {
    const auto& source = std::get<Attention>(node.op);
    if (!has_plain_heads(node)) {
      return problem(node,
                     "is not of rotated q and k and of v, products of their own, read by products");
    }
    QAttention op;
    op.layer = static_cast<int>(source.layer);
    op.heads = static_cast<int>(source.heads);
    op.kv_heads = static_cast<int>(source.kv_heads);
    op.head_size = static_cast<int>(source.head_dim);
    op.head_width = width_;
    op.score_constant = score_constant(op.head_size);
    const double expected = 1 / std::sqrt(static_cast<double>(op.head_size));
    if (std::abs(source.scale - expected) > 1e-6 * expected) {
      return problem(node, "has a score scale that is not 1/sqrt(head size)");
    }
    if (out_.cosine.empty()) make_rotary();
    std::vector<QValue> inputs;
    for (ValueId id : node.inputs) inputs.push_back(vectors(node, id));
    known_[index(node.output)].value =
        add(node.name, op, std::move(inputs), op.heads * op.head_width);
  }

  void make_rotary() {
    const int half = out_.model.head_size / 2, padded_half = width_ / 2;
    out_.rotary_width = padded_half;
    const RotaryTable table =
        make_rotary_table(options_.context, out_.model.head_size, graph_.facts.rope_theta);
    out_.cosine.assign(static_cast<size_t>(options_.context) * padded_half, 0.0f);
    out_.sine.assign(out_.cosine.size(), 0.0f);
    for (int p = 0; p < options_.context; ++p) {
      std::copy_n(&table.cosine[static_cast<size_t>(p) * half], half,
                  &out_.cosine[static_cast<size_t>(p) * padded_half]);
      std::copy_n(&table.sine[static_cast<size_t>(p) * half], half,
                  &out_.sine[static_cast<size_t>(p) * padded_half]);
    }
  }

  int padded(size_t features) const {
    return static_cast<int>((features + target_.lanes - 1) / target_.lanes * target_.lanes);
  }

  QValue add(std::string name, QOp op, std::vector<QValue> inputs, int width) {
    QNode node{std::move(name), std::move(op), std::move(inputs), -1};
    if (width > 0) {
      node.output = static_cast<QValue>(out_.value_widths.size());
      out_.value_widths.push_back(width);
    }
    out_.nodes.push_back(std::move(node));
    return out_.nodes.back().output;
  }

  void problem(const Node& node, const std::string& text) {
    problems_ += "\n  " + node.name + " " + text;
    Known& k = known_[index(node.output)];
    if (k.value < 0) k.value = 0;  // no errors that follow from this one
  }

  const Graph& graph_;
  const Target& target_;
  QuantizeOptions options_;
  QuantizedGraph out_;
  std::vector<Known> known_;        // by float value
  std::vector<const Node*> maker_;  // by float value; null: the tokens
  std::vector<std::vector<const Node*>> users_;
  std::vector<int> residual_of_;    // by float value: the residual its Linear adds, or -1
  std::vector<int> head_rows_;      // by float value: heads, if its features are laid out by head
  std::vector<int> head_columns_;   // the same, for values read as K
  int width_ = 0;
  double ternary_loss_ = 0;  // relative error of the worst matrix
  std::string problems_;
};

}  // namespace

Result<WeightQuantization> parse_quantization(std::string_view text) {
  if (text == "auto" || text.empty()) return WeightQuantization::Auto;
  if (text == "w8") return WeightQuantization::W8;
  if (text == "w4") return WeightQuantization::W4;
  if (text == "ternary") return WeightQuantization::Ternary;
  return Error{ErrorCode::InvalidArgument,
               "unknown quantization '" + std::string(text) + "'; expected auto, w8, w4 or ternary", "-q"};
}

Result<QuantizedGraph> quantize_graph(const Graph& graph, const Target& target,
                                      const QuantizeOptions& options) {
  TRY_STATUS(verify(graph));
  CHECK(options.context > 0 && options.context % target.lanes == 0);
  return Quantizer(graph, target, options).run();
}

}  // namespace pianola
