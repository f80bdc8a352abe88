// Vector program -> schedule -> instruction words.
//
//   allocate_memory   arrays get addresses (lifetimes in program order)
//   place_operations  each operation gets its cycles, streams and accumulators: earliest place where
//                     nothing collides (reservation tables), in program order
//   encode_schedule   per queue: runs that interleave are cut, neighbours merged; then dispatch slots
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "isa/instructions.h"
#include "isa/target.h"
#include "scheduler/vector_program.h"

namespace pianola {

using AnyInstruction = std::variant<MemInstruction, VxmInstruction, MxmLoadInstruction,
                                    MxmMacInstruction, SxmInstruction, PortRecvInstruction,
                                    PortSendInstruction>;

// An instruction with its place. Times count from the schedule's own cycle 0; `timing` inside the
// instruction is filled in by encode_schedule.
struct PlacedInstruction {
  int queue = 0;
  uint32_t mask = 1;
  int64_t first = 0;           // cycle of iteration (0, 0, 0)
  std::array<int, 3> count{1, 1, 1};
  std::array<int64_t, 3> period{0, 0, 0};
  AnyInstruction instruction;

  int64_t last() const {
    return first + (count[0] - 1) * period[0] + (count[1] - 1) * period[1] +
           (count[2] - 1) * period[2];
  }
};

struct Schedule {
  std::vector<std::vector<PlacedInstruction>> queues;  // of the target
  // Work that happens more often than it is written down: of every queue the instructions from..to - 1 are executed
  // `times` times more, each time `length` cycles later, and those behind them come so much later.
  struct Stretch {
    std::vector<size_t> from, to;  // by queue
    int64_t begin = 0;             // first cycle of its instructions, without what earlier stretches add
    int64_t length = 0;
    int times = 0;
  };
  std::vector<Stretch> stretches;  // one after the other in every queue
  int64_t end = 0;  // no effect later than this cycle; with what stretches add, as the placements
  // For people: where each operation went.
  struct Placement {
    int operation;
    int64_t first;  // cycle that its stencil counts from
    int64_t last;   // of its last effect
  };
  std::vector<Placement> placements;
};

struct PlaceOptions {
  // How many instructions may begin in a stretch of cycles, in percent of the words that the
  // instruction tape delivers in it; 0: any number. Schedules of many short operations need a limit:
  // what the tape cannot deliver in time must wait in the queues, and those have an end.
  int instruction_percent = 0;
  // A nest that issues at least every so many cycles keeps others out of its gaps where that costs little: a queue
  // executes one nest after the other, and those that interleave are cut into many instructions. 0: none does.
  int dense_gap = 4;
  // What of the rate of a memory that ports share may be used: the placer counts instructions and KV
  // writes at other cycles than they happen in.
  int memory_permille = 1000;
};

struct EncodedEntry {
  std::vector<Word> words;
  uint64_t cycles = 0;
  int peak_queue_occupancy = 0;
  bool memory_keeps_up = true;  // where tape, KV and instructions share one
};

// Errors: OutOfRange with the resource, the array and what to change.
Status allocate_memory(VectorProgram& program, const Target& target);
Result<Schedule> place_operations(const VectorProgram& program, const Target& target,
                                  const PlaceOptions& options = {});
Result<EncodedEntry> encode_schedule(Schedule schedule, const Target& target);

}  // namespace pianola
