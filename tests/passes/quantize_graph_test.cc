// The quantized graphs of small Llamas with random weights, float and in blocks.
#include "compiler/passes/quantize_graph.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <random>

#include "compiler/import/import_model.h"
#include "reference/float_reference.h"
#include "reference/quantized_interpreter.h"
#include "tests/golden/evaluate_weights.h"
#include "tests/support/expect_error.h"
#include "tests/support/make_llama.h"

namespace pianola {
namespace {

Model make_model(const LlamaShape& shape) {
  const std::filesystem::path directory =
      std::filesystem::path(testing::TempDir()) /
      ("quantize_graph_" + std::to_string(getpid()) + "_" +
       testing::UnitTest::GetInstance()->current_test_info()->name());
  CHECK(write_llama_directory(directory, shape).ok());
  Result<Model> model = import_model(directory);
  CHECK(model.ok());
  std::filesystem::remove_all(directory);  // mapped files stay readable
  return std::move(model).value();
}

Target target_of(const char* name) {
  Result<Target> target = load_target(name);
  CHECK(target.ok());
  return std::move(target).value();
}

// Gives a tensor random blocks of another type, with scales of 2^-6 .. 2^-5.
void set_blocks(Model& model, const std::string& part, DType dtype) {
  bool found = false;
  std::mt19937 random(8);
  for (Tensor& tensor : model.graph.tensors) {
    if (tensor.name.find(part) == std::string::npos || tensor.rows == 1) continue;
    found = true;
    tensor.dtype = dtype;
    const std::size_t size = tensor.rows * tensor.row_bytes();
    model.buffers.push_back(std::make_unique<std::byte[]>(size));
    std::byte* bytes = model.buffers.back().get();
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(random());
    for (std::size_t at = 0; at < size; at += block_bytes(dtype)) {
      bytes[at + 1] = static_cast<std::byte>(0x24 + random() % 4);
      if (dtype == DType::Q4_1 || dtype == DType::Q5_1) bytes[at + 3] = std::byte{0x20};
    }
    tensor.storage = {bytes, size};
  }
  CHECK(found);
}

QuantizedGraph quantize(const Model& model, const char* target,
                        WeightQuantization weights = WeightQuantization::Auto) {
  Result<QuantizedGraph> graph =
      quantize_graph(model.graph, target_of(target), {.weights = weights, .context = 64});
  EXPECT_TRUE(graph.ok()) << to_string(graph.error());
  return std::move(graph).value();
}

const QuantizedMatrix& matrix_of(const QuantizedGraph& graph, const std::string& part) {
  for (const QuantizedMatrix& m : graph.matrices) {
    if (m.name.find(part) != std::string::npos) return m;
  }
  CHECK(false);
}

const Tensor& tensor_of(const Model& model, const std::string& part) {
  for (const Tensor& t : model.graph.tensors) {
    if (t.name.find(part) != std::string::npos) return t;
  }
  CHECK(false);
}

// Logits in plain float of the file, in double of the quantized weights, and of the interpreter.
struct Errors {
  double weights = 0, interpreter = 0;  // root mean square, relative to the float logits
};

Errors compare(const Model& model, const QuantizedGraph& graph) {
  FloatReference reference(model.graph);
  WeightsInDouble weights(graph);
  QuantizedInterpreter interpreter(graph);
  double power = 0;
  Errors sum;
  for (int p = 0; p < 40; ++p) {
    const int token = (p * 37 + 11) % graph.model.vocabulary;
    const std::vector<float> a = reference.step(token), b = weights.step(token),
                             c = interpreter.step(token);
    EXPECT_EQ(a.size(), b.size());
    EXPECT_EQ(a.size(), c.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      power += double{a[i]} * double{a[i]};
      sum.weights += std::pow(double{b[i]} - double{a[i]}, 2);
      sum.interpreter += std::pow(double{c[i]} - double{a[i]}, 2);
    }
  }
  return {std::sqrt(sum.weights / power), std::sqrt(sum.interpreter / power)};
}

// ---- Gains ----------------------------------------------------------------------------------

TEST(QuantizeGraph, FoldsGainsIntoFloatWeights) {
  const Model model = make_model({});
  const QuantizedGraph graph = quantize(model, "sim16");
  EXPECT_TRUE(graph.gains.empty());
  EXPECT_TRUE(graph.notes.empty());
  EXPECT_EQ(graph.requantization_loss, 0);
  const Tensor& w = tensor_of(model, "layers.0.self_attn.v_proj");
  const Tensor& gain = tensor_of(model, "layers.0.input_layernorm");
  std::vector<float> row(w.cols), gains(w.cols);
  w.dequantize_row(3, row);
  gain.dequantize_row(0, gains);
  const QuantizedMatrix* v = nullptr;
  for (const QuantizedMatrix& m : graph.matrices) {
    if (m.name == "layers.0.v") v = &m;
  }
  ASSERT_NE(v, nullptr) << to_text(graph);
  for (int c = 0; c < 64; ++c) {
    const double scale = f16_to_f32(v->scales[3 * v->windows() + c / 32]);
    EXPECT_NEAR(v->codes[3 * 64 + c] * scale, double{row[c]} * double{gains[c]}, 0.51 * scale);
  }
}

TEST(QuantizeGraph, KeepsGainsBeforeBlocksThatPassThrough) {
  for (const DType dtype : {DType::Q8_0, DType::Q4_0}) {
    Model model = make_model({});
    set_blocks(model, "", dtype);
    const QuantizedGraph graph = quantize(model, "sim16");
    EXPECT_EQ(graph.gains.size(), 5u);  // two a layer, one before the logits
    EXPECT_TRUE(graph.notes.empty());
    EXPECT_EQ(graph.requantization_loss, 0);
    for (const QuantizedMatrix& m : graph.matrices) EXPECT_EQ(m.bits, dtype == DType::Q4_0 ? 4 : 8);
    // Weights are the file's, so float arithmetic over them gives the same logits.
    EXPECT_LT(compare(model, graph).weights, 1e-5);
    // In 4 bits Q8_0 cannot pass: then the gains are folded.
    EXPECT_EQ(quantize(model, "sim16", WeightQuantization::W4).gains.empty(), dtype == DType::Q8_0);
    EXPECT_EQ(quantize(model, "sim16", WeightQuantization::W8).gains.size(), 5u);
  }
}

TEST(QuantizeGraph, FoldsANormAltogetherOrNotAtAll) {
  Model model = make_model({});
  set_blocks(model, "layers.1.mlp.up_proj", DType::Q8_0);
  const QuantizedGraph graph = quantize(model, "sim32");
  EXPECT_EQ(graph.gains.size(), 1u);
  EXPECT_LT(compare(model, graph).weights, 0.02);
}

TEST(QuantizeGraph, NotesRequantizedBlocks) {
  for (const DType dtype : {DType::Q5_0, DType::Q5_1, DType::Q4_1}) {
    Model model = make_model({});
    set_blocks(model, "layers.0.", dtype);
    const QuantizedGraph graph = quantize(model, "sim16");
    EXPECT_TRUE(graph.gains.empty());
    ASSERT_EQ(graph.notes.size(), 7u);
    EXPECT_NE(graph.notes[0].find(to_string(dtype)), std::string::npos) << graph.notes[0];
    EXPECT_GT(graph.requantization_loss, 0);
    EXPECT_LT(graph.requantization_loss, 0.01);
  }
}

// ---- Shapes ---------------------------------------------------------------------------------

TEST(QuantizeGraph, HoldsOddDimensions) {
  const Model model = make_model({.hidden = 72,
                                  .layers = 2,
                                  .heads = 6,
                                  .kv_heads = 2,
                                  .head_dim = 12,
                                  .ffn = 100,
                                  .vocab = 509});
  for (const char* target : {"sim16", "sim32"}) {
    const QuantizedGraph graph = quantize(model, target);
    for (const QuantizedMatrix& m : graph.matrices) {
      EXPECT_EQ(m.rows % graph.numerics.lanes, 0);
      EXPECT_EQ(m.cols % graph.numerics.lanes, 0);
    }
    for (std::size_t i = 0; i < graph.embedding.size(); ++i) {
      if (i % (graph.embedding.size() / 509) >= 72) {
        ASSERT_EQ(graph.embedding[i], 0);
      }
    }
    const QuantizedMatrix& logits = matrix_of(graph, "logits");
    EXPECT_EQ(logits.rows, 512);
    for (int c = 0; c < logits.cols; ++c) EXPECT_EQ(logits.codes[509 * logits.cols + c], 0);
    const Errors errors = compare(model, graph);
    EXPECT_LT(errors.weights, 0.02) << target;
    EXPECT_LT(errors.interpreter, 0.05) << target;
  }
}

TEST(QuantizeGraph, HoldsHeadsOfAllSizes) {
  for (const std::size_t size : {8, 12, 16, 48, 64}) {
    const Model model = make_model({.heads = 4, .kv_heads = 2, .head_dim = size, .seed = size});
    for (const char* target : {"sim16", "sim32"}) {
      const QuantizedGraph graph = quantize(model, target);
      const Errors errors = compare(model, graph);
      EXPECT_LT(errors.weights, 0.02) << target << " " << size;
      EXPECT_LT(errors.interpreter, 0.05) << target << " " << size;
    }
  }
}

TEST(QuantizeGraph, KeepsWindowsInsideActivationGroups) {
  const Model model = make_model({});
  Target target = target_of("sim16");
  target.w8.group = 128;  // allowed: a multiple of the activation group
  const auto graph = quantize_graph(model.graph, target, {.context = 64});
  ASSERT_TRUE(graph.ok());
  EXPECT_EQ(graph->numerics.weight_window, 32);  // w4's windows are 32 columns
  for (const QuantizedMatrix& m : graph->matrices) EXPECT_EQ(m.window, 64);
  EXPECT_LT(compare(model, *graph).weights, 0.02);

  target.w8.group = 0;  // per output channel
  const auto channels = quantize_graph(model.graph, target, {.context = 64});
  ASSERT_TRUE(channels.ok());
  EXPECT_LT(compare(model, *channels).weights, 0.03);
}

// ---- Refusals -------------------------------------------------------------------------------

void expect_refused(const Graph& graph, const std::string& phrase) {
  ASSERT_TRUE(verify(graph).ok()) << to_string(verify(graph).error());
  expect_error(quantize_graph(graph, target_of("sim16"), {.context = 64}), ErrorCode::Unsupported,
               phrase);
}

std::size_t node_named(const Graph& graph, const std::string& name) {
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    if (graph.nodes[i].name == name) return i;
  }
  CHECK(false);
}

TEST(QuantizeGraph, RefusesScalesOfBf16) {
  const Model model = make_model({});
  Target target = target_of("sim16");
  target.scale = ScaleFormat::BF16;
  expect_error(quantize_graph(model.graph, target, {.context = 64}), ErrorCode::Unsupported,
               "weights.scale is not f16");
}

TEST(QuantizeGraph, RefusesWeightsWithoutScales) {
  for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf(""), 1e8f}) {
    for (const char* part : {"layers.1.mlp.down_proj", "layers.0.input_layernorm"}) {
      Model model = make_model({});
      for (Tensor& tensor : model.graph.tensors) {
        if (tensor.name.find(part) == std::string::npos) continue;
        model.buffers.push_back(std::make_unique<std::byte[]>(tensor.storage.size()));
        std::memcpy(model.buffers.back().get(), tensor.storage.data(), tensor.storage.size());
        std::memcpy(model.buffers.back().get() + 4 * 5, &bad, 4);
        tensor.storage = {model.buffers.back().get(), tensor.storage.size()};
      }
      expect_refused(model.graph, "infinite");
    }
  }
}

