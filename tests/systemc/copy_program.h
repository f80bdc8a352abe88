// A program that keeps every port busy beyond its FIFO: what comes from the tape and the host goes
// through MEM to the host, what comes from KV goes through MEM to new KV rows. Many words, too.
#pragma once

#include "emulator/device.h"
#include "isa/roll.h"

namespace pianola::test {

constexpr int kCopiedVectors = 200;  // by each RECV port

// Small FIFOs, MEM for the vectors, and a memory that small bursts suit.
Target copy_target();
Roll copy_program(const Target& target);
LaunchRequest copy_request(const Roll& roll, uint64_t seed);

}  // namespace pianola::test
