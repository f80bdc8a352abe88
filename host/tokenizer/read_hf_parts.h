// Reads the parts of a tokenizer.json that are lists of steps. Each returns what is written there,
// sequences flattened; null and absent are no steps.
#pragma once

#include <optional>
#include <vector>

#include "formats/parse_json.h"
#include "host/tokenizer/decode_steps.h"
#include "host/tokenizer/normalize_text.h"
#include "host/tokenizer/split_text.h"
#include "isa/result.h"

namespace pianola {

// What goes around a text.
struct HfTemplate {
  std::vector<int> before;
  std::vector<int> after;
};

// `part` may be nullptr. Errors: Malformed, Unsupported, OutOfRange.
Result<std::vector<NormalizeStep>> read_hf_normalizer(const Json* part);
Result<std::vector<SplitStep>> read_hf_pre_tokenizer(const Json* part);
Result<HfTemplate> read_hf_post_processor(const Json* part);
Result<std::vector<DecodeStep>> read_hf_decoder(const Json* part);

}  // namespace pianola
