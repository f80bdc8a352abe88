// Whatever the words and the metadata of a roll are, the verifier ends with a report.
#include <gtest/gtest.h>

#include "tests/support/random_program.h"
#include "tests/support/tiny_targets.h"
#include "verifier/verify_roll.h"

namespace pianola {
namespace {

class Bits {
 public:
  uint64_t operator()() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    return state_ ^= state_ << 17;
  }

 private:
  uint64_t state_ = 0x243f6a8885a308d3;
};

constexpr VerifyOptions kOptions{.cycles_max = 1 << 24, .issues_max = 1 << 22, .threads = 1};

TEST(HostileRoll, FlippedBitsGiveAReport) {
  Bits random;
  for (const Target& target : test::odd_targets()) {
    for (uint64_t seed = 0; seed < 4; ++seed) {
      Roll roll = test::write_random_program(target, seed, {.pieces = 10});
      const std::vector<Word> words = roll.owned_words;
      for (int i = 0; i < 300; ++i) {
        roll.owned_words = words;
        for (uint64_t flips = 1 + random() % 3; flips > 0; --flips) {
          roll.owned_words[random() % words.size()][random() % 4] ^= uint64_t{1} << random() % 64;
        }
        roll.words = roll.owned_words;
        verify_roll(roll, kOptions);
      }
    }
  }
}

TEST(HostileRoll, RandomWordsGiveAReport) {
  Bits random;
  const Target target = test::tiny_target();
  Roll roll = test::write_random_program(target, 1, {.pieces = 4});
  for (int i = 0; i < 500; ++i) {
    roll.owned_words.assign(1 + random() % 40, Word{});
    for (Word& word : roll.owned_words) {
      for (uint64_t& part : word) part = random() & random();
      const uint64_t kind = random() % 4;  // mostly PUSH to a queue that exists
      const uint64_t queue = random() % target.queues.size();
      word[0] = (word[0] & ~uint64_t{0x1fffff}) | (kind == 0 ? random() % 8 : 1) | queue << 3 | 1u << 13;
      word[3] &= random() & 0xffff;
    }
    roll.owned_words.back() = encode_end();
    roll.words = roll.owned_words;
    roll.metadata.entries[0].word_count = roll.words.size();
    const VerifyReport report = verify_roll(roll, kOptions);
    EXPECT_FALSE(report.ok());
  }
}

TEST(HostileRoll, RandomMetadataGivesAReport) {
  Bits random;
  const Target target = test::tiny_target();
  for (int i = 0; i < 500; ++i) {
    Roll roll = test::write_random_program(target, 2, {.pieces = 4});
    Entry& entry = roll.metadata.entries[0];
    const auto number = [&] { return random() % 3 == 0 ? random() : random() % 100; };
    switch (i % 6) {
      case 0: entry.first_word = number(); entry.word_count = number(); break;
      case 1:
        entry.tape.push_back({number(), static_cast<uint32_t>(number()),
                              static_cast<uint32_t>(number()), static_cast<int64_t>(number()),
                              static_cast<int>(number()), number(), static_cast<uint32_t>(number())});
        break;
      case 2:
        entry.registers.push_back({.index = static_cast<int>(number()),
                                   .name = "",
                                   .minimum = static_cast<uint32_t>(number()),
                                   .maximum = static_cast<uint32_t>(number()),
                                   .multiple = static_cast<uint32_t>(number())});
        break;
      case 3:
        roll.metadata.persistent.push_back({"kv", static_cast<int>(number()),
                                            static_cast<int>(number()), static_cast<int>(number())});
        break;
      case 4: entry.kv_read.push_back({.base = number(), .count = 1, .stride = INT64_MIN}); break;
      case 5: entry.cycles = number(); break;
    }
    verify_roll(roll, kOptions);
  }
}

TEST(HostileRoll, TheLongestLoopsEndAtTheLimit) {
  const Target target = test::tiny_target();
  Roll roll = test::write_random_program(target, 1, {.pieces = 1});
  VxmInstruction pass;
  pass.timing = {.start = 200, .n1 = 255, .p1 = 1, .n2 = 254, .p2 = 256, .n3 = 255, .p3 = 65535};
  roll.owned_words = {encode_push(target.queue_of(QueueKind::VxmPass, 0), 1, pass)};
  for (int i = 0; i < 8; ++i) roll.owned_words.push_back(encode_nop(kNopCountMax));
  roll.owned_words.push_back(encode_end());
  roll.words = roll.owned_words;
  roll.metadata.entries[0].word_count = roll.words.size();
  EXPECT_FALSE(verify_roll(roll, {.issues_max = 1 << 20}).problems.empty());
  const VerifyReport report = verify_roll(roll);
  EXPECT_EQ(report.entries[0].queues[static_cast<size_t>(target.queue_of(QueueKind::VxmPass, 0))].issues,
            256u * 255 * 256);
}

}  // namespace
}  // namespace pianola
