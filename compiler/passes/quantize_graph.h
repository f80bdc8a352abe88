// Float graph -> quantized graph: picks a scheme per matrix, folds norm gains, lays heads out,
// quantizes, and fuses residual additions into the product that feeds them.
#pragma once

#include <string_view>

#include "compiler/graph/graph.h"
#include "compiler/passes/quantized_graph.h"
#include "isa/target.h"

namespace pianola {

// How weights are quantized. Auto keeps Q4_0 tensors at 4 bits and takes 8 bits for all others. Ternary: -1, 0 or 1
// times a scale, for models that were trained so; scales are per group of w4, and the output head has 8 bits.
enum class WeightQuantization { Auto, W8, W4, Ternary };

// "auto", "w8", "w4", "ternary"; anything else is an error that lists them.
Result<WeightQuantization> parse_quantization(std::string_view text);

struct QuantizeOptions {
  WeightQuantization weights = WeightQuantization::Auto;
  int context = 0;  // positions of the rotary tables and the cache; a multiple of lanes
  bool with_embedding = true;    // false: its rows are only looked at
  bool dimensions_only = false;  // leave out what comes from the values of weights
};

// `graph` must be verified. Unsupported: an odd head size, a node pattern that is not a decoder of
// the supported kind (all reported at once).
Result<QuantizedGraph> quantize_graph(const Graph& graph, const Target& target,
                                      const QuantizeOptions& options);

}  // namespace pianola
