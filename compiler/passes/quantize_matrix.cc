#include "compiler/passes/quantize_matrix.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "isa/arithmetic.h"

namespace pianola {

std::vector<int> pad_features(int features, int lanes) {
  const int padded = (features + lanes - 1) / lanes * lanes;
  std::vector<int> layout(padded, -1);
  for (int i = 0; i < features; ++i) layout[i] = i;
  return layout;
}

int head_width(int head_size, int lanes) {
  if (head_size <= lanes) return lanes;
  return (head_size / 2 + lanes - 1) / lanes * lanes * 2;
}

std::vector<int> lay_out_heads(int heads, int head_size, int head_width) {
  std::vector<int> layout(static_cast<size_t>(heads) * head_width, -1);
  const int half = head_size / 2;
  for (int head = 0; head < heads; ++head) {
    for (int i = 0; i < head_size; ++i) {
      const int lane = i < half ? i : head_width / 2 + (i - half);
      layout[head * head_width + lane] = head * head_size + i;
    }
  }
  return layout;
}

namespace {

bool has_symmetric_blocks(DType dtype, int bits) {
  return (dtype == DType::Q8_0 && bits == 8) || (dtype == DType::Q4_0 && bits >= 4);
}

// fp16 scale of a window: nearest, but never smaller than exact where fp16 is subnormal, so that
// no code has to be clamped by much. Infinite or NaN where the weights are, or are too large.
// The detour through fp32 rounds no quotient by 127 to a midpoint of fp16: neighbouring fp32
// weights have quotients more than half a last place apart, and midpoints times 127 are fp32.
uint16_t scale_bits(double exact) {
  const float rounded = static_cast<float>(exact);
  uint16_t bits = arith::f32_to_f16(std::bit_cast<uint32_t>(rounded));
  const bool subnormal = (bits & 0x7c00) == 0;
  if (subnormal && rounded != 0) {
    const float back = std::bit_cast<float>(arith::f16_to_f32(bits));
    if (std::abs(back) < std::abs(rounded)) ++bits;
  }
  return bits;
}

int quantize_value(float value, float scale, int low, int high) {
  if (scale == 0 || !std::isfinite(scale)) return 0;
  const double code = std::nearbyint(static_cast<double>(value) / static_cast<double>(scale));
  return static_cast<int>(std::clamp(code, static_cast<double>(low), static_cast<double>(high)));
}

// Of weights that are -s, 0 and s: s. Of others what is nearly best for normally distributed ones: the mean of those
// that are farther from zero than 0.7 times the mean.
double ternary_scale(std::span<const float> values) {
  double all = 0;
  for (float value : values) all += std::abs(static_cast<double>(value));
  const double threshold = 0.7 * all / static_cast<double>(values.size());
  double sum = 0;
  int count = 0;
  for (float value : values) {
    const double size = std::abs(static_cast<double>(value));
    if (size <= threshold) continue;
    sum += size;
    ++count;
  }
  return count == 0 ? all : sum / count;  // all: zero, or NaN
}

double exact_scale(std::span<const float> values, int bits) {
  if (bits == 2) return ternary_scale(values);
  float extreme = 0;
  for (float value : values) {
    if (std::isnan(value)) return value;
    if (std::abs(value) > std::abs(extreme)) extreme = value;
  }
  return bits == 8 ? std::abs(static_cast<double>(extreme)) / 127 : extreme / -8.0;
}

void pass_row(const Tensor& tensor, int source, const MatrixLayout& layout, int window,
              int8_t* codes, uint16_t* scales) {
  std::vector<int8_t> row_codes(tensor.cols);
  std::vector<uint16_t> row_scales(tensor.blocks_per_row());
  tensor.block_codes(source, row_codes, row_scales);
  for (size_t c = 0; c < layout.columns.size(); ++c) {
    const int column = layout.columns[c];
    if (column < 0) continue;
    codes[c] = row_codes[column];
    scales[c / window] = row_scales[column / 32];
  }
}

void quantize_row(std::span<const float> values, const MatrixQuantization& how, int8_t* codes,
                  uint16_t* scales, double& error, double& power) {
  const int low = how.bits == 8 ? -127 : how.bits == 4 ? -8 : -1;
  const int high = (1 << (how.bits - 1)) - 1;
  const size_t columns = values.size(), window = static_cast<size_t>(how.window);
  const double row_scale = how.per_channel ? exact_scale(values, how.bits) : 0;
  for (size_t begin = 0; begin < columns; begin += window) {
    const size_t end = std::min(columns, begin + window);
    const double exact = how.per_channel
                             ? row_scale
                             : exact_scale(values.subspan(begin, end - begin), how.bits);
    const uint16_t bits = scale_bits(exact);
    const float scale = std::bit_cast<float>(arith::f16_to_f32(bits));
    scales[begin / window] = bits;
    for (size_t c = begin; c < end; ++c) {
      codes[c] = static_cast<int8_t>(quantize_value(values[c], scale, low, high));
      const double difference = static_cast<double>(codes[c]) * scale - values[c];
      error += difference * difference;
      power += static_cast<double>(values[c]) * values[c];
    }
  }
}

}  // namespace

bool passes_through(const Tensor& tensor, const MatrixLayout& layout, int bits, int window) {
  if (!has_symmetric_blocks(tensor.dtype, bits)) return false;
  int block = -1;
  for (size_t c = 0; c < layout.columns.size(); ++c) {
    if (c % window == 0) block = -1;
    if (layout.columns[c] < 0) continue;
    if (block >= 0 && layout.columns[c] / 32 != block) return false;
    block = layout.columns[c] / 32;
  }
  return true;
}

QuantizedMatrix matrix_of_shape(const MatrixLayout& layout, const MatrixQuantization& how) {
  QuantizedMatrix matrix;
  matrix.rows = static_cast<int>(layout.rows.size());
  matrix.cols = static_cast<int>(layout.columns.size());
  matrix.bits = how.bits;
  matrix.window = how.window;
  return matrix;
}

QuantizedMatrix quantize_matrix(const Tensor& tensor, const MatrixLayout& layout,
                                const MatrixQuantization& how, double* relative_error) {
  QuantizedMatrix matrix = matrix_of_shape(layout, how);
  matrix.name = tensor.name;
  matrix.codes.assign(static_cast<size_t>(matrix.rows) * matrix.cols, 0);
  matrix.scales.assign(static_cast<size_t>(matrix.rows) * matrix.windows(), 0);

  const bool pass = how.column_gain == nullptr && !how.per_channel &&
                    passes_through(tensor, layout, how.bits, how.window);
  double error = 0, power = 0;
  std::vector<float> source(tensor.cols), values(matrix.cols);
  for (int r = 0; r < matrix.rows; ++r) {
    if (layout.rows[r] < 0) continue;
    int8_t* codes = matrix.codes.data() + static_cast<size_t>(r) * matrix.cols;
    uint16_t* scales = matrix.scales.data() + static_cast<size_t>(r) * matrix.windows();
    if (pass) {
      pass_row(tensor, layout.rows[r], layout, how.window, codes, scales);
      continue;
    }
    tensor.dequantize_row(layout.rows[r], source);
    for (int c = 0; c < matrix.cols; ++c) {
      const int column = layout.columns[c];
      values[c] = column < 0 ? 0.0f
                  : how.column_gain ? source[column] * (*how.column_gain)[column]
                                    : source[column];
    }
    quantize_row(values, how, codes, scales, error, power);
  }
  if (relative_error) *relative_error = power > 0 ? std::sqrt(error / power) : 0;
  return matrix;
}

}  // namespace pianola
