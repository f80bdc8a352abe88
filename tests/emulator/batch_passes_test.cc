// Which passes become one batch, and in which order batches are played.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "emulator/batch_steps.h"

namespace pianola {
namespace {

constexpr uint32_t kKey = 20, kDrive = 40;  // cycles after the issue
constexpr int kLongControl = 7;             // has more stages before the accumulator

// One chain whose passes take no operands; odd controls fold into their accumulator, even ones use none.
class Bench {
 public:
  explicit Bench(int lanes = 16) {
    program_.lanes = lanes;
    steps_.chains.resize(1);
    for (int control = 0; control < 32; ++control) {
      VxmControl c;
      if (control % 2 == 1) c.instruction.acc_op = VxmAccOp::Add;
      program_.vxm_controls.push_back(c);
      const uint32_t longer = control == kLongControl ? 40 : 0;
      steps_.delays.push_back({kKey + longer, kDrive + longer});
    }
  }

  void add(uint32_t control, uint64_t issue, uint8_t accumulator = 0, bool drives = false) {
    LiftedPass pass;
    pass.issue = issue;
    pass.control = control;
    pass.pass.accumulator = accumulator;
    pass.pass.drives = drives;
    pass.pass.threshold = static_cast<int32_t>(steps_.chains[0].passes.size());  // tells them apart
    steps_.chains[0].passes.push_back(pass);
  }
  // The pass before this one is the last of a fused product of one column.
  void end_product() {
    LiftedPass& last = steps_.chains[0].passes.back();
    last.product = static_cast<uint32_t>(program_.products.size());
    steps_.last_passes.push_back(static_cast<uint32_t>(steps_.chains[0].passes.size() - 1));
    ProductInput input;
    input.columns = 1;
    Product product;
    product.input = static_cast<uint32_t>(program_.product_inputs.size());
    product.first_column = static_cast<uint32_t>(program_.product_columns.size());
    program_.product_inputs.push_back(input);
    ProductColumn column;
    column.accumulator = last.pass.accumulator;
    program_.product_columns.push_back(column);
    program_.products.push_back(product);
  }

  // The numbers of the passes of each operation, in the order of play; a product is -1, its input nothing.
  using Played = std::vector<std::vector<int>>;
  Played play() {
    batch_passes(steps_, program_, times_);
    std::vector<size_t> order(times_.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::ranges::stable_sort(order, {}, [&](size_t i) { return times_[i]; });
    Played played;
    for (const size_t i : order) {
      const Operation& operation = program_.operations[i];
      if (operation.kind == OperationKind::Product) played.push_back({-1});
      if (operation.kind != OperationKind::Vxm) continue;
      const VxmBatch& batch = program_.vxm_batches[operation.first];
      std::vector<int>& passes = played.emplace_back();
      for (uint32_t p = 0; p < batch.passes; ++p) {
        passes.push_back(program_.vxm_passes[batch.first_pass + p].threshold);
      }
    }
    return played;
  }

 private:
  Program program_;
  LiftedSteps steps_;
  PagedVector<uint64_t> times_;
};

TEST(BatchPasses, PassesOfOtherControlsMayComeBetween) {
  Bench bench;
  for (uint64_t i = 0; i < 6; ++i) bench.add(i % 2 == 0 ? 1 : 3, i, static_cast<uint8_t>(i));
  EXPECT_EQ(bench.play(), (Bench::Played{{0, 2, 4}, {1, 3, 5}}));
}

TEST(BatchPasses, UsersOfOneAccumulatorKeepTheirOrder) {
  Bench bench;
  bench.add(1, 0, 7);
  bench.add(1, 1, 8);
  bench.add(3, 2, 7);  // after 0, so the batch of 0 and 1 ends
  bench.add(1, 3, 7);  // after 2
  bench.add(1, 4, 9);
  EXPECT_EQ(bench.play(), (Bench::Played{{0, 1}, {2}, {3, 4}}));
}

// The third pass issues before the second, but takes its accumulator after it: it waits for the batch of both.
TEST(BatchPasses, WhatFollowsInAnAccumulatorIsNotPlayedBefore) {
  Bench bench;
  bench.add(1, 0, 7);
  bench.add(1, 30, 8);
  bench.add(kLongControl, 10, 7);
  bench.add(5, 60, 7);
  EXPECT_EQ(bench.play(), (Bench::Played{{0, 1}, {2}, {3}}));
}

TEST(BatchPasses, ABatchIsPlayedBeforeItsFirstDrive) {
  Bench bench;
  bench.add(0, 0, 0, true);
  bench.add(0, kDrive, 0, true);      // the first drive may be seen a cycle later
  bench.add(0, kDrive + 1, 0, true);
  EXPECT_EQ(bench.play(), (Bench::Played{{0, 1}, {2}}));
}

TEST(BatchPasses, AProductComesAfterThoseWhoUsedItsAccumulator) {
  Bench bench;
  bench.add(1, 0, 7);
  bench.add(3, 1, 8);
  bench.add(5, 2, 7);
  bench.end_product();
  bench.add(3, 3, 9);
  bench.add(1, 4, 7);
  const Bench::Played played = bench.play();
  EXPECT_EQ(played, (Bench::Played{{0}, {-1}, {1, 3}, {4}}));
}

TEST(BatchPasses, BatchesAreNoLongerThanTheKernelsTake) {
  for (const int lanes : {16, 32, 512}) {
    Bench bench(lanes);
    for (uint64_t i = 0; i < 100; ++i) bench.add(0, i);
    const size_t most = static_cast<size_t>(512 / lanes);
    size_t passes = 0;
    for (const std::vector<int>& batch : bench.play()) {
      EXPECT_LE(batch.size(), most);
      passes += batch.size();
    }
    EXPECT_EQ(passes, 100u);
  }
}

// More controls take turns than there may be open batches.
TEST(BatchPasses, ManyControlsAreAllPlayedInOrder) {
  Bench bench;
  for (uint64_t i = 0; i < 160; ++i) {
    bench.add(static_cast<uint32_t>(2 * (i % 16) + 1), i, static_cast<uint8_t>(i % 5));
  }
  std::vector<int> last(5, -1);
  int passes = 0;
  for (const std::vector<int>& batch : bench.play()) {
    for (const int pass : batch) {
      EXPECT_GT(pass, last[static_cast<size_t>(pass % 5)]);
      last[static_cast<size_t>(pass % 5)] = pass;
      ++passes;
    }
  }
  EXPECT_EQ(passes, 160);
}

}  // namespace
}  // namespace pianola
