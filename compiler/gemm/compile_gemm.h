// An int8 product as a workload of its own: [m x k] x [k x n] with exact int32 sums, scheduled for the matrix units of
// a target whose MEM holds both operands and the result.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "compiler/gemm/gemm_layout.h"
#include "isa/roll.h"
#include "isa/target.h"

namespace pianola {

// Entries `load`, `gemm` and `fetch` (compiler/gemm/lower_gemm.h).
inline constexpr int kGemmLoadEntry = 0, kGemmEntry = 1, kGemmFetchEntry = 2;

struct GemmPlan {
  GemmLayout layout;
  std::vector<Entry> entries;                  // the second one with its bounds
  std::vector<std::array<int, 2>> words_used;  // by slice and bank
};

struct GemmRoll {
  GemmLayout layout;
  Roll roll;
};

// Errors as of lay_out_gemm, and OutOfRange where the schedule's instructions come too slowly.
Result<GemmPlan> plan_gemm(const GemmShape& shape, const Target& target);
// The same with operands: a is [m, k], b is [k, n], row by row.
Result<GemmRoll> compile_gemm(const GemmShape& shape, const Target& target, std::span<const int8_t> a,
                              std::span<const int8_t> b);

// Multiply-accumulates of the product over what all matrix units could do in that many cycles.
double gemm_utilization(const GemmShape& shape, const Target& target, uint64_t cycles);
// At the target's clock; a multiply-accumulate is two operations.
double gemm_tera_operations_per_second(const GemmShape& shape, const Target& target, uint64_t cycles);

}  // namespace pianola
