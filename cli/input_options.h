// The options that all commands share which take a model or a roll.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/model_input.h"

namespace pianola {

inline void add_input_options(CLI::App& command, InputOptions& options) {
  command.add_option("input", options.path, "model (Hugging Face directory or .gguf) or .roll")
      ->required();
  command
      .add_option_function<std::string>(
          "-t,--target",
          [&options](const std::string& name) {
            options.target = name;
            options.target_given = true;
          },
          "machine: a name from `pianola targets` or a TOML file")
      ->default_str("sim16");
  command.add_option("-q,--quantization", options.quantization, "auto, w8, w4 or ternary")
      ->capture_default_str();
  command
      .add_option("--send", options.send,
                  "what leaves the machine: logits, or tokens that it chose greedily")
      ->capture_default_str();
  command.add_option("--context", options.context,
                     "positions; by default what the model was trained for, at most 512");
  command
      .add_option("--verify", options.verify,
                  "tokens that one launch verifies for speculative decoding; 0: no such entries")
      ->default_str("4");
}

}  // namespace pianola
