// Products with AVX-512 and VNNI. NaN is made canonical once, at the end: whatever goes into a product
// or a sum as NaN comes out as one, so the last look suffices.
#include "emulator/avx512.h"

#if defined(__x86_64__)
// Intrinsics of g++ 12 leave the value of masked-off lanes undefined on purpose (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>

#include <array>
#include <cstring>
#include <span>
#include <utility>

#include "emulator/lift.h"

namespace pianola {
namespace {

constexpr int kStrip = 16;
constexpr uint32_t kMostColumns = 12;  // whose sums and accumulators registers hold
constexpr size_t kAhead = 4096;        // bytes that are fetched ahead of what is used
constexpr uint32_t kStripsTogether = 4;  // short strips of one column
constexpr size_t kMostStrips = 256;      // of products that follow each other

// 16 outputs of a product.
struct Strip {
  const uint8_t* tiles;
  const uint8_t* halves;  // scales of the weights
  const ProductColumn* columns;
  uint32_t* file;  // accumulators of the chain
  int first;       // output
};

struct View {
  const ProductInput* input;
  const uint16_t* counts;
  int lanes;
  size_t ahead;  // bytes from where weights are used to where they are fetched
};

[[PIANOLA_AVX512]] inline __m512 load_initial(const ProductColumn& column, int first) {
  // Minus zero is what leaves every value as it is when it is added.
  if (column.loads) return _mm512_set1_ps(-0.0f);
  __m512i value = _mm512_setzero_si512();
  for (int b = 3; b >= 0; --b) {
    const auto* from = reinterpret_cast<const __m128i*>(column.initial[b] + first);
    value = _mm512_or_si512(_mm512_slli_epi32(value, 8),
                            _mm512_cvtepu8_epi32(_mm_loadu_si128(from)));
  }
  return _mm512_castsi512_ps(value);
}

[[PIANOLA_AVX512]] inline void finish(const View& view, const Strip& strip, uint32_t number,
                                      __m512 acc) {
  const ProductColumn& column = strip.columns[number];
  const int first = strip.first;
  const __mmask16 nan = _mm512_cmp_ps_mask(acc, acc, _CMP_UNORD_Q);
  __m512i value = _mm512_mask_set1_epi32(_mm512_castps_si512(acc), nan, 0x7fc00000);
  _mm512_storeu_si512(strip.file + static_cast<size_t>(column.accumulator) * view.lanes + first,
                      value);
  for (int b = 0; b < 4; ++b) {
    if (column.out[b] != 0) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(column.out[b] + first),
                       _mm512_cvtepi32_epi8(value));
    }
    value = _mm512_srli_epi32(value, 8);
  }
}

// Four inputs for all lanes.
[[PIANOLA_AVX512]] inline __m512i inputs_at(const int8_t* x) {
  int32_t four;
  std::memcpy(&four, x, 4);
  return _mm512_set1_epi32(four);
}

// The codes of group `g` of a piece of 64 bytes that holds 8 / kBits groups.
template <int kBits>
[[PIANOLA_AVX512]] inline __m512i codes_of(__m512i piece, int g) {
  if constexpr (kBits == 8) return piece;
  const __m512i mask = _mm512_set1_epi8(static_cast<char>((1 << kBits) - 1));
  return _mm512_and_si512(g == 0 ? piece : _mm512_srli_epi16(piece, kBits * g), mask);
}

[[PIANOLA_AVX512]] inline __m512 term_of(__m512i sums, __m512 weight_scales, __m512 scales) {
  return _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sums), weight_scales), scales);
}

[[PIANOLA_AVX512]] inline __m512 halves_at(const uint8_t* halves) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(halves)));
}

