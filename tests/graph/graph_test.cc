#include "compiler/graph/graph.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "tests/support/expect_error.h"
#include "tests/support/write_containers.h"

namespace pianola {
namespace {

// One layer with every operation. hidden 4, 2 heads of 2, 1 kv head, ffn 6, vocab 5.
class GraphTest : public testing::Test {
 protected:
  GraphTest() : storage_(4 * 64) { graph_ = make(); }

  Tensor tensor(const std::string& name, std::size_t rows, std::size_t cols) {
    Tensor t;
    t.name = name;
    t.rows = rows;
    t.cols = cols;
    t.storage = std::span<const std::byte>(storage_).first(4 * rows * cols);
    return t;
  }

  Graph make() {
    ModelFacts facts;
    facts.architecture = "llama";
    facts.hidden = 4;
    facts.vocab = 5;
    facts.layers = 1;
    facts.heads = 2;
    facts.kv_heads = 1;
    facts.head_dim = 2;
    facts.ffn = 6;
    facts.context_max = 16;
    facts.rope_theta = 10000;
    facts.rms_eps = 1e-5f;
    facts.bos_id = 1;
    facts.eos_ids = {2, 3};
    facts.tied_embedding = true;
    Graph g = empty_graph(facts);
    const TensorId table = g.add_tensor(tensor("embed", 5, 4));
    const TensorId gain = g.add_tensor(tensor("gain", 1, 4));
    const TensorId wq = g.add_tensor(tensor("wq", 4, 4));
    const TensorId wk = g.add_tensor(tensor("wk", 2, 4));
    const TensorId bk = g.add_tensor(tensor("bk", 1, 2));
    const TensorId wu = g.add_tensor(tensor("wu", 6, 4));
    const TensorId wd = g.add_tensor(tensor("wd", 4, 6));
    const ValueId x = g.add_node("embedding", Embedding{table}, {kTokens}, 4);
    const ValueId a = g.add_node("norm", RmsNorm{gain, 1e-5f}, {x}, 4);
    const ValueId q = g.add_node("q", Linear{wq, false, {}}, {a}, 4);
    const ValueId k = g.add_node("k", Linear{wk, true, bk}, {a}, 2);
    const ValueId v = g.add_node("v", Linear{wk, false, {}}, {a}, 2);
    const ValueId qr = g.add_node("q_rope", Rope{2, 2, 10000}, {q}, 4);
    const ValueId kr = g.add_node("k_rope", Rope{1, 2, 10000}, {k}, 2);
    const ValueId m = g.add_node("attention", Attention{2, 1, 2, 0.5f, 0}, {qr, kr, v}, 4);
    const ValueId s = g.add_node("add", Add{}, {x, m}, 4);
    const ValueId gate = g.add_node("gate", Linear{wu, false, {}}, {s}, 6);
    const ValueId up = g.add_node("up", Linear{wu, false, {}}, {s}, 6);
    const ValueId p = g.add_node("silu_mul", SiluMul{}, {gate, up}, 6);
    const ValueId d = g.add_node("down", Linear{wd, false, {}}, {p}, 4);
    g.add_node("logits", Logits{table}, {d}, 5);
    return g;
  }

  Node& node(const std::string& name) {
    return *std::find_if(graph_.nodes.begin(), graph_.nodes.end(),
                         [&](const Node& n) { return n.name == name; });
  }
  template <typename OpType>
  OpType& op(const std::string& name) {
    return std::get<OpType>(node(name).op);
  }

  // Edits a sound graph and expects the problem.
  void expect_problem(const std::function<void()>& edit, const std::string& phrase) {
    graph_ = make();
    edit();
    const auto problems = find_problems(graph_);
    const bool found = std::any_of(problems.begin(), problems.end(), [&](const std::string& p) {
      return p.find(phrase) != std::string::npos;
    });
    std::string all;
    for (const std::string& problem : problems) all += "\n  " + problem;
    EXPECT_TRUE(found) << "expected '" << phrase << "' among:" << all;
    EXPECT_FALSE(to_text(graph_).empty());  // the printer takes unsound graphs too
  }

