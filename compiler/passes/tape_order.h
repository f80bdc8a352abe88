// The order in which the tape brings the weights of products. Where layers are long, attention takes turns in the matrix
// units with the products around it, so that the memory behind the tape never waits for a softmax. The weights of keys
// come first, then those of the first KV group's queries, those of values, those of the other queries, and those of the
// product that reads attention, first for all groups but the last.
#pragma once

#include <vector>

#include "compiler/passes/quantized_graph.h"
#include "isa/target.h"

namespace pianola {

// What the tape brings of a product at a time: of some blocks of outputs some windows.
struct TapePart {
  const QNode* product;
  int first_block, end_block;
  int first_window, end_window;

  int windows() const { return end_window - first_window; }
};

// Decides whether attention takes turns with products: not where the FIFO behind the tape holds a good part of a
// layer, because there it is not the tape that limits. If so, puts the products before each attention into the order
// above.
void order_products(QuantizedGraph& graph, const Target& target);

// Of an attention's result, the vectors that come before those of the last KV group, in whole activation groups; 0 for
// other values, and where attention does not take turns.
int vectors_before_last_group(const QuantizedGraph& graph, const Target& target, QValue value);

// What comes in the place of this product: parts of it, and behind values also the other queries.
std::vector<TapePart> tape_parts(const QuantizedGraph& graph, const Target& target,
                                 const QNode& product);

}  // namespace pianola
