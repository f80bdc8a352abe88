// Makes a Graph of a GGUF file of architecture `llama`. The tensors are spans into the bytes that
// the GgufFile was parsed from; q and k rows come in rotate-half order (Tensor::row_order).
#pragma once

#include "compiler/graph/graph.h"
#include "formats/read_gguf.h"
#include "isa/result.h"

namespace pianola {

// Errors: Unsupported (all unsupported parts in one message), Malformed.
Result<Graph> import_gguf(const GgufFile& file);

}  // namespace pianola
