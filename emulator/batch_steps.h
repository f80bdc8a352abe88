// From the passes and multiplications of a lifted entry to operations: those that may be executed
// together become one.
#pragma once

#include <cstdint>
#include <vector>

#include "emulator/lift.h"
#include "emulator/lifted_steps.h"

namespace pianola {

// Adds the operations to `program` and the times at which they are executed to `times`. Passes of
// each chain must be in the order of their keys.
void batch_passes(LiftedSteps& steps, Program& program, PagedVector<uint64_t>& times);
void batch_multiplications(LiftedSteps& steps, Program& program, PagedVector<uint64_t>& times);

}  // namespace pianola
