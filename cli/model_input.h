// What the user names on the command line, a model or a roll, becomes a verified roll with its tokenizer.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "compiler/compile_model.h"
#include "compiler/import/import_model.h"
#include "host/tokenizer/tokenizer.h"
#include "isa/result.h"
#include "isa/roll.h"

namespace pianola {

struct InputOptions {
  std::string path;             // a Hugging Face directory, a .gguf file or a .roll file
  std::string target = "sim16"; // models only
  bool target_given = false;
  std::string quantization = "auto";
  std::string send = "logits";
  int context = 0;
  int verify = -1;
  int threads = 0;
};

bool is_roll(const std::filesystem::path& path);

// The tokenizer beside a model; nothing if there is none.
Result<std::optional<Tokenizer>> read_tokenizer(const std::filesystem::path& model);

struct CompiledInput {
  Roll roll;
  std::optional<Tokenizer> tokenizer;
  std::vector<uint64_t> macs;  // by entry: multiply-accumulates that the matrix units do
};

// What the options say about compiling.
Result<CompileOptions> compile_options(const InputOptions& options);

// Reads and verifies a roll, or compiles and verifies a model. A roll for another target than the one
// given is refused. Notes of the compiler go to standard error.
Result<CompiledInput> open_input(const InputOptions& options);

}  // namespace pianola
