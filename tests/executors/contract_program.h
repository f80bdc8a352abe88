// A small roll by hand that touches everything that a device owns. "store" takes four vectors from the
// host, writes them to MEM at a launch register and sends the first to a KV row; "recall" sends to the
// host four vectors of MEM, one KV row and six vectors of the tape.
#pragma once

#include <cstdint>
#include <vector>

#include "emulator/device.h"

namespace pianola::test {

struct ContractProgram {
  static constexpr int kStore = 0, kRecall = 1;  // entries
  static constexpr int kAddress = 8;   // register: 0..60, a multiple of 4: where in MEM
  static constexpr int kRow = 40;      // parameter: 0..9: which KV row; 8 and 9 mean 7
  static constexpr uint64_t kKvVectors = 20;

  Roll roll;

  // The four vectors of a seed, and the launches that store and recall them.
  std::vector<std::byte> vectors(uint64_t seed) const;
  LaunchRequest store(uint32_t address, uint32_t row, uint64_t seed) const;
  LaunchRequest recall(uint32_t address, uint32_t row) const;
  // What recall sends, if MEM holds vectors(seed) and the row vectors(row_seed)[0].
  std::vector<std::byte> recalled(uint64_t seed, uint64_t row_seed) const;
  static uint64_t kv_vector(uint32_t row) { return 3 + 2 * uint64_t{row < 7 ? row : 7}; }
};

ContractProgram contract_program(const Target& target);

}  // namespace pianola::test
