#include "emulator/fuse_products.h"

#include <algorithm>
#include <span>

namespace pianola {
namespace {

constexpr size_t kMostTiles = 65535;  // of a sum

struct Sum {
  uint32_t mxm = 0;
  uint32_t first = 0, count = 0;  // into sum_steps_
  bool fusable = false;
};

// Places of a term among those of its pass.
struct TermShape {
  bool is_term = false, has_scales = false;
  bool is_load = false;  // of plain fp32, if the accumulator is loaded and nothing driven
};

TermShape shape_of(const VxmControl& control) {
  const VxmInstruction& x = control.instruction;
  const bool plain = x.add_op == VxmAddOp::None && x.select == VxmSelect::None &&
                     x.sfu == VxmSfu::None && x.mul3 == VxmOperand::None &&
                     x.tree == VxmTree::None && x.combine == VxmCombine::None &&
                     x.acc_source == VxmAccSource::V;
  TermShape shape;
  if (!plain) return shape;
  shape.is_load = x.x_format == VxmFormat::F32 && x.mul1 == VxmOperand::None &&
                  x.mul2 == VxmOperand::None;
  const bool out = control.out_count == 0 || (x.out_format == VxmOutFormat::F32 &&
                                              x.out_source == VxmOutSource::W);
  shape.has_scales = x.mul2 == VxmOperand::Z && x.z_format == VxmFormat::F32;
  shape.is_term = (x.acc_op == VxmAccOp::Add || x.acc_op == VxmAccOp::Load) && out &&
                  x.x_format == VxmFormat::I32 && x.mul1 == VxmOperand::Y &&
                  x.y_format == VxmFormat::F16 &&
                  (shape.has_scales || x.mul2 == VxmOperand::None);
  return shape;
}

bool uses_accumulator(const VxmInstruction& x) {
  return x.acc_op != VxmAccOp::None && x.acc_op != VxmAccOp::AddK2;
}

class Fuser {
 public:
  Fuser(const IsConstant& is_constant, LiftedSteps& steps, PackedWeights& packed, Program& program)
      : is_constant_(is_constant), steps_(steps), packed_(packed), program_(program) {}

  void run() {
    for (size_t m = 0; m < steps_.mxms.size(); ++m) find_sums(static_cast<uint32_t>(m));
    if (sums_.empty()) return;
    for (const VxmControl& control : program_.vxm_controls) shapes_.push_back(shape_of(control));
    for (size_t c = 0; c < steps_.chains.size(); ++c) find_products(static_cast<uint32_t>(c));
  }

 private:
  struct Column {
    bool open = false, has_scales = false, loads = false;
    uint32_t initial = kNone;        // the pass that loads, if fused
    std::vector<uint32_t> passes;    // terms
    std::vector<uint32_t> sums;      // of the terms
  };
  // Columns that have ended and may become one product.
  struct Group {
    std::vector<Column> columns;
    std::vector<uint8_t> accumulators;
    uint64_t first_drive = ~uint64_t{0};
    void clear() { *this = {}; }
  };

  // ---- Sums ----

  void find_sums(uint32_t m) {
    const LiftedMxm& mxm = steps_.mxms[m];
    struct Open {
      std::vector<uint32_t> steps;
      uint32_t emitted = kNone;
      bool valid = false;
    };
    std::vector<Open> open;
    for (uint32_t i = 0; i < mxm.steps.size(); ++i) {
      const LiftedMac& step = mxm.steps[i];
      if (step.accumulator >= open.size()) open.resize(step.accumulator + 1);
      Open& sum = open[step.accumulator];
      if (step.clears) {
        sum.steps.clear();
        sum.emitted = kNone;
        sum.valid = true;
      } else if (sum.emitted != kNone) {
        sums_[sum.emitted].fusable = false;  // somebody goes on with it
        sum.valid = false;
      }
      if (!sum.valid) continue;
      sum.steps.push_back(i);
      if (step.emits()) {
        sum.emitted = static_cast<uint32_t>(sums_.size());
        add_sum(m, sum.steps);
      }
    }
  }

