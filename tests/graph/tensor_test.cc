#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "compiler/graph/graph.h"
#include "tests/support/write_containers.h"

namespace pianola {
namespace {

Tensor tensor_over(const Bytes& bytes, DType dtype, std::size_t rows, std::size_t cols) {
  Tensor tensor;
  tensor.name = "t";
  tensor.rows = rows;
  tensor.cols = cols;
  tensor.dtype = dtype;
  tensor.storage = bytes;
  return tensor;
}

std::vector<float> row_of(const Tensor& tensor, std::size_t row) {
  std::vector<float> out(tensor.cols);
  tensor.dequantize_row(row, out);
  return out;
}

// One block: header numbers, then 16 bytes whose low nibble is j and high nibble 15 - j.
Bytes nibble_block(const Bytes& header) {
  Bytes block = header;
  for (unsigned j = 0; j < 16; ++j) block.push_back(static_cast<std::byte>(j | (15 - j) << 4));
  return block;
}

template <typename... Numbers>
Bytes bytes_of(Numbers... numbers) {
  Bytes bytes;
  (append_number(bytes, numbers), ...);
  return bytes;
}

constexpr std::uint16_t kHalfQuarter = 0x3400;  // 0.25
constexpr std::uint16_t kHalfMinusTwo = 0xc000;

// The f16 value by the definition of the format, in double.
double f16_by_definition(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  const int fraction = bits & 1023;
  const double sign = bits >> 15 ? -1 : 1;
  if (exponent == 31) return fraction == 0 ? sign * INFINITY : NAN;
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  return sign * std::ldexp(1024 + fraction, exponent - 25);
}

TEST(F16, ConvertsAllPatternsExactly) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = f16_to_f32(static_cast<std::uint16_t>(bits));
    const double expected = f16_by_definition(static_cast<std::uint16_t>(bits));
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(value)) << bits;
    } else {
      EXPECT_EQ(double{value}, expected) << bits;
      EXPECT_EQ(std::signbit(value), bits >> 15 == 1) << bits;
    }
  }
}

TEST(Bf16, IsTheUpperHalfOfF32) {
  EXPECT_EQ(bf16_to_f32(0x3fc0), 1.5f);
  EXPECT_EQ(bf16_to_f32(0xc000), -2.0f);
  EXPECT_EQ(bf16_to_f32(0x0001), std::bit_cast<float>(0x10000u));
}

TEST(Tensor, ReadsPlainTypesUnaligned) {
  Bytes bytes = bytes_of(std::uint8_t{0}, 1.5f, -2.0f, 3.0f, 4.0f);
  Tensor tensor = tensor_over(bytes, DType::F32, 2, 2);
  tensor.storage = std::span(bytes).subspan(1);
  EXPECT_EQ(row_of(tensor, 0), (std::vector<float>{1.5f, -2.0f}));
  EXPECT_EQ(row_of(tensor, 1), (std::vector<float>{3.0f, 4.0f}));
  const Bytes halves = bytes_of(kHalfQuarter, kHalfMinusTwo);
  EXPECT_EQ(row_of(tensor_over(halves, DType::F16, 1, 2), 0), (std::vector<float>{0.25f, -2.0f}));
  const Bytes brains = bytes_of(std::uint16_t{0x3fc0});
  EXPECT_EQ(row_of(tensor_over(brains, DType::BF16, 1, 1), 0), (std::vector<float>{1.5f}));
}

TEST(Tensor, AppliesRowOrder) {
  const Bytes bytes = bytes_of(0.0f, 1.0f, 2.0f);
  Tensor tensor = tensor_over(bytes, DType::F32, 3, 1);
  tensor.row_order = {2, 0, 1};
  EXPECT_EQ(row_of(tensor, 0)[0], 2.0f);
  EXPECT_EQ(row_of(tensor, 1)[0], 0.0f);
  EXPECT_EQ(row_of(tensor, 2)[0], 1.0f);
}

