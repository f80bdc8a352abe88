// The bytes of the data tape, in exactly the order in which every entry consumes them.
#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "compiler/lower/lowering.h"
#include "compiler/lower/tile_format.h"

namespace pianola {

int blocks_per_chunk(const TapePart& part) {
  constexpr int kScaleWordsMax = 128;
  return std::max(1, kScaleWordsMax / part.windows());
}

namespace {

class TapePacker {
 public:
  TapePacker(QuantizedGraph graph, const Target& target, const Tensor* table)
      : graph_(std::move(graph)), target_(target), table_(table), lanes_(target.lanes) {}

  DataTape run() {
    if (!graph_.dimensions_only) {
      measures_ = true;
      pack();
      tape_.bytes.reserve(size_);
      measures_ = false;
    }
    pack();
    return std::move(tape_);
  }

 private:
  void pack() {
    size_ = 0;
    const bool resident = target_.weights == Residence::Mem;
    if (resident) {
      for (const std::vector<float>& gain : graph_.gains) pack_floats(gain);
      for (const QuantizedMatrix& matrix : graph_.matrices) {
        for (int block = 0; block < matrix.rows / lanes_; ++block) {
          pack_scales(matrix, block, {nullptr, 0, 0, 0, matrix.windows()});
        }
      }
      const int units = static_cast<int>(target_.mxm_positions.size());
      for (const ResidentProduct& product : resident_products(graph_, target_)) {
        for (int unit = 0; unit < units; ++unit) {
          for (int home = 0; home < homes_per_tile(target_); ++home) {
            pack_resident(product, unit, home);
          }
        }
      }
    } else {
      for (const QNode& node : graph_.nodes) pack_node(node);
    }
    tape_.weights_vectors = size_ / lanes_;
    pack_embedding();
    pack_rotary();
    tape_.vectors = size_ / lanes_;
  }

  void pack_node(const QNode& node) {
    if (const auto* quantize = std::get_if<QQuantize>(&node.op)) {
      if (quantize->gain >= 0) pack_floats(graph_.gains[quantize->gain]);
      return;
    }
    if (!std::holds_alternative<QLinear>(node.op)) return;
    for (const TapePart& part : tape_parts(graph_, target_, node)) pack_part(part);
  }

  void pack_part(const TapePart& part) {
    QuantizedMatrix& matrix = graph_.matrices[std::get<QLinear>(part.product->op).matrix];
    const int chunk = blocks_per_chunk(part);
    for (int first = part.first_block; first < part.end_block; first += chunk) {
      const int end = std::min(part.end_block, first + chunk);
      for (int block = first; block < end; ++block) pack_scales(matrix, block, part);
      for (int block = first; block < end; ++block) pack_tiles(matrix, block, part);
    }
    const bool last = part.end_block * lanes_ == matrix.rows && part.end_window == matrix.windows();
    if (!measures_ && last) release(matrix);
  }

  // Its weights are packed; its size is still asked for.
  static void release(QuantizedMatrix& matrix) {
    matrix.codes = decltype(matrix.codes)();  // `= {}` would keep the memory
    matrix.scales = decltype(matrix.scales)();
  }

  // Room for so many bytes; null where there is nothing to put in.
  std::byte* grow(size_t bytes) {
    size_ += bytes;
    if (graph_.dimensions_only || measures_) return nullptr;
    tape_.bytes.resize(tape_.bytes.size() + bytes);
    return tape_.bytes.data() + tape_.bytes.size() - bytes;
  }

  // Per window: low bytes of the block's fp16 scales, then high bytes.
  void pack_scales(const QuantizedMatrix& matrix, int block, const TapePart& part) {
    const int windows = matrix.windows();
    std::byte* out = grow(static_cast<size_t>(part.windows()) * 2 * lanes_);
    if (!out) return;
    for (int w = part.first_window; w < part.end_window; ++w, out += 2 * lanes_) {
      for (int lane = 0; lane < lanes_; ++lane) {
        const uint16_t scale =
            matrix.scales[static_cast<size_t>(block * lanes_ + lane) * windows + w];
        out[lane] = static_cast<std::byte>(scale & 0xff);
        out[lanes_ + lane] = static_cast<std::byte>(scale >> 8);
      }
    }
  }

  void pack_tiles(const QuantizedMatrix& matrix, int block, const TapePart& part) {
    const int per_window = matrix.window / lanes_, first = part.first_window * per_window;
    const int end = std::min(matrix.cols / lanes_, part.end_window * per_window);
    const int vectors = tile_vectors(matrix.bits, lanes_);
    std::byte* out = grow(static_cast<size_t>(end - first) * vectors * lanes_);
    if (!out) return;
    for (int tile = first; tile < end; ++tile) {
      for (int v = 0; v < vectors; ++v, out += lanes_) pack_vector(matrix, block, tile, v, out);
    }
  }

