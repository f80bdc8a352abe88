// Random cases for parsers of hostile text: each has its own seed, so that a failing one can be run
// alone, and its processor time and the peak memory are bounded. PIANOLA_LONG=1 runs a hundred
// times as many.
#pragma once

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

namespace pianola {

inline int fuzz_case_count() {
  const char* is_long = std::getenv("PIANOLA_LONG");
  return is_long != nullptr && std::string(is_long) == "1" ? 1'000'000 : 10'000;
}

class FuzzRandom {
 public:
  explicit FuzzRandom(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 1) {}
  std::uint64_t next() {
    state_ += 0x9E3779B97F4A7C15u;
    std::uint64_t z = (state_ ^ (state_ >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  std::size_t below(std::size_t limit) { return limit == 0 ? 0 : next() % limit; }
  template <typename T>
  const T& pick(const std::vector<T>& values) {
    return values[below(values.size())];
  }

 private:
  std::uint64_t state_;
};

// One to four changes: bytes, bits, pieces taken out, `fragments` put in, slices copied, the end
// cut off.
inline std::string mutate_text(FuzzRandom& random, std::string text,
                               const std::vector<std::string>& fragments) {
  for (std::size_t count = 1 + random.below(4); count > 0; --count) {
    const std::size_t at = random.below(text.size() + 1);
    switch (random.below(6)) {
      case 0:
        if (at < text.size()) text[at] = static_cast<char>(random.next());
        break;
      case 1:
        text.erase(at, random.below(20));
        break;
      case 2:
      case 3:
        text.insert(at, random.pick(fragments));
        break;
      case 4: {
        const std::string slice = text.substr(random.below(text.size() + 1), random.below(60));
        text.insert(at, slice);
        break;
      }
      default:
        if (random.below(10) == 0) text.resize(at);
    }
  }
  return text;
}

// Processor time of what a parser did since `begin`, which is bounded, under sanitizers too, as is the memory.
inline double expect_bounded(std::clock_t begin) {
  constexpr double kCaseSecondsMax = 30;
  constexpr long kPeakMegabytesMax = 3000;
  const double took = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  EXPECT_LT(took, kCaseSecondsMax);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  EXPECT_LT(usage.ru_maxrss / 1024, kPeakMegabytesMax);
  return took;
}

inline void run_fuzz_cases(int count, const std::function<void(FuzzRandom&)>& run) {
  double slowest = 0;
  for (int i = 0; i < count && !testing::Test::HasFailure(); ++i) {
    SCOPED_TRACE("case " + std::to_string(i));
    const std::clock_t begin = std::clock();
    FuzzRandom random(static_cast<std::uint64_t>(i));
    run(random);
    slowest = std::max(slowest, expect_bounded(begin));
  }
  std::printf("%d cases, the slowest %.3f s\n", count, slowest);
}

}  // namespace pianola
