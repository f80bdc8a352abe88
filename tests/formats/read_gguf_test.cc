#include "formats/read_gguf.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/support/expect_error.h"
#include "tests/support/shared_files.h"
#include "tests/support/write_containers.h"

namespace pianola {
namespace {

constexpr std::uint32_t kArray = 9;

Bytes zeros(std::size_t count) { return Bytes(count, std::byte{0}); }

Bytes array_of(std::uint32_t type, std::uint64_t count, const Bytes& elements) {
  Bytes bytes;
  append_number(bytes, type);
  append_number(bytes, count);
  append(bytes, elements);
  return bytes;
}

void expect_malformed(const GgufWriter& writer, const std::string& phrase) {
  const Bytes bytes = writer.finish();
  expect_error(GgufFile::parse(bytes, "test.gguf"), ErrorCode::Malformed, phrase);
}

TEST(ReadGguf, ReadsEveryMetadataType) {
  GgufWriter writer;
  writer.add_number("u8", 0, std::uint8_t{200});
  writer.add_number("i8", 1, std::int8_t{-3});
  writer.add_number("u16", 2, std::uint16_t{60000});
  writer.add_number("i16", 3, std::int16_t{-300});
  writer.add_number("u32", 4, std::uint32_t{4000000000});
  writer.add_number("i32", 5, std::int32_t{-70000});
  writer.add_number("f32", 6, 1.5f);
  writer.add_number("bool", 7, std::uint8_t{1});
  writer.add_string("string", "text");
  writer.add_strings("strings", {"a", "", "ccc"});
  writer.add_number("u64", 10, std::uint64_t{1} << 40);
  writer.add_number("i64", 11, std::int64_t{-5});
  writer.add_number("f64", 12, 0.25);
  Bytes floats;
  append_number(floats, 1.0f);
  append_number(floats, -2.0f);
  writer.add_raw("floats", kArray, array_of(6, 2, floats));
  Bytes doubles;
  append_number(doubles, 3.0);
  writer.add_raw("doubles", kArray, array_of(12, 1, doubles));
  Bytes shorts;
  append_number(shorts, std::int16_t{-1});
  append_number(shorts, std::int16_t{7});
  writer.add_raw("shorts", kArray, array_of(3, 2, shorts));
  writer.add_raw("bools", kArray, array_of(7, 2, {std::byte{1}, std::byte{0}}));
  writer.add_raw("nested", kArray, array_of(kArray, 1, array_of(3, 2, shorts)));
  const Bytes bytes = writer.finish();
  const auto file = GgufFile::parse(bytes, "test.gguf");
  ASSERT_TRUE(file.ok()) << to_string(file.error());
  EXPECT_EQ(*file->integer_value("u8"), 200);
  EXPECT_EQ(*file->integer_value("i8"), -3);
  EXPECT_EQ(*file->integer_value("u16"), 60000);
  EXPECT_EQ(*file->integer_value("i16"), -300);
  EXPECT_EQ(*file->integer_value("u32"), 4000000000);
  EXPECT_EQ(*file->integer_value("i32"), -70000);
  EXPECT_EQ(*file->float_value("f32"), 1.5);
  EXPECT_EQ(*file->bool_value("bool"), true);
  EXPECT_EQ(*file->string_value("string"), "text");
  ASSERT_EQ(file->string_array("strings")->size(), 3u);
  EXPECT_EQ((*file->string_array("strings"))[2], "ccc");
  EXPECT_EQ(*file->integer_value("u64"), std::int64_t{1} << 40);
  EXPECT_EQ(*file->integer_value("i64"), -5);
  EXPECT_EQ(*file->float_value("f64"), 0.25);
  EXPECT_EQ(*file->float_array("floats"), (std::vector<float>{1.0f, -2.0f}));
  EXPECT_EQ(*file->float_array("doubles"), (std::vector<float>{3.0f}));
  EXPECT_EQ(*file->integer_array("shorts"), (std::vector<std::int64_t>{-1, 7}));
  EXPECT_EQ(*file->integer_array("bools"), (std::vector<std::int64_t>{1, 0}));
  ASSERT_EQ(file->find("nested")->arrays.size(), 1u);
  EXPECT_EQ(file->find("nested")->arrays[0].count, 2u);
  EXPECT_EQ(file->metadata().size(), 18u);
  EXPECT_FALSE(file->has("none"));
}

TEST(ReadGguf, LookUpsSayWhatIsThereInstead) {
  GgufWriter writer;
  writer.add_string("s", "x");
  writer.add_strings("ss", {"x"});
  writer.add_number("big", 10, ~std::uint64_t{0});
  writer.add_u32("u", 1);
  Bytes big;
  append_number(big, ~std::uint64_t{0});
  writer.add_raw("bigs", kArray, array_of(10, 1, big));
  const Bytes bytes = writer.finish();
  const auto file = GgufFile::parse(bytes, "test.gguf");
  ASSERT_TRUE(file.ok());
  expect_error(file->integer_value("none"), ErrorCode::NotFound, "key 'none' is missing");
  expect_error(file->integer_value("s"), ErrorCode::Mismatch,
               "test.gguf: metadata 's': expected an integer of at most 63 bits, found string");
  expect_error(file->integer_value("big"), ErrorCode::Mismatch, "63 bits, found uint64");
  expect_error(file->float_value("u"), ErrorCode::Mismatch, "expected a float, found uint32");
  expect_error(file->bool_value("u"), ErrorCode::Mismatch, "expected a bool");
  expect_error(file->string_value("ss"), ErrorCode::Mismatch,
               "expected a string, found array of string");
  expect_error(file->string_array("s"), ErrorCode::Mismatch, "expected an array of strings");
  expect_error(file->integer_array("ss"), ErrorCode::Mismatch, "expected an array of integers");
  expect_error(file->integer_array("s"), ErrorCode::Mismatch, "expected an array of integers");
  expect_error(file->integer_array("bigs"), ErrorCode::Mismatch, "array of uint64");
  expect_error(file->float_array("ss"), ErrorCode::Mismatch, "expected an array of floats");
}

TEST(ReadGguf, FindsTensorsOfKnownAndUnknownTypes) {
  GgufWriter writer;
  writer.add_tensor("a", {64, 2}, 8, zeros(2 * 2 * 34));
  writer.add_tensor("b", {3}, 0, zeros(12));
  writer.add_tensor("c", {256}, 34, zeros(54));
  writer.add_tensor("d", {7}, 77, zeros(5));
  const Bytes bytes = writer.finish();
  const auto file = GgufFile::parse(bytes, "test.gguf");
  ASSERT_TRUE(file.ok()) << to_string(file.error());
  ASSERT_EQ(file->tensors().size(), 4u);
  EXPECT_EQ(file->find_tensor("a")->bytes.size(), 136u);
  EXPECT_EQ(file->find_tensor("c")->bytes.size(), 54u);
  EXPECT_TRUE(file->find_tensor("d")->bytes.empty());
  EXPECT_EQ(file->find_tensor("e"), nullptr);
  EXPECT_EQ(ggml_type_name(20), "IQ4_NL");
  EXPECT_EQ(ggml_type_name(34), "TQ1_0");
  EXPECT_EQ(ggml_type_name(77), "type 77");
}

TEST(ReadGguf, NamesEveryMetadataType) {
  EXPECT_EQ(to_string(GgufType::U8), "uint8");
  for (std::uint32_t type = 0; type <= 12; ++type) {
    EXPECT_FALSE(to_string(static_cast<GgufType>(type)).empty());
  }
}

TEST(ReadGguf, RefusesOtherFilesAndVersions) {
  expect_error(GgufFile::parse({}, "x"), ErrorCode::Malformed, "the file ends inside");
  Bytes bytes = GgufWriter().finish();
  bytes[0] = std::byte{'X'};
  expect_error(GgufFile::parse(bytes, "x"), ErrorCode::Malformed, "not a GGUF file");
  bytes = GgufWriter().finish();
  bytes[4] = std::byte{2};
  expect_error(GgufFile::parse(bytes, "x"), ErrorCode::Unsupported, "GGUF version 2; expected 3");
  std::swap(bytes[4], bytes[7]);
  bytes[7] = std::byte{3};
  bytes[4] = std::byte{0};
  expect_error(GgufFile::parse(bytes, "x"), ErrorCode::Unsupported, "big-endian");
}

TEST(ReadGguf, RefusesEveryTruncation) {
  GgufWriter writer;
  writer.add_u32("key", 1);
  writer.add_strings("strings", {"a", "b"});
  writer.add_tensor("t", {8}, 0, zeros(32));
  const Bytes bytes = writer.finish();
  ASSERT_TRUE(GgufFile::parse(bytes, "x").ok());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto file = GgufFile::parse(std::span(bytes).first(size), "x");
    ASSERT_FALSE(file.ok()) << size;
    EXPECT_EQ(static_cast<int>(file.error().code), static_cast<int>(ErrorCode::Malformed));
  }
}

TEST(ReadGguf, RefusesCountsThatCannotBe) {
  const auto with_count = [](std::size_t at, std::uint64_t count) {
    Bytes bytes = GgufWriter().finish();
    std::memcpy(bytes.data() + at, &count, sizeof count);
    return bytes;
  };
  expect_error(GgufFile::parse(with_count(8, 1u << 30), "x"), ErrorCode::Malformed,
               "a tensor count of 1073741824; at most 1000000");
  expect_error(GgufFile::parse(with_count(16, ~std::uint64_t{0}), "x"), ErrorCode::Malformed,
               "a metadata count of 18446744073709551615; at most 100000");
  expect_error(GgufFile::parse(with_count(8, 1000), "x"), ErrorCode::Malformed,
               "a tensor count of 1000 cannot fit");
  expect_error(GgufFile::parse(with_count(16, 1000), "x"), ErrorCode::Malformed,
               "a metadata count of 1000 cannot fit");
}

TEST(ReadGguf, RefusesUnsoundMetadata) {
  GgufWriter twice;
  twice.add_u32("key", 1);
  twice.add_u32("key", 2);
  expect_malformed(twice, "the metadata key 'key' occurs twice");
  GgufWriter type;
  type.add_number("key", 13, std::uint64_t{0});
  expect_malformed(type, "unknown metadata type 13");
  GgufWriter empty;
  empty.add_u32("", 1);
  expect_malformed(empty, "a metadata key of 0 bytes; expected 1 to 65535");
  GgufWriter array;
  array.add_raw("key", kArray, array_of(8, std::uint64_t{1} << 61, {}));
  expect_malformed(array, "an array of 2305843009213693952 elements in");
  Bytes nested = array_of(0, 0, {});
  for (int i = 0; i < 5; ++i) nested = array_of(kArray, 1, nested);
  GgufWriter deep;
  deep.add_raw("key", kArray, nested);
  expect_malformed(deep, "nested deeper than 4 levels");
}

TEST(ReadGguf, RefusesAlignmentsThatAreNone) {
  for (const std::uint32_t alignment : {0u, 1u, 33u, 1u << 21}) {
    GgufWriter writer;
    writer.add_u32("general.alignment", alignment);
    expect_malformed(writer, "expected a power of two from 8 to 1048576");
  }
  GgufWriter writer;
  writer.add_string("general.alignment", "32");
  const Bytes bytes = writer.finish();
  expect_error(GgufFile::parse(bytes, "x"), ErrorCode::Mismatch, "general.alignment");
}

TEST(ReadGguf, RefusesUnsoundTensors) {
  const auto with = [](std::vector<std::uint64_t> dims, std::uint32_t type, std::uint64_t offset) {
    GgufWriter writer;
    writer.add_tensor("first", {8}, 0, zeros(32));
    writer.add_tensor_at("t", dims, type, offset);
    return writer;
  };
  expect_malformed(with({}, 0, 32), "'t' has 0 dimensions; expected 1 to 4");
  expect_malformed(with({1, 1, 1, 1, 1}, 0, 32), "'t' has 5 dimensions");
  expect_malformed(with({4, 0}, 0, 32), "'t' has an empty dimension");
  expect_malformed(with({48}, 8, 0), "rows of 48 are no multiple of the 32 elements");
  const std::uint64_t large = std::uint64_t{1} << 32;
  expect_malformed(with({large, large}, 0, 0), "more than 2^64 bytes");
  expect_malformed(with({1}, 0, 4), "offset 4 is no multiple of 32");
  expect_malformed(with({1}, 0, 32), "lie outside the data of 32 bytes");
  expect_malformed(with({9}, 0, 0), "lie outside the data of 32 bytes");
  expect_malformed(with({1}, 99, 64), "lie outside the data of 32 bytes");
  expect_malformed(with({1}, 0, 0), "overlap");
  GgufWriter twice;
  twice.add_tensor("t", {8}, 0, zeros(32));
  twice.add_tensor("t", {8}, 0, zeros(32));
  expect_malformed(twice, "the tensor 't' occurs twice");
  GgufWriter empty;
  empty.add_tensor("", {8}, 0, zeros(32));
  expect_malformed(empty, "a tensor name of 0 bytes");
}

TEST(ReadGguf, ReadsSharedFiles) {
  if (shared_is_missing()) GTEST_SKIP() << kSharedSkip;
  std::size_t count = 0;
  for (const char* folder :
       {"models/gguf", "data/stories260K", "data/bitnet-3M", "data/tokenizers"}) {
    for (const auto& entry : std::filesystem::directory_iterator(shared_path(folder))) {
      if (entry.path().extension() != ".gguf") continue;
      const std::string bytes = read_file(entry.path());
      const auto file = GgufFile::parse(std::as_bytes(std::span(bytes)), entry.path().string());
      ASSERT_TRUE(file.ok()) << to_string(file.error());
      EXPECT_TRUE(file->string_array("tokenizer.ggml.tokens").ok());
      ++count;
    }
  }
  EXPECT_GE(count, 15u);
}

}  // namespace
}  // namespace pianola
