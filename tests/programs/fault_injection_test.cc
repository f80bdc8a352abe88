// Faults in a machine that plays a real model, and faults in its roll.
//
// Of the machine: one bit of state flips in some cycle of a decode launch in lockstep. The fault is
// *detected* if the launch is an error (a rule, a difference from the emulator, no END), *masked* if
// outputs, KV region and cycles are those of the launch without it, and else *missed*. Of the roll: one
// bit of an instruction word or of the data tape flips. It is detected by the checksums of the file, always;
// and where the roll is changed in memory, by the verifier, or else all executors must agree on what the
// changed roll does. PIANOLA_LONG=1 plays ten times as many.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <map>

#include "cli/model_input.h"
#include "emulator/emulator.h"
#include "emulator/lockstep.h"
#include "host/engine.h"
#include "tests/programs/rtl_player.h"
#include "tests/support/random_author.h"
#include "verifier/verify_roll.h"

namespace pianola::test {
namespace {

uint64_t trials(uint64_t usual) {
  const char* is_long = std::getenv("PIANOLA_LONG");
  return is_long != nullptr && std::string_view(is_long) == "1" ? 10 * usual : usual;
}

// Remembers the last launch, and the KV region before it.
class Recorder : public Device {
 public:
  std::string_view name() const override { return emulator_.name(); }
  Status load(const Roll& roll, uint64_t poison) override { return emulator_.load(roll, poison); }
  std::span<std::byte> kv_region() override { return emulator_.kv_region(); }
  Result<LaunchResult> launch(const LaunchRequest& request) override {
    const auto kv = emulator_.kv_region();
    kv_before.assign(kv.begin(), kv.end());
    last = request;
    return emulator_.launch(request);
  }

  LaunchRequest last;
  std::vector<std::byte> kv_before;

 private:
  Emulator emulator_;
};

struct Outcome {
  Result<LaunchResult> result = LaunchResult{};
  std::vector<std::byte> kv;

  bool same_as(const Outcome& other) const {
    return result.ok() && other.result.ok() && result->host_output == other.result->host_output &&
           result->cycles == other.result->cycles && kv == other.kv;
  }
};

std::string describe(const std::map<std::string, uint64_t>& counts) {
  std::string text;
  for (const auto& [what, count] : counts) text += "  " + what + ": " + std::to_string(count) + "\n";
  return text;
}

// nursery-llama on sim16, twenty tokens on its way.
class FaultInjectionTest : public testing::Test {
 protected:
  void SetUp() override {
    InputOptions input;
    input.path = PIANOLA_SOURCE_DIR "/models/nursery-llama";
    input.target = PIANOLA_SOURCE_DIR "/targets/sim16.toml";
    auto compiled = open_input(input);
    ASSERT_TRUE(compiled.ok()) << to_string(compiled.error());
    roll_ = std::move(compiled->roll);
    // What outlives a launch is then the KV region alone.
    ASSERT_TRUE(roll_.metadata.persistent.empty());
    Recorder recorder;
    ASSERT_TRUE(recorder.load(roll_, 1).ok());
    auto engine = Engine::create(roll_, recorder);
    ASSERT_TRUE(engine.ok());
    for (int id = 100; id < 120; ++id) {
      ASSERT_TRUE(engine->extend(std::vector<int>{id}).ok());
    }
    request_ = recorder.last;
    kv_ = recorder.kv_before;
    RtlDeviceOptions options;
    options.build = rtl_build_options();
    options.stuck_edges_max = 100'000;
    options.inject = [this](uint64_t) { return fault_; };
    options.on_injected = [this](std::string_view bit, uint64_t cycle) {
      injected_ = std::string(bit) + " before cycle " + std::to_string(cycle);
    };
    rtl_ = make_lockstep_device(options);
  }

  const Entry& entry() const {
    return roll_.metadata.entries[static_cast<size_t>(request_.entry)];
  }

  Outcome play(Device& device, const Roll& roll) {
    const Status loaded = device.load(roll, 1);
    if (!loaded.ok()) return {loaded.error(), {}};
    std::memcpy(device.kv_region().data(), kv_.data(), kv_.size());
    Outcome out;
    out.result = device.launch(request_);
    const auto kv = device.kv_region();
    out.kv.assign(kv.begin(), kv.end());
    return out;
  }

  // The roll with one bit of its words or data changed.
  Roll edited(const std::vector<Word>& words, const std::vector<std::byte>& data) {
    Roll roll;
    roll.metadata = roll_.metadata;
    roll.target = roll_.target;
    roll.owned_words = words;
    roll.owned_data = data;
    roll.words = roll.owned_words;
    roll.data = roll.owned_data;
    return roll;
  }

  // Plays a roll that the verifier accepts; what it does must not depend on the executor.
  void play_edited(const Roll& roll, const Outcome& clean, std::map<std::string, uint64_t>& counts,
                   const std::string& what) {
    Emulator emulator;
    const Outcome emulated = play(emulator, roll);
    const Outcome rtl = play(*rtl_, roll);
    if (!rtl.same_as(emulated)) {
      ++counts["missed: executors differ"];
      ADD_FAILURE() << what << ": "
                    << (rtl.result.ok() ? "outputs differ" : to_string(rtl.result.error()))
                    << (emulated.result.ok() ? "" : "; " + to_string(emulated.result.error()));
    } else {
      ++counts[rtl.same_as(clean) ? "masked" : "another sound roll (checksum)"];
    }
  }

