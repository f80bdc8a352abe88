#include "tests/support/make_llama.h"

#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>

namespace pianola {
namespace {

// SplitMix64; uniform in [-1, 1) from its upper 24 bits, exact in float.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  float next() {
    state_ += 0x9e3779b97f4a7c15u;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return static_cast<float>(static_cast<std::int64_t>(z >> 40) - (1 << 23)) * 0x1p-23f;
  }

 private:
  std::uint64_t state_;
};

Bytes random_weights(Random& random, std::size_t count, float offset, float scale,
                     const std::string& dtype) {
  CHECK(dtype == "F32" || dtype == "BF16");
  Bytes bytes;
  for (std::size_t i = 0; i < count; ++i) {
    const float value = offset + scale * random.next();
    if (dtype == "F32") {
      append_number(bytes, value);
    } else {
      append_number(bytes, static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16));
    }
  }
  return bytes;
}

Bytes ternary_weights(Random& random, std::size_t count, float size) {
  Bytes bytes;
  for (std::size_t i = 0; i < count; ++i) {
    const float value = random.next();
    append_number(bytes, std::abs(value) < 0.3f ? 0.0f : std::copysign(size, value));
  }
  return bytes;
}

// Half order to interleaved order: row i of half s of a head goes to row 2i + s.
Bytes interleave_rows(const Bytes& bytes, std::size_t rows, std::size_t head_dim) {
  const std::size_t row_bytes = bytes.size() / rows;
  const std::size_t half = head_dim / 2;
  Bytes out(bytes.size());
  for (std::size_t row = 0; row < rows; ++row) {
    const std::size_t i = row % head_dim;
    const std::size_t target = row - i + 2 * (i % half) + i / half;
    std::memcpy(out.data() + target * row_bytes, bytes.data() + row * row_bytes, row_bytes);
  }
  return out;
}

struct PartName {
  const char* hugging_face;
  const char* gguf;
};
constexpr PartName kLayerParts[] = {
    {"input_layernorm", "attn_norm"},    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},      {"self_attn.v_proj", "attn_v"},
    {"self_attn.o_proj", "attn_output"}, {"post_attention_layernorm", "ffn_norm"},
    {"mlp.gate_proj", "ffn_gate"},       {"mlp.up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"}};

std::string gguf_name(const std::string& name) {
  if (name == "model.embed_tokens.weight") return "token_embd.weight";
  if (name == "model.norm.weight") return "output_norm.weight";
  if (name == "lm_head.weight") return "output.weight";
  const std::string prefix = "model.layers.";
  const std::size_t dot = name.find('.', prefix.size());
  const std::string part = name.substr(dot + 1, name.rfind('.') - dot - 1);
  for (const PartName& entry : kLayerParts) {
    if (part == entry.hugging_face) {
      return std::string("blk.") + name.substr(prefix.size(), dot - prefix.size()) + "." +
             entry.gguf + ".weight";
    }
  }
  CHECK(false);
}

Status write_file(const std::filesystem::path& path, std::string_view text) {
  std::ofstream out(path, std::ios::binary);
  out.write(text.data(), static_cast<std::streamsize>(text.size()));
  out.close();
  if (out.good()) return Ok{};
  return Error{ErrorCode::Io, "cannot write", path.string()};
}

Status write_shards(const std::filesystem::path& directory, const std::vector<NamedTensor>& tensors,
                    std::size_t shards) {
  std::string map;
  for (std::size_t s = 0; s < shards; ++s) {
    char name[64];
    std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", s + 1, shards);
    std::vector<NamedTensor> part;
    for (std::size_t i = s; i < tensors.size(); i += shards) {
      part.push_back(tensors[i]);
      if (!map.empty()) map += ',';
      map += "\n  \"";
      map += tensors[i].name + "\": \"" + name + "\"";
    }
    TRY_STATUS(write_file(directory / name, as_text(write_safetensors(part))));
  }
  return write_file(directory / "model.safetensors.index.json",
                    "{\"metadata\": {}, \"weight_map\": {" + map + "}}\n");
}

}  // namespace

std::string make_llama_config(const LlamaShape& shape) {
  std::string text = "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\"";
  const auto add = [&](const char* key, const std::string& value) {
    text += std::string(",\n \"") + key + "\": " + value;
  };
  char theta[64];
  std::snprintf(theta, sizeof theta, "%.17g", shape.rope_theta);
  add("hidden_size", std::to_string(shape.hidden));
  add("num_hidden_layers", std::to_string(shape.layers));
  add("num_attention_heads", std::to_string(shape.heads));
  add("num_key_value_heads", std::to_string(shape.kv_heads));
  add("head_dim", std::to_string(shape.head_dim));
  add("intermediate_size", std::to_string(shape.ffn));
  add("vocab_size", std::to_string(shape.vocab));
  add("max_position_embeddings", std::to_string(shape.context_max));
  add("rope_theta", theta);
  add("rope_scaling", "null");
  add("rms_norm_eps", "1e-05");
  add("hidden_act", "\"silu\"");
  add("attention_bias", "false");
  add("mlp_bias", "false");
  add("tie_word_embeddings", shape.tied ? "true" : "false");
  add("bos_token_id", "1");
  add("eos_token_id", "2");
  add("torch_dtype", shape.dtype == "F32" ? "\"float32\"" : "\"bfloat16\"");
  return text + "\n}\n";
}

