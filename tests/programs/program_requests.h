// Which random programs these tests play, and with what.
#pragma once

#include "emulator/device.h"
#include "tests/support/random_program.h"

namespace pianola::test {

constexpr uint64_t kProgramsPerSet = 84;  // seeds 1 to 84: 504 programs on six machines

inline LaunchRequest request_for(const Roll& roll, uint64_t seed) {
  LaunchRequest request;
  request.registers = random_registers(roll.metadata.entries[0], seed);
  request.host_input = random_host_input(roll, roll.metadata.entries[0], seed);
  return request;
}

}  // namespace pianola::test
