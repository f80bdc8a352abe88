#include "compiler/passes/quantize_matrix.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <set>

namespace pianola {
namespace {

// A tensor and its bytes.
struct OwnedTensor {
  std::vector<std::byte> bytes;
  Tensor tensor;

  OwnedTensor(DType dtype, std::size_t rows, std::size_t cols) {
    tensor.name = "w";
    tensor.rows = rows;
    tensor.cols = cols;
    tensor.dtype = dtype;
    bytes.resize(rows * tensor.row_bytes());
    tensor.storage = bytes;
  }
};

OwnedTensor float_tensor(std::size_t rows, const std::vector<float>& values) {
  OwnedTensor out(DType::F32, rows, values.size() / rows);
  std::memcpy(out.bytes.data(), values.data(), out.bytes.size());
  return out;
}

// Random blocks with scales in 2^-9 .. 2^-7.
OwnedTensor block_tensor(DType dtype, std::size_t rows, std::size_t cols) {
  OwnedTensor out(dtype, rows, cols);
  std::mt19937 random(4);
  for (std::byte& b : out.bytes) b = static_cast<std::byte>(random());
  for (std::size_t at = 1; at < out.bytes.size(); at += block_bytes(dtype)) {
    out.bytes[at] = static_cast<std::byte>(0x18 + random() % 8 + 0x80 * (random() % 2));
  }
  return out;
}

MatrixLayout plain_layout(const Tensor& tensor, int lanes) {
  return {pad_features(static_cast<int>(tensor.rows), lanes),
          pad_features(static_cast<int>(tensor.cols), lanes)};
}

uint16_t scale_of(const std::vector<float>& values, int bits) {
  const OwnedTensor source = float_tensor(1, values);
  const QuantizedMatrix m = quantize_matrix(source.tensor, plain_layout(source.tensor, 32),
                                            {.bits = bits, .window = 32}, nullptr);
  return m.scales[0];
}

// ---- Layout ---------------------------------------------------------------------------------

TEST(HeadLayout, KeepsPartnersHalfAHeadApart) {
  for (const int lanes : {16, 32}) {
    for (const int size : {2, 8, 12, 16, 48, 64}) {
      const int width = head_width(size, lanes), half = size / 2;
      EXPECT_EQ(width % lanes, 0);
      EXPECT_GE(width, size);
      EXPECT_TRUE(width == lanes || width / 2 % lanes == 0) << size;
      const std::vector<int> layout = lay_out_heads(3, size, width);
      ASSERT_EQ(layout.size(), static_cast<std::size_t>(3 * width));
      std::set<int> sources;
      for (int at = 0; at < 3 * width; ++at) {
        if (layout[at] < 0) continue;
        EXPECT_TRUE(sources.insert(layout[at]).second);
        EXPECT_EQ(layout[at] / size, at / width);  // in its own head
        if (layout[at] % size < half) {
          EXPECT_EQ(at % width, layout[at] % size);
          EXPECT_EQ(layout[at + width / 2], layout[at] + half);
        }
      }
      EXPECT_EQ(sources.size(), static_cast<std::size_t>(3 * size));
      EXPECT_EQ(*sources.rbegin(), 3 * size - 1);
    }
  }
  EXPECT_EQ(head_width(8, 16), 16);
  EXPECT_EQ(head_width(12, 16), 16);
  EXPECT_EQ(head_width(16, 16), 16);
  EXPECT_EQ(head_width(48, 16), 64);
  EXPECT_EQ(head_width(64, 16), 64);
  EXPECT_EQ(head_width(16, 32), 32);
  EXPECT_EQ(head_width(48, 32), 64);
  EXPECT_EQ(head_width(64, 32), 64);
}

TEST(HeadLayout, PadsFeaturesAtTheEnd) {
  const std::vector<int> layout = pad_features(509, 16);
  ASSERT_EQ(layout.size(), 512u);
  for (int i = 0; i < 512; ++i) EXPECT_EQ(layout[i], i < 509 ? i : -1);
  EXPECT_EQ(pad_features(64, 16).size(), 64u);
}

// ---- Scales and codes -----------------------------------------------------------------------

// Weights a last place beside 127 times a midpoint of fp16: on the way through
// fp32 none may become the midpoint itself.
TEST(QuantizeMatrix, RoundsScalesOnce) {
  for (int k = 0; k < 1024; ++k) {
    const float middle = 1 + static_cast<float>(2 * k + 1) * 0x1p-11f;
    const float above = std::nextafter(127 * middle, 1000.0f);
    const float below = std::nextafter(127 * middle, 0.0f);
    EXPECT_EQ(scale_of({above, -1}, 8), 0x3c00 + k + 1) << k;
    EXPECT_EQ(scale_of({-below, 1}, 8), 0x3c00 + k) << k;
    EXPECT_EQ(scale_of({127 * middle, 1}, 8), 0x3c00 + k + k % 2) << k;  // ties to even
  }
}

TEST(QuantizeMatrix, RoundsSubnormalScalesUp) {
  for (int k = 1; k < 1024; ++k) {
    const float exact = static_cast<float>(k) * 0x1p-24f;
    EXPECT_EQ(scale_of({127 * exact}, 8), k);
    EXPECT_EQ(scale_of({std::nextafter(127 * exact, 1.0f)}, 8), k + 1);
    EXPECT_EQ(scale_of({-8 * exact}, 4), k);
    EXPECT_EQ(scale_of({std::nextafter(8 * exact, 1.0f)}, 4), 0x8000 + k + 1);
  }
  EXPECT_EQ(scale_of({1e-30f}, 8), 1);
  EXPECT_EQ(scale_of({0, 0}, 8), 0);
}

TEST(QuantizeMatrix, TakesNearestCodesOfEachWindow) {
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  constexpr int kRows = 5, kColumns = 80;
  std::vector<float> values(kRows * kColumns);
  for (float& x : values) x = normal(random);
  std::vector<float> gain(kColumns);
  for (float& x : gain) x = 1 + 0.25f * normal(random);
  const OwnedTensor source = float_tensor(kRows, values);
  for (const int bits : {8, 4}) {
    for (const bool folded : {false, true}) {
      double loss = 0, error = 0, power = 0;
      const QuantizedMatrix m =
          quantize_matrix(source.tensor, plain_layout(source.tensor, 16),
                          {.bits = bits, .window = 32, .column_gain = folded ? &gain : nullptr},
                          &loss);
      ASSERT_EQ(m.rows, 16);
      ASSERT_EQ(m.cols, 80);
      ASSERT_EQ(m.windows(), 3);
      for (int r = 0; r < 16; ++r) {
        for (int c = 0; c < kColumns; ++c) {
          const int code = m.codes[r * kColumns + c];
          if (r >= kRows) {
            EXPECT_EQ(code, 0);
            EXPECT_EQ(m.scales[r * 3 + c / 32], 0);
            continue;
          }
          const float w = values[r * kColumns + c] * (folded ? gain[c] : 1.0f);
          const long double scale = f16_to_f32(m.scales[r * 3 + c / 32]);
          const long double nearest = std::nearbyint(static_cast<long double>(w) / scale);
          const long double high = bits == 8 ? 127 : 7, low = bits == 8 ? -127 : -8;
          EXPECT_EQ(code, static_cast<int>(std::min(std::max(nearest, low), high)));
          error += std::pow(static_cast<double>(code * scale) - double{w}, 2);
          power += double{w} * double{w};
        }
      }
      EXPECT_NEAR(loss, std::sqrt(error / power), 1e-9);
      EXPECT_LT(loss, bits == 8 ? 0.008 : 0.12);
      EXPECT_GT(loss, 0);
    }
  }
}

TEST(QuantizeMatrix, SharesOneScalePerChannel) {
  std::vector<float> values(64, 0.5f);
  values[60] = -2;
  const OwnedTensor source = float_tensor(1, values);
  const QuantizedMatrix m =
      quantize_matrix(source.tensor, plain_layout(source.tensor, 16),
                      {.bits = 8, .window = 16, .per_channel = true}, nullptr);
  for (int w = 0; w < 4; ++w) EXPECT_EQ(m.scales[w], m.scales[3]);
  EXPECT_NEAR(f16_to_f32(m.scales[0]), 2.0 / 127, 1e-5);
  EXPECT_EQ(m.codes[60], -127);
  EXPECT_EQ(m.codes[0], 32);
}

TEST(QuantizeMatrix, KeepsTernaryWeights) {
  std::vector<float> values(64, 0.0f);
  for (size_t i = 0; i < 64; i += 3) values[i] = i % 2 == 0 ? 0.375f : -0.375f;
  values[40] = 0;
  const OwnedTensor source = float_tensor(1, values);
  double loss = 1;
  const QuantizedMatrix m = quantize_matrix(source.tensor, plain_layout(source.tensor, 16),
                                            {.bits = 2, .window = 32}, &loss);
  EXPECT_EQ(loss, 0);
  for (int w = 0; w < 2; ++w) EXPECT_EQ(f16_to_f32(m.scales[w]), 0.375f);
  for (int i = 0; i < 64; ++i) EXPECT_EQ(m.codes[i], values[i] > 0 ? 1 : values[i] < 0 ? -1 : 0);
}

// Of 32 weights three count: the mean of all is 0.25, of which 0.7 is 0.175.
TEST(QuantizeMatrix, RoundsToTernaryWeights) {
  std::vector<float> values(32, 0.0f);
  values[0] = 3;
  values[1] = -2;
  values[2] = 2.5f;
  values[3] = 0.125f;
  values[4] = -0.125f;
  values[5] = 0.25f;  // farther than the threshold
  const OwnedTensor source = float_tensor(1, values);
  const QuantizedMatrix m = quantize_matrix(source.tensor, plain_layout(source.tensor, 32),
                                            {.bits = 2, .window = 32}, nullptr);
  EXPECT_NEAR(f16_to_f32(m.scales[0]), (3 + 2 + 2.5 + 0.25) / 4, 1e-3);
  const std::vector<int> expected = {1, -1, 1, 0, 0, 0};
  for (size_t i = 0; i < 32; ++i) EXPECT_EQ(m.codes[i], i < 6 ? expected[i] : 0) << i;
}

TEST(QuantizeMatrix, MarksWeightsWithoutScales) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float bad : {infinity, -infinity, std::nanf(""), 1e8f}) {
    for (const int bits : {8, 4, 2}) {
      EXPECT_EQ(scale_of({1, bad, 2}, bits) & 0x7c00, 0x7c00) << bad;
    }
  }
}

