// `pianola run`: text from a model or a roll, on any executor, token by token as it comes.
#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/executors.h"
#include "cli/input_options.h"
#include "host/engine.h"
#include "host/sampler.h"
#include "reference/float_reference.h"

namespace pianola {
namespace {

struct RunOptions {
  InputOptions input;
  ExecutorOptions executor;
  SamplerOptions sampler;
  std::string prompt;
  int tokens = 64;
  bool json = false;
  bool ignore_eos = false;
  std::string fault;
  std::string waveform = "pianola-difference.fst";
};

// What a run produced, whatever executed it.
struct Generation {
  std::vector<int> prompt_ids, ids;
  std::string text;
  std::vector<LaunchRecord> launches;
  uint64_t macs = 0;
  double seconds = 0;
};

// The next logits after some tokens.
using Extend = std::function<Result<std::vector<float>>(std::span<const int>)>;

Result<std::vector<int>> encode_prompt(const RunOptions& options,
                                       const std::optional<Tokenizer>& tokenizer) {
  if (!tokenizer) {
    return Error{ErrorCode::NotFound,
                 "there is no tokenizer beside this model, so a prompt cannot be read; `pianola "
                 "score` takes ids",
                 options.input.path};
  }
  TRY(std::vector<int> ids, tokenizer->encode(options.prompt));
  if (ids.empty()) {
    return Error{ErrorCode::InvalidArgument,
                 "the prompt has no tokens and the model no BOS token; give a prompt with -p",
                 options.input.path};
  }
  return ids;
}

Status generate(const RunOptions& options, const Tokenizer& tokenizer, const Extend& extend,
                Generation& out) {
  TRY(Sampler sampler, Sampler::create(options.sampler));
  TextStream stream(tokenizer);
  const auto show = [&](const std::string& text) {
    out.text += text;
    if (options.json) return;
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  };
  for (int id : out.prompt_ids) {
    const std::string text = stream.push(id);
    if (!options.json) std::fwrite(text.data(), 1, text.size(), stdout);
  }
  const auto start = std::chrono::steady_clock::now();
  std::vector<int> next = out.prompt_ids;
  for (int i = 0; i < options.tokens; ++i) {
    TRY(std::vector<float> logits, extend(next));
    TRY(int id, sampler.sample(logits));
    out.ids.push_back(id);
    if (tokenizer.is_eos(id) && !options.ignore_eos) break;
    show(stream.push(id));
    next = {id};
  }
  show(stream.flush());
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return Ok{};
}

void print_summary(const RunOptions& options, const std::string& target, double clock_mhz,
                   const Generation& g) {
  std::printf("\n");
  uint64_t cycles = 0, predicted = 0, frozen = 0, frozen_after_first = 0;
  for (const LaunchRecord& launch : g.launches) {
    cycles += launch.cycles;
    predicted += launch.predicted_cycles;
    frozen += launch.frozen_cycles;
    frozen_after_first += launch.frozen_after_first;
  }
  const double rate = static_cast<double>(g.ids.size()) / g.seconds;
  std::fprintf(stderr, "%zu + %zu tokens on %s: %.2f s, %.1f tokens/s", g.prompt_ids.size(),
               g.ids.size(), options.executor.name.c_str(), g.seconds, rate);
  if (g.launches.empty()) {
    std::fprintf(stderr, "\n");
    return;
  }
  const double machine_seconds = static_cast<double>(cycles) / (clock_mhz * 1e6);
  std::fprintf(
      stderr,
      "\n%s: %llu machine cycles in %zu launches (predicted %llu), %llu frozen, %llu of "
      "them after the first; at %.0f MHz %.1f tokens/s; simulated at %.3f Mcycles/s, %.1f MMAC/s\n",
      target.c_str(), static_cast<unsigned long long>(cycles), g.launches.size(),
      static_cast<unsigned long long>(predicted), static_cast<unsigned long long>(frozen),
      static_cast<unsigned long long>(frozen_after_first), clock_mhz,
      static_cast<double>(g.ids.size()) / machine_seconds,
      static_cast<double>(cycles) / g.seconds / 1e6, static_cast<double>(g.macs) / g.seconds / 1e6);
}

void print_json(const RunOptions& options, const std::string& target, const Generation& g) {
  nlohmann::ordered_json json;
  json["executor"] = options.executor.name;
  json["target"] = target;
  json["prompt_ids"] = g.prompt_ids;
  json["ids"] = g.ids;
  json["text"] = g.text;
  for (const char* key :
       {"entries", "predicted_cycles", "cycles", "frozen_cycles", "frozen_after_first"}) {
    json[key] = nlohmann::ordered_json::array();
  }
  for (const LaunchRecord& launch : g.launches) {
    json["entries"].push_back(launch.entry);
    json["predicted_cycles"].push_back(launch.predicted_cycles);
    json["cycles"].push_back(launch.cycles);
    json["frozen_cycles"].push_back(launch.frozen_cycles);
    json["frozen_after_first"].push_back(launch.frozen_after_first);
  }
  json["macs"] = g.macs;
  json["seconds"] = g.seconds;
  std::printf("%s\n", json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
}

Status run_reference(const RunOptions& options) {
  if (is_roll(options.input.path)) {
    return Error{ErrorCode::InvalidArgument, "the float reference takes a model, not a roll",
                 options.input.path};
  }
  TRY(Model model, import_model(options.input.path));
  TRY(std::optional<Tokenizer> tokenizer, read_tokenizer(options.input.path));
  Generation g;
  TRY(g.prompt_ids, encode_prompt(options, tokenizer));
  const size_t total = g.prompt_ids.size() + static_cast<size_t>(options.tokens);
  if (total > model.graph.facts.context_max + 1) {
    return Error{ErrorCode::OutOfRange,
                 "prompt and generated tokens make " + std::to_string(total) +
                     " positions, the model was trained for " +
                     std::to_string(model.graph.facts.context_max) + "; use a smaller -n",
                 options.input.path};
  }
  FloatReference reference(model.graph);
  TRY_STATUS(generate(
      options, *tokenizer,
      [&](std::span<const int> ids) -> Result<std::vector<float>> {
        std::vector<float> last;
        for (int id : ids) {
          const auto logits = reference.step(id);
          last.assign(logits.begin(), logits.end());
        }
        return last;
      },
      g));
  if (options.json) {
    print_json(options, "", g);
  } else {
    print_summary(options, "", 0, g);
  }
  return Ok{};
}

Status run(RunOptions options) {
  options.executor.waveform = options.waveform;
  if (!options.fault.empty()) {
    TRY(options.executor.fault, parse_fault(options.fault));
  }
  if (options.tokens < 1) {
    return Error{ErrorCode::InvalidArgument,
                 "expected at least 1 token, got " + std::to_string(options.tokens), "-n"};
  }
  TRY_STATUS(check_executor_options(options.executor));
  if (options.executor.name == "reference") return run_reference(options);
  TRY(CompiledInput input, open_input(options.input));
  if (sends_tokens(input.roll) && options.sampler.temperature > 0) {
    return Error{ErrorCode::Unsupported,
                 "the machine chooses greedily and sends tokens alone; use --temperature 0, or "
                 "--send logits",
                 options.input.path};
  }
  Generation g;
  TRY(g.prompt_ids, encode_prompt(options, input.tokenizer));
  TRY(std::unique_ptr<Device> device, make_executor(input.roll, options.executor));
  TRY(Engine engine, Engine::create(input.roll, *device));
  const Status generated = generate(
      options, *input.tokenizer,
      [&](std::span<const int> ids) -> Result<std::vector<float>> {
        TRY(std::vector<std::vector<float>> logits, engine.extend(ids));
        return std::move(logits.back());
      },
      g);
  if (!generated.ok()) {
    if (!options.json) std::printf("\n");
    return generated.error();
  }
  g.launches = engine.launches();
  for (const LaunchRecord& launch : g.launches) g.macs += input.macs[launch.entry];
  const Target& target = input.roll.target;
  if (options.json) {
    print_json(options, target.name, g);
  } else {
    print_summary(options, target.name, target.clock_mhz, g);
  }
  if (options.executor.fault) {
    std::fprintf(stderr, "fault injection: masked; no drive, output or cycle count differs\n");
  }
  for (const LaunchRecord& launch : g.launches) {
    if (launch.cycles != launch.predicted_cycles) {
      return Error{ErrorCode::Mismatch,
                   "entry " + input.roll.metadata.entries[launch.entry].name + " took " +
                       std::to_string(launch.cycles) + " machine cycles, predicted " +
                       std::to_string(launch.predicted_cycles),
                   options.executor.name};
    }
  }
  return Ok{};
}

}  // namespace

void add_run_command(CLI::App& app, Action& chosen) {
  CLI::App* command = app.add_subcommand("run", "generate text from a model or a roll");
  auto o = std::make_shared<RunOptions>();
  add_input_options(*command, o->input);
  command->add_option("-p,--prompt", o->prompt, "the text to continue");
  command->add_option("-n,--tokens", o->tokens, "tokens to generate")->capture_default_str();
  command->add_option("--executor", o->executor.name, "emulator, naive, rtl, systemc or reference")
      ->capture_default_str();
  command->add_flag("--lockstep", o->executor.lockstep,
                    "rtl: compare every stream drive with the emulator's");
  command->add_option(
      "--inject-fault", o->fault,
      "CYCLE or CYCLE:SEED, a test of lockstep: flips a random bit of the core's state "
      "before that machine cycle of the first launch; fails if that is found");
  command
      ->add_option("--waveform", o->waveform,
                   "lockstep: the FST file that shows the cycles around the first difference")
      ->capture_default_str();
  add_systemc_options(*command, o->executor.systemc);
  command->add_option("--temperature", o->sampler.temperature, "0: greedy")->capture_default_str();
  command->add_option("--top-k", o->sampler.top_k, "0: all")->capture_default_str();
  command->add_option("--top-p", o->sampler.top_p)->capture_default_str();
  command->add_option("--seed", o->sampler.seed)->capture_default_str();
  command->add_flag("--ignore-eos", o->ignore_eos, "go on after the end-of-text token");
  command->add_flag("--json", o->json, "one JSON object instead of text");
  command->callback([&chosen, o] { chosen = [o] { return run(*o); }; });
}

}  // namespace pianola
