#include "scheduler/memory_ledger.h"

#include <algorithm>

namespace pianola {

void MemoryLedger::Demand::add(int64_t cycle, int64_t amount) {
  const int64_t stretch = std::max<int64_t>(cycle, 0) / kStretch;
  if (bytes.empty()) first = stretch;
  if (stretch < first) {
    bytes.insert(bytes.begin(), static_cast<size_t>(first - stretch), 0);
    first = stretch;
  }
  const auto index = static_cast<size_t>(stretch - first);
  if (index >= bytes.size()) bytes.resize(index + 1);
  bytes[index] += amount;
}

int64_t MemoryLedger::missing(const Demand& demand, int64_t reserve) const {
  if (demand.bytes.empty()) return 0;
  const int64_t asked = demand.first + static_cast<int64_t>(demand.bytes.size());
  const int64_t end = std::max(asked, static_cast<int64_t>(taken_.size()));
  int64_t level = before(demand.first), most = 0;
  for (int64_t stretch = demand.first; stretch < end; ++stretch) {
    const auto index = static_cast<size_t>(stretch);
    int64_t taken = index < taken_.size() ? taken_[index] : 0;
    if (stretch < asked) taken += demand.bytes[static_cast<size_t>(stretch - demand.first)];
    if (taken > 0) most = std::max(most, taken + reserve - level);
    level = after(level, taken);
    if (stretch >= asked && level == levels_[index]) break;  // as before from here on
  }
  return most;
}

void MemoryLedger::take(const Demand& demand) {
  if (demand.bytes.empty()) return;
  const int64_t asked = demand.first + static_cast<int64_t>(demand.bytes.size());
  for (auto stretch = static_cast<int64_t>(taken_.size()); stretch < asked; ++stretch) {
    levels_.push_back(before(stretch + 1));
    taken_.push_back(0);
  }
  int64_t level = before(demand.first);
  for (auto stretch = demand.first; stretch < static_cast<int64_t>(taken_.size()); ++stretch) {
    const auto index = static_cast<size_t>(stretch);
    if (stretch < asked) taken_[index] += demand.bytes[static_cast<size_t>(stretch - demand.first)];
    level = after(level, taken_[index]);
    if (stretch >= asked && level == levels_[index]) break;
    levels_[index] = level;
  }
}

int64_t MemoryLedger::level_at(int64_t cycle) const { return before(std::max<int64_t>(cycle, 0) / kStretch); }

}  // namespace pianola
