// What the products of AVX-512 and of AMX have in common: strips of 16 outputs, how a column begins, and how
// it ends. NaN is made canonical once, at the end: whatever goes into a product or a sum as NaN comes out as
// one, so the last look suffices.
#pragma once

#include "emulator/avx512.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <array>
#include <cstddef>

#include "emulator/lift.h"
#include "emulator/word_vectors.h"

namespace pianola::product_avx512 {

constexpr int kStrip = 16;
constexpr size_t kMostStrips = 256;  // of products that follow each other

// 16 outputs of a product.
struct Strip {
  const uint8_t* tiles;
  const uint8_t* halves;  // scales of the weights
  const ProductColumn* columns;
  uint32_t* file;  // accumulators of the chain
  int first;       // output
};

// Strips of products that follow each other and share their input and their format.
struct StripList {
  std::array<Strip, kMostStrips> strips;
  size_t count = 0;
  const ProductInput* input = nullptr;
  MxmLoadFormat format{};

  // Takes what fits of `products`; returns how many that is, at least one.
  size_t take(const Program& program, std::span<const Product> products, int accumulators) {
    const auto lanes = static_cast<size_t>(program.lanes);
    const Product& first = products[0];
    input = &program.product_inputs[first.input];
    format = first.format;
    const size_t tiles_size =
        size_t{input->tiles} * lanes * kStrip * static_cast<size_t>(weight_bits(format)) / 8;
    const size_t halves_size = input->windows * size_t{kStrip} * 2;
    count = 0;
    size_t taken = 0;
    for (; taken < products.size() && count + lanes / kStrip <= kMostStrips; ++taken) {
      const Product& product = products[taken];
      if (product.input != first.input || product.format != format) break;
      for (size_t number = 0; number < lanes / kStrip; ++number) {
        strips[count++] = {product.tiles + number * tiles_size,
                           product.weight_scales + number * halves_size,
                           program.product_columns.data() + product.first_column,
                           reinterpret_cast<uint32_t*>(program.vxm_accumulators.data) +
                               product.chain * static_cast<size_t>(accumulators) * lanes,
                           static_cast<int>(number) * kStrip};
      }
    }
    return taken;
  }
};

[[PIANOLA_AVX512]] inline __m512 load_initial(const ProductColumn& column, int first) {
  // Minus zero is what leaves every value as it is when it is added.
  if (column.loads) return _mm512_set1_ps(-0.0f);
  if (are_words(column.initial)) return _mm512_loadu_ps(words_at(column.initial) + first);
  __m512i value = _mm512_setzero_si512();
  for (int b = 3; b >= 0; --b) {
    const auto* from = reinterpret_cast<const __m128i*>(column.initial[b] + first);
    value = _mm512_or_si512(_mm512_slli_epi32(value, 8),
                            _mm512_cvtepu8_epi32(_mm_loadu_si128(from)));
  }
  return _mm512_castsi512_ps(value);
}

[[PIANOLA_AVX512]] inline void finish(const Strip& strip, int lanes, uint32_t number, __m512 acc) {
  const ProductColumn& column = strip.columns[number];
  const int first = strip.first;
  const __mmask16 nan = _mm512_cmp_ps_mask(acc, acc, _CMP_UNORD_Q);
  __m512i value = _mm512_mask_set1_epi32(_mm512_castps_si512(acc), nan, 0x7fc00000);
  _mm512_storeu_si512(strip.file + static_cast<size_t>(column.accumulator) * lanes + first, value);
  if (are_words(column.out)) {
    _mm512_storeu_si512(words_at(column.out) + first, value);
    return;
  }
  for (int b = 0; b < 4; ++b) {
    if (column.out[b] != 0) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(column.out[b] + first),
                       _mm512_cvtepi32_epi8(value));
    }
    value = _mm512_srli_epi32(value, 8);
  }
}

[[PIANOLA_AVX512]] inline __m512 term_of(__m512i sums, __m512 weight_scales, __m512 scales) {
  return _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sums), weight_scales), scales);
}

[[PIANOLA_AVX512]] inline __m512 halves_at(const uint8_t* halves) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(halves)));
}

}  // namespace pianola::product_avx512
#endif
