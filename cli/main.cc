// pianola: compile open language models to rolls, play them, and look inside.
#include <cstdio>

#include "cli/commands.h"

int main(int argc, char** argv) {
  CLI::App app{"Pianola: language models as static schedules, played to the cycle"};
  app.require_subcommand(1);
  // Of an option given twice the last one counts, so that scripts can be given other values.
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  pianola::Action chosen;
  pianola::add_compile_command(app, chosen);
  pianola::add_run_command(app, chosen);
  pianola::add_serve_command(app, chosen);
  pianola::add_score_command(app, chosen);
  pianola::add_inspect_command(app, chosen);
  pianola::add_plan_command(app, chosen);
  pianola::add_make_model_command(app, chosen);
  pianola::add_assembly_commands(app, chosen);
  pianola::add_verify_command(app, chosen);
  pianola::add_trace_command(app, chosen);
  pianola::add_bench_command(app, chosen);
  pianola::add_target_commands(app, chosen);
  CLI11_PARSE(app, argc, argv);

  const pianola::Status status = chosen();
  if (status.ok()) return 0;
  std::fflush(stdout);
  std::fprintf(stderr, "pianola: %s\n", pianola::to_string(status.error()).c_str());
  return 1;
}
