#include <algorithm>
#include <array>
#include <string>

#include "compiler/gemm/gemm_layout.h"
#include "compiler/lower/memory_roles.h"
#include "scheduler/vector_program.h"

namespace pianola {
namespace {

constexpr int kExtentMax = 1 << 20;
constexpr int kDepthMax = 131071;  // beyond, int32 sums could overflow
constexpr int kTilesMax = 256, kWindowsMax = 1024;  // what one instruction counts

int ceil_divide(int a, int b) { return (a + b - 1) / b; }

Error does_not_fit(const Target& target, const std::string& what, int64_t needs, int64_t has) {
  return Error{ErrorCode::OutOfRange,
               what + " of the product needs " + std::to_string(needs) + " words of a bank, which has " +
                   std::to_string(has) + "; use a smaller product or a target with more words_per_slice",
               "memory of target " + target.name};
}

Status check_shape(const GemmShape& shape, const Target& target) {
  const auto check = [](const char* name, int extent, int most) -> Status {
    if (extent >= 1 && extent <= most) return Ok{};
    return Error{ErrorCode::InvalidArgument,
                 std::string("expected 1 to ") + std::to_string(most) + ", got " + std::to_string(extent),
                 std::string(name) + " of the product"};
  };
  TRY_STATUS(check("m", shape.m, kExtentMax));
  TRY_STATUS(check("k", shape.k, std::min(kDepthMax, kTilesMax * target.lanes)));
  return check("n", shape.n, kExtentMax);
}

// The homes of a side inward of its matrix units, and the others; outward from the VXM.
std::array<std::vector<int>, 2> inner_and_outer(const Target& target, const Side& side) {
  std::array<std::vector<int>, 2> homes;
  for (size_t i = 0; i < side.homes.size(); ++i) {
    const auto beyond = [&](int mxm) {
      const int home = target.slice_position(homes_of(target)[side.homes[i]][0]);
      const int unit = target.mxm_positions[mxm];
      return std::abs(home - target.vxm_position) > std::abs(unit - target.vxm_position);
    };
    homes[std::any_of(side.mxms.begin(), side.mxms.end(), beyond)].push_back(side.homes[i]);
  }
  return homes;
}

Result<GemmSide> lay_out_side(const Target& target, const Side& from) {
  const int units = static_cast<int>(from.mxms.size()), per_tile = target.mxm_load_streams / kHomeSlices;
  const int rest_homes = ceil_divide(units, kHomeSlices);
  auto [inner, outer] = inner_and_outer(target, from);
  GemmSide side;
  side.mxms = from.mxms;
  // Sums first where nothing else can be, then nearest to the VXM.
  std::vector<int> sums = outer;
  sums.insert(sums.end(), inner.begin(), inner.end());
  const int taken = std::max(0, units - static_cast<int>(outer.size()));
  const int needed = 2 * per_tile + rest_homes;
  if (static_cast<int>(inner.size()) < taken + needed) {
    return Error{ErrorCode::Unsupported,
                 "a product needs " + std::to_string(needed + taken) + " groups of four slices between the VXM and " +
                     "the matrix units of each side, got " + std::to_string(inner.size()) +
                     "; use a target with more MEM positions",
                 "target " + target.name};
  }
  side.sums_homes.assign(sums.begin(), sums.begin() + units);
  auto next = inner.begin() + taken;
  for (int u = 0; u < units; ++u) side.rest_slices.push_back({next[u / kHomeSlices], u % kHomeSlices});
  next += rest_homes;
  side.b_homes.assign(next, next + per_tile);
  next += per_tile;
  side.a_homes.assign(next, next + per_tile);
  return side;
}

Status check_target(const Target& target, const std::vector<Side>& sides) {
  const int load = target.mxm_load_streams;
  const bool alike = !sides.empty() && std::all_of(sides.begin(), sides.end(), [&](const Side& side) {
    return side.mxms.size() == sides[0].mxms.size();
  });
  if (alike && load % kHomeSlices == 0 && target.lanes % load == 0 &&
      load % static_cast<int>(sides[0].mxms.size()) == 0) {
    return Ok{};
  }
  return Error{ErrorCode::Unsupported,
               "products need mxm.load_streams that are a multiple of 4 and of the matrix units of a side and a "
               "whole part of the lanes, and as many matrix units on either side; got " +
                   std::to_string(load) + " load streams",
               "target " + target.name};
}

class PartWriter {
 public:
  PartWriter(GemmLayout& layout, const Target& target)
      : layout_(layout),
        accumulators_(target.mxm_accumulators),
        units_(static_cast<int>(layout.sides[0].mxms.size())),
        turn_(units_ * layout.load_steps) {
    for (size_t side = 0; side < layout.sides.size(); ++side) {
      for (int slice = 0; slice < layout.load_streams; ++slice) {
        columns_max_ = std::max(columns_max_, layout.columns(static_cast<int>(side), slice));
      }
    }
  }

  int columns_max() const { return columns_max_; }

  // A's blocks, past which the columns of each slice stream in turn.
  void write_blocks() {
    if (layout_.a_blocks == 0) return;
    const int share = layout_.load_streams / units_, pieces = ceil_divide(columns_max_, accumulators_);
    for (int turn = 0; turn < share; ++turn) {
      for (int piece = 0; piece < pieces; ++piece) {
        for (int block = 0; block < layout_.a_blocks; block += kWindowsMax) {
          begin_step();
          for_each_unit([&](GemmPart part) {
            part.slice = part.unit * share + turn;
            part.block = block;
            part.windows = std::min(kWindowsMax, layout_.a_blocks - block);
            cut(layout_.columns(part.side, part.slice), piece, pieces, part);
          });
          end_step();
        }
      }
    }
  }

