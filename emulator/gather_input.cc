#include <cstring>

#include "emulator/kernels.h"
#include "emulator/word_vectors.h"

namespace pianola {
namespace {

const uint8_t* bytes_at(Place place) { return reinterpret_cast<const uint8_t*>(place); }

}  // namespace

void gather_input(Program& program, ProductInput& input, const Kernels& kernels) {
  const size_t lanes = static_cast<size_t>(program.lanes);
  const Place* places = program.product_places.data() + input.first_place;
  const uint16_t* counts = program.product_counts.data() + input.first_count;
  int8_t* codes = input.codes;
  input.by_column = kernels.fewest_by_column != nullptr &&
                    input.columns >= kernels.fewest_by_column(program.lanes);
  for (uint32_t w = 0; w < input.windows; ++w) {
    int32_t* corrections = input.corrections + size_t{w} * input.columns;
    std::memset(corrections, 0, input.columns * sizeof(int32_t));
    for (uint32_t tile = 0; tile < counts[w]; ++tile) {
      for (uint32_t column = 0; column < input.columns; ++column) {
        const uint8_t* from = bytes_at(*places++);
        if (input.by_column) {
          std::memcpy(codes + column * lanes, from, lanes);
          continue;
        }
        int8_t* to = codes + size_t{column} * 4;
        for (size_t i = 0; i < lanes; i += 4) std::memcpy(to + i * input.columns, from + i, 4);
        int32_t sum = 0;
        for (size_t i = 0; i < lanes; ++i) sum += static_cast<int8_t>(from[i]);
        corrections[column] -= input.offset * sum;
      }
      codes += lanes * input.columns;
    }
  }
  uint32_t differences = 0;
  const size_t terms = size_t{input.windows} * input.columns;
  for (size_t term = 0; term < terms; ++term) {
    float* scales = input.scales + term * lanes;
    if (!input.has_scales) {
      // A product with one is the value itself, NaN the canonical one either way.
      for (size_t i = 0; i < lanes; ++i) scales[i] = 1.0f;
      input.first_lanes[term] = 1.0f;
      continue;
    }
    if (are_words(places)) {
      const uint32_t* words = words_at(places);
      std::memcpy(scales, words, lanes * sizeof(uint32_t));
      for (size_t i = 0; i < lanes; ++i) differences |= words[i] ^ words[0];
      std::memcpy(input.first_lanes + term, words, sizeof(uint32_t));
      places += 4;
      continue;
    }
    const uint8_t *a = bytes_at(places[0]), *b = bytes_at(places[1]), *c = bytes_at(places[2]),
                  *d = bytes_at(places[3]);
    places += 4;
    auto* bits = reinterpret_cast<uint32_t*>(scales);
    const uint32_t first = a[0] | static_cast<uint32_t>(b[0]) << 8 |
                           static_cast<uint32_t>(c[0]) << 16 | static_cast<uint32_t>(d[0]) << 24;
    for (size_t i = 0; i < lanes; ++i) {
      bits[i] = a[i] | static_cast<uint32_t>(b[i]) << 8 | static_cast<uint32_t>(c[i]) << 16 |
                static_cast<uint32_t>(d[i]) << 24;
      differences |= bits[i] ^ first;
    }
    std::memcpy(input.first_lanes + term, &first, sizeof(first));
  }
  input.uniform = differences == 0;
}

}  // namespace pianola
