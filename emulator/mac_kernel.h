// Activations times one tile in plain C++, forced inline so that a caller compiled for a wider
// instruction set gets its own copy. Sums are int32 modulo 2^32: their order does not matter.
#pragma once

#include <cstdint>
#include <cstring>

#include "emulator/lift.h"
#include "emulator/word_vectors.h"

namespace pianola::mac_kernel {

[[gnu::always_inline]] inline void emit_sums(const Program& program, const MacStep& step,
                                             const uint32_t* sums, int lanes) {
  if (step.words != 0) {
    std::memcpy(words_at(&step.words), sums, static_cast<size_t>(lanes) * sizeof(uint32_t));
    return;
  }
  for (uint32_t b = 0; b < 4; ++b) {
    uint8_t* to = reinterpret_cast<uint8_t*>(program.mac_planes[step.planes + b]);
    if (to == nullptr) continue;
#pragma GCC ivdep
    for (int i = 0; i < lanes; ++i) to[i] = static_cast<uint8_t>(sums[i] >> (8 * b));
  }
}

[[gnu::always_inline]] inline void run(Program& program, const MacRun& run, int accumulators) {
  const int lanes = program.lanes;
  uint32_t* file = reinterpret_cast<uint32_t*>(program.mxm_accumulators.data) +
                   static_cast<size_t>(run.mxm) * accumulators * lanes;
  for (uint32_t i = 0; i < run.steps; ++i) {
    const MacStep& step = program.mac_steps[run.first_step + i];
    const int8_t* x = reinterpret_cast<const int8_t*>(step.x);
    uint32_t* acc = file + static_cast<size_t>(step.accumulator) * lanes;
    if (step.clears) {
      for (int o = 0; o < lanes; ++o) acc[o] = 0;
    }
    const int8_t* row = run.weights;
    for (int r = 0; r < lanes; ++r, row += run.stride) {
      if (run.input_orientation) {
        const int16_t factor = x[r];
#pragma GCC ivdep
        for (int o = 0; o < lanes; ++o) {
          acc[o] += static_cast<uint32_t>(static_cast<int32_t>(static_cast<int16_t>(row[o]) * factor));
        }
      } else {
        int32_t sum = 0;  // at most 512 * 2^14
        for (int k = 0; k < lanes; ++k) {
          sum += static_cast<int16_t>(row[k]) * static_cast<int16_t>(x[k]);
        }
        acc[r] += static_cast<uint32_t>(sum);
      }
    }
    if (step.emits) emit_sums(program, step, acc, lanes);
  }
}

}  // namespace pianola::mac_kernel
