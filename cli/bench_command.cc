// `pianola bench`: the figures of this build on this host, each beside what limits it, and the exact ones
// against a checked-in table.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <memory>

#include "bench/host_limits.h"
#include "bench/run_tool.h"
#include "cli/bench_figures.h"
#include "cli/commands.h"
#include "isa/target.h"

namespace pianola {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLargeModel = "smollm2-135m";
// Large models in the table of cycles: a tape, a shared memory, weights in MEM. TinyLlama finds room for one token.
const BenchCase kLargeRows[] = {{kLargeModel, "sim32", "w8", 512}, {kLargeModel, "kv260", "w8", 512},
                                {kLargeModel, "kv260", "w4", 512},
                                {"tinyllama-1.1b", "kv260", "w4", 512, 0},
                                {kLargeModel, "tsp32", "w8", 128}};
// A published series of products, and the machine that it was published for.
constexpr const char* kProductTarget = "tsp320";
constexpr int kProductRows = 2304, kProductDepth = 4096, kProductFirst = 1376, kProductLast = 3500, kProductStep = 100;
constexpr int kContext = 512;
// What is planned or compiled only to see how long it takes.
const BenchCase kLargestCompiled = {"tinyllama-1.1b", "u55c", "w4", kContext};
const BenchCase kPlanned[] = {{"llama-3.1-8b", "u55c", "w4", 128}, {"llama-3.3-70b", "u55c", "w4", 128}};
constexpr int kRtlTokens = 32;
constexpr size_t kReadBytes = size_t{1} << 28;

struct BenchOptions {
  std::vector<std::string> targets;
  std::string model;  // a directory with weights and a tokenizer
  bool cycles_only = false, write_table = false;
  std::string table, json, roll, memory_roll;
  BenchEmulatorOptions emulator;
};

// A folder that is removed with all that is in it.
class TemporaryFolder {
 public:
  TemporaryFolder()
      : path_(fs::temp_directory_path() / ("pianola-bench-" + std::to_string(getpid()))) {
    fs::create_directories(path_);
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

Status write_text(const std::string& path, const BenchJson& json) {
  std::ofstream file(path);
  file << json.dump(2) << "\n";
  file.close();
  if (!file) return Error{ErrorCode::Io, "can not be written", path};
  return Ok{};
}

Result<std::vector<BenchJson>> all_cycles(const BenchOptions& options) {
  std::vector<BenchJson> list;
  for (const std::string& target : options.targets) {
    for (const char* quantization : {"w8", "w4"}) {
      TRY(BenchJson json, bench_cycles({options.model, target, quantization, kContext}));
      list.push_back(std::move(json));
    }
    for (const BenchCase& row : kLargeRows) {
      if (row.target != target) continue;
      TRY(BenchJson json, bench_cycles(row));
      list.push_back(std::move(json));
    }
  }
  return list;
}

Result<std::vector<BenchJson>> all_products(const BenchOptions& options) {
  std::vector<BenchJson> list;
  if (std::count(options.targets.begin(), options.targets.end(), kProductTarget) == 0) return list;
  for (int columns = kProductFirst; columns <= kProductLast; columns += kProductStep) {
    TRY(BenchJson json, bench_product({kProductRows, kProductDepth, columns}, kProductTarget));
    list.push_back(std::move(json));
  }
  return list;
}

// Titles to cycles by entry; what is refused has no cycles.
BenchJson table_of(const std::vector<BenchJson>& figures) {
  BenchJson table = BenchJson::object();
  for (const BenchJson& one : figures) {
    BenchJson& row = table[one["title"].get<std::string>()] = BenchJson::object();
    if (!one.contains("entries")) continue;
    for (const BenchJson& entry : one["entries"]) {
      row[entry["name"].get<std::string>()] = entry["cycles"];
    }
  }
  return table;
}

Status compare_with_table(const std::vector<BenchJson>& figures, const std::string& path) {
  std::ifstream file(path);
  const BenchJson expected = BenchJson::parse(file, nullptr, false);
  if (!expected.is_object()) {
    return Error{ErrorCode::Malformed, "expected a table of cycles; write one with --write-table",
                 path};
  }
  const BenchJson table = table_of(figures);
  int differences = 0;
  for (const auto& [title, row] : table.items()) {
    const BenchJson known = expected.contains(title) ? expected[title] : BenchJson();
    if (known == row) continue;
    ++differences;
    std::printf("%s\n  expected %s\n  got      %s\n", title.c_str(), known.dump().c_str(),
                row.dump().c_str());
  }
  if (differences == 0) return Ok{};
  return Error{ErrorCode::Mismatch,
               std::to_string(differences) +
                   " rows differ; if that is meant, write the table anew with --write-table and "
                   "review what changed",
               path};
}

Status bench_model(const BenchCase& one, bool plays_rtl, const BenchEmulatorOptions& emulator,
                   const fs::path& folder, BenchJson& all) {
  const fs::path roll = folder / "model.roll";
  TRY(BenchJson compiled, bench_compile(one, roll));
  all["compile"].push_back(std::move(compiled));
  TRY(BenchJson played, bench_emulator(bench_title(one), roll, emulator));
  all["emulator"].push_back(std::move(played));
  TRY(const Target target, load_target(one.target));
  if (target.memory_bytes_per_cycle > 0) {
    TRY(BenchJson frozen, bench_memory(bench_title(one), roll));
    all["memory"].push_back(std::move(frozen));
  }
  if (!plays_rtl) return Ok{};
  TRY(BenchJson simulated, bench_rtl(bench_title(one), roll, kRtlTokens));
  all["rtl"].push_back(std::move(simulated));
  return Ok{};
}

// A model of the configuration's dimensions in `folder`; its path.
Result<std::string> make_model(const std::string& configuration, const fs::path& folder) {
  const std::string path = (folder / configuration).string();
  TRY(const ToolRun made, run_tool({"make-model", configuration, "--seed", "1", "-o", path}));
  (void)made;
  return path;
}

// What is measured: everything but the cycles.
Status bench_speeds(const BenchOptions& options, BenchJson& all) {
  const TemporaryFolder folder;
  for (const char* section : {"compile", "emulator", "memory", "rtl"}) all[section] = BenchJson::array();
  TRY(all["layers"], bench_layers({kLargeModel, "sim32", "w8", kContext}, {8, 16, 32, 64},
                                  folder.path()));
  all["plans"] = BenchJson::array();
  for (const BenchCase& one : kPlanned) {
    TRY(BenchJson planned, bench_plan(one));
    all["plans"].push_back(std::move(planned));
  }
  BenchEmulatorOptions small = options.emulator;
  if (small.prompt == 0) small.prompt = 120;
  for (const std::string& target : options.targets) {
    const BenchCase one{options.model, target, "w8", kContext};
    const Status done = bench_model(one, true, small, folder.path(), all);
    if (!done.ok()) std::printf("  %s\n", to_string(done.error()).c_str());
  }
  TRY(const std::string large, make_model(kLargeModel, folder.path()));
  BenchEmulatorOptions many = options.emulator;
  if (many.prompt == 0) many.prompt = kContext;
  for (const std::string& target : options.targets) {
    for (const char* quantization : {"w8", "w4", "ternary"}) {
      const Status done =
          bench_model({large, target, quantization, kContext}, false, many, folder.path(), all);
      if (!done.ok()) std::printf("  %s\n", to_string(done.error()).c_str());
    }
  }
  BenchCase largest = kLargestCompiled;
  TRY(largest.model, make_model(kLargestCompiled.model, folder.path()));
  TRY(BenchJson compiled, bench_compile(largest, folder.path() / "model.roll"));
  all["compile"].push_back(std::move(compiled));
  return Ok{};
}

Status bench(BenchOptions options) {
  if (!options.roll.empty()) {
    TRY(BenchJson json, bench_emulator(options.roll, options.roll, options.emulator));
    return options.json.empty() ? Status(Ok{}) : write_text(options.json, json);
  }
  if (!options.memory_roll.empty()) {
    TRY(BenchJson json, bench_memory(options.memory_roll, options.memory_roll));
    return options.json.empty() ? Status(Ok{}) : write_text(options.json, json);
  }
  if (options.targets.empty()) {
    TRY(options.targets, target_names());
  }
  BenchJson all;
  all["processor"] = processor_name();
  TRY(std::vector<BenchJson> exact, all_cycles(options));
  all["cycles"] = exact;
  TRY(const std::vector<BenchJson> products, all_products(options));
  all["products"] = products;
  exact.insert(exact.end(), products.begin(), products.end());
  if (!options.cycles_only) {
    all["plain_read_bytes_per_second"] = plain_read_speed(kReadBytes);
    all["peak_macs_per_second"] = peak_multiplication_speed();
    TRY_STATUS(bench_speeds(options, all));
  }
  if (!options.json.empty()) TRY_STATUS(write_text(options.json, all));
  if (options.table.empty()) return Ok{};
  if (options.write_table) return write_text(options.table, table_of(exact));
  return compare_with_table(exact, options.table);
}

}  // namespace

void add_bench_command(CLI::App& app, Action& chosen) {
  CLI::App* command = app.add_subcommand(
      "bench", "figures of this build on this host, each beside what limits it");
  auto o = std::make_shared<BenchOptions>();
  o->model = (fs::path(PIANOLA_CONFIGURATION_DIR).parent_path() / "nursery-llama").string();
  command->add_option("--targets", o->targets, "all that come with Pianola by default")
      ->delimiter(',')
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--model", o->model, "the small model, with weights and a tokenizer")
      ->capture_default_str();
  command->add_flag("--cycles", o->cycles_only, "only what is exact, no times");
  CLI::Option* table = command->add_option("--table", o->table, "compare the cycles with this file");
  command->add_flag("--write-table", o->write_table, "write that file anew")->needs(table);
  command->add_option("--json", o->json, "write the figures to this file");
  command->add_option("--roll", o->roll, "only the emulator on this roll");
  command->add_option("--memory-roll", o->memory_roll,
                      "only this roll with DDR4-2400 behind the ports, on the SystemC platform");
  command->add_option("--tokens", o->emulator.tokens, "emulator: tokens one by one")
      ->capture_default_str();
  command->add_option("--prompt", o->emulator.prompt, "emulator: tokens of a prompt");
  command->add_option("--kernels", o->emulator.kernels, "emulator: portable, avx2 or avx512");
  command->add_flag("--operations", o->emulator.operations,
                    "emulator: list what each entry was lifted to");
  command->callback([&chosen, o] { chosen = [o] { return bench(*o); }; });
}

}  // namespace pianola
