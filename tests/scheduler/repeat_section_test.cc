// Layers are placed as copies at a fixed period, and take what layers take that are placed one by one.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "compiler/import/import_hugging_face.h"
#include "compiler/lower/lower_graph.h"
#include "compiler/passes/quantize_graph.h"
#include "scheduler/schedule.h"

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

INSTANTIATE_TEST_SUITE_P(Targets, RepeatSectionTest, testing::Values("sim16", "sim32"));

}  // namespace
}  // namespace pianola
