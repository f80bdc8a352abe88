#include "emulator/build_rtl.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#include "isa/write_target_package.h"

extern char** environ;

namespace pianola {
namespace {

namespace fs = std::filesystem;

using Command = std::vector<std::string>;

struct Toolchain {
  std::string compiler;  // g++ or clang++
  std::string verilator_version, compiler_version, verilator_root;
};

// A 128-bit content hash: two FNV-1a chains with different offsets. It names cache entries of the
// user's own files; it need not resist attack.
class Hash {
 public:
  void add(std::string_view text) {
    for (const char c : text) {
      low_ = (low_ ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
      high_ = (high_ ^ static_cast<unsigned char>(c)) * 0x10000000233u;
    }
    low_ = (low_ ^ 0xff) * 0x100000001b3u;
    high_ = (high_ ^ text.size()) * 0x10000000233u;
  }
  std::string hex() const {
    char text[33];
    std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(high_),
                  static_cast<unsigned long long>(low_));
    return text;
  }

 private:
  uint64_t low_ = 0xcbf29ce484222325u, high_ = 0x6c62272e07bb0142u;
};

std::string read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

Status write_text(const fs::path& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary);
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
  file.close();
  if (!file) return Error{ErrorCode::Io, "cannot write", path.string()};
  return Ok{};
}

// Starts a command with its output appended to `log`; -1 if it cannot be started.
pid_t start_command(const Command& command, const fs::path& log) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  std::vector<char*> arguments;
  for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  pid_t pid = -1;
  if (posix_spawnp(&pid, arguments[0], &actions, nullptr, arguments.data(), environ) != 0) pid = -1;
  posix_spawn_file_actions_destroy(&actions);
  return pid;
}

