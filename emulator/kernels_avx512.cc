// With VNNI a tile is cut into blocks of 16 outputs by 16 inputs, held in four registers w[q]: 32-bit
// lane o of w[q] holds the weights of output o for inputs 4q .. 4q+3, as one instruction multiplies
// and adds four of them. That instruction takes one unsigned factor: activations are offset by 128, and
// 128 times the sum of the weights, once for a tile, is subtracted.
#include "emulator/kernels.h"

#if defined(__x86_64__)
// Intrinsics of g++ 12 leave the value of masked-off lanes undefined on purpose (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>

#include <cstring>

#include "emulator/avx512.h"
#include "emulator/mac_kernel.h"

namespace pianola {
namespace {

// Where the rows of a tile lie: at one distance, or anywhere.
struct Rows {
  const int8_t* first;
  size_t stride;
  const Place* scattered;  // if not null
  int column;
  [[PIANOLA_AVX512, gnu::always_inline]] const __m128i* at(int row) const {
    const int8_t* from = scattered != nullptr
                             ? reinterpret_cast<const int8_t*>(scattered[row])
                             : first + static_cast<size_t>(row) * stride;
    return reinterpret_cast<const __m128i*>(from + column);
  }
};

// Four rows of 16 bytes from row `r` on.
[[PIANOLA_AVX512]] inline __m512i load_rows(const Rows& tile, int r) {
  if (tile.scattered == nullptr && tile.stride == 16) return _mm512_loadu_si512(tile.at(r));
  __m512i rows = _mm512_castsi128_si512(_mm_loadu_si128(tile.at(r)));
  rows = _mm512_inserti32x4(rows, _mm_loadu_si128(tile.at(r + 1)), 1);
  rows = _mm512_inserti32x4(rows, _mm_loadu_si128(tile.at(r + 2)), 2);
  return _mm512_inserti32x4(rows, _mm_loadu_si128(tile.at(r + 3)), 3);
}

struct Block {
  __m512i w[4];
};

// Rows from `r` on are outputs: a transposition of 16 x 4 words.
[[PIANOLA_AVX512]] inline Block pack_outputs(const Rows& rows, int r) {
  const __m512i a = load_rows(rows, r), b = load_rows(rows, r + 4), c = load_rows(rows, r + 8),
                d = load_rows(rows, r + 12);
  const __m512i low = _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 1, 5, 9, 13, 17, 21, 25, 29);
  const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(2));
  const __m512i ab01 = _mm512_permutex2var_epi32(a, low, b);
  const __m512i ab23 = _mm512_permutex2var_epi32(a, high, b);
  const __m512i cd01 = _mm512_permutex2var_epi32(c, low, d);
  const __m512i cd23 = _mm512_permutex2var_epi32(c, high, d);
  return {{_mm512_shuffle_i64x2(ab01, cd01, 0x44), _mm512_shuffle_i64x2(ab01, cd01, 0xee),
           _mm512_shuffle_i64x2(ab23, cd23, 0x44), _mm512_shuffle_i64x2(ab23, cd23, 0xee)}};
}

