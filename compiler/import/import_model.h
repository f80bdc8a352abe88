// Reads an open model file into the tensor IR.
//
// Accepted: LlamaForCausalLM in a Hugging Face directory (config.json with model.safetensors or
// shards and model.safetensors.index.json), or a .gguf file of architecture `llama`. Anything
// else that is well-formed is refused with ONE error of code Unsupported that lists every part
// of it that this build cannot do. The files are hostile until proven otherwise.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <vector>

#include "compiler/graph/graph.h"
#include "formats/mapped_file.h"
#include "isa/result.h"

namespace pianola {

// A graph and the bytes that its tensors point into. Move-only; moving keeps the spans valid.
struct Model {
  std::vector<std::unique_ptr<MappedFile>> files;
  std::vector<std::unique_ptr<std::byte[]>> buffers;  // for tensors that passes make
  Graph graph;
};

Result<Model> import_model(const std::filesystem::path& path);

}  // namespace pianola
