#include "verifier/verify_roll.h"

#include <algorithm>
#include <atomic>
#include <thread>

#include "verifier/step.h"

namespace pianola {
namespace {

using verifier::Findings;
using verifier::MemoryImage;

constexpr int kDataPorts = 5;  // all but Instructions

// What persists and counts as written before the launch of an entry that is not a Load.
MemoryImage persistent_image(const Roll& roll, const MemoryImage& loaded) {
  MemoryImage image = verifier::empty_image(roll.target);
  for (const PersistentRegion& region : roll.metadata.persistent) {
    if (region.slice < 0 || region.slice >= roll.target.slices()) continue;
    const int64_t low = std::max(0, region.first_word);
    const int64_t high = std::min<int64_t>(int64_t{region.first_word} + region.words,
                                           roll.target.words_per_slice) - 1;
    std::vector<uint64_t>& bits = image[static_cast<size_t>(region.slice)];
    if (region.name.starts_with("kv")) {
      verifier::mark_words(bits, low, high);
      continue;
    }
    const std::vector<uint64_t>& source = loaded[static_cast<size_t>(region.slice)];
    for (int64_t word = low; word <= high; ++word) {
      if (verifier::all_marked(source, word, word)) verifier::mark_words(bits, word, word);
    }
  }
  return image;
}

void check_regions(const Roll& roll, std::vector<std::string>& problems) {
  const Target& target = roll.target;
  for (const PersistentRegion& region : roll.metadata.persistent) {
    const bool good = region.slice >= 0 && region.slice < target.slices() &&
                      region.first_word >= 0 && region.words >= 0 &&
                      int64_t{region.first_word} + region.words <= target.words_per_slice;
    if (!good && problems.size() < 32) {
      problems.push_back("persistent region " + region.name + " lies outside of MEM");
    }
  }
}

struct EntryResult {
  std::vector<Violation> violations;
  std::vector<std::string> problems;
  EntryFacts facts;
};

void check_totals(const Entry& entry, const EntryFacts& facts, Findings& findings) {
  if (facts.cycles != entry.cycles) {
    findings.problem("declares " + std::to_string(entry.cycles) + " cycles, its END makes " +
                     std::to_string(facts.cycles));
  }
  if (!findings.violations.empty()) return;  // the replay may have stopped early
  for (int i = 0; i < kDataPorts; ++i) {
    const PortFacts& port = facts.ports[static_cast<size_t>(i)];
    if (port.moved != port.declared) {
      findings.problem(std::string(port_name(static_cast<PortKind>(i))) + " port: " +
                       std::to_string(port.declared) + " vectors declared, " +
                       std::to_string(port.moved) + " moved");
    }
  }
}

// `memory`: what was written before; then what is surely written after.
EntryResult verify_with_memory(const Roll& roll, const Entry& entry, MemoryImage& memory,
                               const VerifyOptions& options) {
  EntryResult result;
  result.facts.name = entry.name;
  Findings findings(entry.name, std::max<size_t>(1, options.violations_max));
  const bool words_exist = entry.first_word <= roll.words.size() &&
                           entry.word_count <= roll.words.size() - entry.first_word;
  if (!words_exist) findings.problem("its instruction words lie beyond the end of the section");
  if (words_exist && verifier::check_target(roll.target, findings)) {
    const verifier::RegisterRanges registers = verifier::check_registers(entry, findings);
    verifier::check_segments(roll, entry, result.facts, findings);
    verifier::Program program;
    if (verifier::replay_dispatch(roll.target, roll.entry_words(entry), registers, options, program,
                                  result.facts, findings)) {
      verifier::replay_units(roll.target, program, memory, result.facts, findings);
      check_totals(entry, result.facts, findings);
    }
  }
  result.violations = std::move(findings.violations);
  std::stable_sort(result.violations.begin(), result.violations.end(),
                   [](const Violation& a, const Violation& b) { return a.cycle < b.cycle; });
  result.problems = std::move(findings.problems);
  return result;
}

bool is_sane_for_memory(const Roll& roll) {
  Findings scratch("", 1);
  return verifier::check_target(roll.target, scratch);
}

void append(VerifyReport& report, EntryResult result) {
  std::move(result.violations.begin(), result.violations.end(),
            std::back_inserter(report.violations));
  std::move(result.problems.begin(), result.problems.end(), std::back_inserter(report.problems));
  report.entries.push_back(std::move(result.facts));
}

// Verifies the chosen entries (`wanted` by index); Load entries are played for their memory in any case.
VerifyReport verify_entries(const Roll& roll, const std::vector<const Entry*>& wanted,
                            const VerifyOptions& options) {
  VerifyReport report;
  if (!is_sane_for_memory(roll)) {
    Findings findings(wanted.empty() ? "" : wanted.front()->name, 32);
    verifier::check_target(roll.target, findings);
    report.problems = std::move(findings.problems);
    return report;
  }
  check_regions(roll, report.problems);
  MemoryImage loaded = verifier::empty_image(roll.target);
  std::vector<EntryResult> results(wanted.size());
  const bool needs_load = std::any_of(wanted.begin(), wanted.end(), [](const Entry* entry) {
    return entry->kind != EntryKind::Load;
  });
  const auto place = [&](const Entry& entry) {
    return static_cast<size_t>(
        std::find(wanted.begin(), wanted.end(), &entry) - wanted.begin());
  };
  const auto play_load = [&](const Entry& entry) {
    const size_t slot = place(entry);
    if (slot == wanted.size() && !(needs_load && !roll.metadata.persistent.empty())) return;
    MemoryImage memory = verifier::empty_image(roll.target);
    EntryResult result = verify_with_memory(roll, entry, memory, options);
    for (size_t slice = 0; slice < memory.size(); ++slice) {
      for (size_t i = 0; i < memory[slice].size(); ++i) loaded[slice][i] |= memory[slice][i];
    }
    if (slot < wanted.size()) results[slot] = std::move(result);
  };
  for (const Entry& entry : roll.metadata.entries) {
    if (entry.kind == EntryKind::Load) play_load(entry);
  }
  std::vector<size_t> rest;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const Entry* first = roll.metadata.entries.data();
    const bool in_roll = std::greater_equal<>()(wanted[i], first) &&
                         std::less<>()(wanted[i], first + roll.metadata.entries.size());
    if (wanted[i]->kind != EntryKind::Load || !in_roll) rest.push_back(i);
  }
  const MemoryImage before = persistent_image(roll, loaded);
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i = next++; i < rest.size(); i = next++) {
      const Entry& entry = *wanted[rest[i]];
      MemoryImage memory =
          entry.kind == EntryKind::Load ? verifier::empty_image(roll.target) : before;
      results[rest[i]] = verify_with_memory(roll, entry, memory, options);
    }
  };
  const size_t threads = std::min<size_t>(
      rest.size(), options.threads > 0 ? static_cast<size_t>(options.threads)
                                       : std::max(1u, std::thread::hardware_concurrency()));
  std::vector<std::thread> helpers;
  for (size_t i = 1; i < threads; ++i) helpers.emplace_back(work);
  work();
  for (std::thread& helper : helpers) helper.join();
  for (EntryResult& result : results) append(report, std::move(result));
  return report;
}

}  // namespace

