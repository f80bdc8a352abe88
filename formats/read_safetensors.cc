#include "formats/read_safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <utility>

#include "formats/parse_json.h"
#include "formats/quote.h"

namespace pianola {
namespace {

constexpr std::size_t kLengthBytes = 8;
constexpr std::size_t kHeaderBytesMax = std::size_t{32} << 20;
constexpr std::size_t kRankMax = 8;
constexpr std::size_t kFileNameBytesMax = 255;

std::optional<std::uint64_t> dtype_bytes(std::string_view dtype) {
  struct Entry {
    std::string_view name;
    std::uint64_t bytes;
  };
  static constexpr std::array<Entry, 16> kEntries = {{{"BOOL", 1},
                                                      {"U8", 1},
                                                      {"I8", 1},
                                                      {"F8_E4M3", 1},
                                                      {"F8_E5M2", 1},
                                                      {"F8_E8M0", 1},
                                                      {"I16", 2},
                                                      {"U16", 2},
                                                      {"F16", 2},
                                                      {"BF16", 2},
                                                      {"I32", 4},
                                                      {"U32", 4},
                                                      {"F32", 4},
                                                      {"I64", 8},
                                                      {"U64", 8},
                                                      {"F64", 8}}};
  for (const Entry& entry : kEntries) {
    if (entry.name == dtype) return entry.bytes;
  }
  return std::nullopt;
}

// The unsigned integers of a JSON array, or nullopt where it is none.
std::optional<std::vector<std::uint64_t>> unsigned_array(const Json* json, std::size_t count_max) {
  if (json == nullptr || !json->is_array() || json->size() > count_max) return std::nullopt;
  std::vector<std::uint64_t> out;
  for (const Json& item : *json) {
    if (!item.is_number_unsigned()) return std::nullopt;
    out.push_back(item.get<std::uint64_t>());
  }
  return out;
}

Result<SafetensorsTensor> read_tensor(const std::string& name, const Json& entry,
                                      std::span<const std::byte> data, const std::string& file) {
  const auto malformed = [&](const std::string& message) {
    return Error{ErrorCode::Malformed, "tensor " + quote_name(name) + ": " + message, file};
  };
  if (!entry.is_object()) return malformed("its header entry is not an object");
  SafetensorsTensor tensor;
  tensor.name = name;
  const Json* dtype = find_member(entry, "dtype");
  if (dtype == nullptr || !dtype->is_string()) return malformed("'dtype' must be a string");
  tensor.dtype = dtype->get<std::string>();
  const std::optional<std::uint64_t> element_bytes = dtype_bytes(tensor.dtype);
  if (!element_bytes) return malformed("unknown dtype " + quote_name(tensor.dtype));
  auto shape = unsigned_array(find_member(entry, "shape"), kRankMax);
  if (!shape) return malformed("'shape' must be an array of at most 8 unsigned integers");
  tensor.shape = std::move(*shape);
  const auto offsets = unsigned_array(find_member(entry, "data_offsets"), 2);
  if (!offsets || offsets->size() != 2) {
    return malformed("'data_offsets' must be two unsigned integers");
  }
  const std::uint64_t begin = (*offsets)[0];
  const std::uint64_t end = (*offsets)[1];
  if (begin > end || end > data.size()) {
    return malformed("data_offsets [" + std::to_string(begin) + ", " + std::to_string(end) +
                     ") lie outside the data of " + std::to_string(data.size()) + " bytes");
  }
  std::uint64_t expected = *element_bytes;
  for (const std::uint64_t dim : tensor.shape) {
    if (__builtin_mul_overflow(expected, dim, &expected)) {
      return malformed("its shape has more than 2^64 bytes");
    }
  }
  if (expected != end - begin) {
    return malformed("shape and dtype need " + std::to_string(expected) +
                     " bytes, data_offsets give " + std::to_string(end - begin));
  }
  tensor.bytes = data.subspan(begin, end - begin);
  return tensor;
}

// Tensors may share no byte, and the format leaves no byte of the data without an owner.
Status check_layout(const std::vector<SafetensorsTensor>& tensors, std::span<const std::byte> data,
                    const std::string& file) {
  std::vector<const SafetensorsTensor*> order;
  for (const SafetensorsTensor& tensor : tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    if (a->bytes.data() != b->bytes.data()) return a->bytes.data() < b->bytes.data();
    return a->bytes.size() < b->bytes.size();
  });
  std::size_t position = 0;
  for (const SafetensorsTensor* tensor : order) {
    const auto begin = static_cast<std::size_t>(tensor->bytes.data() - data.data());
    if (begin < position) {
      return Error{ErrorCode::Malformed,
                   "tensor " + quote_name(tensor->name) + " overlaps the tensor before it", file};
    }
    if (begin > position) {
      return Error{ErrorCode::Malformed,
                   "bytes " + std::to_string(position) + " to " + std::to_string(begin) +
                       " of the data belong to no tensor",
                   file};
    }
    position = begin + tensor->bytes.size();
  }
  if (position != data.size()) {
    return Error{ErrorCode::Malformed,
                 std::to_string(data.size() - position) + " bytes after the last tensor", file};
  }
  return Ok{};
}

}  // namespace