TEST(Tensor, Q8_0IsCodeTimesScale) {
  Bytes bytes = bytes_of(kHalfQuarter);
  for (int j = 0; j < 32; ++j) append_number(bytes, static_cast<std::int8_t>(j * 8 - 128));
  const Tensor tensor = tensor_over(bytes, DType::Q8_0, 1, 32);
  const auto row = row_of(tensor, 0);
  std::vector<std::int8_t> codes(32);
  std::vector<std::uint16_t> scales(1);
  tensor.block_codes(0, codes, scales);
  EXPECT_EQ(scales[0], kHalfQuarter);
  for (int j = 0; j < 32; ++j) {
    EXPECT_EQ(row[j], 0.25f * static_cast<float>(j * 8 - 128));
    EXPECT_EQ(codes[j], j * 8 - 128);
  }
}

TEST(Tensor, Q4_0IsCenteredNibbles) {
  const Bytes bytes = nibble_block(bytes_of(kHalfMinusTwo));
  const Tensor tensor = tensor_over(bytes, DType::Q4_0, 1, 32);
  const auto row = row_of(tensor, 0);
  std::vector<std::int8_t> codes(32);
  std::vector<std::uint16_t> scales(1);
  tensor.block_codes(0, codes, scales);
  EXPECT_EQ(scales[0], kHalfMinusTwo);
  for (int j = 0; j < 16; ++j) {
    EXPECT_EQ(codes[j], j - 8);
    EXPECT_EQ(codes[j + 16], 7 - j);
    EXPECT_EQ(row[j], -2.0f * static_cast<float>(j - 8));
    EXPECT_EQ(row[j + 16], -2.0f * static_cast<float>(7 - j));
  }
}

TEST(Tensor, Q4_1HasAMinimum) {
  const Bytes bytes = nibble_block(bytes_of(kHalfQuarter, kHalfMinusTwo));
  const auto row = row_of(tensor_over(bytes, DType::Q4_1, 1, 32), 0);
  for (int j = 0; j < 16; ++j) {
    EXPECT_EQ(row[j], 0.25f * static_cast<float>(j) - 2.0f);
    EXPECT_EQ(row[j + 16], 0.25f * static_cast<float>(15 - j) - 2.0f);
  }
}

TEST(Tensor, Q5HasAFifthBit) {
  const std::uint32_t mask = 0x80000001u;  // of elements 0 and 31
  const Bytes centered = nibble_block(bytes_of(kHalfQuarter, mask));
  const auto q5_0 = row_of(tensor_over(centered, DType::Q5_0, 1, 32), 0);
  EXPECT_EQ(q5_0[0], 0.25f * (16 - 16));
  EXPECT_EQ(q5_0[1], 0.25f * (1 - 16));
  EXPECT_EQ(q5_0[31], 0.25f * (16 + 0 - 16));
  EXPECT_EQ(q5_0[16], 0.25f * (15 - 16));
  const Bytes shifted = nibble_block(bytes_of(kHalfQuarter, kHalfMinusTwo, mask));
  const auto q5_1 = row_of(tensor_over(shifted, DType::Q5_1, 1, 32), 0);
  EXPECT_EQ(q5_1[0], 0.25f * 16 - 2);
  EXPECT_EQ(q5_1[2], 0.25f * 2 - 2);
  EXPECT_EQ(q5_1[31], 0.25f * 16 - 2);
}

TEST(TensorDeathTest, ChecksItsCallers) {
  const Bytes bytes = bytes_of(1.0f);
  const Tensor tensor = tensor_over(bytes, DType::F32, 1, 1);
  std::vector<float> wide(2);
  std::vector<float> one(1);
  std::vector<std::int8_t> codes(1);
  std::vector<std::uint16_t> scales(1);
  EXPECT_DEATH(tensor.dequantize_row(0, wide), "CHECK");
  EXPECT_DEATH(tensor.dequantize_row(1, one), "CHECK");
  EXPECT_DEATH(tensor.block_codes(0, codes, scales), "CHECK");
}

TEST(DType, HasNamesAndBlocks) {
  for (const DType dtype : {DType::F32, DType::F16, DType::BF16, DType::Q8_0, DType::Q4_0,
                            DType::Q4_1, DType::Q5_0, DType::Q5_1}) {
    EXPECT_FALSE(to_string(dtype).empty());
    EXPECT_EQ(block_elements(dtype), to_string(dtype)[0] == 'Q' ? 32u : 1u);
    EXPECT_GE(block_bytes(dtype), 2u);
  }
}

}  // namespace
}  // namespace pianola
