#include "bench/run_tool.h"

#include <malloc.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>

namespace pianola {
namespace {

Error no_process(const std::string& what) {
  return Error{ErrorCode::Io, what + ": " + std::strerror(errno), "run_tool"};
}

double seconds_of(const timeval& time) {
  return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
}

[[noreturn]] void become_tool(const std::vector<std::string>& arguments, int output) {
  std::vector<char*> argv;
  std::string name = "pianola";
  argv.push_back(name.data());
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  dup2(output, STDOUT_FILENO);
  close(output);
  execv("/proc/self/exe", argv.data());
  _exit(127);
}

}  // namespace

Result<ToolRun> run_tool(const std::vector<std::string>& arguments) {
  ::malloc_trim(0);  // the child's peak begins with what this process holds
  int pipe_ends[2];
  if (pipe(pipe_ends) != 0) return no_process("pipe");
  const auto start = std::chrono::steady_clock::now();
  const pid_t child = fork();
  if (child < 0) return no_process("fork");
  if (child == 0) {
    close(pipe_ends[0]);
    become_tool(arguments, pipe_ends[1]);
  }
  close(pipe_ends[1]);
  ToolRun run;
  char buffer[65536];
  for (ssize_t got; (got = read(pipe_ends[0], buffer, sizeof(buffer))) != 0;) {
    if (got > 0) run.output.append(buffer, static_cast<size_t>(got));
    if (got < 0 && errno != EINTR) break;
  }
  close(pipe_ends[0]);
  int status = 0;
  rusage usage{};
  while (wait4(child, &status, 0, &usage) < 0) {
    if (errno != EINTR) return no_process("wait");
  }
  run.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  run.cpu_seconds = seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
  run.peak_bytes = static_cast<uint64_t>(usage.ru_maxrss) * 1024;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    std::string line = "pianola";
    for (const std::string& argument : arguments) line += " " + argument;
    return Error{ErrorCode::Mismatch, "failed, see above", line};
  }
  return run;
}

}  // namespace pianola
