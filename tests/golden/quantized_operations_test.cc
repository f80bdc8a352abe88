// Single operations of the quantized interpreter against other arithmetic: exact integers, host
// floats in the order that docs/numerics.md states (same bits), and plain double (tolerance).
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "compiler/passes/quantize_matrix.h"
#include "compiler/passes/rotary_table.h"
#include "isa/arithmetic_fast.h"
#include "reference/quantized_interpreter.h"

namespace pianola {
namespace {

using Floats = std::vector<float>;

constexpr int kVocabulary = 8;

uint32_t bits(float x) { return std::bit_cast<uint32_t>(x); }
float value(uint32_t x) { return std::bit_cast<float>(x); }
float reciprocal(float x) { return value(arith::reciprocal(bits(x))); }
float rsqrt(float x) { return value(arith::rsqrt(bits(x))); }
float exp2(float x) { return value(arith::exp2(bits(x))); }

Floats to_floats(std::span<const uint32_t> from) {
  Floats out;
  for (const uint32_t x : from) out.push_back(value(x));
  return out;
}

std::vector<uint32_t> to_bits(const Floats& from) {
  std::vector<uint32_t> out;
  for (const float x : from) out.push_back(bits(x));
  return out;
}

// Sum of one vector (a power of two long), halves first: another form of the tree.
float tree_sum(const float* x, std::size_t count) {
  return count == 1 ? *x : tree_sum(x, count / 2) + tree_sum(x + count / 2, count / 2);
}

float absmax(const float* x, std::size_t count) {
  float out = 0;
  for (std::size_t i = 0; i < count; ++i) out = std::max(out, std::abs(x[i]));
  return out;
}

int code_of(float x, float inverse) {
  const float scaled = x * inverse;
  if (std::isnan(scaled)) return 0;
  return static_cast<int>(std::clamp(std::nearbyint(scaled), -127.0f, 127.0f));
}

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  float uniform() {  // [-1, 1)
    return static_cast<float>(static_cast<int>(engine_() >> 8) - (1 << 23)) * 0x1p-23f;
  }
  int between(int low, int high) {
    return low + static_cast<int>(engine_() % static_cast<unsigned>(high - low + 1));
  }

 private:
  std::mt19937 engine_;
};

// A graph with nodes added by hand.
struct HandGraph {
  QuantizedGraph graph;

