// The machines whose Verilated cores play random programs: the products, and small ones with odd
// numbers. Each is one model to build, which takes most of the time of these tests: there are few.
#pragma once

#include <vector>

#include "isa/target.h"

namespace pianola::test {

// One PORT at the end, one MXM, queues of four: tests/support/tiny_targets.h.
Target tiny4();
// Two hemispheres with an MXM each, two chains, a deep freeze pipeline.
Target twin8();
// 12 lanes, two MXMs side by side that load five streams, no SXM, numbers that
// are no powers of two, a chain without half of its stages.
Target odd12();

std::vector<Target> rtl_parameter_sets();

}  // namespace pianola::test
