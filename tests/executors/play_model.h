// Models compiled, verified and played on executors, for tests that compare bits. What cannot go on
// throws, which GoogleTest reports as a failure of the test.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <ostream>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/compile_model.h"
#include "compiler/import/import_model.h"
#include "emulator/device.h"
#include "host/engine.h"
#include "isa/result.h"
#include "reference/quantized_interpreter.h"
#include "tests/support/make_llama.h"

namespace pianola::test {

using Logits = std::vector<std::vector<float>>;  // [position][vocabulary]

template <typename T>
T must(Result<T> result) {
  if (!result.ok()) throw std::runtime_error(to_string(result.error()));
  return std::move(result).value();
}

bool is_long();  // PIANOLA_LONG=1

// ---- Models ---------------------------------------------------------------------------------

// The models that tests play: nursery-llama of the repository, or of ../shared; others of ../shared.
std::filesystem::path nursery_path();
// True, with a failure if PIANOLA_REQUIRE_SHARED=1, where the model is not there.
bool model_is_missing(const std::filesystem::path& path);

// Ids of a prompt of the goldens, BOS first.
std::vector<int> nursery_prompt(size_t which = 0);
std::vector<int> stories_prompt();
// Ids below `vocabulary`, from a seed.
std::vector<int> random_ids(size_t count, int vocabulary, uint64_t seed);

// A model of these dimensions with random weights.
Model random_model(const LlamaShape& shape);

// A roll that the verifier accepts.
Roll compile_verified(const Graph& graph, const std::string& target,
                      const CompileOptions& options = {});
// What the roll computes, for the interpreter.
QuantizedGraph quantize_as(const Roll& roll, const Graph& graph,
                           WeightQuantization weights = WeightQuantization::Auto);

// ---- Playing --------------------------------------------------------------------------------

// Executors that can play whole models: emulator, rtl, and systemc (the rtl in the
// platform, with ideal memory).
std::vector<std::string> executor_names();
std::unique_ptr<Device> make_device(std::string_view name);
std::unique_ptr<Device> load_device(std::string_view name, const Roll& roll, uint64_t poison = 1);

// An engine and the device under it.
class Player {
 public:
  Player(std::string_view executor, const Roll& roll, uint64_t poison = 1)
      : device_(load_device(executor, roll, poison)), engine_(must(Engine::create(roll, *device_))) {}
  Device& device() { return *device_; }
  Engine& engine() { return engine_; }

 private:
  std::unique_ptr<Device> device_;
  Engine engine_;
};

int argmax(std::span<const float> logits);

struct Generation {
  std::vector<int> ids;  // generated
  Logits logits;         // after each token of the prompt and each generated one but the last
};
// Greedy, without regard to EOS.
Generation generate(Engine& engine, std::span<const int> prompt, int count);
Generation generate(QuantizedInterpreter& interpreter, std::span<const int> prompt, int count);
// Logits after each of the ids, on a fresh interpreter.
Logits interpret(const QuantizedGraph& graph, std::span<const int> ids);

// Success, or the first bit that differs. The second logits may begin at position `offset` of the first.
testing::AssertionResult same_bits(const Logits& expected, const Logits& found, size_t offset = 0);
// Every launch took the predicted cycles, none was frozen after its first.
testing::AssertionResult cycles_as_predicted(const Engine& engine, const Roll& roll);

}  // namespace pianola::test
