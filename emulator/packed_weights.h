// Weight tiles of the data tape in the order and layout in which native kernels read them, packed once
// for all entries that use them. A stretch is what one block of outputs needs: its tiles in the
// order of use, then its weight scales.
//
// A tile is cut into strips of 16 outputs and groups of 4 inputs: 64 codes, output major, so that a
// 32-bit lane of a register of 16 holds four weights of one output. Codes are weight + offset, so
// unsigned: 8 bits wide with offset 128, 4 bits with 8, 2 bits with 1. Narrow codes share bytes: byte i
// of a piece of 64 holds codes i of 2 (4) groups that follow each other, the first in the low bits.
// Scales are IEEE halves, lane by lane, `lanes` for each window.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "isa/instructions.h"

namespace pianola {

// A tile whose rows lie `stride` bytes apart: 8 / weight bits tile vectors in each.
struct TileSource {
  const uint8_t* rows = nullptr;
  uint32_t stride = 0;
  MxmLoadFormat format = MxmLoadFormat::Int8;
  MxmLoadOrientation orientation = MxmLoadOrientation::Output;
  friend auto operator<=>(const TileSource&, const TileSource&) = default;
};

struct ScaleSource {  // half-precision scales: a plane of low bytes, one of high bytes
  const uint8_t* low = nullptr;
  const uint8_t* high = nullptr;
  friend auto operator<=>(const ScaleSource&, const ScaleSource&) = default;
};

inline int weight_bits(MxmLoadFormat format) { return 8 >> static_cast<int>(format); }
inline int weight_offset(MxmLoadFormat format) {
  return format == MxmLoadFormat::Ternary ? 1 : 1 << (weight_bits(format) - 1);
}

class PackedWeights {
 public:
  // `lanes` must be a multiple of 16.
  explicit PackedWeights(int lanes) : lanes_(lanes) {}
  // The stretch of these tiles, all of one format, and scales; packs it when it is new. Null: the
  // tiles can not be packed.
  const uint8_t* stretch(std::span<const TileSource> tiles, std::span<const ScaleSource> scales);
  size_t tile_bytes(MxmLoadFormat format) const {
    return static_cast<size_t>(lanes_) * lanes_ * weight_bits(format) / 8;
  }
  size_t size_bytes() const { return size_; }

 private:
  struct Stretch {
    std::vector<TileSource> tiles;
    std::vector<ScaleSource> scales;
    uint8_t* packed = nullptr;
  };
  struct Free {
    void operator()(uint8_t* bytes) const;
  };
  uint8_t* allocate(size_t size);
  void pack_tile(const TileSource& tile, uint8_t* to);

  int lanes_;
  size_t size_ = 0, room_ = 0;
  uint8_t* next_ = nullptr;
  std::vector<std::unique_ptr<uint8_t[], Free>> chunks_;
  std::map<TileSource, std::vector<Stretch>> stretches_;  // by their first tiles
  std::vector<int8_t> codes_;  // of one tile, [output][input]
};

}  // namespace pianola
