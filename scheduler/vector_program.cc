#include "scheduler/vector_program.h"

namespace pianola {

int section_end(const VectorProgram& program, int section) {
  const size_t next = static_cast<size_t>(section) + 1;
  return next < program.sections.size() ? program.sections[next].first
                                        : static_cast<int>(program.operations.size());
}

std::vector<SectionRun> section_runs(const VectorProgram& program) {
  std::vector<SectionRun> runs;
  const int sections = static_cast<int>(program.sections.size());
  for (int first = 0; first < sections;) {
    int end = first + 1;
    while (end < sections && program.sections[end].group == program.sections[first].group) ++end;
    if (end - first >= kSectionRunMin) runs.push_back({first, end - first});
    first = end;
  }
  return runs;
}

}  // namespace pianola
