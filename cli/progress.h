// One line on a terminal that says how far long work has come, how fast it goes and how long it will
// take. Silent where standard error is no terminal.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace pianola {

class Progress {
 public:
  // unit: what is counted, in the plural.
  Progress(std::string_view what, std::string_view unit);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void update(uint64_t done, uint64_t total);
  void message(std::string_view text);
  void clear();

 private:
  void show(const std::string& line);

  std::string what_, unit_;
  bool terminal_;
  std::chrono::steady_clock::time_point start_, shown_;
  size_t width_ = 0;
};

}  // namespace pianola