std::vector<NamedTensor> make_llama_tensors(const LlamaShape& shape) {
  Random random(shape.seed);
  std::vector<NamedTensor> tensors;
  const auto matrix = [&](const std::string& name, std::size_t rows, std::size_t cols,
                          float gain = 1.7f) {
    const float scale = gain / std::sqrt(static_cast<float>(cols));
    const bool ternary = shape.ternary && name.starts_with("model.layers.");
    CHECK(!ternary || shape.dtype == "F32");
    tensors.push_back({name + ".weight",
                       shape.dtype,
                       {rows, cols},
                       ternary ? ternary_weights(random, rows * cols, 0.7f * scale)
                               : random_weights(random, rows * cols, 0, scale, shape.dtype)});
  };
  const auto vector = [&](const std::string& name) {
    tensors.push_back({name + ".weight",
                       shape.dtype,
                       {shape.hidden},
                       random_weights(random, shape.hidden, 1, 0.25f, shape.dtype)});
  };
  const std::size_t q_width = shape.heads * shape.head_dim;
  const std::size_t kv_width = shape.kv_heads * shape.head_dim;
  matrix("model.embed_tokens", shape.vocab, shape.hidden, 6.0f);
  for (std::size_t layer = 0; layer < shape.layers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    vector(prefix + "input_layernorm");
    matrix(prefix + "self_attn.q_proj", q_width, shape.hidden);
    matrix(prefix + "self_attn.k_proj", kv_width, shape.hidden);
    matrix(prefix + "self_attn.v_proj", kv_width, shape.hidden);
    matrix(prefix + "self_attn.o_proj", shape.hidden, q_width);
    vector(prefix + "post_attention_layernorm");
    matrix(prefix + "mlp.gate_proj", shape.ffn, shape.hidden);
    matrix(prefix + "mlp.up_proj", shape.ffn, shape.hidden);
    matrix(prefix + "mlp.down_proj", shape.hidden, shape.ffn);
  }
  vector("model.norm");
  if (!shape.tied) {
    matrix("lm_head", shape.vocab, shape.hidden, 6.0f);
    Bytes& rows = tensors.back().bytes;
    const std::size_t distinct = shape.distinct_tokens * (rows.size() / shape.vocab);
    for (std::size_t i = distinct; distinct > 0 && i < rows.size(); ++i) rows[i] = rows[i - distinct];
  }
  return tensors;
}

Bytes make_llama_gguf(const LlamaShape& shape) {
  GgufWriter writer;
  const auto u32 = [&](const char* key, std::size_t value) {
    writer.add_u32(key, static_cast<std::uint32_t>(value));
  };
  writer.add_string("general.architecture", "llama");
  u32("llama.embedding_length", shape.hidden);
  u32("llama.block_count", shape.layers);
  u32("llama.attention.head_count", shape.heads);
  u32("llama.attention.head_count_kv", shape.kv_heads);
  u32("llama.attention.key_length", shape.head_dim);
  u32("llama.attention.value_length", shape.head_dim);
  u32("llama.rope.dimension_count", shape.head_dim);
  u32("llama.feed_forward_length", shape.ffn);
  u32("llama.context_length", shape.context_max);
  u32("llama.vocab_size", shape.vocab);
  writer.add_f32("llama.rope.freq_base", static_cast<float>(shape.rope_theta));
  writer.add_f32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  u32("tokenizer.ggml.bos_token_id", 1);
  u32("tokenizer.ggml.eos_token_id", 2);
  for (const NamedTensor& tensor : make_llama_tensors(shape)) {
    const bool rope = tensor.name.find("q_proj") != std::string::npos ||
                      tensor.name.find("k_proj") != std::string::npos;
    const std::vector<std::uint64_t> dims(tensor.shape.rbegin(), tensor.shape.rend());
    const Bytes bytes =
        rope ? interleave_rows(tensor.bytes, tensor.shape[0], shape.head_dim) : tensor.bytes;
    writer.add_tensor(gguf_name(tensor.name), dims, tensor.dtype == "F32" ? 0 : 30, bytes);
  }
  return writer.finish();
}

Status write_llama_directory(const std::filesystem::path& directory, const LlamaShape& shape,
                             std::size_t shards) {
  std::error_code ignored;
  std::filesystem::create_directories(directory, ignored);
  TRY_STATUS(write_file(directory / "config.json", make_llama_config(shape)));
  const std::vector<NamedTensor> tensors = make_llama_tensors(shape);
  if (shards > 1) return write_shards(directory, tensors, shards);
  return write_file(directory / "model.safetensors", as_text(write_safetensors(tensors)));
}

}  // namespace pianola