  void expect_refused_from_disk(std::vector<std::byte>& file, size_t byte, int bit) {
    const std::byte before = file[byte];
    file[byte] ^= static_cast<std::byte>(1 << bit);
    EXPECT_FALSE(parse_roll(file, "edited").ok()) << "byte " << byte << " bit " << bit;
    file[byte] = before;
  }

  // Where a section begins in the file.
  static size_t find_section(std::span<const std::byte> file, std::span<const std::byte> section) {
    for (size_t at = 4096; at + section.size() <= file.size(); at += 4096) {
      if (std::memcmp(file.data() + at, section.data(), section.size()) == 0) return at;
    }
    ADD_FAILURE() << "section not found";
    return 0;
  }

  Roll roll_;
  LaunchRequest request_;
  std::vector<std::byte> kv_;
  std::optional<FaultInjection> fault_;
  std::string injected_;
  std::unique_ptr<Device> rtl_;
};

TEST_F(FaultInjectionTest, StateFlipsAreDetectedOrMasked) {
  const Outcome clean = play(*rtl_, roll_);
  ASSERT_TRUE(clean.result.ok()) << to_string(clean.result.error());
  std::map<std::string, uint64_t> counts;
  std::map<uint32_t, uint64_t> detected;
  Random random(42);
  const uint64_t count = trials(320);
  for (uint64_t trial = 0; trial < count; ++trial) {
    fault_ = FaultInjection{.cycle = random.bits() % clean.result->cycles,
                            .seed = random.bits(),
                            .classes = 1u << trial % 4};
    const Outcome out = play(*rtl_, roll_);
    const char* kState[] = {"stream", "memory", "queue", "other"};
    std::string kind = std::string(kState[trial % 4]) + ", ";
    if (!out.result.ok()) {
      ++detected[fault_->classes];
      ASSERT_NE(injected_, "") << to_string(out.result.error());
      const std::string& message = out.result.error().message;
      kind += message.starts_with("lockstep") ? "detected by lockstep"
              : message.starts_with("rule")   ? "detected by a rule"
                                              : "detected: no END";
    } else if (out.same_as(clean)) {
      kind += "masked";
    } else {
      kind += "MISSED";
      ADD_FAILURE() << injected_ << " was missed";
    }
    ++counts[kind];
    injected_.clear();
  }
  std::printf("%llu bits of state flipped:\n%s", static_cast<unsigned long long>(count),
              describe(counts).c_str());
  for (const uint32_t state : {1u, 2u, 4u, 8u}) EXPECT_GT(detected[state], 0u) << "class " << state;
}

TEST_F(FaultInjectionTest, EditsOfInstructionWordsAreRefusedOrPlayAlike) {
  const Outcome clean = play(*rtl_, roll_);
  ASSERT_TRUE(clean.result.ok()) << to_string(clean.result.error());
  std::vector<std::byte> file = serialize_roll(roll_);
  const size_t section = find_section(file, std::as_bytes(roll_.words));
  const std::vector<Word> words(roll_.words.begin(), roll_.words.end());
  const std::vector<std::byte> data(roll_.data.begin(), roll_.data.end());
  Roll roll = edited(words, data);
  std::map<std::string, uint64_t> counts;
  Random random(43);
  const uint64_t count = trials(300);
  for (uint64_t trial = 0; trial < count; ++trial) {
    const size_t number = entry().first_word + random.bits() % entry().word_count;
    const int bit = random.below(256);
    expect_refused_from_disk(file, section + number * sizeof(Word) + static_cast<size_t>(bit) / 8,
                             bit % 8);
    uint64_t& part = roll.owned_words[number][static_cast<size_t>(bit) / 64];
    part ^= uint64_t{1} << bit % 64;
    if (verify_entry(roll, roll.metadata.entries[static_cast<size_t>(request_.entry)]).ok()) {
      play_edited(roll, clean, counts,
                  "word " + std::to_string(number) + " bit " + std::to_string(bit));
    } else {
      ++counts["refused by the verifier"];
    }
    part ^= uint64_t{1} << bit % 64;
  }
  std::printf("%llu bits of instruction words flipped, all refused from disk:\n%s",
              static_cast<unsigned long long>(count), describe(counts).c_str());
}

TEST_F(FaultInjectionTest, EditsOfTheDataTapePlayAlike) {
  const Outcome clean = play(*rtl_, roll_);
  ASSERT_TRUE(clean.result.ok()) << to_string(clean.result.error());
  std::vector<std::byte> file = serialize_roll(roll_);
  const size_t section = find_section(file, roll_.data);
  const std::vector<Word> words(roll_.words.begin(), roll_.words.end());
  const std::vector<std::byte> data(roll_.data.begin(), roll_.data.end());
  Roll roll = edited(words, data);
  std::map<std::string, uint64_t> counts;
  Random random(44);
  const uint64_t count = trials(60);
  for (uint64_t trial = 0; trial < count; ++trial) {
    const size_t byte = random.bits() % data.size();
    const int bit = random.below(8);
    expect_refused_from_disk(file, section + byte, bit);
    roll.owned_data[byte] ^= static_cast<std::byte>(1 << bit);
    play_edited(roll, clean, counts, "byte " + std::to_string(byte) + " bit " + std::to_string(bit));
    roll.owned_data[byte] ^= static_cast<std::byte>(1 << bit);
  }
  std::printf("%llu bits of the data tape flipped, all refused from disk:\n%s",
              static_cast<unsigned long long>(count), describe(counts).c_str());
}

}  // namespace
}  // namespace pianola::test
