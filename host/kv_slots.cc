#include "host/kv_slots.h"

#include <algorithm>
#include <cstring>

#include "host/engine.h"

namespace pianola {
namespace {

constexpr int kBlock = 16;  // positions whose vectors are moved together

}  // namespace

int allowed_slots(const Roll& roll, int wanted) {
  return roll.target.kv == KvResidence::Mem ? 1 : std::max(1, wanted);
}

KvSlots::KvSlots(const Roll& roll, Device& device, int slots)
    : roll_(&roll),
      device_(&device),
      size_(roll.metadata.kv_vectors * static_cast<std::size_t>(roll.target.lanes)),
      stores_(static_cast<std::size_t>(slots)),
      runs_(static_cast<std::size_t>((roll.metadata.model.context + kBlock - 1) / kBlock)) {
  CHECK(slots >= 1 && slots == allowed_slots(roll, slots));
}

// The vectors that launches at the block's positions write, as runs of neighbours. One-token
// entries say it for every position, and all entries keep a position in the same place.
const std::vector<KvSlots::Run>& KvSlots::runs_of_block(int block) {
  std::vector<Run>& runs = runs_[static_cast<std::size_t>(block)];
  if (!runs.empty()) return runs;
  const auto lanes = static_cast<std::size_t>(roll_->target.lanes);
  const int end = std::min((block + 1) * kBlock, roll_->metadata.model.context);
  std::vector<std::uint64_t> vectors;
  for (int position = block * kBlock; position < end; ++position) {
    const int index = choose_entry_for_all(*roll_, position, 1);
    if (index < 0) break;
    const Entry& entry = roll_->metadata.entries[static_cast<std::size_t>(index)];
    const std::vector<std::uint64_t> written =
        expand_segments(entry.kv_write, launch_registers(entry, roll_->target.lanes, position, {}));
    vectors.insert(vectors.end(), written.begin(), written.end());
  }
  std::sort(vectors.begin(), vectors.end());
  vectors.erase(std::unique(vectors.begin(), vectors.end()), vectors.end());
  for (const std::uint64_t vector : vectors) {
    const std::size_t offset = vector * lanes;
    if (!runs.empty() && runs.back().offset + runs.back().size == offset) {
      runs.back().size += lanes;
    } else {
      runs.push_back({offset, lanes});
    }
  }
  return runs;
}

std::byte* KvSlots::store(int slot) {
  std::unique_ptr<std::byte[]>& bytes = stores_[static_cast<std::size_t>(slot)];
  if (!bytes) bytes = std::make_unique_for_overwrite<std::byte[]>(size_);
  return bytes.get();
}

void KvSlots::copy_blocks(std::byte* to, const std::byte* from, int first, int end) {
  for (int block = first / kBlock; block * kBlock < end; ++block) {
    for (const Run& run : runs_of_block(block)) {
      std::memcpy(to + run.offset, from + run.offset, run.size);
    }
  }
}

void KvSlots::save() {
  if (dirty_first_ < dirty_end_) {
    copy_blocks(store(active_), device_->kv_region().data(), dirty_first_, dirty_end_);
  }
  dirty_first_ = dirty_end_ = 0;
}

void KvSlots::activate(int slot, int positions) {
  CHECK(slot >= 0 && static_cast<std::size_t>(slot) < stores_.size());
  if (slot == active_) return;
  save();
  active_ = slot;
  if (positions > 0) copy_blocks(device_->kv_region().data(), store(slot), 0, positions);
}

void KvSlots::mark_written(int first, int end) {
  if (stores_.size() == 1) return;
  dirty_first_ = dirty_first_ == dirty_end_ ? first : std::min(dirty_first_, first);
  dirty_end_ = std::max(dirty_end_, end);
}

void KvSlots::copy(int from, int to, int positions) {
  CHECK(from != to);
  if (from == active_) save();
  std::byte* target = to == active_ ? device_->kv_region().data() : store(to);
  if (positions > 0) copy_blocks(target, store(from), 0, positions);
  if (to == active_) {
    dirty_first_ = 0;
    dirty_end_ = positions;
  }
}

}  // namespace pianola
