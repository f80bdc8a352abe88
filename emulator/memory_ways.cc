#include "emulator/memory_ways.h"

#include <algorithm>
#include <limits>

namespace pianola {
namespace {

uint64_t next_random(uint64_t& state) {
  state += 0x9e3779b97f4a7c15u;
  uint64_t x = state;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

MemoryWays::MemoryWays(const MemoryTiming& timing, uint64_t period_picoseconds,
                       const std::array<uint64_t, kPlatformPorts>& rates, uint64_t shared_rate)
    : timing_(timing), period_(period_picoseconds), shared_(shared_rate > 0) {
  const auto way = [&](uint64_t rate, uint64_t number) {
    return Way{static_cast<double>(period_) / (static_cast<double>(rate) * timing.efficiency), 0,
               timing.seed * 0x100000001b3u + number};
  };
  for (size_t i = 0; i < ways_.size(); ++i) ways_[i] = way(rates[i], i);
  if (shared_) bus_ = way(shared_rate, ways_.size());
}

uint64_t MemoryWays::schedule(PlatformPort port, uint64_t asked, unsigned bytes) {
  Way& way = shared_ ? bus_ : ways_[static_cast<size_t>(port)];
  uint64_t begin = std::max(asked + timing_.latency_cycles * period_, way.free_from);
  if (timing_.jitter_cycles > 0) {
    begin += next_random(way.random) % (uint64_t{timing_.jitter_cycles} + 1) * period_;
  }
  // Rounded down: by a picosecond a burst faster than the rate, never slower.
  const auto duration = static_cast<uint64_t>(bytes * way.picoseconds_per_byte);
  way.free_from = pass_windows(port, begin, duration);
  return way.free_from;
}

// The end of `duration` picoseconds of work from `begin` on, outside refresh and starvation.
uint64_t MemoryWays::pass_windows(PlatformPort port, uint64_t begin, uint64_t duration) const {
  constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();
  const uint64_t interval = timing_.refresh_interval_cycles * period_;
  const uint64_t refresh = timing_.refresh_cycles * period_;
  const bool starves = port == timing_.starved && timing_.starve_cycles > 0;
  const uint64_t starve_begin = timing_.starve_first * period_;
  const uint64_t starve_end = starve_begin + timing_.starve_cycles * period_;
  uint64_t now = begin;
  for (;;) {
    if (starves && now >= starve_begin && now < starve_end) {
      now = starve_end;
      continue;
    }
    uint64_t next = starves && now < starve_begin ? starve_begin : kNever;
    if (interval > 0 && refresh > 0) {
      const uint64_t number = now / interval;
      if (number > 0 && now % interval < refresh) {
        now = number * interval + refresh;
        continue;
      }
      next = std::min(next, (number + 1) * interval);
    }
    if (duration <= next - now) return now + duration;
    duration -= next - now;
    now = next;
  }
}

}  // namespace pianola
