#include <cstdio>
#include <memory>

#include "cli/commands.h"
#include "verifier/verify_roll.h"

namespace pianola {
namespace {

Status verify(const std::string& path) {
  TRY(Roll roll, read_roll(path));
  const VerifyReport report = verify_roll(roll);
  if (!report.ok()) {
    return Error{ErrorCode::Mismatch, "not sound\n" + to_string(report), path};
  }
  uint64_t issues = 0;
  for (const EntryFacts& entry : report.entries) {
    for (const QueueFacts& queue : entry.queues) issues += queue.issues;
  }
  std::printf("%s: sound; %zu entries, %llu issues, every rule holds for all register values\n",
              path.c_str(), report.entries.size(), static_cast<unsigned long long>(issues));
  return Ok{};
}

}  // namespace

void add_verify_command(CLI::App& app, Action& chosen) {
  CLI::App* command = app.add_subcommand("verify", "prove that a roll keeps every rule");
  auto path = std::make_shared<std::string>();
  command->add_option("roll", *path, "the roll to read")->required();
  command->callback([&chosen, path] { chosen = [path] { return verify(*path); }; });
}

}  // namespace pianola
