// Products of many columns with AMX: a tile of 16 columns meets 16 outputs, and one instruction adds up to 64
// products to each of 256 sums. The sums of a window go through memory into the registers that scale and add
// them, while the tiles already multiply the next window.
//
// The weights of a strip are widened to signed bytes once for all columns: piece q holds inputs 4q .. 4q+3 of
// each output, which is row q of a tile.
#include "emulator/product_avx512.h"

#if defined(__x86_64__)
// Intrinsics of g++ 12 leave the value of masked-off lanes undefined on purpose (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>

#include <algorithm>
#include <array>
#include <utility>

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "emulator/kernels.h"

#if defined(__clang__)
#define PIANOLA_AMX \
  gnu::target("amx-tile,amx-int8,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#else
#define PIANOLA_AMX \
  gnu::target(      \
      "amx-tile,amx-int8,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,prefer-vector-width=512")
#endif

namespace pianola {
namespace {

using namespace product_avx512;

constexpr uint32_t kRows = 16;         // columns of a product in a tile
constexpr int kMostInputs = 64;        // of a tile
constexpr uint32_t kFewestColumns = 4; // that are worth tiles
constexpr size_t kLine = 64;
// Sums are looked at so many windows after they were stored: before, the store might not be done.
constexpr uint32_t kLag = 3, kBuffers = 4;

// What LDTILECFG reads.
struct alignas(64) TileShapes {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// Tiles 0, 1: sums of 16 columns; 2, 3: of `rest` columns; 4, 5: their codes; 6, 7: weights.
TileShapes shapes_of(uint32_t rest, int inputs) {
  TileShapes shapes;
  for (const int tile : {0, 1, 2, 3}) {
    shapes.rows[tile] = static_cast<uint8_t>(tile < 2 ? kRows : std::max(1u, rest));
    shapes.row_bytes[tile] = kLine;
  }
  for (const int tile : {4, 5}) {
    shapes.rows[tile] = shapes.rows[tile == 4 ? 0 : 2];
    shapes.row_bytes[tile] = static_cast<uint16_t>(inputs);
  }
  for (const int tile : {6, 7}) {
    shapes.rows[tile] = static_cast<uint8_t>(inputs / 4);
    shapes.row_bytes[tile] = kLine;
  }
  return shapes;
}

struct View {
  const ProductInput* input;
  const uint16_t* counts;
  int lanes, inputs;  // inputs: of a tile of the host
  const int8_t* weights;  // of the strip, widened
  const uint8_t* next;    // weights to fetch meanwhile
  size_t fetched_per_window;
};

// Sums of one window.
using Sums = int32_t[kRows][kStrip];

// The sums of window tiles `first` to `last` - 1; kSecond: in the other tile of two that take turns.
template <bool kFull, bool kSecond>
[[PIANOLA_AMX]] inline void multiply(const View& view, uint32_t first_column, uint32_t first,
                                     uint32_t last) {
  const ProductInput& input = *view.input;
  const auto lanes = static_cast<size_t>(view.lanes);
  const int8_t* x = input.codes + (size_t{first} * input.columns + first_column) * lanes;
  const int8_t* w = view.weights + size_t{first} * lanes * kStrip;
  if constexpr (kFull && !kSecond) _tile_zero(0);
  if constexpr (kFull && kSecond) _tile_zero(1);
  if constexpr (!kFull && !kSecond) _tile_zero(2);
  if constexpr (!kFull && kSecond) _tile_zero(3);
  for (uint32_t tile = first; tile < last; ++tile, x += input.columns * lanes) {
    for (int k = 0; k < view.lanes; k += view.inputs, w += view.inputs * kStrip) {
      if constexpr (kFull) {
        _tile_loadd(4, x + k, lanes);
      } else {
        _tile_loadd(5, x + k, lanes);
      }
      if constexpr (kSecond) {
        _tile_loadd(7, w, kLine);
      } else {
        _tile_loadd(6, w, kLine);
      }
      if constexpr (kFull && !kSecond) _tile_dpbssd(0, 4, 6);
      if constexpr (kFull && kSecond) _tile_dpbssd(1, 4, 7);
      if constexpr (!kFull && !kSecond) _tile_dpbssd(2, 5, 6);
      if constexpr (!kFull && kSecond) _tile_dpbssd(3, 5, 7);
    }
  }
}

template <bool kFull, bool kSecond>
[[PIANOLA_AMX]] inline void store_sums(Sums& sums) {
  if constexpr (kFull && !kSecond) _tile_stored(0, sums, kLine);
  if constexpr (kFull && kSecond) _tile_stored(1, sums, kLine);
  if constexpr (!kFull && !kSecond) _tile_stored(2, sums, kLine);
  if constexpr (!kFull && kSecond) _tile_stored(3, sums, kLine);
}

// Adds the terms of a window to the accumulators.
template <uint32_t kColumns, bool kUniform>
[[PIANOLA_AMX, gnu::always_inline]] inline void add_terms(const View& view, const Strip& strip,
                                                          const Sums& sums, uint32_t window,
                                                          uint32_t first_column, __m512* acc) {
  const ProductInput& input = *view.input;
  const size_t term = size_t{window} * input.columns + first_column;
  const __m512 weight_scales = halves_at(strip.halves + size_t{window} * kStrip * 2);
#pragma GCC unroll 16
  for (uint32_t c = 0; c < kColumns; ++c) {
    const __m512 scales =
        kUniform ? _mm512_set1_ps(input.first_lanes[term + c])
                 : _mm512_loadu_ps(input.scales + (term + c) * static_cast<size_t>(view.lanes) +
                                   strip.first);
    acc[c] = _mm512_add_ps(acc[c], term_of(_mm512_load_si512(sums[c]), weight_scales, scales));
  }
}

// Where the work on some columns of a strip is.
struct Progress {
  uint32_t first_column;
  uint32_t tile;        // of the next window
  const uint8_t* next;  // to be fetched
};

// A window's sums, and the terms of an earlier one.
template <uint32_t kColumns, bool kUniform, bool kSecond>
[[PIANOLA_AMX, gnu::always_inline]] inline void step(const View& view, const Strip& strip,
                                                     uint32_t window, Progress& at, Sums* sums,
                                                     __m512* acc) {
  constexpr bool kFull = kColumns == kRows;
  const uint32_t end = at.tile + view.counts[window];
  multiply<kFull, kSecond>(view, at.first_column, at.tile, end);
  at.tile = end;
  for (size_t i = 0; i < view.fetched_per_window; i += kLine, at.next += kLine) {
    _mm_prefetch(reinterpret_cast<const char*>(at.next), _MM_HINT_T1);
  }
  if (window > 0) store_sums<kFull, !kSecond>(sums[(window - 1) % kBuffers]);
  if (window >= kLag) {
    add_terms<kColumns, kUniform>(view, strip, sums[(window - kLag) % kBuffers], window - kLag,
                                  at.first_column, acc);
  }

}

template <uint32_t kColumns, bool kUniform>
[[PIANOLA_AMX]] void run_columns(const View& view, const Strip& strip, uint32_t first_column) {
  Progress at{first_column, 0, view.next};
  alignas(64) Sums sums[kBuffers];
  __m512 acc[kColumns];
#pragma GCC unroll 16
  for (uint32_t c = 0; c < kColumns; ++c) {
    acc[c] = load_initial(strip.columns[first_column + c], strip.first);
  }
  const uint32_t windows = view.input->windows;
  for (uint32_t w = 0; w < windows; w += 2) {
    step<kColumns, kUniform, false>(view, strip, w, at, sums, acc);
    if (w + 1 < windows) step<kColumns, kUniform, true>(view, strip, w + 1, at, sums, acc);
  }
  if (windows % 2 == 1) {
    store_sums<kColumns == kRows, false>(sums[(windows - 1) % kBuffers]);
  } else {
    store_sums<kColumns == kRows, true>(sums[(windows - 1) % kBuffers]);
  }
  for (uint32_t w = windows - std::min(windows, kLag); w < windows; ++w) {
    add_terms<kColumns, kUniform>(view, strip, sums[w % kBuffers], w, first_column, acc);
  }
#pragma GCC unroll 16
  for (uint32_t c = 0; c < kColumns; ++c) finish(strip, view.lanes, first_column + c, acc[c]);
}

using Run = void (*)(const View&, const Strip&, uint32_t first_column);

// By the number of columns, from 1 on.
template <bool kUniform, uint32_t... kNumbers>
constexpr std::array<Run, kRows> runs(std::integer_sequence<uint32_t, kNumbers...>) {
  return {run_columns<kNumbers + 1, kUniform>...};
}

// The codes of a strip as signed bytes.
template <int kBits>
[[PIANOLA_AMX]] void widen(const uint8_t* codes, size_t size, int8_t* to) {
  constexpr int kGroups = 8 / kBits;  // of a piece
  const __m512i mask = _mm512_set1_epi8(static_cast<char>((1 << kBits) - 1));
  const __m512i offset = _mm512_set1_epi8(kBits == 2 ? 1 : static_cast<char>(1 << (kBits - 1)));
  for (size_t i = 0; i < size; i += kLine) {
    const __m512i piece = _mm512_loadu_si512(codes + i);
    for (int g = 0; g < kGroups; ++g, to += kLine) {
      __m512i group = g == 0 ? piece : _mm512_srli_epi16(piece, kBits * g);
      if constexpr (kBits != 8) group = _mm512_and_si512(group, mask);
      _mm512_store_si512(to, _mm512_sub_epi8(group, offset));
    }
  }
}

void widen_strip(MxmLoadFormat format, const uint8_t* codes, size_t size, int8_t* to) {
  switch (format) {
    case MxmLoadFormat::Int8: return widen<8>(codes, size, to);
    case MxmLoadFormat::Int4: return widen<4>(codes, size, to);
    case MxmLoadFormat::Ternary: return widen<2>(codes, size, to);
  }
}

[[PIANOLA_AMX]] void run_list(Program& program, const StripList& list) {
  using Numbers = std::make_integer_sequence<uint32_t, kRows>;
  static constexpr std::array kUniformRuns = runs<true>(Numbers{});
  static constexpr std::array kRuns = runs<false>(Numbers{});
  const ProductInput& input = *list.input;
  const auto& run = input.uniform ? kUniformRuns : kRuns;
  const uint32_t rest = input.columns % kRows, blocks = (input.columns + kRows - 1) / kRows;
  View view{&input, program.product_counts.data() + input.first_count, program.lanes,
            std::min(program.lanes, kMostInputs),
            reinterpret_cast<const int8_t*>(program.strip.data), nullptr, 0};
  const size_t codes_size = size_t{input.tiles} * static_cast<size_t>(program.lanes) * kStrip *
                            static_cast<size_t>(weight_bits(list.format)) / 8;
  view.fetched_per_window = codes_size / input.windows / blocks / kLine * kLine;
  const TileShapes shapes = shapes_of(rest, view.inputs);
  _tile_loadconfig(&shapes);
  for (size_t i = 0; i < list.count; ++i) {
    const Strip& strip = list.strips[i];
    if (i == 0 || strip.tiles != list.strips[i - 1].tiles) {
      widen_strip(list.format, strip.tiles, codes_size, reinterpret_cast<int8_t*>(program.strip.data));
    }
    view.next = strip.tiles + codes_size;
    for (uint32_t first = 0; first < input.columns; first += kRows) {
      run[std::min(kRows, input.columns - first) - 1](view, strip, first);
      view.next += view.fetched_per_window * input.windows;
    }
  }
  _tile_release();
}

void products_amx(Program& program, std::span<const Product> products, int accumulators) {
  StripList list;
  while (!products.empty()) {
    const ProductInput& input = program.product_inputs[products[0].input];
    const size_t taken = list.take(program, products, accumulators);
    if (input.by_column) {
      run_list(program, list);
    } else {
      products_avx512(program, products.first(taken), accumulators);
    }
    products = products.subspan(taken);
  }
}

uint32_t fewest_columns(int lanes) {
  return lanes <= kMostInputs || lanes % kMostInputs == 0 ? kFewestColumns : ~uint32_t{0};
}

}  // namespace

bool permit_amx() {
#if defined(__linux__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

const Kernels kAmxKernels{"amx", vxm_avx512, mac_avx512, true, products_amx, fewest_columns};

}  // namespace pianola
#endif