// Rows from `r` on are inputs: four of them become 16 words, first by words, then by bytes.
[[PIANOLA_AVX512]] inline Block pack_inputs(const Rows& tile, int r) {
  const __m512i words = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m512i bytes = _mm512_broadcast_i32x4(
      _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  Block block;
  for (int q = 0; q < 4; ++q) {
    const __m512i rows = load_rows(tile, r + 4 * q);
    block.w[q] = _mm512_shuffle_epi8(_mm512_permutexvar_epi32(words, rows), bytes);
  }
  return block;
}

// The sums plus 128 times the sums of the weights.
[[PIANOLA_AVX512]] inline __m512i multiply_add(__m512i sums, const Block& block,
                                               const int8_t* x) {
  const __m512i offset = _mm512_set1_epi8(static_cast<char>(0x80));
  for (int q = 0; q < 4; ++q) {
    int32_t four;
    std::memcpy(&four, x + 4 * q, 4);
    const __m512i inputs = _mm512_xor_si512(_mm512_set1_epi32(four), offset);
    sums = _mm512_dpbusd_epi32(sums, inputs, block.w[q]);
  }
  return sums;
}

// 128 times the sums of the weights are added.
[[PIANOLA_AVX512]] inline __m512i add_weights(__m512i sums, const Block& block) {
  const __m512i offset = _mm512_set1_epi8(static_cast<char>(0x80));
  for (const __m512i w : block.w) sums = _mm512_dpbusd_epi32(sums, offset, w);
  return sums;
}

[[PIANOLA_AVX512]] inline void emit_block(const MacStep& step, const Place* planes, __m512i sums,
                                          int first) {
  if (step.words != 0) {
    _mm512_storeu_si512(words_at(&step.words) + first, sums);
    return;
  }
  for (uint32_t b = 0; b < 4; ++b) {
    const Place plane = planes[step.planes + b];
    if (plane != 0) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(plane + static_cast<Place>(first)),
                       _mm512_cvtepi32_epi8(sums));
    }
    sums = _mm512_srli_epi32(sums, 8);
  }
}

// 16 outputs from `o` on. Steps are finished one by one: several may use one accumulator.
[[PIANOLA_AVX512]] inline void multiply_strip(const MacRun& run, const Place* scattered,
                                              const MacStep* steps, const Place* planes, int lanes,
                                              int o, int32_t* file) {
  constexpr int kMostBlocks = 32;  // of 16 inputs
  Block blocks[kMostBlocks];
  __m512i offsets = _mm512_setzero_si512();
  for (int k = 0; k < lanes; k += 16) {
    const Rows rows{run.weights, run.stride, scattered, run.input_orientation ? o : k};
    blocks[k / 16] = run.input_orientation ? pack_inputs(rows, k) : pack_outputs(rows, o);
    offsets = add_weights(offsets, blocks[k / 16]);
  }
  for (uint32_t i = 0; i < run.steps; ++i) {
    const MacStep& step = steps[i];
    const int8_t* x = reinterpret_cast<const int8_t*>(step.x);
    int32_t* acc = file + static_cast<size_t>(step.accumulator) * lanes + o;
    const __m512i before = step.clears ? _mm512_setzero_si512() : _mm512_load_si512(acc);
    __m512i sums = _mm512_sub_epi32(before, offsets);
    for (int k = 0; k < lanes; k += 16) sums = multiply_add(sums, blocks[k / 16], x + k);
    _mm512_store_si512(acc, sums);
    if (step.emits) emit_block(step, planes, sums, o);
  }
}

}  // namespace

[[PIANOLA_AVX512]] void mac_avx512(Program& program, const MacRun& run, int accumulators) {
  const int lanes = program.lanes;
  if (lanes % 16 != 0 || lanes > 512) {
    if (run.whole_rows) unpack_tile(program, run);
    return mac_kernel::run(program, run, accumulators);
  }
  int32_t* file = reinterpret_cast<int32_t*>(program.mxm_accumulators.data) +
                  static_cast<size_t>(run.mxm) * accumulators * lanes;
  const MacStep* steps = program.mac_steps.data() + run.first_step;
  const Place* planes = program.mac_planes.data();
  const Place* rows = run.whole_rows ? program.row_places.data() + run.first_row : nullptr;
  if (lanes == 16) return multiply_strip(run, rows, steps, planes, 16, 0, file);
  if (lanes == 32) {
    for (int o = 0; o < 32; o += 16) multiply_strip(run, rows, steps, planes, 32, o, file);
    return;
  }
  for (int o = 0; o < lanes; o += 16) multiply_strip(run, rows, steps, planes, lanes, o, file);
}

const Kernels kAvx512Kernels{"avx512", vxm_avx512, mac_avx512, true, products_avx512, nullptr};

}  // namespace pianola
#endif
