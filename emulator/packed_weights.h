// Weight tiles in the order and layout in which native kernels read them, packed once for all entries
// that use them. A stretch is what one block of outputs needs, cut into strips of 16 outputs: for each
// strip its part of the tiles in the order of use, so that a kernel reads on and on; then, again by
// strips, 16 weight scales of each window, as IEEE halves.
//
// A tile's part of a strip is cut into groups of 4 inputs: 64 codes, output major, so that a 32-bit
// lane of a register of 16 holds four weights of one output. Codes are weight + offset, so unsigned:
// 8 bits wide with offset 128, 4 bits with 8, 2 bits with 1. Narrow codes share bytes: byte i of a piece
// of 64 holds codes i of 2 (4) groups that follow each other, the first in the low bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "isa/instructions.h"

namespace pianola {

// A tile whose rows lie `stride` bytes apart, in `spread` places in turn (slices of MEM) that lie `turns`
// bytes from the first; 8 / weight bits tile vectors in each row.
struct TileSource {
  const uint8_t* rows = nullptr;
  int64_t stride = 0;
  uint32_t spread = 1;
  const int64_t* turns = nullptr;  // PackedWeights::turns, so that equal ones are one; null: one place
  const uint8_t* row(uint32_t number) const {
    const int64_t turn = turns != nullptr ? turns[number % spread] : 0;
    const int64_t offset = turn + number / spread * stride;
    return reinterpret_cast<const uint8_t*>(reinterpret_cast<uintptr_t>(rows) +
                                            static_cast<uintptr_t>(offset));
  }
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
  // `lanes` must be a multiple of 16. Of what stretches are packed from, only `memory` ever changes, and
  // only by what refresh() is told of.
  explicit PackedWeights(int lanes, std::span<const uint8_t> memory = {});
  // The stretch of these tiles, all of one format, and scales; packs it when it is new. Null: the
  // tiles can not be packed.
  const uint8_t* stretch(std::span<const TileSource> tiles, std::span<const ScaleSource> scales);
  // The distances of a TileSource, where they stay.
  const int64_t* turns(const std::vector<int64_t>& distances) {
    return turns_.insert(distances).first->data();
  }
  size_t tile_bytes(MxmLoadFormat format) const {
    return static_cast<size_t>(lanes_) * lanes_ * weight_bits(format) / 8;
  }
  size_t size_bytes() const { return size_; }

  // True if a stretch was packed from one of these words of the memory: pairs of the first word and
  // the one after the last.
  bool reads(std::span<const std::pair<uint64_t, uint64_t>> words) const;
  // Grows with every stretch that is packed, so with what reads() may say.
  size_t stretches_packed() const { return packed_; }
  // Words that stretches read have changed; refresh() packs those stretches again.
  void outdate() { outdated_ = true; }
  void refresh();

 private:
  struct Stretch {
    std::vector<TileSource> tiles;
    std::vector<ScaleSource> scales;
    uint8_t* packed = nullptr;
    bool changes = false;  // packed from memory
  };
  struct Free {
    void operator()(uint8_t* bytes) const;
  };
  uint8_t* allocate(size_t size);
  void pack(const Stretch& stretch);
  void pack_tile(const TileSource& tile, uint8_t* to, size_t strip_stride);
  bool note_word(const uint8_t* vector);

  int lanes_;
  std::span<const uint8_t> memory_;
  std::vector<bool> reads_;  // by word of the memory
  std::set<std::vector<int64_t>> turns_;
  bool outdated_ = false;
  size_t packed_ = 0, size_ = 0, room_ = 0;
  uint8_t* next_ = nullptr;
  std::vector<std::unique_ptr<uint8_t[], Free>> chunks_;
  std::map<TileSource, std::vector<Stretch>> stretches_;  // by their first tiles
  std::vector<int8_t> codes_;  // of one tile, [output][input]
};

}  // namespace pianola
