#include "compiler/import/import_model.h"

#include <gtest/gtest.h>

#include <fstream>

#include "reference/float_reference.h"
#include "tests/support/expect_error.h"
#include "tests/support/make_llama.h"
#include "tests/support/shared_files.h"

namespace pianola {
namespace {

namespace fs = std::filesystem;

fs::path fresh_directory(const std::string& name) {
  const fs::path path = fs::path(testing::TempDir()) / ("pianola_import_" + name);
  fs::remove_all(path);
  fs::create_directories(path);
  return path;
}

void write(const fs::path& path, std::string_view text) {
  std::ofstream(path, std::ios::binary) << text;
}

// The logits of some tokens, from whatever container.
Eigen::MatrixXf logits_of(const fs::path& path) {
  const auto model = import_model(path);
  CHECK(model.ok());
  const std::vector<int> ids = {1, 7, 100, 3, 3, 42, 9};
  return FloatReference(model->graph).logits(ids);
}

TEST(ImportModel, GivesTheSameLogitsFromEveryContainerInOddDimensions) {
  for (const bool tied : {true, false}) {
    for (const char* dtype : {"F32", "BF16"}) {
      const LlamaShape shape{.hidden = 72,
                             .layers = 3,
                             .heads = 6,
                             .kv_heads = 3,
                             .head_dim = 10,
                             .ffn = 101,
                             .vocab = 509,
                             .rope_theta = 500.0,
                             .tied = tied,
                             .dtype = dtype,
                             .seed = 3};
      const fs::path whole = fresh_directory("whole");
      const fs::path sharded = fresh_directory("sharded");
      const fs::path gguf = fresh_directory("gguf") / "model.gguf";
      ASSERT_TRUE(write_llama_directory(whole, shape).ok());
      ASSERT_TRUE(write_llama_directory(sharded, shape, 3).ok());
      write(gguf, as_text(make_llama_gguf(shape)));
      const Eigen::MatrixXf expected = logits_of(whole);
      EXPECT_TRUE(expected.allFinite());
      EXPECT_GT(expected.cwiseAbs().maxCoeff(), 0.1f);
      EXPECT_EQ(logits_of(sharded), expected);
      EXPECT_EQ(logits_of(gguf), expected);
    }
  }
}

TEST(ImportModel, KeepsTensorsValidWhenMoved) {
  const fs::path path = fresh_directory("moved");
  ASSERT_TRUE(write_llama_directory(path, {}).ok());
  auto model = import_model(path);
  ASSERT_TRUE(model.ok());
  const auto before = to_text(model->graph);
  const Model moved = std::move(model).value();
  EXPECT_EQ(to_text(moved.graph), before);
  EXPECT_TRUE(FloatReference(moved.graph).step(1).size() == 128);
}

TEST(FloatReference, GivesTheSameTokenByTokenAndInPieces) {
  const fs::path path = fresh_directory("pieces");
  ASSERT_TRUE(write_llama_directory(path, {}).ok());
  const auto model = import_model(path);
  ASSERT_TRUE(model.ok());
  FloatReference reference(model->graph);
  const std::vector<int> ids = {1, 5, 127, 0, 64, 64, 2, 9, 11};
  const Eigen::MatrixXf whole = reference.logits(ids);
  EXPECT_EQ(reference.position(), ids.size());
  reference.reset();
  const Eigen::MatrixXf first = reference.extend(std::span(ids).first(4));
  const Eigen::MatrixXf rest = reference.extend(std::span(ids).subspan(4));
  EXPECT_LT((whole.leftCols(4) - first).cwiseAbs().maxCoeff(), 1e-4f);
  EXPECT_LT((whole.rightCols(5) - rest).cwiseAbs().maxCoeff(), 1e-4f);
  reference.reset();
  for (std::size_t p = 0; p < ids.size(); ++p) {
    const std::vector<float> step = reference.step(ids[p]);
    const Eigen::Map<const Eigen::VectorXf> column(step.data(), whole.rows());
    EXPECT_LT((whole.col(static_cast<Eigen::Index>(p)) - column).cwiseAbs().maxCoeff(), 1e-4f);
  }
  EXPECT_EQ(reference.extend({}).cols(), 0);
}

TEST(ImportModel, RefusesPathsThatAreNoModel) {
  expect_error(import_model("/nonexistent/model"), ErrorCode::NotFound, "cannot open the file");
  const fs::path empty = fresh_directory("empty");
  expect_error(import_model(empty), ErrorCode::NotFound, "config.json: cannot open");
  write(empty / "config.json", make_llama_config({}));
  expect_error(import_model(empty), ErrorCode::NotFound, "neither model.safetensors nor");
  write(empty / "other.bin", "x");
  expect_error(import_model(empty / "other.bin"), ErrorCode::InvalidArgument,
               "expected a .gguf file or the directory");
  write(empty / "model.gguf", "x");
  expect_error(import_model(empty / "model.gguf"), ErrorCode::Malformed, "the file ends inside");
}

TEST(ImportModel, RefusesAnIndexThatDisagreesWithItsFiles) {
  const fs::path path = fresh_directory("index");
  ASSERT_TRUE(write_llama_directory(path, {}, 2).ok());
  const fs::path index = path / "model.safetensors.index.json";
  const std::string sound = read_file(index);
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string text = sound;
    text.replace(text.find(from), from.size(), to);
    write(index, text);
  };
  replaced("\"model.norm.weight\"", "\"model.other.weight\"");
  expect_error(import_model(path), ErrorCode::Malformed,
               "the index does not place tensor 'model.norm.weight'");
  replaced("weight_map\": {", "weight_map\": {\"x\": \"model-00001-of-00002.safetensors\",");
  expect_error(import_model(path), ErrorCode::Malformed,
               "the index names 21 tensors, its files hold 20");
  replaced("model-00001-of-00002", "model-00009-of-00002");
  expect_error(import_model(path), ErrorCode::NotFound, "model-00009-of-00002.safetensors");
  replaced("model-00001-of-00002", "../model");
  expect_error(import_model(path), ErrorCode::Malformed, "expected the plain name of a file");
}

void expect_refusal(const std::string& path, const std::vector<std::string>& phrases) {
  const auto model = import_model(shared_path(path));
  for (const std::string& phrase : phrases) {
    expect_error(model, ErrorCode::Unsupported, phrase);
  }
}

TEST(ImportModel, ListsAllUnsupportedPartsOfSharedModels) {
  if (shared_is_missing()) GTEST_SKIP() << kSharedSkip;
  expect_refusal("models/nursery-qwen2", {"'Qwen2ForCausalLM'", "'qwen2'",
                                          "'model.layers.*.self_attn.k_proj.bias' (4 tensors)",
                                          "q_proj.bias", "v_proj.bias"});
  expect_refusal("models/nursery-bitnet",
                 {"'BitNetForCausalLM'", "activation 'relu2'", "quantization 'bitnet'",
                  "tensor type U8 (28 tensors)", "attn_sub_norm", "ffn_sub_norm", "weight_scale"});
  expect_refusal("models/nursery-deepseek", {"'DeepseekV3ForCausalLM'", "kv_a_proj_with_mqa",
                                             "mlp.experts.*.gate_proj", "eh_proj"});
  expect_refusal("models/nursery-deepseek-fp8",
                 {"quantization 'fp8'", "tensor type F8_E4M3", "weight_scale_inv"});
  expect_refusal("models/gguf/nursery-qwen2-f32.gguf",
                 {"architecture 'qwen2'", "'blk.*.attn_q.bias' (4 tensors)"});
  expect_refusal(
      "models/gguf/nursery-deepseek-f32.gguf",
      {"architecture 'deepseek2'", "mixture of experts", "'deepseek2.attention.kv_lora_rank'"});
  expect_refusal("data/stories260K/stories260K-h192-iq4_nl.gguf", {"tensor type IQ4_NL"});
  expect_refusal("data/bitnet-3M/bitnet-3M-tq1_0.gguf",
                 {"architecture 'bitnet'", "tensor type TQ1_0", "attn_sub_norm"});
  expect_refusal("data/bitnet-3M/bitnet-3M-tq2_0.gguf", {"tensor type TQ2_0"});
}

}  // namespace
}  // namespace pianola