// kColumns columns of some strips from `first_column` on: the weights pass once, in order, and sums and
// accumulators stay in registers. uniform: all lanes of each scale are equal.
template <int kBits, bool kUniform, uint32_t kColumns, uint32_t kStrips>
[[PIANOLA_AVX512]] void run_columns(const View& view, const Strip* strips, uint32_t first_column) {
  constexpr int kGroups = 8 / kBits;      // of a piece
  constexpr int kTogether = 4 / kGroups;  // pieces of 16 inputs
  // A multiplication waits for the one before on the same sum, so where sums are few there are parts.
  constexpr int kSums = static_cast<int>(kColumns * kStrips);
  constexpr int kParts = kSums <= 2 ? 4 : kSums <= 5 ? 2 : 1;
  const ProductInput& input = *view.input;
  const size_t pieces = static_cast<size_t>(view.lanes) / 4 / kGroups;
  const size_t step = size_t{input.columns} * 4;
  const int8_t* x = input.codes + size_t{first_column} * 4;
  const uint8_t* piece[kStrips];
  __m512 acc[kStrips][kColumns];
  for (uint32_t s = 0; s < kStrips; ++s) {
    piece[s] = strips[s].tiles;
    for (uint32_t c = 0; c < kColumns; ++c) {
      acc[s][c] = load_initial(strips[s].columns[first_column + c], strips[s].first);
    }
  }
  size_t term = first_column;
  for (uint32_t w = 0; w < input.windows; ++w, term += input.columns) {
    __m512i sums[kParts][kStrips][kColumns];
    for (uint32_t s = 0; s < kStrips; ++s) {
      for (uint32_t c = 0; c < kColumns; ++c) {
        sums[0][s][c] = _mm512_set1_epi32(input.corrections[term + c]);
#pragma GCC unroll 4
        for (int part = 1; part < kParts; ++part) sums[part][s][c] = _mm512_setzero_si512();
      }
    }
    for (size_t i = view.counts[w] * pieces; i > 0; i -= kTogether) {
#pragma GCC unroll 4
      for (int p = 0; p < kTogether; ++p) {
        __m512i codes[kStrips];
        for (uint32_t s = 0; s < kStrips; ++s, piece[s - 1] += 64) {
          codes[s] = _mm512_loadu_si512(piece[s]);
          _mm_prefetch(reinterpret_cast<const char*>(piece[s]) + view.ahead, _MM_HINT_T0);
        }
#pragma GCC unroll 4
        for (int g = 0; g < kGroups; ++g, x += step) {
          auto& part = sums[(p * kGroups + g) % kParts];
          for (uint32_t c = 0; c < kColumns; ++c) {
            const __m512i inputs = inputs_at(x + 4 * c);
            for (uint32_t s = 0; s < kStrips; ++s) {
              part[s][c] = _mm512_dpbusd_epi32(part[s][c], codes_of<kBits>(codes[s], g), inputs);
            }
          }
        }
      }
    }
    for (uint32_t s = 0; s < kStrips; ++s) {
      const __m512 weight_scales = halves_at(strips[s].halves + size_t{w} * kStrip * 2);
      for (uint32_t c = 0; c < kColumns; ++c) {
        const __m512 scales =
            kUniform
                ? _mm512_set1_ps(input.first_lanes[term + c])
                : _mm512_loadu_ps(input.scales + (term + c) * view.lanes + strips[s].first);
        __m512i sum = sums[0][s][c];
#pragma GCC unroll 4
        for (int part = 1; part < kParts; ++part) sum = _mm512_add_epi32(sum, sums[part][s][c]);
        acc[s][c] = _mm512_add_ps(acc[s][c], term_of(sum, weight_scales, scales));
      }
    }
  }
  for (uint32_t s = 0; s < kStrips; ++s) {
    for (uint32_t c = 0; c < kColumns; ++c) finish(view, strips[s], first_column + c, acc[s][c]);
  }
}

using Run = void (*)(const View&, const Strip*, uint32_t first_column);

// By the number of columns, from 1 on.
template <int kBits, bool kUniform, uint32_t... kNumbers>
constexpr std::array<Run, kMostColumns> runs(std::integer_sequence<uint32_t, kNumbers...>) {
  return {run_columns<kBits, kUniform, kNumbers + 1, 1>...};
}

// Strips of products that share their input.
template <int kBits>
void run_strips(const View& view, std::span<const Strip> strips) {
  using Numbers = std::make_integer_sequence<uint32_t, kMostColumns>;
  static constexpr std::array kUniformRuns = runs<kBits, true>(Numbers{});
  static constexpr std::array kRuns = runs<kBits, false>(Numbers{});
  const bool uniform = view.input->uniform;
  const auto& list = uniform ? kUniformRuns : kRuns;
  const uint32_t columns = view.input->columns;
  const uint32_t blocks = (columns + kMostColumns - 1) / kMostColumns;
  const size_t strip_bytes =
      size_t{view.input->tiles} * static_cast<size_t>(view.lanes) * kStrip * kBits / 8;
  size_t next = 0;
  if (columns == 1 && strip_bytes <= kAhead) {
    View together = view;
    together.ahead = kStripsTogether * strip_bytes;
    const Run run = uniform ? run_columns<kBits, true, 1, kStripsTogether>
                            : run_columns<kBits, false, 1, kStripsTogether>;
    for (; next + kStripsTogether <= strips.size(); next += kStripsTogether) {
      run(together, strips.data() + next, 0);
    }
  }
  for (; next < strips.size(); ++next) {
    for (uint32_t block = 0, first = 0; block < blocks; ++block) {
      const uint32_t end = columns * (block + 1) / blocks;
      list[end - first - 1](view, strips.data() + next, first);
      first = end;
    }
  }
}

}  // namespace

void products_avx512(Program& program, std::span<const Product> products, int accumulators) {
  const int lanes = program.lanes;
  Strip strips[kMostStrips];
  for (size_t i = 0; i < products.size();) {
    const Product& first = products[i];
    View view;
    view.input = &program.product_inputs[first.input];
    view.counts = program.product_counts.data() + view.input->first_count;
    view.lanes = lanes;
    view.ahead = kAhead;
    const size_t strip_tiles = size_t{view.input->tiles} * lanes * kStrip *
                               static_cast<size_t>(weight_bits(first.format)) / 8;
    const size_t strip_halves = view.input->windows * size_t{kStrip} * 2;
    size_t count = 0;
    for (; i < products.size(); ++i) {
      const Product& product = products[i];
      const bool fits = count + static_cast<size_t>(lanes / kStrip) <= kMostStrips;
      if (product.input != first.input || product.format != first.format || !fits) break;
      for (int strip = 0; strip < lanes / kStrip; ++strip) {
        const auto number = static_cast<size_t>(strip);
        strips[count++] = {product.tiles + number * strip_tiles,
                           product.weight_scales + number * strip_halves,
                           program.product_columns.data() + product.first_column,
                           reinterpret_cast<uint32_t*>(program.vxm_accumulators.data) +
                               static_cast<size_t>(product.chain) * accumulators * lanes,
                           strip * kStrip};
      }
    }
    const std::span<const Strip> list(strips, count);
    switch (first.format) {
      case MxmLoadFormat::Int8: run_strips<8>(view, list); break;
      case MxmLoadFormat::Int4: run_strips<4>(view, list); break;
      case MxmLoadFormat::Ternary: run_strips<2>(view, list); break;
    }
  }
}

}  // namespace pianola
#endif
