#include "formats/read_gguf.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>

#include "formats/quote.h"

namespace pianola {
namespace {

static_assert(std::endian::native == std::endian::little, "the reader copies little-endian bytes");

constexpr std::uint32_t kVersion = 3;
constexpr std::uint64_t kMetadataMax = 100'000;
constexpr std::uint64_t kTensorsMax = 1'000'000;
constexpr std::size_t kKeyBytesMax = 65'535;  // the format's own limit
constexpr std::size_t kDimsMax = 4;
constexpr std::size_t kArrayDepthMax = 4;
constexpr std::uint64_t kAlignmentDefault = 32;
constexpr std::uint64_t kAlignmentMax = 1 << 20;

// The least bytes that an entry can take, to refuse impossible counts before the loop.
constexpr std::size_t kMetadataBytesMin = 8 + 1 + 4 + 1;
constexpr std::size_t kTensorBytesMin = 8 + 1 + 4 + 8 + 4 + 8;

struct TypeEntry {
  std::uint32_t type;
  const char* name;
  std::uint64_t block_elements;
  std::uint64_t block_bytes;
};
// ggml's type traits; extents of types that we cannot compute with are checked all the same.
constexpr std::array<TypeEntry, 33> kTypes = {
    {{0, "F32", 1, 4},         {1, "F16", 1, 2},         {2, "Q4_0", 32, 18},
     {3, "Q4_1", 32, 20},      {6, "Q5_0", 32, 22},      {7, "Q5_1", 32, 24},
     {8, "Q8_0", 32, 34},      {9, "Q8_1", 32, 36},      {10, "Q2_K", 256, 84},
     {11, "Q3_K", 256, 110},   {12, "Q4_K", 256, 144},   {13, "Q5_K", 256, 176},
     {14, "Q6_K", 256, 210},   {15, "Q8_K", 256, 292},   {16, "IQ2_XXS", 256, 66},
     {17, "IQ2_XS", 256, 74},  {18, "IQ3_XXS", 256, 98}, {19, "IQ1_S", 256, 50},
     {20, "IQ4_NL", 32, 18},   {21, "IQ3_S", 256, 110},  {22, "IQ2_S", 256, 82},
     {23, "IQ4_XS", 256, 136}, {24, "I8", 1, 1},         {25, "I16", 1, 2},
     {26, "I32", 1, 4},        {27, "I64", 1, 8},        {28, "F64", 1, 8},
     {29, "IQ1_M", 256, 56},   {30, "BF16", 1, 2},       {34, "TQ1_0", 256, 54},
     {35, "TQ2_0", 256, 66},   {39, "MXFP4", 32, 17},    {40, "NVFP4", 64, 36}}};

const TypeEntry* find_type(std::uint32_t type) {
  for (const TypeEntry& entry : kTypes) {
    if (entry.type == type) return &entry;
  }
  return nullptr;
}

// Bytes of a scalar; 0 for String and Array.
std::size_t scalar_bytes(GgufType type) {
  switch (type) {
    case GgufType::U8:
    case GgufType::I8:
    case GgufType::Bool:
      return 1;
    case GgufType::U16:
    case GgufType::I16:
      return 2;
    case GgufType::U32:
    case GgufType::I32:
    case GgufType::F32:
      return 4;
    case GgufType::U64:
    case GgufType::I64:
    case GgufType::F64:
      return 8;
    case GgufType::String:
    case GgufType::Array:
      return 0;
  }
  CHECK(false);
}

template <typename T>
T load(std::span<const std::byte> raw, std::size_t i = 0) {
  static_assert(std::is_trivially_copyable_v<T>);
  CHECK((i + 1) * sizeof(T) <= raw.size());
  T value;
  std::memcpy(&value, raw.data() + i * sizeof(T), sizeof(T));
  return value;
}

// Reads forward through the bytes; every read is checked.
class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  std::size_t position() const { return position_; }
  std::size_t left() const { return bytes_.size() - position_; }

