#include "formats/parse_json.h"

#include <gtest/gtest.h>

#include "tests/support/expect_error.h"

namespace pianola {
namespace {

TEST(ParseJson, ReadsAnObject) {
  const auto json = parse_json(R"({"a": 1, "b": [true, null, "x", -2.5]})", "test");
  ASSERT_TRUE(json.ok());
  EXPECT_EQ((*json)["a"], 1);
  EXPECT_EQ((*json)["b"].size(), 4u);
}

TEST(ParseJson, RefusesWhatIsNoJson) {
  for (const char* text :
       {"", "{", "[1,]", "{\"a\":}", "{} x", "\"\xff\"", "1e999", "nan", "\x01"}) {
    expect_error(parse_json(text, "some.json"), ErrorCode::Malformed, "some.json: no valid JSON");
  }
}

TEST(ParseJson, RefusesKeysThatRepeat) {
  expect_error(parse_json(R"({"a":1,"b":{"a":2},"a":3})", "x"), ErrorCode::Malformed,
               "the key 'a' occurs twice");
  EXPECT_TRUE(parse_json(R"([{"a":1},{"a":2}])", "x").ok());
}

TEST(ParseJson, RefusesDepthAndSizeOverTheLimits) {
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  expect_error(parse_json(deep, "x"), ErrorCode::OutOfRange, "nested deeper than 32 levels");
  EXPECT_TRUE(parse_json("[[1]]", "x", {.depth_max = 2}).ok());
  expect_error(parse_json("[[[1]]]", "x", {.depth_max = 2}), ErrorCode::OutOfRange, "deeper");
  expect_error(parse_json("[1,2,3]", "x", {.values_max = 3}), ErrorCode::OutOfRange,
               "more than 3 JSON values");
  expect_error(parse_json("[1,2,3]", "x", {.size_bytes_max = 3}), ErrorCode::OutOfRange,
               "JSON text of 7 bytes; at most 3");
}

TEST(JsonMembers, ReadTypesAndTreatNullAsAbsent) {
  const Json json = *parse_json(R"({"i":7,"n":2,"b":true,"s":"x","z":null,"big":1e3})", "x");
  EXPECT_EQ(*integer_member(json, "i"), 7);
  EXPECT_EQ(*number_member(json, "n"), 2.0);
  EXPECT_EQ(*bool_member(json, "b"), true);
  EXPECT_EQ(*string_member(json, "s"), "x");
  EXPECT_EQ(*integer_member(json, "z"), std::nullopt);
  EXPECT_EQ(*integer_member(json, "none"), std::nullopt);
  EXPECT_EQ(find_member(Json::array(), "x"), nullptr);
}

TEST(JsonMembers, RefuseOtherTypes) {
  const Json json = *parse_json(R"({"s":"x","f":1.5,"big":18446744073709551615})", "x");
  expect_error(integer_member(json, "s"), ErrorCode::Malformed,
               "'s': expected an integer, found a value of type string");
  expect_error(integer_member(json, "f"), ErrorCode::Malformed, "expected an integer");
  expect_error(integer_member(json, "big"), ErrorCode::Malformed, "does not fit 64 bits");
  expect_error(number_member(json, "s"), ErrorCode::Malformed, "expected a number");
  expect_error(bool_member(json, "s"), ErrorCode::Malformed, "expected true or false");
  expect_error(string_member(json, "f"), ErrorCode::Malformed, "expected a string");
}

}  // namespace
}  // namespace pianola
