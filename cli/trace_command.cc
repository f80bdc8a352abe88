#include <cstdio>
#include <filesystem>
#include <memory>

#include "cli/commands.h"
#include "cli/write_trace.h"
#include "verifier/verify_roll.h"

namespace pianola {
namespace {

struct TraceOptions {
  std::string roll, entry, output;
};

Status trace(const TraceOptions& options) {
  TRY(Roll roll, read_roll(options.roll));
  const Entry* entry = nullptr;
  std::string names;
  for (const Entry& e : roll.metadata.entries) {
    names += (names.empty() ? "" : ", ") + e.name;
    if (e.name == options.entry || (options.entry.empty() && e.kind == EntryKind::Decode && !entry)) {
      entry = &e;
    }
  }
  if (entry == nullptr) {
    return Error{ErrorCode::NotFound, "no such entry; the roll has " + names,
                 "--entry " + options.entry};
  }
  if (!verify_entry(roll, *entry).ok()) {
    return Error{ErrorCode::Mismatch, "not sound; `pianola verify` says why", options.roll};
  }
  const bool vcd = std::filesystem::path(options.output).extension() == ".vcd";
  const std::string temporary = options.output + ".tmp";
  std::FILE* file = std::fopen(temporary.c_str(), "wb");
  if (file == nullptr) return Error{ErrorCode::Io, "cannot be written", options.output};
  const Status status = vcd ? write_vcd(roll, *entry, file) : write_perfetto(roll, *entry, file);
  const bool failed = std::ferror(file) != 0;
  const bool closed = std::fclose(file) == 0;
  std::error_code error;
  if (status.ok() && closed && !failed) {
    std::filesystem::rename(temporary, options.output, error);
    if (!error) return Ok{};
  }
  std::filesystem::remove(temporary, error);
  if (!status.ok()) return status;
  return Error{ErrorCode::Io, "cannot be written; is the disk full?", options.output};
}

}  // namespace

void add_trace_command(CLI::App& app, Action& chosen) {
  CLI::App* command = app.add_subcommand(
      "trace", "the schedule of an entry for Perfetto (.json) or GTKWave (.vcd)");
  auto o = std::make_shared<TraceOptions>();
  command->add_option("roll", o->roll, "the roll to read")->required();
  command->add_option("-o,--output", o->output, "file to write: .json or .vcd")->required();
  command->add_option("--entry", o->entry, "entry name; by default the first decode");
  command->callback([&chosen, o] { chosen = [o] { return trace(*o); }; });
}

}  // namespace pianola
