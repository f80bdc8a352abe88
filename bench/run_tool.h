// This tool again as a process of its own, so that its time and its memory can be measured.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "isa/result.h"

namespace pianola {

struct ToolRun {
  double seconds = 0;       // on the clock
  double cpu_seconds = 0;   // of all threads
  uint64_t peak_bytes = 0;  // resident, at most at any time
  std::string output;       // standard output
};

// Runs the program that is running with these arguments; its standard error is shown. Errors: Io
// (cannot be started), Mismatch (exit status is not zero).
Result<ToolRun> run_tool(const std::vector<std::string>& arguments);

}  // namespace pianola
