// The inner loop of a decode by hand, on sim16: the tape feeds 16 x 16 tiles into the MXM, two tiles
// make a window of 32 inputs, and a VXM pass scales its sums and adds them to the output's
// accumulator. Seven instructions loop over the whole matrix; only the tape's are pushed per window.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "isa/roll.h"

namespace pianola::test {

struct GemvShape {
  int groups = 4;    // windows of 32 inputs for each output
  int blocks = 250;  // of 16 outputs, at most 250
};

// Host input: groups * 2 activation vectors, then for each group the four byte planes of its fp32 scale
// (lane 0 counts). Host output: for each block four byte planes of fp32.
Roll gemv_program(const Target& sim16, const GemvShape& shape);

// What it computes, from the tape and the host's input, with the portable arithmetic.
std::vector<uint32_t> gemv_expected(const Roll& roll, const GemvShape& shape,
                                    std::span<const std::byte> host_input);

}  // namespace pianola::test
