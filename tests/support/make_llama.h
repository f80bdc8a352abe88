// Makes small Llamas with random weights, in any dimensions and in both containers:
//
//   const LlamaShape shape{.hidden = 72, .layers = 2, .heads = 6, .kv_heads = 2, .head_dim = 12,
//                          .ffn = 100, .vocab = 509, .seed = 1};
//   CHECK(write_llama_directory(directory, shape).ok());    // Hugging Face, readable by others
//   const Bytes gguf = make_llama_gguf(shape);              // the same weights
//
// Equal shapes and seeds give equal bytes, on every host.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "isa/result.h"
#include "tests/support/write_containers.h"

namespace pianola {

struct LlamaShape {
  std::size_t hidden = 64;
  std::size_t layers = 2;
  std::size_t heads = 4;
  std::size_t kv_heads = 2;
  std::size_t head_dim = 16;
  std::size_t ffn = 96;
  std::size_t vocab = 128;
  std::size_t context_max = 256;
  double rope_theta = 10000;
  bool tied = true;
  std::size_t distinct_tokens = 0;  // later rows of the head repeat these; 0: none do. Untied only
  std::string dtype = "F32";  // or "BF16", of all tensors
  bool ternary = false;       // all weights of a layer's matrix are -s, 0 or s
  std::uint64_t seed = 1;
};

std::string make_llama_config(const LlamaShape& shape);  // config.json
std::vector<NamedTensor> make_llama_tensors(const LlamaShape& shape);
Bytes make_llama_gguf(const LlamaShape& shape);  // q and k rows interleaved, as GGUF has them

// Writes config.json and one model.safetensors, or `shards` files and an index. The directory is
// made where it does not exist. Error Io.
Status write_llama_directory(const std::filesystem::path& directory, const LlamaShape& shape,
                             std::size_t shards = 1);

}  // namespace pianola
