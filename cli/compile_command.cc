#include <cstdio>
#include <memory>

#include "cli/commands.h"
#include "cli/input_options.h"

namespace pianola {
namespace {

Status compile(const InputOptions& options, const std::string& output) {
  if (is_roll(options.path)) {
    return Error{ErrorCode::InvalidArgument, "this is a roll already; give a model", options.path};
  }
  TRY(CompiledInput input, open_input(options));
  TRY_STATUS(write_roll(input.roll, output));
  std::printf("%s: %zu entries for %s, %zu bytes of data, %zu instruction words\n", output.c_str(),
              input.roll.metadata.entries.size(), input.roll.metadata.target_name.c_str(),
              input.roll.data.size(), input.roll.words.size());
  return Ok{};
}

}  // namespace

void add_compile_command(CLI::App& app, Action& chosen) {
  CLI::App* command = app.add_subcommand("compile", "compile a model to a roll");
  auto options = std::make_shared<InputOptions>();
  auto output = std::make_shared<std::string>();
  add_input_options(*command, *options);
  command->add_option("-o,--output", *output, "the roll to write")->required();
  command->add_option("--threads", options->threads, "0: one per processor");
  command->callback([&chosen, options, output] {
    chosen = [options, output] { return compile(*options, *output); };
  });
}

}  // namespace pianola
