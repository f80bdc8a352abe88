// Random cases for parsers of hostile text: each has its own seed, so that a failing one can be run
// alone, and its processor time and the peak memory are bounded.
//
//   PIANOLA_LONG=1                                  a hundred times as many
//   PIANOLA_FUZZ_FIRST=250000 PIANOLA_FUZZ_COUNT=1  these alone
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

inline int fuzz_number(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::atoi(text);
}

inline int fuzz_case_count() {
  return fuzz_number("PIANOLA_FUZZ_COUNT",
                     fuzz_number("PIANOLA_LONG", 0) == 1 ? 1'000'000 : 10'000);
}

class FuzzRandom {
 public:
  // The seeds are numbers in sequence; mixed, so that no case goes on where another began.
  explicit FuzzRandom(std::uint64_t seed) : state_(mix(seed)) {}
  std::uint64_t next() { return mix(state_ += 0x9E3779B97F4A7C15u); }
  std::size_t below(std::size_t limit) { return limit == 0 ? 0 : next() % limit; }
  bool one_in(std::size_t n) { return below(n) == 0; }
  template <typename T>
  const T& pick(const std::vector<T>& values) {
    return values[below(values.size())];
  }

 private:
  static std::uint64_t mix(std::uint64_t z) {  // of SplitMix64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }

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

// Processor time of what a parser did since `begin`, which is bounded, under sanitizers too, as is
// the memory.
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

// A hostile text that makes a parser ask for too much memory ends the test with bad_alloc.
inline void limit_address_space() {
#ifndef __SANITIZE_ADDRESS__
  const rlimit limit{rlim_t{1} << 30, RLIM_INFINITY};
  ASSERT_EQ(setrlimit(RLIMIT_AS, &limit), 0);
#endif
}

inline void run_fuzz_cases(int count, const std::function<void(FuzzRandom&)>& run) {
  limit_address_space();
  double slowest = 0;
  const int first = fuzz_number("PIANOLA_FUZZ_FIRST", 0);
  for (int i = first; i < first + count && !testing::Test::HasFailure(); ++i) {
    SCOPED_TRACE("case " + std::to_string(i));
    const std::clock_t begin = std::clock();
    FuzzRandom random(static_cast<std::uint64_t>(i));
    run(random);
    slowest = std::max(slowest, expect_bounded(begin));
  }
  std::printf("%d cases, the slowest %.3f s\n", count, slowest);
}

}  // namespace pianola
