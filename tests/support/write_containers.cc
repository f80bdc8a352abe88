#include "tests/support/write_containers.h"

namespace pianola {
namespace {

constexpr std::size_t kAlignment = 32;

void pad(Bytes& bytes) {
  while (bytes.size() % kAlignment != 0) bytes.push_back(std::byte{0});
}

void append_string(Bytes& bytes, std::string_view text) {
  append_number(bytes, std::uint64_t{text.size()});
  append(bytes, text);
}

}  // namespace

void append(Bytes& bytes, std::string_view text) {
  append(bytes, std::as_bytes(std::span<const char>(text.data(), text.size())));
}

void append(Bytes& bytes, std::span<const std::byte> more) {
  for (const std::byte byte : more) bytes.push_back(byte);
}

std::string_view as_text(const Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Bytes write_safetensors(std::string_view header, std::span<const std::byte> data) {
  Bytes out;
  append_number(out, std::uint64_t{header.size()});
  append(out, header);
  append(out, data);
  return out;
}

Bytes write_safetensors(std::span<const NamedTensor> tensors) {
  std::string header = "{\"__metadata__\":{\"format\":\"pt\"}";
  Bytes data;
  for (const NamedTensor& tensor : tensors) {
    std::string shape;
    for (const std::uint64_t dim : tensor.shape) {
      if (!shape.empty()) shape += ',';
      shape += std::to_string(dim);
    }
    const std::size_t begin = data.size();
    append(data, tensor.bytes);
    header += ",\"" + tensor.name + "\":{\"dtype\":\"" + tensor.dtype + "\",\"shape\":[" + shape +
              "],\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(data.size()) +
              "]}";
  }
  header += "}";
  while (header.size() % 8 != 0) header += ' ';
  return write_safetensors(header, data);
}

void GgufWriter::begin_entry(std::string_view key, std::uint32_t type) {
  append_string(metadata_, key);
  append_number(metadata_, type);
  ++entries_;
}

void GgufWriter::add_string(std::string_view key, std::string_view value) {
  begin_entry(key, 8);
  append_string(metadata_, value);
}

void GgufWriter::add_strings(std::string_view key, const std::vector<std::string>& values) {
  begin_entry(key, 9);
  append_number(metadata_, std::uint32_t{8});
  append_number(metadata_, std::uint64_t{values.size()});
  for (const std::string& value : values) append_string(metadata_, value);
}

void GgufWriter::add_raw(std::string_view key, std::uint32_t type,
                         std::span<const std::byte> value) {
  begin_entry(key, type);
  append(metadata_, value);
}

void GgufWriter::add_tensor(std::string_view name, const std::vector<std::uint64_t>& dims,
                            std::uint32_t type, std::span<const std::byte> bytes) {
  add_tensor_at(name, dims, type, data_.size());
  append(data_, bytes);
  pad(data_);
}

void GgufWriter::add_tensor_at(std::string_view name, const std::vector<std::uint64_t>& dims,
                               std::uint32_t type, std::uint64_t offset) {
  append_string(infos_, name);
  append_number(infos_, static_cast<std::uint32_t>(dims.size()));
  for (const std::uint64_t dim : dims) append_number(infos_, dim);
  append_number(infos_, type);
  append_number(infos_, offset);
  ++tensors_;
}

Bytes GgufWriter::finish() const {
  Bytes out;
  append(out, "GGUF");
  append_number(out, std::uint32_t{3});
  append_number(out, tensors_);
  append_number(out, entries_);
  append(out, metadata_);
  append(out, infos_);
  pad(out);
  append(out, data_);
  return out;
}

}  // namespace pianola
