// Passes of a chain that are played together. A batch is played at the latest issue of its passes, which is never
// after a drive of one of them. So passes of other controls may come between those of a batch: only the
// accumulators have an order, and a batch ends where another pass takes one that it has used. A fused product
// takes the place of its last pass.
#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "emulator/batch_steps.h"
#include "isa/instructions.h"

namespace pianola {
namespace {

constexpr int kBatchLanes = 512;  // at least one pass
constexpr size_t kMostOpen = 8;   // batches
constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();

using AccumulatorSet = uint64_t;
static_assert(kVxmAccMax < 64);

class PassBatcher {
 public:
  PassBatcher(LiftedSteps& steps, Program& program, PagedVector<uint64_t>& times)
      : steps_(steps), program_(program), times_(times),
        most_(static_cast<uint32_t>(std::max(1, kBatchLanes / program.lanes))),
        gathered_(program.product_inputs.size(), false) {}

  void run() {
    for (uint32_t c = 0; c < steps_.chains.size(); ++c) {
      chain_ = &steps_.chains[c];
      number_ = c;
      free_from_.fill(0);
      for (uint32_t i = 0; i < chain_->passes.size(); ++i) {
        const LiftedPass& pass = chain_->passes[i];
        if (pass.product == kNone) {
          add_pass(pass);
          continue;
        }
        end_others(pass, kNone);
        if (steps_.last_passes[pass.product] == i) add_product(pass);
      }
      while (!open_.empty()) end(0);
      *chain_ = {};
    }
  }

 private:
  struct Open {
    uint32_t control = 0;
    uint64_t time = 0, first_drive = kNever;
    AccumulatorSet accumulators = 0;
    std::vector<const LiftedPass*> passes;
  };

  bool uses_accumulator(const LiftedPass& pass) const {
    const VxmAccOp op = program_.vxm_controls[pass.control].instruction.acc_op;
    return op != VxmAccOp::None && (op != VxmAccOp::AddK2 || pass.pass.loads);
  }
  static AccumulatorSet set_of(const LiftedPass& pass) {
    return AccumulatorSet{1} << pass.pass.accumulator;
  }

  // Ends batches that have used the accumulator of a pass, but for one.
  void end_others(const LiftedPass& pass, uint32_t control) {
    if ((used_ & set_of(pass)) == 0) return;
    for (size_t i = open_.size(); i-- > 0;) {
      if (open_[i].control != control && (open_[i].accumulators & set_of(pass)) != 0) end(i);
    }
  }

  void add_pass(const LiftedPass& pass) {
    const bool uses = uses_accumulator(pass);
    if (uses) end_others(pass, pass.control);
    const uint64_t time =
        uses ? std::max(pass.issue, free_from_[pass.pass.accumulator]) : pass.issue;
    const uint64_t drive =
        pass.pass.drives ? pass.issue + steps_.delays[pass.control].drive : kNever;
    size_t at = 0;
    while (at < open_.size() && open_[at].control != pass.control) ++at;
    if (at < open_.size() && (open_[at].passes.size() == most_ || time > open_[at].first_drive ||
                              open_[at].time > drive)) {
      end(at);
      at = open_.size();
    }
    if (at == open_.size()) {
      if (open_.size() == kMostOpen) end(0);
      at = open_.size();
      open_.emplace_back().control = pass.control;
    }
    Open& batch = open_[at];
    batch.time = std::max(batch.time, time);
    batch.first_drive = std::min(batch.first_drive, drive);
    batch.passes.push_back(&pass);
    if (uses) {
      batch.accumulators |= set_of(pass);
      used_ |= set_of(pass);
    }
  }

  void end(size_t number) {
    const Open open = std::move(open_[number]);
    open_.erase(open_.begin() + static_cast<ptrdiff_t>(number));
    used_ = 0;
    for (const Open& other : open_) used_ |= other.accumulators;
    VxmBatch batch;
    batch.control = open.control;
    batch.chain = number_;
    batch.passes = static_cast<uint32_t>(open.passes.size());
    batch.first_pass = static_cast<uint32_t>(program_.vxm_passes.size());
    batch.first_place = program_.vxm_places.size();
    const VxmControl& control = program_.vxm_controls[open.control];
    for (const LiftedPass* pass : open.passes) {
      program_.vxm_passes.push_back(pass->pass);
      add_places(chain_->places_of(*pass, control), control);
      if (uses_accumulator(*pass)) {
        uint64_t& free_from = free_from_[pass->pass.accumulator];
        free_from = std::max(free_from, open.time);
      }
    }
    add_operation(OperationKind::Vxm, program_.vxm_batches.size(), open.time);
    program_.vxm_batches.push_back(batch);
  }

  void add_places(const PassPlaces& places, const VxmControl& control) {
    auto& to = program_.vxm_places;
    to.insert(to.end(), places.x.begin(), places.x.begin() + control.x_count);
    to.insert(to.end(), places.y.begin(), places.y.begin() + control.y_count);
    to.insert(to.end(), places.z.begin(), places.z.begin() + control.z_count);
    to.insert(to.end(), places.out.begin(), places.out.begin() + control.out_count);
  }

  void add_product(const LiftedPass& last) {
    const Product& product = program_.products[last.product];
    const uint32_t columns = program_.product_inputs[product.input].columns;
    uint64_t time = last.issue;
    for (uint32_t c = 0; c < columns; ++c) {
      time = std::max(time,
                      free_from_[program_.product_columns[product.first_column + c].accumulator]);
    }
    for (uint32_t c = 0; c < columns; ++c) {
      free_from_[program_.product_columns[product.first_column + c].accumulator] = time;
    }
    if (!gathered_[product.input]) {
      gathered_[product.input] = true;
      add_operation(OperationKind::ProductInput, product.input, time);
    }
    add_operation(OperationKind::Product, last.product, time);
  }

  void add_operation(OperationKind kind, size_t first, uint64_t time) {
    program_.operations.push_back({kind, 1, static_cast<uint32_t>(first)});
    times_.push_back(time);
  }

  LiftedSteps& steps_;
  Program& program_;
  PagedVector<uint64_t>& times_;
  const uint32_t most_;
  std::vector<bool> gathered_;  // by product input
  LiftedChain* chain_ = nullptr;
  uint32_t number_ = 0;  // of the chain
  std::vector<Open> open_;
  AccumulatorSet used_ = 0;  // of all open batches
  std::array<uint64_t, kVxmAccMax + 1> free_from_{};  // when what was ended is done with an accumulator
};

}  // namespace

void batch_passes(LiftedSteps& steps, Program& program, PagedVector<uint64_t>& times) {
  PassBatcher(steps, program, times).run();
}

}  // namespace pianola