  void add_sum(uint32_t m, const std::vector<uint32_t>& steps) {
    const LiftedMxm& mxm = steps_.mxms[m];
    const LiftedMac& last = mxm.steps[steps.back()];
    Sum sum;
    sum.mxm = m;
    sum.first = static_cast<uint32_t>(sum_steps_.size());
    sum.count = static_cast<uint32_t>(steps.size());
    const MxmLoadFormat format = mxm.tiles[mxm.steps[steps[0]].tile].source.format;
    sum.fusable = steps.size() <= kMostTiles && std::ranges::all_of(steps, [&](uint32_t i) {
      const LiftedTile& tile = mxm.tiles[mxm.steps[i].tile];
      return tile.constant && tile.source.format == format;
    });
    const uint64_t vector = last.out & ~kVectorBit;
    for (uint64_t b = 0; b < 4; ++b) {
      sum.fusable = sum.fusable && steps_.uses[vector + b] == 1;
    }
    if (sum.fusable) {
      sum_steps_.insert(sum_steps_.end(), steps.begin(), steps.end());
      if (vector >= sum_of_.size()) sum_of_.resize(std::max(steps_.uses.size(), vector + 1), kNone);
      sum_of_[vector] = static_cast<uint32_t>(sums_.size());
    }
    sums_.push_back(sum);
  }

  // ---- Columns ----

  PassPlaces places_of(const LiftedChain& chain, const LiftedPass& pass) const {
    return chain.places_of(pass, program_.vxm_controls[pass.control]);
  }

  // The sum that a pass may take as a term; kNone if it is none.
  uint32_t term_of(const LiftedChain& chain, const LiftedPass& pass) const {
    if (!shapes_[pass.control].is_term) return kNone;
    const PassPlaces places = places_of(chain, pass);
    const Place first = places.x[0];
    const uint64_t vector = first & ~kVectorBit;
    if (!is_vector(first) || vector >= sum_of_.size() || sum_of_[vector] == kNone) return kNone;
    for (Place b = 1; b < 4; ++b) {
      if (places.x[b] != first + b) return kNone;
    }
    for (const Place y : {places.y[0], places.y[1]}) {
      if (!is_in_place(y) || !is_constant_(reinterpret_cast<const uint8_t*>(y))) return kNone;
    }
    return sums_[sum_of_[vector]].fusable ? sum_of_[vector] : kNone;
  }

  void find_products(uint32_t c) {
    const LiftedChain& chain = steps_.chains[c];
    std::vector<Column> columns;
    for (uint32_t i = 0; i < chain.passes.size(); ++i) {
      const LiftedPass& pass = chain.passes[i];
      const VxmInstruction& x = program_.vxm_controls[pass.control].instruction;
      if (!uses_accumulator(x)) continue;
      const size_t a = pass.pass.accumulator;
      if (a >= columns.size()) columns.resize(a + 1);
      Column& column = columns[a];
      if (std::ranges::find(group_.accumulators, a) != group_.accumulators.end()) end_group(c);
      const uint32_t sum = term_of(chain, pass);
      const TermShape shape = shapes_[pass.control];
      const bool loads = pass.pass.loads;
      if (sum == kNone) {
        column = {};
        if (shape.is_load && loads && !pass.pass.drives) {
          column.open = true;
          column.initial = i;
        }
        continue;
      }
      if (loads || !column.open) {
        column = {};
        column.open = loads;
        column.loads = loads;
      }
      if (!column.passes.empty() && column.has_scales != shape.has_scales) column.open = false;
      if (!column.open) continue;
      column.has_scales = shape.has_scales;
      column.passes.push_back(i);
      column.sums.push_back(sum);
      if (!pass.pass.drives) continue;
      take_column(c, std::move(column));
      column = {};
    }
    end_group(c);
  }

