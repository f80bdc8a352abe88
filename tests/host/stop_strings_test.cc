#include "host/stop_strings.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace pianola {
namespace {

struct Shown {
  std::string text;
  std::string matched;
};

// The text in pieces of a size.
Shown show(const std::vector<std::string>& strings, const std::string& text, std::size_t size) {
  StopStrings stop(strings);
  Shown shown;
  for (std::size_t i = 0; i < text.size() && !stop.found(); i += size) {
    shown.text += stop.push(text.substr(i, size));
  }
  if (!stop.found()) shown.text += stop.flush();
  shown.matched = stop.matched();
  return shown;
}

TEST(StopStrings, EndsBeforeTheFirstWhereverThePiecesEnd) {
  for (std::size_t size = 1; size < 12; ++size) {
    const Shown shown = show({"END", "\n\n"}, "once EN ENDED\n\nmore", size);
    EXPECT_EQ(shown.text, "once EN ") << size;
    EXPECT_EQ(shown.matched, "END");
    EXPECT_EQ(show({"aab"}, "aaab", size).text, "a");
    EXPECT_EQ(show({"xyz"}, "ends in xy", size).text, "ends in xy");
    EXPECT_EQ(show({}, "nothing", size).text, "nothing");
  }
}

TEST(StopStrings, TakesTheOneThatIsCompleteFirst) {
  for (std::size_t size = 1; size < 8; ++size) {
    EXPECT_EQ(show({"bcd", "c"}, "abcd", size).text, "ab") << size;
    EXPECT_EQ(show({"cd", "bcd"}, "abcd", size).text, "a") << size;
  }
}

TEST(StopStrings, HoldsBackNoMoreThanItMust) {
  StopStrings stop({"stop"});
  EXPECT_EQ(stop.push("go s"), "go ");
  EXPECT_EQ(stop.push("to"), "");
  EXPECT_EQ(stop.push("op stop here"), "stoop ");
  EXPECT_TRUE(stop.found());
  EXPECT_EQ(stop.push("more"), "");
}

}  // namespace
}  // namespace pianola
