#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "emulator/copy_vector.h"
#include "emulator/kernels.h"
#include "emulator/mac_kernel.h"
#include "emulator/product_kernel.h"
#include "emulator/vxm_kernel.h"

namespace pianola {
namespace {

void vxm(Program& program, const VxmBatch& batch, const uint32_t* registers, int accumulators) {
  vxm_kernel::run_any(program, batch, registers, accumulators);
}

void mac(Program& program, const MacRun& run, int accumulators) {
  mac_kernel::run(program, run, accumulators);
}

void products(Program& program, std::span<const Product> products, int accumulators) {
  for (const Product& product : products) product_kernel::run(program, product, accumulators);
}

#if defined(__x86_64__)
// g++ 12 knows the name in __builtin_cpu_supports, clang 14 does not.
bool has_amx() {
  constexpr uint32_t kAmxTile = 1u << 24, kAmxInt8 = 1u << 25;  // of EDX
  uint32_t a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & kAmxTile) != 0 && (d & kAmxInt8) != 0;
}
#endif

int8_t weight_of(uint8_t byte, MxmLoadFormat format, int index) {
  switch (format) {
    case MxmLoadFormat::Int8: return static_cast<int8_t>(byte);
    case MxmLoadFormat::Int4: {
      const uint8_t high = static_cast<uint8_t>(byte << (4 - 4 * index));
      return static_cast<int8_t>(static_cast<int8_t>(high) >> 4);
    }
    case MxmLoadFormat::Ternary: {
      const int pair = byte >> (2 * index) & 3;
      return static_cast<int8_t>((pair == 1) - (pair == 3));
    }
  }
  return 0;
}

}  // namespace

void unpack_tile(Program& program, const MacRun& run) {
  const int lanes = program.lanes;
  const Place* places = program.row_places.data() + run.first_row;
  const TileRow* rows = program.tile_rows.data() + run.first_form;
  int8_t* tile = const_cast<int8_t*>(run.weights);  // a buffer of the program
  const MxmLoadOrientation orientation =
      run.input_orientation ? MxmLoadOrientation::Input : MxmLoadOrientation::Output;
  for (int r = 0; r < lanes; ++r) {
    const TileRow row = run.whole_rows ? TileRow{MxmLoadFormat::Int8, orientation, 0} : rows[r];
    const uint8_t* from = reinterpret_cast<const uint8_t*>(places[r]);
    // Rows of the other orientation are columns.
    const bool across =
        (row.orientation == MxmLoadOrientation::Input) != run.input_orientation;
    int8_t* to = across ? tile + r : tile + static_cast<size_t>(r) * lanes;
    const int step = across ? lanes : 1;
    if (step == 1 && row.format == MxmLoadFormat::Int8) {
      copy_vector(to, from, lanes);
    } else if (step == 1 && row.format == MxmLoadFormat::Int4) {
      const int shift = 4 - 4 * row.index;
      for (int i = 0; i < lanes; ++i) {
        const uint8_t high = static_cast<uint8_t>(from[i] << shift);
        to[i] = static_cast<int8_t>(static_cast<int8_t>(high) >> 4);
      }
    } else if (step == 1) {
      const int shift = 2 * row.index;
      for (int i = 0; i < lanes; ++i) {
        const int pair = from[i] >> shift & 3;
        to[i] = static_cast<int8_t>((pair == 1) - (pair == 3));
      }
    } else {
      for (int i = 0; i < lanes; ++i) to[i * step] = weight_of(from[i], row.format, row.index);
    }
  }
}

const Kernels kPortableKernels{"portable", vxm, mac, false, products, nullptr};

const Kernels* const* host_kernels(int& count) {
  static const Kernels* list[4];
  static const int found = [] {
    int n = 0;
    list[n++] = &kPortableKernels;
#if defined(__x86_64__)
    __builtin_cpu_init();
    // No processor has AVX2 without F16C, which clang 14 can not ask for.
    if (__builtin_cpu_supports("avx2")) list[n++] = &kAvx2Kernels;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vnni")) {
      list[n++] = &kAvx512Kernels;
      if (has_amx() && permit_amx()) list[n++] = &kAmxKernels;
    }
#endif
    return n;
  }();
  count = found;
  return list;
}

const Kernels& fastest_kernels() {
  int count = 0;
  const Kernels* const* list = host_kernels(count);
  return *list[count - 1];
}

}  // namespace pianola
