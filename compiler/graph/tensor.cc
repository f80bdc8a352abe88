#include <bit>
#include <cstring>

#include "compiler/graph/graph.h"

// Block layouts are ggml's (ggml-common.h): Q4_0 is {f16 d; 16 bytes}, element j of a block in the
// low nibble of byte j, element j + 16 in its high nibble; the others follow the same pattern.

namespace pianola {
namespace {

constexpr std::size_t kBlock = 32;

std::uint16_t load_u16(const std::byte* bytes) {
  return static_cast<std::uint16_t>(std::to_integer<unsigned>(bytes[0]) |
                                    std::to_integer<unsigned>(bytes[1]) << 8);
}

std::uint32_t load_u32(const std::byte* bytes) {
  return load_u16(bytes) | std::uint32_t{load_u16(bytes + 2)} << 16;
}

// The 32 unsigned 4-bit codes of a block.
void unpack_nibbles(const std::byte* packed, int codes[kBlock]) {
  for (std::size_t j = 0; j < kBlock / 2; ++j) {
    codes[j] = std::to_integer<int>(packed[j] & std::byte{15});
    codes[j + kBlock / 2] = std::to_integer<int>(packed[j] >> 4);
  }
}

// Adds the fifth bit of each code: bit j of the mask belongs to element j.
void add_high_bits(std::uint32_t mask, int codes[kBlock]) {
  for (std::size_t j = 0; j < kBlock; ++j) codes[j] |= static_cast<int>(mask >> j & 1) << 4;
}

void dequantize_block(DType dtype, const std::byte* block, float out[kBlock]) {
  const float d = f16_to_f32(load_u16(block));
  int codes[kBlock];
  float minimum = 0;
  int offset = 0;
  switch (dtype) {
    case DType::Q8_0:
      for (std::size_t j = 0; j < kBlock; ++j) {
        codes[j] = static_cast<std::int8_t>(std::to_integer<std::uint8_t>(block[2 + j]));
      }
      break;
    case DType::Q4_0:
      unpack_nibbles(block + 2, codes);
      offset = 8;
      break;
    case DType::Q4_1:
      minimum = f16_to_f32(load_u16(block + 2));
      unpack_nibbles(block + 4, codes);
      break;
    case DType::Q5_0:
      unpack_nibbles(block + 6, codes);
      add_high_bits(load_u32(block + 2), codes);
      offset = 16;
      break;
    case DType::Q5_1:
      minimum = f16_to_f32(load_u16(block + 2));
      unpack_nibbles(block + 8, codes);
      add_high_bits(load_u32(block + 4), codes);
      break;
    case DType::F32:
    case DType::F16:
    case DType::BF16:
      CHECK(false);
  }
  const bool has_minimum = dtype == DType::Q4_1 || dtype == DType::Q5_1;
  for (std::size_t j = 0; j < kBlock; ++j) {
    const float product = static_cast<float>(codes[j] - offset) * d;
    out[j] = has_minimum ? product + minimum : product;
  }
}

}  // namespace

std::string_view to_string(DType dtype) {
  switch (dtype) {
    case DType::F32:
      return "F32";
    case DType::F16:
      return "F16";
    case DType::BF16:
      return "BF16";
    case DType::Q8_0:
      return "Q8_0";
    case DType::Q4_0:
      return "Q4_0";
    case DType::Q4_1:
      return "Q4_1";
    case DType::Q5_0:
      return "Q5_0";
    case DType::Q5_1:
      return "Q5_1";
  }
  CHECK(false);
}

std::size_t block_elements(DType dtype) {
  const bool plain = dtype == DType::F32 || dtype == DType::F16 || dtype == DType::BF16;
  return plain ? 1 : kBlock;
}

std::size_t block_bytes(DType dtype) {
  switch (dtype) {
    case DType::F32:
      return 4;
    case DType::F16:
    case DType::BF16:
      return 2;
    case DType::Q8_0:
      return 34;
    case DType::Q4_0:
      return 18;
    case DType::Q4_1:
      return 20;
    case DType::Q5_0:
      return 22;
    case DType::Q5_1:
      return 24;
  }
  CHECK(false);
}

float f16_to_f32(std::uint16_t bits) {
  const std::uint32_t sign = std::uint32_t{bits & 0x8000u} << 16;
  const std::uint32_t exponent = bits >> 10 & 31;
  const std::uint32_t fraction = bits & 0x3ffu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | fraction << 13);
  if (exponent > 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
  const float magnitude = static_cast<float>(fraction) * 0x1p-24f;  // zero or subnormal: exact
  return sign != 0 ? -magnitude : magnitude;
}

float bf16_to_f32(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16); }

std::size_t Tensor::blocks_per_row() const { return cols / block_elements(dtype); }

std::size_t Tensor::row_bytes() const { return blocks_per_row() * block_bytes(dtype); }

std::span<const std::byte> Tensor::row(std::size_t row) const {
  CHECK(row < rows);
  CHECK(row_order.empty() || row_order.size() == rows);
  const std::size_t stored = row_order.empty() ? row : row_order[row];
  CHECK(stored < rows && storage.size() == rows * row_bytes());
  return storage.subspan(stored * row_bytes(), row_bytes());
}

void Tensor::dequantize_row(std::size_t row, std::span<float> out) const {
  CHECK(out.size() == cols);
  const std::byte* bytes = this->row(row).data();
  if (dtype == DType::F32) {
    for (std::size_t c = 0; c < cols; ++c) out[c] = std::bit_cast<float>(load_u32(bytes + 4 * c));
  } else if (dtype == DType::F16) {
    for (std::size_t c = 0; c < cols; ++c) out[c] = f16_to_f32(load_u16(bytes + 2 * c));
  } else if (dtype == DType::BF16) {
    for (std::size_t c = 0; c < cols; ++c) out[c] = bf16_to_f32(load_u16(bytes + 2 * c));
  } else {
    for (std::size_t b = 0; b < blocks_per_row(); ++b) {
      dequantize_block(dtype, bytes + b * block_bytes(dtype), out.data() + b * kBlock);
    }
  }
}

void Tensor::block_codes(std::size_t row, std::span<std::int8_t> codes,
                         std::span<std::uint16_t> scale_f16) const {
  CHECK(dtype == DType::Q8_0 || dtype == DType::Q4_0);
  CHECK(codes.size() == cols && scale_f16.size() == blocks_per_row());
  const std::byte* bytes = this->row(row).data();
  for (std::size_t b = 0; b < blocks_per_row(); ++b) {
    const std::byte* block = bytes + b * block_bytes(dtype);
    std::int8_t* out = codes.data() + b * kBlock;
    scale_f16[b] = load_u16(block);
    if (dtype == DType::Q8_0) {
      std::memcpy(out, block + 2, kBlock);
      continue;
    }
    int nibbles[kBlock];
    unpack_nibbles(block + 2, nibbles);
    for (std::size_t j = 0; j < kBlock; ++j) out[j] = static_cast<std::int8_t>(nibbles[j] - 8);
  }
}

}  // namespace pianola
