// The options of the systemc executor: which core plays, and how the memory beside it behaves.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "emulator/systemc_device.h"
#include "isa/result.h"

namespace pianola {

// As they were written; empty: the default.
struct SystemcSettings {
  std::string core, memory, jitter, starved;
  std::optional<uint32_t> latency_cycles;

  bool given() const {
    return !core.empty() || !memory.empty() || !jitter.empty() || !starved.empty() ||
           latency_cycles.has_value();
  }
};

void add_systemc_options(CLI::App& command, SystemcSettings& settings);

// What they mean on a machine of `clock_mhz`, which counts for DDR4 alone.
Result<SystemcOptions> read_systemc_settings(const SystemcSettings& settings, double clock_mhz);

}  // namespace pianola
