// Reads the GGUF container, version 3, little-endian: typed metadata and tensor descriptions.
// (Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.) It knows nothing of
// models; import (tensors) and the host's tokenizer (tokenizer.ggml.*) read what they need.
//
//   TRY(std::unique_ptr<MappedFile> file, MappedFile::open(path));
//   TRY(GgufFile gguf, GgufFile::parse(file->bytes(), file->path()));
//   TRY(std::string_view model, gguf.string_value("tokenizer.ggml.model"));
//   TRY(auto tokens, gguf.string_array("tokenizer.ggml.tokens"));
//
// Everything returned is a view into the given bytes, which must outlive it. The bytes are
// hostile: all counts and offsets are checked against the size before use, and what is allocated
// is bounded by a small multiple of the file's size.
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

// Numbers of the format.
enum class GgufType : std::uint32_t {
  U8 = 0,
  I8 = 1,
  U16 = 2,
  I16 = 3,
  U32 = 4,
  I32 = 5,
  F32 = 6,
  Bool = 7,
  String = 8,
  Array = 9,
  U64 = 10,
  I64 = 11,
  F64 = 12,
};
std::string_view to_string(GgufType type);

struct GgufValue {
  GgufType type = GgufType::U8;
  std::span<const std::byte> raw;  // scalar, or the elements of an array of scalars
  std::string_view text;           // String
  // Array only:
  GgufType element_type = GgufType::U8;
  std::uint64_t count = 0;
  std::vector<std::string_view> strings;  // element_type String
  std::vector<GgufValue> arrays;          // element_type Array
};

// The element types of tensors that this build can take apart, by their number in the format.
enum class GgmlType : std::uint32_t {
  F32 = 0,
  F16 = 1,
  Q4_0 = 2,
  Q4_1 = 3,
  Q5_0 = 6,
  Q5_1 = 7,
  Q8_0 = 8,
  BF16 = 30,
};
// The format's name of any type number ("IQ4_NL", "TQ1_0"), "type 99" where it has none.
std::string ggml_type_name(std::uint32_t type);

struct GgufTensor {
  std::string_view name;
  std::vector<std::uint64_t> dims;  // fastest first: dims[0] is a row's length
  std::uint32_t type = 0;           // a GgmlType, or a number this build does not know
  std::uint64_t offset = 0;         // from the start of the data section; aligned
  // The tensor's bytes. Empty for types of unknown block size, whose extent cannot be checked.
  std::span<const std::byte> bytes;
};

class GgufFile {
 public:
  // `name` is used in errors only. Errors: Malformed, Unsupported (version 1, 2, big-endian).
  static Result<GgufFile> parse(std::span<const std::byte> bytes, std::string name);

  const std::string& name() const { return name_; }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }  // in file order
  const GgufTensor* find_tensor(std::string_view name) const;          // nullptr: none

  const std::map<std::string_view, GgufValue>& metadata() const { return metadata_; }
  bool has(std::string_view key) const { return find(key) != nullptr; }
  const GgufValue* find(std::string_view key) const;  // nullptr: none

  // Typed look-ups. Errors: NotFound; Mismatch where the type is another or the value does not
  // fit. Integers accept every integer type, floats F32 and F64.
  Result<std::int64_t> integer_value(std::string_view key) const;
  Result<double> float_value(std::string_view key) const;
  Result<bool> bool_value(std::string_view key) const;
  Result<std::string_view> string_value(std::string_view key) const;
  Result<std::span<const std::string_view>> string_array(std::string_view key) const;
  Result<std::vector<std::int64_t>> integer_array(std::string_view key) const;  // any integer, Bool
  Result<std::vector<float>> float_array(std::string_view key) const;           // F32 or F64

 private:
  Result<const GgufValue*> require(std::string_view key) const;
  Error mismatch(std::string_view key, const char* expected, const GgufValue& found) const;

  std::string name_;
  std::map<std::string_view, GgufValue> metadata_;
  std::vector<GgufTensor> tensors_;
  std::map<std::string_view, std::size_t> tensor_index_;
};

}  // namespace pianola
