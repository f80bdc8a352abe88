#include "cli/progress.h"

#include <unistd.h>

#include <cstdio>

namespace pianola {

Progress::Progress(std::string_view what, std::string_view unit)
    : what_(what),
      unit_(unit),
      terminal_(isatty(STDERR_FILENO) == 1),
      start_(std::chrono::steady_clock::now()) {}

Progress::~Progress() { clear(); }

void Progress::show(const std::string& line) {
  std::fprintf(stderr, "\r%-*s\r%s", static_cast<int>(width_), "", line.c_str());
  std::fflush(stderr);
  width_ = line.size();
}

void Progress::update(uint64_t done, uint64_t total) {
  if (!terminal_) return;
  const auto now = std::chrono::steady_clock::now();
  if (done < total && now - shown_ < std::chrono::milliseconds(100)) return;
  shown_ = now;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
  const double left = rate > 0 ? static_cast<double>(total - done) / rate : 0;
  char text[160];
  std::snprintf(text, sizeof text, "%s: %llu of %llu %s, %.1f/s, %.0f s left", what_.c_str(),
                static_cast<unsigned long long>(done), static_cast<unsigned long long>(total),
                unit_.c_str(), rate, left);
  show(text);
}

void Progress::message(std::string_view text) {
  if (terminal_) show(what_ + ": " + std::string(text));
}

void Progress::clear() {
  if (terminal_ && width_ > 0) show("");
  width_ = 0;
}

}  // namespace pianola
