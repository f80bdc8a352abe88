// The loops that play a lifted program. Each exists for several instruction sets of the host and is
// chosen when the program runs; all give the same bits.
#pragma once

#include <cstdint>
#include <span>

#include "emulator/lift.h"

namespace pianola {

struct Kernels {
  const char* name;  // "portable", "avx2", "avx512", "amx"
  // One batch of passes. registers: the launch registers of the machine.
  void (*vxm)(Program& program, const VxmBatch& batch, const uint32_t* registers,
              int vxm_accumulators);
  // The activations that meet one tile, which is unpacked, or has whole rows where they lie.
  void (*mac)(Program& program, const MacRun& run, int mxm_accumulators);
  bool takes_rows;  // so that tiles with whole rows need no unpacking
  // Blocks of products whose inputs are gathered.
  void (*products)(Program& program, std::span<const Product> products, int vxm_accumulators);
  // Inputs of so many columns or more are gathered by column; null: none are.
  uint32_t (*fewest_by_column)(int lanes);
};

// All that this host can run, the fastest last; `portable` is always there.
const Kernels* const* host_kernels(int& count);
const Kernels& fastest_kernels();

// Brings what the blocks of a product share into the form in which these kernels read it.
void gather_input(Program& program, ProductInput& input, const Kernels& kernels);

// Fills the tile of a run from its rows.
void unpack_tile(Program& program, const MacRun& run);

extern const Kernels kPortableKernels;
#if defined(__x86_64__)
void products_avx2(Program& program, std::span<const Product> products, int vxm_accumulators);
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
extern const Kernels kAmxKernels;
bool permit_amx();  // asks the system for the use of tiles; false: no
#endif

}  // namespace pianola
