#include "compiler/schedule_entry.h"

#include <algorithm>
#include <iterator>

namespace pianola {
namespace {

// How schedules are made, until the instructions of one can be delivered: percent of what the tape delivers, and gaps.
struct InstructionLimit {
  int percent, dense_gap;
};
constexpr InstructionLimit kInstructionLimits[] = {{0, 0},    {0, 4},    {0, 8},    {0, 16},  {200, 16},
                                                   {160, 16}, {130, 16}, {100, 16}, {75, 16}, {50, 16}};
constexpr std::array kMemoryPermilles = {1000, 998, 996, 992, 984, 968, 936};

// By slice and bank: the words below the highest that an array takes.
std::vector<std::array<int, 2>> words_used(const VectorProgram& program, const Target& target) {
  const std::vector<std::array<int, 4>> homes = homes_of(target);
  std::vector<std::array<int, 2>> used(target.slices(), {0, 0});
  for (const Array& array : program.arrays) {
    if (array.address < 0) continue;
    const int end = array.address - array.bank * target.words_per_slice / 2 + array.vectors;
    for (int i = 0; i < array.streams; ++i) {
      int& words = used[homes[array.home][array.slice + i]][array.bank];
      words = std::max(words, end);
    }
  }
  return used;
}

std::vector<PersistentRegion> persistent_regions(const VectorProgram& program,
                                                 const Target& target) {
  const std::vector<std::array<int, 4>> homes = homes_of(target);
  std::vector<PersistentRegion> regions;
  for (const Array& array : program.arrays) {
    if (!array.persistent) continue;
    for (int i = 0; i < array.streams; ++i) {
      regions.push_back({array.name, homes[array.home][array.slice + i], array.address,
                         array.vectors});
    }
  }
  return regions;
}

// Of the limits above the first that will do. If the schedule takes more than the memory behind the ports delivers,
// another one is made that counts on less.
Result<EncodedEntry> schedule_program(const VectorProgram& program, const Target& target,
                                      std::vector<Schedule::Placement>& placements) {
  PlaceOptions options;
  size_t limit = 0, permilles = 0;
  while (true) {
    options.instruction_percent = kInstructionLimits[limit].percent;
    options.dense_gap = kInstructionLimits[limit].dense_gap;
    options.memory_permille = kMemoryPermilles[permilles];
    TRY(Schedule schedule, place_operations(program, target, options));
    placements = std::move(schedule.placements);
    Result<EncodedEntry> encoded = encode_schedule(std::move(schedule), target);
    if (!encoded.ok()) {
      if (++limit == std::size(kInstructionLimits)) return encoded;
    } else if (!encoded->memory_keeps_up) {
      if (++permilles == kMemoryPermilles.size()) {
        return Error{ErrorCode::OutOfRange,
                     "the memory of target " + target.name +
                         " is too slow for this schedule; use a deeper FIFO for the tape",
                     "scheduler"};
      }
    } else {
      return encoded;
    }
  }
}

}  // namespace

Result<ScheduledEntry> schedule_entry(const VectorProgram& program, const Target& target) {
  ScheduledEntry out;
  TRY(EncodedEntry encoded, schedule_program(program, target, out.placements));
  out.persistent = persistent_regions(program, target);
  out.words_used = words_used(program, target);
  out.words = std::move(encoded.words);
  out.words.shrink_to_fit();  // other entries are made meanwhile
  out.entry.word_count = out.words.size();
  out.entry.cycles = encoded.cycles;
  out.entry.registers = program.registers;
  return out;
}

}  // namespace pianola
