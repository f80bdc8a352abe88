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

// All columns of one strip of a product.
[[PIANOLA_AMX]] void run_strip(View& view, const Strip& strip) {
  using Numbers = std::make_integer_sequence<uint32_t, kRows>;
  static constexpr std::array kUniformRuns = runs<true>(Numbers{});
  static constexpr std::array kRuns = runs<false>(Numbers{});
  const auto& run = view.input->uniform ? kUniformRuns : kRuns;
  const uint32_t columns = view.input->columns;
  for (uint32_t first = 0; first < columns; first += kRows) {
    run[std::min(kRows, columns - first) - 1](view, strip, first);
    view.next += view.fetched_per_window * view.input->windows;
  }
}

class Player {
 public:
  Player(Program& program, int accumulators)
      : program_(program), lanes_(static_cast<size_t>(program.lanes)),
        file_size_(static_cast<size_t>(accumulators) * lanes_) {}

  // Products whose inputs are gathered by column.
  [[PIANOLA_AMX]] void run(std::span<const Product> products) {
    uint32_t rest = 0;
    for (const Product& product : products) rest = std::max(rest, input_of(product).columns % kRows);
    const TileShapes shapes = shapes_of(rest, std::min(program_.lanes, kMostInputs));
    _tile_loadconfig(&shapes);
    while (!products.empty()) {
      // Tokens that end too far apart are products of their own, with the same weights.
      size_t count = 1;
      while (count < products.size() && products[count].tiles == products[0].tiles) ++count;
      const uint8_t* next = count < products.size() ? products[count].tiles : products[0].tiles;
      run_alike(products.first(count), next);
      products = products.subspan(count);
    }
    _tile_release();
  }

 private:
  const ProductInput& input_of(const Product& product) const {
    return program_.product_inputs[product.input];
  }

  // Products with the same weights. next: the weights after them.
  void run_alike(std::span<const Product> products, const uint8_t* next) {
    const Product& first = products[0];
    const ProductInput& input = input_of(first);
    const size_t codes_size = size_t{input.tiles} * lanes_ * kStrip *
                              static_cast<size_t>(weight_bits(first.format)) / 8;
    size_t blocks = 0;
    for (const Product& product : products) blocks += (input_of(product).columns + kRows - 1) / kRows;
    auto* weights = reinterpret_cast<int8_t*>(program_.strip.data);
    View view{nullptr, nullptr, program_.lanes, std::min(program_.lanes, kMostInputs), weights,
              nullptr, codes_size / input.windows / blocks / kLine * kLine};
    const size_t strips = lanes_ / kStrip;
    for (size_t i = 0; i < strips; ++i) {
      const uint8_t* codes = first.tiles + i * codes_size;
      widen_strip(first.format, codes, codes_size, weights);
      view.next = i + 1 < strips ? codes + codes_size : next;
      for (const Product& product : products) {
        view.input = &input_of(product);
        view.counts = program_.product_counts.data() + view.input->first_count;
        run_strip(view, {codes, product.weight_scales + i * input.windows * kStrip * 2,
                         program_.product_columns.data() + product.first_column,
                         reinterpret_cast<uint32_t*>(program_.vxm_accumulators.data) +
                             product.chain * file_size_,
                         static_cast<int>(i) * kStrip});
      }
    }
  }

  Program& program_;
  size_t lanes_, file_size_;
};

void products_amx(Program& program, std::span<const Product> products, int accumulators) {
  while (!products.empty()) {
    const auto by_column = [&](const Product& product) {
      return program.product_inputs[product.input].by_column;
    };
    size_t count = 1;
    while (count < products.size() && by_column(products[count]) == by_column(products[0])) ++count;
    if (by_column(products[0])) {
      Player(program, accumulators).run(products.first(count));
    } else {
      products_avx512(program, products.first(count), accumulators);
    }
    products = products.subspan(count);
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
