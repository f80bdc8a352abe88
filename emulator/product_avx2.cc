// Products with AVX2. Codes are widened to 16 bits, as the instruction that multiplies bytes
// saturates: of the four inputs of a group, even and odd ones go separate ways.
#include "emulator/kernels.h"
#include "emulator/word_vectors.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <cstring>

#define PIANOLA_AVX2 gnu::target("avx2,f16c")

namespace pianola {
namespace {

constexpr int kStrip = 16;  // outputs: two registers

struct Sums {
  __m256i low, high;
};

// Inputs k and k + 2 of a group, or k + 1 and k + 3, as 16-bit halves of every lane.
[[PIANOLA_AVX2]] inline __m256i pair(int8_t a, int8_t b) {
  return _mm256_set1_epi32(static_cast<int32_t>(static_cast<uint16_t>(a) |
                                                static_cast<uint32_t>(static_cast<uint16_t>(b))
                                                    << 16));
}

[[PIANOLA_AVX2]] inline __m256i multiply_eight(__m256i sums, __m256i codes, __m256i even,
                                               __m256i odd) {
  const __m256i mask = _mm256_set1_epi16(0xff);
  sums = _mm256_add_epi32(sums, _mm256_madd_epi16(_mm256_and_si256(codes, mask), even));
  return _mm256_add_epi32(sums, _mm256_madd_epi16(_mm256_srli_epi16(codes, 8), odd));
}

// The codes of group `g` of a piece that holds 8 / kBits groups.
template <int kBits>
[[PIANOLA_AVX2]] inline __m256i codes_of(__m256i piece, int g) {
  if constexpr (kBits == 8) return piece;
  const __m256i mask = _mm256_set1_epi8(static_cast<char>((1 << kBits) - 1));
  return _mm256_and_si256(g == 0 ? piece : _mm256_srli_epi16(piece, kBits * g), mask);
}

// One piece; step: bytes from one group of inputs to the next.
template <int kBits>
[[PIANOLA_AVX2]] inline Sums multiply_piece(const uint8_t* piece, size_t step, const int8_t* x,
                                            Sums sums) {
  const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(piece));
  const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(piece + 32));
  for (int g = 0; g < 8 / kBits; ++g, x += step) {
    const __m256i even = pair(x[0], x[2]), odd = pair(x[1], x[3]);
    sums.low = multiply_eight(sums.low, codes_of<kBits>(low, g), even, odd);
    sums.high = multiply_eight(sums.high, codes_of<kBits>(high, g), even, odd);
  }
  return sums;
}

[[PIANOLA_AVX2]] inline __m256 load_initial(const ProductColumn& column, int first) {
  // Minus zero is what leaves every value as it is when it is added.
  if (column.loads) return _mm256_set1_ps(-0.0f);
  if (are_words(column.initial)) {
    return _mm256_loadu_ps(reinterpret_cast<const float*>(words_at(column.initial) + first));
  }
  __m256i value = _mm256_setzero_si256();
  for (int b = 3; b >= 0; --b) {
    const auto* from = reinterpret_cast<const __m128i*>(column.initial[b] + first);
    value = _mm256_or_si256(_mm256_slli_epi32(value, 8),
                            _mm256_cvtepu8_epi32(_mm_loadl_epi64(from)));
  }
  return _mm256_castsi256_ps(value);
}

[[PIANOLA_AVX2]] inline __m256 add_term(__m256 acc, __m256i sums, const uint8_t* halves,
                                        const float* scales) {
  const __m256 weight_scales =
      _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(halves)));
  const __m256 scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), weight_scales);
  return _mm256_add_ps(acc, _mm256_mul_ps(scaled, _mm256_loadu_ps(scales)));
}

// Eight outputs from `first` on.
[[PIANOLA_AVX2]] inline void finish(const ProductColumn& column, uint32_t* accumulator, int first,
                                    __m256 acc) {
  const __m256 nan = _mm256_cmp_ps(acc, acc, _CMP_UNORD_Q);
  const __m256 canonical = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fc00000));
  const __m256i value = _mm256_castps_si256(_mm256_blendv_ps(acc, canonical, nan));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(accumulator + first), value);
  if (are_words(column.out)) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(words_at(column.out) + first), value);
    return;
  }
  // Bytes of a kind together, in each half: four of plane 0, four of plane 1, ...
  const __m256i order = _mm256_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15, 0, 4,
                                         8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  alignas(32) uint8_t planes[32];
  _mm256_store_si256(reinterpret_cast<__m256i*>(planes), _mm256_shuffle_epi8(value, order));
  for (int b = 0; b < 4; ++b) {
    auto* to = reinterpret_cast<uint8_t*>(column.out[b]);
    if (to == nullptr) continue;
    std::memcpy(to + first, planes + 4 * b, 4);
    std::memcpy(to + first + 4, planes + 16 + 4 * b, 4);
  }
}

template <int kBits>
[[PIANOLA_AVX2]] void run(Program& program, const Product& product, int accumulators) {
  const ProductInput& input = program.product_inputs[product.input];
  const uint16_t* counts = program.product_counts.data() + input.first_count;
  const int lanes = program.lanes;
  constexpr int kGroups = 8 / kBits;  // of a piece
  const size_t pieces = static_cast<size_t>(lanes) / 4 / kGroups;  // of a tile's part of a strip
  const size_t step = size_t{input.columns} * 4;
  uint32_t* file = reinterpret_cast<uint32_t*>(program.vxm_accumulators.data) +
                   static_cast<size_t>(product.chain) * accumulators * lanes;
  for (uint32_t c = 0; c < input.columns; ++c) {
    const ProductColumn& column = program.product_columns[product.first_column + c];
    uint32_t* accumulator = file + static_cast<size_t>(column.accumulator) * lanes;
    for (int first = 0; first < lanes; first += kStrip) {
      __m256 low = load_initial(column, first), high = load_initial(column, first + 8);
      const size_t strip = static_cast<size_t>(first / kStrip);
      const uint8_t* piece = product.tiles + strip * input.tiles * pieces * 64;
      const uint8_t* halves = product.weight_scales + strip * input.windows * kStrip * 2;
      const int8_t* x = input.codes + size_t{c} * 4;
      for (uint32_t w = 0; w < input.windows; ++w, halves += kStrip * 2) {
        const size_t term = size_t{w} * input.columns + c;
        const __m256i correction = _mm256_set1_epi32(input.corrections[term]);
        Sums sums{correction, correction};
        for (size_t i = counts[w] * pieces; i > 0; --i, piece += 64, x += kGroups * step) {
          sums = multiply_piece<kBits>(piece, step, x, sums);
        }
        const float* scales = input.scales + term * lanes + first;
        low = add_term(low, sums.low, halves, scales);
        high = add_term(high, sums.high, halves + 16, scales + 8);
      }
      finish(column, accumulator, first, low);
      finish(column, accumulator, first + 8, high);
    }
  }
}

}  // namespace

void products_avx2(Program& program, std::span<const Product> products, int accumulators) {
  for (const Product& product : products) {
    switch (product.format) {
      case MxmLoadFormat::Int8: run<8>(program, product, accumulators); break;
      case MxmLoadFormat::Int4: run<4>(program, product, accumulators); break;
      case MxmLoadFormat::Ternary: run<2>(program, product, accumulators); break;
    }
  }
}

}  // namespace pianola
#endif
