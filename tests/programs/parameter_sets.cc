#include "tests/programs/parameter_sets.h"

#include "tests/support/tiny_targets.h"

namespace pianola::test {

Target tiny4() { return tiny_target(); }

Target twin8() {
  return tiny_target(
      {.name = "twin8",
       .lanes = 8,
       .streams = 32,
       .floorplan = R"("MXM", "SXM", "MEM", "PORT", "VXM", "MEM", "SXM", "MXM")",
       .slices_per_position = 4,
       .load_streams = 4,
       .accumulators = 16,
       .chains = 2,
       .queue_depth = 8,
       .freeze_depth = 7});
}

Target odd12() {
  return tiny_target({.name = "odd12",
                      .lanes = 12,
                      .streams = 16,
                      .floorplan = R"("MEM", "MEM", "VXM", "MEM", "PORT", "MXM", "MXM", "MEM")",
                      .slices_per_position = 3,
                      .words_per_slice = 100,
                      .load_streams = 5,
                      .accumulators = 5,
                      .queue_depth = 5,
                      .width_vectors = 3,
                      .freeze_depth = 1,
                      .memory_bytes_per_cycle = 32,
                      .stages = R"("mul1", "select", "tree", "combine", "accumulate", "round")"});
}

std::vector<Target> rtl_parameter_sets() {
  std::vector<Target> targets = {tiny4(), twin8(), odd12()};
  for (const char* name : {"sim16", "sim32", "duo16"}) {
    targets.push_back(load_target(name).value());
  }
  return targets;
}

}  // namespace pianola::test
