// A product's layout -> vector operations of its three entries, which have the same arrays: `load` takes the
// operands from the tape into MEM and clears the sums, `gemm` multiplies, `fetch` sends the sums to the host.
#pragma once

#include "compiler/gemm/gemm_layout.h"
#include "scheduler/vector_program.h"

namespace pianola {

VectorProgram lower_gemm_load(const GemmLayout& layout);
VectorProgram lower_gemm(const GemmLayout& layout);
VectorProgram lower_gemm_fetch(const GemmLayout& layout);

}  // namespace pianola
