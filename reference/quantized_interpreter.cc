#include "reference/quantized_interpreter.h"

#include <algorithm>
#include <bit>
#include <variant>

#include "compiler/passes/rotary_table.h"
#include "isa/arithmetic.h"

namespace pianola {
namespace {

using Vectors = std::span<const uint32_t>;
using BinaryFunction = uint32_t (*)(uint32_t, uint32_t);

constexpr uint32_t kOne = 0x3f800000u;
constexpr uint32_t kOneOver127 = 0x3c010204u;  // 1/127 = 2^-7 (1 + 2^-7 + 2^-14 + 2^-21 + ...)
constexpr uint32_t kMasked = 0xf149f2cau;      // -1e30

// The fp32 nearest to 1/n: the quotient 2^k / n in 29 or 30 bits, the lowest sticky, rounded by the
// conversion and divided by 2^k.
uint32_t reciprocal_of_integer(uint32_t n) {
  CHECK(n > 0);
  const auto k = static_cast<uint32_t>(std::bit_width(n)) + 29u;
  const uint64_t power = uint64_t{1} << k;
  const auto quotient = static_cast<int32_t>(power / n) | (power % n != 0 ? 1 : 0);
  return arith::int32_to_f32(quotient) - (k << 23);
}

// The balanced binary tree over the neighbouring lanes of one vector: isa.md, section 6.
uint32_t tree(BinaryFunction combine, Vectors vector, std::vector<uint32_t>& scratch) {
  scratch.assign(vector.begin(), vector.end());
  for (std::size_t width = scratch.size(); width > 1; width = (width + 1) / 2) {
    for (std::size_t i = 0; 2 * i < width; ++i) {
      scratch[i] =
          2 * i + 1 < width ? combine(scratch[2 * i], scratch[2 * i + 1]) : scratch[2 * i];
    }
  }
  return scratch[0];
}

// A tree over each vector, the results combined in ascending order.
uint32_t tree_over_vectors(BinaryFunction combine, Vectors vectors, std::size_t lanes) {
  std::vector<uint32_t> scratch;
  uint32_t result = tree(combine, vectors.first(lanes), scratch);
  for (std::size_t begin = lanes; begin < vectors.size(); begin += lanes) {
    result = combine(result, tree(combine, vectors.subspan(begin, lanes), scratch));
  }
  return result;
}

uint32_t tree_sum(Vectors vectors, std::size_t lanes) {
  return tree_over_vectors(arith::add, vectors, lanes);
}

uint32_t tree_max(Vectors vectors, std::size_t lanes) {
  return tree_over_vectors(arith::max, vectors, lanes);
}

uint32_t tree_absmax(Vectors vectors, std::size_t lanes) {
  std::vector<uint32_t> magnitudes(vectors.size());
  std::transform(vectors.begin(), vectors.end(), magnitudes.begin(), arith::abs);
  return tree_over_vectors(arith::max, magnitudes, lanes);
}

// Codes of one group, and its largest magnitude a: a code is worth a / 127.
uint32_t quantize_group(Vectors x, std::size_t lanes, int8_t* codes) {
  const uint32_t largest = tree_absmax(x, lanes);
  const uint32_t inverse = arith::reciprocal(arith::mul(largest, kOneOver127));
  for (std::size_t i = 0; i < x.size(); ++i) {
    codes[i] = arith::f32_to_int8_sat(arith::mul(x[i], inverse));
  }
  return largest;
}

int32_t dot(const int8_t* a, const int8_t* b, std::size_t count) {
  int32_t sum = 0;
  for (std::size_t i = 0; i < count; ++i) sum += int32_t{a[i]} * int32_t{b[i]};
  return sum;
}

uint32_t bits_of(float value) { return std::bit_cast<uint32_t>(value); }

}  // namespace

QuantizedInterpreter::QuantizedInterpreter(const QuantizedGraph& graph)
    : graph_(graph), lanes_(static_cast<std::size_t>(graph.numerics.lanes)) {
  CHECK(lanes_ > 0 && graph.numerics.activation_group % graph.numerics.lanes == 0);
  for (const QuantizedMatrix& matrix : graph.matrices) {
    CHECK(graph.numerics.activation_group % matrix.window == 0);  // a window is inside one group
    Bits scales(matrix.scales.size());
    std::transform(matrix.scales.begin(), matrix.scales.end(), scales.begin(), arith::f16_to_f32);
    weight_scales_.push_back(std::move(scales));
  }
  for (const int width : graph.value_widths) {
    CHECK(width % graph.numerics.lanes == 0);
    values_.emplace_back(static_cast<std::size_t>(width), 0u);
  }
  codes_.resize(graph.value_widths.size());
  reset();
}

void QuantizedInterpreter::reset() {
  position_ = 0;
  cache_.clear();
  for (const QNode& node : graph_.nodes) {
    const auto* op = std::get_if<QAttention>(&node.op);
    if (op == nullptr) continue;
    const auto layer = static_cast<std::size_t>(op->layer);
    if (cache_.size() <= layer) cache_.resize(layer + 1);
    cache_[layer].resize(static_cast<std::size_t>(op->kv_heads));
  }
}

std::vector<float> QuantizedInterpreter::step(int token) {
  CHECK(token >= 0 && token < graph_.model.vocabulary);
  CHECK(position_ < graph_.model.context);
  token_ = token;
  for (const QNode& node : graph_.nodes) {
    std::visit([&](const auto& op) { run(node, op); }, node.op);
  }
  ++position_;
  return logits_;
}

// The row of the table, padded there.
void QuantizedInterpreter::run(const QNode& node, const QEmbed&) {
  Bits& out = values_[node.output];
  const float* row = graph_.embedding.data() + static_cast<std::size_t>(token_) * out.size();
  std::transform(row, row + out.size(), out.begin(), bits_of);
}

void QuantizedInterpreter::run(const QNode& node, const QQuantize& op) {
  const Vectors x = input(node, 0);
  Bits y(x.begin(), x.end());
  if (op.gain >= 0) {
    const std::vector<float>& gain = graph_.gains[op.gain];
    for (std::size_t i = 0; i < y.size(); ++i) y[i] = arith::mul(x[i], bits_of(gain[i]));
  }
  uint32_t inverse_norm = 0;
  if (op.normalize) {
    Bits squares(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) squares[i] = arith::mul(x[i], x[i]);
    const uint32_t mean = arith::mul(tree_sum(squares, lanes_),
                                     reciprocal_of_integer(static_cast<uint32_t>(op.width)));
    inverse_norm = arith::rsqrt(arith::add(mean, bits_of(op.eps)));
  }
  Codes& out = codes_[node.output];
  out.codes.resize(x.size());
  out.scales.clear();
  const auto group = static_cast<std::size_t>(graph_.numerics.activation_group);
  for (std::size_t begin = 0; begin < y.size(); begin += group) {
    const Vectors values = Vectors(y).subspan(begin, std::min(group, y.size() - begin));
    const uint32_t largest = quantize_group(values, lanes_, out.codes.data() + begin);
    const uint32_t scale = arith::mul(largest, kOneOver127);
    out.scales.push_back(op.normalize ? arith::mul(scale, inverse_norm) : scale);
  }
}

void QuantizedInterpreter::run(const QNode& node, const QLinear& op) {
  const QuantizedMatrix& matrix = graph_.matrices[op.matrix];
  const Codes& x = codes_[node.inputs[0]];
  const auto columns = static_cast<std::size_t>(matrix.cols);
  const auto window = static_cast<std::size_t>(matrix.window);
  const auto windows = static_cast<std::size_t>(matrix.windows());
  const auto group = static_cast<std::size_t>(graph_.numerics.activation_group);
  CHECK(x.codes.size() == columns);
  Bits& out = values_[node.output];
  for (std::size_t row = 0; row < out.size(); ++row) {
    const int8_t* weights = matrix.codes.data() + row * columns;
    const uint32_t* scales = weight_scales_[op.matrix].data() + row * windows;
    uint32_t sum = op.has_residual ? input(node, 1)[row] : 0;
    for (std::size_t w = 0; w < windows; ++w) {
      const std::size_t begin = w * window;
      const int32_t exact =
          dot(x.codes.data() + begin, weights + begin, std::min(window, columns - begin));
      const uint32_t term = arith::mul(arith::mul(arith::int32_to_f32(exact), scales[w]),
                                       x.scales[begin / group]);
      sum = w == 0 && !op.has_residual ? term : arith::add(sum, term);
    }
    out[row] = sum;
  }
}

void QuantizedInterpreter::run(const QNode& node, const QAttention& op) {
  const auto width = static_cast<std::size_t>(op.head_width);
  const auto heads_per_kv = static_cast<std::size_t>(op.heads / op.kv_heads);
  std::vector<HeadCache>& cache = cache_[op.layer];
  for (std::size_t head = 0; head < cache.size(); ++head) {
    append(cache[head].keys, rotate(input(node, 1).subspan(head * width, width)));
    append(cache[head].values, input(node, 2).subspan(head * width, width));
  }
  const std::span<uint32_t> out = values_[node.output];
  for (std::size_t head = 0; head < static_cast<std::size_t>(op.heads); ++head) {
    attend(op, rotate(input(node, 0).subspan(head * width, width)), cache[head / heads_per_kv],
           out.subspan(head * width, width));
  }
}

// Rotary embedding of one head at the current position.
QuantizedInterpreter::Bits QuantizedInterpreter::rotate(Vectors head) const {
  const std::size_t half = head.size() / 2;
  CHECK(half == static_cast<std::size_t>(graph_.rotary_width));
  const float* cosine = graph_.cosine.data() + static_cast<std::size_t>(position_) * half;
  const float* sine = graph_.sine.data() + static_cast<std::size_t>(position_) * half;
  Bits out(head.size());
  for (std::size_t j = 0; j < half; ++j) {
    const uint32_t first = head[j], second = head[j + half];
    const uint32_t c = bits_of(cosine[j]), s = bits_of(sine[j]);
    out[j] = arith::add(arith::mul(first, c), arith::mul(second, arith::neg(s)));
    out[j + half] = arith::add(arith::mul(second, c), arith::mul(first, s));
  }
  return out;
}

// One more position of the cache.
void QuantizedInterpreter::append(Rows& rows, Vectors head) const {
  rows.codes.resize(rows.codes.size() + head.size());
  int8_t* codes = rows.codes.data() + rows.codes.size() - head.size();
  rows.scales.push_back(arith::mul(quantize_group(head, lanes_, codes), kOneOver127));
}

// One head over positions 0..p, in blocks of `lanes` positions. Blocks after the current one are
// left out: there all positions are masked, so s = -1e30 is no maximum, e = exp2(-1e30 - m) = +0
// adds nothing to l, and with w = +0 the codes and the scale are 0 and add +0 to the result. In the
// last block the masked lanes are computed.
void QuantizedInterpreter::attend(const QAttention& op, Vectors query, const HeadCache& cache,
                                  std::span<uint32_t> out) const {
  const std::size_t width = query.size(), positions = cache.keys.scales.size();
  const std::size_t padded = (positions + lanes_ - 1) / lanes_ * lanes_;
  std::vector<int8_t> query_codes(width);
  const uint32_t query_scale =
      arith::mul(quantize_group(query, lanes_, query_codes.data()), bits_of(op.score_constant));

  Bits scores(padded, kMasked);
  for (std::size_t j = 0; j < positions; ++j) {
    const int32_t exact = dot(query_codes.data(), cache.keys.codes.data() + j * width, width);
    scores[j] =
        arith::mul(arith::mul(arith::int32_to_f32(exact), cache.keys.scales[j]), query_scale);
  }
  const uint32_t largest = tree_max(scores, lanes_);
  Bits exponentials(padded), weights(padded);
  for (std::size_t j = 0; j < padded; ++j) {
    exponentials[j] = arith::exp2(arith::sub(scores[j], largest));
    weights[j] = arith::mul(exponentials[j], j < positions ? cache.values.scales[j] : 0u);
  }
  const uint32_t total = tree_sum(exponentials, lanes_);

  std::vector<int8_t> codes(lanes_);
  std::vector<int32_t> sums(width);
  for (std::size_t begin = 0; begin < padded; begin += lanes_) {
    const Vectors block = Vectors(weights).subspan(begin, lanes_);
    const uint32_t scale = arith::mul(quantize_group(block, lanes_, codes.data()), kOneOver127);
    std::fill(sums.begin(), sums.end(), 0);
    for (std::size_t j = begin; j < std::min(begin + lanes_, positions); ++j) {
      const int8_t* row = cache.values.codes.data() + j * width;
      const int32_t code = codes[j - begin];
      for (std::size_t i = 0; i < width; ++i) sums[i] += code * int32_t{row[i]};
    }
    for (std::size_t i = 0; i < width; ++i) {
      const uint32_t term = arith::mul(arith::int32_to_f32(sums[i]), scale);
      out[i] = begin == 0 ? term : arith::add(out[i], term);
    }
  }
  const uint32_t inverse_total = arith::reciprocal(total);
  for (uint32_t& value : out) value = arith::mul(value, inverse_total);
}

void QuantizedInterpreter::run(const QNode& node, const QSiluMul&) {
  const Vectors gate = input(node, 0), up = input(node, 1);
  const uint32_t minus_log2_e_bits = bits_of(minus_log2_e());
  Bits& out = values_[node.output];
  for (std::size_t i = 0; i < out.size(); ++i) {
    const uint32_t t = arith::add(arith::exp2(arith::mul(gate[i], minus_log2_e_bits)), kOne);
    out[i] = arith::mul(arith::mul(arith::reciprocal(t), gate[i]), up[i]);
  }
}

// The features that are vocabulary; the padding stays here.
void QuantizedInterpreter::run(const QNode& node, const QLogits&) {
  const Vectors x = input(node, 0);
  logits_.resize(static_cast<std::size_t>(graph_.model.vocabulary));
  CHECK(logits_.size() <= x.size());
  std::transform(x.begin(), x.begin() + graph_.model.vocabulary, logits_.begin(),
                 [](uint32_t bits) { return std::bit_cast<float>(bits); });
}

}  // namespace pianola
