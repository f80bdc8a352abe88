#include "tests/support/rule_programs.h"

#include "tests/support/rule_writer.h"

namespace pianola::test {

RuleProgram& RuleWriter::add(Rule rule, const std::string& name, const Build& build,
                             const Patch& patch) {
  RuleProgram program;
  program.rule = rule;
  program.name = std::string(rule_name(rule)) + "." + name;
  for (const bool mutant : {false, true}) {
    ProgramBuilder b(target_);
    build(b, mutant);
    CHECK(b.build());
    if (mutant && patch) patch(b);
    (mutant ? program.mutant : program.sound) = b.finish(program.name);
  }
  programs_.push_back(std::move(program));
  return programs_.back();
}

VxmInstruction RuleWriter::plain_pass() const {
  VxmInstruction pass;
  pass.out_format = VxmOutFormat::F32;
  pass.out_dirs = 3;
  return pass;
}

void RuleWriter::push_pass(ProgramBuilder& b, uint64_t issue, const VxmInstruction& pass,
                           bool sends) {
  b.push(b.queue(QueueKind::VxmPass), issue, pass);
  if (!sends) return;
  const uint64_t drive = issue + static_cast<uint64_t>(pass_latency(target_, pass));
  b.send(QueueKind::HostSend, target_.vxm_position, drive, 0);
}

std::vector<RuleProgram> rule_programs(const Target& target) {
  RuleWriter writer(target);
  writer.streams();
  writer.memory();
  writer.ranges();
  writer.rows();
  writer.matrix();
  writer.chain();
  writer.queues();
  writer.encoding();
  writer.ports();
  return writer.take();
}

}  // namespace pianola::test
