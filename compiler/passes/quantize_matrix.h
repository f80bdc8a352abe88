// One weight tensor -> codes and scales in the padded layout of the machine.
#pragma once

#include <vector>

#include "compiler/graph/graph.h"
#include "compiler/passes/quantized_graph.h"

namespace pianola {

struct MatrixLayout {
  std::vector<int> rows;    // source row of each padded row; -1: zeros
  std::vector<int> columns; // source column of each padded column; -1: zeros
};

// The layout of n features padded to whole vectors.
std::vector<int> pad_features(int features, int lanes);
// The layout of `heads` heads of head_size features in head_width lanes each: the halves of a head
// at the starts of the halves of its lanes.
std::vector<int> lay_out_heads(int heads, int head_size, int head_width);
// Lanes of one head: `lanes`, or whole pairs of vectors where the head is wider.
int head_width(int head_size, int lanes);

// True where the tensor's blocks can be used as they are: symmetric blocks of at most `bits` bits, and
// every window of the layout inside one block.
bool passes_through(const Tensor& tensor, const MatrixLayout& layout, int bits, int window);

struct MatrixQuantization {
  int bits = 8;
  int window = 32;           // columns per scale
  bool per_channel = false;  // one scale per row, repeated for every window
  const std::vector<float>* column_gain = nullptr;  // by source column; folded in first
};

// A matrix of this shape without codes and scales.
QuantizedMatrix matrix_of_shape(const MatrixLayout& layout, const MatrixQuantization& how);

// relative_error: root mean square of the error over that of the weights, 0 for pass-through. A
// scale is infinite or NaN where weights are, or where they are too large for fp16 scales.
QuantizedMatrix quantize_matrix(const Tensor& tensor, const MatrixLayout& layout,
                                const MatrixQuantization& how, double* relative_error);

}  // namespace pianola
