// `pianola targets` and `pianola build-rtl`.
#include <algorithm>
#include <cstdio>
#include <memory>

#include "cli/commands.h"
#include "cli/progress.h"
#include "emulator/build_rtl.h"
#include "isa/fpga_cells.h"
#include "isa/target.h"

namespace pianola {
namespace {

const char* unit_name(UnitKind kind) {
  switch (kind) {
    case UnitKind::Port: return "PORT";
    case UnitKind::Vxm: return "VXM";
    case UnitKind::Mem: return "MEM";
    case UnitKind::Sxm: return "SXM";
    case UnitKind::Mxm: return "MXM";
  }
  return "";
}

// What the core claims of its part, by formulas.
void print_part(const Target& target, const FpgaPart& part) {
  const FpgaCells cells = core_cells(target, part);
  const auto percent = [](double claimed, int available) {
    return available == 0 ? 0 : 100 * claimed / available;
  };
  std::printf("  %s, %d clock edges a cycle: about %.0f %% of its LUTs, %.0f %% of registers, %.0f %% of "
              "multipliers, %.0f %% of block RAMs, %.0f %% of UltraRAMs\n",
              part.name, target.beats, percent(cells.luts + cells.memory_luts, part.luts),
              percent(cells.registers, part.registers),
              percent(cells.multipliers, part.multipliers),
              percent(cells.block_rams, part.block_rams),
              percent(cells.ultra_rams, part.ultra_rams));
}

Status list_targets() {
  TRY(std::vector<std::string> names, target_names());
  for (const std::string& name : names) {
    TRY(Target target, load_target(name));
    std::printf("%s: %s\n  %d lanes, %d streams each way, %.0f MHz (%s), tape %d B/cycle\n ",
                target.name.c_str(), target.doc.c_str(), target.lanes, target.streams,
                target.clock_mhz, target.clock_source.c_str(), target.tape_bytes_per_cycle);
    for (UnitKind kind : target.floorplan) std::printf(" %s", unit_name(kind));
    const double mib = static_cast<double>(target.slices()) * target.words_per_slice *
                       target.lanes / (1 << 20);
    std::printf("\n  %d slices of %d words: %.2f MiB\n", target.slices(), target.words_per_slice,
                mib);
    if (const FpgaPart* part = find_fpga_part(target.part)) print_part(target, *part);
  }
  return Ok{};
}

Status build(const std::string& name, bool trace) {
  TRY(Target target, load_target(name));
  Progress progress("building the core of " + target.name, "steps");
  BuildRtlOptions options;
  options.trace = trace;
  options.on_progress = [&](std::string_view text) { progress.message(text); };
  TRY(std::filesystem::path library, build_rtl(target, options));
  progress.clear();
  std::printf("%s\n", library.c_str());
  return Ok{};
}

}  // namespace

void add_target_commands(CLI::App& app, Action& chosen) {
  CLI::App* list = app.add_subcommand("targets", "list the machines that come with Pianola");
  list->callback([&chosen] { chosen = list_targets; });
  CLI::App* command =
      app.add_subcommand("build-rtl", "Verilate the core of a target and keep it in the cache");
  auto name = std::make_shared<std::string>();
  auto trace = std::make_shared<bool>(false);
  command->add_option("target", *name, "a name or a TOML file")->required();
  command->add_flag("--trace", *trace, "with waveforms (slower)");
  command->callback(
      [&chosen, name, trace] { chosen = [name, trace] { return build(*name, *trace); }; });
}

}  // namespace pianola