  // ---- Groups ----

  const LiftedTile& tile_of(const Sum& sum, uint32_t i) const {
    const LiftedMxm& mxm = steps_.mxms[sum.mxm];
    return mxm.tiles[mxm.steps[sum_steps_[sum.first + i]].tile];
  }

  // The weights and weight scales of two columns are the same.
  bool same_weights(const LiftedChain& chain, const Column& a, const Column& b) const {
    if (a.sums.size() != b.sums.size() || a.has_scales != b.has_scales || a.loads != b.loads ||
        (a.initial == kNone) != (b.initial == kNone)) {
      return false;
    }
    for (size_t w = 0; w < a.sums.size(); ++w) {
      const Sum &s = sums_[a.sums[w]], &t = sums_[b.sums[w]];
      if (s.count != t.count) return false;
      for (uint32_t i = 0; i < s.count; ++i) {
        const LiftedTile &p = tile_of(s, i), &q = tile_of(t, i);
        if (&p != &q && p.source != q.source) return false;
      }
      const PassPlaces p = places_of(chain, chain.passes[a.passes[w]]);
      const PassPlaces q = places_of(chain, chain.passes[b.passes[w]]);
      if (p.y != q.y) return false;
    }
    return true;
  }

  void take_column(uint32_t c, Column column) {
    const LiftedChain& chain = steps_.chains[c];
    const LiftedPass& last = chain.passes[column.passes.back()];
    if (!group_.columns.empty() &&
        (last.issue > group_.first_drive ||
         !same_weights(chain, group_.columns[0], column))) {
      end_group(c);
    }
    group_.first_drive =
        std::min(group_.first_drive, last.issue + steps_.delays[last.control].drive);
    group_.accumulators.push_back(last.pass.accumulator);
    group_.columns.push_back(std::move(column));
  }

  void end_group(uint32_t c) {
    if (!group_.columns.empty()) add_product(c);
    group_.clear();
  }

  void add_product(uint32_t c) {
    LiftedChain& chain = steps_.chains[c];
    const Column& first = group_.columns[0];
    std::vector<TileSource> tiles;
    std::vector<ScaleSource> scales;
    for (size_t w = 0; w < first.sums.size(); ++w) {
      const Sum& sum = sums_[first.sums[w]];
      for (uint32_t i = 0; i < sum.count; ++i) tiles.push_back(tile_of(sum, i).source);
      const PassPlaces places = places_of(chain, chain.passes[first.passes[w]]);
      scales.push_back({reinterpret_cast<const uint8_t*>(places.y[0]),
                        reinterpret_cast<const uint8_t*>(places.y[1])});
    }
    const bool one_format = std::ranges::all_of(
        tiles, [&](const TileSource& tile) { return tile.format == tiles[0].format; });
    if (!one_format) return;
    Product product;
    product.chain = c;
    product.format = tiles[0].format;
    product.tiles = packed_.stretch(tiles, scales);
    product.weight_scales = product.tiles + tiles.size() * packed_.tile_bytes(product.format);
    product.input = input_of(chain);
    product.first_column = static_cast<uint32_t>(program_.product_columns.size());
    const auto number = static_cast<uint32_t>(program_.products.size());
    for (const Column& column : group_.columns) add_column(chain, column, number);
    steps_.last_passes.push_back(group_.columns.back().passes.back());
    program_.products.push_back(product);
  }

  void add_column(LiftedChain& chain, const Column& column, uint32_t number) {
    const LiftedPass& last = chain.passes[column.passes.back()];
    ProductColumn result;
    result.accumulator = last.pass.accumulator;
    result.loads = column.loads;
    if (column.initial != kNone) {
      std::ranges::copy(places_of(chain, chain.passes[column.initial]).x, result.initial);
      chain.passes[column.initial].product = number;
    }
    std::ranges::copy(places_of(chain, last).out, result.out);
    program_.product_columns.push_back(result);
    for (size_t w = 0; w < column.passes.size(); ++w) {
      chain.passes[column.passes[w]].product = number;
      const Sum& sum = sums_[column.sums[w]];
      for (uint32_t i = 0; i < sum.count; ++i) {
        steps_.mxms[sum.mxm].steps[sum_steps_[sum.first + i]].fused = true;
      }
    }
  }

