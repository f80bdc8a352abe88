#include "compiler/gemm/gemm_data.h"

namespace pianola {
namespace {

constexpr int kSumBytes = 4;

// Calls a(row, tile) for each vector of A, b(column, tile) for each of B, in the order of the load; a row or column of
// -1 is all zero.
template <typename A, typename B>
void for_each_vector(const GemmLayout& layout, A&& a, B&& b) {
  const int load = layout.load_streams, steps = layout.load_steps;
  const auto row_or_none = [&](int row) { return row < layout.shape.m ? row : -1; };
  for (int side = 0; side < static_cast<int>(layout.sides.size()); ++side) {
    for (int home = 0; home < load / kHomeSlices && layout.a_blocks > 0; ++home) {
      for (int word = 0; word < layout.a_blocks * layout.tiles * steps; ++word) {
        const int block = word / steps / layout.tiles, tile = word / steps % layout.tiles;
        for (int i = 0; i < kHomeSlices; ++i) {
          a(row_or_none(block * layout.lanes + word % steps * load + home * kHomeSlices + i), tile);
        }
      }
    }
    for (int home = 0; home < load / kHomeSlices; ++home) {
      for (int word = 0; word < layout.tiles * layout.column_stride; ++word) {
        const int tile = word / layout.column_stride, local = word % layout.column_stride;
        for (int slice = home * kHomeSlices; slice < (home + 1) * kHomeSlices; ++slice) {
          const bool there = local < layout.columns(side, slice);
          b(there ? layout.first_column(side * load + slice) + local : -1, tile);
        }
      }
    }
    for (size_t unit = 0; unit < layout.sides[side].mxms.size() && layout.rest > 0; ++unit) {
      for (int tile = 0; tile < layout.tiles; ++tile) {
        for (int i = 0; i < layout.rest; ++i) a(row_or_none(layout.a_blocks * layout.lanes + i), tile);
      }
    }
  }
}

// Calls f(row, column) for each lane of each sum, in the order of the fetch; -1 and -1 where it is none of C.
template <typename F>
void for_each_sum(const GemmLayout& layout, F&& f) {
  const int load = layout.load_streams;
  for (const GemmPart& part : layout.parts) {
    for (int window = 0; window < part.windows; ++window) {
      const int block = part.block + window * part.stride;
      for (int i = part.first; i < part.first + part.vectors; ++i) {
        for (int lane = 0; lane < layout.lanes; ++lane) {
          int row = block * layout.lanes + lane;
          int column = layout.first_column(part.side * load + part.slice) + i;
          bool there = row < layout.shape.m;
          if (!part.a_stationary) {
            const int slice = lane % load, local = block * layout.load_steps + lane / load;
            row = layout.a_blocks * layout.lanes + i;
            column = layout.first_column(part.side * load + slice) + local;
            there = local < layout.columns(part.side, slice);
          }
          f(there ? row : -1, there ? column : -1);
        }
      }
    }
  }
}

}  // namespace

uint64_t gemm_tape_vectors(const GemmLayout& layout) {
  uint64_t vectors = 0;
  const auto count = [&](int, int) { ++vectors; };
  for_each_vector(layout, count, count);
  return vectors;
}

uint64_t gemm_result_vectors(const GemmLayout& layout) {
  uint64_t vectors = 0;
  for (const GemmPart& part : layout.parts) {
    vectors += static_cast<uint64_t>(kSumBytes) * static_cast<uint64_t>(part.windows * part.vectors);
  }
  return vectors;
}

std::vector<std::byte> pack_gemm_operands(const GemmLayout& layout, std::span<const int8_t> a,
                                          std::span<const int8_t> b) {
  const auto m = static_cast<size_t>(layout.shape.m), k = static_cast<size_t>(layout.shape.k),
             n = static_cast<size_t>(layout.shape.n), lanes = static_cast<size_t>(layout.lanes);
  CHECK(a.size() == m * k && b.size() == k * n);
  std::vector<std::byte> tape;
  tape.reserve(gemm_tape_vectors(layout) * lanes);
  const auto add = [&](std::span<const int8_t> from, int index, size_t pitch, size_t step, int tile) {
    for (size_t i = 0; i < lanes; ++i) {
      const size_t depth = static_cast<size_t>(tile) * lanes + i;
      const bool there = index >= 0 && depth < k;
      tape.push_back(there ? static_cast<std::byte>(from[static_cast<size_t>(index) * pitch + depth * step])
                           : std::byte{0});
    }
  };
  for_each_vector(layout, [&](int row, int tile) { add(a, row, k, 1, tile); },
                  [&](int column, int tile) { add(b, column, 1, n, tile); });
  return tape;
}

std::vector<int32_t> unpack_gemm_result(const GemmLayout& layout, std::span<const std::byte> sent) {
  const auto n = static_cast<size_t>(layout.shape.n), lanes = static_cast<size_t>(layout.lanes);
  CHECK(sent.size() == gemm_result_vectors(layout) * lanes);
  std::vector<int32_t> c(static_cast<size_t>(layout.shape.m) * n);
  size_t index = 0;  // of the sum
  for_each_sum(layout, [&](int row, int column) {
    const std::byte* planes = sent.data() + index / lanes * lanes * kSumBytes + index % lanes;
    ++index;
    if (row < 0) return;
    uint32_t value = 0;
    for (size_t plane = 0; plane < kSumBytes; ++plane) {
      value |= std::to_integer<uint32_t>(planes[plane * lanes]) << (8 * plane);
    }
    c[static_cast<size_t>(row) * n + static_cast<size_t>(column)] = static_cast<int32_t>(value);
  });
  return c;
}

}  // namespace pianola
