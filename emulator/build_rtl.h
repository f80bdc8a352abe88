// Builds the Verilated core of a target as a shared library (rtl/harness/rtl_abi.h) and keeps it in
// a cache. The key is a hash of everything that goes in: RTL and harness sources, the target, the
// options, the versions of Verilator and of the compiler, and the CPU, because the code is compiled
// for the CPU it is built on.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "isa/result.h"
#include "isa/target.h"

namespace pianola {

struct BuildRtlOptions {
  bool trace = false;   // waveforms; slower, a library of its own
  bool checks = true;   // the rules' fault logic
  bool probes = true;   // drives stay visible: lockstep needs it
  bool synthesis_form = false;  // what is synthesized, in place of what simulates fast
  std::filesystem::path cache;    // empty: $PIANOLA_CACHE, else ~/.cache/pianola, else ./build/.cache
  std::filesystem::path rtl_dir;  // empty: the one this was built with
  std::function<void(std::string_view)> on_progress;  // one line per step; not called on a hit
};

// Path of the library. Fails with NotFound if Verilator or a C++ compiler is missing (the message
// names the package), with Malformed if the RTL does not compile (the message names the log), with Unsupported if the
// machine is too large.
Result<std::filesystem::path> build_rtl(const Target& target, const BuildRtlOptions& options);

}  // namespace pianola