  // The rows left over past the columns, tile by tile: each unit has its own, the last few share what there is.
  void write_rest() {
    if (layout_.rest == 0) return;
    const int blocks = ceil_divide(columns_max_, layout_.load_steps), rounds = blocks / units_;
    const int pieces = ceil_divide(layout_.rest, accumulators_);
    for (int piece = 0; piece < pieces; ++piece) {
      for (int round = 0; round < rounds; round += kWindowsMax) {
        begin_step();
        for_each_unit([&](GemmPart part) {
          part.a_stationary = false;
          part.block = round * units_ + part.unit;
          part.stride = units_;
          part.windows = std::min(kWindowsMax, rounds - round);
          cut(layout_.rest, piece, pieces, part);
        });
        end_step();
      }
    }
    const int shares = ceil_divide(pieces, units_) * units_;
    for (int block = rounds * units_; block < blocks; ++block) {
      for (int first = 0; first < shares; first += units_) {
        begin_step();
        for_each_unit([&](GemmPart part) {
          part.a_stationary = false;
          part.block = block;
          cut(layout_.rest, first + part.unit, shares, part);
        });
        end_step();
      }
    }
  }

 private:
  template <typename F>
  void for_each_unit(F&& f) {
    for (int unit = 0; unit < units_; ++unit) {
      for (int side = 0; side < static_cast<int>(layout_.sides.size()); ++side) {
        GemmPart part;
        part.side = side;
        part.unit = unit;
        f(part);
      }
    }
  }

  // The part with one piece of `extent` vectors, if there is anything in it.
  void cut(int extent, int piece, int pieces, GemmPart& part) {
    part.first = static_cast<int>(int64_t{extent} * piece / pieces);
    part.vectors = static_cast<int>(int64_t{extent} * (piece + 1) / pieces) - part.first;
    if (part.vectors > 0) layout_.parts.push_back(part);
  }

  // Parts of one step run side by side; tiles take as long in each, so that loads never meet.
  void begin_step() { begin_ = layout_.parts.size(); }
  void end_step() {
    int cycles = turn_;
    for (size_t i = begin_; i < layout_.parts.size(); ++i) cycles = std::max(cycles, layout_.parts[i].vectors);
    for (size_t i = begin_; i < layout_.parts.size(); ++i) layout_.parts[i].tile_cycles = cycles;
  }

  GemmLayout& layout_;
  int accumulators_, units_, turn_, columns_max_ = 0;
  size_t begin_ = 0;
};

// Sums go to whichever bank of the unit's home has more room.
Status choose_banks(GemmLayout& layout, const Target& target) {
  const int words = target.words_per_slice / 2;
  std::vector<std::array<int, 2>> used(target.mxm_positions.size(), {0, 0});
  for (GemmPart& part : layout.parts) {
    auto& banks = used[layout.sides[part.side].mxms[part.unit]];
    part.bank = banks[1] < banks[0];
    banks[part.bank] += part.windows * part.vectors;
    if (banks[part.bank] > words) return does_not_fit(target, "C", banks[part.bank], words);
  }
  return Ok{};
}

GemmLayout with_blocks(GemmLayout layout, const Target& target, int a_blocks) {
  layout.a_blocks = a_blocks;
  layout.rest = std::max(0, layout.shape.m - a_blocks * layout.lanes);
  PartWriter writer(layout, target);
  layout.column_stride = ceil_divide(writer.columns_max(), layout.load_steps) * layout.load_steps;
  // The rest first: while columns of B stream, its tiles cannot be loaded from the same slices.
  writer.write_rest();
  writer.write_blocks();
  return layout;
}

}  // namespace

int64_t mac_cycles(const GemmLayout& layout) {
  std::vector<int64_t> cycles;
  for (const GemmPart& part : layout.parts) {
    const auto mxm = static_cast<size_t>(layout.sides[part.side].mxms[part.unit]);
    cycles.resize(std::max(cycles.size(), mxm + 1));
    cycles[mxm] += int64_t{part.windows} * layout.tiles * part.tile_cycles;
  }
  return *std::max_element(cycles.begin(), cycles.end());
}

Result<GemmLayout> lay_out_gemm(const GemmShape& shape, const Target& target) {
  TRY_STATUS(check_shape(shape, target));
  const std::vector<Side> sides = sides_of(target);
  TRY_STATUS(check_target(target, sides));
  GemmLayout base;
  base.shape = shape;
  base.lanes = target.lanes;
  base.load_streams = target.mxm_load_streams;
  base.load_steps = target.lanes / target.mxm_load_streams;
  base.tiles = ceil_divide(shape.k, target.lanes);
  for (const Side& side : sides) {
    TRY(GemmSide laid_out, lay_out_side(target, side));
    base.sides.push_back(std::move(laid_out));
  }
  const int whole = shape.m / target.lanes;
  GemmLayout layout = with_blocks(base, target, whole);
  if (layout.rest > 0) {
    GemmLayout padded = with_blocks(base, target, whole + 1);
    if (mac_cycles(padded) <= mac_cycles(layout)) layout = std::move(padded);
  }
  const int words = target.words_per_slice / 2;
  const int64_t a_words = int64_t{layout.a_blocks} * layout.tiles * layout.load_steps;
  const int64_t b_words = int64_t{layout.tiles} * layout.column_stride;
  const int64_t rest_words = int64_t{layout.tiles} * layout.rest;
  if (a_words > words) return does_not_fit(target, "A", a_words, words);
  if (b_words > words) return does_not_fit(target, "B", b_words, words);
  if (rest_words > words) return does_not_fit(target, "what is left over of A", rest_words, words);
  TRY_STATUS(choose_banks(layout, target));
  return layout;
}

}  // namespace pianola
