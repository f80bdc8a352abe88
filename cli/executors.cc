#include "cli/executors.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string_view>

#include "cli/parse_number.h"
#include "cli/progress.h"
#include "emulator/emulator.h"
#include "emulator/lockstep.h"
#include "emulator/naive_interpreter.h"
#include "emulator/systemc_device.h"

namespace pianola {
namespace {

std::unique_ptr<Device> make_rtl(BuildRtlOptions build, const ExecutorOptions& options) {
  RtlDeviceOptions rtl;
  rtl.build = std::move(build);
  if (!options.lockstep) return make_rtl_device(std::move(rtl));
  rtl.waveform = options.waveform;
  if (options.fault) {
    rtl.inject = [fault = *options.fault](uint64_t launch) {
      return launch == 0 ? std::optional(fault) : std::nullopt;
    };
    rtl.on_injected = [](std::string_view bit, uint64_t cycle) {
      std::fprintf(stderr, "fault injection: flipped %.*s before machine cycle %llu\n",
                   static_cast<int>(bit.size()), bit.data(),
                   static_cast<unsigned long long>(cycle));
    };
  }
  return make_lockstep_device(std::move(rtl));
}

}  // namespace

Result<FaultInjection> parse_fault(std::string_view text) {
  FaultInjection fault;
  if (parse_numbers(text, fault.cycle, fault.seed)) return fault;
  return Error{ErrorCode::InvalidArgument,
               "expected CYCLE or CYCLE:SEED, got '" + std::string(text) + "'", "--inject-fault"};
}

Status check_executor_options(const ExecutorOptions& options) {
  constexpr std::array<std::string_view, 5> kNames = {"emulator", "naive", "rtl", "systemc",
                                                      "reference"};
  if (std::find(kNames.begin(), kNames.end(), options.name) == kNames.end()) {
    return Error{ErrorCode::InvalidArgument,
                 "unknown executor; expected emulator, naive, rtl, systemc or reference",
                 "executor " + options.name};
  }
  if (options.lockstep && options.name != "rtl") {
    return Error{ErrorCode::InvalidArgument,
                 "--lockstep compares the RTL with the emulator; use it with --executor rtl",
                 "executor " + options.name};
  }
  if (options.fault && !options.lockstep) {
    return Error{ErrorCode::InvalidArgument,
                 "--inject-fault tests what lockstep finds; use it with --executor rtl --lockstep",
                 "executor " + options.name};
  }
  if (options.systemc.given() && options.name != "systemc") {
    return Error{ErrorCode::InvalidArgument,
                 "--systemc-core, --memory, --memory-latency, --jitter and --starve describe the "
                 "SystemC platform; use them with --executor systemc",
                 "executor " + options.name};
  }
  TRY_STATUS(read_systemc_settings(options.systemc, 1));
  return Ok{};
}

Result<std::unique_ptr<Device>> make_executor(const Roll& roll, const ExecutorOptions& options) {
  // A core with waveforms is built only when a launch differs: this outlives the function.
  const auto progress =
      std::make_shared<Progress>("building the core of " + roll.target.name, "steps");
  BuildRtlOptions build;
  build.on_progress = [progress](std::string_view text) { progress->message(text); };
  std::unique_ptr<Device> device;
  if (options.name == "emulator") {
    device = std::make_unique<Emulator>();
  } else if (options.name == "naive") {
    device = std::make_unique<NaiveInterpreter>();
  } else if (options.name == "rtl") {
    device = make_rtl(std::move(build), options);
  } else if (options.name == "systemc") {
    TRY(SystemcOptions systemc, read_systemc_settings(options.systemc, roll.target.clock_mhz));
    systemc.build = std::move(build);
    device = make_systemc_device(std::move(systemc));
  } else {
    return Error{ErrorCode::InvalidArgument, "has no device that could play a roll",
                 "executor " + options.name};
  }
  TRY_STATUS(device->load(roll, options.poison));
  progress->clear();
  return device;
}

}  // namespace pianola
