#include "tests/executors/play_model.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <random>

#include "compiler/passes/quantize_graph.h"
#include "emulator/emulator.h"
#include "emulator/rtl_device.h"
#include "emulator/systemc_device.h"
#include "formats/parse_json.h"
#include "isa/target.h"
#include "tests/support/shared_files.h"
#include "verifier/verify_roll.h"

namespace pianola::test {
namespace {

using testing::AssertionFailure;
using testing::AssertionResult;
using testing::AssertionSuccess;

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && std::string_view(value) == "1";
}

Json read_json(const std::filesystem::path& path) {
  return must(parse_json(read_file(path), path.string()));
}

BuildRtlOptions rtl_options() {
  BuildRtlOptions options;
  options.on_progress = [](std::string_view line) {
    std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
  };
  return options;
}

}  // namespace

bool is_long() { return is_set("PIANOLA_LONG"); }

std::filesystem::path nursery_path() {
  const std::filesystem::path own = PIANOLA_SOURCE_DIR "/models/nursery-llama";
  return std::filesystem::exists(own / "config.json") ? own : shared_path("models/nursery-llama");
}

bool model_is_missing(const std::filesystem::path& path) {
  std::error_code ignored;
  if (std::filesystem::exists(path, ignored)) return false;
  if (is_set("PIANOLA_REQUIRE_SHARED")) ADD_FAILURE() << path << " is not there";
  return true;
}

std::vector<int> nursery_prompt(size_t which) {
  const Json golden = read_json(nursery_path() / "golden.json");
  return golden["prompts"][which]["prompt_ids"].get<std::vector<int>>();
}

std::vector<int> stories_prompt() {
  const Json golden = read_json(shared_path("data/stories260K/golden.json"));
  auto ids = golden["ids"].get<std::vector<int>>();
  ids.resize(golden["n_prompt"].get<size_t>());
  return ids;
}

std::vector<int> random_ids(size_t count, int vocabulary, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<int> ids(count);
  for (int& id : ids) id = static_cast<int>(random() % static_cast<uint64_t>(vocabulary));
  return ids;
}

Model random_model(const LlamaShape& shape) {
  // A directory of its own: ctest runs tests side by side.
  std::string directory = (std::filesystem::path(testing::TempDir()) / "llama_XXXXXX").string();
  if (::mkdtemp(directory.data()) == nullptr) throw std::runtime_error("cannot make " + directory);
  must(write_llama_directory(directory, shape));
  Model model = must(import_model(directory));
  std::filesystem::remove_all(directory);  // the model keeps its files open
  return model;
}

Roll compile_verified(const Graph& graph, const std::string& target,
                      const CompileOptions& options) {
  Compilation compilation = must(compile_model(graph, must(load_target(target)), options));
  const VerifyReport report = verify_roll(compilation.roll);
  if (!report.ok()) throw std::runtime_error("refused by the verifier: " + to_string(report));
  return std::move(compilation.roll);
}

QuantizedGraph quantize_as(const Roll& roll, const Graph& graph, WeightQuantization weights) {
  return must(quantize_graph(graph, roll.target,
                             {.weights = weights, .context = roll.metadata.model.context}));
}

std::vector<std::string> executor_names() {
  return {"emulator", "rtl", "systemc"};
}

std::unique_ptr<Device> make_device(std::string_view name) {
  if (name == "emulator") return std::make_unique<Emulator>();
  if (name == "systemc") {
    SystemcOptions options;
    options.build = rtl_options();
    return make_systemc_device(std::move(options));
  }
  CHECK(name == "rtl");
  RtlDeviceOptions options;
  options.build = rtl_options();
  return make_rtl_device(std::move(options));
}

std::unique_ptr<Device> load_device(std::string_view name, const Roll& roll, uint64_t poison) {
  std::unique_ptr<Device> device = make_device(name);
  const Status loaded = device->load(roll, poison);
  if (!loaded.ok()) throw std::runtime_error(to_string(loaded.error()));
  return device;
}

int argmax(std::span<const float> logits) {
  return static_cast<int>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

Generation generate(Engine& engine, std::span<const int> prompt, int count) {
  Generation out;
  std::vector<int> next(prompt.begin(), prompt.end());
  while (true) {
    Logits logits = must(engine.extend(next));
    std::move(logits.begin(), logits.end(), std::back_inserter(out.logits));
    out.ids.push_back(argmax(out.logits.back()));
    if (out.ids.size() == static_cast<size_t>(count)) return out;
    next = {out.ids.back()};
  }
}

Generation generate(QuantizedInterpreter& interpreter, std::span<const int> prompt, int count) {
  Generation out;
  for (const int id : prompt) out.logits.push_back(interpreter.step(id));
  while (true) {
    out.ids.push_back(argmax(out.logits.back()));
    if (out.ids.size() == static_cast<size_t>(count)) return out;
    out.logits.push_back(interpreter.step(out.ids.back()));
  }
}

Logits interpret(const QuantizedGraph& graph, std::span<const int> ids) {
  QuantizedInterpreter interpreter(graph);
  Logits out;
  for (const int id : ids) out.push_back(interpreter.step(id));
  return out;
}

AssertionResult same_bits(const Logits& expected, const Logits& found, size_t offset) {
  if (offset + found.size() > expected.size()) {
    return AssertionFailure() << found.size() << " positions from " << offset << " on, expected "
                              << expected.size() << " in all";
  }
  for (size_t p = 0; p < found.size(); ++p) {
    const std::vector<float>& row = expected[offset + p];
    if (row.size() != found[p].size()) return AssertionFailure() << "vocabularies differ";
    size_t wrong = 0, first = 0;
    for (size_t i = row.size(); i-- > 0;) {
      if (std::bit_cast<uint32_t>(row[i]) == std::bit_cast<uint32_t>(found[p][i])) continue;
      ++wrong;
      first = i;
    }
    if (wrong > 0) {
      return AssertionFailure() << "position " << offset + p << ": " << wrong << " of "
                                << row.size() << " logits differ, first of id " << first
                                << ": expected " << row[first] << ", found " << found[p][first];
    }
  }
  return AssertionSuccess();
}

AssertionResult cycles_as_predicted(const Engine& engine, const Roll& roll) {
  for (const LaunchRecord& launch : engine.launches()) {
    const Entry& entry = roll.metadata.entries[static_cast<size_t>(launch.entry)];
    if (launch.cycles == entry.cycles && launch.predicted_cycles == entry.cycles &&
        launch.frozen_after_first == 0) {
      continue;
    }
    return AssertionFailure() << entry.name << " at position " << launch.position << ": "
                              << launch.cycles << " cycles, predicted " << entry.cycles << "; "
                              << launch.frozen_after_first << " frozen after the first";
  }
  return AssertionSuccess();
}

}  // namespace pianola::test
