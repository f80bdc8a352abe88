// Reads the safetensors container: an 8-byte little-endian header length, a JSON header, data.
// (Format: https://github.com/huggingface/safetensors.) It knows nothing of models.
//
// Views point into the given bytes, which must outlive the result. The bytes are hostile: the
// header is bounded, and every tensor's extent must agree with its shape and type, lie inside
// the data and overlap no other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "isa/result.h"

namespace pianola {

struct SafetensorsTensor {
  std::string name;
  std::string dtype;                 // as written: "F32", "BF16", "F8_E4M3", ...
  std::vector<std::uint64_t> shape;  // slowest first; empty for a scalar
  std::span<const std::byte> bytes;
};

class SafetensorsFile {
 public:
  // `name` is used in errors only. Errors: Malformed, OutOfRange (header over the limit).
  static Result<SafetensorsFile> parse(std::span<const std::byte> bytes, std::string name);

  const std::string& name() const { return name_; }
  const std::vector<SafetensorsTensor>& tensors() const { return tensors_; }  // sorted by name
  const SafetensorsTensor* find_tensor(std::string_view name) const;          // nullptr: none
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  std::string name_;
  std::vector<SafetensorsTensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

// The weight_map of a model.safetensors.index.json: tensor name -> file name. File names that are
// not plain names in the same directory ("../x", "/x", "a/b") are refused.
Result<std::map<std::string, std::string>> parse_safetensors_index(std::string_view text,
                                                                   const std::string& name);

}  // namespace pianola
