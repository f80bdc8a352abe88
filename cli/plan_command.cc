// `pianola plan`: the exact cycles of every entry from the dimensions of a model alone.
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/configuration.h"
#include "cli/input_options.h"
#include "cli/plan_gemm.h"
#include "cli/progress.h"
#include "compiler/compile_model.h"
#include "compiler/lower_bounds.h"

namespace pianola {
namespace {

using Json = nlohmann::ordered_json;

double tokens_per_second(const Entry& entry, const Target& target) {
  return entry.tokens * target.clock_mhz * 1e6 / static_cast<double>(entry.cycles);
}

// MACs of the feed-forward products over what all matrix units could do in the cycles of that part.
double ffn_utilization(const RollModel& m, const Entry& entry, const LayerCycles& layer,
                       const Target& target) {
  const double macs = 3.0 * m.hidden * m.feed_forward * entry.tokens;
  const double cells = static_cast<double>(target.mxm_positions.size()) * target.lanes * target.lanes;
  return layer.ffn == 0 ? 0 : macs / (cells * static_cast<double>(layer.ffn));
}

Json entry_json(const Plan& plan, size_t index, const Target& target) {
  const Entry& entry = plan.entries[index];
  const LayerCycles& layer = plan.layer_cycles[index];
  Json json;
  json["name"] = entry.name;
  json["context"] = entry.context;
  json["tokens"] = entry.tokens;
  json["cycles"] = entry.cycles;
  json["bounds"] = Json::object();
  for (const Bound& bound : entry.bounds) json["bounds"][bound.name] = bound.cycles;
  const Bound* active = active_bound(entry.bounds);
  json["active_bound"] = active ? Json(active->name) : Json();
  // Loading weights makes no tokens.
  json["tokens_per_second"] =
      entry.output != EntryOutput::None ? Json(tokens_per_second(entry, target)) : Json();
  json["instruction_words"] = entry.word_count;
  if (layer.ffn > 0) {
    json["layer"] = {{"attention_cycles", layer.attention},
                     {"ffn_cycles", layer.ffn},
                     {"ffn_mxm_utilization", ffn_utilization(plan.model, entry, layer, target)}};
  }
  return json;
}

Json plan_json(const Plan& plan, const Target& target) {
  const uint64_t lanes = static_cast<uint64_t>(target.lanes);
  Json json;
  json["target"] = target.name;
  json["clock_mhz"] = target.clock_mhz;
  json["clock_source"] = target.clock_source;
  json["quantization"] = plan.model.quantization;
  json["context"] = plan.model.context;
  json["data_bytes"] = plan.data_vectors * lanes;
  json["kv_bytes"] = plan.kv_vectors * lanes;
  json["entries"] = Json::array();
  for (size_t i = 0; i < plan.entries.size(); ++i) {
    json["entries"].push_back(entry_json(plan, i, target));
  }
  json["memory_map"] = Json::array();
  for (size_t slice = 0; slice < plan.words_used.size(); ++slice) {
    json["memory_map"].push_back({{"slice", slice},
                                  {"words_used", plan.words_used[slice]},
                                  {"words_per_bank", target.words_per_slice / 2}});
  }
  return json;
}

void print_plan(const Plan& plan, const Target& target) {
  const RollModel& m = plan.model;
  std::printf("%s on %s (%s): %d layers, hidden %d, %d/%d heads of %d, ffn %d, vocabulary %d, %s, "
              "context %d\n",
              m.architecture.c_str(), target.name.c_str(), target.doc.c_str(), m.layers, m.hidden,
              m.heads, m.kv_heads, m.head_size, m.feed_forward, m.vocabulary,
              m.quantization.c_str(), m.context);
  std::printf("%-18s %14s %14s %-13s %7s %12s %10s %10s\n", "entry", "cycles", "bound", "active",
              "ratio", "tokens/s", "attention", "ffn");
  for (size_t i = 0; i < plan.entries.size(); ++i) {
    const Entry& entry = plan.entries[i];
    const LayerCycles& layer = plan.layer_cycles[i];
    const Bound* active = active_bound(entry.bounds);
    std::printf("%-18s %14llu", entry.name.c_str(),
                static_cast<unsigned long long>(entry.cycles));
    if (active && active->cycles > 0) {
      std::printf(" %14llu %-13s %7.4f %12.2f", static_cast<unsigned long long>(active->cycles),
                  active->name.c_str(),
                  static_cast<double>(entry.cycles) / static_cast<double>(active->cycles),
                  tokens_per_second(entry, target));
    }
    if (layer.ffn > 0) {
      std::printf(" %10llu %10llu", static_cast<unsigned long long>(layer.attention),
                  static_cast<unsigned long long>(layer.ffn));
    }
    std::printf("\n");
  }
  std::printf("attention, ffn: cycles of the layer in the middle, from residual to residual\n");
  std::printf("tokens/s at %.0f MHz (%s)\n", target.clock_mhz, target.clock_source.c_str());
  const double mb = 1e-6 * target.lanes;
  std::printf("data tape %.1f MB, KV region %.1f MB\n",
              static_cast<double>(plan.data_vectors) * mb,
              static_cast<double>(plan.kv_vectors) * mb);
  std::printf("words used of %d in each bank of the slices:", target.words_per_slice / 2);
  for (const auto& [lower, upper] : plan.words_used) std::printf(" %d/%d", lower, upper);
  std::printf("\n");
}

Status plan(const InputOptions& options, bool as_json) {
  TRY(Target target, load_target(options.target));
  TRY(Model model, import_dimensions(options.path));
  TRY(CompileOptions compile, compile_options(options));
  Progress progress("planning for " + target.name, "entries");
  compile.on_progress = [&](int done, int total) {
    progress.update(static_cast<uint64_t>(done), static_cast<uint64_t>(total));
  };
  TRY(Plan plan, plan_model(model.graph, target, compile));
  progress.clear();
  if (as_json) {
    std::printf("%s\n", plan_json(plan, target).dump(2).c_str());
  } else {
    print_plan(plan, target);
  }
  return Ok{};
}

}  // namespace

void add_plan_command(CLI::App& app, Action& chosen) {
  CLI::App* command = app.add_subcommand(
      "plan", "exact cycles, bounds and tokens/s of a model on a target, from its dimensions; or those of a product");
  auto options = std::make_shared<InputOptions>();
  auto as_json = std::make_shared<bool>(false);
  add_input_options(*command, *options);
  command->get_option("input")->description(
      "a config.json, the name of a configuration (models/configs) or a model");
  auto gemm = std::make_shared<std::string>();
  CLI::Option* product = command->add_option(
      "--gemm", *gemm, "instead of a model: MxKxN, a product of int8 matrices [M, K] and [K, N] with int32 sums");
  command->get_option("input")->required(false)->excludes(product);
  command->add_option("--threads", options->threads, "0: one per processor");
  command->add_flag("--json", *as_json, "one JSON object instead of text");
  command->callback([&chosen, options, gemm, as_json] {
    if (gemm->empty() && options->path.empty()) throw CLI::RequiredError("input or --gemm");
    chosen = [options, gemm, as_json] {
      return gemm->empty() ? plan(*options, *as_json) : plan_gemm_command(*gemm, options->target, *as_json);
    };
  });
}

}  // namespace pianola
