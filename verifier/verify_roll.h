// The roll verifier: proves that a roll keeps every rule of the machine spec (isa/machine.toml,
// [rules]) for all values of the launch registers within their declarations. It replays dispatch,
// issue and streams cycle by cycle from the instruction words alone and shares no code with the
// scheduler, so a mistake there cannot hide itself here.
//
// A roll may come from anywhere: whatever its words are, the verifier ends, within the limits of
// VerifyOptions, with a report. What the machine would fault on is a Violation of a rule; what is
// wrong around it (a wrong cycle count, a port that delivers more than is taken, a limit of the
// verifier) is a problem in words.
//
// Phases: an entry whose encoding is illegal is not replayed, an entry whose queues break is not
// replayed beyond dispatch, so that one mistake is reported as one mistake.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "isa/instructions.h"
#include "isa/roll.h"

namespace pianola {

struct Violation {
  Rule rule{};
  uint64_t cycle = 0;   // machine cycle of the launch
  std::string entry;    // name of the entry
  std::string unit;     // "MEM slice 3 read (queue 11)", "dispatcher"
  std::string message;  // what, expected, found
  uint64_t word = 0;    // instruction word within the entry
};
std::string to_string(const Violation& violation);

struct QueueFacts {
  uint64_t instructions = 0;
  uint64_t issues = 0;  // cycles in which the unit's queue issued
  int peak_occupancy = 0;
};
enum class PortKind : uint8_t { Tape, KvRead, KvWrite, HostReceive, HostSend, Instructions };
constexpr int kPortKinds = 6;
std::string_view port_name(PortKind port);
struct PortFacts {
  uint64_t moved = 0;           // vectors; Instructions: words
  uint64_t declared = 0;        // by the entry's segments and counts
  int64_t level_bytes_min = 0;  // of the bucket of rule port_rate, never below zero in a sound roll
};
struct EntryFacts {
  std::string name;
  uint64_t cycles = 0;             // END cycle + 1
  std::vector<QueueFacts> queues;  // by queue number
  std::array<PortFacts, kPortKinds> ports;
};

struct VerifyReport {
  std::vector<Violation> violations;  // in order of entries and cycles; the first few per entry
  std::vector<std::string> problems;  // what is wrong but is no fault of the machine
  std::vector<EntryFacts> entries;
  bool ok() const { return violations.empty() && problems.empty(); }
  // True if there are violations and all are of this rule, and no problems.
  bool only(Rule rule) const;
};
std::string to_string(const VerifyReport& report);

struct VerifyOptions {
  size_t violations_max = 32;          // kept per entry
  uint64_t cycles_max = 1ull << 32;    // of one launch
  uint64_t words_max = 1ull << 24;     // of one entry
  uint64_t issues_max = 1ull << 28;    // of all queues in one launch
  int threads = 0;                     // over entries; 0: as many as the machine has
};

// One entry. What Load entries leave in persistent regions counts as written for the others, as do
// regions whose name begins with "kv": those the host defines.
VerifyReport verify_entry(const Roll& roll, const Entry& entry, const VerifyOptions& options = {});
// All entries. The report does not depend on the number of threads.
VerifyReport verify_roll(const Roll& roll, const VerifyOptions& options = {});

}  // namespace pianola
