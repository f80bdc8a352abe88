// The machine and its schedules as JSON, for the page.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "emulator/schedule_issues.h"
#include "isa/result.h"
#include "isa/roll.h"

namespace pianola {

// What of an entry's schedule is asked for: cycles [from, to), in at most `bins` pieces of equal
// length.
struct TimelineQuery {
  std::string entry;
  std::uint64_t from = 0, to = 0;  // to 0: the end of the launch
  std::uint64_t bins = 512;
};

// Thread-safe. The roll must outlive it. The schedule asked for last is kept.
class MachineReport {
 public:
  MachineReport(const Roll& roll, std::string model, std::string executor);

  // {"model", "executor", "target", "clock_mhz", "lanes", "streams", "units", "queues", "entries",
  // ...}: units are the floorplan west to east, each with the numbers of its queues; entries have
  // their cycles.
  nlohmann::ordered_json machine() const;

  // {"entry", "cycles", "from", "to", "cycles_per_bin", "busy": {queue number: [issues per bin]}};
  // queues that issue nothing in the window are left out. Errors: NotFound (no such entry),
  // InvalidArgument (a window outside of the launch, too many bins).
  Result<nlohmann::ordered_json> timeline(const TimelineQuery& query);

 private:
  const Roll& roll_;
  std::string model_, executor_;
  std::mutex mutex_;
  std::string scheduled_entry_;
  IssueSchedule schedule_;
};

// "entry=decode%40256&from=0&to=1000&bins=256". Error InvalidArgument: another key, or no number.
Result<TimelineQuery> parse_timeline_query(std::string_view query);

}  // namespace pianola
