#include "bench/host_limits.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <memory>

#include "emulator/avx512.h"
#include "isa/result.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace pianola {
namespace {

constexpr int kRounds = 15;
constexpr size_t kPage = size_t{1} << 21;

[[gnu::target_clones("default", "avx2", "arch=x86-64-v4")]] uint64_t sum_of(const uint64_t* words,
                                                                           size_t count) {
  uint64_t sums[32] = {};
  for (size_t i = 0; i + 32 <= count; i += 32) {
    for (size_t j = 0; j < 32; ++j) sums[j] += words[i + j];
  }
  uint64_t total = 0;
  for (uint64_t s : sums) total += s;
  return total;
}

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

#if defined(__x86_64__)
constexpr int kChains = 12;  // more than latency times instructions a cycle
constexpr int kSteps = 4'000'000;

[[PIANOLA_AVX512]] double multiply_for_a_while() {
  __m512i sums[kChains];
  for (int i = 0; i < kChains; ++i) sums[i] = _mm512_set1_epi32(i);
  __m512i a = _mm512_set1_epi32(3), b = _mm512_set1_epi32(5);
  const double start = thread_seconds();
  for (int step = 0; step < kSteps; ++step) {
    asm volatile("" : "+v"(a), "+v"(b));  // no step is like another
    for (int i = 0; i < kChains; ++i) sums[i] = _mm512_dpbusd_epi32(sums[i], a, b);
  }
  for (int i = 1; i < kChains; ++i) sums[0] = _mm512_add_epi32(sums[0], sums[i]);
  asm volatile("" : "+v"(sums[0]));  // somebody needs them
  return 64.0 * kChains * kSteps / (thread_seconds() - start);
}
#endif

}  // namespace

double thread_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double plain_read_speed(size_t size_bytes) {
  const size_t size = (std::max<size_t>(size_bytes, 1) + kPage - 1) / kPage * kPage;
  const std::unique_ptr<void, Free> memory(std::aligned_alloc(kPage, size));
  CHECK(memory != nullptr);
#if defined(__linux__)
  (void)madvise(memory.get(), size, MADV_HUGEPAGE);
#endif
  std::memset(memory.get(), 1, size);
  const size_t words = size_bytes / 8;
  double best = 0;
  volatile uint64_t sink = 0;
  for (int round = 0; round < kRounds; ++round) {
    const double start = thread_seconds();
    sink = sink + sum_of(static_cast<const uint64_t*>(memory.get()), words);
    best = std::max(best, static_cast<double>(words * 8) / (thread_seconds() - start));
  }
  return best;
}

double peak_multiplication_speed() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512vnni")) return 0;
  double best = 0;
  for (int round = 0; round < 3; ++round) best = std::max(best, multiply_for_a_while());
  return best;
#else
  return 0;
#endif
}

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  const std::string key = "model name";
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(key)) continue;
    const size_t colon = line.find(": ");
    if (colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

}  // namespace pianola
