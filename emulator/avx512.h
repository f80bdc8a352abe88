// The instruction set of the widest kernels, as an attribute of functions.
#pragma once

#include <cstdint>
#include <span>

// Clang has no such preference in the attribute and takes 512 bits from the intrinsics.
#if defined(__clang__)
#define PIANOLA_AVX512 gnu::target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#else
#define PIANOLA_AVX512 \
  gnu::target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,prefer-vector-width=512")
#endif

namespace pianola {

struct Program;
struct Product;
struct MacRun;
struct VxmBatch;
void vxm_avx512(Program& program, const VxmBatch& batch, const uint32_t* registers,
                int vxm_accumulators);
void mac_avx512(Program& program, const MacRun& run, int mxm_accumulators);
void products_avx512(Program& program, std::span<const Product> products, int vxm_accumulators);

}  // namespace pianola