// ---- Pass-through ---------------------------------------------------------------------------

void expect_same_blocks(const Tensor& tensor, const MatrixLayout& layout, int bits, int window) {
  ASSERT_TRUE(passes_through(tensor, layout, bits, window));
  double loss = 1;
  const QuantizedMatrix m =
      quantize_matrix(tensor, layout, {.bits = bits, .window = window}, &loss);
  EXPECT_EQ(loss, 0);
  std::vector<int8_t> codes(tensor.cols);
  std::vector<uint16_t> scales(tensor.blocks_per_row());
  for (int r = 0; r < m.rows; ++r) {
    if (layout.rows[r] >= 0) tensor.block_codes(layout.rows[r], codes, scales);
    for (int c = 0; c < m.cols; ++c) {
      const bool padding = layout.rows[r] < 0 || layout.columns[c] < 0;
      EXPECT_EQ(m.codes[r * m.cols + c], padding ? 0 : codes[layout.columns[c]]);
      if (!padding) {
        EXPECT_EQ(m.scales[r * m.windows() + c / window], scales[layout.columns[c] / 32]);
      }
    }
  }
}

TEST(QuantizeMatrix, PassesBlocksThrough) {
  for (const int window : {16, 32}) {
    for (const int lanes : {16, 32}) {
      const OwnedTensor q8 = block_tensor(DType::Q8_0, 40, 96);
      const OwnedTensor q4 = block_tensor(DType::Q4_0, 40, 96);
      expect_same_blocks(q8.tensor, plain_layout(q8.tensor, lanes), 8, window);
      expect_same_blocks(q4.tensor, plain_layout(q4.tensor, lanes), 8, window);
      expect_same_blocks(q4.tensor, plain_layout(q4.tensor, lanes), 4, window);
    }
  }
}

