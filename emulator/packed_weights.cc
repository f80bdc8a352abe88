#include "emulator/packed_weights.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "isa/result.h"

namespace pianola {
namespace {

constexpr size_t kPage = size_t{1} << 21;  // large pages spare a stream of weights most page walks
constexpr size_t kChunk = 8 * kPage;

int8_t weight_of(uint8_t byte, MxmLoadFormat format, int index) {
  switch (format) {
    case MxmLoadFormat::Int8: return static_cast<int8_t>(byte);
    case MxmLoadFormat::Int4: {
      const auto high = static_cast<uint8_t>(byte << (4 - 4 * index));
      return static_cast<int8_t>(static_cast<int8_t>(high) >> 4);
    }
    case MxmLoadFormat::Ternary: {
      const int pair = byte >> (2 * index) & 3;
      return static_cast<int8_t>((pair == 1) - (pair == 3));
    }
  }
  return 0;
}

}  // namespace

PackedWeights::PackedWeights(int lanes, std::span<const uint8_t> memory)
    : lanes_(lanes), memory_(memory), reads_(memory.size() / static_cast<size_t>(lanes)) {}

void PackedWeights::Free::operator()(uint8_t* bytes) const { std::free(bytes); }

uint8_t* PackedWeights::allocate(size_t size) {
  size = (size + 63) / 64 * 64;
  if (size > room_) {
    // Small models get small chunks.
    const size_t least = size_ < kPage ? kPage : kChunk;
    room_ = std::max(least, (size + kPage - 1) / kPage * kPage);
    next_ = static_cast<uint8_t*>(std::aligned_alloc(kPage, room_));
    CHECK(next_ != nullptr);
    chunks_.emplace_back(next_);
#if defined(__linux__)
    (void)madvise(next_, room_, MADV_HUGEPAGE);
#endif
  }
  uint8_t* begin = next_;
  next_ += size;
  room_ -= size;
  size_ += size;
  return begin;
}

// Strips of the tile go to `to` and every `strip_stride` bytes from there.
void PackedWeights::pack_tile(const TileSource& tile, uint8_t* to, size_t strip_stride) {
  const int lanes = lanes_, bits = weight_bits(tile.format), per_byte = 8 / bits;
  const int offset = weight_offset(tile.format);
  if (tile.format == MxmLoadFormat::Int8 && tile.orientation == MxmLoadOrientation::Output) {
    for (int strip = 0; strip < lanes; strip += 16, to += strip_stride) {
      uint8_t* at = to;
      for (int k = 0; k < lanes; k += 4) {
        for (int o = 0; o < 16; ++o, at += 4) {
          uint32_t four = 0;
          std::memcpy(&four, tile.row(static_cast<uint32_t>(strip + o)) + k, 4);
          four ^= 0x80808080u;
          std::memcpy(at, &four, 4);
        }
      }
    }
    return;
  }
  codes_.resize(static_cast<size_t>(lanes) * lanes);
  const bool outputs = tile.orientation == MxmLoadOrientation::Output;
  for (int r = 0; r < lanes; ++r) {
    const uint8_t* row = tile.row(static_cast<uint32_t>(r / per_byte));
    for (int i = 0; i < lanes; ++i) {
      const int8_t weight = weight_of(row[i], tile.format, r % per_byte);
      codes_[outputs ? r * lanes + i : i * lanes + r] = static_cast<int8_t>(weight + offset);
    }
  }
  for (int strip = 0; strip < lanes; strip += 16, to += strip_stride) {
    uint8_t* at = to;
    for (int k = 0; k < lanes; k += 4 * per_byte, at += 64) {
      for (int i = 0; i < 64; ++i) {
        unsigned byte = 0;
        for (int w = 0; w < per_byte; ++w) {
          const auto code = static_cast<uint8_t>(codes_[(strip + i / 4) * lanes + k + 4 * w + i % 4]);
          byte |= static_cast<unsigned>(code) << (bits * w);
        }
        at[i] = static_cast<uint8_t>(byte);
      }
    }
  }
}

// False: the vector is not in the memory.
bool PackedWeights::note_word(const uint8_t* vector) {
  if (vector < memory_.data() || vector >= memory_.data() + memory_.size()) return false;
  reads_[static_cast<size_t>(vector - memory_.data()) / static_cast<size_t>(lanes_)] = true;
  return true;
}

bool PackedWeights::reads(std::span<const std::pair<uint64_t, uint64_t>> words) const {
  for (const auto& [first, last] : words) {
    for (uint64_t word = first; word < std::min<uint64_t>(last, reads_.size()); ++word) {
      if (reads_[word]) return true;
    }
  }
  return false;
}

void PackedWeights::refresh() {
  if (!outdated_) return;
  outdated_ = false;
  for (const auto& [source, stretches] : stretches_) {
    for (const Stretch& stretch : stretches) {
      if (stretch.changes) pack(stretch);
    }
  }
}

void PackedWeights::pack(const Stretch& stretch) {
  const size_t tile_size = tile_bytes(stretch.tiles[0].format), tiles = stretch.tiles.size();
  const size_t part = tile_size * 16 / static_cast<size_t>(lanes_);
  for (size_t i = 0; i < tiles; ++i) {
    pack_tile(stretch.tiles[i], stretch.packed + i * part, tiles * part);
  }
  uint8_t* to = stretch.packed + tiles * tile_size;
  for (int strip = 0; strip < lanes_; strip += 16) {
    for (const ScaleSource& scale : stretch.scales) {
      for (int i = strip; i < strip + 16; ++i, to += 2) {
        to[0] = scale.low[i];
        to[1] = scale.high[i];
      }
    }
  }
}

const uint8_t* PackedWeights::stretch(std::span<const TileSource> tiles,
                                      std::span<const ScaleSource> scales) {
  if (tiles.empty()) return nullptr;
  std::vector<Stretch>& candidates = stretches_[tiles[0]];
  for (const Stretch& known : candidates) {
    if (std::ranges::equal(known.tiles, tiles) && std::ranges::equal(known.scales, scales)) {
      return known.packed;
    }
  }
  const size_t tile_size = tile_bytes(tiles[0].format);
  const size_t scales_size = static_cast<size_t>(lanes_) * 2;
  Stretch stretch{{tiles.begin(), tiles.end()}, {scales.begin(), scales.end()}, nullptr, false};
  stretch.packed = allocate(tiles.size() * tile_size + scales.size() * scales_size);
  const auto rows = static_cast<uint32_t>(lanes_ * weight_bits(tiles[0].format) / 8);
  for (const TileSource& tile : tiles) {
    for (uint32_t r = 0; r < rows; ++r) stretch.changes |= note_word(tile.row(r));
  }
  for (const ScaleSource& scale : scales) {
    stretch.changes |= note_word(scale.low);
    stretch.changes |= note_word(scale.high);
  }
  pack(stretch);
  ++packed_;
  candidates.push_back(std::move(stretch));
  return candidates.back().packed;
}

}  // namespace pianola
