// A block of a product in plain C++, forced inline so that a caller compiled for a wider
// instruction set gets its own copy. The layout of the weights is in emulator/packed_weights.h.
#pragma once

#include <cstdint>
#include <cstring>

#include "emulator/lift.h"
#include "isa/arithmetic_fast.h"

namespace pianola::product_kernel {

namespace fast = arith::fast;

constexpr int kStrip = 16;  // outputs

// sums += the codes of 64 weights times four inputs.
[[gnu::always_inline]] inline void multiply_group(const uint8_t* codes, const int8_t* x,
                                                  int32_t* sums) {
#pragma GCC ivdep
  for (int o = 0; o < kStrip; ++o) {
    sums[o] += codes[4 * o] * x[0] + codes[4 * o + 1] * x[1] + codes[4 * o + 2] * x[2] +
               codes[4 * o + 3] * x[3];
  }
}

// One strip of one tile. bits: of a code.
[[gnu::always_inline]] inline void multiply_strip(const uint8_t* strip, int bits, int lanes,
                                                  const int8_t* x, int32_t* sums) {
  if (bits == 8) {
    for (int k = 0; k < lanes; k += 4) multiply_group(strip + k * kStrip, x + k, sums);
    return;
  }
  const int per_byte = 8 / bits;
  const uint8_t mask = static_cast<uint8_t>((1 << bits) - 1);
  for (int k = 0; k < lanes; strip += 64) {
    for (int w = 0; w < per_byte; ++w, k += 4) {
      uint8_t codes[64];
      for (int i = 0; i < 64; ++i) codes[i] = static_cast<uint8_t>(strip[i] >> (bits * w)) & mask;
      multiply_group(codes, x + k, sums);
    }
  }
}

[[gnu::always_inline]] inline void store_column(const ProductColumn& column, const uint32_t* values,
                                                int first) {
  for (int b = 0; b < 4; ++b) {
    auto* to = reinterpret_cast<uint8_t*>(column.out[b]);
    if (to == nullptr) continue;
#pragma GCC ivdep
    for (int i = 0; i < kStrip; ++i) to[first + i] = static_cast<uint8_t>(values[i] >> (8 * b));
  }
}

[[gnu::always_inline]] inline void load_column(const ProductColumn& column, int first,
                                               uint32_t* values) {
  const uint8_t* from[4];
  for (int b = 0; b < 4; ++b) from[b] = reinterpret_cast<const uint8_t*>(column.initial[b]) + first;
  for (int i = 0; i < kStrip; ++i) {
    values[i] = from[0][i] | static_cast<uint32_t>(from[1][i]) << 8 |
                static_cast<uint32_t>(from[2][i]) << 16 | static_cast<uint32_t>(from[3][i]) << 24;
  }
}

[[gnu::always_inline]] inline void run(Program& program, const Product& product,
                                       int accumulators) {
  const ProductInput& input = program.product_inputs[product.input];
  const uint16_t* counts = program.product_counts.data() + input.first_count;
  const int lanes = program.lanes, bits = weight_bits(product.format);
  const size_t strip_bytes = static_cast<size_t>(lanes) * kStrip * bits / 8;
  const size_t tile_bytes = strip_bytes * lanes / kStrip;
  uint32_t* file = reinterpret_cast<uint32_t*>(program.vxm_accumulators.data) +
                   static_cast<size_t>(product.chain) * accumulators * lanes;
  for (uint32_t c = 0; c < input.columns; ++c) {
    const ProductColumn& column = program.product_columns[product.first_column + c];
    for (int first = 0; first < lanes; first += kStrip) {
      uint32_t acc[kStrip];
      if (!column.loads) load_column(column, first, acc);
      const uint8_t* tile = product.tiles + first / kStrip * strip_bytes;
      const int8_t* x = input.codes + size_t{c} * lanes;
      for (uint32_t w = 0; w < input.windows; ++w) {
        const size_t term = size_t{w} * input.columns + c;
        int32_t sums[kStrip];
        for (int32_t& sum : sums) sum = input.corrections[term];
        for (uint32_t i = 0; i < counts[w]; ++i) {
          multiply_strip(tile, bits, lanes, x, sums);
          tile += tile_bytes;
          x += size_t{input.columns} * lanes;
        }
        const uint8_t* halves = product.weight_scales + (size_t{w} * lanes + first) * 2;
        const auto* scales = reinterpret_cast<const uint32_t*>(input.scales + term * lanes + first);
#pragma GCC ivdep
        for (int i = 0; i < kStrip; ++i) {
          const auto half = static_cast<uint16_t>(halves[2 * i] | halves[2 * i + 1] << 8);
          const uint32_t value = fast::mul_lane(
              fast::mul_lane(fast::int32_to_f32_lane(sums[i]), fast::f16_to_f32_lane(half)),
              scales[i]);
          acc[i] = w == 0 && column.loads ? value : fast::add_lane(acc[i], value);
        }
      }
      std::memcpy(file + static_cast<size_t>(column.accumulator) * lanes + first, acc, sizeof(acc));
      store_column(column, acc, first);
    }
  }
}

}  // namespace pianola::product_kernel
