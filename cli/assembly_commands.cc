#include <cstdio>
#include <filesystem>
#include <memory>

#include "cli/commands.h"
#include "formats/mapped_file.h"
#include "isa/assembly.h"

namespace pianola {
namespace {

// Writes beside the file and renames: never half a file.
Status write_text(const std::string& text, const std::string& path) {
  if (path.empty() || path == "-") {
    std::fwrite(text.data(), 1, text.size(), stdout);
    return Ok{};
  }
  const std::string temporary = path + ".tmp";
  std::FILE* file = std::fopen(temporary.c_str(), "wb");
  if (file == nullptr) return Error{ErrorCode::Io, "cannot be written", path};
  const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  const bool closed = std::fclose(file) == 0;
  std::error_code error;
  if (written && closed) std::filesystem::rename(temporary, path, error);
  if (!written || !closed || error) {
    std::filesystem::remove(temporary, error);
    return Error{ErrorCode::Io, "cannot be written; is the disk full?", path};
  }
  return Ok{};
}

Status run_disassemble(const std::string& input, const std::string& output) {
  TRY(Roll roll, read_roll(input));
  return write_text(disassemble(roll), output);
}

Status run_assemble(const std::string& input, const std::string& output) {
  TRY(std::unique_ptr<MappedFile> file, MappedFile::open(input));
  const std::string_view text(reinterpret_cast<const char*>(file->bytes().data()),
                              file->bytes().size());
  TRY(Roll roll, assemble(text, input));
  return write_roll(roll, output);
}

void add(CLI::App& app, Action& chosen, const char* name, const char* help, bool needs_output,
         Status (*run)(const std::string&, const std::string&)) {
  CLI::App* command = app.add_subcommand(name, help);
  auto input = std::make_shared<std::string>();
  auto output = std::make_shared<std::string>();
  command->add_option("input", *input, "the file to read")->required();
  CLI::Option* option = command->add_option("-o,--output", *output, "the file to write");
  if (needs_output) option->required();
  command->callback([&chosen, input, output, run] {
    chosen = [input, output, run] { return run(*input, *output); };
  });
}

}  // namespace

void add_assembly_commands(CLI::App& app, Action& chosen) {
  add(app, chosen, "disassemble", "roll to text", false, run_disassemble);
  add(app, chosen, "assemble", "text to roll", true, run_assemble);
}

}  // namespace pianola
