#include "verifier/verify_roll.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/build_program.h"
#include "tests/support/tiny_targets.h"

namespace pianola {
namespace {

using test::ProgramBuilder;

constexpr uint64_t kBegin = 64;

// Receives `vectors` from the host and sends them back by way of MEM.
Roll echo(const Target& target, int vectors) {
  ProgramBuilder b(target);
  const int slice = target.slice_position(0), port = target.port_position;
  for (int i = 0; i < vectors; ++i) {
    b.fill(kBegin + static_cast<uint64_t>(4 * i), 0, i);
    const uint64_t issue = kBegin + 200 + static_cast<uint64_t>(4 * i);
    b.send(QueueKind::HostSend, slice, b.read(0, issue, test::toward(slice, port), 0, i), 0);
  }
  CHECK(b.build());
  return b.finish("echo");
}

// Reads word `word` of slice 0 through register 1, and nothing else.
Roll reader(const Target& target, EntryKind kind, int word, uint32_t maximum = 0) {
  ProgramBuilder b(target);
  MemInstruction x;
  x.op = MemOp::Read;
  x.address = static_cast<uint32_t>(word);
  if (maximum > 0) {
    b.declare(1, 0, maximum);
    x.reg = 1;
  }
  b.push(b.queue(QueueKind::MemRead), kBegin, x);
  CHECK(b.build());
  b.entry().kind = kind;
  return b.finish("reader");
}

void add_region(Roll& roll, const std::string& name, int first, int words) {
  roll.metadata.persistent.push_back({name, 0, first, words});
}

TEST(VerifyRoll, CountsCyclesIssuesOccupancyAndPorts) {
  const Target target = test::tiny_target();
  const Roll roll = echo(target, 3);
  const VerifyReport report = verify_roll(roll);
  ASSERT_TRUE(report.ok()) << to_string(report);
  ASSERT_EQ(report.entries.size(), 1u);
  const EntryFacts& facts = report.entries[0];
  EXPECT_EQ(facts.cycles, roll.metadata.entries[0].cycles);
  const QueueFacts& reads = facts.queues[static_cast<size_t>(target.queue_of(QueueKind::MemRead, 0))];
  EXPECT_EQ(reads.instructions, 3u);
  EXPECT_EQ(reads.issues, 3u);
  EXPECT_GE(reads.peak_occupancy, 1);
  const PortFacts& host = facts.ports[static_cast<size_t>(PortKind::HostReceive)];
  EXPECT_EQ(host.moved, 3u);
  EXPECT_EQ(host.level_bytes_min, (target.host_fifo_vectors - 1) * target.lanes);
  EXPECT_EQ(facts.ports[static_cast<size_t>(PortKind::HostSend)].moved, 3u);
  EXPECT_EQ(facts.ports[static_cast<size_t>(PortKind::Instructions)].moved, roll.words.size());
}

TEST(VerifyRoll, ReportsAnEntryOfOtherCyclesThanItsEnd) {
  const Target target = test::tiny_target();
  Roll roll = echo(target, 1);
  ++roll.metadata.entries[0].cycles;
  const VerifyReport report = verify_roll(roll);
  EXPECT_TRUE(report.violations.empty());
  ASSERT_EQ(report.problems.size(), 1u);
  EXPECT_NE(report.problems[0].find("cycles"), std::string::npos);
}

TEST(VerifyRoll, ReportsAPortThatDeliversMoreThanIsTaken) {
  const Target target = test::tiny_target();
  Roll roll = echo(target, 1);
  ++roll.metadata.entries[0].host_receive_vectors;
  const VerifyReport report = verify_roll(roll);
  EXPECT_TRUE(report.violations.empty());
  EXPECT_EQ(report.problems.size(), 1u);
}

TEST(VerifyRoll, BoundsSegmentsForAllValuesOfTheirParameter) {
  const Target target = test::tiny_target();
  ProgramBuilder b(target);
  b.declare(1, 0, 9);
  b.receive(QueueKind::TapeRecv, kBegin, 0, 4);
  ASSERT_TRUE(b.build());
  Roll roll = b.finish("segments");
  Segment& segment = roll.metadata.entries[0].tape[0];
  segment = {.base = 3, .count = 1, .repeat = 4, .stride = -1, .parameter = 1,
             .parameter_stride = 1, .limit = 0};
  EXPECT_TRUE(verify_roll(roll).ok());
  segment.limit = 1;  // only with the parameter at 1 or more the first vector is the fifth of four
  EXPECT_TRUE(verify_roll(roll).only(Rule::PortExhausted));
  segment.base = 2;  // and now the last one is before the first
  EXPECT_TRUE(verify_roll(roll).only(Rule::PortExhausted));
  segment = {.base = 0, .count = 4, .repeat = 1, .stride = INT64_MIN, .parameter = 7,
             .parameter_stride = UINT64_MAX, .limit = UINT32_MAX};
  EXPECT_EQ(verify_roll(roll).problems.size(), 1u);  // not declared
  segment.parameter = 1;
  EXPECT_TRUE(verify_roll(roll).only(Rule::PortExhausted));
}

TEST(VerifyRoll, TakesAnUndeclaredRegisterForAnyValue) {
  const Target target = test::tiny_target();
  Roll roll = reader(target, EntryKind::Decode, 0, 1);
  roll.metadata.entries[0].registers.clear();
  EXPECT_TRUE(verify_roll(roll).only(Rule::AddressRange));
}

TEST(VerifyRoll, CountsPersistentWordsThatTheLoadWrites) {
  const Target target = test::tiny_target();
  Roll roll = reader(target, EntryKind::Decode, 2);
  EXPECT_TRUE(verify_roll(roll).only(Rule::MemoryUndefined));
  add_region(roll, "weights", 0, 8);
  EXPECT_TRUE(verify_roll(roll).only(Rule::MemoryUndefined));
  // A load entry that writes words 0, 1 and 2.
  Roll load = echo(target, 3);
  Entry entry = load.metadata.entries[0];
  entry.kind = EntryKind::Load;
  entry.name = "load";
  entry.first_word = roll.owned_words.size();
  roll.owned_words.insert(roll.owned_words.end(), load.words.begin(), load.words.end());
  roll.words = roll.owned_words;
  roll.metadata.entries.push_back(entry);
  EXPECT_TRUE(verify_roll(roll).ok()) << to_string(verify_roll(roll));
  EXPECT_TRUE(verify_entry(roll, roll.metadata.entries[0]).ok());
  roll.metadata.persistent[0].first_word = 3;  // no longer kept
  EXPECT_TRUE(verify_roll(roll).only(Rule::MemoryUndefined));
}

TEST(VerifyRoll, CountsKvRegionsAsWrittenButNotInTheLoad) {
  const Target target = test::tiny_target();
  Roll roll = reader(target, EntryKind::Decode, 2, 5);
  add_region(roll, "kv", 0, 8);
  EXPECT_TRUE(verify_roll(roll).ok());
  roll.metadata.persistent[0].words = 7;  // the register reaches word 7
  EXPECT_TRUE(verify_roll(roll).only(Rule::MemoryUndefined));
  Roll load = reader(target, EntryKind::Load, 2);
  add_region(load, "kv", 0, 8);
  EXPECT_TRUE(verify_roll(load).only(Rule::MemoryUndefined));
}

TEST(VerifyRoll, DoesNotDependOnThreads) {
  const Target target = test::tiny_target();
  Roll roll = echo(target, 3);
  for (int i = 0; i < 9; ++i) {
    Entry entry = roll.metadata.entries[0];
    entry.name = "echo" + std::to_string(i);
    entry.cycles += static_cast<uint64_t>(i % 2);
    if (i % 3 == 0) entry.host_receive_vectors = 1;
    roll.metadata.entries.push_back(entry);
  }
  const std::string one = to_string(verify_roll(roll, {.threads = 1}));
  EXPECT_FALSE(one.empty());
  EXPECT_EQ(one, to_string(verify_roll(roll, {.threads = 7})));
}

TEST(VerifyRoll, RefusesWhatIsBeyondItsLimits) {
  const Target target = test::tiny_target();
  Roll roll = echo(target, 3);
  EXPECT_FALSE(verify_roll(roll, {.cycles_max = 10}).problems.empty());
  EXPECT_FALSE(verify_roll(roll, {.words_max = 3}).problems.empty());
  EXPECT_FALSE(verify_roll(roll, {.issues_max = 2}).problems.empty());
  roll.metadata.entries[0].first_word = UINT64_MAX;
  EXPECT_FALSE(verify_roll(roll).problems.empty());
}

TEST(VerifyRoll, KeepsNoMoreViolationsThanAsked) {
  const Target target = test::tiny_target();
  ProgramBuilder b(target);
  for (int i = 0; i < 20; ++i) b.read(0, kBegin + static_cast<uint64_t>(32 * i), Direction::East, 0, i);
  ASSERT_TRUE(b.build());
  EXPECT_EQ(verify_roll(b.finish("many"), {.violations_max = 5}).violations.size(), 5u);
}

TEST(VerifyRoll, NamesEntryCycleUnitAndWord) {
  const Target target = test::tiny_target();
  const VerifyReport report = verify_roll(reader(target, EntryKind::Decode, 2));
  ASSERT_EQ(report.violations.size(), 1u);
  EXPECT_EQ(to_string(report.violations[0]),
            "entry reader, cycle 64, MEM slice 0 read (queue 6), word 0: memory_undefined: words 2 to 2 "
            "are not surely written before they are read");
}

}  // namespace
}  // namespace pianola
