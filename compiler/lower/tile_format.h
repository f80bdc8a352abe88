// Weights of so many bits, as a matrix unit loads them.
#pragma once

#include "isa/instructions.h"

namespace pianola {

// Vectors of one tile: a byte holds the weights of one output or more.
inline int tile_vectors(int bits, int lanes) { return lanes * bits / 8; }

inline MxmLoadFormat load_format(int bits) {
  return bits == 8   ? MxmLoadFormat::Int8
         : bits == 4 ? MxmLoadFormat::Int4
                     : MxmLoadFormat::Ternary;
}

}  // namespace pianola