  Error malformed(const std::string& message) const {
    return {ErrorCode::Malformed, message, name_ + ", byte " + std::to_string(position_)};
  }
  Result<std::span<const std::byte>> take(std::uint64_t size, const char* what) {
    if (size > left()) {
      return malformed("the file ends inside " + std::string(what) + ": " + std::to_string(size) +
                       " bytes expected, " + std::to_string(left()) + " left");
    }
    const auto out = bytes_.subspan(position_, size);
    position_ += size;
    return out;
  }
  template <typename T>
  Result<T> number(const char* what) {
    TRY(const auto raw, take(sizeof(T), what));
    return load<T>(raw);
  }
  Result<std::string_view> string(const char* what) {
    TRY(const std::uint64_t size, number<std::uint64_t>(what));
    TRY(const auto raw, take(size, what));
    return std::string_view(reinterpret_cast<const char*>(raw.data()), raw.size());
  }
  Result<GgufType> type() {
    TRY(const std::uint32_t number, number<std::uint32_t>("a metadata type"));
    if (number > static_cast<std::uint32_t>(GgufType::F64)) {
      return malformed("unknown metadata type " + std::to_string(number));
    }
    return static_cast<GgufType>(number);
  }

 private:
  std::span<const std::byte> bytes_;
  const std::string& name_;
  std::size_t position_ = 0;
};

Result<GgufValue> read_value(Cursor& cursor, GgufType type, std::size_t depth);

Status read_array(Cursor& cursor, GgufValue& value, std::size_t depth) {
  if (depth >= kArrayDepthMax) return cursor.malformed("arrays nested deeper than 4 levels");
  TRY(value.element_type, cursor.type());
  TRY(value.count, cursor.number<std::uint64_t>("an array's count"));
  const GgufType element = value.element_type;
  const std::size_t element_bytes_min = element == GgufType::String  ? 8
                                        : element == GgufType::Array ? 12
                                                                     : scalar_bytes(element);
  if (value.count > cursor.left() / element_bytes_min) {
    return cursor.malformed("an array of " + std::to_string(value.count) + " elements in " +
                            std::to_string(cursor.left()) + " bytes");
  }
  if (element == GgufType::String) {
    value.strings.reserve(value.count);
    for (std::uint64_t i = 0; i < value.count; ++i) {
      TRY(const std::string_view text, cursor.string("a string"));
      value.strings.push_back(text);
    }
  } else if (element == GgufType::Array) {
    for (std::uint64_t i = 0; i < value.count; ++i) {
      TRY(GgufValue inner, read_value(cursor, GgufType::Array, depth + 1));
      value.arrays.push_back(std::move(inner));
    }
  } else {
    TRY(value.raw, cursor.take(value.count * scalar_bytes(element), "an array"));
  }
  return Ok{};
}

Result<GgufValue> read_value(Cursor& cursor, GgufType type, std::size_t depth) {
  GgufValue value;
  value.type = type;
  if (type == GgufType::String) {
    TRY(value.text, cursor.string("a string"));
  } else if (type == GgufType::Array) {
    TRY_STATUS(read_array(cursor, value, depth));
  } else {
    TRY(value.raw, cursor.take(scalar_bytes(type), "a metadata value"));
  }
  return value;
}

Result<std::string_view> read_name(Cursor& cursor, const char* what) {
  TRY(const std::string_view name, cursor.string(what));
  if (name.empty() || name.size() > kKeyBytesMax) {
    return cursor.malformed(std::string(what) + " of " + std::to_string(name.size()) +
                            " bytes; expected 1 to 65535");
  }
  return name;
}

Result<GgufTensor> read_tensor(Cursor& cursor) {
  GgufTensor tensor;
  TRY(tensor.name, read_name(cursor, "a tensor name"));
  TRY(const std::uint32_t rank, cursor.number<std::uint32_t>("a tensor's rank"));
  if (rank == 0 || rank > kDimsMax) {
    return cursor.malformed("tensor " + quote_name(tensor.name) + " has " + std::to_string(rank) +
                            " dimensions; expected 1 to 4");
  }
  for (std::uint32_t i = 0; i < rank; ++i) {
    TRY(const std::uint64_t dim, cursor.number<std::uint64_t>("a tensor's dimensions"));
    if (dim == 0)
      return cursor.malformed("tensor " + quote_name(tensor.name) + " has an empty dimension");
    tensor.dims.push_back(dim);
  }
  TRY(tensor.type, cursor.number<std::uint32_t>("a tensor's type"));
  TRY(tensor.offset, cursor.number<std::uint64_t>("a tensor's offset"));
  return tensor;
}

// Bytes of the tensor; nullopt where its type is unknown or the count overflows.
Result<std::optional<std::uint64_t>> tensor_bytes(const GgufTensor& tensor,
                                                  const std::string& file) {
  const TypeEntry* type = find_type(tensor.type);
  if (type == nullptr) return std::optional<std::uint64_t>();
  if (tensor.dims[0] % type->block_elements != 0) {
    return Error{ErrorCode::Malformed,
                 "tensor " + quote_name(tensor.name) + ": rows of " +
                     std::to_string(tensor.dims[0]) + " are no multiple of the " +
                     std::to_string(type->block_elements) + " elements in a block of " + type->name,
                 file};
  }
  std::uint64_t bytes = type->block_bytes;
  bool overflow = __builtin_mul_overflow(bytes, tensor.dims[0] / type->block_elements, &bytes);
  for (std::size_t i = 1; i < tensor.dims.size(); ++i) {
    overflow |= __builtin_mul_overflow(bytes, tensor.dims[i], &bytes);
  }
  if (overflow) {
    return Error{ErrorCode::Malformed,
                 "tensor " + quote_name(tensor.name) + " has more than 2^64 bytes", file};
  }
  return std::optional<std::uint64_t>(bytes);
}

Status place_tensors(std::vector<GgufTensor>& tensors, std::span<const std::byte> data,
                     std::uint64_t alignment, const std::string& file) {
  for (GgufTensor& tensor : tensors) {
    const auto malformed = [&](const std::string& message) {
      return Error{ErrorCode::Malformed, "tensor " + quote_name(tensor.name) + ": " + message,
                   file};
    };
    if (tensor.offset % alignment != 0) {
      return malformed("offset " + std::to_string(tensor.offset) + " is no multiple of " +
                       std::to_string(alignment));
    }
    TRY(const std::optional<std::uint64_t> bytes, tensor_bytes(tensor, file));
    if (tensor.offset > data.size() || (bytes && *bytes > data.size() - tensor.offset)) {
      return malformed("bytes " + std::to_string(tensor.offset) + " and " +
                       (bytes ? std::to_string(*bytes) : std::string("some")) +
                       " more lie outside the data of " + std::to_string(data.size()) + " bytes");
    }
    if (bytes) tensor.bytes = data.subspan(tensor.offset, *bytes);
  }
  std::vector<const GgufTensor*> order;
  for (const GgufTensor& tensor : tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(),
            [](const auto* a, const auto* b) { return a->offset < b->offset; });
  for (std::size_t i = 1; i < order.size(); ++i) {
    const GgufTensor& before = *order[i - 1];
    if (before.offset + before.bytes.size() > order[i]->offset ||
        before.offset == order[i]->offset) {
      return Error{
          ErrorCode::Malformed,
          "tensors " + quote_name(before.name) + " and " + quote_name(order[i]->name) + " overlap",
          file};
    }
  }
  return Ok{};
}

Status check_head(Cursor& cursor, const std::string& file) {
  TRY(const auto magic, cursor.take(4, "the magic number"));
  if (std::memcmp(magic.data(), "GGUF", 4) != 0) {
    return Error{ErrorCode::Malformed, "not a GGUF file: it does not begin with 'GGUF'", file};
  }
  TRY(const std::uint32_t version, cursor.number<std::uint32_t>("the version"));
  if (version == kVersion) return Ok{};
  const bool swapped = __builtin_bswap32(version) == kVersion;
  return Error{ErrorCode::Unsupported,
               swapped ? std::string("a big-endian GGUF file; convert it to little-endian")
                       : "GGUF version " + std::to_string(version) +
                             "; expected 3: convert the model again with current tools",
               file};
}

Result<std::uint64_t> read_count(Cursor& cursor, const char* what, std::uint64_t count_max) {
  TRY(const std::uint64_t count, cursor.number<std::uint64_t>(what));
  if (count > count_max) {
    return cursor.malformed(std::string(what) + " of " + std::to_string(count) + "; at most " +
                            std::to_string(count_max) + " are accepted");
  }
  return count;
}

Status check_fits(const Cursor& cursor, std::uint64_t count, std::size_t bytes_min,
                  const char* what) {
  if (count <= cursor.left() / bytes_min) return Ok{};
  return cursor.malformed(std::string(what) + " of " + std::to_string(count) + " cannot fit the " +
                          std::to_string(cursor.left()) + " bytes left");
}

// The value as an integer, or nullopt where its type is another or it does not fit.
std::optional<std::int64_t> as_integer(GgufType type, std::span<const std::byte> raw,
                                       std::size_t i) {
  switch (type) {
    case GgufType::U8:
      return load<std::uint8_t>(raw, i);
    case GgufType::I8:
      return load<std::int8_t>(raw, i);
    case GgufType::U16:
      return load<std::uint16_t>(raw, i);
    case GgufType::I16:
      return load<std::int16_t>(raw, i);
    case GgufType::U32:
      return load<std::uint32_t>(raw, i);
    case GgufType::I32:
      return load<std::int32_t>(raw, i);
    case GgufType::I64:
      return load<std::int64_t>(raw, i);
    case GgufType::U64: {
      const auto value = load<std::uint64_t>(raw, i);
      if (value > std::uint64_t{std::numeric_limits<std::int64_t>::max()}) return std::nullopt;
      return static_cast<std::int64_t>(value);
    }
    case GgufType::F32:
    case GgufType::F64:
    case GgufType::Bool:
    case GgufType::String:
    case GgufType::Array:
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

std::string_view to_string(GgufType type) {
  switch (type) {
    case GgufType::U8:
      return "uint8";
    case GgufType::I8:
      return "int8";
    case GgufType::U16:
      return "uint16";
    case GgufType::I16:
      return "int16";
    case GgufType::U32:
      return "uint32";
    case GgufType::I32:
      return "int32";
    case GgufType::F32:
      return "float32";
    case GgufType::Bool:
      return "bool";
    case GgufType::String:
      return "string";
    case GgufType::Array:
      return "array";
    case GgufType::U64:
      return "uint64";
    case GgufType::I64:
      return "int64";
    case GgufType::F64:
      return "float64";
  }
  CHECK(false);
}

std::string ggml_type_name(std::uint32_t type) {
  const TypeEntry* entry = find_type(type);
  return entry != nullptr ? entry->name : "type " + std::to_string(type);
}

Result<GgufFile> GgufFile::parse(std::span<const std::byte> bytes, std::string name) {
  GgufFile file;
  file.name_ = std::move(name);
  Cursor cursor(bytes, file.name_);
  TRY_STATUS(check_head(cursor, file.name_));
  TRY(const std::uint64_t tensors, read_count(cursor, "a tensor count", kTensorsMax));
  TRY(const std::uint64_t entries, read_count(cursor, "a metadata count", kMetadataMax));
  TRY_STATUS(check_fits(cursor, entries, kMetadataBytesMin, "a metadata count"));
  for (std::uint64_t i = 0; i < entries; ++i) {
    TRY(const std::string_view key, read_name(cursor, "a metadata key"));
    TRY(const GgufType type, cursor.type());
    TRY(GgufValue value, read_value(cursor, type, 0));
    if (!file.metadata_.emplace(key, std::move(value)).second) {
      return cursor.malformed("the metadata key " + quote_name(key) + " occurs twice");
    }
  }
  TRY_STATUS(check_fits(cursor, tensors, kTensorBytesMin, "a tensor count"));
  for (std::uint64_t i = 0; i < tensors; ++i) {
    TRY(GgufTensor tensor, read_tensor(cursor));
    if (!file.tensor_index_.emplace(tensor.name, file.tensors_.size()).second) {
      return cursor.malformed("the tensor " + quote_name(tensor.name) + " occurs twice");
    }
    file.tensors_.push_back(std::move(tensor));
  }
  std::uint64_t alignment = kAlignmentDefault;
  if (file.has("general.alignment")) {
    TRY(const std::int64_t value, file.integer_value("general.alignment"));
    if (value < 8 || static_cast<std::uint64_t>(value) > kAlignmentMax ||
        !std::has_single_bit(static_cast<std::uint64_t>(value))) {
      return Error{ErrorCode::Malformed,
                   "general.alignment is " + std::to_string(value) +
                       "; expected a power of two from 8 to 1048576",
                   file.name_};
    }
    alignment = static_cast<std::uint64_t>(value);
  }
  const std::size_t data_begin =
      std::min(bytes.size(), (cursor.position() + alignment - 1) / alignment * alignment);
  TRY_STATUS(place_tensors(file.tensors_, bytes.subspan(data_begin), alignment, file.name_));
  return file;
}

const GgufTensor* GgufFile::find_tensor(std::string_view name) const {
  const auto found = tensor_index_.find(name);
  return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

const GgufValue* GgufFile::find(std::string_view key) const {
  const auto found = metadata_.find(key);
  return found == metadata_.end() ? nullptr : &found->second;
}

Result<const GgufValue*> GgufFile::require(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value != nullptr) return value;
  return Error{ErrorCode::NotFound, "the metadata key " + quote_name(key) + " is missing", name_};
}

Error GgufFile::mismatch(std::string_view key, const char* expected, const GgufValue& found) const {
  std::string type(to_string(found.type));
  if (found.type == GgufType::Array) type += " of " + std::string(to_string(found.element_type));
  return {ErrorCode::Mismatch,
          "metadata " + quote_name(key) + ": expected " + expected + ", found " + type, name_};
}

Result<std::int64_t> GgufFile::integer_value(std::string_view key) const {
  TRY(const GgufValue* value, require(key));
  const auto integer = as_integer(value->type, value->raw, 0);
  if (!integer) return mismatch(key, "an integer of at most 63 bits", *value);
  return *integer;
}

Result<double> GgufFile::float_value(std::string_view key) const {
  TRY(const GgufValue* value, require(key));
  if (value->type == GgufType::F32) return double{load<float>(value->raw)};
  if (value->type == GgufType::F64) return load<double>(value->raw);
  return mismatch(key, "a float", *value);
}

Result<bool> GgufFile::bool_value(std::string_view key) const {
  TRY(const GgufValue* value, require(key));
  if (value->type != GgufType::Bool) return mismatch(key, "a bool", *value);
  return load<std::uint8_t>(value->raw) != 0;
}

Result<std::string_view> GgufFile::string_value(std::string_view key) const {
  TRY(const GgufValue* value, require(key));
  if (value->type != GgufType::String) return mismatch(key, "a string", *value);
  return value->text;
}

Result<std::span<const std::string_view>> GgufFile::string_array(std::string_view key) const {
  TRY(const GgufValue* value, require(key));
  if (value->type != GgufType::Array || value->element_type != GgufType::String) {
    return mismatch(key, "an array of strings", *value);
  }
  return std::span<const std::string_view>(value->strings);
}

Result<std::vector<std::int64_t>> GgufFile::integer_array(std::string_view key) const {
  TRY(const GgufValue* value, require(key));
  // An array of bools reads as zeros and ones.
  const GgufType element =
      value->element_type == GgufType::Bool ? GgufType::U8 : value->element_type;
  std::vector<std::int64_t> out;
  out.reserve(value->raw.size() / std::max<std::size_t>(1, scalar_bytes(element)));
  for (std::uint64_t i = 0; value->type == GgufType::Array && i < value->count; ++i) {
    const auto integer = as_integer(element, value->raw, i);
    if (!integer) return mismatch(key, "an array of integers of at most 63 bits", *value);
    out.push_back(*integer);
  }
  if (value->type != GgufType::Array) return mismatch(key, "an array of integers", *value);
  return out;
}

Result<std::vector<float>> GgufFile::float_array(std::string_view key) const {
  TRY(const GgufValue* value, require(key));
  const bool narrow = value->element_type == GgufType::F32;
  if (value->type != GgufType::Array || (!narrow && value->element_type != GgufType::F64)) {
    return mismatch(key, "an array of floats", *value);
  }
  std::vector<float> out;
  out.reserve(value->count);
  for (std::uint64_t i = 0; i < value->count; ++i) {
    out.push_back(narrow ? load<float>(value->raw, i)
                         : static_cast<float>(load<double>(value->raw, i)));
  }
  return out;
}

}  // namespace pianola
