#include "compiler/import/import_gguf.h"

#include <gtest/gtest.h>

#include <functional>

#include "tests/support/expect_error.h"
#include "tests/support/make_llama.h"

namespace pianola {
namespace {

const LlamaShape kShape{
    .hidden = 8, .layers = 2, .heads = 4, .kv_heads = 2, .head_dim = 2, .ffn = 6, .vocab = 11};

// A file without tensors whose metadata says what `edit` changes of a sound Llama.
class Metadata {
 public:
  std::map<std::string, std::uint32_t> numbers = {
      {"llama.embedding_length", 8},    {"llama.block_count", 1},
      {"llama.feed_forward_length", 6}, {"llama.attention.head_count", 4},
      {"llama.context_length", 64},     {"tokenizer.ggml.bos_token_id", 0}};
  std::map<std::string, float> floats = {{"llama.attention.layer_norm_rms_epsilon", 1e-5f}};
  std::map<std::string, std::string> texts = {{"general.architecture", "llama"}};
  GgufWriter writer;

  Bytes finish() {
    for (const auto& [key, value] : numbers) writer.add_u32(key, value);
    for (const auto& [key, value] : floats) writer.add_f32(key, value);
    for (const auto& [key, value] : texts) writer.add_string(key, value);
    return writer.finish();
  }
};

void expect_refusal(const std::function<void(Metadata&)>& edit, ErrorCode code,
                    const std::string& phrase) {
  Metadata metadata;
  edit(metadata);
  const Bytes bytes = metadata.finish();
  const auto file = GgufFile::parse(bytes, "test.gguf");
  ASSERT_TRUE(file.ok()) << to_string(file.error());
  expect_error(import_gguf(*file), code, phrase);
}

TEST(ImportGguf, MakesTheGraphOfTheHuggingFaceFormWithRowsInHalfOrder) {
  const Bytes bytes = make_llama_gguf(kShape);
  const auto file = GgufFile::parse(bytes, "test.gguf");
  ASSERT_TRUE(file.ok()) << to_string(file.error());
  const auto graph = import_gguf(*file);
  ASSERT_TRUE(graph.ok()) << to_string(graph.error());
  EXPECT_EQ(find_problems(*graph), std::vector<std::string>());
  EXPECT_EQ(graph->facts.bos_id, 1);
  EXPECT_EQ(graph->facts.eos_ids, (std::vector<std::int64_t>{2}));
  const auto tensors = make_llama_tensors(kShape);
  const auto find = [&](const std::string& name) {
    for (const Tensor& tensor : graph->tensors) {
      if (tensor.name == name) return tensor;
    }
    CHECK(false);
  };
  for (const NamedTensor& expected : tensors) {
    if (expected.name != "model.layers.1.self_attn.q_proj.weight") continue;
    const Tensor found = find("blk.1.attn_q.weight");
    EXPECT_FALSE(found.row_order.empty());
    for (std::size_t row = 0; row < found.rows; ++row) {
      const auto bytes_of_row =
          std::span(expected.bytes).subspan(row * found.row_bytes(), found.row_bytes());
      EXPECT_TRUE(std::equal(bytes_of_row.begin(), bytes_of_row.end(), found.row(row).begin()));
    }
  }
}

TEST(ImportGguf, RefusesUnsupportedParts) {
  const auto unsupported = [](const std::function<void(Metadata&)>& edit,
                              const std::string& phrase) {
    expect_refusal(edit, ErrorCode::Unsupported, phrase);
  };
  unsupported([](Metadata& m) { m.texts["general.architecture"] = "qwen2"; },
              "architecture 'qwen2'");
  unsupported([](Metadata& m) { m.texts["llama.rope.scaling.type"] = "yarn"; },
              "RoPE scaling of type 'yarn'");
  unsupported([](Metadata& m) { m.floats["llama.rope.scaling.factor"] = 4; },
              "RoPE scaling by a factor");
  unsupported([](Metadata& m) { m.numbers["llama.rope.dimension_count"] = 1; },
              "RoPE on 1 of 2 elements of a head");
  unsupported([](Metadata& m) { m.numbers["llama.attention.value_length"] = 4; },
              "value heads of 4 elements beside key heads of 2");
  unsupported([](Metadata& m) { m.numbers["llama.expert_count"] = 8; }, "mixture of experts");
  unsupported([](Metadata& m) { m.floats["llama.logit_scale"] = 8; },
              "metadata 'llama.logit_scale'");
  unsupported(
      [](Metadata& m) {
        m.numbers.erase("llama.attention.head_count");
        Bytes heads;
        append_number(heads, std::uint32_t{4});
        append_number(heads, std::uint64_t{1});
        append_number(heads, std::uint32_t{4});
        m.writer.add_raw("llama.attention.head_count", 9, heads);
      },
      "metadata 'llama.attention.head_count' differing by layer");
  unsupported([](Metadata& m) { m.writer.add_tensor("rope_freqs.weight", {2}, 0, Bytes(8)); },
              "tensor 'rope_freqs.weight'");
  unsupported([](Metadata& m) { m.writer.add_tensor("token_embd.weight", {32}, 20, Bytes(18)); },
              "tensor type IQ4_NL (1 tensor)");
  unsupported([](Metadata& m) { m.writer.add_tensor("token_embd.weight", {8}, 99, Bytes(8)); },
              "tensor type type 99 (1 tensor)");
}

TEST(ImportGguf, TakesScalingThatScalesNothing) {
  Metadata m;
  m.texts["llama.rope.scaling.type"] = "none";
  m.floats["llama.rope.scaling.factor"] = 1;
  m.numbers["llama.expert_count"] = 0;
  const Bytes bytes = m.finish();
  const auto file = GgufFile::parse(bytes, "x");
  ASSERT_TRUE(file.ok());
  expect_error(import_gguf(*file), ErrorCode::Malformed, "1 layers, but only 0 tensors");
}

TEST(ImportGguf, RefusesUnsoundMetadata) {
  const auto malformed = [](const std::function<void(Metadata&)>& edit, const std::string& phrase) {
    expect_refusal(edit, ErrorCode::Malformed, phrase);
  };
  malformed([](Metadata& m) { m.numbers.erase("llama.block_count"); },
            "'llama.block_count' is missing");
  malformed(
      [](Metadata& m) {
        m.numbers.erase("llama.block_count");
        m.writer.add_number("llama.block_count", 5, std::int32_t{-1});
      },
      "metadata 'llama.block_count' is negative");
  malformed([](Metadata& m) { m.floats.clear(); }, "layer_norm_rms_epsilon' is missing");
  malformed([](Metadata& m) { m.numbers["llama.rope.scaling.type"] = 1; },
            "metadata 'llama.rope.scaling.type': expected a string");
  malformed([](Metadata& m) { m.numbers["llama.embedding_length"] = 9; },
            "attention.key_length is not given");
  malformed([](Metadata& m) { m.texts["tokenizer.ggml.eos_token_id"] = std::string("text"); },
            "metadata 'tokenizer.ggml.eos_token_id': expected an integer");
  expect_refusal([](Metadata& m) { m.texts.clear(); }, ErrorCode::NotFound,
                 "'general.architecture' is missing");
}

}  // namespace
}  // namespace pianola