  HandGraph(int lanes, int window, int group, int context = 64) {
    graph.numerics = {lanes, window, group};
    graph.model.vocabulary = kVocabulary;
    graph.model.context = context;
  }
  QValue add(QOp op, std::vector<QValue> inputs, int width) {
    graph.nodes.push_back({"node", std::move(op), std::move(inputs), -1});
    if (width == 0) return -1;
    graph.value_widths.push_back(width);
    return graph.nodes.back().output = static_cast<QValue>(graph.value_widths.size()) - 1;
  }
  QValue embed(Random& random, int features, int width) {
    graph.embedding.assign(static_cast<std::size_t>(kVocabulary * width), 0);
    for (int row = 0; row < kVocabulary; ++row) {
      for (int i = 0; i < features; ++i) {
        graph.embedding[static_cast<std::size_t>(row * width + i)] = 3 * random.uniform();
      }
    }
    return add(QEmbed{}, {}, width);
  }
  // Random codes and scales in the rows that `live` marks.
  QMatrix matrix(Random& random, const std::vector<int>& live, int columns, int bits) {
    QuantizedMatrix m;
    m.rows = static_cast<int>(live.size());
    m.cols = columns;
    m.bits = bits;
    m.window = graph.numerics.weight_window;
    for (const int row : live) {
      for (int c = 0; c < columns; ++c) {
        const int code = bits == 8 ? random.between(-128, 127) : random.between(-8, 7);
        m.codes.push_back(static_cast<int8_t>(row < 0 ? 0 : code));
      }
      for (int w = 0; w < m.windows(); ++w) {  // 2^-9 .. 2^-7, of both signs
        const int scale = 0x1800 + random.between(0, 0x7ff) + 0x8000 * random.between(0, 1);
        m.scales.push_back(static_cast<uint16_t>(row < 0 ? 0 : scale));
      }
    }
    graph.matrices.push_back(std::move(m));
    return static_cast<QMatrix>(graph.matrices.size()) - 1;
  }
};

TEST(QuantizedOperations, QuantizesToTheBitsOfHostFloats) {
  constexpr int kFeatures = 72, kWidth = 80, kLanes = 16, kGroup = 32;
  for (const bool normalize : {false, true}) {
    for (const bool has_gain : {false, true}) {
      Random random(7);
      HandGraph hand(kLanes, 32, kGroup);
      const QValue x = hand.embed(random, kFeatures, kWidth);
      QQuantize op{.gain = -1, .normalize = normalize, .eps = 1e-5f, .width = kFeatures};
      if (has_gain) {
        op.gain = 0;
        hand.graph.gains.emplace_back(kWidth, 0.0f);
        for (int i = 0; i < kFeatures; ++i) hand.graph.gains[0][i] = 1 + random.uniform();
      }
      const QValue codes = hand.add(op, {x}, kWidth);
      hand.add(QLogits{}, {x}, 0);
      QuantizedInterpreter interpreter(hand.graph);
      for (int token = 0; token < kVocabulary; ++token) {
        interpreter.step(token);
        const Floats in = to_floats(interpreter.value(x));
        float sum = 0;
        Floats y = in, squares;
        for (const float v : in) squares.push_back(v * v);
        for (int v = 0; v < kWidth; v += kLanes) {
          const float part = tree_sum(&squares[v], kLanes);
          sum = v == 0 ? part : sum + part;
        }
        const float rstd = rsqrt(sum * (1.0f / kFeatures) + 1e-5f);
        if (has_gain) {
          for (int i = 0; i < kWidth; ++i) y[i] *= hand.graph.gains[0][i];
        }
        const QuantizedInterpreter::Codes& out = interpreter.codes(codes);
        ASSERT_EQ(out.scales.size(), 3u);
        for (int begin = 0; begin < kWidth; begin += kGroup) {
          const int count = std::min(kGroup, kWidth - begin);
          const float unit = absmax(&y[begin], count) * (1.0f / 127);
          const float scale = normalize ? unit * rstd : unit;
          EXPECT_EQ(out.scales[begin / kGroup], bits(scale));
          for (int i = begin; i < begin + count; ++i) {
            EXPECT_EQ(out.codes[i], code_of(y[i], reciprocal(unit)));
            // And what it means, in double.
            const double exact = double{y[i]} * (normalize ? double{rstd} : 1.0);
            EXPECT_NEAR(out.codes[i] * double{scale}, exact, 0.5001 * double{scale});
          }
        }
      }
    }
  }
}

TEST(QuantizedOperations, QuantizesZerosToZeros) {
  Random random(1);
  HandGraph hand(16, 32, 32);
  const QValue x = hand.embed(random, 0, 64);
  const QValue codes = hand.add(QQuantize{}, {x}, 64);
  hand.add(QLogits{}, {x}, 0);
  QuantizedInterpreter interpreter(hand.graph);
  interpreter.step(0);
  EXPECT_EQ(interpreter.codes(codes).codes, std::vector<int8_t>(64, 0));
  EXPECT_EQ(interpreter.codes(codes).scales, std::vector<uint32_t>(2, 0));
}

// 1/n as an integer computation gives it must be what IEEE division gives.
TEST(QuantizedOperations, TakesCorrectlyRoundedConstants) {
  EXPECT_EQ(bits(1.0f / 127), 0x3c010204u);
  EXPECT_EQ(bits(-1e30f), 0xf149f2cau);
  EXPECT_EQ(minus_log2_e(), static_cast<float>(-1.44269504088896340736L));
  for (int n = 1; n < 6000; n += 7) {
    Random random(static_cast<unsigned>(n));
    HandGraph hand(16, 32, 32);
    const QValue x = hand.embed(random, 16, 16);
    hand.graph.embedding.assign(hand.graph.embedding.size(), 0.0f);
    hand.graph.embedding[0] = 1;  // the sum of squares is 1, so the mean is 1/n
    const QValue codes = hand.add(QQuantize{-1, true, 0x1p-100f, n}, {x}, 16);
    hand.add(QLogits{}, {x}, 0);
    QuantizedInterpreter interpreter(hand.graph);
    interpreter.step(0);
    const float mean = 1.0f / static_cast<float>(n);
    EXPECT_EQ(interpreter.codes(codes).scales[0], bits((1.0f / 127) * rsqrt(mean))) << n;
  }
}

// Activations that are their own codes, scales that are powers of two: all is exact.
TEST(QuantizedOperations, MultipliesExactlyWhereIntegersFit) {
  Random random(3);
  HandGraph hand(16, 32, 64);
  constexpr int kColumns = 80;  // groups of 64 and 16, windows of 32, 32, 16
  const QValue x = hand.embed(random, kColumns, kColumns);
  for (float& v : hand.graph.embedding) v = static_cast<float>(random.between(-126, 126));
  for (int row = 0; row < kVocabulary; ++row) {
    hand.graph.embedding[row * kColumns + 5] = 127;
    hand.graph.embedding[row * kColumns + 70] = -127;
  }
  const QValue codes = hand.add(QQuantize{}, {x}, kColumns);
  const QMatrix matrix = hand.matrix(random, pad_features(16, 16), kColumns, 8);
  QuantizedMatrix& m = hand.graph.matrices[0];
  for (std::size_t i = 0; i < m.scales.size(); ++i) {
    m.scales[i] = static_cast<uint16_t>(0x3c00 + 0x400 * (i % 4));  // 1, 2, 4, 8
  }
  const QValue y = hand.add(QLinear{matrix, false}, {codes}, 16);
  hand.add(QLogits{}, {y}, 0);
  QuantizedInterpreter interpreter(hand.graph);
  for (int token = 0; token < kVocabulary; ++token) {
    const std::vector<float> logits = interpreter.step(token);
    ASSERT_EQ(logits.size(), static_cast<std::size_t>(kVocabulary));
    for (int r = 0; r < 16; ++r) {
      int64_t expected = 0;
      for (int c = 0; c < kColumns; ++c) {
        expected += static_cast<int64_t>(hand.graph.embedding[token * kColumns + c]) *
                    m.codes[r * kColumns + c] * (1 << (r * 3 + c / 32) % 4);
      }
      EXPECT_EQ(value(interpreter.value(y)[r]), static_cast<float>(expected));
    }
  }
}

TEST(QuantizedOperations, AddsWindowsInOrderToTheResidual) {
  for (const int wbits : {8, 4}) {
    for (const bool residual : {false, true}) {
      Random random(11);
      constexpr int kColumns = 176;
      HandGraph hand(16, 32, 64);
      const QValue x = hand.embed(random, 172, kColumns);
      const QValue codes = hand.add(QQuantize{}, {x}, kColumns);
      const QMatrix matrix = hand.matrix(random, pad_features(170, 16), kColumns, wbits);
      std::vector<QValue> inputs = {codes};
      if (residual) inputs.push_back(x);
      const QValue y = hand.add(QLinear{matrix, residual}, inputs, kColumns);
      hand.add(QLogits{}, {y}, 0);
      QuantizedInterpreter interpreter(hand.graph);
      const QuantizedMatrix& m = hand.graph.matrices[matrix];
      for (int token = 0; token < kVocabulary; ++token) {
        interpreter.step(token);
        const Floats in = to_floats(interpreter.value(x)), out = to_floats(interpreter.value(y));
        const QuantizedInterpreter::Codes& q = interpreter.codes(codes);
        for (int r = 0; r < kColumns; ++r) {
          float sum = residual ? in[r] : 0;
          double plain = sum, magnitude = 0;
          for (int w = 0; w < 6; ++w) {
            const float scale = value(arith::f16_to_f32(m.scales[r * 6 + w]));
            int exact = 0;
            for (int c = 32 * w; c < std::min(32 * w + 32, kColumns); ++c) {
              exact += q.codes[c] * m.codes[r * kColumns + c];
              plain += double{in[c]} * scale * m.codes[r * kColumns + c];
              magnitude += std::abs(double{scale} * m.codes[r * kColumns + c]);
            }
            const float term = static_cast<float>(exact) * scale * value(q.scales[w / 2]);
            sum = w == 0 && !residual ? term : sum + term;
          }
          EXPECT_EQ(bits(out[r]), bits(sum));
          EXPECT_NEAR(double{out[r]}, plain, magnitude * 3 / 127 / 2 * 1.01 + 1e-5);
        }
      }
    }
  }
}

// ---- Attention ------------------------------------------------------------------------------

struct AttentionCase {
  int lanes, head_size, heads, kv_heads;
};

void PrintTo(const AttentionCase& c, std::ostream* out) {
  *out << c.lanes << " lanes, " << c.heads << "/" << c.kv_heads << " heads of " << c.head_size;
}

constexpr int kContext = 96;

struct AttentionGraph {
  HandGraph hand;
  QValue q = 0, k = 0, v = 0, out = 0;
  int width = 0;

