// Speed of the emulator on one roll, in one thread, beside the speed at which this host reads memory in
// the same run. Device time is the time inside Device::launch; times are of the thread on its
// processor, and the best of some rounds counts, because others work on the host too.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "emulator/kernels.h"
#include "isa/result.h"
#include "isa/roll.h"

namespace pianola {

struct EmulatorMeasurement {
  struct Lift {
    std::string entry;
    double seconds = 0;
    std::string operations;  // describe_program
  };
  std::vector<Lift> lifts;

  // Tokens one by one.
  int decode_tokens = 0;
  double decode_tokens_per_second = 0;          // of the fastest launch
  double decode_tokens_per_second_engine = 0;   // of the fastest round, with the engine around it
  uint64_t tape_bytes = 0;                      // that a launch reads of the data tape
  double tape_bytes_per_second = 0;
  double plain_read_bytes_per_second = 0;       // a sum over as many bytes

  // A prompt, in launches of the engine's choice.
  int prefill_tokens = 0;  // 0: not measured
  double prefill_tokens_per_second = 0;
  double prefill_macs_per_second = 0;           // of the matrix units
};

struct EmulatorMeasurementOptions {
  int tokens = 64;
  int prompt = 0;                    // tokens; 0: no prefill
  const Kernels* kernels = nullptr;  // the fastest of the host if null
};

// macs: by entry, multiply-accumulates of the matrix units. Errors: what the emulator and the engine
// refuse.
Result<EmulatorMeasurement> measure_emulator(const Roll& roll, const std::vector<uint64_t>& macs,
                                             const EmulatorMeasurementOptions& options);

}  // namespace pianola