bool run_command(const Command& command, const fs::path& log) {
  const pid_t pid = start_command(command, log);
  int status = 0;
  return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// Runs all commands, as many at a time as there are processors. Only these children are waited for.
bool run_parallel(const std::vector<Command>& commands, const fs::path& log) {
  const size_t at_once = std::max(1u, std::thread::hardware_concurrency());
  std::vector<std::thread> workers;
  std::vector<char> good(commands.size(), 0);
  for (size_t w = 0; w < at_once; ++w) {
    workers.emplace_back([&, w] {
      for (size_t i = w; i < commands.size(); i += at_once) good[i] = run_command(commands[i], log);
    });
  }
  for (std::thread& worker : workers) worker.join();
  return std::all_of(good.begin(), good.end(), [](char c) { return c != 0; });
}

// First line of what a command prints, empty if it cannot be run.
std::string first_line(const Command& command, const fs::path& scratch) {
  fs::remove(scratch);
  if (!run_command(command, scratch)) return {};
  const std::string text = read_text(scratch);
  return text.substr(0, text.find('\n'));
}

Result<Toolchain> find_toolchain(const fs::path& scratch) {
  Toolchain tools;
  tools.verilator_version = first_line({"verilator", "--version"}, scratch);
  if (tools.verilator_version.empty()) {
    return Error{ErrorCode::NotFound,
                 "Verilator is not installed, or not on PATH; the RTL device needs it "
                 "(Debian: apt-get install verilator)",
                 "verilator"};
  }
  tools.verilator_root = first_line({"verilator", "--getenv", "VERILATOR_ROOT"}, scratch);
  std::vector<std::string> candidates = {"g++", "clang++", "c++"};
  if (const char* chosen = std::getenv("CXX")) candidates.insert(candidates.begin(), chosen);
  for (const std::string& candidate : candidates) {
    tools.compiler_version = first_line({candidate, "--version"}, scratch);
    if (tools.compiler_version.empty()) continue;
    tools.compiler = candidate;
    return tools;
  }
  return Error{ErrorCode::NotFound,
               "no C++ compiler on PATH; the RTL device compiles the Verilated core "
               "(Debian: apt-get install g++)",
               "g++"};
}

// Model and instruction sets of this machine's first processor.
std::string cpu_identity() {
  std::ifstream file("/proc/cpuinfo");
  std::string line, identity;
  while (std::getline(file, line) && !line.empty()) {
    if (line.starts_with("model") || line.starts_with("flags") || line.starts_with("Features") ||
        line.starts_with("CPU ") || line.starts_with("vendor_id") || line.starts_with("isa")) {
      identity += line + "\n";
    }
  }
  return identity;
}

// Verilator takes memory and time for each cell of the matrix units; the largest core that tests build has 4,096.
constexpr int64_t kCellsMax = 1 << 16;

fs::path cache_directory(const BuildRtlOptions& options) {
  if (!options.cache.empty()) return options.cache;
  if (const char* chosen = std::getenv("PIANOLA_CACHE"); chosen && *chosen) return chosen;
  if (const char* home = std::getenv("HOME"); home && *home) {
    return fs::path(home) / ".cache" / "pianola";
  }
  return fs::path("build") / ".cache";
}

// Sorted, so that hash and command lines do not depend on the directory's order.
std::vector<fs::path> files_with(const fs::path& directory, std::initializer_list<const char*> ends) {
  std::vector<fs::path> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename().string();
    for (const char* end : ends) {
      if (name.ends_with(end)) found.push_back(entry.path());
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::string list_of(std::string_view name, const std::vector<int>& values) {
  std::string text = "constexpr unsigned " + std::string(name) + "[] = {";
  for (size_t i = 0; i < values.size(); ++i) text += (i ? ", " : "") + std::to_string(values[i]);
  return text + "};\n";
}

// The numbers of the target for the harness.
std::string write_target_config(const Target& target, bool synthesis_form) {
  std::vector<int> drivers, widths, is_mem;
  for (const UnitKind kind : target.floorplan) {
    const bool mem = kind == UnitKind::Mem;
    drivers.push_back(kind == UnitKind::Port  ? 3
                      : kind == UnitKind::Vxm ? target.vxm_chains
                      : mem                   ? target.slices_per_position
                                              : 1);
    widths.push_back(kind == UnitKind::Port ? target.port_width_vectors : mem ? 1 : 4);
    is_mem.push_back(mem);
  }
  int bank_words = 1;
  while (bank_words < target.words_per_slice / 2) bank_words *= 2;
  std::string text = "// Generated by build_rtl.\n#pragma once\nnamespace target_config {\n";
  const auto number = [&](std::string_view name, int value) {
    text += "constexpr unsigned " + std::string(name) + " = " + std::to_string(value) + ";\n";
  };
  number("kLanes", target.lanes);
  number("kBeats", synthesis_form ? target.beats : 1);
  number("kStreams", target.streams);
  number("kPositions", target.positions());
  number("kSlicesPerPosition", target.slices_per_position);
  number("kSlices", target.slices());
  number("kWordsPerSlice", target.words_per_slice);
  number("kWrittenBits", 2 * bank_words);
  number("kTapeBytesPerCycle", target.tape_bytes_per_cycle);
  number("kKvBytesPerCycle", target.kv_bytes_per_cycle);
  number("kHostBytesPerCycle", target.host_bytes_per_cycle);
  number("kInstructionBytesPerCycle", target.instruction_bytes_per_cycle);
  number("kMemoryBytesPerCycle", target.memory_bytes_per_cycle);
  return text + list_of("kDrivers", drivers) + list_of("kDriveWidth", widths) +
         list_of("kIsMem", is_mem) + "}\n";
}

Command verilator_command(const BuildRtlOptions& options, const fs::path& rtl, const fs::path& work) {
  Command command = {"verilator", "--cc", "--vpi", "-O3", "--x-assign", "fast", "--x-initial",
                     "fast", "--noassert", "--no-timing", "--unroll-count", "8", "--Mdir",
                     (work / "model").string(), "--prefix", "Vcore", "--top-module", "core",
                     options.checks ? "-GChecks=1'b1" : "-GChecks=1'b0", "-y", rtl.string()};
  if (options.trace) command.insert(command.end(), {"--trace-fst", "--trace-structs"});
  if (options.probes) command.push_back("-DPIANOLA_PROBES");
  if (options.synthesis_form) command.push_back("-DPIANOLA_SYNTHESIS_FORM");
  command.push_back((rtl / "waivers.vlt").string());
  for (const fs::path& package : files_with(rtl, {"_pkg.sv"})) command.push_back(package.string());
  command.push_back((work / "target_pkg.sv").string());
  command.push_back((rtl / "core.sv").string());
  return command;
}

// Compiles the model, Verilator's library and the harness, and links them.
Status compile_model(const BuildRtlOptions& options, const Toolchain& tools, const fs::path& rtl,
                     const fs::path& work, const fs::path& log) {
  const fs::path include = fs::path(tools.verilator_root) / "include";
  std::vector<fs::path> sources = files_with(work / "model", {".cpp"});
  sources.push_back(rtl / "harness" / "harness.cc");
  for (const char* name : {"verilated.cpp", "verilated_dpi.cpp", "verilated_vpi.cpp",
                           "verilated_threads.cpp"}) {
    sources.push_back(include / name);
  }
  if (options.trace) sources.push_back(include / "verilated_fst_c.cpp");
  std::vector<Command> commands;
  Command link = {tools.compiler, "-shared", "-o", (work / "core.so").string()};
  for (const fs::path& source : sources) {
    const std::string name = source.filename().string();
    // What runs once, and what runs only where waveforms are written.
    const bool once = name.find("__Slow") != std::string::npos ||
                      name.find("__Syms") != std::string::npos;
    const bool seldom = name.starts_with("verilated") || name.find("__Trace") != std::string::npos;
    const std::string object = (work / (name + ".o")).string();
    Command command = {tools.compiler, "-std=c++20", "-c", source.string(), "-o", object,
                       once ? "-O0" : seldom ? "-O1" : "-O3", "-fPIC", "-fvisibility=hidden", "-march=native",
                       "-fno-strict-aliasing", "-ffp-contract=off", "-w",
                       "-I" + (work / "model").string(), "-I" + work.string(),
                       "-I" + (rtl / "harness").string(), "-I" + include.string(),
                       "-I" + (include / "vltstd").string(),
                       options.trace ? "-DVM_TRACE=1" : "-DVM_TRACE=0", "-DVM_TRACE_VCD=0",
                       options.trace ? "-DVM_TRACE_FST=1" : "-DVM_TRACE_FST=0", "-DVM_COVERAGE=0",
                       "-DVM_SC=0"};
    commands.push_back(std::move(command));
    link.push_back(object);
  }
  if (options.trace) link.push_back("-lz");
  link.push_back("-lpthread");
  if (!run_parallel(commands, log) || !run_command(link, log)) {
    return Error{ErrorCode::Malformed, "the Verilated core does not compile; see the log",
                 log.string()};
  }
  return Ok{};
}

}  // namespace

Result<fs::path> build_rtl(const Target& target, const BuildRtlOptions& options) {
  const int64_t cells = int64_t{target.lanes} * target.lanes * static_cast<int64_t>(target.mxm_positions.size());
  if (cells > kCellsMax) {
    return Error{ErrorCode::Unsupported,
                 "its matrix units have " + std::to_string(cells) + " cells, which is more than the " +
                     std::to_string(kCellsMax) + " that can be Verilated; use the emulator or a smaller machine",
                 "the RTL of target " + target.name};
  }
  const fs::path rtl = options.rtl_dir.empty() ? fs::path(PIANOLA_RTL_DIR) : options.rtl_dir;
  const fs::path cache = cache_directory(options);
  std::error_code error;
  fs::create_directories(cache, error);
  if (error) return Error{ErrorCode::Io, "cannot create the cache directory", cache.string()};
  const fs::path work = cache / ("build-" + target.name + "-" + std::to_string(getpid()) + "-" +
                                 std::to_string(reinterpret_cast<uintptr_t>(&error) >> 4));
  fs::create_directories(work, error);
  if (error) return Error{ErrorCode::Io, "cannot create a build directory", work.string()};
  struct Cleanup {
    fs::path path;
    ~Cleanup() {
      std::error_code ignored;
      fs::remove_all(path, ignored);
    }
  } cleanup{work};

  TRY(const Toolchain tools, find_toolchain(work / "version"));
  const std::string package = write_target_package(target);
  const std::string config = write_target_config(target, options.synthesis_form);
  Hash hash;
  hash.add("layout 1");
  for (const std::string& text : {package, config, tools.verilator_version, tools.compiler,
                                  tools.compiler_version, cpu_identity()}) {
    hash.add(text);
  }
  hash.add(std::string(options.trace ? "trace" : "") + (options.checks ? " checks" : "") +
           (options.probes ? " probes" : "") +
           (options.synthesis_form ? " synthesis form" : ""));
  std::vector<fs::path> inputs = files_with(rtl, {".sv", ".svh", ".vlt"});
  for (const fs::path& file : files_with(rtl / "harness", {".cc", ".h"})) inputs.push_back(file);
  if (inputs.empty()) return Error{ErrorCode::NotFound, "no RTL sources here", rtl.string()};
  for (const fs::path& file : inputs) {
    hash.add(file.filename().string());
    hash.add(read_text(file));
  }
  const fs::path library = cache / (target.name + "-" + hash.hex() + ".so");
  if (fs::exists(library)) return library;
  // One process builds, others that want the same library wait for it.
  struct Lock {
    int file;
    ~Lock() {
      if (file >= 0) close(file);
    }
  } lock{open((library.string() + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)};
  if (lock.file >= 0) flock(lock.file, LOCK_EX);
  if (fs::exists(library)) return library;

  const auto progress = [&](const std::string& line) {
    if (options.on_progress) options.on_progress(line);
  };
  TRY_STATUS(write_text(work / "target_pkg.sv", package));
  TRY_STATUS(write_text(work / "target_config.h", config));
  const fs::path log = work / "log";
  const fs::path kept_log = cache / (target.name + ".log");
  progress("rtl: " + tools.verilator_version + ": target " + target.name);
  bool good = run_command(verilator_command(options, rtl, work), log);
  Status compiled = Ok{};
  if (good) {
    progress("rtl: " + tools.compiler_version + ": compiling the core of " + target.name);
    compiled = compile_model(options, tools, rtl, work, log);
    good = compiled.ok();
  }
  if (!good) {
    fs::copy_file(log, kept_log, fs::copy_options::overwrite_existing, error);
    const std::string text = read_text(log);
    const size_t at = text.find("rror");
    const size_t begin = at == std::string::npos ? 0 : text.rfind('\n', at) + 1;
    return Error{ErrorCode::Malformed,
                 "the RTL of target " + target.name +
                     " does not build: " + text.substr(begin, 400),
                 kept_log.string()};
  }
  fs::rename(work / "core.so", library, error);  // atomic: another process may build the same
  if (error) return Error{ErrorCode::Io, "cannot write the library", library.string()};
  progress("rtl: built " + library.string());
  return library;
}

}  // namespace pianola
