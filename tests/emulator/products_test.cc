// Fused products: packed weights and the kernels of every instruction set against the portable
// arithmetic, with scales that are any pattern: NaN, infinities and subnormals among them.
#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <random>

#include "emulator/kernels.h"
#include "emulator/packed_weights.h"
#include "emulator/word_vectors.h"
#include "isa/arithmetic.h"
#include "isa/arithmetic_fast.h"

namespace pianola::test {
namespace {

struct Case {
  int lanes;
  MxmLoadFormat format;
  MxmLoadOrientation orientation;
  uint32_t columns;
  bool has_scales, uniform, loads;
};
void PrintTo(const Case& c, std::ostream* out) {
  *out << c.lanes << " lanes, " << weight_bits(c.format) << " bits, " << c.columns << " columns";
}

int weight_at(const TileSource& tile, int output, int input) {
  const int bits = weight_bits(tile.format), per_byte = 8 / bits;
  const bool outputs = tile.orientation == MxmLoadOrientation::Output;
  const int vector = outputs ? output : input, lane = outputs ? input : output;
  const int byte = tile.row(static_cast<uint32_t>(vector / per_byte))[lane];
  if (bits == 8) return static_cast<int8_t>(byte);
  if (bits == 4) return (((byte >> (4 * (vector % 2))) & 15) ^ 8) - 8;
  const int pair = (byte >> (2 * (vector % 4))) & 3;
  return pair == 1 ? 1 : pair == 3 ? -1 : 0;
}

// Everything that a product reads, at random, and what must come of it.
class Bench {
 public:
  explicit Bench(const Case& c) : case_(c), random_(7 + c.lanes + c.columns), packed_(c.lanes) {
    program_.lanes = c.lanes;
    const size_t lanes = static_cast<size_t>(c.lanes);
    const PagedVector<uint16_t> counts = {1, 2, 1, 3};
    program_.product_counts = counts;
    ProductInput input;
    input.columns = c.columns;
    input.windows = static_cast<uint32_t>(counts.size());
    for (const uint16_t count : counts) input.tiles += count;
    input.has_scales = c.has_scales;
    input.offset = weight_offset(c.format);
    for (uint32_t i = 0; i < input.tiles * c.columns; ++i) add_place(lanes);
    if (c.has_scales) {
      for (uint32_t i = 0; i < input.windows * c.columns; ++i) add_scale();
    }
    codes_.resize(input.tiles * c.columns * lanes);
    corrections_.resize(input.windows * c.columns);
    scales_.resize(input.windows * c.columns * lanes);
    first_lanes_.resize(input.windows * c.columns);
    input.codes = codes_.data();
    input.corrections = corrections_.data();
    input.scales = scales_.data();
    input.first_lanes = first_lanes_.data();
    program_.product_inputs.push_back(input);

    const size_t stride = lanes + 16;
    for (uint32_t i = 0; i < input.tiles; ++i) {
      const uint8_t* rows = bytes(lanes * stride);
      tiles_.push_back({rows, static_cast<int64_t>(stride), 1, nullptr, c.format, c.orientation});
    }
    for (uint32_t w = 0; w < input.windows; ++w) halves_.push_back({bytes(lanes), bytes(lanes)});
    product_.tiles = packed_.stretch(tiles_, halves_);
    product_.weight_scales = product_.tiles + tiles_.size() * packed_.tile_bytes(c.format);
    product_.format = c.format;
    program_.strip.allocate(input.tiles * lanes * 16);
    program_.vxm_accumulators.allocate(kAccumulators * lanes * 4);
    for (uint32_t i = 0; i < c.columns; ++i) {
      ProductColumn column;
      column.accumulator = static_cast<uint8_t>((i * 5) % kAccumulators);
      column.loads = c.loads;
      if (i % 4 == 1) {  // as words
        const Place initial = place(bytes(lanes * 4)), out = place(bytes(lanes * 4));
        for (int b = 0; b < 4; ++b) {
          if (!c.loads) column.initial[b] = b == 0 ? initial | kWordsBit : 0;
          column.out[b] = b == 0 ? out | kWordsBit : 0;
        }
        program_.product_columns.push_back(column);
        continue;
      }
      for (int b = 0; b < 4; ++b) {
        if (!c.loads) column.initial[b] = place(bytes(lanes));
        // Planes that nobody reads are not written.
        if ((i + static_cast<uint32_t>(b)) % 7 != 3) column.out[b] = place(bytes(lanes));
      }
      program_.product_columns.push_back(column);
    }
  }

