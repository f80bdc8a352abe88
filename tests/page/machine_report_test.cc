#include "host/page/machine_report.h"

#include <gtest/gtest.h>

#include <random>

#include "emulator/unit_activity.h"
#include "host/page/page_files.h"
#include "tests/support/expect_error.h"

namespace pianola {
namespace {

// Against a walk over the issues one by one.
TEST(CountIssues, CountsWhatTheCursorPasses) {
  std::mt19937_64 random(3);
  const auto below = [&](std::uint64_t limit) {
    return static_cast<std::uint32_t>(random() % limit);
  };
  for (int round = 0; round < 500; ++round) {
    std::vector<TimedInstruction> instructions;
    std::uint64_t start = 0;
    for (int i = 0; i < 20; ++i) {
      MemInstruction instruction;
      Timing& t = instruction.timing;
      t.n1 = below(6);
      t.p1 = 1 + below(3);
      t.n2 = below(3);
      t.p2 = (t.n1 + 1) * t.p1 + below(5);
      t.n3 = below(3);
      t.p3 = (t.n2 + 1) * t.p2 + below(5);
      start += below(30);
      instructions.push_back({instruction, start});
      start += timing_span(t) + 1;
    }
    ActivityWindow window;
    window.from = below(start);
    window.to = window.from + 1 + below(start);
    window.cycles_per_bin = 1 + below(40);
    std::vector<std::uint32_t> expected((window.to - window.from + window.cycles_per_bin - 1) /
                                        window.cycles_per_bin);
    if (expected.size() > kActivityBinsMax) continue;
    for (IssueCursor cursor(instructions); !cursor.done(); cursor.advance()) {
      if (cursor.cycle() < window.from || cursor.cycle() >= window.to) continue;
      ++expected[(cursor.cycle() - window.from) / window.cycles_per_bin];
    }
    ASSERT_EQ(count_issues(instructions, window), expected) << "round " << round;
  }
}

TEST(TimelineQuery, ReadsWhatThePageAsks) {
  const auto query = parse_timeline_query("entry=decode%40256&from=10&to=20&bins=7");
  ASSERT_TRUE(query.ok());
  EXPECT_EQ(query->entry, "decode@256");
  EXPECT_EQ(query->from, 10u);
  EXPECT_EQ(query->to, 20u);
  EXPECT_EQ(query->bins, 7u);
  expect_error(parse_timeline_query("x=1"), ErrorCode::InvalidArgument,
               "there are entry, from, to and bins");
  expect_error(parse_timeline_query("from=-1"), ErrorCode::InvalidArgument,
               "from: must be a number");
  expect_error(parse_timeline_query("bins=99999999999999999999"), ErrorCode::InvalidArgument,
               "bins");
  expect_error(parse_timeline_query("from=%3"), ErrorCode::InvalidArgument, "from");
}

TEST(PageFiles, AreEmbedded) {
  const PageFile* page = find_page_file("/");
  ASSERT_NE(page, nullptr);
  EXPECT_TRUE(page->content.starts_with("<!doctype html>"));
  EXPECT_TRUE(page->content.ends_with("</html>\n"));
  EXPECT_EQ(find_page_file("/page/page.js")->content_type, "text/javascript; charset=utf-8");
  EXPECT_EQ(find_page_file("/page/../page.js"), nullptr);
  EXPECT_EQ(find_page_file("/index.html"), nullptr);
  for (const PageFile& file : page_files()) {  // nothing comes from elsewhere
    EXPECT_FALSE(file.content.empty()) << file.path;
    const bool may_name_a_host = file.path.ends_with(".svg");  // its namespace
    EXPECT_TRUE(may_name_a_host || file.content.find("://") == std::string_view::npos) << file.path;
  }
}

}  // namespace
}  // namespace pianola
