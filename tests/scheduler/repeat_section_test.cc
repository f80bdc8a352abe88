// Layers are placed as copies at a fixed period, and take what layers take that are placed one by one.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "compiler/import/import_hugging_face.h"
#include "compiler/lower/lower_graph.h"
#include "compiler/passes/quantize_graph.h"
#include "emulator/schedule_issues.h"
#include "scheduler/schedule.h"
#include "scheduler/stretches.h"

namespace pianola {
namespace {

Graph graph_of(int layers) {
  const std::string config =
      R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 96, "intermediate_size": 160,
          "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 40000,
          "num_hidden_layers": )" +
      std::to_string(layers) + "}";
  return import_configuration(config, "test").value();
}

VectorProgram program_of(int layers, const Target& target, const EntryShape& shape) {
  QuantizeOptions options;
  options.context = 128;
  const QuantizedGraph graph = quantize_graph(graph_of(layers), target, options).value();
  VectorProgram program =
      lower_entry(graph, target, shape, build_data_tape(graph, target)).program;
  EXPECT_TRUE(allocate_memory(program, target).ok());
  return program;
}

class RepeatSectionTest : public testing::TestWithParam<const char*> {
 protected:
  const Target target_ = load_target(GetParam()).value();
  const EntryShape decode_{EntryKind::Decode, 1, 128}, verify_{EntryKind::Verify, 4, 128};
};

TEST_P(RepeatSectionTest, CopiesHaveOnePeriod) {
  for (const EntryShape& shape : {decode_, verify_}) {
    const VectorProgram program = program_of(12, target_, shape);
    const Schedule schedule = place_operations(program, target_).value();
    std::vector<int64_t> at(program.operations.size());
    for (const Schedule::Placement& p : schedule.placements) at[p.operation] = p.first;
    const std::vector<SectionRun> runs = section_runs(program);
    ASSERT_FALSE(runs.empty());
    for (const SectionRun& run : runs) {
      std::set<int64_t> periods;
      for (int section = run.first + 2; section < run.first + run.count; ++section) {
        const int here = program.sections[section].first, end = section_end(program, section);
        const int before = program.sections[section - 1].first;
        for (int i = 0; i < end - here; ++i) periods.insert(at[here + i] - at[before + i]);
      }
      EXPECT_EQ(periods.size(), 1u) << program.sections[run.first].group;
    }
  }
}

// What is placed as copies is at most one per cent slower than what is placed by itself.
TEST_P(RepeatSectionTest, CopiesCostLittle) {
  for (const EntryShape& shape : {decode_, verify_}) {
    VectorProgram program = program_of(12, target_, shape);
    const int64_t copied = place_operations(program, target_).value().end;
    program.sections.clear();
    const int64_t single = place_operations(program, target_).value().end;
    EXPECT_LE(copied, single + single / 100);
    std::printf("%s, %d tokens: %lld cycles, %lld without copies\n", GetParam(), shape.tokens,
                static_cast<long long>(copied), static_cast<long long>(single));
  }
}

// Cycles in which each queue issues, counted back from the end.
std::vector<std::vector<uint64_t>> issues_of(const EncodedEntry& entry, const Target& target) {
  const IssueSchedule schedule = schedule_issues(target, entry.words).value();
  EXPECT_EQ(schedule.end_cycle + 1, entry.cycles);
  std::vector<std::vector<uint64_t>> issues;
  for (const auto& queue : schedule.queues) {
    issues.emplace_back();
    for (IssueCursor cursor(queue); !cursor.done(); cursor.advance()) {
      issues.back().push_back(schedule.end_cycle - cursor.cycle());
    }
  }
  return issues;
}

// Copies that the schedule only counts are executed as those that it holds.
TEST_P(RepeatSectionTest, StretchesIssueWhatTheyStandFor) {
  for (const EntryShape& shape : {decode_, verify_}) {
    const VectorProgram program = program_of(24, target_, shape);
    const Schedule schedule = place_operations(program, target_).value();
    ASSERT_FALSE(schedule.stretches.empty());
    EXPECT_EQ(schedule.placements.size(), program.operations.size());
    const Schedule whole = without_stretches(schedule);
    const EncodedEntry entry = encode_schedule(schedule, target_).value();
    EXPECT_EQ(issues_of(entry, target_), issues_of(encode_schedule(whole, target_).value(), target_));
    // Layers need as many instructions each, however many there are.
    const VectorProgram shorter = program_of(22, target_, shape);
    const Schedule less = place_operations(shorter, target_).value();
    size_t written = 0, written_less = 0;
    for (const auto& queue : schedule.queues) written += queue.size();
    for (const auto& queue : less.queues) written_less += queue.size();
    EXPECT_EQ(written, written_less);
  }
}

// Ten pushes in a rhythm of ten cycles, a stretch of two periods.
class RepeatPushesTest : public testing::Test {
 protected:
  RepeatPushesTest() {
    for (int i = 0; i < 10; ++i) {
      Push push;
      push.slot = 10 * i;
      push.instruction.first = 10 * i + 5;
      push.instruction.instruction = MxmMacInstruction{};
      pushes_.push_back(push);
    }
    stretch_.begin = 60;
    stretch_.length = 20;
    stretch_.times = 3;
  }
  std::vector<PushRange> ranges() const { return repeat_pushes(pushes_, {&stretch_, 1}, 0); }

  std::vector<Push> pushes_;
  Schedule::Stretch stretch_;
};

TEST_F(RepeatPushesTest, InsertsWhatRepeats) {
  const std::vector<PushRange> found = ranges();
  std::vector<int64_t> slots;
  for (const PushRange& range : found) {
    for (size_t i = range.begin; i < range.end; ++i) slots.push_back(pushes_[i].slot + range.later);
  }
  std::vector<int64_t> expected;
  for (int i = 0; i < 16; ++i) expected.push_back(10 * i);
  EXPECT_EQ(slots, expected);
}

TEST_F(RepeatPushesTest, RefusesWhatDoesNot) {
  const std::vector<Push> good = pushes_;
  const auto refuses = [&](auto&& change) {
    pushes_ = good;
    change(pushes_);
    return ranges().empty();
  };
  EXPECT_FALSE(refuses([](auto&) {}));
  EXPECT_TRUE(refuses([](auto& p) { ++p[5].slot; }));
  EXPECT_TRUE(refuses([](auto& p) { ++p[3].instruction.first; }));
  EXPECT_TRUE(refuses([](auto& p) { p[4].instruction.mask = 3; }));
  EXPECT_TRUE(refuses([](auto& p) { p[5].instruction.queue = 1; }));
  EXPECT_TRUE(refuses([](auto& p) {
    std::get<MxmMacInstruction>(p[2].instruction.instruction).acc = 1;
  }));
  EXPECT_TRUE(refuses([](auto& p) { p.erase(p.begin() + 3); }));
  // In its queue for more than a period, from before or every time.
  const auto stays = [](Push& push) {
    push.instruction.count[0] = 4;
    push.instruction.period[0] = 10;
  };
  EXPECT_TRUE(refuses([&](auto& p) { stays(p[1]); }));
  EXPECT_TRUE(refuses([&](auto& p) {
    stays(p[3]);
    stays(p[5]);
  }));
}

INSTANTIATE_TEST_SUITE_P(Targets, RepeatSectionTest, testing::Values("sim16", "sim32"));

}  // namespace
}  // namespace pianola
