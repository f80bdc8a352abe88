// The operands of a product on the tape of its load entry, and its result as the fetch entry sends it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "compiler/gemm/gemm_layout.h"

namespace pianola {

// Vectors of the tape of the load entry, and those that the fetch entry sends.
uint64_t gemm_tape_vectors(const GemmLayout& layout);
uint64_t gemm_result_vectors(const GemmLayout& layout);

// The tape of the load entry: a is [m, k], b is [k, n], row by row. Lanes and vectors beyond them are zero.
std::vector<std::byte> pack_gemm_operands(const GemmLayout& layout, std::span<const int8_t> a,
                                          std::span<const int8_t> b);
// What the fetch entry sent -> C, [m, n], row by row.
std::vector<int32_t> unpack_gemm_result(const GemmLayout& layout, std::span<const std::byte> sent);

}  // namespace pianola
