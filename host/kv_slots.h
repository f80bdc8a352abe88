// The KV rows of many sequences that take turns on one device. The device holds the rows of one
// sequence, the active one; the others wait in host memory, a slot each.
//
// Only what a sequence has written moves: the vectors of its positions, found from the roll's own
// segments. What the device holds beyond them is another sequence's, and no launch can tell: reads
// beyond the valid positions never reach a result (architecture.md, entry invariance).
//
// Where the cache lives in MEM (target, kv.residence) the host cannot reach it, and there is one
// slot.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "emulator/device.h"
#include "isa/roll.h"

namespace pianola {

// How many slots a roll allows, at most `wanted`.
int allowed_slots(const Roll& roll, int wanted);

class KvSlots {
 public:
  // Both must outlive it. `slots` as of allowed_slots; slot 0 is active, and all are empty.
  KvSlots(const Roll& roll, Device& device, int slots);

  // Puts the slot's first `positions` positions on the device.
  void activate(int slot, int positions);
  // The active slot's positions [first, end) have been written by a launch.
  void mark_written(int first, int end);
  // The first `positions` positions of `from` become those of `to`, which loses its own.
  void copy(int from, int to, int positions);

  int active() const { return active_; }

 private:
  struct Run {
    std::size_t offset = 0, size = 0;  // bytes of the KV region
  };
  const std::vector<Run>& runs_of_block(int block);
  void save();
  std::byte* store(int slot);
  void copy_blocks(std::byte* to, const std::byte* from, int first, int end);

  const Roll* roll_;
  Device* device_;
  std::size_t size_ = 0;  // bytes of the KV region
  int active_ = 0;
  int dirty_first_ = 0, dirty_end_ = 0;  // positions of the active slot that its store lacks
  std::vector<std::unique_ptr<std::byte[]>> stores_;  // [slots]; null until needed
  std::vector<std::vector<Run>> runs_;  // of each block of positions; empty until needed
};

}  // namespace pianola
