// Products with AVX-512 and VNNI. NaN is made canonical once, at the end: whatever goes into a product
// or a sum as NaN comes out as one, so the last look suffices.
#include "emulator/avx512.h"

#if defined(__x86_64__)
// Intrinsics of g++ 12 leave the value of masked-off lanes undefined on purpose (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "emulator/lift.h"

namespace pianola {
namespace {

constexpr int kStrip = 16;
constexpr uint32_t kMostColumns = 64;  // whose sums are held at a time

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

template <int kBits>
[[PIANOLA_AVX512]] inline __m512i multiply_strip(const uint8_t* strip, int lanes, const int8_t* x,
                                                 __m512i sums) {
  constexpr int kPerByte = 8 / kBits;
  for (int k = 0; k < lanes; strip += 64) {
    const __m512i piece = _mm512_loadu_si512(strip);
    for (int g = 0; g < kPerByte; ++g, k += 4) {
      sums = _mm512_dpbusd_epi32(sums, codes_of<kBits>(piece, g), inputs_at(x + k));
    }
  }
  return sums;
}

[[PIANOLA_AVX512]] inline __m512 term_of(__m512i sums, __m512 weight_scales, __m512 scales) {
  return _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sums), weight_scales), scales);
}

[[PIANOLA_AVX512]] inline __m512 halves_at(const uint8_t* halves) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(halves)));
}

[[PIANOLA_AVX512]] inline __m512 scales_at(const ProductInput& input, size_t term, int lanes,
                                           int first) {
  return input.uniform ? _mm512_set1_ps(input.first_lanes[term])
                       : _mm512_loadu_ps(input.scales + term * lanes + first);
}

// One column: the weights pass once, in order. kLanes 0: any number.
template <int kBits, int kLanes>
[[PIANOLA_AVX512]] void run_column(const View& view, const Product& product) {
  const ProductInput& input = *view.input;
  const int lanes = kLanes != 0 ? kLanes : view.lanes;
  constexpr int kStrips = kLanes != 0 ? kLanes / kStrip : 1;  // together
  const size_t strip_bytes = static_cast<size_t>(lanes) * kStrip * kBits / 8;
  const size_t tile_bytes = strip_bytes * (lanes / kStrip);
  for (int first = 0; first < lanes; first += kStrips * kStrip) {
    __m512 acc[kStrips];
    for (int s = 0; s < kStrips; ++s) {
      acc[s] = load_initial(view.columns[0], first + s * kStrip);
    }
    const uint8_t* tile = product.tiles + first / kStrip * strip_bytes;
    const int8_t* x = input.codes;
    for (uint32_t w = 0; w < input.windows; ++w) {
      __m512i sums[kStrips];
      for (int s = 0; s < kStrips; ++s) sums[s] = _mm512_set1_epi32(input.corrections[w]);
      for (uint32_t i = 0; i < view.counts[w]; ++i, tile += tile_bytes, x += lanes) {
        for (int s = 0; s < kStrips; ++s) {
          sums[s] = multiply_strip<kBits>(tile + s * strip_bytes, lanes, x, sums[s]);
        }
      }
      for (int s = 0; s < kStrips; ++s) {
        const int at = first + s * kStrip;
        const __m512 halves = halves_at(product.weight_scales + (size_t{w} * lanes + at) * 2);
        acc[s] = _mm512_add_ps(acc[s], term_of(sums[s], halves, scales_at(input, w, lanes, at)));
      }
    }
    for (int s = 0; s < kStrips; ++s) finish(view, view.columns[0], first + s * kStrip, acc[s]);
  }
}

