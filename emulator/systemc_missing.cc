// The platform of a build without SystemC.
#include "emulator/systemc_platform.h"

namespace pianola {

Status check_platform() {
  return Error{ErrorCode::Unsupported,
               "this build has no SystemC; install it (Debian: apt-get install libsystemc-dev) and "
               "build again, or use another executor",
               "systemc device"};
}

Status play_on_platform(const PlatformLaunch&) { return check_platform(); }

}  // namespace pianola
