// The subcommands of `pianola`. Each registers its options with the application and, when chosen, its
// action; an action's error is printed by main, which then exits with status 1.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

#include "isa/result.h"

namespace pianola {

using Action = std::function<Status()>;

// `chosen` receives the action of the subcommand that was parsed.
void add_compile_command(CLI::App& app, Action& chosen);
void add_run_command(CLI::App& app, Action& chosen);
void add_serve_command(CLI::App& app, Action& chosen);
void add_score_command(CLI::App& app, Action& chosen);
void add_inspect_command(CLI::App& app, Action& chosen);
void add_assembly_commands(CLI::App& app, Action& chosen);
void add_plan_command(CLI::App& app, Action& chosen);
void add_make_model_command(CLI::App& app, Action& chosen);
void add_verify_command(CLI::App& app, Action& chosen);
void add_trace_command(CLI::App& app, Action& chosen);
void add_bench_command(CLI::App& app, Action& chosen);
void add_target_commands(CLI::App& app, Action& chosen);

}  // namespace pianola
