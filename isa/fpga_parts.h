// FPGAs that a target can be made for, and what they have.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace pianola {

// Families whose cells Yosys maps to: look-up tables of 4 or 6 inputs, what a multiplier is.
enum class FpgaFamily : uint8_t { Ecp5, Xilinx7, UltraScalePlus };

struct FpgaPart {
  const char* name;
  FpgaFamily family;
  int luts;  // LUT4 (ECP5) or LUT6
  int registers;
  int multipliers;  // 18 x 18 (ECP5), DSP48E1 or DSP48E2
  int block_rams;   // of 18 kbit (ECP5) or 36 kbit
  int ultra_rams;   // of 288 kbit
  const char* source;
};

// What of a part a target may use, in per cent: beyond it routing and timing fail.
constexpr int kFpgaUseMax = 80;

// Null if there is none of this name.
const FpgaPart* find_fpga_part(std::string_view name);
// All names, quoted, for messages.
std::string fpga_part_names();

}  // namespace pianola
