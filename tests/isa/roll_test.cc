#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "isa/roll.h"
#include "tests/isa/sample_roll.h"

namespace pianola {
namespace {

std::filesystem::path scratch(const std::string& name) {
  return std::filesystem::path(testing::TempDir()) /
         ("pianola_roll_test_" + std::to_string(getpid()) + name);
}

template <typename T>
T peek(const std::vector<std::byte>& bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}
template <typename T>
void poke(std::vector<std::byte>& bytes, size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}
// Makes the checksums right again, as a hostile writer would.
void repair(std::vector<std::byte>& bytes) {
  for (size_t i = 0; i < 4; ++i) {
    const auto offset = peek<uint64_t>(bytes, 64 + 32 * i + 8);
    const auto size = peek<uint64_t>(bytes, 64 + 32 * i + 16);
    if (offset <= bytes.size() && size <= bytes.size() - offset) {
      poke<uint64_t>(bytes, 64 + 32 * i + 24, XXH3_64bits(bytes.data() + offset, size));
    }
  }
  poke<uint64_t>(bytes, 32, XXH3_64bits(bytes.data() + 64, 128));
  poke<uint64_t>(bytes, 56, XXH3_64bits(bytes.data(), 56));
}

std::string refusal(const std::vector<std::byte>& bytes) {
  const auto roll = parse_roll(bytes, "x.roll");
  return roll.ok() ? "accepted" : to_string(roll.error());
}

#define EXPECT_CONTAINS(text, part) \
  EXPECT_NE(std::string(text).find(part), std::string::npos) << "in: " << (text)

TEST(Roll, ComesBackFromItsBytesUnchanged) {
  const Roll roll = sample_roll();
  ASSERT_TRUE(check_roll(roll).ok()) << to_string(check_roll(roll).error());
  const std::vector<std::byte> bytes = serialize_roll(roll);
  const auto again = parse_roll(bytes, "x.roll");
  ASSERT_TRUE(again.ok()) << to_string(again.error());
  EXPECT_EQ(serialize_roll(*again), bytes);
  EXPECT_EQ(again->words.size(), roll.words.size());
  EXPECT_EQ(std::memcmp(again->words.data(), roll.words.data(), roll.words.size_bytes()), 0);
  const Entry& entry = again->metadata.entries[1];
  EXPECT_EQ(entry.name, "decode@256");
  EXPECT_EQ(entry.kind, EntryKind::Decode);
  EXPECT_EQ(entry.tape[0].stride, -1);
  EXPECT_EQ(entry.tape[1].parameter, 40);
  EXPECT_EQ(entry.registers[1].role, RegisterDeclaration::Role::KvRow);
  EXPECT_EQ(entry.registers[1].argument, 4);
  EXPECT_EQ(entry.bounds[1].cycles, 17u);
  EXPECT_EQ(again->metadata.entries[0].output, EntryOutput::None);
  EXPECT_EQ(again->metadata.model.architecture, roll.metadata.model.architecture);
  EXPECT_EQ(again->metadata.model.eos, (std::vector<int>{2, 7}));
  EXPECT_EQ(again->metadata.persistent[0].words, 64);
  EXPECT_EQ(again->metadata.kv_vectors, 1000u);
  EXPECT_EQ(again->entry_words(entry).size(), 4u);
}

TEST(Roll, ComesBackFromItsFileUnchanged) {
  const Roll roll = sample_roll();
  const auto path = scratch("a.roll");
  ASSERT_TRUE(write_roll(roll, path).ok());
  ASSERT_TRUE(write_roll(roll, path).ok());  // over the old one
  auto again = read_roll(path);
  ASSERT_TRUE(again.ok()) << to_string(again.error());
  const Roll moved = std::move(*again);
  EXPECT_EQ(serialize_roll(moved), serialize_roll(roll));
  EXPECT_EQ(std::filesystem::file_size(path), serialize_roll(roll).size());
  std::filesystem::remove(path);
}

TEST(Roll, SectionsBeginOnPages) {
  const std::vector<std::byte> bytes = serialize_roll(sample_roll());
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(peek<uint32_t>(bytes, 64 + 32 * i), i);
    EXPECT_EQ(peek<uint64_t>(bytes, 64 + 32 * i + 8) % 4096, 0u);
  }
  EXPECT_EQ(std::memcmp(bytes.data(), "PIANOLA\n", 8), 0);
}

TEST(Roll, EmptySectionsAreFine) {
  Roll roll = sample_roll();
  roll.metadata.entries.clear();
  roll.words = {};
  roll.data = {};
  roll.tokenizer = {};
  const auto again = parse_roll(serialize_roll(roll), "x.roll");
  ASSERT_TRUE(again.ok()) << to_string(again.error());
}

TEST(Roll, LeavesNoTemporaryWhenItCannotWrite) {
  const auto status = write_roll(sample_roll(), "/nowhere/at/all/x.roll");
  ASSERT_FALSE(status.ok());
  EXPECT_CONTAINS(to_string(status.error()), "/nowhere/at/all/x.roll: cannot create the roll");
  const auto folder = scratch("folder");
  std::filesystem::create_directory(folder);
  std::filesystem::create_directory(folder / "x.roll");
  EXPECT_FALSE(write_roll(sample_roll(), folder / "x.roll").ok());
  size_t files = 0;
  for ([[maybe_unused]] const auto& file : std::filesystem::directory_iterator(folder)) ++files;
  EXPECT_EQ(files, 1u);
  std::filesystem::remove_all(folder);
}

TEST(Roll, RefusesFilesThatAreNotThere) {
  const auto roll = read_roll("/nowhere/x.roll");
  ASSERT_FALSE(roll.ok());
  EXPECT_EQ(roll.error().code, ErrorCode::NotFound);
  const auto folder = read_roll(testing::TempDir());
  ASSERT_FALSE(folder.ok());
  EXPECT_CONTAINS(folder.error().message, "not a regular file");
  const auto path = scratch("short.roll");
  std::ofstream(path) << "hello";
  const auto tiny = read_roll(path);
  ASSERT_FALSE(tiny.ok());
  EXPECT_CONTAINS(tiny.error().message, "not a roll: 5 bytes");
  std::filesystem::remove(path);
}

TEST(Roll, RefusesDamagedContainers) {
  const std::vector<std::byte> good = serialize_roll(sample_roll());
  const auto damaged = [&](const std::function<void(std::vector<std::byte>&)>& damage,
                           bool mended) {
    std::vector<std::byte> bytes = good;
    damage(bytes);
    if (mended) repair(bytes);
    return refusal(bytes);
  };
  using Bytes = std::vector<std::byte>;
  EXPECT_CONTAINS(damaged([](Bytes& b) { b.clear(); }, false), "0 bytes are less");
  EXPECT_CONTAINS(damaged([](Bytes& b) { b[0] = std::byte{0}; }, false), "not a roll");
  EXPECT_CONTAINS(damaged([](Bytes& b) { poke<uint32_t>(b, 8, 3); }, false),
                  "has version 3, this build plays version 2");
  EXPECT_CONTAINS(damaged([](Bytes& b) { b[20] = std::byte{1}; }, false), "checksum of the header");
  EXPECT_CONTAINS(damaged([](Bytes& b) { b.pop_back(); }, false), "truncated");
  EXPECT_CONTAINS(damaged([](Bytes& b) { b.push_back(std::byte{0}); }, false), "appended to");
  EXPECT_CONTAINS(damaged([](Bytes& b) { poke<uint64_t>(b, 40, 1); }, true), "section table");
  EXPECT_CONTAINS(damaged([](Bytes& b) { b[72] = std::byte{9}; }, false),
                  "checksum of the section table");
  EXPECT_CONTAINS(damaged([](Bytes& b) { poke<uint64_t>(b, 64 + 32 + 16, ~uint64_t{0}); }, true),
                  "larger than the file");
  EXPECT_CONTAINS(damaged([](Bytes& b) { poke<uint64_t>(b, 64 + 96 + 16, 6); }, true),
                  "do not add up");
  EXPECT_CONTAINS(damaged([](Bytes& b) { poke<uint32_t>(b, 64 + 32, 0); }, true),
                  "section words: the section is not where");
  EXPECT_CONTAINS(damaged([](Bytes& b) { b[300] = std::byte{1}; }, false), "is not zero");
  EXPECT_CONTAINS(damaged([](Bytes& b) { b.back() ^= std::byte{1}; }, false),
                  "section tokenizer: the checksum is wrong");
  EXPECT_CONTAINS(damaged([](Bytes& b) { b[4096] ^= std::byte{255}; }, true),
                  "metadata: the metadata is");
  // The unused low bits of a FlatBuffer: still valid, yet not what the writer writes.
  const size_t text_at = 4096 + peek<uint64_t>(good, 64 + 16) - 1;
  EXPECT_CONTAINS(damaged([&](Bytes& b) { b[text_at] ^= std::byte{255}; }, true), "metadata");
}

TEST(Roll, RefusesWordsThatAreNotWhole) {
  Roll roll = sample_roll();
  std::vector<std::byte> bytes = serialize_roll(roll);
  // Words lose a byte; everything behind them stays where it is, being on the same page boundary.
  poke<uint64_t>(bytes, 64 + 32 + 16, peek<uint64_t>(bytes, 64 + 32 + 16) - 1);
  bytes[peek<uint64_t>(bytes, 64 + 32 + 8) + peek<uint64_t>(bytes, 64 + 32 + 16)] = std::byte{0};
  repair(bytes);
  EXPECT_CONTAINS(refusal(bytes), "expected whole words");
}

struct BadMetadata {
  const char* expected;
  void (*change)(Roll&);
};

TEST(CheckRoll, RefusesEveryNumberOutOfBounds) {
  const BadMetadata cases[] = {
      {"version: expected 2, got 9", [](Roll& r) { r.metadata.version = 9; }},
      {"target: the embedded target",
       [](Roll& r) { r.metadata.target_name = std::string("other"); }},
      {"target: the embedded target", [](Roll& r) { r.metadata.target_text += std::string("\n"); }},
      {"model heads: expected 0", [](Roll& r) { r.metadata.model.heads = -1; }},
      {"model architecture: expected a name",
       [](Roll& r) { r.metadata.model.architecture = std::string("a\nb"); }},
      {"model quantization: expected a name",
       [](Roll& r) { r.metadata.model.quantization = std::string(257, 'a'); }},
      {"model bos: expected -1", [](Roll& r) { r.metadata.model.bos = -2; }},
      {"model eos: expected 0", [](Roll& r) { r.metadata.model.eos = {-1}; }},
      {"model eos count", [](Roll& r) { r.metadata.model.eos.resize(2000); }},
      {"data: expected whole vectors", [](Roll& r) { r.data = r.data.first(15); }},
      {"kv_vectors: expected at most", [](Roll& r) { r.metadata.kv_vectors = ~uint64_t{0}; }},
      {"persistent 0 slice: expected 0 to 15",
       [](Roll& r) { r.metadata.persistent[0].slice = 16; }},
      {"persistent 0 first_word", [](Roll& r) { r.metadata.persistent[0].first_word = -1; }},
      {"persistent 1 words: expected 1 to 4096",
       [](Roll& r) { r.metadata.persistent[1].words = 4097; }},
      {"persistent: more than", [](Roll& r) { r.metadata.persistent.resize((1 << 20) + 1); }},
      {"entries: expected at most 4096", [](Roll& r) { r.metadata.entries.resize(4097); }},
      {"entry 0 name", [](Roll& r) { r.metadata.entries[0].name = std::string("\x7f"); }},
      {"entry 0 kind", [](Roll& r) { r.metadata.entries[0].kind = static_cast<EntryKind>(4); }},
      {"entry 0 tokens", [](Roll& r) { r.metadata.entries[0].tokens = 1 << 20; }},
      {"entry 0 context", [](Roll& r) { r.metadata.entries[0].context = -1; }},
      {"do not lie in the 10 words", [](Roll& r) { r.metadata.entries[0].first_word = 5; }},
      {"do not lie in the 10 words",
       [](Roll& r) { r.metadata.entries[0].first_word = ~uint64_t{0}; }},
      {"do not lie in the 10 words",
       [](Roll& r) { r.metadata.entries[0].word_count = ~uint64_t{0}; }},
      {"expected at least one word", [](Roll& r) { r.metadata.entries[0].word_count = 0; }},
      {"entry 1 cycles", [](Roll& r) { r.metadata.entries[1].cycles = 0; }},
      {"register 0: expected 1", [](Roll& r) { r.metadata.entries[1].registers[0].index = 0; }},
      {"register 1024: expected 1",
       [](Roll& r) { r.metadata.entries[1].registers[0].index = 1024; }},
      {"register 2: declared twice", [](Roll& r) { r.metadata.entries[1].registers[0].index = 2; }},
      {"register 1 name",
       [](Roll& r) { r.metadata.entries[1].registers[0].name = std::string("\n"); }},
      {"register 1 role",
       [](Roll& r) {
         r.metadata.entries[1].registers[0].role = static_cast<RegisterDeclaration::Role>(7);
       }},
      {"register 40 argument: expected 0 to 0",
       [](Roll& r) { r.metadata.entries[1].registers[2].argument = 1; }},
      {"register 1 multiple", [](Roll& r) { r.metadata.entries[1].registers[0].multiple = 0; }},
      {"expected minimum <= maximum",
       [](Roll& r) { r.metadata.entries[1].registers[0].minimum = 256; }},
      {"both multiples of 4", [](Roll& r) { r.metadata.entries[1].registers[1].maximum = 1023; }},
      {"for a constant", [](Roll& r) { r.metadata.entries[1].registers[3].minimum = 0; }},
      {"a count and a repeat", [](Roll& r) { r.metadata.entries[1].tape[0].count = 0; }},
      {"a count and a repeat", [](Roll& r) { r.metadata.entries[1].tape[0].repeat = 0; }},
      {"need a parameter", [](Roll& r) { r.metadata.entries[1].tape[0].limit = 1; }},
      {"parameter 3 is not declared", [](Roll& r) { r.metadata.entries[1].tape[1].parameter = 3; }},
      {"parameter -2 is not declared",
       [](Roll& r) { r.metadata.entries[1].tape[1].parameter = -2; }},
      {"tape segment 0: reaches beyond the 40",
       [](Roll& r) { r.metadata.entries[1].tape[0].base = 39; }},
      {"tape segment 0: reaches beyond", [](Roll& r) { r.metadata.entries[1].tape[0].base = 18; }},
      {"tape segment 0: reaches beyond",
       [](Roll& r) { r.metadata.entries[1].tape[0].base = ~0ull; }},
      {"tape segment 1: reaches beyond", [](Roll& r) { r.metadata.entries[1].tape[1].limit = 20; }},
      {"kv_read segment 0: reaches beyond the 1000",
       [](Roll& r) { r.metadata.entries[1].kv_read[0].stride = INT64_MAX; }},
      {"kv_read segment 0: reaches beyond",
       [](Roll& r) { r.metadata.entries[1].kv_read[0].stride = INT64_MIN; }},
      {"kv_write segment 0: reaches beyond",
       [](Roll& r) { r.metadata.entries[1].kv_write[0].parameter_stride = ~0ull; }},
      {"kv_write segment 0: reaches beyond",
       [](Roll& r) {
         r.metadata.kv_vectors = 765;
         r.metadata.entries[1].kv_read.clear();
       }},
      {"do not pass a port", [](Roll& r) { r.metadata.entries[0].cycles = 9; }},
      {"host_send: 128 vectors do not pass",
       [](Roll& r) {
         r.metadata.entries[1].tape.clear();
         r.metadata.entries[1].kv_read.clear();
         r.metadata.entries[1].cycles = 31;
       }},
      {"host_send: expected 128 vectors of its output, got 127",
       [](Roll& r) { r.metadata.entries[1].host_send_vectors = 127; }},
      {"host_send: expected 8 vectors of its output, got 128",
       [](Roll& r) { r.metadata.entries[1].output = EntryOutput::Tokens; }},
      {"output", [](Roll& r) { r.metadata.entries[1].output = static_cast<EntryOutput>(3); }},
      {"host_receive: 4294967295 vectors",
       [](Roll& r) { r.metadata.entries[1].host_receive_vectors = ~0u; }},
      {"do not pass a port",
       [](Roll& r) {
         r.metadata.entries[0].tape.assign(3, {.base = 0, .count = 1, .repeat = ~0u, .stride = 0});
       }},
      {"more than 256 bounds", [](Roll& r) { r.metadata.entries[1].bounds.resize(257); }},
      {"entry 1 bound", [](Roll& r) { r.metadata.entries[1].bounds[0].name = std::string("\t"); }},
  };
  for (const BadMetadata& c : cases) {
    Roll roll = sample_roll();
    c.change(roll);
    const Status status = check_roll(roll);
    ASSERT_FALSE(status.ok()) << c.expected;
    EXPECT_CONTAINS(to_string(status.error()), c.expected);
    EXPECT_FALSE(write_roll(roll, scratch("never.roll")).ok());
    if (roll.metadata.entries.size() <= 4096 && roll.metadata.persistent.size() < 100) {
      const auto parsed = parse_roll(serialize_roll(roll), "x.roll");
      ASSERT_FALSE(parsed.ok()) << c.expected;
    }
  }
}

TEST(CheckRollTarget, NamesTheFirstDifference) {
  const Roll roll = sample_roll();
  EXPECT_TRUE(check_roll_target(roll, roll.target).ok());
  Target other = roll.target;
  other.queue_depth = 32;
  const Status status = check_roll_target(roll, other);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::Mismatch);
  EXPECT_CONTAINS(status.error().message, "machine depth = 32, roll depth = 16");
}

}  // namespace
}  // namespace pianola
