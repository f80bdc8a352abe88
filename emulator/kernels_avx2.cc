#include "emulator/kernels.h"

#if defined(__x86_64__)
#include "emulator/mac_kernel.h"
#include "emulator/vxm_kernel.h"

namespace pianola {
namespace {

[[gnu::target("avx2")]] void vxm(Program& program, const VxmBatch& batch,
                                 const uint32_t* registers, int accumulators) {
  vxm_kernel::run_any(program, batch, registers, accumulators);
}

[[gnu::target("avx2")]] void mac(Program& program, const MacRun& run, int accumulators) {
  mac_kernel::run(program, run, accumulators);
}

}  // namespace

const Kernels kAvx2Kernels{"avx2", vxm, mac, false, products_avx2, nullptr};

}  // namespace pianola
#endif
