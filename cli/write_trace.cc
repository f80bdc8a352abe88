#include "cli/write_trace.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <tuple>
#include <vector>

#include "emulator/schedule_issues.h"
#include "emulator/unit_activity.h"
#include "isa/assembly.h"

namespace pianola {
namespace {

// The instruction as the disassembler writes it, without queue and timing.
std::string describe(const Target& target, size_t queue, const QueueInstruction& instruction) {
  const Word word = std::visit(
      [&](auto i) {
        i.timing = {};
        return encode_push(static_cast<int>(queue), 1, i);
      },
      instruction);
  const std::string line = disassemble_word(target, word);
  const size_t colon = line.find(" : ");
  return colon == std::string::npos ? line : line.substr(colon + 3);
}

// Short printable identifiers of VCD variables.
std::string identifier(size_t number) {
  std::string text;
  do {
    text += static_cast<char>('!' + number % 90);
    number /= 90;
  } while (number > 0);
  return text;
}

}  // namespace

Status write_perfetto(const Roll& roll, const Entry& entry, std::FILE* file) {
  TRY(IssueSchedule schedule, schedule_issues(roll.target, roll.entry_words(entry)));
  std::fprintf(file, "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n");
  std::fprintf(file,
               "{\"ph\":\"M\",\"pid\":1,\"name\":\"process_name\",\"args\":{\"name\":%s}}",
               nlohmann::json(roll.target.name + " " + entry.name).dump().c_str());
  for (size_t q = 0; q < schedule.queues.size(); ++q) {
    if (schedule.queues[q].empty()) continue;
    std::fprintf(file,
                 ",\n{\"ph\":\"M\",\"pid\":1,\"tid\":%zu,\"name\":\"thread_name\",\"args\":"
                 "{\"name\":\"%s\"}}",
                 q + 1, queue_label(roll.target, q).c_str());
    for (const TimedInstruction& timed : schedule.queues[q]) {
      const Timing& timing = timing_of(timed.instruction);
      const std::string text = describe(roll.target, q, timed.instruction);
      const std::string name = text.substr(0, text.find(' '));
      std::fprintf(file,
                   ",\n{\"ph\":\"X\",\"pid\":1,\"tid\":%zu,\"ts\":%llu,\"dur\":%u,\"name\":%s,"
                   "\"args\":{\"issues\":%llu,\"instruction\":%s}}",
                   q + 1, static_cast<unsigned long long>(timed.start), timing_span(timing) + 1,
                   nlohmann::json(name).dump().c_str(),
                   static_cast<unsigned long long>(timing_issues(timing)),
                   nlohmann::json(text).dump().c_str());
    }
  }
  std::fprintf(file, "\n]}\n");
  return Ok{};
}

Status write_vcd(const Roll& roll, const Entry& entry, std::FILE* file) {
  TRY(IssueSchedule schedule, schedule_issues(roll.target, roll.entry_words(entry)));
  std::fprintf(file, "$timescale 1ns $end\n$scope module %s $end\n", roll.target.name.c_str());
  std::vector<std::tuple<uint64_t, size_t, bool>> changes;
  for (size_t q = 0; q < schedule.queues.size(); ++q) {
    std::string name = queue_label(roll.target, q);
    std::replace(name.begin(), name.end(), ' ', '_');
    std::fprintf(file, "$var wire 1 %s %s $end\n", identifier(q).c_str(), name.c_str());
    uint64_t busy_until = UINT64_MAX;  // cycle after the last issue, while the wire is 1
    for (IssueCursor cursor(schedule.queues[q]); !cursor.done(); cursor.advance()) {
      if (cursor.cycle() != busy_until) {
        if (busy_until != UINT64_MAX) changes.emplace_back(busy_until, q, false);
        changes.emplace_back(cursor.cycle(), q, true);
      }
      busy_until = cursor.cycle() + 1;
    }
    if (busy_until != UINT64_MAX) changes.emplace_back(busy_until, q, false);
  }
  std::sort(changes.begin(), changes.end());
  std::fprintf(file, "$upscope $end\n$enddefinitions $end\n#0\n$dumpvars\n");
  for (size_t q = 0; q < schedule.queues.size(); ++q) {
    std::fprintf(file, "0%s\n", identifier(q).c_str());
  }
  std::fprintf(file, "$end\n");
  uint64_t now = 0;
  for (const auto& [cycle, queue, on] : changes) {
    if (cycle != now) std::fprintf(file, "#%llu\n", static_cast<unsigned long long>(cycle));
    now = cycle;
    std::fprintf(file, "%d%s\n", on ? 1 : 0, identifier(queue).c_str());
  }
  std::fprintf(file, "#%llu\n", static_cast<unsigned long long>(schedule.end_cycle + 1));
  return Ok{};
}

}  // namespace pianola
