#include "cli/bench_figures.h"

#include <cstdio>
#include <fstream>

#include "bench/host_limits.h"
#include "bench/measure_emulator.h"
#include "bench/measure_memory.h"
#include "bench/run_tool.h"
#include "cli/configuration.h"
#include "cli/model_input.h"
#include "compiler/compile_model.h"
#include "compiler/gemm/compile_gemm.h"
#include "compiler/lower_bounds.h"

namespace pianola {
namespace {

namespace fs = std::filesystem;

constexpr double kMega = 1e6, kGiga = 1e9;

Result<BenchJson> parse_output(const std::string& text, const std::string& what) {
  BenchJson json = BenchJson::parse(text, nullptr, false);
  if (!json.is_discarded()) return json;
  return Error{ErrorCode::Malformed, "expected JSON from `pianola " + what + "`", "bench"};
}

Result<const Kernels*> kernels_named(const std::string& name) {
  if (name.empty()) return static_cast<const Kernels*>(nullptr);
  int count = 0;
  const Kernels* const* list = host_kernels(count);
  std::string names;
  for (int i = 0; i < count; ++i) {
    if (name == list[i]->name) return list[i];
    names += std::string(i > 0 ? ", " : "") + list[i]->name;
  }
  return Error{ErrorCode::InvalidArgument, "no kernels `" + name + "` on this host; it has " + names,
               "--kernels"};
}

double megabytes(uint64_t bytes) { return static_cast<double>(bytes) / kMega; }

BenchJson entry_figures(const Entry& entry, const Target& target) {
  BenchJson json;
  json["name"] = entry.name;
  json["cycles"] = entry.cycles;
  const Bound* active = active_bound(entry.bounds);
  if (active == nullptr || active->cycles == 0) return json;
  json["active_bound"] = active->name;
  json["bound_cycles"] = active->cycles;
  json["ratio"] = static_cast<double>(entry.cycles) / static_cast<double>(active->cycles);
  json["tokens_per_second"] =
      entry.tokens * target.clock_mhz * kMega / static_cast<double>(entry.cycles);
  return json;
}

}  // namespace

std::string bench_name(const std::string& model) {
  const fs::path path = fs::path(model).lexically_normal();
  if (path.filename().empty()) return path.parent_path().filename().string();
  return path.extension() == ".json" ? path.stem().string() : path.filename().string();
}

std::string bench_title(const BenchCase& one) {
  return bench_name(one.model) + " on " + one.target + ", " + one.quantization + ", context " +
         std::to_string(one.context);
}

Result<BenchJson> bench_cycles(const BenchCase& one) {
  TRY(Target target, load_target(one.target));
  TRY(Model model, import_dimensions(one.model));
  CompileOptions options;
  TRY(options.weights, parse_quantization(one.quantization));
  options.context = one.context;
  options.verify = one.verify;
  BenchJson json;
  json["title"] = bench_title(one);
  std::printf("%s\n", bench_title(one).c_str());
  const Result<Plan> plan = plan_model(model.graph, target, options);
  if (!plan.ok()) {
    json["refused"] = to_string(plan.error());
    std::printf("  refused: %s\n", to_string(plan.error()).c_str());
    return json;
  }
  json["entries"] = BenchJson::array();
  for (const Entry& entry : plan->entries) {
    json["entries"].push_back(entry_figures(entry, target));
    const BenchJson& figures = json["entries"].back();
    std::printf("  %-16s %12llu cycles", entry.name.c_str(),
                static_cast<unsigned long long>(entry.cycles));
    if (figures.contains("ratio")) {
      std::printf(", %.4f x %s %llu", figures["ratio"].get<double>(),
                  figures["active_bound"].get<std::string>().c_str(),
                  static_cast<unsigned long long>(figures["bound_cycles"].get<uint64_t>()));
    }
    std::printf("\n");
  }
  return json;
}

Result<BenchJson> bench_product(const GemmShape& shape, const std::string& target_name) {
  TRY(const Target target, load_target(target_name));
  TRY(const GemmPlan plan, plan_gemm(shape, target));
  const Entry& entry = plan.entries[kGemmEntry];
  const Bound* active = active_bound(entry.bounds);
  BenchJson json;
  json["title"] = "int8 " + std::to_string(shape.m) + "x" + std::to_string(shape.k) + "x" + std::to_string(shape.n) +
                  " on " + target_name;
  json["entries"] = {{{"name", entry.name}, {"cycles", entry.cycles}}};
  json["active_bound"] = active->name;
  json["bound_cycles"] = active->cycles;
  json["mxm_utilization"] = gemm_utilization(shape, target, entry.cycles);
  json["tera_operations_per_second"] = gemm_tera_operations_per_second(shape, target, entry.cycles);
  std::printf("%s\n  %-16s %12llu cycles, %.2f %% of the matrix units\n", json["title"].get<std::string>().c_str(),
              entry.name.c_str(), static_cast<unsigned long long>(entry.cycles),
              100 * gemm_utilization(shape, target, entry.cycles));
  return json;
}

Result<BenchJson> bench_compile(const BenchCase& one, const fs::path& roll) {
  TRY(const ToolRun run,
      run_tool({"compile", one.model, "-t", one.target, "-q", one.quantization, "--context",
                std::to_string(one.context), "-o", roll.string()}));
  BenchJson json;
  json["title"] = bench_title(one);
  json["seconds"] = run.seconds;
  json["cpu_seconds"] = run.cpu_seconds;
  json["peak_bytes"] = run.peak_bytes;
  const auto roll_bytes = static_cast<double>(fs::file_size(roll));
  double model_bytes = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(one.model)) {
    if (entry.path().extension() == ".safetensors") model_bytes += static_cast<double>(entry.file_size());
  }
  json["roll_bytes"] = static_cast<uint64_t>(roll_bytes);
  json["model_bytes"] = static_cast<uint64_t>(model_bytes);
  json["rolls_of_memory"] = (static_cast<double>(run.peak_bytes) - model_bytes) / roll_bytes;
  std::printf("%s\n  compiled in %.2f s (%.2f s of processors), at most %.0f MB: %.2f times the roll's "
              "%.0f MB, and the model's %.0f MB\n",
              bench_title(one).c_str(), run.seconds, run.cpu_seconds, megabytes(run.peak_bytes),
              json["rolls_of_memory"].get<double>(), roll_bytes / 1e6, model_bytes / 1e6);
  return json;
}

