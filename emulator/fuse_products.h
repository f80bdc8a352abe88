// Finds products with weights among the lifted steps and takes them out as one operation for each
// block of outputs.
//
// A *sum* is what an MXM accumulator holds from a MAC that clears it to one that emits it. A *term*
// is a VXM pass that converts a sum of which it is the only reader, multiplies it by weight scales and
// perhaps by scales of the activations, and adds it to an accumulator. A *column* is every use of
// an accumulator from a load to a pass that drives it. Columns of the same tiles that end together
// are a product.
//
// Why that is the same: a column is played at the issue of its last pass, when all that it reads was
// driven and nothing yet reads what it drives; between its first and last pass nobody else uses its
// accumulator; nobody but its terms sees its sums, and the MXM accumulator is cleared before it is used
// again. Tiles and weight scales lie where this entry changes nothing: in the data tape, or in words of
// MEM that it does not write.
#pragma once

#include <functional>

#include "emulator/lift.h"
#include "emulator/lifted_steps.h"
#include "emulator/packed_weights.h"

namespace pianola {

// Marks the passes and multiplications of `steps` that are fused and fills the products of `program`.
// Passes of each chain must be in the order of their keys, and every control used.
// is_constant: whether a vector in place can be changed by other entries at most.
using IsConstant = std::function<bool(const uint8_t* vector)>;
void fuse_products(const IsConstant& is_constant, LiftedSteps& steps, PackedWeights& packed,
                   Program& program);

}  // namespace pianola
