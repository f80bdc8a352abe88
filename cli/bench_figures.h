// The figures of `pianola bench`, as JSON, one function a section. Each prints what it measured, beside
// what limits it.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "compiler/gemm/gemm_layout.h"
#include "isa/result.h"

namespace pianola {

using BenchJson = nlohmann::ordered_json;

struct BenchCase {
  std::string model;  // a directory, a config.json or the name of a configuration
  std::string target;
  std::string quantization;  // w8, w4, ternary
  int context = 512;
  int verify = -1;  // as in CompileOptions
};

// The name by which a model is shown: of its directory or its configuration.
std::string bench_name(const std::string& model);
// "nursery-llama on sim16, w8, context 512"
std::string bench_title(const BenchCase& one);

// Planned cycles of every entry beside the lower bounds. A model that a target refuses is a figure too:
// `refused` has the reason.
Result<BenchJson> bench_cycles(const BenchCase& one);

// Planned cycles of a product of int8 matrices, and what share of the matrix units' work they are.
Result<BenchJson> bench_product(const GemmShape& shape, const std::string& target);

// Compiles `model`, a directory, to `roll` in a process of its own: seconds, peak memory, bytes, and the peak beyond
// the files of the model in sizes of the roll.
Result<BenchJson> bench_compile(const BenchCase& one, const std::filesystem::path& roll);

// Plans the dimensions of a model in a process of its own: seconds, peak memory.
Result<BenchJson> bench_plan(const BenchCase& one);

// Planning the dimensions of `configuration` with other numbers of layers: seconds and peak memory beside
// instruction words. `folder` is for temporary files.
Result<BenchJson> bench_layers(const BenchCase& one, const std::vector<int>& layers,
                               const std::filesystem::path& folder);

struct BenchEmulatorOptions {
  int tokens = 64, prompt = 0;
  std::string kernels;      // empty: the fastest of the host
  bool operations = false;  // list what each entry was lifted to
};
Result<BenchJson> bench_emulator(const std::string& title, const std::filesystem::path& roll,
                                 const BenchEmulatorOptions& options);

// The decode entry of the longest context on a DDR4 of the SystemC platform: clock cycles beside the bound, and
// beside what that memory sustains on a linear read.
Result<BenchJson> bench_memory(const std::string& title, const std::filesystem::path& roll);

// The Verilated core plays `tokens` tokens of a roll of a model with a tokenizer.
Result<BenchJson> bench_rtl(const std::string& title, const std::filesystem::path& roll, int tokens);

}  // namespace pianola