TEST(QuantizeGraph, RefusesGraphsThatAreNotDecoders) {
  const Model model = make_model({});
  {  // A norm that is added.
    Graph graph = model.graph;
    const Node& norm = graph.nodes[node_named(graph, "layers.0.attention_norm")];
    for (Node& node : graph.nodes) {
      if (node.kind() != OpKind::Add) continue;
      for (ValueId& id : node.inputs) {
        if (id == norm.inputs[0]) id = norm.output;
      }
    }
    expect_refused(graph, "only as codes");
  }
  {  // Keys that are not rotated, values that are.
    Graph graph = model.graph;
    for (Node& node : graph.nodes) {
      if (node.kind() == OpKind::Attention) std::swap(node.inputs[1], node.inputs[2]);
    }
    expect_refused(graph, "rotated q and k");
  }
  {  // Another base of the rotation than the model states.
    Graph graph = model.graph;
    for (Node& node : graph.nodes) {
      if (auto* rope = std::get_if<Rope>(&node.op)) rope->theta = 500;
    }
    expect_refused(graph, "rotated q and k");
  }
}

// Two products added: the later one takes the earlier one as its residual.
TEST(QuantizeGraph, AddsTwoProducts) {
  Model model = make_model({.layers = 1});
  Graph& graph = model.graph;
  const Node& o = graph.nodes[node_named(graph, "layers.0.o")];
  graph.values.push_back({"other", ElementType::F32, 64});
  const ValueId other{static_cast<std::uint32_t>(graph.values.size() - 1)};
  const Node node{"other", o.op, o.inputs, other};
  const std::size_t add = node_named(graph, "layers.0.ffn_add");
  graph.nodes[add].inputs = {graph.nodes[node_named(graph, "layers.0.down")].output, other};
  graph.nodes.insert(graph.nodes.begin() + static_cast<std::ptrdiff_t>(add), node);
  const auto quantized = quantize_graph(graph, target_of("sim16"), {.context = 64});
  ASSERT_TRUE(quantized.ok()) << to_string(quantized.error());
  EXPECT_LT(compare(model, *quantized).weights, 0.02);
}

}  // namespace
}  // namespace pianola
