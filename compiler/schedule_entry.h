// Vector program -> what a roll has of an entry: words, exact cycles, and what it takes of MEM.
#pragma once

#include <array>
#include <vector>

#include "isa/roll.h"
#include "scheduler/schedule.h"

namespace pianola {

struct ScheduledEntry {
  Entry entry;  // with cycles, word_count and registers
  std::vector<Word> words;
  std::vector<PersistentRegion> persistent;
  std::vector<std::array<int, 2>> words_used;  // by slice and bank: those below the highest that an array takes
  std::vector<Schedule::Placement> placements;
};

// The fastest schedule whose instructions the tape and the queues can deliver. Arrays have their addresses.
// Errors: OutOfRange, if there is none.
Result<ScheduledEntry> schedule_entry(const VectorProgram& program, const Target& target);

}  // namespace pianola
