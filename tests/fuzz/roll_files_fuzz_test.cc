// Mutates rolls, target files and assembly and reads them back: whatever the bytes, the readers
// return a value or a clean error, in bounded time and memory, and what they accept converts both
// ways unchanged.
#include <cstring>
#include <string>
#include <vector>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "isa/assembly.h"
#include "isa/roll.h"
#include "tests/fuzz/fuzz_cases.h"
#include "tests/isa/sample_roll.h"
#include "tests/support/shared_files.h"

namespace pianola {
namespace {

constexpr size_t kMessageBytesMax = size_t{64} << 10;
constexpr size_t kHeaderBytes = 64, kTableBytes = 128;

template <typename T>
T peek(const std::vector<std::byte>& bytes, size_t at) {
  T value{};
  if (at + sizeof value <= bytes.size()) std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}
template <typename T>
void poke(std::vector<std::byte>& bytes, size_t at, T value) {
  if (at + sizeof value <= bytes.size()) std::memcpy(bytes.data() + at, &value, sizeof value);
}

void repair_checksums(std::vector<std::byte>& bytes) {
  if (bytes.size() < kHeaderBytes + kTableBytes) return;
  for (size_t row = kHeaderBytes; row < kHeaderBytes + kTableBytes; row += 32) {
    const auto offset = peek<uint64_t>(bytes, row + 8), size = peek<uint64_t>(bytes, row + 16);
    if (offset <= bytes.size() && size <= bytes.size() - offset) {
      poke<uint64_t>(bytes, row + 24, XXH3_64bits(bytes.data() + offset, size));
    }
  }
  poke<uint64_t>(bytes, 16, bytes.size());
  poke<uint64_t>(bytes, 32, XXH3_64bits(bytes.data() + kHeaderBytes, kTableBytes));
  poke<uint64_t>(bytes, 56, XXH3_64bits(bytes.data(), 56));
}

void mutate_roll(std::vector<std::byte>& bytes, FuzzRandom& random) {
  const size_t metadata = 4096, metadata_size = peek<uint64_t>(bytes, kHeaderBytes + 16);
  constexpr uint64_t kNasty[] = {
      0, 1, 0x7f, 0x80, 0xff, 0x7fffffff, 0x80000000, 0xffffffff, ~uint64_t{0}, uint64_t{1} << 63};
  for (size_t i = 0, count = 1 + random.below(4); i < count; ++i) {
    // Mostly the metadata, whose structure is rich; the preamble; anywhere.
    const size_t kind = random.below(10);
    const size_t at = kind < 7   ? metadata + random.below(metadata_size)
                      : kind < 9 ? random.below(kHeaderBytes + kTableBytes)
                                 : random.below(bytes.size());
    const uint64_t value =
        random.one_in(2) ? kNasty[random.below(std::size(kNasty))] : random.next();
    switch (random.below(5)) {
      case 0:
        poke<uint8_t>(bytes, at, static_cast<uint8_t>(value));
        break;
      case 1:
        poke<uint32_t>(bytes, at / 4 * 4, static_cast<uint32_t>(value));
        break;
      case 2:
        poke<uint64_t>(bytes, at / 8 * 8, value);
        break;
      case 3:
        poke<uint8_t>(bytes, at, peek<uint8_t>(bytes, at) ^ uint8_t(1 << random.below(8)));
        break;
      case 4:
        poke<uint32_t>(bytes, at / 4 * 4, peek<uint32_t>(bytes, at / 4 * 4) + 1);
        break;
    }
  }
  if (random.one_in(20)) bytes.resize(random.below(bytes.size() + 1));
  if (!random.one_in(10)) repair_checksums(bytes);
}

void expect_converts_unchanged(const Roll& roll, const std::vector<std::byte>& bytes) {
  EXPECT_EQ(serialize_roll(roll), bytes);
  const auto again = assemble(disassemble(roll), "x.s");
  ASSERT_TRUE(again.ok()) << to_string(again.error());
  EXPECT_EQ(serialize_roll(*again), bytes);
}

// Mutates values first and bytes of the container after that, so that some mutants are accepted.
void mutate_metadata(Roll& roll, FuzzRandom& random) {
  Entry& entry = roll.metadata.entries[1];
  Segment& segment = random.one_in(2) ? entry.tape[random.below(2)] : entry.kv_write[0];
  switch (random.below(12)) {
    case 0:
      segment.base = random.below(50);
      break;
    case 1:
      segment.count = static_cast<uint32_t>(random.below(50));
      break;
    case 2:
      segment.repeat = static_cast<uint32_t>(random.below(50));
      break;
    case 3:
      segment.stride = static_cast<int64_t>(random.below(9)) - 4;
      break;
    case 4:
      segment.limit = static_cast<uint32_t>(random.next());
      break;
    case 5:
      entry.first_word = random.below(8);
      break;
    case 6:
      entry.word_count = random.below(8);
      break;
    case 7:
      entry.name = std::string(random.below(300), static_cast<char>(random.below(256)));
      break;
    case 8:
      roll.metadata.kv_vectors = random.below(2000);
      break;
    case 9:
      roll.metadata.persistent[0].words = static_cast<int>(random.below(6000));
      break;
    case 10:
      entry.registers[random.below(4)].maximum = static_cast<uint32_t>(random.next());
      break;
    case 11:
      entry.tokens = static_cast<int>(random.next());
      break;
  }
  Word& word = roll.owned_words[random.below(roll.owned_words.size())];
  if (random.one_in(2)) word[random.below(4)] ^= uint64_t{1} << random.below(64);
  roll.words = roll.owned_words;
}

TEST(RollFuzz, ValuesAreAcceptedAndConvertOrAreRefused) {
  int accepted = 0;
  run_fuzz_cases(fuzz_case_count(), [&](FuzzRandom& random) {
    Roll roll = sample_roll();
    mutate_metadata(roll, random);
    const std::vector<std::byte> bytes = serialize_roll(roll);
    const auto again = parse_roll(bytes, "x.roll");
    ASSERT_EQ(again.ok(), check_roll(roll).ok());
    if (!again.ok()) return;
    ++accepted;
    expect_converts_unchanged(*again, bytes);
  });
  EXPECT_GT(accepted, fuzz_case_count() / 10);
}

TEST(RollFuzz, BytesAreRefusedOrCanonical) {
  const std::vector<std::byte> original = serialize_roll(sample_roll());
  run_fuzz_cases(fuzz_case_count(), [&](FuzzRandom& random) {
    std::vector<std::byte> bytes = original;
    mutate_roll(bytes, random);
    const auto roll = parse_roll(bytes, "x.roll");
    if (roll.ok()) {
      expect_converts_unchanged(*roll, bytes);
    } else {
      EXPECT_LT(to_string(roll.error()).size(), kMessageBytesMax);
    }
  });
}

const std::vector<std::string> kFragments = {"0",     "-1",     "99999999999999999999",
                                             "0x",    "\"",     "=",
                                             "#",     "[",      "]",
                                             "{",     "}",      "\n",
                                             " ",     "|",      ".",
                                             "\\",    "1e308",  "nan",
                                             "[[",    "\"\"\"", "\x80",
                                             "lanes", "READ",   "mask=0xff",
                                             "| AAAA"};

TEST(TargetFuzz, TextIsAcceptedAndCanonicalOrRefused) {
  const std::string text = read_file(PIANOLA_SOURCE_DIR "/tests/isa/targets/small16.toml");
  int accepted = 0;
  run_fuzz_cases(fuzz_case_count(), [&](FuzzRandom& random) {
    const auto target = parse_target(mutate_text(random, text, kFragments), "x.toml");
    if (!target.ok()) {
      EXPECT_LT(to_string(target.error()).size(), kMessageBytesMax);
      return;
    }
    ++accepted;
    const auto again = parse_target(canonical_text(*target), "canonical");
    ASSERT_TRUE(again.ok()) << to_string(again.error());
    EXPECT_EQ(canonical_text(*again), canonical_text(*target));
  });
  EXPECT_GT(accepted, fuzz_case_count() / 100);
}

TEST(AssemblyFuzz, TextIsAcceptedAndConvertsOrIsRefused) {
  Roll sample = sample_roll();
  sample.owned_data.resize(16 * 300);  // long enough to be compressed
  sample.data = sample.owned_data;
  const std::string long_text = disassemble(sample);
  // The short one is made for speed: most of the other is the target, parsed each time.
  const std::string text = ".target small16\n" + long_text.substr(long_text.find(".model"));
  int accepted = 0;
  run_fuzz_cases(fuzz_case_count(), [&](FuzzRandom& random) {
    const std::string& sound = random.one_in(8) ? long_text : text;
    const auto roll =
        assemble(mutate_text(random, sound, kFragments), "x.s", {.section_bytes_max = 1 << 20});
    if (!roll.ok()) {
      EXPECT_LT(to_string(roll.error()).size(), kMessageBytesMax);
      return;
    }
    ++accepted;
    expect_converts_unchanged(*roll, serialize_roll(*roll));
  });
  EXPECT_GT(accepted, fuzz_case_count() / 20);
}

}  // namespace
}  // namespace pianola