  std::vector<uint32_t> expected(uint32_t c) const {
    const ProductInput& input = program_.product_inputs[0];
    const size_t lanes = static_cast<size_t>(case_.lanes);
    const ProductColumn& column = program_.product_columns[c];
    std::vector<uint32_t> result(lanes);
    for (size_t o = 0; o < lanes; ++o) {
      uint32_t value = column.loads ? 0 : pattern_at(column.initial, o);
      for (uint32_t w = 0, tile = 0; w < input.windows; ++w) {
        int32_t sum = 0;
        for (uint32_t i = 0; i < program_.product_counts[w]; ++i, ++tile) {
          const auto* x = reinterpret_cast<const int8_t*>(
              program_.product_places[tile * input.columns + c]);
          for (size_t k = 0; k < lanes; ++k) {
            sum += x[k] * weight_at(tiles_[tile], static_cast<int>(o), static_cast<int>(k));
          }
        }
        const auto half = static_cast<uint16_t>(halves_[w].low[o] | halves_[w].high[o] << 8);
        uint32_t term = arith::mul(arith::int32_to_f32(sum), arith::f16_to_f32(half));
        if (input.has_scales) {
          const size_t at = size_t{input.tiles} * input.columns + (size_t{w} * input.columns + c) * 4;
          term = arith::mul(term, pattern_at(program_.product_places.data() + at, o));
        }
        value = w == 0 && column.loads ? term : arith::add(value, term);
      }
      result[o] = value;
    }
    return result;
  }

  void expect_equal(const Kernels& kernels) {
    const arith::FlushDenormalsScope flush;
    gather_input(program_, program_.product_inputs[0], kernels);
    EXPECT_EQ(program_.product_inputs[0].uniform, case_.uniform || !case_.has_scales);
    kernels.products(program_, std::span(&product_, 1), kAccumulators);
    const size_t lanes = static_cast<size_t>(case_.lanes);
    for (uint32_t c = 0; c < case_.columns; ++c) {
      const std::vector<uint32_t> wanted = expected(c);
      const ProductColumn& column = program_.product_columns[c];
      for (size_t i = 0; i < lanes; ++i) {
        if (are_words(column.out)) {
          ASSERT_EQ(words_at(column.out)[i], wanted[i]) << kernels.name << " column " << c;
          continue;
        }
        for (int b = 0; b < 4; ++b) {
          if (column.out[b] == 0) continue;
          const auto byte = static_cast<uint8_t>(wanted[i] >> (8 * b));
          ASSERT_EQ(reinterpret_cast<const uint8_t*>(column.out[b])[i], byte)
              << kernels.name << " column " << c << " lane " << i << " byte " << b;
        }
      }
      if (c + kAccumulators < case_.columns) continue;  // a later column has it
      std::vector<uint32_t> file(lanes);
      std::memcpy(file.data(), program_.vxm_accumulators.data + column.accumulator * lanes * 4,
                  lanes * 4);
      ASSERT_EQ(file, wanted) << kernels.name << " accumulator of column " << c;
    }
  }

 private:
  static constexpr int kAccumulators = 64;

  static Place place(const uint8_t* bytes) { return reinterpret_cast<uintptr_t>(bytes); }
  static uint32_t pattern_at(const Place* places, size_t lane) {
    if (are_words(places)) return words_at(places)[lane];
    uint32_t pattern = 0;
    for (int b = 0; b < 4; ++b) {
      pattern |= static_cast<uint32_t>(reinterpret_cast<const uint8_t*>(places[b])[lane]) << (8 * b);
    }
    return pattern;
  }
  uint8_t* bytes(size_t size) {
    auto& vector = memory_.emplace_back(new uint8_t[size]);
    for (size_t i = 0; i < size; ++i) vector[i] = static_cast<uint8_t>(random_());
    return vector.get();
  }
  void add_place(size_t size) { program_.product_places.push_back(place(bytes(size))); }
  void add_scale() {
    const uint32_t specials[] = {0x7fc00001, 0xff800000, 0x00000007, 0x80000000, 0x7f7fffff};
    const uint32_t draw = random_() % 12;
    uint32_t pattern = draw < 5 ? specials[draw] : 0x3c000000 + random_() % 0x02000000;
    uint8_t* planes[4];
    for (int b = 0; b < 4; ++b) {
      planes[b] = bytes(static_cast<size_t>(case_.lanes));
      program_.product_places.push_back(place(planes[b]));
    }
    for (int i = 0; i < case_.lanes; ++i) {
      if (!case_.uniform) pattern = i % 4 == 0 ? static_cast<uint32_t>(random_()) : pattern + 77;
      for (int b = 0; b < 4; ++b) planes[b][i] = static_cast<uint8_t>(pattern >> (8 * b));
    }
  }

