#include "emulator/coverage.h"

#include <sstream>

#include "isa/instructions.h"

namespace pianola {
namespace {

UnitTable unit_of(QueueKind kind) {
  switch (kind) {
    case QueueKind::TapeRecv:
    case QueueKind::KvRecv:
    case QueueKind::HostRecv: return UnitTable::PortRecv;
    case QueueKind::KvSend:
    case QueueKind::HostSend: return UnitTable::PortSend;
    case QueueKind::VxmPass: return UnitTable::Vxm;
    case QueueKind::MemRead:
    case QueueKind::MemWrite: return UnitTable::Mem;
    case QueueKind::SxmMove: return UnitTable::Sxm;
    case QueueKind::MxmLoad: return UnitTable::MxmLoad;
    case QueueKind::MxmMac: return UnitTable::MxmMac;
  }
  return UnitTable::Mem;
}

void count_fields(std::span<const FieldInfo> infos, const Word& word, uint64_t issues,
                  std::vector<FieldCoverage>& fields) {
  for (size_t i = 0; i < infos.size(); ++i) {
    const FieldInfo& info = infos[i];
    const int64_t value = info.is_signed ? int64_t{detail::get_signed(word, info.lsb, info.bits)}
                                         : int64_t{detail::get(word, info.lsb, info.bits)};
    fields[i].issues[value] += issues;
  }
}

void merge_fields(std::vector<FieldCoverage>& to, const std::vector<FieldCoverage>& from) {
  for (size_t i = 0; i < to.size(); ++i) {
    for (const auto& [value, issues] : from[i].issues) to[i].issues[value] += issues;
  }
}

void print_fields(std::ostream& out, std::string_view unit, std::span<const FieldInfo> infos,
                  const std::vector<FieldCoverage>& fields) {
  for (size_t i = 0; i < infos.size(); ++i) {
    const FieldInfo& info = infos[i];
    const auto& issues = fields[i].issues;
    out << "  " << unit << "." << info.name << ":";
    if (info.values.empty()) {
      if (!issues.empty()) {
        out << " " << issues.size() << " values, " << issues.begin()->first << " to "
            << issues.rbegin()->first;
      }
    } else {
      for (size_t v = 0; v < info.values.size(); ++v) {
        const auto found = issues.find(static_cast<int64_t>(v));
        out << " " << info.values[v] << " " << (found == issues.end() ? 0 : found->second);
      }
    }
    out << "\n";
  }
}

}  // namespace

Coverage empty_coverage() {
  Coverage coverage;
  for (const UnitInfo& unit : kUnits) {
    UnitCoverage& added = coverage.units.emplace_back();
    added.fields.resize(unit.fields.size());
    added.timing.resize(std::size(tables::kTimingFields));
  }
  return coverage;
}

void add_launch(Coverage& coverage, const Roll& roll, int entry) {
  for (const Word& word : roll.entry_words(roll.metadata.entries[entry])) {
    const Header header = decode_header(word);
    if (!header.legal || header.kind != WordKind::Push) continue;
    const uint64_t issues = timing_issues(detail::get_timing(word));
    for (uint32_t i = 0; i < 8; ++i) {
      const uint32_t queue = header.queue + i;
      if ((header.mask >> i & 1) == 0 || queue >= roll.target.queues.size()) continue;
      const int unit = static_cast<int>(unit_of(roll.target.queues[queue].kind));
      UnitCoverage& counts = coverage.units[unit];
      ++counts.instructions;
      counts.issues += issues;
      coverage.queues[static_cast<int>(queue)] += issues;
      count_fields(kUnits[unit].fields, word, issues, counts.fields);
      count_fields(tables::kTimingFields, word, issues, counts.timing);
    }
  }
}

void merge(Coverage& coverage, const Coverage& other) {
  for (size_t u = 0; u < coverage.units.size(); ++u) {
    coverage.units[u].instructions += other.units[u].instructions;
    coverage.units[u].issues += other.units[u].issues;
    merge_fields(coverage.units[u].fields, other.units[u].fields);
    merge_fields(coverage.units[u].timing, other.units[u].timing);
  }
  for (const auto& [queue, issues] : other.queues) coverage.queues[queue] += issues;
}

std::vector<std::string> missing_values(const Coverage& coverage) {
  std::vector<std::string> missing;
  for (size_t u = 0; u < coverage.units.size(); ++u) {
    const UnitInfo& unit = kUnits[u];
    for (size_t f = 0; f < unit.fields.size(); ++f) {
      const FieldInfo& field = unit.fields[f];
      for (size_t v = 0; v < field.values.size(); ++v) {
        if (coverage.units[u].fields[f].issues.count(static_cast<int64_t>(v)) != 0) continue;
        missing.push_back(std::string(unit.name) + "." + std::string(field.name) + " = " +
                          std::string(field.values[v]));
      }
    }
  }
  return missing;
}

std::string to_string(const Coverage& coverage) {
  std::ostringstream out;
  for (size_t u = 0; u < coverage.units.size(); ++u) {
    const UnitCoverage& unit = coverage.units[u];
    out << kUnits[u].name << ": " << unit.instructions << " instructions, " << unit.issues
        << " issues\n";
    print_fields(out, kUnits[u].name, tables::kTimingFields, unit.timing);
    print_fields(out, kUnits[u].name, kUnits[u].fields, unit.fields);
  }
  return out.str();
}

}  // namespace pianola
