#include "compiler/import/import_hugging_face.h"

#include <gtest/gtest.h>

#include <functional>

#include "compiler/import/assemble_llama.h"
#include "formats/parse_json.h"
#include "tests/support/expect_error.h"
#include "tests/support/make_llama.h"

namespace pianola {
namespace {

const LlamaShape kShape{
    .hidden = 8, .layers = 2, .heads = 4, .kv_heads = 2, .head_dim = 2, .ffn = 6, .vocab = 11};

// The parts of a directory, to be edited.
class HuggingFaceTest : public testing::Test {
 protected:
  HuggingFaceTest() { restore(); }

  void restore(const LlamaShape& shape = kShape) {
    config_ = *parse_json(make_llama_config(shape), "config");
    generation_.clear();
    tensors_ = make_llama_tensors(shape);
  }

  NamedTensor& tensor(const std::string& name) {
    for (NamedTensor& tensor : tensors_) {
      if (tensor.name == name) return tensor;
    }
    CHECK(false);
  }

  Result<Graph> import() {
    bytes_ = write_safetensors(tensors_);
    auto file = SafetensorsFile::parse(bytes_, "model.safetensors");
    CHECK(file.ok());
    shards_ = {std::move(file).value()};
    return import_hugging_face(config_.dump(), generation_, shards_, "dir");
  }

  void expect_refusal(const std::function<void()>& edit, ErrorCode code,
                      const std::string& phrase) {
    restore();
    edit();
    expect_error(import(), code, phrase);
  }
  void expect_unsupported(const char* key, const Json& value, const std::string& phrase) {
    expect_refusal([&] { config_[key] = value; }, ErrorCode::Unsupported, phrase);
  }
  void expect_malformed(const char* key, const Json& value, const std::string& phrase) {
    expect_refusal([&] { config_[key] = value; }, ErrorCode::Malformed, phrase);
  }

