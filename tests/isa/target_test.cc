#include "isa/target.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "isa/write_target_package.h"

namespace pianola {
namespace {

std::string small16_text() {
  std::ifstream file(PIANOLA_SOURCE_DIR "/tests/isa/targets/small16.toml");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

std::string problems(const std::string& text) {
  const auto target = parse_target(text, "x.toml");
  return target.ok() ? "accepted" : to_string(target.error());
}

#define EXPECT_CONTAINS(text, part) \
  EXPECT_NE(std::string(text).find(part), std::string::npos) << "in: " << (text)

TEST(Target, ShippedTargetsParse) {
  for (const char* name : {"sim16", "sim32", "duo16", "kv260", "tsp32", "tsp320", "u55c", "arty-a7-100t"}) {
    const auto target = load_target(name);
    ASSERT_TRUE(target.ok()) << to_string(target.error());
    EXPECT_EQ(target->name, name);
    const auto again = parse_target(canonical_text(*target), "canonical");
    ASSERT_TRUE(again.ok()) << to_string(again.error());
    EXPECT_EQ(canonical_text(*again), canonical_text(*target));
    EXPECT_FALSE(write_target_package(*target).empty());
  }
}

TEST(Target, TooBigForItsPartIsRefused) {
  const auto with_fpga = [](const std::string& section) {
    return problems(small16_text() + "\n[fpga]\n" + section + "\n");
  };
  EXPECT_CONTAINS(with_fpga("part = \"xc7a200t\""),
                  "fpga.part: expected one of \"lfe5u-85f\", \"xc7a100t\", \"xck26\", \"xcu55c\", "
                  "got \"xc7a200t\"");
  EXPECT_CONTAINS(with_fpga("beats = 3"), "fpga.beats: expected a power of two");
  EXPECT_CONTAINS(with_fpga("beats = 32"), "fpga.beats: expected an integer from 1 to 16, got 32");
  // Each resource that is short, with estimate, limit and advice.
  const std::string text = with_fpga("part = \"lfe5u-85f\"");
  EXPECT_CONTAINS(text, " LUTs, but 80 % of those of lfe5u-85f are 66912; use more beats");
  EXPECT_CONTAINS(text, " registers, but 80 % of those of lfe5u-85f are 66912; use fewer streams");
  EXPECT_CONTAINS(text, " multipliers, but 80 % of those of lfe5u-85f are 124; use more beats");
  // The same machine on a part where it fits, or on none.
  EXPECT_EQ(with_fpga("part = \"xcu55c\""), "accepted");
  EXPECT_EQ(with_fpga("beats = 4"), "accepted");
}

TEST(Target, BeatsAreThoseOfTheSynthesisForm) {
  auto target = parse_target(small16_text(), "x");
  ASSERT_TRUE(target.ok());
  EXPECT_EQ(target->beats, 1);
  EXPECT_CONTAINS(write_target_package(*target), "Beats = 1;");
  target->beats = 8;
  target->part = "xcu55c";
  EXPECT_CONTAINS(write_target_package(*target), "Beats = 8;");
  const auto again = parse_target(canonical_text(*target), "canonical");
  ASSERT_TRUE(again.ok()) << to_string(again.error());
  EXPECT_EQ(again->beats, 8);
  EXPECT_EQ(again->part, "xcu55c");
}

TEST(Target, NumbersOfSmall16) {
  const auto target = parse_target(small16_text(), "x");
  ASSERT_TRUE(target.ok());
  EXPECT_EQ(target->lanes, 16);
  EXPECT_EQ(target->positions(), 8);
  EXPECT_EQ(target->slices(), 16);
  EXPECT_EQ(target->clock_mhz, 200.0);
  EXPECT_EQ(target->vxm_stages, 0x7ffu);
  EXPECT_EQ(target->weights, Residence::Tape);
  EXPECT_EQ(target->kv, KvResidence::Port);
  EXPECT_EQ(target->w8.group, 32);
  EXPECT_EQ(target->w4.bits, 4);
  EXPECT_EQ(target->activation_group, 64);
}

TEST(Target, QueuesAreNumberedWestToEast) {
  const auto target = load_target(PIANOLA_SOURCE_DIR "/tests/isa/targets/small_duo16.toml");
  ASSERT_TRUE(target.ok());
  // MXM 0-1, SXM 2, four MEM of 8 queues 3-34, PORT 35-39, two VXM chains 40-41, MEM 42-73, SXM,
  // MXM
  EXPECT_EQ(target->queues.size(), 77u);
  EXPECT_EQ(target->first_queue,
            (std::vector<int>{0, 2, 3, 11, 19, 27, 35, 40, 42, 50, 58, 66, 74, 75}));
  EXPECT_EQ(target->queue_of(QueueKind::MxmLoad, 0), 0);
  EXPECT_EQ(target->queue_of(QueueKind::MxmMac, 0), 1);
  EXPECT_EQ(target->queue_of(QueueKind::MemRead, 0), 3);
  EXPECT_EQ(target->queue_of(QueueKind::MemWrite, 0), 7);
  EXPECT_EQ(target->queue_of(QueueKind::MemWrite, 31), 73);
  EXPECT_EQ(target->queue_of(QueueKind::TapeRecv, 0), 35);
  EXPECT_EQ(target->queue_of(QueueKind::HostSend, 0), 39);
  EXPECT_EQ(target->queue_of(QueueKind::VxmPass, 1), 41);
  EXPECT_EQ(target->queue_of(QueueKind::SxmMove, 1), 74);
  EXPECT_EQ(target->queue_of(QueueKind::MxmMac, 1), 76);
  EXPECT_EQ(target->slice_position(15), 5);
  EXPECT_EQ(target->slice_position(16), 8);
  EXPECT_EQ(target->port_position, 6);
  EXPECT_EQ(target->vxm_position, 7);
  const QueueInfo& queue = target->queues[73];
  EXPECT_EQ(queue.kind, QueueKind::MemWrite);
  EXPECT_EQ(queue.position, 11);
  EXPECT_EQ(queue.unit, 31);
  EXPECT_EQ(queue.slice, 3);
}

TEST(Target, CanonicalTextIsStable) {
  const auto target = parse_target(small16_text(), "x");
  ASSERT_TRUE(target.ok());
  EXPECT_EQ(canonical_text(*target).substr(0, 110),
            "name = \"small16\"\nlanes = 16\nstreams = 16\nclock_mhz = 200.0\nclock_source = "
            "\"assumed\"\n"
            "floorplan = [\"PORT\", \"VXM\"");
  Target other = *target;
  other.doc = "another description";
  EXPECT_EQ(canonical_text(other), canonical_text(*target));
  other.freeze_depth = 5;
  EXPECT_NE(canonical_text(other), canonical_text(*target));
  other.clock_source = "a \"board\" \\ measured";
  other.clock_mhz = 156.25;
  const auto again = parse_target(canonical_text(other), "x");
  ASSERT_TRUE(again.ok()) << to_string(again.error());
  EXPECT_EQ(again->clock_source, other.clock_source);
  EXPECT_EQ(again->clock_mhz, 156.25);
}

struct BadTarget {
  const char *from, *to, *expected;
};

TEST(Target, EveryProblemIsReported) {
  const char* const kPlan = R"("PORT", "VXM", "MEM", "MEM", "MEM", "MEM", "SXM", "MXM")";
  const BadTarget cases[] = {
      {"name = \"small16\"", "", "name: expected 1 to 64 of a-z, 0-9, _ and -, got nothing"},
      {"\"small16\"", "\"../small16\"", "name: expected 1 to 64 of a-z"},
      {"\"small16\"", "16", "name: expected 1 to 64 of a-z, 0-9, _ and -, got 16 (line 3)"},
      {"lanes = 16", "lanes = 18",
       "lanes: expected a multiple of 4 from 4 to 320, got 18 (line 5)"},
      {"lanes = 16", "lanes = 0", "lanes: expected a multiple of 4 from 4 to 320, got 0"},
      {"lanes = 16", "lanes = 324", "got 324"},
      {"lanes = 16", "lanes = 16.0", "lanes: expected a multiple of 4 from 4 to 320, got 16"},
      {"lanes = 16", "lanes = \"16\"", "got \"16\""},
      {"lanes = 16", "lanes = true", "got true"},
      {"lanes = 16", "lanes = [16]", "got an array"},
      {"lanes = 16", "lanes = {a=1}", "got a table"},
      {"lanes = 16", "lanes = 2020-01-01", "got a date"},
      {"lanes = 16", "lanes = 72", "lanes: expected a multiple of 16 above 64 lanes"},
      {"streams = 16", "streams = 15", "streams: expected an integer from 16 to 64, got 15"},
      {"streams = 16", "streams = 24", "streams: expected a power of two"},
      {"streams = 16", "streams = 128", "streams: expected an integer from 16 to 64, got 128"},
      {"clock_mhz = 200.0", "clock_mhz = 0", "clock_mhz: expected a number above 0"},
      {"clock_mhz = 200.0", "clock_mhz = nan", "clock_mhz: expected a number above 0"},
      {"clock_mhz = 200.0", "clock_mhz = \"fast\"", "clock_mhz: expected a number above 0"},
      {"\"assumed\"", "\"a\\nb\"", "clock_source: expected one line of text"},
      {"clock_source = \"assumed\"", "", "clock_source: expected one line of text"},
      {"doc = \"16 lanes", "doc = \"\\t16 lanes", "doc: expected one line of text"},
      {kPlan, "", "floorplan: expected an array of 1 to 256 units"},
      {kPlan, R"("PORT", "CPU", "MEM", "MXM")", "floorplan[1]: expected one of \"PORT\", \"VXM\""},
      {kPlan, R"("PORT", 7, "MEM", "MXM")", "floorplan[1]: expected one of"},
      {kPlan, R"("VXM", "MEM", "MXM")", "floorplan: expected exactly one PORT, got 0"},
      {kPlan, R"("PORT", "PORT", "VXM", "MEM", "MXM")",
       "floorplan: expected exactly one PORT, got 2"},
      {kPlan, R"("PORT", "MEM", "MXM")", "floorplan: expected exactly one VXM, got 0"},
      {kPlan, R"("PORT", "VXM", "VXM", "MEM", "MXM")",
       "floorplan: expected exactly one VXM, got 2"},
      {kPlan, R"("PORT", "VXM", "MXM")", "floorplan: expected at least one MEM"},
      {kPlan, R"("PORT", "VXM", "MEM")", "floorplan: expected at least one MXM"},
      {"slices_per_position = 4", "slices_per_position = 9",
       "mem.slices_per_position: expected an integer from 1 to 8"},
      {"words_per_slice = 4096", "words_per_slice = 4097",
       "mem.words_per_slice: expected a multiple of 2"},
      {"words_per_slice = 4096", "words_per_slice = 65538", "from 2 to 65536, got 65538"},
      {"load_streams = 4", "load_streams = 0",
       "mxm.load_streams: expected an integer from 1 to 64"},
      {"load_streams = 4", "load_streams = 17",
       "mxm.load_streams: expected at most the 16 streams, got 17"},
      {"load_streams = 4", "load_streams = 17",
       "mxm.load_streams: expected at most the 16 rows of a tile"},
      {"load_streams = 4", "load_streams = 17", "cannot feed the 17 load streams of 1 MXM"},
      {"load_streams = 4", "load_streams = 3",
       "lanes load fewer than twice the tape's 32 bytes per cycle"},
      {"load_streams = 4", "load_streams = 3", "use at least 4 load streams"},
      {"accumulators = 32", "accumulators = 129",
       "mxm.accumulators: expected an integer from 1 to 128"},
      {"chains = 1", "chains = 0", "vxm.chains: expected an integer from 1 to 8"},
      {"chains = 1\naccumulators = 32", "chains = 1\naccumulators = 65",
       "vxm.accumulators: expected an integer from 1 to 64"},
      {"\"tree\", ", "", "vxm.stages: expected \"tree\" beside \"root\""},
      {"\"round\"", "\"dance\"", "vxm.stages[10]: expected one of \"mul1\""},
      {"\"mul1\", \"mul2\"", "\"mul2\", \"mul2\"",
       "vxm.stages[1]: expected every stage at most once"},
      {"stages = [", "stages = 3 # [", "vxm.stages: expected an array"},
      {"depth = 16 ", "depth = 1 ", "queues.depth: expected an integer from 2 to 256, got 1"},
      {"freeze_depth = 4", "freeze_depth = 65",
       "ports.freeze_depth: expected an integer from 1 to 64"},
      {"width_vectors = 4", "width_vectors = 16",
       "ports.width_vectors: expected an integer from 1 to 15"},
      {"tape_bytes_per_cycle = 32", "tape_bytes_per_cycle = 80",
       "ports.tape_bytes_per_cycle: expected at most 64"},
      {"tape_bytes_per_cycle = 32", "tape_bytes_per_cycle = 24",
       "expected a whole multiple or a whole part of a vector of 16 bytes, got 24"},
      {"kv_bytes_per_cycle = 16", "kv_bytes_per_cycle = 0",
       "ports.kv_bytes_per_cycle: expected an integer from 1"},
      {"host_bytes_per_cycle = 64", "host_bytes_per_cycle = 65",
       "ports.host_bytes_per_cycle: expected at most 64"},
      {"instruction_bytes_per_cycle = 8", "instruction_bytes_per_cycle = 5",
       "expected 1, 2, 4, 8, 16 or 32"},
      {"instruction_bytes_per_cycle = 8", "instruction_bytes_per_cycle = 64",
       "from 1 to 32, got 64"},
      {"instruction_fifo_words = 64", "instruction_fifo_words = 1",
       "ports.instruction_fifo_words: expected an integer from 2"},
      {"instruction_fifo_words = 64", "instruction_fifo_words = 64\nmemory_bytes_per_cycle = 39",
       "ports.memory_bytes_per_cycle: expected at least 40"},
      {"instruction_fifo_words = 64", "instruction_fifo_words = 64\nmemory_bytes_per_cycle = 0",
       "ports.memory_bytes_per_cycle: expected an integer from 1"},
      {"tape_fifo_vectors = 512", "tape_fifo_vectors = 7",
       "ports.tape_fifo_vectors: expected at least 8"},
      {"kv_fifo_vectors = 64", "kv_fifo_vectors = 4", "ports.kv_fifo_vectors: expected at least 8"},
      {"host_fifo_vectors = 64", "host_fifo_vectors = 2",
       "ports.host_fifo_vectors: expected at least 8"},
      {"residence = \"tape\"", "residence = \"disk\"",
       "weights.residence: expected one of \"tape\", \"mem\", got \"disk\""},
      {"residence = \"port\"", "residence = \"tape\"",
       "kv.residence: expected one of \"port\", \"mem\""},
      {"scale = \"f16\"", "scale = \"f32\"", "weights.scale: expected one of \"f16\", \"bf16\""},
      {"w8 = { bits = 8, group = 32 }", "",
       "weights.w8.bits: expected an integer from 8 to 8, got nothing"},
      {"w8 = { bits = 8, group = 32 }", "w8 = 8", "weights.w8: expected a table, got 8"},
      {"w8 = { bits = 8,", "w8 = { bits = 7,",
       "weights.w8.bits: expected an integer from 8 to 8, got 7"},
      {"w8 = { bits = 8, group = 32", "w8 = { bits = 8, group = 8",
       "weights.w8.group: expected 0 (one scale per output channel) or 16, 32, 48, ... (whole "
       "windows of lanes), got 8; a sum over the lanes would mix groups"},
      {"w4 = { bits = 4, group = 32", "w4 = { bits = 4, group = 40",
       "weights.w4.group: expected 0"},
      {"w4 = { bits = 4, group = 32", "w4 = { bits = 4, group = 48",
       "weights.w4.group: expected a multiple or a whole part of activations.group 64"},
      {"w4 = { bits = 4, group = 32", "w4 = { bits = 4, size = 32",
       "\"weights.w4.size\": no such key"},
      {"group = 64 ", "group = 40 ", "activations.group: expected 16, 32, 48"},
      {"group = 64 ", "group = 0 ", "activations.group: expected an integer from 4"},
      {"lanes = 16", "lanes = 16\nturbo = true", "\"turbo\": no such key (line 6); remove it"},
      {"[mem]", "[mem]\nbanks = 2", "\"mem.banks\": no such key"},
      {"[mem]", "[extra]\nx = 1\n[mem]", "\"extra\": no such key"},
      {"[mxm]", "[[mxm]]", "mxm: expected a table, got an array"},
      {"[mem]", "[mem", "not TOML"},
  };
  for (const BadTarget& c : cases) {
    EXPECT_CONTAINS(problems(replaced(small16_text(), c.from, c.to)), c.expected);
  }
}

TEST(Target, AllProblemsComeTogether) {
  std::string text = replaced(small16_text(), "lanes = 16", "lanes = 7");
  text = replaced(text, "depth = 16 ", "depth = 1 ");
  text = replaced(text, "\"port\"", "\"moon\"");
  text = replaced(text, "[mem]", "[mem]\nspeed = 1");
  const std::string message = problems(text);
  EXPECT_CONTAINS(message, "x.toml: lanes: expected");
  EXPECT_CONTAINS(message, "queues.depth");
  EXPECT_CONTAINS(message, "kv.residence");
  EXPECT_CONTAINS(message, "mem.speed");
  EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 3) << message;
}

TEST(Target, TooManyQueuesAreRefused) {
  std::string plan = "\"PORT\", \"VXM\", \"MXM\"";
  for (int i = 0; i < 130; ++i) plan += ", \"MEM\"";
  const std::string text =
      replaced(small16_text(), R"("PORT", "VXM", "MEM", "MEM", "MEM", "MEM", "SXM", "MXM")", plan);
  EXPECT_CONTAINS(problems(text), "1048 queues, but an instruction can name 1024");
  EXPECT_CONTAINS(problems("\n\xc3\xa9 = 1"), "x.toml:2: expected ASCII text");
  EXPECT_CONTAINS(problems(std::string(70000, '#')), "expected a target of at most 65536 bytes");
}

TEST(Target, PerChannelScalesAndIntegerClocksAreAccepted) {
  std::string text =
      replaced(small16_text(), "w8 = { bits = 8, group = 32", "w8 = { bits = 8, group = 0");
  text = replaced(text, "200.0", "200");
  const auto target = parse_target(text, "x");
  ASSERT_TRUE(target.ok()) << to_string(target.error());
  EXPECT_EQ(target->w8.group, 0);
}

TEST(LoadTarget, FindsNamesAndPaths) {
  const auto by_path = load_target(PIANOLA_SOURCE_DIR "/targets/sim32.toml");
  ASSERT_TRUE(by_path.ok());
  EXPECT_EQ(by_path->lanes, 32);
  const auto missing = load_target("sim17");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, ErrorCode::NotFound);
  EXPECT_CONTAINS(missing.error().message, "no target \"sim17\"; tried ");
  EXPECT_FALSE(load_target("/nowhere/x.toml").ok());
}

TEST(LoadTarget, LooksFirstWhereTheEnvironmentSays) {
  const auto folder =
      std::filesystem::path(testing::TempDir()) / ("targets" + std::to_string(getpid()));
  std::filesystem::create_directory(folder);
  std::ofstream(folder / "sim16.toml") << replaced(
      replaced(small16_text(), "clock_mhz = 200", "clock_mhz = 50"), "small16\"", "sim16\"");
  std::ofstream(folder / "mine.toml") << small16_text();
  setenv("PIANOLA_TARGETS", folder.c_str(), 1);
  const auto target = load_target("sim16");
  ASSERT_TRUE(target.ok());
  EXPECT_EQ(target->clock_mhz, 50.0);
  const auto renamed = load_target("mine");
  ASSERT_FALSE(renamed.ok());
  EXPECT_CONTAINS(renamed.error().message,
                  "expected name = \"mine\" like the file, got \"small16\"");
  EXPECT_TRUE(load_target("duo16").ok());  // the shipped ones are still found
  unsetenv("PIANOLA_TARGETS");
  std::filesystem::remove_all(folder);
}

TEST(TargetNames, AreThoseOfAllFoldersThatCanBeRead) {
  const auto folder =
      std::filesystem::path(testing::TempDir()) / ("names" + std::to_string(getpid()));
  std::filesystem::create_directory(folder);
  std::ofstream(folder / "mine.toml") << small16_text();
  std::ofstream(folder / "mine.txt") << "";
  setenv("PIANOLA_TARGETS", folder.c_str(), 1);
  const auto names = target_names();
  ASSERT_TRUE(names.ok());
  EXPECT_EQ(std::count(names->begin(), names->end(), "mine"), 1);
  EXPECT_EQ(std::count(names->begin(), names->end(), "sim16"), 1);
  EXPECT_TRUE(std::is_sorted(names->begin(), names->end()));
  for (const auto& bad : {folder / "mine.toml", folder / "absent"}) {
    setenv("PIANOLA_TARGETS", bad.c_str(), 1);
    const auto others = target_names();
    ASSERT_TRUE(others.ok()) << bad;
    EXPECT_EQ(others->size() + 1, names->size()) << bad;
  }
  unsetenv("PIANOLA_TARGETS");
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace pianola