  Bytes storage_;
  Graph graph_;
};

TEST_F(GraphTest, IsSound) {
  EXPECT_EQ(find_problems(graph_), std::vector<std::string>());
  EXPECT_TRUE(verify(graph_).ok());
}

TEST_F(GraphTest, PrintsOneLinePerNode) {
  EXPECT_EQ(to_text(graph_),
            "model llama hidden=4 vocab=5 layers=1 heads=2 kv_heads=1 head_dim=2 ffn=6 "
            "context_max=16 rope_theta=10000 rms_eps=1e-05 bos=1 eos=2,3 tied=yes\n"
            "tensor embed F32 [5, 4]\n"
            "tensor gain F32 [1, 4]\n"
            "tensor wq F32 [4, 4]\n"
            "tensor wk F32 [2, 4]\n"
            "tensor bk F32 [1, 2]\n"
            "tensor wu F32 [6, 4]\n"
            "tensor wd F32 [4, 6]\n"
            "embedding = Embedding(tokens) [T, 4] table=embed\n"
            "norm = RmsNorm(embedding) [T, 4] gain=gain eps=1e-05\n"
            "q = Linear(norm) [T, 4] weight=wq\n"
            "k = Linear(norm) [T, 2] weight=wk bias=bk\n"
            "v = Linear(norm) [T, 2] weight=wk\n"
            "q_rope = Rope(q) [T, 4] heads=2 head_dim=2 theta=10000\n"
            "k_rope = Rope(k) [T, 2] heads=1 head_dim=2 theta=10000\n"
            "attention = Attention(q_rope, k_rope, v) [T, 4] heads=2 kv_heads=1 head_dim=2 "
            "scale=0.5 layer=0\n"
            "add = Add(embedding, attention) [T, 4]\n"
            "gate = Linear(add) [T, 6] weight=wu\n"
            "up = Linear(add) [T, 6] weight=wu\n"
            "silu_mul = SiluMul(gate, up) [T, 6]\n"
            "down = Linear(silu_mul) [T, 4] weight=wd\n"
            "logits = Logits(down) [T, 5] weight=embed\n");
}

TEST_F(GraphTest, ReportsAllProblemsInOneError) {
  graph_.tensors[0].rows = 9;
  op<RmsNorm>("norm").eps = 0;
  const Status status = verify(graph_);
  expect_error(status, ErrorCode::Malformed, "graph: the graph is not sound:");
  expect_error(status, ErrorCode::Malformed, "does not hold [9, 4] of F32");
  expect_error(status, ErrorCode::Malformed, "eps is not a positive number");
}

TEST_F(GraphTest, ReportsUnsoundTensors) {
  expect_problem([&] { graph_.tensors[1].name = "embed"; }, "the name is used twice");
  expect_problem([&] { graph_.tensors[1].rows = 0; }, "it is empty");
  expect_problem([&] { graph_.tensors[1].dtype = DType::Q8_0; }, "hold no whole blocks of Q8_0");
  expect_problem([&] { graph_.tensors[1].rows = ~std::size_t{0}; }, "does not hold");
  expect_problem([&] { graph_.tensors[2].row_order = {0, 1, 2, 2}; }, "no permutation");
  expect_problem([&] { graph_.tensors[2].row_order = {0, 1, 2, 4}; }, "no permutation");
  expect_problem([&] { graph_.tensors[2].row_order = {0, 1}; }, "no permutation");
}

TEST_F(GraphTest, ReportsUnsoundValues) {
  expect_problem([&] { graph_.values[0].element = ElementType::F32; }, "value 0 is not the token");
  expect_problem([&] { graph_.values.clear(); }, "value 0 is not the token");
  expect_problem([&] { graph_.values[3].width = 0; }, "its width is 0");
  expect_problem([&] { graph_.values[3].name = "norm"; }, "value norm: the name is used twice");
  expect_problem(
      [&] {
        graph_.values.push_back({"extra", ElementType::F32, 1});
      },
      "value extra: no node defines it");
  expect_problem([&] { node("add").inputs[1] = node("add").inputs[0]; },
                 "value attention: no node uses it");
}

TEST_F(GraphTest, ReportsUnsoundOrderAndUse) {
  expect_problem([&] { graph_.nodes.clear(); }, "the last node is not Logits");
  expect_problem([&] { std::swap(graph_.nodes[1], graph_.nodes.back()); },
                 "Logits must be the last node");
  expect_problem([&] { std::swap(graph_.nodes[1], graph_.nodes[2]); },
                 "input norm is used before its definition");
  expect_problem([&] { node("q").name = "k"; }, "node k (Linear): the name is used twice");
  expect_problem([&] { node("q").inputs[0] = ValueId{99}; }, "input 99 does not exist");
  expect_problem([&] { node("q").output = ValueId{99}; }, "its output does not exist");
  expect_problem([&] { node("v").output = node("k").output; }, "its output is defined twice");
  expect_problem([&] { node("v").output = kTokens; }, "its output is not F32");
  expect_problem([&] { node("add").inputs.pop_back(); }, "expected 2 inputs, found 1");
  expect_problem([&] { node("embedding").inputs[0] = node("norm").output; }, "is not token ids");
  expect_problem([&] { node("norm").inputs[0] = kTokens; }, "input tokens is not F32");
}

TEST_F(GraphTest, ReportsUnsoundOperations) {
  expect_problem([&] { op<Embedding>("embedding").table = TensorId{99}; },
                 "tensor 99 does not exist");
  expect_problem([&] { op<Embedding>("embedding").table = TensorId{1}; },
                 "tensor gain has shape [1, 4], expected [5, 4]");
  expect_problem([&] { op<RmsNorm>("norm").eps = NAN; }, "eps is not a positive number");
  expect_problem([&] { op<Linear>("k").bias = TensorId{1}; }, "expected [1, 2]");
  expect_problem([&] { op<Rope>("q_rope").head_dim = 1; }, "head_dim is not even");
  expect_problem([&] { op<Rope>("q_rope").theta = -1; }, "theta is not a positive number");
  expect_problem([&] { op<Rope>("q_rope").heads = 4; }, "input q has width 4, expected 8");
  expect_problem([&] { op<Rope>("q_rope").heads = ~std::size_t{0}; }, "expected 0");
  expect_problem([&] { op<Attention>("attention").kv_heads = 0; }, "no multiple of kv_heads");
  expect_problem([&] { op<Attention>("attention").heads = 3; }, "input q_rope has width 4");
  expect_problem([&] { op<Attention>("attention").layer = 1; }, "not below the model's layers");
  expect_problem([&] { op<Attention>("attention").scale = 0; }, "scale is not a positive number");
  expect_problem([&] { node("silu_mul").inputs[1] = node("add").output; },
                 "input add has width 4, expected 6");
  expect_problem([&] { graph_.values.back().width = 4; }, "its output has width 4, expected 5");
  expect_problem(
      [&] {
        node("v").op = Attention{2, 1, 2, 0.5f, 0};
        node("v").inputs = {node("q").output, node("k").output, node("k").output};
      },
      "its layer's KV cache is used twice");
}

}  // namespace
}  // namespace pianola
