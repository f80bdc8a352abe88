// Places operations in program order; of a run of equal sections the first ones by themselves, the others as
// copies at a fixed period, so that the time that this takes does not grow with the layers of a model.
#include "scheduler/placer.h"

namespace pianola {

Result<Schedule> Placer::run() {
  const int sections = static_cast<int>(program_.sections.size());
  const int preamble = sections > 0 ? program_.sections[0].first
                                    : static_cast<int>(program_.operations.size());
  for (int i = 0; i < preamble; ++i) TRY_STATUS(place(i, nullptr));
  const std::vector<SectionRun> runs = section_runs(program_);
  size_t next_run = 0;
  for (int section = 0; section < sections;) {
    if (next_run < runs.size() && runs[next_run].first == section) {
      TRY_STATUS(place_run(runs[next_run]));
      section += runs[next_run++].count;
    } else {
      TRY_STATUS(place_section(section++, nullptr));
    }
  }
  return std::move(schedule_);
}

Result<Schedule> place_operations(const VectorProgram& program, const Target& target,
                                  const PlaceOptions& options) {
  return Placer(program, target, options).run();
}

}  // namespace pianola
