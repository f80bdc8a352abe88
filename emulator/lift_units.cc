// Passes of the VXM, tiles and multiplications of the MXM, moves of the SXM.
#include <algorithm>
#include <array>
#include <span>
#include <string>

#include "emulator/lifter.h"

namespace pianola {

void Lifter::read_operand(LiftedChain& chain, int position, Direction direction, uint32_t stream,
                          int count) {
  if (count > 1 && stream % count != 0) {
    fail(Rule::IllegalEncoding, position, "operand stream is not aligned");
  }
  std::array<Place, PassPlaces::kMost> places{};
  for (int b = 0; b < count; ++b) places[b] = read(position, direction, stream + b);
  chain.add_places(std::span(places).first(static_cast<size_t>(count)));
}

bool Lifter::level_is(uint32_t level, const Iteration& it, const Timing& timing, bool last) {
  const uint32_t index = level == 1 ? it.i1 : level == 2 ? it.i2 : it.i3;
  const uint32_t n = level == 1 ? timing.n1 : level == 2 ? timing.n2 : timing.n3;
  return index == (last ? n : 0);
}

namespace {

// What instructions have in common that may be played together: without what is said of each pass. A pass that
// loads its accumulator is one of those that fold and load there, and one that drives nothing of those that
// drive a fold, if that is a shape that kernels know.
VxmInstruction without_passes(VxmInstruction x) {
  x.timing = {};
  x.x_dir = x.y_dir = x.z_dir = Direction{};
  x.x_stream = x.y_stream = x.z_stream = x.out_stream = x.out_dirs = 0;
  x.select_imm = x.select_s1 = x.select_s2 = 0;
  x.acc = 0;
  x.acc_s1 = x.acc_s2 = x.acc_s3 = 0;
  x.emit = VxmEmit{};
  if (folds(x.acc_op)) x.first = VxmFirst::Never;
  VxmInstruction fold = x;
  if (x.acc_op == VxmAccOp::Load) {
    const bool largest = x.tree == VxmTree::Max || x.tree == VxmTree::Absmax;
    fold.acc_op = largest ? VxmAccOp::Max : VxmAccOp::Add;
    fold.first = VxmFirst::Never;
  }
  if (folds(fold.acc_op) && x.out_format == VxmOutFormat::None) {
    fold.out_format = VxmOutFormat::F32;
    fold.out_source = VxmOutSource::W;
  }
  return number_of(shape_of(fold)) != kNoVxmShape ? fold : x;
}

}  // namespace

uint32_t Lifter::add_control(const VxmInstruction& each, int position) {
  const VxmInstruction x = without_passes(each);
  const auto [known, added] =
      controls_.emplace(encode_push(0, 1, x), static_cast<uint32_t>(steps_.delays.size()));
  if (!added) return known->second;
  VxmControl control;
  control.instruction = x;
  control.shape = number_of(shape_of(x));
  control.x_count = streams_of(x.x_format);
  control.y_count = streams_of(x.y_format);
  control.z_count = streams_of(x.z_format);
  control.out_count = streams_of(x.out_format);
  control.places_per_pass =
      control.x_count + control.y_count + control.z_count + control.out_count;
  control.segment = lanes_of(x.segment, lanes_);
  if (lanes_ % control.segment != 0) fail(Rule::IllegalEncoding, position, "segment");
  const bool uses_r = x.combine == VxmCombine::R || x.combine == VxmCombine::Replace ||
                      x.acc_source == VxmAccSource::R;
  if (x.tree == VxmTree::None && uses_r) fail(Rule::IllegalEncoding, position, "no tree");
  if (x.add_op != VxmAddOp::None && x.add_operand == VxmOperand::None) {
    fail(Rule::IllegalEncoding, position, "add_op without operand");
  }
  PassDelays delays;
  delays.key = static_cast<uint32_t>(latency_vxm_in(lanes_) + 4 * latency_vxm_mul(lanes_) +
                                     latency_vxm_add(lanes_) + latency_vxm_select(lanes_));
  if (x.sfu != VxmSfu::None) delays.key += static_cast<uint32_t>(latency_vxm_sfu(lanes_));
  if (x.tree != VxmTree::None) delays.key += static_cast<uint32_t>(latency_vxm_tree(lanes_));
  if (x.root != VxmRoot::None) delays.key += static_cast<uint32_t>(latency_vxm_root(lanes_));
  delays.drive =
      delays.key + static_cast<uint32_t>(latency_vxm_add(lanes_) + latency_vxm_out(lanes_));
  steps_.delays.push_back(delays);
  program_->vxm_controls.push_back(control);
  return known->second;
}

void Lifter::issue(const VxmInstruction& x, const Iteration& it, const QueueInfo& info) {
  LiftedChain& chain = steps_.chains[info.unit];
  if (chain.instruction != number_) {
    chain.instruction = number_;
    chain.control = add_control(x, info.position);
  }
  const VxmControl& control = program_->vxm_controls[chain.control];
  LiftedPass pass;
  pass.issue = cycle_;
  pass.control = chain.control;
  pass.first_place = chain.places.size();
  read_operand(chain, info.position, x.x_dir, x.x_stream, control.x_count);
  read_operand(chain, info.position, x.y_dir, x.y_stream, control.y_count);
  read_operand(chain, info.position, x.z_dir, x.z_stream, control.z_count);
  pass.pass.threshold = static_cast<int32_t>(
      stepped(x.select_imm, it, x.select_s1, x.select_s2, 0));
  const bool uses_file = x.acc_op != VxmAccOp::None && x.acc_op != VxmAccOp::AddK2;
  const int64_t accumulator = stepped(x.acc, it, x.acc_s1, x.acc_s2, x.acc_s3);
  if (uses_file && (accumulator < 0 || accumulator >= target_.vxm_accumulators)) {
    return fail(Rule::AddressRange, info.position, "VXM accumulator");
  }
  pass.pass.accumulator = static_cast<uint8_t>(accumulator);
  pass.pass.loads = x.acc_op == VxmAccOp::Load ||
                    (x.first != VxmFirst::Never &&
                     level_is(static_cast<uint32_t>(x.first), it, x.timing, false));
  pass.pass.drives = x.out_format != VxmOutFormat::None &&
                     (x.emit == VxmEmit::Always ||
                      level_is(static_cast<uint32_t>(x.emit), it, x.timing, true));
  if (pass.pass.drives && x.out_stream % control.out_count != 0) {
    fail(Rule::IllegalEncoding, info.position, "out_stream is not aligned");
  }
  chain.passes.push_back(pass);
  if (!pass.pass.drives) return;
  std::array<Place, PassPlaces::kMost> out{};
  for (int b = 0; b < control.out_count; ++b) {
    out[b] = new_vector();
    drive_both(cycle_ + steps_.delays[pass.control].drive, info.position, x.out_dirs,
               x.out_stream + b, out[b]);
  }
  chain.add_places(std::span(out).first(static_cast<size_t>(control.out_count)));
}

void Lifter::issue(const MxmLoadInstruction& x, const Iteration& it, const QueueInfo& info) {
  LiftedMxm& mxm = steps_.mxms[info.unit];
  const int per_byte = 1 << static_cast<int>(x.format);
  const int64_t first = stepped(x.row, it, x.row_s1, x.row_s2, x.row_s3);
  for (int i = 0; i < target_.mxm_load_streams; ++i) {
    const int64_t row = first + int64_t{i} * per_byte;
    if (row >= lanes_) continue;
    if (row < 0 || row + per_byte > lanes_) {
      return fail(Rule::AddressRange, info.position, "tile row " + std::to_string(row));
    }
    const Place from = read(info.position, x.dir, x.stream + i);
    for (int w = 0; w < per_byte; ++w) {
      mxm.shadow[row + w] = {from, {x.format, x.orientation, static_cast<uint8_t>(w)}};
      mxm.rows_loaded += mxm.loaded[row + w] == 0;
      mxm.loaded[row + w] = 1;
    }
  }
}

bool Lifter::is_constant(const uint8_t* vector) const {
  const auto within = [&](const uint8_t* begin, size_t size) {
    return vector >= begin && vector < begin + size;
  };
  return within(reinterpret_cast<const uint8_t*>(roll_.data.data()), roll_.data.size()) ||
         within(memory_.mem.data(), memory_.mem.size());
}

void Lifter::install_tile(LiftedMxm& mxm, const QueueInfo& info) {
  if (mxm.rows_loaded != lanes_) {
    return fail(Rule::TileIncomplete, info.position, "rows of the shadow tile are missing");
  }
  LiftedTile tile;
  const LiftedRow& first = mxm.shadow[0];
  const auto per_byte = static_cast<uint32_t>(8 / weight_bits(first.form.format));
  const uint32_t rows = static_cast<uint32_t>(lanes_) / per_byte;
  bool one_orientation = true, in_place = true;
  for (int r = 0; r < lanes_; ++r) {
    const LiftedRow& row = mxm.shadow[r];
    one_orientation = one_orientation && row.form.orientation == first.form.orientation;
    in_place = in_place && is_in_place(row.from) && row.form.format == first.form.format &&
               row.form.index == r % static_cast<int>(per_byte);
  }
  tile.whole_rows = one_orientation && std::ranges::all_of(mxm.shadow, [](const LiftedRow& row) {
    return row.form.format == MxmLoadFormat::Int8;
  });
  tile.input_orientation = one_orientation && first.form.orientation == MxmLoadOrientation::Input;
  for (uint32_t spread = 1; one_orientation && in_place && !tile.regular && spread <= rows;
       spread *= 2) {
    const auto at = [&](uint32_t row) {
      return reinterpret_cast<const uint8_t*>(mxm.shadow[row * per_byte].from);
    };
    const auto distance = [&](uint32_t row) {
      return static_cast<int64_t>(mxm.shadow[row * per_byte].from - first.from);
    };
    const int64_t stride = spread < rows ? distance(spread) : 0;
    bool repeats = true;
    for (uint32_t r = spread; r < rows; ++r) {
      repeats = repeats && distance(r) == distance(r - spread) + stride;
    }
    if (!repeats || (spread > 1 && memory_.packed == nullptr)) continue;
    tile.source = {at(0), stride, spread, nullptr, first.form.format, first.form.orientation};
    if (spread > 1) {
      std::vector<int64_t> turns;
      for (uint32_t r = 0; r < spread; ++r) turns.push_back(distance(r));
      tile.source.turns = memory_.packed->turns(turns);
    }
    tile.regular = tile.constant = true;
    for (uint32_t r = 0; r < rows; ++r) tile.constant = tile.constant && is_constant(at(r));
  }
  tile.constant = tile.constant && tile.regular;
  if (!tile.regular) {
    tile.first_row = mxm.rows.size();
    mxm.rows.insert(mxm.rows.end(), mxm.shadow.begin(), mxm.shadow.end());
  }
  mxm.tiles.push_back(tile);
  mxm.rows_loaded = 0;
  mxm.loaded.assign(lanes_, 0);
}

void Lifter::issue(const MxmMacInstruction& x, const Iteration& it, const QueueInfo& info) {
  LiftedMxm& mxm = steps_.mxms[info.unit];
  if (x.swap == MxmMacSwap::Always || (x.swap == MxmMacSwap::Level1 && it.i1 == 0)) {
    install_tile(mxm, info);
  }
  if (mxm.tiles.empty()) {
    return fail(Rule::AccumulatorUndefined, info.position, "no tile is installed");
  }
  const int64_t accumulator = stepped(x.acc, it, x.acc_s1, x.acc_s2, x.acc_s3);
  if (accumulator < 0 || accumulator >= target_.mxm_accumulators) {
    return fail(Rule::AddressRange, info.position, "MXM accumulator");
  }
  LiftedMac now;
  now.issue = cycle_;
  now.tile = static_cast<uint32_t>(mxm.tiles.size() - 1);
  now.x = read(info.position, x.dir, x.stream);
  now.accumulator = static_cast<uint16_t>(accumulator);
  now.clears = x.clear == MxmMacClear::Always || (x.clear == MxmMacClear::Level2 && it.i2 == 0);
  if (x.emit == MxmMacEmit::Always || (x.emit == MxmMacEmit::Level2 && it.i2 == x.timing.n2)) {
    if (x.out_stream % 4 != 0) {
      fail(Rule::IllegalEncoding, info.position, "out_stream is not aligned");
    }
    now.out = new_vectors(4);
    for (uint32_t b = 0; b < 4; ++b) {
      drive(cycle_ + steps_.mac_delay, info.position, x.out_dir, x.out_stream + b, now.out + b);
    }
  }
  mxm.steps.push_back(now);
}

void Lifter::issue(const SxmInstruction& x, const Iteration& it, const QueueInfo& info) {
  SxmStep step;
  step.op = x.op;
  step.width = 1 << static_cast<int>(x.width);
  step.segment = lanes_of(x.segment, lanes_);
  const int64_t amount = x.amount + int64_t{it.i1} * x.amount_s1;
  step.amount = static_cast<int32_t>(amount);
  if (lanes_ % step.segment != 0) fail(Rule::IllegalEncoding, info.position, "segment");
  const bool transposes = x.op == SxmOp::TransposeIn || x.op == SxmOp::TransposeOut;
  const bool moves = x.op == SxmOp::Shift || x.op == SxmOp::Rotate;
  const int limit = transposes ? transpose_rows_ : moves ? step.segment : lanes_;
  if (amount >= limit || amount <= (moves ? -limit : -1)) {
    return fail(Rule::AddressRange, info.position, "amount " + std::to_string(amount));
  }
  if ((transposes && step.width != 1) || x.stream % step.width != 0 ||
      x.out_stream % step.width != 0) {
    return fail(Rule::IllegalEncoding, info.position, "width or streams");
  }
  uint8_t* rows = program_->transpose.data +
                  static_cast<size_t>(info.unit) * transpose_rows_ * lanes_;
  if (x.op == SxmOp::TransposeIn) {
    return add_copy(place_of(rows + amount * lanes_), read(info.position, x.dir, x.stream));
  }
  if (x.op == SxmOp::Permute) step.index = read(info.position, x.index_dir, x.index_stream);
  if (x.op == SxmOp::TransposeOut) step.rows = rows;
  for (int b = 0; b < step.width; ++b) {
    if (!transposes) step.from[b] = read(info.position, x.dir, x.stream + b);
    step.to[b] = new_vector();
    drive_both(cycle_ + latency_sxm(lanes_), info.position, x.out_dirs, x.out_stream + b,
               step.to[b]);
  }
  add_operation(OperationKind::Sxm, program_->sxm_steps.size(), cycle_);
  program_->sxm_steps.push_back(step);
}

}  // namespace pianola
