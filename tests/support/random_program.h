// Random but sound programs for the machine: every opcode, format, direction and loop level, on any
// target. The writer works backwards from what is sent, written or loaded ("this operand must be on a
// stream at that position in that cycle") and places each piece against reservation tables of its own,
// which share nothing with the verifier. What it finds out goes to the host port, so that executors can be
// compared by their output.
#pragma once

#include <cstdint>
#include <vector>

#include "isa/roll.h"

namespace pianola::test {

struct RandomProgramOptions {
  int pieces = 40;         // instructions are about four times as many
  int issues_max = 24;     // of one instruction; a tile or transpose load may take more
  int depth_max = 3;       // units that one operand goes through
  bool registers = true;   // addresses, lanes and thresholds by launch register
};

// One program, not yet seen by the verifier.
Roll write_random_program(const Target& target, uint64_t seed, const RandomProgramOptions& options = {});
// A program that the verifier accepts: of `seed`, or of a seed derived from it.
Roll random_program(const Target& target, uint64_t seed, const RandomProgramOptions& options = {});
// Launch registers within the declarations of an entry, by parameter index.
std::vector<uint32_t> random_registers(const Entry& entry, uint64_t seed);
// Vectors for the host port of an entry.
std::vector<std::byte> random_host_input(const Roll& roll, const Entry& entry, uint64_t seed);

}  // namespace pianola::test
