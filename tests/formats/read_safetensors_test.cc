#include "formats/read_safetensors.h"

#include <gtest/gtest.h>

#include <limits>

#include "tests/support/expect_error.h"
#include "tests/support/shared_files.h"
#include "tests/support/write_containers.h"

namespace pianola {
namespace {

Bytes zeros(std::size_t count) { return Bytes(count, std::byte{0}); }

Result<SafetensorsFile> parse(const std::string& header, std::size_t data_bytes) {
  static Bytes bytes;  // outlives the views of the last result
  bytes = write_safetensors(header, zeros(data_bytes));
  return SafetensorsFile::parse(bytes, "test.safetensors");
}

void expect_malformed(const std::string& header, std::size_t data_bytes,
                      const std::string& phrase) {
  expect_error(parse(header, data_bytes), ErrorCode::Malformed, phrase);
}

std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

TEST(ReadSafetensors, FindsTensorsAndMetadata) {
  const auto file =
      parse("{\"__metadata__\":{\"format\":\"pt\"},\"b\":" + entry("F32", "[2,3]", "[0,24]") +
                ",\"a\":" + entry("BF16", "[]", "[24,26]") +
                ",\"e\":" + entry("U8", "[0]", "[26,26]") + "}  ",
            26);
  ASSERT_TRUE(file.ok()) << to_string(file.error());
  ASSERT_EQ(file->tensors().size(), 3u);
  EXPECT_EQ(file->tensors()[0].name, "a");
  const SafetensorsTensor* b = file->find_tensor("b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->shape, (std::vector<std::uint64_t>{2, 3}));
  EXPECT_EQ(b->bytes.size(), 24u);
  EXPECT_EQ(file->find_tensor("c"), nullptr);
  EXPECT_EQ(file->metadata().at("format"), "pt");
}

TEST(ReadSafetensors, RefusesAnUnsoundFrame) {
  expect_error(SafetensorsFile::parse(zeros(3), "x"), ErrorCode::Malformed, "expected at least 8");
  Bytes bytes = zeros(16);
  for (std::size_t i = 0; i < 8; ++i) bytes[i] = std::byte{255};
  expect_error(SafetensorsFile::parse(bytes, "x"), ErrorCode::Malformed, "or cut short");
  expect_malformed("", 0, "no valid JSON");
  expect_malformed("[]", 0, "the header is not a JSON object");
  expect_error(parse("{\"__metadata__\":{\"a\":{\"b\":{\"c\":{}}}}}", 0), ErrorCode::OutOfRange,
               "nested deeper");
  const std::string huge(std::size_t{33} << 20, ' ');
  expect_error(parse(huge, 0), ErrorCode::OutOfRange, "at most 33554432");
}

TEST(ReadSafetensors, RefusesUnsoundMetadata) {
  expect_malformed(R"({"__metadata__":1})", 0, "'__metadata__' is not an object");
  expect_malformed(R"({"__metadata__":{"a":1}})", 0, "entry 'a' is not a string");
}

TEST(ReadSafetensors, RefusesUnsoundEntries) {
  const auto with = [](const std::string& text) { return "{\"t\":" + text + "}"; };
  expect_malformed(with("1"), 0, "its header entry is not an object");
  expect_malformed(with(R"({"shape":[],"data_offsets":[0,4]})"), 4, "'dtype' must be a string");
  expect_malformed(with(entry("F13", "[]", "[0,4]")), 4, "unknown dtype 'F13'");
  expect_malformed(with(entry("F32", "[-1]", "[0,4]")), 4, "'shape' must be");
  expect_malformed(with(entry("F32", "[1.0]", "[0,4]")), 4, "'shape' must be");
  expect_malformed(with(entry("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]")), 4, "'shape' must be");
  expect_malformed(with(entry("F32", "[1]", "[0]")), 4, "'data_offsets' must be");
  expect_malformed(with(entry("F32", "[1]", "[0,-4]")), 4, "'data_offsets' must be");
  expect_malformed(with(entry("F32", "[1]", "[4,0]")), 4, "lie outside the data");
  expect_malformed(with(entry("F32", "[2]", "[0,8]")), 4, "lie outside the data of 4 bytes");
  expect_malformed(with(entry("F32", "[2]", "[0,4]")), 4, "need 8 bytes, data_offsets give 4");
  expect_malformed(with(entry("F32", "[4294967296,4294967296]", "[0,4]")), 4, "more than 2^64");
}

TEST(ReadSafetensors, RefusesOverlapAndBytesWithoutOwner) {
  const std::string first = "{\"a\":" + entry("F32", "[1]", "[0,4]");
  expect_malformed(first + ",\"b\":" + entry("F32", "[1]", "[2,6]") + "}", 6, "'b' overlaps");
  expect_malformed(first + ",\"b\":" + entry("F32", "[1]", "[0,4]") + "}", 4, "overlaps");
  expect_malformed(first + ",\"b\":" + entry("F32", "[1]", "[8,12]") + "}", 12,
                   "bytes 4 to 8 of the data belong to no tensor");
  expect_malformed(first + "}", 6, "2 bytes after the last tensor");
}

TEST(ReadSafetensors, ReadsSharedModels) {
  if (shared_is_missing()) GTEST_SKIP() << kSharedSkip;
  for (const char* path :
       {"models/nursery-deepseek/model.safetensors", "models/nursery-bitnet/model.safetensors",
        "data/stories260K/hf/model-00001-of-00002.safetensors"}) {
    const std::string bytes = read_file(shared_path(path));
    const auto file = SafetensorsFile::parse(std::as_bytes(std::span(bytes)), path);
    ASSERT_TRUE(file.ok()) << to_string(file.error());
    EXPECT_FALSE(file->tensors().empty());
  }
}

TEST(SafetensorsIndex, ReadsTheWeightMap) {
  const auto index = parse_safetensors_index(R"({"weight_map":{"a":"m-1.safetensors"}})", "x");
  ASSERT_TRUE(index.ok());
  EXPECT_EQ(index->at("a"), "m-1.safetensors");
}

TEST(SafetensorsIndex, RefusesPathsOutOfTheDirectory) {
  for (const char* path :
       {"../m", "/etc/passwd", "a/b", "..", ".", "", "a\\\\b", "a\\u0000b", ".hidden"}) {
    const std::string text = R"({"weight_map":{"a":")" + std::string(path) + R"("}})";
    expect_error(parse_safetensors_index(text, "x"), ErrorCode::Malformed,
                 "expected the plain name of a file in the same directory");
  }
  const std::string text = R"({"weight_map":{"a":")" + std::string(300, 'a') + R"("}})";
  expect_error(parse_safetensors_index(text, "x"), ErrorCode::Malformed, "plain name");
}

TEST(SafetensorsIndex, RefusesOtherShapes) {
  expect_error(parse_safetensors_index("{}", "x"), ErrorCode::Malformed, "'weight_map' must be");
  expect_error(parse_safetensors_index("[]", "x"), ErrorCode::Malformed, "'weight_map' must be");
  expect_error(parse_safetensors_index(R"({"weight_map":{"a":1}})", "x"), ErrorCode::Malformed,
               "entry 'a' is not a file name");
  expect_error(parse_safetensors_index("{", "x"), ErrorCode::Malformed, "no valid JSON");
}

}  // namespace
}  // namespace pianola
