#include "isa/fpga_parts.h"

namespace pianola {
namespace {

constexpr FpgaPart kParts[] = {
    {"lfe5u-85f", FpgaFamily::Ecp5, 83640, 83640, 156, 208, 0,
     "Lattice FPGA-DS-02012, ECP5 family selection guide"},
    {"xc7a100t", FpgaFamily::Xilinx7, 63400, 126800, 240, 135, 0,
     "Xilinx DS180, Artix-7 feature summary"},
    {"xck26", FpgaFamily::UltraScalePlus, 117120, 234240, 1248, 144, 64,
     "Xilinx DS987, Kria K26 SOM"},
    {"xcu55c", FpgaFamily::UltraScalePlus, 1303680, 2607360, 9024, 2016, 960,
     "Xilinx DS978, Alveo U55C"},
};

}  // namespace

const FpgaPart* find_fpga_part(std::string_view name) {
  for (const FpgaPart& part : kParts) {
    if (name == part.name) return &part;
  }
  return nullptr;
}

std::string fpga_part_names() {
  std::string text;
  for (const FpgaPart& part : kParts) {
    text += (text.empty() ? "\"" : ", \"") + std::string(part.name) + '"';
  }
  return text;
}

}  // namespace pianola