std::string_view port_name(PortKind port) {
  switch (port) {
    case PortKind::Tape: return "tape";
    case PortKind::KvRead: return "KV read";
    case PortKind::KvWrite: return "KV write";
    case PortKind::HostReceive: return "host receive";
    case PortKind::HostSend: return "host send";
    case PortKind::Instructions: return "instructions";
  }
  return "";
}

std::string to_string(const Violation& violation) {
  return "entry " + violation.entry + ", cycle " + std::to_string(violation.cycle) + ", " +
         violation.unit + ", word " + std::to_string(violation.word) + ": " +
         std::string(rule_name(violation.rule)) + ": " + violation.message;
}

std::string to_string(const VerifyReport& report) {
  std::string text;
  for (const Violation& violation : report.violations) text += to_string(violation) + "\n";
  for (const std::string& problem : report.problems) text += problem + "\n";
  return text;
}

bool VerifyReport::only(Rule rule) const {
  return problems.empty() && !violations.empty() &&
         std::all_of(violations.begin(), violations.end(),
                     [&](const Violation& violation) { return violation.rule == rule; });
}

VerifyReport verify_entry(const Roll& roll, const Entry& entry, const VerifyOptions& options) {
  return verify_entries(roll, {&entry}, options);
}

VerifyReport verify_roll(const Roll& roll, const VerifyOptions& options) {
  std::vector<const Entry*> wanted;
  for (const Entry& entry : roll.metadata.entries) wanted.push_back(&entry);
  return verify_entries(roll, wanted, options);
}

}  // namespace pianola