  explicit AttentionGraph(const AttentionCase& c) : hand(c.lanes, 32, 64, kContext) {
    Random random(5);
    width = head_width(c.head_size, c.lanes);
    const QValue x = hand.embed(random, 64, 64);
    const QValue codes = hand.add(QQuantize{}, {x}, 64);
    const auto project = [&](int heads) {
      const QMatrix m = hand.matrix(random, lay_out_heads(heads, c.head_size, width), 64, 8);
      return hand.add(QLinear{m, false}, {codes}, heads * width);
    };
    q = project(c.heads), k = project(c.kv_heads), v = project(c.kv_heads);
    hand.graph.model.layers = 1;
    const QAttention op{0,           c.heads, c.kv_heads,
                        c.head_size, width,   score_constant(c.head_size)};
    const RotaryTable table = make_rotary_table(kContext, c.head_size, 10000);
    const int half = c.head_size / 2;
    hand.graph.rotary_width = width / 2;
    for (int p = 0; p < kContext; ++p) {
      for (int j = 0; j < width / 2; ++j) {
        hand.graph.cosine.push_back(j < half ? table.cosine[p * half + j] : 0);
        hand.graph.sine.push_back(j < half ? table.sine[p * half + j] : 0);
      }
    }
    out = hand.add(op, {q, k, v}, c.heads * width);
    hand.add(QLogits{}, {out}, 0);
  }
};

// Keys or values of one head as the cache must hold them.
struct HostCache {
  std::vector<std::vector<int>> codes;
  Floats scales;

