// pianola_target_package <target>: prints target_pkg for the RTL build.
// pianola_target_package <target> <part>: prints how many cells each unit and the core map to on an
// FPGA, by the formulas of fpga_cells.h, one line each: name, registers, LUTs, multipliers, LUTs
// that are memories, block RAMs, UltraRAMs; after them the part itself.
#include <cstdio>

#include "isa/fpga_cells.h"
#include "isa/write_target_package.h"

namespace {

int print_cells(const pianola::Target& target, const char* name) {
  const pianola::FpgaPart* part = pianola::find_fpga_part(name);
  if (!part) {
    std::fprintf(stderr, "error: expected a part, one of %s, got %s\n",
                 pianola::fpga_part_names().c_str(), name);
    return 1;
  }
  for (const auto& [unit, cells] : pianola::unit_cells(target, *part)) {
    std::printf("%s %.0f %.0f %.0f %.0f %.0f %.0f\n", unit.c_str(), cells.registers, cells.luts,
                cells.multipliers, cells.memory_luts, cells.block_rams, cells.ultra_rams);
  }
  std::printf("%s %d %d %d 0 %d %d\n", part->name, part->registers, part->luts, part->multipliers,
              part->block_rams, part->ultra_rams);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 && argc != 3) {
    std::fprintf(stderr, "usage: %s <target name or .toml file> [<part>]\n", argv[0]);
    return 2;
  }
  const auto target = pianola::load_target(argv[1]);
  if (!target.ok()) {
    std::fprintf(stderr, "error: %s\n", pianola::to_string(target.error()).c_str());
    return 1;
  }
  if (argc == 3) return print_cells(*target, argv[2]);
  const std::string text = pianola::write_target_package(*target);
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() ? 0 : 1;
}
