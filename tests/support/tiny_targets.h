// Texts of targets that no product has: small, odd floorplans, for tests.
#pragma once

#include <string>
#include <vector>

#include "isa/target.h"

namespace pianola::test {

struct TinyTargetOptions {
  std::string name = "tiny4";
  int lanes = 4, streams = 16;
  std::string floorplan = R"("PORT", "VXM", "MEM", "MEM", "SXM", "MXM")";
  int slices_per_position = 2, words_per_slice = 64, load_streams = 4, accumulators = 8;
  int chains = 1, queue_depth = 4, width_vectors = 4, freeze_depth = 2;
  int memory_bytes_per_cycle = 0;  // 0: each port has a memory of its own
  std::string stages = R"("mul1", "mul2", "add", "select", "sfu", "mul3", "tree", "root", )"
                       R"("combine", "accumulate", "round")";
};

inline std::string tiny_target_text(const TinyTargetOptions& o) {
  const auto number = [](const char* key, int value) {
    return std::string(key) + " = " + std::to_string(value) + "\n";
  };
  return "name = \"" + o.name + "\"\ndoc = \"a target for tests\"\n" + number("lanes", o.lanes) +
         number("streams", o.streams) + "clock_mhz = 100.0\nclock_source = \"assumed\"\n" +
         "floorplan = [" + o.floorplan + "]\n[mem]\n" +
         number("slices_per_position", o.slices_per_position) +
         number("words_per_slice", o.words_per_slice) + "[mxm]\n" +
         number("load_streams", o.load_streams) + number("accumulators", o.accumulators) +
         "[vxm]\n" + number("chains", o.chains) + number("accumulators", o.accumulators) +
         "stages = [" + o.stages + "]\n[queues]\n" + number("depth", o.queue_depth) + "[ports]\n" +
         number("freeze_depth", o.freeze_depth) + number("width_vectors", o.width_vectors) +
         number("tape_bytes_per_cycle", 2 * o.lanes) + number("tape_fifo_vectors", 32) +
         number("kv_bytes_per_cycle", o.lanes) + number("kv_fifo_vectors", 16) +
         number("host_bytes_per_cycle", 2 * o.lanes) + number("host_fifo_vectors", 32) +
         number("instruction_bytes_per_cycle", 8) + number("instruction_fifo_words", 32) +
         (o.memory_bytes_per_cycle > 0 ? number("memory_bytes_per_cycle", o.memory_bytes_per_cycle)
                                       : "") +
         "[weights]\nresidence = \"tape\"\nw8 = { bits = 8, group = 0 }\n"
         "w4 = { bits = 4, group = 0 }\nscale = \"f16\"\n[activations]\n" +
         number("group", 4 * o.lanes) + "[kv]\nresidence = \"port\"\n";
}

inline Target tiny_target(const TinyTargetOptions& options = {}) {
  Result<Target> target = parse_target(tiny_target_text(options), options.name);
  if (!target.ok()) std::fprintf(stderr, "%s\n", to_string(target.error()).c_str());
  return std::move(target).value();
}

// Floorplans with little in common: two hemispheres, MXMs side by side, slices of one, no stage to spare.
inline std::vector<Target> odd_targets() {
  std::vector<Target> targets;
  targets.push_back(tiny_target());
  targets.push_back(tiny_target({.name = "tiny8",
                                 .lanes = 8,
                                 .streams = 16,
                                 .floorplan = R"("MXM", "SXM", "MEM", "PORT", "VXM", "MEM", "SXM", "MXM")",
                                 .slices_per_position = 4,
                                 .load_streams = 4,
                                 .accumulators = 16,
                                 .chains = 2}));
  targets.push_back(tiny_target({.name = "tiny64",
                                 .lanes = 64,
                                 .streams = 32,
                                 .floorplan = R"("MEM", "MEM", "VXM", "PORT", "MEM", "MXM", "MXM", "SXM")",
                                 .slices_per_position = 6,
                                 .words_per_slice = 256,
                                 .load_streams = 8,
                                 .accumulators = 32,
                                 .queue_depth = 8,
                                 .width_vectors = 2}));
  return targets;
}

}  // namespace pianola::test
