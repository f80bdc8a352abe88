// Executors by name, ready to play a roll.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "cli/systemc_settings.h"
#include "emulator/device.h"
#include "emulator/rtl_device.h"
#include "isa/result.h"

namespace pianola {

struct ExecutorOptions {
  std::string name = "emulator";  // emulator, naive, rtl, systemc; reference has no device
  bool lockstep = false;          // rtl: compare every drive with the emulator's
  uint64_t poison = 1;
  std::optional<FaultInjection> fault;  // into the first launch; lockstep must find it
  std::filesystem::path waveform;       // where lockstep writes what is around a difference
  SystemcSettings systemc;
};

// "CYCLE" or "CYCLE:SEED".
Result<FaultInjection> parse_fault(std::string_view text);

// Refuses unknown names and options that do not belong to the executor or make no sense.
Status check_executor_options(const ExecutorOptions& options);

// For options that were checked: a device that has loaded the roll. NotFound where a tool is
// missing that it needs.
Result<std::unique_ptr<Device>> make_executor(const Roll& roll, const ExecutorOptions& options);

}  // namespace pianola