  void append(const Floats& head) {
    const float unit = absmax(head.data(), head.size()) * (1.0f / 127);
    codes.emplace_back();
    for (const float x : head) codes.back().push_back(code_of(x, reciprocal(unit)));
    scales.push_back(unit);
  }
};

Floats rotate(const AttentionGraph& a, const Floats& head, int position) {
  Floats out(head.size());
  for (int i = 0; i < a.width; ++i) {
    const int half = a.width / 2, j = i % half;
    const float c = a.hand.graph.cosine[position * half + j];
    const float s = a.hand.graph.sine[position * half + j];
    out[i] = head[i] * c + head[(i + half) % a.width] * (i < half ? -s : s);
  }
  return out;
}

// One head over the *whole* bucket of kContext positions, all masked blocks included: the
// interpreter leaves them out and must still give the same bits.
Floats attend(const AttentionCase& c, const Floats& q, const HostCache& k, const HostCache& v) {
  const float largest = absmax(q.data(), q.size());
  const float inverse = reciprocal(largest * (1.0f / 127));
  const float q_scale = largest * score_constant(c.head_size);
  Floats s(kContext, -1e30f), e(kContext), w(kContext);
  for (std::size_t j = 0; j < k.scales.size(); ++j) {
    int sum = 0;
    for (std::size_t i = 0; i < q.size(); ++i) sum += code_of(q[i], inverse) * k.codes[j][i];
    s[j] = static_cast<float>(sum) * k.scales[j] * q_scale;
  }
  const float top = *std::max_element(s.begin(), s.end());
  float total = 0;
  Floats out(q.size());
  for (int b = 0; b < kContext; b += c.lanes) {
    for (int j = b; j < b + c.lanes; ++j) {
      e[j] = exp2(s[j] - top);
      w[j] = e[j] * (static_cast<std::size_t>(j) < v.scales.size() ? v.scales[j] : 0);
    }
    const float part = tree_sum(&e[b], c.lanes);
    total = b == 0 ? part : total + part;
    const float unit = absmax(&w[b], c.lanes) * (1.0f / 127), inverse_unit = reciprocal(unit);
    for (std::size_t i = 0; i < q.size(); ++i) {
      int sum = 0;
      for (int j = b; j < b + c.lanes; ++j) {  // masked rows hold anything; their code is 0
        const int row = static_cast<std::size_t>(j) < v.scales.size() ? v.codes[j][i] : 99;
        sum += code_of(w[j], inverse_unit) * row;
      }
      const float term = static_cast<float>(sum) * unit;
      out[i] = b == 0 ? term : out[i] + term;
    }
  }
  for (float& x : out) x *= reciprocal(total);
  return out;
}

// The same without quantization, in double.
std::vector<double> attend_in_double(const AttentionCase& c, const Floats& q,
                                     const std::vector<Floats>& k, const std::vector<Floats>& v) {
  std::vector<double> scores;
  for (const Floats& key : k) {
    double sum = 0;
    for (std::size_t i = 0; i < q.size(); ++i) sum += double{q[i]} * double{key[i]};
    scores.push_back(sum / std::sqrt(static_cast<double>(c.head_size)));
  }
  const double top = *std::max_element(scores.begin(), scores.end());
  std::vector<double> out(q.size());
  double total = 0;
  for (const double s : scores) total += std::exp(s - top);
  for (std::size_t j = 0; j < v.size(); ++j) {
    const double weight = std::exp(scores[j] - top) / total;
    for (std::size_t i = 0; i < q.size(); ++i) out[i] += weight * v[j][i];
  }
  return out;
}

class AttentionTest : public testing::TestWithParam<AttentionCase> {};

TEST_P(AttentionTest, GivesTheBitsOfTheWholeBucketAndAlmostTheExactValues) {
  if (!arith::kNativeArithmetic) GTEST_SKIP() << "the host's floats cannot flush subnormals";
  const AttentionCase& c = GetParam();
  const AttentionGraph a(c);
  QuantizedInterpreter interpreter(a.hand.graph);
  std::vector<HostCache> keys(c.kv_heads), values(c.kv_heads);
  std::vector<std::vector<Floats>> plain_keys(c.kv_heads), plain_values(c.kv_heads);
  double error = 0, power = 0;
  const auto head_of = [&](QValue from, int head) {
    return to_floats(interpreter.value(from).subspan(head * a.width, a.width));
  };
  const arith::FlushDenormalsScope flush;  // far positions have tiny weights
  for (int position = 0; position < 70; ++position) {
    interpreter.step((position * 5 + position / 8) % kVocabulary);
    for (int head = 0; head < c.kv_heads; ++head) {
      plain_keys[head].push_back(rotate(a, head_of(a.k, head), position));
      plain_values[head].push_back(head_of(a.v, head));
      keys[head].append(plain_keys[head].back());
      values[head].append(plain_values[head].back());
    }
    for (int head = 0; head < c.heads; ++head) {
      const int kv = head / (c.heads / c.kv_heads);
      const Floats q = rotate(a, head_of(a.q, head), position), out = head_of(a.out, head);
      EXPECT_EQ(to_bits(out), to_bits(attend(c, q, keys[kv], values[kv]))) << position;
      const auto exact = attend_in_double(c, q, plain_keys[kv], plain_values[kv]);
      for (std::size_t i = 0; i < exact.size(); ++i) {
        error += (out[i] - exact[i]) * (out[i] - exact[i]);
        power += exact[i] * exact[i];
      }
    }
  }
  // Random projections give scores of some tens, where a code's rounding counts most.
  EXPECT_LT(std::sqrt(error / power), 0.06);
}

INSTANTIATE_TEST_SUITE_P(Shapes, AttentionTest,
                         testing::Values(AttentionCase{16, 8, 4, 2}, AttentionCase{16, 12, 6, 2},
                                         AttentionCase{16, 16, 2, 2}, AttentionCase{16, 48, 2, 1},
                                         AttentionCase{32, 12, 3, 1}, AttentionCase{32, 48, 2, 2},
                                         AttentionCase{32, 64, 4, 1}),
                         [](const auto& info) {
                           return "Lanes" + std::to_string(info.param.lanes) + "Size" +
                                  std::to_string(info.param.head_size) + "Heads" +
                                  std::to_string(info.param.heads);
                         });

// A score is at most 2^31 k_scale q_scale; the mask is below any that a model can give.
TEST(QuantizedOperations, MaskedPositionsAreNeutral) {
  for (const float top : {0.0f, 1e-30f, -50.0f, 50.0f, 1e6f, -1e6f, 1e20f, -1e20f}) {
    EXPECT_EQ(arith::exp2(arith::sub(bits(-1e30f), bits(top))), 0u);
    EXPECT_EQ(arith::max(bits(top), bits(-1e30f)), bits(top));
  }
  const uint32_t inverse = arith::reciprocal(arith::mul(0, bits(1.0f / 127)));
  EXPECT_EQ(arith::f32_to_int8_sat(arith::mul(0, inverse)), 0);
}

TEST(QuantizedOperations, SiluMulIsAlmostExact) {
  Random random(9);
  HandGraph hand(16, 32, 64);
  const QValue gate = hand.embed(random, 64, 64);
  for (float& x : hand.graph.embedding) x *= 20;
  hand.graph.embedding[0] = -200;
  hand.graph.embedding[1] = 200;
  hand.graph.embedding[2] = 0;
  const QValue y = hand.add(QSiluMul{}, {gate, gate}, 64);
  hand.add(QLogits{}, {y}, 0);
  QuantizedInterpreter interpreter(hand.graph);
  for (int token = 0; token < kVocabulary; ++token) {
    interpreter.step(token);
    const Floats x = to_floats(interpreter.value(gate)), out = to_floats(interpreter.value(y));
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double exact = double{x[i]} * double{x[i]} / (1 + std::exp(-double{x[i]}));
      // The rounding of x * log2(e) counts |x| / 2 ulp in the exponential.
      EXPECT_NEAR(double{out[i]}, exact, (4 + std::abs(x[i])) * 0x1p-23 * exact + 1e-36);
    }
  }
}

}  // namespace
}  // namespace pianola