Result<BenchJson> bench_plan(const BenchCase& one) {
  TRY(const ToolRun run, run_tool({"plan", one.model, "-t", one.target, "-q", one.quantization,
                                   "--context", std::to_string(one.context)}));
  BenchJson json;
  json["title"] = bench_title(one);
  json["seconds"] = run.seconds;
  json["cpu_seconds"] = run.cpu_seconds;
  json["peak_bytes"] = run.peak_bytes;
  std::printf("%s\n  planned in %.2f s (%.2f s of processors), at most %.0f MB\n",
              bench_title(one).c_str(), run.seconds, run.cpu_seconds, megabytes(run.peak_bytes));
  return json;
}

Result<BenchJson> bench_layers(const BenchCase& one, const std::vector<int>& layers,
                               const fs::path& folder) {
  TRY(const std::unique_ptr<MappedFile> file, open_configuration(one.model));
  const std::string text(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
  TRY(BenchJson configuration, parse_output(text, "plan"));
  BenchJson json;
  json["title"] = bench_title(one);
  json["rows"] = BenchJson::array();
  std::printf("%s, by layers\n", bench_title(one).c_str());
  for (const int count : layers) {
    configuration["num_hidden_layers"] = count;
    const fs::path path = folder / "config.json";
    std::ofstream(path) << configuration;
    TRY(const ToolRun run,
        run_tool({"plan", path.string(), "-t", one.target, "-q", one.quantization, "--context",
                  std::to_string(one.context), "--json"}));
    TRY(const BenchJson plan, parse_output(run.output, "plan"));
    uint64_t words = 0;
    for (const BenchJson& entry : plan["entries"]) words += entry["instruction_words"].get<uint64_t>();
    json["rows"].push_back({{"layers", count},
                            {"instruction_words", words},
                            {"seconds", run.seconds},
                            {"cpu_seconds", run.cpu_seconds},
                            {"peak_bytes", run.peak_bytes}});
    std::printf("  %3d layers: %9llu instruction words, %6.2f s (%.2f s of processors), %.0f MB\n",
                count, static_cast<unsigned long long>(words), run.seconds, run.cpu_seconds,
                megabytes(run.peak_bytes));
  }
  return json;
}

Result<BenchJson> bench_emulator(const std::string& title, const fs::path& path,
                                 const BenchEmulatorOptions& options) {
  InputOptions input;
  input.path = path.string();
  TRY(const CompiledInput opened, open_input(input));
  EmulatorMeasurementOptions measure;
  measure.tokens = options.tokens;
  measure.prompt = options.prompt;
  TRY(measure.kernels, kernels_named(options.kernels));
  TRY(const EmulatorMeasurement m, measure_emulator(opened.roll, opened.macs, measure));
  BenchJson json;
  json["title"] = title;
  json["kernels"] = measure.kernels != nullptr ? measure.kernels->name : fastest_kernels().name;
  json["lift_seconds"] = BenchJson::object();
  std::printf("%s\n  lifted in", title.c_str());
  for (const EmulatorMeasurement::Lift& lift : m.lifts) {
    json["lift_seconds"][lift.entry] = lift.seconds;
    std::printf(" %.2f", lift.seconds);
  }
  std::printf(" s\n");
  for (const EmulatorMeasurement::Lift& lift : m.lifts) {
    if (options.operations) std::printf("%s\n%s", lift.entry.c_str(), lift.operations.c_str());
  }
  json["decode_tokens_per_second"] = m.decode_tokens_per_second;
  json["decode_tokens_per_second_with_engine"] = m.decode_tokens_per_second_engine;
  json["tape_bytes"] = m.tape_bytes;
  json["tape_bytes_per_second"] = m.tape_bytes_per_second;
  json["plain_read_bytes_per_second"] = m.plain_read_bytes_per_second;
  std::printf("  decode %.1f tokens/s (%.1f with the engine), %.2f GB/s of tape; plain read %.2f "
              "GB/s: %.0f %%\n",
              m.decode_tokens_per_second, m.decode_tokens_per_second_engine,
              m.tape_bytes_per_second / kGiga, m.plain_read_bytes_per_second / kGiga,
              100 * m.tape_bytes_per_second / m.plain_read_bytes_per_second);
  if (m.prefill_tokens == 0) return json;
  const double peak = peak_multiplication_speed();
  json["prefill_tokens"] = m.prefill_tokens;
  json["prefill_tokens_per_second"] = m.prefill_tokens_per_second;
  json["prefill_macs_per_second"] = m.prefill_macs_per_second;
  json["peak_macs_per_second"] = peak;
  std::printf("  prefill of %d: %.1f tokens/s, %.1f GMAC/s; VNNI from registers %.1f GMAC/s\n",
              m.prefill_tokens, m.prefill_tokens_per_second, m.prefill_macs_per_second / kGiga,
              peak / kGiga);
  return json;
}

Result<BenchJson> bench_memory(const std::string& title, const fs::path& path) {
  InputOptions input;
  input.path = path.string();
  TRY(const CompiledInput opened, open_input(input));
  const auto& entries = opened.roll.metadata.entries;
  size_t longest = 0;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].kind == EntryKind::Decode) longest = i;  // in order of context
  }
  const Entry& entry = entries[longest];
  const double clock = opened.roll.target.clock_mhz;
  TRY(const MemoryMeasurement m,
      measure_memory(opened.roll, static_cast<int>(longest), ddr4_timing(clock)));
  uint64_t bound = 0;
  for (const Bound& one : entry.bounds) bound = std::max(bound, one.cycles);
  const double linear = static_cast<double>(m.linear_bytes) / static_cast<double>(m.linear_cycles);
  const double wall = static_cast<double>(m.wall_cycles);
  const double read_cycles = static_cast<double>(m.bytes) / linear;
  BenchJson json;
  json["title"] = title;
  json["entry"] = entry.name;
  json["machine_cycles"] = m.machine_cycles;
  json["wall_cycles"] = m.wall_cycles;
  json["bytes"] = m.bytes;
  json["bound_cycles"] = bound;
  json["linear_read_cycles"] = read_cycles;
  json["tokens_per_second"] = clock * 1e6 / wall;
  std::printf("%s, %s with DDR4-2400 behind the ports\n  %llu machine cycles, %llu on the clock: %.4f x a "
              "linear read of as many bytes, %.4f x the bound; %.1f tokens/s\n",
              title.c_str(), entry.name.c_str(), static_cast<unsigned long long>(m.machine_cycles),
              static_cast<unsigned long long>(m.wall_cycles), wall / read_cycles,
              wall / static_cast<double>(bound), clock * 1e6 / wall);
  return json;
}

Result<BenchJson> bench_rtl(const std::string& title, const fs::path& roll, int tokens) {
  TRY(const ToolRun run,
      run_tool({"run", roll.string(), "-p", "Once upon a time", "-n", std::to_string(tokens),
                "--ignore-eos", "--executor", "rtl", "--json"}));
  TRY(const BenchJson played, parse_output(run.output, "run"));
  const double seconds = played["seconds"].get<double>();
  double cycles = 0;
  for (const BenchJson& launch : played["cycles"]) cycles += launch.get<double>();
  BenchJson json;
  json["title"] = title;
  json["cycles_per_second"] = cycles / seconds;
  json["macs_per_second"] = played["macs"].get<double>() / seconds;
  json["tokens_per_second"] = static_cast<double>(played["ids"].size()) / seconds;
  std::printf("%s\n  Verilated core: %.3f Mcycles/s, %.1f MMAC/s, %.2f tokens/s\n", title.c_str(),
              cycles / seconds / kMega, json["macs_per_second"].get<double>() / kMega,
              json["tokens_per_second"].get<double>());
  return json;
}

}  // namespace pianola
