// The Verilated core checked against the emulator, drive by drive, in every launch.
#pragma once

#include <memory>

#include "emulator/rtl_device.h"

namespace pianola {

// options.lockstep is filled in; options.build.probes is set.
std::unique_ptr<Device> make_lockstep_device(RtlDeviceOptions options);

}  // namespace pianola
