// What a server counts, in the text format of Prometheus
// (https://prometheus.io/docs/instrumenting/exposition_formats/).
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "host/engine_thread.h"

namespace pianola {

// Counts durations in buckets.
class DurationHistogram {
 public:
  void add(double seconds);
  void write(std::string& out, const std::string& name, const std::string& help) const;

 private:
  static constexpr std::array kBounds = {0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05,
                                         0.1,    0.2,    0.5,   1.0,   2.0,   5.0,  10.0, 60.0};
  std::array<std::uint64_t, kBounds.size() + 1> counts_{};
  double sum_ = 0;
};

class Metrics {
 public:
  // `route` is one of the server's own, never a client's text.
  void count_response(const std::string& route, int status) { ++responses_[{route, status}]; }
  DurationHistogram between_tokens;  // from one event with tokens to the next, in one stream
  DurationHistogram until_first_token;
  int connections = 0;  // open now
  std::uint64_t connections_refused = 0, clients_gone = 0;

  std::string text(const EngineThread::Load& load) const;

 private:
  std::map<std::pair<std::string, int>, std::uint64_t> responses_;
};

// Bytes of memory that the process holds; 0 where the system does not say.
std::uint64_t resident_bytes();

}  // namespace pianola
