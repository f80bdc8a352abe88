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
#include <utility>

#include "emulator/lift.h"

namespace pianola {
namespace {

constexpr int kStrip = 16;
constexpr uint32_t kMostColumns = 12;  // whose sums and accumulators registers hold
constexpr size_t kAhead = 4096;        // bytes from where weights are used to where they are fetched

struct View {
  const ProductInput* input;
  const uint16_t* counts;
  const ProductColumn* columns;
  uint32_t* file;
  int lanes;
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

[[PIANOLA_AVX512]] inline void finish(const View& view, const ProductColumn& column, int first,
                                      __m512 acc) {
  const __mmask16 nan = _mm512_cmp_ps_mask(acc, acc, _CMP_UNORD_Q);
  __m512i value = _mm512_mask_set1_epi32(_mm512_castps_si512(acc), nan, 0x7fc00000);
  _mm512_storeu_si512(view.file + static_cast<size_t>(column.accumulator) * view.lanes + first,
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

// One strip of kColumns columns from `first_column` on: the weights pass once, in order, and sums and
// accumulators stay in registers. uniform: all lanes of each scale are equal.
template <int kBits, bool kUniform, uint32_t kColumns>
[[PIANOLA_AVX512]] void run_columns(const View& view, const Product& product, int strip,
                                    uint32_t first_column) {
  constexpr int kGroups = 8 / kBits;      // of a piece
  constexpr int kTogether = 4 / kGroups;  // pieces of 16 inputs
  const ProductInput& input = *view.input;
  const ProductColumn* columns = view.columns + first_column;
  const int first = strip * kStrip;
  const size_t pieces = static_cast<size_t>(view.lanes) / 4 / kGroups;
  const size_t step = size_t{input.columns} * 4;
  const uint8_t* piece = product.tiles + strip * (input.tiles * pieces * 64);
  const uint8_t* halves = product.weight_scales + strip * (input.windows * size_t{kStrip} * 2);
  const int8_t* x = input.codes + size_t{first_column} * 4;
  __m512 acc[kColumns];
  for (uint32_t c = 0; c < kColumns; ++c) acc[c] = load_initial(columns[c], first);
  size_t term = first_column;
  for (uint32_t w = 0; w < input.windows; ++w, term += input.columns, halves += kStrip * 2) {
    __m512i sums[kColumns];
    for (uint32_t c = 0; c < kColumns; ++c) {
      sums[c] = _mm512_set1_epi32(input.corrections[term + c]);
    }
    for (size_t i = view.counts[w] * pieces; i > 0; i -= kTogether) {
      for (int p = 0; p < kTogether; ++p, piece += 64) {
        const __m512i codes = _mm512_loadu_si512(piece);
        _mm_prefetch(reinterpret_cast<const char*>(piece) + kAhead, _MM_HINT_T0);
        for (int g = 0; g < kGroups; ++g, x += step) {
          const __m512i weights = codes_of<kBits>(codes, g);
          for (uint32_t c = 0; c < kColumns; ++c) {
            sums[c] = _mm512_dpbusd_epi32(sums[c], weights, inputs_at(x + 4 * c));
          }
        }
      }
    }
    const __m512 weight_scales = halves_at(halves);
    for (uint32_t c = 0; c < kColumns; ++c) {
      const __m512 scales =
          kUniform ? _mm512_set1_ps(input.first_lanes[term + c])
                   : _mm512_loadu_ps(input.scales + (term + c) * view.lanes + first);
      acc[c] = _mm512_add_ps(acc[c], term_of(sums[c], weight_scales, scales));
    }
  }
  for (uint32_t c = 0; c < kColumns; ++c) finish(view, columns[c], first, acc[c]);
}

using Run = void (*)(const View&, const Product&, int strip, uint32_t first_column);

// By the number of columns, from 1 on.
template <int kBits, bool kUniform, uint32_t... kNumbers>
constexpr std::array<Run, kMostColumns> runs(std::integer_sequence<uint32_t, kNumbers...>) {
  return {run_columns<kBits, kUniform, kNumbers + 1>...};
}

template <int kBits>
void run_bits(const View& view, const Product& product) {
  using Numbers = std::make_integer_sequence<uint32_t, kMostColumns>;
  static constexpr std::array kUniformRuns = runs<kBits, true>(Numbers{});
  static constexpr std::array kRuns = runs<kBits, false>(Numbers{});
  const auto& list = view.input->uniform ? kUniformRuns : kRuns;
  const uint32_t columns = view.input->columns;
  const uint32_t blocks = (columns + kMostColumns - 1) / kMostColumns;
  for (int strip = 0; strip < view.lanes / kStrip; ++strip) {
    for (uint32_t block = 0, first = 0; block < blocks; ++block) {
      const uint32_t end = columns * (block + 1) / blocks;
      list[end - first - 1](view, product, strip, first);
      first = end;
    }
  }
}

}  // namespace

void product_avx512(Program& program, const Product& product, int accumulators) {
  View view;
  view.input = &program.product_inputs[product.input];
  view.counts = program.product_counts.data() + view.input->first_count;
  view.columns = program.product_columns.data() + product.first_column;
  view.lanes = program.lanes;
  view.file = reinterpret_cast<uint32_t*>(program.vxm_accumulators.data) +
              static_cast<size_t>(product.chain) * accumulators * program.lanes;
  switch (product.format) {
    case MxmLoadFormat::Int8: return run_bits<8>(view, product);
    case MxmLoadFormat::Int4: return run_bits<4>(view, product);
    case MxmLoadFormat::Ternary: return run_bits<2>(view, product);
  }
}

}  // namespace pianola
#endif
