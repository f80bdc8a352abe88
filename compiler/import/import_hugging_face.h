// Makes a Graph of the parts of a Hugging Face directory: the text of config.json, of
// generation_config.json (empty where there is none) and the parsed safetensors shards. The
// tensors are spans into the bytes that the shards were parsed from.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "compiler/graph/graph.h"
#include "formats/read_safetensors.h"
#include "isa/result.h"

namespace pianola {

// `where` is used in errors only. Errors: Unsupported (all unsupported parts in one message),
// Malformed, OutOfRange (a JSON text over its limits).
Result<Graph> import_hugging_face(std::string_view config, std::string_view generation_config,
                                  std::span<const SafetensorsFile> shards,
                                  const std::string& where);

// The graph of a config.json alone: all dimensions, tensors of bf16 without storage.
Result<Graph> import_configuration(std::string_view config, const std::string& where);

}  // namespace pianola
