// Which parts of the instruction set a set of launches exercises: for every unit and field, the
// values that occur in pushed instructions. Coverage is a property of the tapes, so it holds for
// every executor that plays them.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "isa/instruction_tables.h"
#include "isa/roll.h"

namespace pianola {

struct FieldCoverage {
  std::map<int64_t, uint64_t> issues;  // by value: issues of instructions that hold it
};

struct UnitCoverage {
  uint64_t instructions = 0;  // pushes, counted for each queue of the mask
  uint64_t issues = 0;
  std::vector<FieldCoverage> fields;  // in the order of UnitInfo::fields
  std::vector<FieldCoverage> timing;  // in the order of tables::kTimingFields
};

struct Coverage {
  std::vector<UnitCoverage> units;  // in the order of kUnits
  std::map<int, uint64_t> queues;   // by number: issues
};

Coverage empty_coverage();
// Adds one launch of an entry. The entry's tape must be well-formed.
void add_launch(Coverage& coverage, const Roll& roll, int entry);
// Adds what another coverage counted.
void merge(Coverage& coverage, const Coverage& other);
// Named values that never occurred, as "VXM.sfu = LOG2".
std::vector<std::string> missing_values(const Coverage& coverage);
// A table: unit, field, values seen with their counts (named values all, numbers as range).
std::string to_string(const Coverage& coverage);

}  // namespace pianola
