#include "scheduler/port_rates.h"

#include <algorithm>

namespace pianola {
namespace {

constexpr int64_t kWordBytes = 32;
// The shared memory is counted in parts of a byte, so that its rate can be a little less than whole.
constexpr int64_t kParts = 1000;
// The part of the tape's FIFO that is left for instructions whose operations are not placed yet.
constexpr int64_t kReserve = 4;

}  // namespace

PortRates::PortRates(const Target& target, int memory_permille)
    : lanes_(target.lanes),
      shared_(target.memory_bytes_per_cycle > 0),
      memory_(int64_t{target.memory_bytes_per_cycle} * memory_permille,
              int64_t{target.tape_fifo_vectors} * target.lanes * kParts) {
  const auto bucket = [&](int64_t rate, int64_t vectors) {
    return Bucket{rate, vectors * lanes_, vectors * lanes_, 0, -1};
  };
  buckets_ = {bucket(target.tape_bytes_per_cycle, target.tape_fifo_vectors),
              bucket(target.kv_bytes_per_cycle, target.kv_fifo_vectors),
              bucket(target.kv_bytes_per_cycle, target.kv_fifo_vectors),
              bucket(target.host_bytes_per_cycle, target.host_fifo_vectors)};
}

int64_t PortRates::earliest_base(const Stencil& stencil) const {
  int64_t base = INT64_MIN;
  for (const PortUse& use : stencil.ports) {
    base = std::max(base, buckets_[static_cast<size_t>(use.port)].last + 1 - use.offset);
  }
  return base;
}

// What the bucket lacks at most for the use at `base`: every cycle that it waits brings no more than
// the rate. Takes from the bucket.
int64_t PortRates::missing(const PortUse& use, int64_t base, Bucket& bucket) const {
  const int64_t bytes = int64_t{use.vectors} * lanes_;
  int64_t most = 0;
  for_each_iteration(use.nest, [&](int64_t time, int, int, int) {
    const int64_t cycle = base + use.offset + time;
    most = std::max(most, bytes - bucket.level_at(cycle));
    bucket.take(cycle, bytes);
    return true;
  });
  return most;
}

void PortRates::demand(const PortLoad& load, int64_t shift, MemoryLedger::Demand& demand) const {
  const int64_t base = load.base + shift;
  for (const PortUse& use : load.stencil->ports) {
    if (use.port == Port::HostOut) continue;
    for_each_iteration(use.nest, [&](int64_t time, int, int, int) {
      demand.add(base + use.offset + time, use.vectors * lanes_ * kParts);
      return true;
    });
  }
  for (const int64_t offset : load.words) demand.add(base + offset, kWordBytes * kParts);
}

int64_t PortRates::wait(const PortLoad& load, int64_t shift) const {
  return wait({&load, 1}, shift, memory_.depth() / kReserve);
}

int64_t PortRates::wait_again(std::span<const PortLoad> loads, int64_t shift) const {
  return wait(loads, shift, 0);
}

int64_t PortRates::wait(std::span<const PortLoad> loads, int64_t shift, int64_t reserve) const {
  std::array<Bucket, kPorts> buckets = buckets_;
  int64_t wait = 0;
  bool moves = false;
  for (const PortLoad& load : loads) {
    for (const PortUse& use : load.stencil->ports) {
      Bucket& bucket = buckets[static_cast<size_t>(use.port)];
      wait = std::max(wait, bucket.cycles_for(missing(use, load.base + shift, bucket)));
      moves = true;
    }
  }
  if (!shared_ || !moves || wait > 0) return wait;
  MemoryLedger::Demand all;
  for (const PortLoad& load : loads) demand(load, shift, all);
  return (memory_.missing(all, reserve) + memory_.rate() - 1) / memory_.rate();
}

int64_t PortRates::full_from() const {
  int64_t cycle = 0;
  for (const Bucket& bucket : buckets_) {
    cycle = std::max(cycle, bucket.cycle + bucket.cycles_for(bucket.depth - bucket.level));
  }
  return shared_ ? std::max(cycle, memory_.full_from()) : cycle;
}

bool PortRates::can_serve(const Stencil& stencil) const {
  const int64_t base = -stencil.earliest_offset;
  for (const PortUse& use : stencil.ports) {
    Bucket full = buckets_[static_cast<size_t>(use.port)];
    full.level = full.depth;
    full.cycle = 0;
    if (missing(use, base, full) > 0) return false;
  }
  if (!shared_ || stencil.ports.empty()) return true;
  MemoryLedger::Demand alone;
  demand({&stencil, {}, base}, 0, alone);
  return MemoryLedger(memory_.rate(), memory_.depth()).missing(alone, memory_.depth() / kReserve) == 0;
}

void PortRates::take(const PortLoad& load) {
  for (const PortUse& use : load.stencil->ports) {
    missing(use, load.base, buckets_[static_cast<size_t>(use.port)]);
  }
  if (!shared_) return;
  MemoryLedger::Demand taken;
  demand(load, 0, taken);
  memory_.take(taken);
}

void PortRates::note_levels(const Stencil& stencil, int64_t base, Levels& levels) const {
  for (const PortUse& use : stencil.ports) {
    int64_t& level = levels[static_cast<size_t>(use.port)];
    const int64_t cycle = base + use.offset;
    if (level == INT64_MIN) level = buckets_[static_cast<size_t>(use.port)].level_at(cycle);
    if (levels.back() == INT64_MIN) levels.back() = memory_.level_at(cycle);
  }
}

int64_t PortRates::cycles_between(const Levels& levels, const Levels& next) const {
  int64_t cycles = 0;
  for (size_t i = 0; i < kPorts; ++i) {
    if (next[i] < levels[i]) cycles = std::max(cycles, buckets_[i].cycles_for(levels[i] - next[i]));
  }
  if (shared_ && next.back() < levels.back()) {
    cycles = std::max(cycles, (levels.back() - next.back() + memory_.rate() - 1) / memory_.rate());
  }
  return cycles;
}

}  // namespace pianola
