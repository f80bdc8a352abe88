// Writes safetensors and GGUF containers in memory: sound ones, and, with a wrong number in the
// right place, unsound ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pianola {

using Bytes = std::vector<std::byte>;

void append(Bytes& bytes, std::string_view text);
void append(Bytes& bytes, std::span<const std::byte> more);
template <typename T>
void append_number(Bytes& bytes, T value) {
  append(bytes, std::as_bytes(std::span<const T>(&value, 1)));
}
std::string_view as_text(const Bytes& bytes);

struct NamedTensor {
  std::string name;
  std::string dtype;  // of safetensors: "F32", "BF16"
  std::vector<std::uint64_t> shape;
  Bytes bytes;
};

// A safetensors file of any header text and data.
Bytes write_safetensors(std::string_view header, std::span<const std::byte> data);
// A sound one.
Bytes write_safetensors(std::span<const NamedTensor> tensors);

// Collects metadata and tensors, then writes them. Types are numbers, so that wrong ones can be
// written.
class GgufWriter {
 public:
  void add_string(std::string_view key, std::string_view value);
  void add_strings(std::string_view key, const std::vector<std::string>& values);
  template <typename T>
  void add_number(std::string_view key, std::uint32_t type, T value) {
    begin_entry(key, type);
    append_number(metadata_, value);
  }
  void add_u32(std::string_view key, std::uint32_t value) { add_number(key, 4, value); }
  void add_f32(std::string_view key, float value) { add_number(key, 6, value); }
  // An entry whose value is these bytes.
  void add_raw(std::string_view key, std::uint32_t type, std::span<const std::byte> value);
  // dims: fastest first.
  void add_tensor(std::string_view name, const std::vector<std::uint64_t>& dims, std::uint32_t type,
                  std::span<const std::byte> bytes);
  // The same with a chosen offset and no data.
  void add_tensor_at(std::string_view name, const std::vector<std::uint64_t>& dims,
                     std::uint32_t type, std::uint64_t offset);
  Bytes finish() const;

 private:
  void begin_entry(std::string_view key, std::uint32_t type);

  std::uint64_t entries_ = 0;
  std::uint64_t tensors_ = 0;
  Bytes metadata_;
  Bytes infos_;
  Bytes data_;
};

}  // namespace pianola
