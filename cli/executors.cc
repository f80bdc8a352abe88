#include "cli/executors.h"

#include <string_view>

#include "cli/progress.h"
#include "emulator/emulator.h"
#include "emulator/lockstep.h"
#include "emulator/naive_interpreter.h"
#include "emulator/rtl_device.h"
#include "emulator/systemc_device.h"

namespace pianola {

Result<std::unique_ptr<Device>> make_executor(const Roll& roll, const ExecutorOptions& options) {
  if (options.lockstep && options.name != "rtl") {
    return Error{ErrorCode::InvalidArgument,
                 "--lockstep compares the RTL with the emulator; use it with --executor rtl",
                 "executor " + options.name};
  }
  Progress progress("building the core of " + roll.target.name, "steps");
  BuildRtlOptions build;
  build.on_progress = [&progress](std::string_view text) { progress.message(text); };
  std::unique_ptr<Device> device;
  if (options.name == "emulator") {
    device = std::make_unique<Emulator>();
  } else if (options.name == "naive") {
    device = std::make_unique<NaiveInterpreter>();
  } else if (options.name == "rtl") {
    RtlDeviceOptions rtl;
    rtl.build = build;
    device = options.lockstep ? make_lockstep_device(std::move(rtl))
                              : make_rtl_device(std::move(rtl));
  } else if (options.name == "systemc") {
    SystemcOptions systemc;
    systemc.build = build;
    device = make_systemc_device(std::move(systemc));
  } else {
    return Error{ErrorCode::InvalidArgument,
                 "unknown executor; expected emulator, naive, rtl or systemc (or reference, which "
                 "takes models only)",
                 "executor " + options.name};
  }
  TRY_STATUS(device->load(roll, options.poison));
  return device;
}

}  // namespace pianola
