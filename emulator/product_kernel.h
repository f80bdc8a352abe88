// A block of a product in plain C++, forced inline so that a caller compiled for a wider
// instruction set gets its own copy. The layout of the weights is in emulator/packed_weights.h.
#pragma once

#include <cstdint>
#include <cstring>

#include "emulator/lift.h"
#include "emulator/word_vectors.h"
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

// One piece of 64 bytes. bits: of a code; step: bytes from one group of inputs to the next.
[[gnu::always_inline]] inline void multiply_piece(const uint8_t* piece, int bits, size_t step,
                                                  const int8_t* x, int32_t* sums) {
  if (bits == 8) return multiply_group(piece, x, sums);
  const uint8_t mask = static_cast<uint8_t>((1 << bits) - 1);
  for (int shift = 0; shift < 8; shift += bits, x += step) {
    uint8_t codes[64];
    for (int i = 0; i < 64; ++i) codes[i] = static_cast<uint8_t>(piece[i] >> shift) & mask;
    multiply_group(codes, x, sums);
  }
}

[[gnu::always_inline]] inline void store_column(const ProductColumn& column, const uint32_t* values,
                                                int first) {
  if (are_words(column.out)) {
    std::memcpy(words_at(column.out) + first, values, kStrip * sizeof(uint32_t));
    return;
  }
  for (int b = 0; b < 4; ++b) {
    auto* to = reinterpret_cast<uint8_t*>(column.out[b]);
    if (to == nullptr) continue;
#pragma GCC ivdep
    for (int i = 0; i < kStrip; ++i) to[first + i] = static_cast<uint8_t>(values[i] >> (8 * b));
  }
}

[[gnu::always_inline]] inline void load_column(const ProductColumn& column, int first,
                                               uint32_t* values) {
  if (are_words(column.initial)) {
    std::memcpy(values, words_at(column.initial) + first, kStrip * sizeof(uint32_t));
    return;
  }
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
  const int groups = 8 / bits;  // of a piece
  const size_t pieces = static_cast<size_t>(lanes) / 4 / groups;  // of a tile's part of a strip
  const size_t step = size_t{input.columns} * 4;
  uint32_t* file = reinterpret_cast<uint32_t*>(program.vxm_accumulators.data) +
                   static_cast<size_t>(product.chain) * accumulators * lanes;
  for (uint32_t c = 0; c < input.columns; ++c) {
    const ProductColumn& column = program.product_columns[product.first_column + c];
    for (int first = 0; first < lanes; first += kStrip) {
      uint32_t acc[kStrip];
      if (!column.loads) load_column(column, first, acc);
      const size_t strip = static_cast<size_t>(first / kStrip);
      const uint8_t* piece = product.tiles + strip * input.tiles * pieces * 64;
      const uint8_t* halves = product.weight_scales + strip * input.windows * kStrip * 2;
      const int8_t* x = input.codes + size_t{c} * 4;
      for (uint32_t w = 0; w < input.windows; ++w, halves += kStrip * 2) {
        const size_t term = size_t{w} * input.columns + c;
        int32_t sums[kStrip];
        for (int32_t& sum : sums) sum = input.corrections[term];
        for (size_t i = counts[w] * pieces; i > 0; --i, piece += 64, x += groups * step) {
          multiply_piece(piece, bits, step, x, sums);
        }
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
