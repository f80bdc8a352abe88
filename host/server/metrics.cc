#include "host/server/metrics.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>

namespace pianola {
namespace {

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", value);
  return text;
}

void write_head(std::string& out, const std::string& name, const char* type,
                const std::string& help) {
  out += "# HELP " + name + " " + help + "\n# TYPE " + name + " " + type + "\n";
}

void write_value(std::string& out, const std::string& name, const char* type,
                 const std::string& help, std::uint64_t value) {
  write_head(out, name, type, help);
  out += name + " " + std::to_string(value) + "\n";
}

}  // namespace

void DurationHistogram::add(double seconds) {
  const auto bound = std::lower_bound(kBounds.begin(), kBounds.end(), seconds);
  ++counts_[static_cast<std::size_t>(bound - kBounds.begin())];
  sum_ += seconds;
}

void DurationHistogram::write(std::string& out, const std::string& name,
                              const std::string& help) const {
  write_head(out, name, "histogram", help);
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    total += counts_[i];
    const std::string bound = i < kBounds.size() ? number(kBounds[i]) : "+Inf";
    out += name + "_bucket{le=\"" + bound + "\"} " + std::to_string(total) + "\n";
  }
  out += name + "_sum " + number(sum_) + "\n" + name + "_count " + std::to_string(total) + "\n";
}

std::string Metrics::text(const EngineThread::Load& load) const {
  std::string out;
  write_head(out, "pianola_http_responses_total", "counter", "Responses, by route and status.");
  for (const auto& [key, count] : responses_) {
    out += "pianola_http_responses_total{route=\"" + key.first + "\",status=\"" +
           std::to_string(key.second) + "\"} " + std::to_string(count) + "\n";
  }
  const SharedEngineTotals& totals = load.totals;
  const auto counter = [&](const char* name, const char* help, std::uint64_t value) {
    write_value(out, name, "counter", help, value);
  };
  const auto gauge = [&](const char* name, const char* help, std::uint64_t value) {
    write_value(out, name, "gauge", help, value);
  };
  counter("pianola_requests_total", "Generations that the engine took.", totals.requests);
  counter("pianola_requests_cancelled_total", "Generations that were cancelled.", totals.cancelled);
  counter("pianola_requests_failed_total", "Generations that failed.", totals.failed);
  counter("pianola_prompt_tokens_total", "Tokens of prompts that were put in.",
          totals.prompt_tokens);
  counter("pianola_cached_tokens_total", "Tokens of prompts whose rows were in a slot.",
          totals.cached_tokens);
  counter("pianola_generated_tokens_total", "Tokens of finished generations.",
          totals.generated_tokens);
  counter("pianola_machine_cycles_total", "Machine cycles of all launches.", totals.cycles);
  counter("pianola_frozen_cycles_total", "Clock edges at which the machine waited for a port.",
          totals.frozen_cycles);
  counter("pianola_launches_total", "Launches of the machine.", totals.launches);
  counter("pianola_draft_cycles_total", "Machine cycles of the draft.", totals.draft_cycles);
  counter("pianola_drafted_tokens_total", "Tokens that the draft proposed.", totals.drafted_tokens);
  counter("pianola_accepted_tokens_total", "Of those, that were accepted.", totals.accepted_tokens);
  gauge("pianola_requests_running", "Generations that have a slot.",
        static_cast<std::uint64_t>(load.running));
  gauge("pianola_requests_waiting", "Generations that wait for a slot.",
        static_cast<std::uint64_t>(load.waiting));
  gauge("pianola_connections", "Open connections.", static_cast<std::uint64_t>(connections));
  counter("pianola_connections_refused_total", "Connections beyond the limit.",
          connections_refused);
  counter("pianola_clients_gone_total", "Clients that left before their answer was complete.",
          clients_gone);
  gauge("process_resident_memory_bytes", "Resident memory.", resident_bytes());
  until_first_token.write(out, "pianola_first_token_seconds",
                          "From a request to its first tokens.");
  between_tokens.write(out, "pianola_between_tokens_seconds",
                       "Between events with tokens of one stream.");
  return out;
}

std::uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t total = 0, resident = 0;
  if (!(file >> total >> resident)) return 0;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace pianola
