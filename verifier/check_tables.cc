// What surrounds the instructions of an entry: register declarations, what the ports deliver and take,
// and the bounds of the data behind them, for all values of the parameters.
#include <algorithm>

#include "verifier/step.h"

namespace pianola::verifier {
namespace {

__extension__ typedef __int128 Wide;  // sums of products of 64-bit fields do not overflow it

constexpr int kPositionsMax = 64;  // one bit each in the masks of the replay
constexpr size_t kDeclarationsMax = 1024;

const RegisterDeclaration* find_declaration(const Entry& entry, int index) {
  for (const RegisterDeclaration& declaration : entry.registers) {
    if (declaration.index == index) return &declaration;
  }
  return nullptr;
}

// Vectors of a list; more than fit are given as the largest number.
uint64_t total_vectors(std::span<const Segment> segments) {
  Wide total = 0;
  for (const Segment& segment : segments) total += Wide{segment.count} * segment.repeat;
  return total > Wide{INT64_MAX} ? uint64_t{INT64_MAX} : static_cast<uint64_t>(total);
}

void check_list(const Entry& entry, std::span<const Segment> segments, PortKind port,
                uint64_t vectors, Findings& findings) {
  for (size_t i = 0; i < segments.size() && !findings.full(); ++i) {
    const Segment& segment = segments[i];
    const std::string place =
        std::string(port_name(port)) + " segment " + std::to_string(i);
    if (segment.count == 0 || segment.repeat == 0) continue;
    Wide low = segment.base, high = Wide{segment.base} + segment.count - 1;
    const Wide span = Wide{segment.stride} * (segment.repeat - 1);
    (span < 0 ? low : high) += span;
    if (segment.parameter >= 0) {
      if (entry.registers.size() > kDeclarationsMax) return;  // already a problem
      const RegisterDeclaration* declaration = find_declaration(entry, segment.parameter);
      if (declaration == nullptr) {
        findings.problem(place + ": parameter " + std::to_string(segment.parameter) +
                         " is not declared");
        continue;
      }
      low += Wide{std::min(declaration->minimum, segment.limit)} * segment.parameter_stride;
      high += Wide{std::min(declaration->maximum, segment.limit)} * segment.parameter_stride;
    }
    if (low < 0 || high >= Wide{vectors}) {
      findings.violation(Rule::PortExhausted, 0, std::string(port_name(port)) + " port",
                         place + " lies beyond the " + std::to_string(vectors) +
                             " vectors of its region for some values of the parameters");
    }
  }
}

}  // namespace

bool check_target(const Target& target, Findings& findings) {
  const auto within = [&](const char* what, int64_t value, int64_t low, int64_t high) {
    if (value >= low && value <= high) return true;
    findings.problem(std::string("target: ") + what + " is " + std::to_string(value) +
                     ", the verifier takes " + std::to_string(low) + " to " +
                     std::to_string(high));
    return false;
  };
  bool good = within("positions", target.positions(), 1, kPositionsMax) &&
              within("lanes", target.lanes, 1, 1024) &&
              within("streams", target.streams, 1, 64) &&
              within("queues", static_cast<int64_t>(target.queues.size()), 1, 1024) &&
              within("words_per_slice", target.words_per_slice, 2, 1 << 20) &&
              within("mxm_load_streams", target.mxm_load_streams, 1, 64) &&
              within("mxm_accumulators", target.mxm_accumulators, 0, 1 << 16) &&
              within("vxm_accumulators", target.vxm_accumulators, 0, 1 << 16);
  if (good && (target.streams & (target.streams - 1)) != 0) {
    findings.problem("target: streams is not a power of two");
    good = false;
  }
  return good;
}

RegisterRanges check_registers(const Entry& entry, Findings& findings) {
  // An undeclared register may hold anything.
  RegisterRanges ranges(kLaunchRegisters, {0, UINT32_MAX});
  if (entry.registers.size() > kDeclarationsMax) {
    findings.problem("more than " + std::to_string(kDeclarationsMax) + " launch parameters");
    return ranges;
  }
  std::vector<int> indices;
  for (const RegisterDeclaration& r : entry.registers) {
    const std::string place = "register " + std::to_string(r.index);
    indices.push_back(r.index);
    if (r.index < 0) findings.problem(place + ": a negative index");
    if (r.minimum > r.maximum) findings.problem(place + ": minimum above maximum");
    if (r.multiple == 0) findings.problem(place + ": multiple of zero");
    if (r.role == RegisterDeclaration::Role::Constant && r.minimum != r.maximum) {
      findings.problem(place + ": a constant with two values");
    }
    if (r.index >= 0 && r.index < kLaunchRegisters) {
      ranges[static_cast<size_t>(r.index)] = {r.minimum, r.maximum};
    }
  }
  std::sort(indices.begin(), indices.end());
  if (std::adjacent_find(indices.begin(), indices.end()) != indices.end()) {
    findings.problem("a register is declared twice");
  }
  ranges[0] = {0, 0};  // reads as zero whatever is declared
  return ranges;
}

void check_segments(const Roll& roll, const Entry& entry, EntryFacts& facts, Findings& findings) {
  const uint64_t data_vectors =
      roll.data.size() / static_cast<uint64_t>(std::max(1, roll.target.lanes));
  check_list(entry, entry.tape, PortKind::Tape, data_vectors, findings);
  check_list(entry, entry.kv_read, PortKind::KvRead, roll.metadata.kv_vectors, findings);
  check_list(entry, entry.kv_write, PortKind::KvWrite, roll.metadata.kv_vectors, findings);
  const auto declare = [&](PortKind port, uint64_t vectors) {
    facts.ports[static_cast<size_t>(port)].declared = vectors;
  };
  declare(PortKind::Tape, total_vectors(entry.tape));
  declare(PortKind::KvRead, total_vectors(entry.kv_read));
  declare(PortKind::KvWrite, total_vectors(entry.kv_write));
  declare(PortKind::HostReceive, entry.host_receive_vectors);
  declare(PortKind::HostSend, entry.host_send_vectors);
}

}  // namespace pianola::verifier
