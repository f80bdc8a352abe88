// How many cells of an FPGA a target's core maps to: formulas in the numbers of the target.
//
// Registers and multipliers follow from the design. LUTs are what is selected, added and decoded: a
// formula names it, and the family says what one of them costs. rtl/synth/synthesize.py compares
// the formulas with what Yosys makes of the units and of whole cores; find_fpga_excess uses them to
// refuse a target that is too big for its part.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "isa/fpga_parts.h"
#include "isa/target.h"

namespace pianola {

struct FpgaCells {
  double registers = 0;
  double luts = 0;  // LUT4 or LUT6, those of memories apart
  double multipliers = 0;
  double memory_luts = 0;  // LUTs that are small memories
  double block_rams = 0;
  double ultra_rams = 0;

  FpgaCells& operator+=(const FpgaCells& other);
};
FpgaCells operator+(FpgaCells a, const FpgaCells& b);
FpgaCells operator*(double n, FpgaCells cells);

// The whole core, without the memory controllers and links of a board.
FpgaCells core_cells(const Target& target, const FpgaPart& part);
// Units by the names of their modules, one instance each, as synthesize.py measures them.
std::vector<std::pair<std::string, FpgaCells>> unit_cells(const Target& target,
                                                          const FpgaPart& part);

// One line per resource of the part that the core claims more than kFpgaUseMax per cent of:
// resource, estimate, limit and what to change. Empty if it fits.
std::vector<std::string> find_fpga_excess(const Target& target, const FpgaPart& part);

}  // namespace pianola