  // Vector v of a tile: the weights of one output, or of two with 4 bits, or of four that are ternary.
  void pack_vector(const QuantizedMatrix& matrix, int block, int tile, int v, std::byte* out) const {
    const int rows_per_vector = 8 / matrix.bits;
    const int8_t* codes =
        &matrix.codes[static_cast<size_t>(block * lanes_ + v * rows_per_vector) * matrix.cols +
                      tile * lanes_];
    if (rows_per_vector == 1) {
      std::memcpy(out, codes, static_cast<size_t>(lanes_));
      return;
    }
    const int mask = (1 << matrix.bits) - 1;
    for (int lane = 0; lane < lanes_; ++lane) {
      int byte = 0;
      for (int row = 0; row < rows_per_vector; ++row) {
        byte |= (codes[row * matrix.cols + lane] & mask) << row * matrix.bits;
      }
      out[lane] = static_cast<std::byte>(byte);
    }
  }

  // What one home holds of a matrix unit's tiles: of each load step the vectors of its slices.
  void pack_resident(const ResidentProduct& product, int unit, int home) {
    const int units = static_cast<int>(target_.mxm_positions.size());
    const int streams = target_.mxm_load_streams, width = std::min(4, streams);
    for (const ResidentUnit& what : windows_of_unit(product, unit, units)) {
      const ResidentBlock& block = product.blocks[what.block];
      const QuantizedMatrix& matrix = graph_.matrices[block.matrix];
      const int steps = load_steps(product, target_), tiles = tiles_of_window(product, what.window);
      std::byte* out = grow(static_cast<size_t>(tiles) * steps * width * lanes_);
      if (!out) continue;
      for (int tile = 0; tile < tiles; ++tile) {
        for (int step = 0; step < steps; ++step) {
          for (int i = 0; i < width; ++i, out += lanes_) {
            pack_vector(matrix, block.block, what.window * product.tiles_per_window + tile,
                        step * streams + home * width + i, out);
          }
        }
      }
    }
  }

  // fp32 values, a vector of lanes after the other, each as four vectors of bytes.
  void pack_floats(std::span<const float> values) {
    CHECK(values.size() % lanes_ == 0);
    std::byte* out = grow(values.size() * 4);
    if (!out) return;
    for (size_t first = 0; first < values.size(); first += lanes_, out += 4 * lanes_) {
      for (int lane = 0; lane < lanes_; ++lane) {
        const uint32_t bits = std::bit_cast<uint32_t>(values[first + lane]);
        for (int b = 0; b < 4; ++b) {
          out[b * lanes_ + lane] = static_cast<std::byte>(bits >> (8 * b) & 0xff);
        }
      }
    }
  }

  void pack_embedding() {
    const size_t values = static_cast<size_t>(graph_.model.vocabulary) *
                          static_cast<size_t>(graph_.value_widths[0]);
    if (graph_.dimensions_only || measures_) {
      grow(values * 4);
    } else if (table_ != nullptr) {
      std::vector<float> row(static_cast<size_t>(graph_.value_widths[0]), 0.0f);
      for (size_t r = 0; r < table_->rows; ++r) {
        table_->dequantize_row(r, std::span(row).first(table_->cols));
        pack_floats(row);
      }
    } else {
      CHECK(graph_.embedding.size() == values);
      pack_floats(graph_.embedding);
    }
  }

  void pack_rotary() {
    const size_t half = static_cast<size_t>(graph_.rotary_width);
    const size_t positions = half == 0 ? 0 : graph_.cosine.size() / half;
    std::vector<float> row;
    for (size_t p = 0; p < positions; ++p) {
      const std::span cosine(&graph_.cosine[p * half], half), sine(&graph_.sine[p * half], half);
      row.clear();
      row.insert(row.end(), cosine.begin(), cosine.end());
      if (2 * half == static_cast<size_t>(lanes_)) {
        row.insert(row.end(), cosine.begin(), cosine.end());
      }
      for (float value : sine) row.push_back(-value);
      row.insert(row.end(), sine.begin(), sine.end());
      pack_floats(row);
    }
  }

  QuantizedGraph graph_;
  const Target& target_;
  const Tensor* table_;
  int lanes_;
  DataTape tape_;
  size_t size_ = 0;
  bool measures_ = false;  // only the size
};

}  // namespace

DataTape build_data_tape(QuantizedGraph graph, const Target& target, const Tensor* table) {
  return TapePacker(std::move(graph), target, table).run();
}

}  // namespace pianola
