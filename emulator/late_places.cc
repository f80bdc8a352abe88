#include "emulator/late_places.h"

#include <algorithm>

namespace pianola {

Place LatePlaces::add(const Late& late) {
  lates_.push_back(late);
  return kLateBit | (lates_.size() - 1);
}

void LatePlaces::add_use(Place* operand) {
  uses_.emplace_back(static_cast<uint32_t>(*operand & ~kLateBit), operand);
}

void LatePlaces::prepare() {
  std::sort(uses_.begin(), uses_.end());
  first_use_.assign(lates_.size() + 1, 0);
  for (const auto& use : uses_) ++first_use_[use.first + 1];
  for (size_t i = 0; i < lates_.size(); ++i) first_use_[i + 1] += first_use_[i];
  dependents_.resize(lates_.size());
  for (uint32_t i = 0; i < lates_.size(); ++i) {
    const Late& late = lates_[i];
    if (is_late(late.before)) dependents_[late.before & ~kLateBit].push_back(i);
    conditions_[{late.reg, late.value}].push_back(i);
  }
  now_.assign(lates_.size(), 0);
}

void LatePlaces::evaluate(uint32_t number) {
  const Late& late = lates_[number];
  Place place = late.before;
  if (registers_[late.reg] == late.value) {
    place = late.written;
  } else if (is_late(place)) {
    place = now_[place & ~kLateBit];
  }
  if (place == now_[number]) return;
  now_[number] = place;
  for (uint32_t i = first_use_[number]; i < first_use_[number + 1]; ++i) *uses_[i].second = place;
  for (const uint32_t dependent : dependents_[number]) evaluate(dependent);
}

void LatePlaces::bind(std::span<const uint32_t, kLaunchRegisters> registers) {
  if (lates_.empty()) return;
  const std::array<uint32_t, kLaunchRegisters> before = registers_;
  std::copy(registers.begin(), registers.end(), registers_.begin());
  if (!bound_) {
    prepare();
    bound_ = true;
    for (uint32_t i = 0; i < lates_.size(); ++i) evaluate(i);
    return;
  }
  for (uint32_t reg = 0; reg < kLaunchRegisters; ++reg) {
    if (before[reg] == registers_[reg]) continue;
    for (const uint32_t value : {before[reg], registers_[reg]}) {
      const auto found = conditions_.find({reg, value});
      if (found == conditions_.end()) continue;
      for (const uint32_t number : found->second) evaluate(number);
    }
  }
}

}  // namespace pianola
