#include "host/page/machine_report.h"

#include <algorithm>
#include <charconv>

#include "emulator/unit_activity.h"

namespace pianola {
namespace {

using Json = nlohmann::ordered_json;

const char* unit_name(UnitKind kind) {
  switch (kind) {
    case UnitKind::Port:
      return "PORT";
    case UnitKind::Vxm:
      return "VXM";
    case UnitKind::Mem:
      return "MEM";
    case UnitKind::Sxm:
      return "SXM";
    case UnitKind::Mxm:
      return "MXM";
  }
  return "";
}

const char* entry_kind_name(EntryKind kind) {
  switch (kind) {
    case EntryKind::Load:
      return "load";
    case EntryKind::Prefill:
      return "prefill";
    case EntryKind::Decode:
      return "decode";
    case EntryKind::Verify:
      return "verify";
  }
  return "";
}

int from_hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 32);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

std::string decode_percent(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool is_escape = text[i] == '%' && i + 2 < text.size() && from_hex(text[i + 1]) >= 0 &&
                           from_hex(text[i + 2]) >= 0;
    if (is_escape) {
      decoded += static_cast<char>(from_hex(text[i + 1]) * 16 + from_hex(text[i + 2]));
      i += 2;
    } else {
      decoded += text[i] == '+' ? ' ' : text[i];
    }
  }
  return decoded;
}

}  // namespace

MachineReport::MachineReport(const Roll& roll, std::string model, std::string executor)
    : roll_(roll), model_(std::move(model)), executor_(std::move(executor)) {}

Json MachineReport::machine() const {
  const Target& target = roll_.target;
  Json units = Json::array(), queues = Json::array(), entries = Json::array();
  for (std::size_t i = 0; i < target.floorplan.size(); ++i) {
    Json numbers = Json::array();
    for (std::size_t q = 0; q < target.queues.size(); ++q) {
      if (target.queues[q].position == static_cast<int>(i)) numbers.push_back(q);
    }
    units.push_back({{"kind", unit_name(target.floorplan[i])}, {"queues", std::move(numbers)}});
  }
  for (std::size_t q = 0; q < target.queues.size(); ++q) queues.push_back(queue_label(target, q));
  for (const Entry& entry : roll_.metadata.entries) {
    const double seconds = static_cast<double>(entry.cycles) / (target.clock_mhz * 1e6);
    entries.push_back({{"name", entry.name},
                       {"kind", entry_kind_name(entry.kind)},
                       {"tokens", entry.tokens},
                       {"context", entry.context},
                       {"cycles", entry.cycles},
                       {"tokens_per_second", seconds > 0 ? entry.tokens / seconds : 0}});
  }
  const RollModel& facts = roll_.metadata.model;
  return {{"model", model_},
          {"executor", executor_},
          {"target", target.name},
          {"clock_mhz", target.clock_mhz},
          {"lanes", target.lanes},
          {"streams", target.streams},
          {"architecture", facts.architecture},
          {"layers", facts.layers},
          {"hidden", facts.hidden},
          {"vocabulary", facts.vocabulary},
          {"context", facts.context},
          {"quantization", facts.quantization},
          {"units", std::move(units)},
          {"queues", std::move(queues)},
          {"entries", std::move(entries)}};
}

Result<Json> MachineReport::timeline(const TimelineQuery& query) {
  const auto& entries = roll_.metadata.entries;
  const auto entry = std::find_if(entries.begin(), entries.end(),
                                  [&](const Entry& e) { return e.name == query.entry; });
  if (entry == entries.end()) {
    return Error{ErrorCode::NotFound, "no such entry; GET /pianola/machine lists them", "entry"};
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  if (scheduled_entry_ != entry->name) {
    TRY(schedule_, schedule_issues(roll_.target, roll_.entry_words(*entry)));
    scheduled_entry_ = entry->name;
  }
  const std::uint64_t end = schedule_.end_cycle + 1;
  const std::uint64_t to = query.to == 0 ? end : std::min(query.to, end);
  if (query.from >= to) {
    return Error{ErrorCode::InvalidArgument,
                 "must be below `to` and the " + std::to_string(end) + " cycles of the launch",
                 "from"};
  }
  if (query.bins < 1 || query.bins > kActivityBinsMax) {
    return Error{ErrorCode::InvalidArgument, "must be 1 to " + std::to_string(kActivityBinsMax),
                 "bins"};
  }
  const std::uint64_t cycles_per_bin = (to - query.from + query.bins - 1) / query.bins;
  const ActivityWindow window{.from = query.from, .to = to, .cycles_per_bin = cycles_per_bin};
  Json busy = Json::object();
  for (std::size_t q = 0; q < schedule_.queues.size(); ++q) {
    const std::vector<std::uint32_t> bins = count_issues(schedule_.queues[q], window);
    const bool is_idle =
        std::all_of(bins.begin(), bins.end(), [](std::uint32_t n) { return n == 0; });
    if (!is_idle) busy[std::to_string(q)] = bins;
  }
  return Json{{"entry", entry->name},
              {"cycles", end},
              {"from", query.from},
              {"to", to},
              {"cycles_per_bin", cycles_per_bin},
              {"busy", std::move(busy)}};
}

Result<TimelineQuery> parse_timeline_query(std::string_view text) {
  TimelineQuery query;
  while (!text.empty()) {
    const std::string_view pair = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(text.size(), pair.size() + 1));
    const std::size_t equal = std::min(pair.find('='), pair.size());
    const std::string key = decode_percent(pair.substr(0, equal));
    const std::string value = decode_percent(pair.substr(std::min(pair.size(), equal + 1)));
    if (key == "entry") {
      query.entry = value;
      continue;
    }
    std::uint64_t* number = key == "from"   ? &query.from
                            : key == "to"   ? &query.to
                            : key == "bins" ? &query.bins
                                            : nullptr;
    if (number == nullptr) {
      return Error{ErrorCode::InvalidArgument,
                   "not a parameter; there are entry, from, to and bins", key.substr(0, 60)};
    }
    const auto parsed = std::from_chars(value.data(), value.data() + value.size(), *number);
    if (parsed.ec != std::errc{} || parsed.ptr != value.data() + value.size()) {
      return Error{ErrorCode::InvalidArgument, "must be a number that is not negative", key};
    }
  }
  return query;
}

}  // namespace pianola