  // The input of the group: one that was used of late, if it is the same, or a new one.
  uint32_t input_of(const LiftedChain& chain) {
    const Column& first = group_.columns[0];
    ProductInput input;
    input.columns = static_cast<uint32_t>(group_.columns.size());
    input.windows = static_cast<uint32_t>(first.sums.size());
    input.has_scales = first.has_scales;
    input.offset = weight_offset(tile_of(sums_[first.sums[0]], 0).source.format);
    std::vector<Place> places;
    std::vector<uint16_t> counts;
    for (size_t w = 0; w < first.sums.size(); ++w) {
      const uint32_t count = sums_[first.sums[w]].count;
      counts.push_back(static_cast<uint16_t>(count));
      input.tiles += count;
      for (uint32_t i = 0; i < count; ++i) {
        for (const Column& column : group_.columns) {
          const Sum& sum = sums_[column.sums[w]];
          places.push_back(steps_.mxms[sum.mxm].steps[sum_steps_[sum.first + i]].x);
        }
      }
    }
    for (size_t w = 0; input.has_scales && w < first.sums.size(); ++w) {
      for (const Column& column : group_.columns) {
        const PassPlaces pass = places_of(chain, chain.passes[column.passes[w]]);
        places.insert(places.end(), pass.z.begin(), pass.z.end());
      }
    }
    constexpr size_t kRemembered = 8;
    const size_t known = chain_inputs_from(chain);
    const size_t from = std::max(known, program_.product_inputs.size() -
                                            std::min(program_.product_inputs.size(), kRemembered));
    for (size_t i = from; i < program_.product_inputs.size(); ++i) {
      const ProductInput& other = program_.product_inputs[i];
      if (other.columns == input.columns && other.windows == input.windows &&
          other.tiles == input.tiles && other.has_scales == input.has_scales &&
          other.offset == input.offset &&
          std::equal(places.begin(), places.end(),
                     program_.product_places.begin() + other.first_place) &&
          std::equal(counts.begin(), counts.end(),
                     program_.product_counts.begin() + other.first_count)) {
        return static_cast<uint32_t>(i);
      }
    }
    input.first_place = program_.product_places.size();
    input.first_count = static_cast<uint32_t>(program_.product_counts.size());
    program_.product_places.insert(program_.product_places.end(), places.begin(), places.end());
    program_.product_counts.insert(program_.product_counts.end(), counts.begin(), counts.end());
    program_.product_inputs.push_back(input);
    return static_cast<uint32_t>(program_.product_inputs.size() - 1);
  }

  // Inputs are gathered at their first use in a chain, so chains share none.
  size_t chain_inputs_from(const LiftedChain& chain) {
    if (chain_ != &chain) {
      chain_ = &chain;
      first_input_ = program_.product_inputs.size();
    }
    return first_input_;
  }

  const IsConstant& is_constant_;
  LiftedSteps& steps_;
  PackedWeights& packed_;
  Program& program_;
  PagedVector<Sum> sums_;
  PagedVector<uint32_t> sum_steps_;  // into the steps of the sum's MXM
  PagedVector<uint32_t> sum_of_;     // by the first vector that it drives
  std::vector<TermShape> shapes_;    // by control
  Group group_;
  const LiftedChain* chain_ = nullptr;
  size_t first_input_ = 0;
};

}  // namespace

void fuse_products(const IsConstant& is_constant, LiftedSteps& steps, PackedWeights& packed,
                   Program& program) {
  if (program.lanes % 16 != 0) return;
  Fuser(is_constant, steps, packed, program).run();
}

}  // namespace pianola
