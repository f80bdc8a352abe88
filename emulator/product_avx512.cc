// Products with AVX-512 and VNNI.
#include "emulator/product_avx512.h"

#if defined(__x86_64__)
// Intrinsics of g++ 12 leave the value of masked-off lanes undefined on purpose (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <utility>

namespace pianola {
namespace {

using namespace product_avx512;

constexpr uint32_t kMostColumns = 12;  // whose sums and accumulators registers hold
constexpr size_t kAhead = 4096;        // bytes that are fetched ahead of what is used
constexpr uint32_t kStripsTogether = 4;  // of one column
constexpr size_t kLongestTogether = 32768;  // bytes of such a strip

struct View {
  const ProductInput* input;
  const uint16_t* counts;
  int lanes;
  size_t ahead;  // bytes from where weights are used to where they are fetched
  const Strip* next = nullptr;  // as many strips, whose scales are fetched meanwhile
};

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
      _mm_prefetch(reinterpret_cast<const char*>(view.next[s].halves) + size_t{w} * kStrip * 2,
                   _MM_HINT_T0);
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
    for (uint32_t c = 0; c < kColumns; ++c) finish(strips[s], view.lanes, first_column + c, acc[s][c]);
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
  View now = view;
  if (columns == 1 && strip_bytes <= kLongestTogether) {
    now.ahead = kStripsTogether * strip_bytes;
    const Run run = uniform ? run_columns<kBits, true, 1, kStripsTogether>
                            : run_columns<kBits, false, 1, kStripsTogether>;
    for (; next + kStripsTogether <= strips.size(); next += kStripsTogether) {
      const bool last = next + 2 * kStripsTogether > strips.size();
      now.next = strips.data() + next + (last ? 0 : kStripsTogether);
      run(now, strips.data() + next, 0);
    }
  }
  now.ahead = kAhead;
  for (; next < strips.size(); ++next) {
    now.next = strips.data() + std::min(next + 1, strips.size() - 1);
    for (uint32_t block = 0, first = 0; block < blocks; ++block) {
      const uint32_t end = columns * (block + 1) / blocks;
      list[end - first - 1](now, strips.data() + next, first);
      first = end;
    }
  }
}

}  // namespace

void products_avx512(Program& program, std::span<const Product> products, int accumulators) {
  StripList list;
  while (!products.empty()) {
    products = products.subspan(list.take(program, products, accumulators));
    const View view{list.input, program.product_counts.data() + list.input->first_count,
                    program.lanes, kAhead};
    const std::span<const Strip> strips(list.strips.data(), list.count);
    switch (list.format) {
      case MxmLoadFormat::Int8: run_strips<8>(view, strips); break;
      case MxmLoadFormat::Int4: run_strips<4>(view, strips); break;
      case MxmLoadFormat::Ternary: run_strips<2>(view, strips); break;
    }
  }
}

}  // namespace pianola
#endif