  Case case_;
  std::mt19937 random_;
  PackedWeights packed_;
  Program program_;
  Product product_;
  std::vector<std::unique_ptr<uint8_t[]>> memory_;
  std::vector<TileSource> tiles_;
  std::vector<ScaleSource> halves_;
  std::vector<int8_t> codes_;
  std::vector<int32_t> corrections_;
  std::vector<float> scales_, first_lanes_;
};

std::vector<Case> cases() {
  std::vector<Case> list;
  int turn = 0;
  for (const int lanes : {16, 32, 48, 64}) {
    for (const auto format : {MxmLoadFormat::Int8, MxmLoadFormat::Int4, MxmLoadFormat::Ternary}) {
      for (const uint32_t columns : {1u, 2u, 10u, 67u}) {
        for (int i = 0; i < 4; ++i) {
          const auto orientation =
              i % 2 == 0 ? MxmLoadOrientation::Output : MxmLoadOrientation::Input;
          list.push_back({lanes, format, orientation, columns, i != 3, i == 1, ++turn % 2 == 0});
        }
      }
    }
  }
  return list;
}

TEST(Products, HaveTheBitsOfThePortableArithmeticWithAllKernels) {
  int count = 0;
  const Kernels* const* kernels = host_kernels(count);
  for (const Case& c : cases()) {
    Bench bench(c);
    for (int k = 0; k < count; ++k) {
      ASSERT_NO_FATAL_FAILURE(bench.expect_equal(*kernels[k])) << testing::PrintToString(c);
    }
  }
}

TEST(PackedWeights, PacksTheSameStretchOnce) {
  std::vector<uint8_t> rows(16 * 16 * 2), scales(64);
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<uint8_t>(i * 7);
  const TileSource a{rows.data(), 16}, b{rows.data() + 256, 16};
  const ScaleSource s{scales.data(), scales.data() + 16};
  PackedWeights packed(16);
  const std::vector<TileSource> both = {a, b}, one = {a};
  const std::vector<ScaleSource> scale = {s};
  const uint8_t* first = packed.stretch(both, scale);
  const size_t size = packed.size_bytes();
  EXPECT_EQ(packed.stretch(both, scale), first);
  EXPECT_EQ(packed.size_bytes(), size);
  EXPECT_NE(packed.stretch(one, scale), first);
  EXPECT_GT(packed.size_bytes(), size);
}

TEST(PackedWeights, PacksAgainWhatWasPackedFromMemoryThatChanged) {
  // Two slices of 40 words; the rows of a tile lie in them in turn.
  constexpr int kLanes = 16, kWords = 40;
  std::vector<uint8_t> memory(2 * kWords * kLanes), tape(2 * kLanes, 3);
  PackedWeights packed(kLanes, memory);
  const std::vector<int64_t> turns = {0, kWords * kLanes};
  EXPECT_EQ(packed.turns(turns), packed.turns(turns));
  const TileSource tile{memory.data() + 5 * kLanes, kLanes, 2, packed.turns(turns)};
  const ScaleSource scale{tape.data(), tape.data() + kLanes};
  const uint8_t* stretch = packed.stretch(std::vector{tile}, std::vector{scale});
  EXPECT_EQ(stretch[0], 128);
  using Words = std::vector<std::pair<uint64_t, uint64_t>>;
  EXPECT_FALSE(packed.reads(Words{{0, 5}, {13, 45}, {53, 80}}));
  EXPECT_TRUE(packed.reads(Words{{0, 6}}));
  EXPECT_TRUE(packed.reads(Words{{13, 46}}));
  EXPECT_TRUE(packed.reads(Words{{52, 53}}));
  memory[(kWords + 5) * kLanes] = 7;  // row 1, input 0
  packed.refresh();
  EXPECT_EQ(stretch[4], 128);
  packed.outdate();
  packed.refresh();
  EXPECT_EQ(stretch[4], 135);
  EXPECT_EQ(stretch[0], 128);
}

}  // namespace
}  // namespace pianola::test
