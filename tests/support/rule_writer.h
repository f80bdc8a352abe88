// Writes the programs of rule_programs.h: a member function for each group of rules.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/build_program.h"
#include "tests/support/rule_programs.h"

namespace pianola::test {

constexpr uint64_t kBegin = 64;  // first issues: the dispatcher has had time to fill the queues
constexpr uint64_t kLater = kBegin + 128;  // what began then has arrived everywhere

class RuleWriter {
 public:
  explicit RuleWriter(const Target& target) : target_(target) {}
  std::vector<RuleProgram> take() { return std::move(programs_); }

  // rule_programs_memory.cc
  void streams();
  void memory();
  void ranges();
  void rows();
  // rule_programs_arithmetic.cc
  void matrix();
  void chain();
  // rule_programs_front.cc
  void queues();
  void encoding();
  void ports();

 private:
  using Build = std::function<void(ProgramBuilder&, bool mutant)>;
  using Patch = std::function<void(ProgramBuilder&)>;  // of the mutant's words, after build()

  // Writes the program twice, as it should be and as the mutant.
  RuleProgram& add(Rule rule, const std::string& name, const Build& build,
                   const Patch& patch = nullptr);
  // A vector on stream 0 in both directions; returns the cycle of the drive.
  uint64_t input(ProgramBuilder& b, uint64_t issue = kBegin, int count = 1) {
    return b.receive(QueueKind::HostRecv, issue, 0, count);
  }
  // A WRITE with rows of a vector from the host, at slice 0 unless told otherwise; returns the
  // cycle of its issue.
  uint64_t write_row(ProgramBuilder& b, uint64_t receive, MemInstruction x, int slice = 0);
  // A pass on zeros that leaves on stream 0 and is sent to the host.
  VxmInstruction plain_pass() const;
  void push_pass(ProgramBuilder& b, uint64_t issue, const VxmInstruction& pass, bool sends = true);
  // All rows of a tile of MXM 0, except the last `missing` loads; returns the cycle of the last
  // load.
  uint64_t load_tile(ProgramBuilder& b, int missing = 0);
  void push_mac(ProgramBuilder& b, uint64_t issue, MxmMacInstruction mac);
  bool has(uint32_t stages) const { return (target_.vxm_stages & stages) == stages; }
  uint64_t arrival(uint64_t drive, int from, int to) const {
    return drive + static_cast<uint64_t>(distance(from, to));
  }

  const Target& target_;
  std::vector<RuleProgram> programs_;
};

}  // namespace pianola::test
