// `pianola inspect`: what a roll does, from the roll alone.
#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "compiler/lower_bounds.h"
#include "verifier/verify_roll.h"

namespace pianola {
namespace {

using Json = nlohmann::ordered_json;

const char* queue_name(QueueKind kind) {
  switch (kind) {
    case QueueKind::TapeRecv: return "tape.recv";
    case QueueKind::KvRecv: return "kv.recv";
    case QueueKind::HostRecv: return "host.recv";
    case QueueKind::KvSend: return "kv.send";
    case QueueKind::HostSend: return "host.send";
    case QueueKind::VxmPass: return "vxm.pass";
    case QueueKind::MemRead: return "mem.read";
    case QueueKind::MemWrite: return "mem.write";
    case QueueKind::SxmMove: return "sxm.move";
    case QueueKind::MxmLoad: return "mxm.load";
    case QueueKind::MxmMac: return "mxm.mac";
  }
  return "";
}

// Mean use of the queues of each kind, and the fullest queue of each.
struct Use {
  uint64_t issues = 0, queues = 0;
  int peak = 0;
};

std::map<QueueKind, Use> use_by_kind(const Target& target, const EntryFacts& facts) {
  std::map<QueueKind, Use> use;
  for (size_t q = 0; q < facts.queues.size(); ++q) {
    Use& u = use[target.queues[q].kind];
    u.issues += facts.queues[q].issues;
    u.peak = std::max(u.peak, facts.queues[q].peak_occupancy);
    ++u.queues;
  }
  return use;
}

Json entry_json(const Roll& roll, const Entry& entry, const EntryFacts& facts) {
  Json json;
  json["name"] = entry.name;
  json["tokens"] = entry.tokens;
  json["context"] = entry.context;
  json["cycles"] = entry.cycles;
  json["bounds"] = Json::object();
  for (const Bound& bound : entry.bounds) json["bounds"][bound.name] = bound.cycles;
  const Bound* active = active_bound(entry.bounds);
  json["active_bound"] = active ? Json(active->name) : Json();
  json["instruction_words"] = entry.word_count;
  json["bytes"] = Json::object();
  const uint64_t lanes = static_cast<uint64_t>(roll.target.lanes);
  for (int port = 0; port < kPortKinds; ++port) {
    const PortKind kind = static_cast<PortKind>(port);
    const uint64_t unit = kind == PortKind::Instructions ? sizeof(Word) : lanes;
    json["bytes"][std::string(port_name(kind))] =
        facts.ports[static_cast<size_t>(port)].moved * unit;
  }
  json["utilization"] = Json::object();
  json["peak_queue_occupancy"] = Json::object();
  for (const auto& [kind, use] : use_by_kind(roll.target, facts)) {
    json["utilization"][queue_name(kind)] =
        static_cast<double>(use.issues) / static_cast<double>(use.queues * entry.cycles);
    json["peak_queue_occupancy"][queue_name(kind)] = use.peak;
  }
  return json;
}

Json roll_json(const Roll& roll, const VerifyReport& report) {
  const RollModel& model = roll.metadata.model;
  Json json;
  json["target"] = roll.metadata.target_name;
  json["model"] = {{"architecture", model.architecture}, {"quantization", model.quantization},
                   {"vocabulary", model.vocabulary},     {"hidden", model.hidden},
                   {"layers", model.layers},             {"heads", model.heads},
                   {"kv_heads", model.kv_heads},         {"head_size", model.head_size},
                   {"feed_forward", model.feed_forward}, {"context", model.context}};
  json["data_bytes"] = roll.data.size();
  json["instruction_bytes"] = roll.words.size() * sizeof(Word);
  json["kv_bytes"] = roll.metadata.kv_vectors * static_cast<uint64_t>(roll.target.lanes);
  json["entries"] = Json::array();
  for (size_t i = 0; i < roll.metadata.entries.size(); ++i) {
    json["entries"].push_back(entry_json(roll, roll.metadata.entries[i], report.entries[i]));
  }
  json["memory_map"] = Json::array();
  for (const PersistentRegion& region : roll.metadata.persistent) {
    json["memory_map"].push_back({{"name", region.name},
                                  {"slice", region.slice},
                                  {"first_word", region.first_word},
                                  {"words", region.words}});
  }
  return json;
}

void print_entry(const Roll& roll, const Entry& entry, const EntryFacts& facts) {
  const Bound* active = active_bound(entry.bounds);
  std::printf("%s: %llu cycles", entry.name.c_str(),
              static_cast<unsigned long long>(entry.cycles));
  if (active && active->cycles > 0) {
    std::printf(", %.3f x the bound (%s, %llu)",
                static_cast<double>(entry.cycles) / static_cast<double>(active->cycles),
                active->name.c_str(), static_cast<unsigned long long>(active->cycles));
  }
  std::printf(", %llu instruction words\n", static_cast<unsigned long long>(entry.word_count));
  for (const auto& [kind, use] : use_by_kind(roll.target, facts)) {
    if (use.issues == 0) continue;
    std::printf("  %-10s %5.1f %% busy, at most %d of %d instructions waiting\n", queue_name(kind),
                100.0 * static_cast<double>(use.issues) /
                    static_cast<double>(use.queues * entry.cycles),
                use.peak, roll.target.queue_depth);
  }
}

Status inspect(const std::string& path, bool as_json) {
  TRY(Roll roll, read_roll(path));
  const VerifyReport report = verify_roll(roll);
  if (!report.ok()) {
    return Error{ErrorCode::Mismatch, "not sound; `pianola verify` says why", path};
  }
  if (as_json) {
    std::printf("%s\n", roll_json(roll, report).dump(2).c_str());
    return Ok{};
  }
  const RollModel& m = roll.metadata.model;
  std::printf("%s for %s: %s, %d layers, hidden %d, %d/%d heads of %d, vocabulary %d, context %d, "
              "%s\n%zu bytes of data, %zu of instructions, %llu of KV region\n",
              path.c_str(), roll.metadata.target_name.c_str(), m.architecture.c_str(), m.layers,
              m.hidden, m.heads, m.kv_heads, m.head_size, m.vocabulary, m.context,
              m.quantization.c_str(), roll.data.size(), roll.words.size() * sizeof(Word),
              static_cast<unsigned long long>(roll.metadata.kv_vectors *
                                              static_cast<uint64_t>(roll.target.lanes)));
  for (size_t i = 0; i < roll.metadata.entries.size(); ++i) {
    print_entry(roll, roll.metadata.entries[i], report.entries[i]);
  }
  if (!roll.metadata.persistent.empty()) std::printf("memory that persists between launches:\n");
  for (const PersistentRegion& region : roll.metadata.persistent) {
    std::printf("  slice %2d words %5d..%5d %s\n", region.slice, region.first_word,
                region.first_word + region.words - 1, region.name.c_str());
  }
  return Ok{};
}

}  // namespace

void add_inspect_command(CLI::App& app, Action& chosen) {
  CLI::App* command = app.add_subcommand("inspect", "entries, cycles, bounds and use of a roll");
  auto path = std::make_shared<std::string>();
  auto as_json = std::make_shared<bool>(false);
  command->add_option("roll", *path, "the roll to read")->required();
  command->add_flag("--json", *as_json, "one JSON object instead of text");
  command->callback([&chosen, path, as_json] {
    chosen = [path, as_json] { return inspect(*path, *as_json); };
  });
}

}  // namespace pianola