TEST(QuantizeMatrix, PassesBlocksThroughWhereHeadsStayInThem) {
  for (const int size : {8, 16, 32, 64}) {
    for (const int lanes : {16, 32}) {
      const OwnedTensor q8 = block_tensor(DType::Q8_0, 32, 128);
      const MatrixLayout layout = {pad_features(32, lanes),
                                   lay_out_heads(128 / size, size, head_width(size, lanes))};
      expect_same_blocks(q8.tensor, layout, 8, 32);
    }
  }
}

TEST(QuantizeMatrix, PassesNothingThroughThatItWouldChange) {
  const OwnedTensor q8 = block_tensor(DType::Q8_0, 16, 96);
  const MatrixLayout plain = plain_layout(q8.tensor, 16);
  EXPECT_FALSE(passes_through(q8.tensor, plain, 4, 32));
  EXPECT_FALSE(passes_through(q8.tensor, plain, 8, 64));
  // Heads of 12: windows of 32 lanes hold heads 2 and 3, columns 24..47 of two blocks.
  EXPECT_FALSE(passes_through(q8.tensor, {plain.rows, lay_out_heads(8, 12, 16)}, 8, 32));
  EXPECT_FALSE(passes_through(q8.tensor, {plain.rows, lay_out_heads(2, 48, 64)}, 8, 32));
  for (const DType dtype : {DType::Q4_1, DType::Q5_0, DType::Q5_1}) {
    const OwnedTensor other = block_tensor(dtype, 16, 96);
    EXPECT_FALSE(passes_through(other.tensor, plain, 8, 32));
  }
  const OwnedTensor floats = float_tensor(1, std::vector<float>(32, 1.0f));
  EXPECT_FALSE(passes_through(floats.tensor, plain_layout(floats.tensor, 16), 8, 32));
}

}  // namespace
}  // namespace pianola