// Several columns: a strip of a tile stays in registers while all columns pass.
template <int kBits, int kLanes>
[[PIANOLA_AVX512]] void run_columns(const View& view, const Product& product, uint32_t first_column,
                                    uint32_t count) {
  constexpr int kPerByte = 8 / kBits, kGroups = kLanes / 4;
  constexpr int kStrips = kLanes / kStrip;
  constexpr size_t kStripBytes = static_cast<size_t>(kLanes) * kStrip * kBits / 8;
  const ProductInput& input = *view.input;
  const size_t columns = input.columns;
  __m512 acc[kMostColumns][kStrips];
  __m512i sums[kMostColumns];
  for (uint32_t c = 0; c < count; ++c) {
    for (int s = 0; s < kStrips; ++s) {
      acc[c][s] = load_initial(view.columns[first_column + c], s * kStrip);
    }
  }
  const uint8_t* tile = product.tiles;
  const int8_t* codes = input.codes + size_t{first_column} * kLanes;
  for (uint32_t w = 0; w < input.windows; ++w) {
    const size_t term = w * columns + first_column;
    const uint32_t tiles = view.counts[w];
    for (int s = 0; s < kStrips; ++s) {
      const __m512 halves =
          halves_at(product.weight_scales + (size_t{w} * kLanes + s * kStrip) * 2);
      for (uint32_t i = 0; i < tiles; ++i) {
        const uint8_t* strip = tile + (size_t{i} * kStrips + s) * kStripBytes;
        __m512i weights[kGroups];
        for (int g = 0; g < kGroups; ++g) {
          weights[g] = codes_of<kBits>(_mm512_loadu_si512(strip + g / kPerByte * 64), g % kPerByte);
        }
        const int8_t* x = codes + size_t{i} * columns * kLanes;
        const bool opens = i == 0, closes = i + 1 == tiles;
        for (uint32_t c = 0; c < count; ++c, x += kLanes) {
          __m512i sum = opens ? _mm512_set1_epi32(input.corrections[term + c]) : sums[c];
          for (int g = 0; g < kGroups; ++g) {
            sum = _mm512_dpbusd_epi32(sum, weights[g], inputs_at(x + 4 * g));
          }
          if (closes) {
            acc[c][s] = _mm512_add_ps(
                acc[c][s],
                term_of(sum, halves, scales_at(input, term + c, kLanes, s * kStrip)));
          } else {
            sums[c] = sum;
          }
        }
      }
    }
    tile += tiles * kStripBytes * kStrips;
    codes += tiles * columns * kLanes;
  }
  for (uint32_t c = 0; c < count; ++c) {
    for (int s = 0; s < kStrips; ++s) {
      finish(view, view.columns[first_column + c], s * kStrip, acc[c][s]);
    }
  }
}

// Several columns of any width: the tiles are read again for each.
template <int kBits>
[[PIANOLA_AVX512]] void run_any(const View& view, const Product& product) {
  const ProductInput& input = *view.input;
  const int lanes = view.lanes;
  const size_t strip_bytes = static_cast<size_t>(lanes) * kStrip * kBits / 8;
  for (uint32_t c = 0; c < input.columns; ++c) {
    for (int first = 0; first < lanes; first += kStrip) {
      __m512 acc = load_initial(view.columns[c], first);
      const uint8_t* strip = product.tiles + first / kStrip * strip_bytes;
      const int8_t* x = input.codes + size_t{c} * lanes;
      for (uint32_t w = 0; w < input.windows; ++w) {
        const size_t term = size_t{w} * input.columns + c;
        __m512i sums = _mm512_set1_epi32(input.corrections[term]);
        for (uint32_t i = 0; i < view.counts[w]; ++i) {
          sums = multiply_strip<kBits>(strip, lanes, x, sums);
          strip += strip_bytes * (lanes / kStrip);
          x += size_t{input.columns} * lanes;
        }
        const __m512 halves = halves_at(product.weight_scales + (size_t{w} * lanes + first) * 2);
        acc = _mm512_add_ps(acc, term_of(sums, halves, scales_at(input, term, lanes, first)));
      }
      finish(view, view.columns[c], first, acc);
    }
  }
}

template <int kBits, int kLanes>
[[PIANOLA_AVX512]] void run_lanes(const View& view, const Product& product) {
  const uint32_t columns = view.input->columns;
  if (columns == 1) return run_column<kBits, kLanes>(view, product);
  for (uint32_t first = 0; first < columns; first += kMostColumns) {
    run_columns<kBits, kLanes>(view, product, first, std::min(kMostColumns, columns - first));
  }
}

template <int kBits>
[[PIANOLA_AVX512]] void run_bits(const View& view, const Product& product) {
  if (view.lanes == 16) return run_lanes<kBits, 16>(view, product);
  if (view.lanes == 32) return run_lanes<kBits, 32>(view, product);
  run_any<kBits>(view, product);
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
