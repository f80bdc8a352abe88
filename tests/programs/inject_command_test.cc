// `pianola run --inject-fault` through the shell: the command of the demo must fail when a bit of the
// core flips, say where the first difference is, and leave a waveform of it; unless the bit did not
// matter.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <string>

namespace pianola {
namespace {

namespace fs = std::filesystem;

struct Finished {
  int status = -1;
  std::string output;  // both streams
  bool says(const std::string& phrase) const { return output.find(phrase) != std::string::npos; }
};

Finished run(const std::string& arguments) {
  const std::string command = std::string(PIANOLA_TOOL) + " " + arguments + " 2>&1";
  Finished result;
  std::FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return result;
  char buffer[4096];
  for (size_t n; (n = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) {
    result.output.append(buffer, n);
  }
  const int status = pclose(pipe);
  if (WIFEXITED(status)) result.status = WEXITSTATUS(status);
  return result;
}

class InjectCommand : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() /
                 ("pianola-inject-" + std::to_string(getpid()));
    fs::create_directories(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }

  fs::path waveform() const { return directory_ / "difference.fst"; }
  Finished run_demo(const std::string& more) const {
    return run("run " PIANOLA_SOURCE_DIR "/models/nursery-llama -t " PIANOLA_SOURCE_DIR
               "/targets/sim16.toml -p 'Once upon a time' -n 2 --waveform " +
               waveform().string() + " " + more);
  }

  fs::path directory_;
};

TEST_F(InjectCommand, FailsWithTheFirstDifferenceAndAWaveform) {
  int detected = 0, masked = 0;
  for (int seed = 0; seed < 60 && detected < 4; ++seed) {
    fs::remove(waveform());
    const Finished result =
        run_demo("--executor rtl --lockstep --inject-fault 20000:" + std::to_string(seed));
    EXPECT_TRUE(result.says("fault injection: flipped")) << result.output;
    if (result.status == 0) {
      EXPECT_TRUE(result.says("masked")) << result.output;
      EXPECT_FALSE(fs::exists(waveform()));
      ++masked;
      continue;
    }
    ++detected;
    EXPECT_TRUE(result.says("lockstep: ") || result.says("rule ")) << result.output;
    EXPECT_TRUE(result.says("waveform of cycles")) << result.output;
    ASSERT_TRUE(fs::exists(waveform())) << result.output;
    EXPECT_GT(fs::file_size(waveform()), 1000u);
    if (!result.says("lockstep: other value")) continue;
    for (const char* part : {" in cycle ", ", position ", " stream ", ": expected ", ", got "}) {
      EXPECT_TRUE(result.says(part)) << part << " in: " << result.output;
    }
  }
  EXPECT_EQ(detected, 4) << masked << " masked";
}

TEST_F(InjectCommand, SucceedsWithoutAFault) {
  const Finished result = run_demo("--executor rtl --lockstep");
  EXPECT_EQ(result.status, 0) << result.output;
  EXPECT_FALSE(fs::exists(waveform()));
}

TEST_F(InjectCommand, RefusesWhatCannotBeInjected) {
  const Finished late = run_demo("--executor rtl --lockstep --inject-fault 4000000000");
  EXPECT_NE(late.status, 0);
  EXPECT_TRUE(late.says("no fault was injected")) << late.output;
  for (const char* arguments :
       {"--executor rtl --inject-fault 5", "--inject-fault 5", "--executor reference --inject-fault 5",
        "--executor rtl --lockstep --inject-fault 5:", "--executor rtl --lockstep --inject-fault x"}) {
    const Finished result = run_demo(arguments);
    EXPECT_NE(result.status, 0) << arguments;
    EXPECT_TRUE(result.says("--inject-fault")) << result.output;
  }
}

}  // namespace
}  // namespace pianola
