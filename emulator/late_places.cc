#include "emulator/late_places.h"

#include <algorithm>

namespace pianola {

// Where these rows follow each other, in one of the latest lists or in a new one.
uint32_t LatePlaces::find_rows(std::span<const Place> written) {
  constexpr size_t kRemembered = 8;
  for (size_t i = lists_.size(); i > 0 && i + kRemembered > lists_.size(); --i) {
    const auto begin = rows_.begin() + lists_[i - 1];
    const auto end = i < lists_.size() ? rows_.begin() + lists_[i] : rows_.end();
    const auto at = std::find(begin, end, written[0]);
    if (static_cast<size_t>(end - at) >= written.size() &&
        std::equal(written.begin(), written.end(), at)) {
      return static_cast<uint32_t>(at - rows_.begin());
    }
  }
  lists_.push_back(static_cast<uint32_t>(rows_.size()));
  rows_.insert(rows_.end(), written.begin(), written.end());
  return lists_.back();
}

Place LatePlaces::add(Place before, uint32_t reg, uint32_t value, std::span<const Place> written) {
  const auto count = static_cast<uint32_t>(written.size());
  longest_ = std::max(longest_, count);
  lates_.push_back({before, reg, value, find_rows(written), count});
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
  const uint32_t row = late.value - registers_[late.reg];
  if (row < late.count) {
    place = rows_[late.first + row];
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
      for (uint32_t row = 0; row < longest_; ++row) {
        const auto found = conditions_.find({reg, value + row});
        if (found == conditions_.end()) continue;
        for (const uint32_t number : found->second) evaluate(number);
      }
    }
  }
}

}  // namespace pianola
