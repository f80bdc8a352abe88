// Per queue: placed instructions become a sequence that the queue can execute. Loop nests of two
// operations may interleave in time, but a queue executes one instruction after the other; such nests
// are cut into single issues and built up again as far as they are regular. Neighbours that continue
// each other become one.
#pragma once

#include <vector>

#include "scheduler/schedule.h"

namespace pianola {

// `instructions` belong to one queue; the result is sorted and does not interleave.
std::vector<PlacedInstruction> compress_queue(std::vector<PlacedInstruction> instructions);

}  // namespace pianola
