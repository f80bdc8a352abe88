// Four tiles at once on tsp320: entry 0 loads the operands, entry 1 installs a tile in each matrix unit, multiplies it
// with one vector and sends the sums to the host.
#pragma once

#include "isa/roll.h"

namespace pianola::test {

// The data tape, for each unit: its tile, home by home and word by word the rows of four slices (row r of the tile is
// word r / 16 of slice r mod 16), then its vector. Host output: for each unit four byte planes of int32.
Roll tile_install_program(const Target& tsp320);

}  // namespace pianola::test