  Json config_;
  std::string generation_;
  std::vector<NamedTensor> tensors_;
  Bytes bytes_;
  std::vector<SafetensorsFile> shards_;
};

TEST_F(HuggingFaceTest, MakesASoundGraph) {
  const auto graph = import();
  ASSERT_TRUE(graph.ok()) << to_string(graph.error());
  EXPECT_EQ(find_problems(*graph), std::vector<std::string>());
  EXPECT_EQ(graph->facts.hidden, 8u);
  EXPECT_EQ(graph->facts.vocab, 11u);
  EXPECT_EQ(graph->facts.layers, 2u);
  EXPECT_EQ(graph->facts.heads, 4u);
  EXPECT_EQ(graph->facts.kv_heads, 2u);
  EXPECT_EQ(graph->facts.head_dim, 2u);
  EXPECT_EQ(graph->facts.ffn, 6u);
  EXPECT_EQ(graph->facts.context_max, 256u);
  EXPECT_EQ(graph->facts.rope_theta, 10000);
  EXPECT_EQ(graph->facts.rms_eps, 1e-5f);
  EXPECT_EQ(graph->facts.bos_id, 1);
  EXPECT_EQ(graph->facts.eos_ids, (std::vector<std::int64_t>{2}));
  EXPECT_TRUE(graph->facts.tied_embedding);
  EXPECT_EQ(graph->nodes.size(), 1 + 2 * 15 + 2u);
  EXPECT_EQ(graph->tensors.size(), 1 + 2 * 9 + 1u);
  EXPECT_NE(to_text(*graph).find("layers.1.q = Linear(layers.1.attention_norm) [T, 8] "
                                 "weight=model.layers.1.self_attn.q_proj.weight"),
            std::string::npos);
}

TEST_F(HuggingFaceTest, TakesDefaultsOfAbsentMembers) {
  for (const char* key : {"head_dim", "num_key_value_heads", "max_position_embeddings",
                          "rope_theta", "rms_norm_eps", "hidden_act", "attention_bias", "mlp_bias",
                          "bos_token_id", "eos_token_id", "architectures"}) {
    config_.erase(key);
  }
  tensors_ = make_llama_tensors(
      {.hidden = 8, .layers = 2, .heads = 4, .kv_heads = 4, .head_dim = 2, .ffn = 6, .vocab = 11});
  const auto graph = import();
  ASSERT_TRUE(graph.ok()) << to_string(graph.error());
  EXPECT_EQ(graph->facts.kv_heads, 4u);
  EXPECT_EQ(graph->facts.head_dim, 2u);
  EXPECT_EQ(graph->facts.context_max, 2048u);
  EXPECT_EQ(graph->facts.rope_theta, 10000);
  EXPECT_EQ(graph->facts.rms_eps, 1e-6f);
  EXPECT_EQ(graph->facts.bos_id, -1);
  EXPECT_TRUE(graph->facts.eos_ids.empty());
}

TEST_F(HuggingFaceTest, TakesAnUntiedHeadAndIgnoresATiedOne) {
  LlamaShape untied = kShape;
  untied.tied = false;
  restore(untied);
  auto graph = import();
  ASSERT_TRUE(graph.ok()) << to_string(graph.error());
  EXPECT_NE(to_text(*graph).find("weight=lm_head.weight"), std::string::npos);
  config_["tie_word_embeddings"] = true;  // a tied model that saved its head as well
  graph = import();
  ASSERT_TRUE(graph.ok()) << to_string(graph.error());
  EXPECT_EQ(to_text(*graph).find("lm_head"), std::string::npos);
}

TEST_F(HuggingFaceTest, JoinsEndTokensOfBothConfigs) {
  config_["eos_token_id"] = {2, 3};
  generation_ = R"({"eos_token_id": [3, 4]})";
  const auto graph = import();
  ASSERT_TRUE(graph.ok()) << to_string(graph.error());
  EXPECT_EQ(graph->facts.eos_ids, (std::vector<std::int64_t>{2, 3, 4}));
}

TEST_F(HuggingFaceTest, TakesDefaultRopeInBothForms) {
  config_["rope_scaling"] = {{"rope_type", "default"}};
  EXPECT_TRUE(import().ok());
  config_.erase("rope_scaling");
  config_["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 5000.0}};
  const auto graph = import();
  ASSERT_TRUE(graph.ok()) << to_string(graph.error());
  EXPECT_EQ(graph->facts.rope_theta, 5000);
}

TEST_F(HuggingFaceTest, IgnoresSavedRopeFrequencies) {
  tensors_.push_back({"model.layers.0.self_attn.rotary_emb.inv_freq", "F32", {1}, Bytes(4)});
  EXPECT_TRUE(import().ok());
}

TEST_F(HuggingFaceTest, RefusesUnsupportedParts) {
  expect_unsupported("architectures", {"Qwen2ForCausalLM"}, "architecture 'Qwen2ForCausalLM'");
  expect_unsupported("model_type", "qwen2", "model type 'qwen2'");
  expect_unsupported("hidden_act", "gelu", "activation 'gelu'");
  expect_unsupported("attention_bias", true, "attention_bias");
  expect_unsupported("mlp_bias", true, "mlp_bias");
  expect_unsupported("partial_rotary_factor", 0.5, "partial_rotary_factor");
  expect_unsupported("sliding_window", 128, "sliding_window");
  expect_unsupported("quantization_config", {{"quant_method", "fp8"}}, "quantization 'fp8'");
  expect_unsupported("quantization_config", Json::object(), "quantization");
  expect_unsupported("rope_scaling", {{"rope_type", "llama3"}}, "RoPE scaling of type 'llama3'");
  expect_unsupported("rope_scaling", {{"type", "linear"}}, "RoPE scaling of type 'linear'");
  expect_unsupported("rope_parameters", {{"rope_type", "yarn"}}, "RoPE scaling of type 'yarn'");
  const auto add_bias = [&] {
    for (const char* layer : {"0", "1"}) {
      tensors_.push_back(
          {std::string("model.layers.") + layer + ".self_attn.q_proj.bias", "F32", {8}, Bytes(32)});
    }
  };
  expect_refusal(add_bias, ErrorCode::Unsupported,
                 "tensor 'model.layers.*.self_attn.q_proj.bias' (2 tensors)");
  expect_refusal([&] { tensor("model.norm.weight").dtype = "I32"; }, ErrorCode::Unsupported,
                 "tensor type I32 (1 tensor)");
}

TEST_F(HuggingFaceTest, ListsAllUnsupportedPartsAtOnce) {
  config_["architectures"] = {"OtherForCausalLM"};
  config_["attention_bias"] = true;
  config_["rope_scaling"] = {{"rope_type", "llama3"}};
  config_.erase("intermediate_size");  // of a model that is not for us, no matter
  tensors_.push_back({"model.extra", "U8", {1}, Bytes(1)});
  const auto graph = import();
  for (const char* phrase : {"'OtherForCausalLM'", "attention_bias", "'llama3'",
                             "tensor 'model.extra'", "tensor type U8"}) {
    expect_error(graph, ErrorCode::Unsupported, phrase);
  }
}

TEST_F(HuggingFaceTest, CutsLongLists) {
  for (int i = 0; i < 160; ++i) {
    tensors_.push_back({"extra_" + std::to_string(i), "F32", {1}, Bytes(4)});
  }
  expect_error(import(), ErrorCode::Unsupported, "and 60 more");
}

TEST_F(HuggingFaceTest, RefusesMembersOfOtherTypes) {
  expect_malformed("architectures", "LlamaForCausalLM", "must be an array of one string");
  expect_malformed("architectures", Json::array({1}), "must be an array of one string");
  expect_malformed("hidden_size", "8", "'hidden_size': expected an integer");
  expect_malformed("hidden_size", -8, "'hidden_size' is negative");
  expect_malformed("hidden_size", nullptr, "'hidden_size' is missing");
  expect_malformed("vocab_size", 0, "'vocab_size' must be positive");
  expect_malformed("rope_theta", "x", "'rope_theta': expected a number");
  expect_malformed("rope_scaling", 1, "'rope_scaling' must be an object or null");
  expect_malformed("rope_scaling", Json::object(), "'rope_scaling' has no type");
  expect_malformed("attention_bias", 1, "'attention_bias': expected true or false");
  expect_malformed("hidden_act", 1, "'hidden_act': expected a string");
  expect_malformed("bos_token_id", "x", "'bos_token_id': expected an integer");
  expect_malformed("eos_token_id", {1.5}, "'eos_token_id' must be");
  expect_malformed("eos_token_id", 1e12, "'eos_token_id' must be");
  expect_refusal(
      [&] {
        config_.erase("architectures");
        config_.erase("model_type");
      },
      ErrorCode::Malformed, "'architectures' and 'model_type' are missing");
  expect_refusal([&] { config_ = Json::array(); }, ErrorCode::Malformed, "not a JSON object");
  expect_refusal([&] { generation_ = "{"; }, ErrorCode::Malformed, "generation_config.json");
}

TEST_F(HuggingFaceTest, RefusesFactsThatCannotBe) {
  expect_malformed("num_hidden_layers", 0, "the number of layers is 0; expected 1 to");
  expect_malformed("num_hidden_layers", 1,
                   "tensor 'model.layers.*.mlp.up_proj.weight' (1 tensor) belongs to none of");
  expect_malformed("num_hidden_layers", 1'000'000'000, "1000000000 layers, but only 20 tensors");
  expect_malformed("hidden_size", std::int64_t{1} << 40, "the hidden size is 1099511627776");
  expect_malformed("num_key_value_heads", 3, "4 heads are no multiple of 3 kv heads");
  expect_malformed("head_dim", 3, "the head size 3 is odd");
  expect_malformed("rope_theta", 0, "the RoPE base is not a number");
  expect_malformed("rms_norm_eps", 0, "the RMS norm epsilon is not a number");
  expect_malformed("rms_norm_eps", 1e300, "the RMS norm epsilon is not a number");
  expect_malformed("bos_token_id", 11, "BOS id 11 is outside the vocabulary of 11");
  expect_malformed("eos_token_id", 99, "EOS id 99 is outside the vocabulary of 11");
  expect_refusal(
      [&] {
        config_.erase("head_dim");
        config_["hidden_size"] = 9;
      },
      ErrorCode::Malformed, "'hidden_size' is no multiple of 'num_attention_heads'");
}

TEST_F(HuggingFaceTest, RefusesTensorsThatDoNotFit) {
  const auto remove_norm = [&] { tensors_.pop_back(); };
  expect_refusal(remove_norm, ErrorCode::Malformed, "tensor 'model.norm.weight' is missing");
  expect_malformed(
      "vocab_size", 12,
      "tensor 'model.embed_tokens.weight' has shape [11, 8], rank 2; expected [12, 8]");
  expect_refusal(
      [&] {
        tensor("model.norm.weight").shape = {8, 1};
      },
      ErrorCode::Malformed, "'model.norm.weight' has shape [8, 1], rank 2; expected [1, 8]");
  expect_malformed("tie_word_embeddings", false, "tensor 'lm_head.weight' is missing");
}

TEST_F(HuggingFaceTest, RefusesATensorInTwoShards) {
  ASSERT_TRUE(import().ok());
  const std::vector<SafetensorsFile> twice = {shards_[0], shards_[0]};
  expect_error(import_hugging_face(config_.dump(), "", twice, "dir"), ErrorCode::Malformed,
               "tensor 'model.norm.weight' is in two shards");
}

}  // namespace
}  // namespace pianola
