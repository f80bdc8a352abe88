// Machine cycles that no schedule of an entry can beat, from the sizes of the model and the rates of the
// target alone: not from the roll, so that padding and bad order show as loss.
#pragma once

#include <cstdint>
#include <vector>

#include "compiler/passes/quantized_graph.h"
#include "isa/roll.h"
#include "isa/target.h"

namespace pianola {

// Named bounds: "tape" (weights, scales, embedding and rotary bytes over the tape's rate), "kv",
// "instructions", "memory" (all of these, where they share one), "weight_load" (bytes over what the MXMs can
// load), "mac" (multiply-accumulates over the cells), "path" (where weights stay in MEM: the latencies that
// one layer's results wait for, and the loads of the feed-forward part, which attention must precede). The
// largest is the active one.
std::vector<Bound> lower_bounds(const QuantizedGraph& graph, const Target& target, int tokens,
                                int context, uint64_t instruction_words);

// The largest of the bounds; the first one of equals. Null if there are none.
const Bound* active_bound(const std::vector<Bound>& bounds);

}  // namespace pianola
