#include "tests/support/random_program.h"

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <set>

#include "isa/instruction_tables.h"
#include "tests/support/tiny_targets.h"
#include "verifier/verify_roll.h"

namespace pianola {
namespace {

std::vector<Target> all_targets() {
  std::vector<Target> targets = test::odd_targets();
  for (const char* name : {"sim16", "sim32", "duo16"}) {
    targets.push_back(
        load_target(std::string(PIANOLA_SOURCE_DIR) + "/targets/" + name + ".toml").value());
  }
  return targets;
}

std::string_view unit_of(QueueKind kind) {
  switch (kind) {
    case QueueKind::TapeRecv:
    case QueueKind::KvRecv:
    case QueueKind::HostRecv: return "PORT_RECV";
    case QueueKind::KvSend:
    case QueueKind::HostSend: return "PORT_SEND";
    case QueueKind::VxmPass: return "VXM";
    case QueueKind::MemRead:
    case QueueKind::MemWrite: return "MEM";
    case QueueKind::SxmMove: return "SXM";
    case QueueKind::MxmLoad: return "MXM_LOAD";
    case QueueKind::MxmMac: return "MXM_MAC";
  }
  return "";
}

TEST(RandomProgram, IsAcceptedAtFirstTryAndDoesNotChangeWithTheRun) {
  for (const Target& target : all_targets()) {
    int accepted = 0;
    constexpr int kPrograms = 20;
    for (uint64_t seed = 0; seed < kPrograms; ++seed) {
      const Roll roll = test::write_random_program(target, seed);
      const VerifyReport report = verify_roll(roll);
      accepted += report.ok() ? 1 : 0;
      EXPECT_TRUE(report.ok()) << target.name << " seed " << seed << "\n" << to_string(report);
      EXPECT_GT(roll.metadata.entries[0].host_send_vectors, 0u);
      EXPECT_EQ(roll.owned_words, test::write_random_program(target, seed).owned_words);
    }
    EXPECT_GE(accepted, kPrograms * 19 / 20) << target.name;
  }
}

// Every value of every field that names its values, every loop level, every queue.
TEST(RandomProgram, CoversTheInstructionSet) {
  std::map<std::string, std::set<uint32_t>> seen;
  const std::vector<Target> targets = all_targets();
  for (const Target& target : targets) {
    std::set<uint32_t> queues;
    for (uint64_t seed = 100; seed < 500; ++seed) {
      const Roll roll = test::write_random_program(target, seed);
      for (const Word& word : roll.words) {
        const Header header = decode_header(word);
        if (header.kind != WordKind::Push) continue;
        const QueueKind kind = target.queues[header.queue].kind;
        for (uint32_t k = 0; k < 8; ++k) {
          if ((header.mask >> k & 1) != 0) queues.insert(header.queue + k);
        }
        const std::string unit(unit_of(kind));
        for (const UnitInfo& info : kUnits) {
          if (info.name != unit) continue;
          for (const FieldInfo& field : info.fields) {
            seen[unit + "." + std::string(field.name)].insert(detail::get(word, field.lsb, field.bits));
          }
        }
        const Timing timing = detail::get_timing(word);
        seen[unit + ".levels"].insert((timing.n1 > 0) + 2 * (timing.n2 > 0) + 4 * (timing.n3 > 0));
        seen["mask"].insert(header.mask);
      }
    }
    for (uint32_t queue = 0; queue < target.queues.size(); ++queue) {
      EXPECT_TRUE(queues.count(queue)) << target.name << ": nothing is pushed into queue " << queue;
    }
  }
  for (const UnitInfo& info : kUnits) {
    for (const FieldInfo& field : info.fields) {
      const std::string name = std::string(info.name) + "." + std::string(field.name);
      for (size_t value = 0; value < field.values.size(); ++value) {
        // No target here has 128 lanes or more.
        if (field.values[value] == "S128" || field.values[value] == "S256") continue;
        EXPECT_TRUE(seen[name].count(static_cast<uint32_t>(value)))
            << name << " = " << field.values[value] << " never occurs";
      }
      EXPECT_GT(seen[name].size(), 1u) << name << " is always the same";
    }
    if (info.name != "MXM_LOAD") {
      EXPECT_EQ(seen[std::string(info.name) + ".levels"].size(), 8u) << info.name;
    }
  }
  EXPECT_GT(seen["mask"].size(), 2u);
}

TEST(RandomProgram, RegistersLieWithinTheirDeclarations) {
  const Target target = test::tiny_target();
  const Roll roll = test::random_program(target, 5);
  const Entry& entry = roll.metadata.entries[0];
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const std::vector<uint32_t> values = test::random_registers(entry, seed);
    for (const RegisterDeclaration& r : entry.registers) {
      EXPECT_GE(values[static_cast<size_t>(r.index)], r.minimum);
      EXPECT_LE(values[static_cast<size_t>(r.index)], r.maximum);
    }
  }
}

}  // namespace
}  // namespace pianola
