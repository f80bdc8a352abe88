// Whether one memory behind tape, KV and instructions delivers in time what a schedule takes.
#pragma once

#include <span>
#include <vector>

#include "scheduler/schedule.h"

namespace pianola {

// `ports`: the RECV and SEND instructions of tape and KV, each queue's in order of time.
// True where the ports do not share a memory.
bool memory_keeps_up(const std::array<std::vector<PlacedInstruction>, 3>& ports,
                     std::span<const Word> words, const Target& target);

}  // namespace pianola
