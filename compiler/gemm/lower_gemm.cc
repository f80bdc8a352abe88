#include "compiler/gemm/lower_gemm.h"

#include <string>

namespace pianola {
namespace {

constexpr int kSumBytes = 4;

// The arrays of a product, declared in this order in every entry.
struct GemmArrays {
  std::vector<std::vector<ArrayId>> a, b, rest;  // by side: by home, by home, by unit
  std::vector<ArrayId> sums;                     // by part
};

class Lowering {
 public:
  explicit Lowering(const GemmLayout& layout) : layout_(layout) { declare_arrays(); }

  VectorProgram load() {
    for (size_t side = 0; side < layout_.sides.size(); ++side) {
      for (const auto* ids : {&arrays_.a[side], &arrays_.b[side], &arrays_.rest[side]}) {
        for (const ArrayId id : *ids) copy_in(id);
      }
    }
    for (const ArrayId id : arrays_.sums) clear(id);
    return std::move(program_);
  }

  VectorProgram multiply() {
    for (size_t i = 0; i < layout_.parts.size(); ++i) multiply(layout_.parts[i], arrays_.sums[i]);
    return std::move(program_);
  }

  VectorProgram fetch() {
    for (const ArrayId id : arrays_.sums) {
      VxmOperation pass;
      pass.name = program_.arrays[id].name;
      pass.nest.count[0] = program_.arrays[id].vectors;
      pass.x = {OperandSource::Array, VxmFormat::Raw, walk(id, 0, {1, 0, 0})};
      pass.pass.out_format = VxmOutFormat::F32;
      pass.to_host = true;
      program_.operations.push_back(std::move(pass));
    }
    return std::move(program_);
  }

 private:
  static ArrayRef walk(ArrayId array, int index, std::array<int, 3> step) {
    ArrayRef ref;
    ref.array = array;
    ref.index = index;
    ref.step = step;
    return ref;
  }

  ArrayId declare(const std::string& name, GemmSlice place, int bank, int streams, int vectors) {
    Array array;
    array.name = name;
    array.home = place.home;
    array.slice = place.slice;
    array.bank = bank;
    array.streams = streams;
    array.vectors = vectors;
    array.persistent = true;
    program_.arrays.push_back(std::move(array));
    return static_cast<ArrayId>(program_.arrays.size()) - 1;
  }

  void declare_arrays() {
    for (const GemmSide& side : layout_.sides) {
      auto& a = arrays_.a.emplace_back();
      auto& b = arrays_.b.emplace_back();
      auto& rest = arrays_.rest.emplace_back();
      for (const int home : side.a_homes) {
        if (layout_.a_blocks == 0) break;
        a.push_back(declare("a", {home, 0}, 0, kHomeSlices,
                            layout_.a_blocks * layout_.tiles * layout_.load_steps));
      }
      for (const int home : side.b_homes) {
        b.push_back(declare("b", {home, 0}, 0, kHomeSlices, layout_.tiles * layout_.column_stride));
      }
      for (const GemmSlice& place : side.rest_slices) {
        if (layout_.rest == 0) break;
        rest.push_back(declare("a.rest", place, 0, 1, layout_.tiles * layout_.rest));
      }
    }
    for (const GemmPart& part : layout_.parts) {
      const int home = layout_.sides[part.side].sums_homes[part.unit];
      arrays_.sums.push_back(
          declare("c", {home, 0}, part.bank, kSumBytes, part.windows * part.vectors));
    }
  }

  void copy_in(ArrayId id) {
    CopyInOperation copy;
    copy.name = program_.arrays[id].name;
    copy.nest.count[0] = program_.arrays[id].vectors;
    copy.destination = walk(id, 0, {1, 0, 0});
    program_.operations.push_back(std::move(copy));
  }

  void clear(ArrayId id) {
    VxmOperation zero;
    zero.name = "clear";
    zero.nest.count[0] = program_.arrays[id].vectors;
    zero.pass.out_format = VxmOutFormat::F32;
    zero.writes = {walk(id, 0, {1, 0, 0})};
    program_.operations.push_back(std::move(zero));
  }

  void multiply(const GemmPart& part, ArrayId sums) {
    const int steps = layout_.load_steps, tiles = layout_.tiles, columns = layout_.column_stride;
    MatmulOperation op;
    op.name = part.a_stationary ? "a b" : "rest b";
    op.mxm = layout_.sides[part.side].mxms[part.unit];
    op.activations = part.vectors;
    op.tiles = tiles;
    op.windows = part.windows;
    op.tile_cycles = part.tile_cycles;
    op.format = MxmLoadFormat::Int8;
    op.orientation = MxmLoadOrientation::Output;
    op.source = TileSource::Array;
    if (part.a_stationary) {
      for (const ArrayId id : arrays_.a[part.side]) {
        op.rows.push_back(walk(id, part.block * tiles * steps, {1, steps, part.stride * tiles * steps}));
      }
      op.activation = walk(arrays_.b[part.side][part.slice / kHomeSlices], part.first, {1, columns, 0});
      op.activation.slice = part.slice % kHomeSlices;
    } else {
      for (const ArrayId id : arrays_.b[part.side]) {
        op.rows.push_back(walk(id, part.block * steps, {1, columns, part.stride * steps}));
      }
      op.activation = walk(arrays_.rest[part.side][part.unit], part.first, {1, layout_.rest, 0});
    }
    op.sums = walk(sums, 0, {1, part.vectors, 0});
    program_.operations.push_back(std::move(op));
  }

  const GemmLayout& layout_;
  VectorProgram program_;
  GemmArrays arrays_;
};

}  // namespace

VectorProgram lower_gemm_load(const GemmLayout& layout) { return Lowering(layout).load(); }
VectorProgram lower_gemm(const GemmLayout& layout) { return Lowering(layout).multiply(); }
VectorProgram lower_gemm_fetch(const GemmLayout& layout) { return Lowering(layout).fetch(); }

}  // namespace pianola