Result<SafetensorsFile> SafetensorsFile::parse(std::span<const std::byte> bytes, std::string name) {
  SafetensorsFile file;
  file.name_ = std::move(name);
  if (bytes.size() < kLengthBytes) {
    return Error{
        ErrorCode::Malformed,
        "not a safetensors file: " + std::to_string(bytes.size()) + " bytes, expected at least 8",
        file.name_};
  }
  std::uint64_t header_bytes = 0;
  for (std::size_t i = 0; i < kLengthBytes; ++i) {
    header_bytes |= std::uint64_t{std::to_integer<std::uint8_t>(bytes[i])} << (8 * i);
  }
  if (header_bytes > bytes.size() - kLengthBytes) {
    return Error{ErrorCode::Malformed,
                 "not a safetensors file, or cut short: a header of " +
                     std::to_string(header_bytes) + " bytes in a file of " +
                     std::to_string(bytes.size()),
                 file.name_};
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + kLengthBytes,
                              header_bytes);
  TRY(const Json header,
      parse_json(text, file.name_, {.size_bytes_max = kHeaderBytesMax, .depth_max = 4}));
  if (!header.is_object()) {
    return Error{ErrorCode::Malformed, "the header is not a JSON object", file.name_};
  }
  const std::span<const std::byte> data = bytes.subspan(kLengthBytes + header_bytes);
  for (const auto& [key, entry] : header.items()) {
    if (key == "__metadata__") {
      if (!entry.is_object()) {
        return Error{ErrorCode::Malformed, "'__metadata__' is not an object", file.name_};
      }
      for (const auto& [meta_key, meta] : entry.items()) {
        if (!meta.is_string()) {
          return Error{ErrorCode::Malformed,
                       "'__metadata__' entry " + quote_name(meta_key) + " is not a string",
                       file.name_};
        }
        file.metadata_.emplace(meta_key, meta.get<std::string>());
      }
      continue;
    }
    TRY(SafetensorsTensor tensor, read_tensor(key, entry, data, file.name_));
    file.tensors_.push_back(std::move(tensor));  // an object's items come sorted by key
  }
  TRY_STATUS(check_layout(file.tensors_, data, file.name_));
  return file;
}

const SafetensorsTensor* SafetensorsFile::find_tensor(std::string_view name) const {
  const auto found =
      std::lower_bound(tensors_.begin(), tensors_.end(), name,
                       [](const SafetensorsTensor& t, std::string_view n) { return t.name < n; });
  return found != tensors_.end() && found->name == name ? &*found : nullptr;
}

Result<std::map<std::string, std::string>> parse_safetensors_index(std::string_view text,
                                                                   const std::string& name) {
  TRY(const Json index, parse_json(text, name, {.size_bytes_max = kHeaderBytesMax}));
  const Json* weight_map = find_member(index, "weight_map");
  if (weight_map == nullptr || !weight_map->is_object()) {
    return Error{ErrorCode::Malformed, "'weight_map' must be an object", name};
  }
  std::map<std::string, std::string> out;
  for (const auto& [tensor, file] : weight_map->items()) {
    if (!file.is_string()) {
      return Error{ErrorCode::Malformed,
                   "weight_map entry " + quote_name(tensor) + " is not a file name", name};
    }
    const std::string& path = file.get_ref<const std::string&>();
    const bool plain = !path.empty() && path.size() <= kFileNameBytesMax && path[0] != '.' &&
                       path.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
    if (!plain) {
      return Error{ErrorCode::Malformed,
                   "weight_map entry " + quote_name(tensor) + " names " + quote_name(path) +
                       "; expected the plain name of a file in the same directory",
                   name};
    }
    out.emplace(tensor, path);
  }
  return out;
}

}  // namespace pianola
