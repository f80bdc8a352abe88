#include "cli/systemc_settings.h"

#include <array>
#include <string_view>
#include <utility>

#include "cli/parse_number.h"

namespace pianola {
namespace {

// How long --starve takes a port's memory away, in clock cycles from the start of each launch.
constexpr uint64_t kStarveFirst = 2000, kStarveCycles = 100'000;

// As the assembler names their queues (docs/isa.md); instruction words come without one.
constexpr std::array<std::pair<std::string_view, PlatformPort>, kPlatformPorts> kPortNames = {{
    {"tape.recv", PlatformPort::Tape},
    {"kv.recv", PlatformPort::KvRead},
    {"host.recv", PlatformPort::HostReceive},
    {"words", PlatformPort::Words},
    {"kv.send", PlatformPort::KvWrite},
    {"host.send", PlatformPort::HostSend},
}};

Error bad_value(const char* option, const std::string& expected, const std::string& got) {
  return Error{ErrorCode::InvalidArgument, "expected " + expected + ", got '" + got + "'", option};
}

Result<SystemcCore> read_core(const std::string& text) {
  if (text.empty() || text == "rtl") return SystemcCore::Rtl;
  if (text == "emulator") return SystemcCore::Emulator;
  return bad_value("--systemc-core", "rtl or emulator", text);
}

Result<MemoryTiming> read_memory(const std::string& text, double clock_mhz) {
  if (text.empty() || text == "ideal") return MemoryTiming{};
  if (text == "ddr4") return ddr4_timing(clock_mhz);
  return bad_value("--memory", "ideal or ddr4", text);
}

Result<PlatformPort> read_port(const std::string& text) {
  std::string names;
  for (const auto& [name, port] : kPortNames) {
    if (text == name) return port;
    names += (names.empty() ? "" : ", ") + std::string(name);
  }
  return bad_value("--starve", "a port (" + names + ")", text);
}

}  // namespace

void add_systemc_options(CLI::App& command, SystemcSettings& settings) {
  command.add_option("--systemc-core", settings.core, "systemc: rtl or emulator")
      ->default_str("rtl");
  command.add_option("--memory", settings.memory, "systemc: ideal or ddr4 (DDR4-2400)")
      ->default_str("ideal");
  command.add_option("--memory-latency", settings.latency_cycles,
                     "systemc: clock cycles from a request to its first beat");
  command.add_option("--jitter", settings.jitter,
                     "systemc: N or N:SEED; before each burst 0 to N clock cycles more");
  command.add_option("--starve", settings.starved,
                     "systemc: a port that moves nothing for a while in each launch: tape.recv, "
                     "kv.recv, host.recv, words, kv.send or host.send");
}

Result<SystemcOptions> read_systemc_settings(const SystemcSettings& settings, double clock_mhz) {
  SystemcOptions options;
  TRY(options.core, read_core(settings.core));
  TRY(options.timing, read_memory(settings.memory, clock_mhz));
  MemoryTiming& timing = options.timing;
  if (settings.latency_cycles) timing.latency_cycles = *settings.latency_cycles;
  if (!settings.jitter.empty() &&
      !parse_numbers(settings.jitter, timing.jitter_cycles, timing.seed)) {
    return bad_value("--jitter", "N or N:SEED", settings.jitter);
  }
  if (!settings.starved.empty()) {
    TRY(timing.starved, read_port(settings.starved));
    timing.starve_first = kStarveFirst;
    timing.starve_cycles = kStarveCycles;
  }
  return options;
}

}  // namespace pianola
