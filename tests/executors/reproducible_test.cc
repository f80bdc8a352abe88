// Equal models, targets and options make equal rolls, byte for byte, whatever the number of threads.
// (Whatever the compiler: compare_compilers.cmake.)
#include <gtest/gtest.h>

#include "tests/executors/play_model.h"

namespace pianola::test {
namespace {

class ReproducibleTest : public testing::TestWithParam<const char*> {};

TEST_P(ReproducibleTest, WithAnyNumberOfThreads) {
  if (model_is_missing(nursery_path())) GTEST_SKIP() << nursery_path() << " is not there";
  const Target target = must(load_target(GetParam()));
  std::vector<std::byte> expected;
  for (const int threads : {1, 2, 7}) {
    const Model model = must(import_model(nursery_path()));
    CompileOptions options;
    options.threads = threads;
    const Compilation compilation = must(compile_model(model.graph, target, options));
    const std::vector<std::byte> bytes = serialize_roll(compilation.roll);
    if (expected.empty()) expected = bytes;
    EXPECT_TRUE(bytes == expected) << threads << " threads";
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, ReproducibleTest, testing::Values("sim16", "sim32", "duo16", "tsp32"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace pianola::test
