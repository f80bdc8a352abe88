// Plays the same launches on the naive interpreter and on the emulator with each of its kernels, and
// compares everything that can be seen: cycles, host output, the KV region and every stream drive.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "emulator/device.h"

namespace pianola::test {

// Random bytes for the host port, from a seed.
std::vector<std::byte> random_host_input(const Roll& roll, int entry, uint64_t seed);

// Success, or the first difference. Launches are played in order on one load with this poison.
testing::AssertionResult executors_agree(const Roll& roll,
                                         const std::vector<LaunchRequest>& launches,
                                         uint64_t poison);

}  // namespace pianola::test
