#include <gtest/gtest.h>

#include "host/grammar/grammar.h"
#include "tests/grammar/byte_vocabulary.h"
#include "tests/support/expect_error.h"

namespace pianola {
namespace {

void check(const char* schema, const std::vector<std::string>& valid,
           const std::vector<std::string>& invalid) {
  const auto grammar = Grammar::from_json_schema(nlohmann::ordered_json::parse(schema));
  ASSERT_TRUE(grammar.ok()) << schema << ": " << to_string(grammar.error());
  for (const std::string& text : valid)
    EXPECT_TRUE(matches(*grammar, text)) << schema << " " << text;
  for (const std::string& text : invalid)
    EXPECT_FALSE(matches(*grammar, text)) << schema << " " << text;
}

TEST(JsonSchema, KeepsTypes) {
  check(R"({"type":"integer"})", {"0", "-7", "123456789012345678"},
        {"-0", "01", "1.0", "1e3", "1234567890123456789", "\"1\""});
  check(R"({"type":"number"})", {"0", "-0.5", "1e10", "3.25E-7"}, {"1.", ".5", "1e999", "NaN"});
  check(R"({"type":["null","boolean"]})", {"null", "true", "false"}, {"0", "\"null\"", "True"});
  check(R"({"const":{"a":[1,"x"]}})", {R"({"a":[1,"x"]})", R"({"a": [1, "x"]})"},
        {R"({"a":[1]})", "{}"});
  check(R"({"enum":["a",1,null],"type":["string","null"]})", {"\"a\"", "null"}, {"1", "\"b\""});
}

TEST(JsonSchema, KeepsBoundsOfIntegers) {
  const auto range = [](std::int64_t first, std::int64_t last) {
    const auto grammar =
        Grammar::from_json_schema({{"type", "integer"}, {"minimum", first}, {"maximum", last}});
    ASSERT_TRUE(grammar.ok());
    for (std::int64_t value = -1100; value <= 1100; ++value) {
      ASSERT_EQ(matches(*grammar, std::to_string(value)), value >= first && value <= last)
          << first << ".." << last << " " << value;
    }
    EXPECT_FALSE(matches(*grammar, "-0"));
  };
  for (const auto& [first, last] : std::vector<std::pair<int, int>>{
           {0, 0}, {-1, 1}, {3, 1000}, {-1000, -3}, {-57, 123}, {99, 100}, {-100, -99}}) {
    range(first, last);
  }
  check(R"({"type":"integer","exclusiveMinimum":1.5,"exclusiveMaximum":4})", {"2", "3"},
        {"1", "4"});
  expect_error(Grammar::from_json_schema({{"type", "integer"}, {"minimum", 1e30}}),
               ErrorCode::Mismatch, "no integer of at most 18 digits");
}

TEST(JsonSchema, KeepsLengthsAndPatterns) {
  check(R"({"type":"string","minLength":1,"maxLength":2})",
        {R"("a")", R"("é😀")", R"("\n\"")", R"("\u00e9\ud83d\ude00")"},
        {R"("")", R"("abc")", R"("\ud83d")"});
  check(R"({"type":"string","pattern":"^(a|b)[^\"x]{2}\\.$"})", {R"("ayz.")", R"("b\\\n.")"},
        {R"("axz.")", R"("a\"z.")", R"("ayz")"});
  check(R"({"type":"string","pattern":"\\d\\w"})", {R"("1a")", R"("xx1ayy")"},
        {R"("1")", R"("a1")"});
  check(R"({"type":"string","format":"date"})", {R"("2024-02-28")", R"("2024-01-31")"},
        {R"("2024-02-30")", R"("2024-13-01")"});
  check(R"({"type":"string","format":"date-time"})", {R"("2024-02-28T23:59:59.5Z")"},
        {R"("2024-02-28")", R"("2024-02-28T24:00:00Z")"});
}

TEST(JsonSchema, KeepsObjects) {
  const char* schema =
      R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"null"},"c":{"type":"boolean"}},"required":["b"]})";
  check(schema,
        {R"({"b":null})", R"({"a":1,"b":null})", R"({"a": 1, "b": null, "c": true})",
         "{\n \"b\": null\n}"},
        {"{}", R"({"a":1})", R"({"b":null,"a":1})", R"({"b":null,"d":1})", R"({,"b":null})",
         R"({"b":null,})", R"({"b":null"c":true})"});
  check(R"({"properties":{"ab":{"type":"integer"}},"additionalProperties":{"type":"boolean"}})",
        {"{}", R"({"ab":1})", R"({"ab":1,"a":true,"abc":false})", R"({"x":true})", R"({"":true})"},
        {R"({"ab":true})", R"({"x":true,"ab":true})", R"({"\u0061b":true})", R"({"a":1})"});
  check(R"({"type":"object","required":["k"]})", {R"({"k":[]})", R"({"k":1,"l":2})"},
        {"{}", R"({"l":2})"});
}

TEST(JsonSchema, KeepsArrays) {
  check(R"({"type":"array","items":{"type":"integer"},"minItems":1,"maxItems":3})",
        {"[1]", "[1,2,3]", "[1, 2]"}, {"[]", "[1,2,3,4]", "[1,]", "[null]"});
  check(R"({"prefixItems":[{"type":"integer"},{"type":"null"}],"items":false})",
        {"[]", "[1]", "[1,null]"}, {"[null]", "[1,null,1]"});
  check(R"({"prefixItems":[{"type":"integer"}],"items":{"type":"null"},"minItems":2})",
        {"[1,null]", "[1,null,null]"}, {"[1]", "[1,1]"});
  check(R"({"type":"array","maxItems":0})", {"[]", "[ ]"}, {"[1]"});
}

TEST(JsonSchema, FollowsReferencesAndCombinations) {
  check(
      R"({"$ref":"#/$defs/list","$defs":{"list":{"type":"object","properties":{"next":{"anyOf":[{"$ref":"#/$defs/list"},{"type":"null"}]}},)"
      R"("required":["next"],"additionalProperties":false}}})",
      {R"({"next":null})", R"({"next":{"next":null}})"}, {"{}", R"({"next":{}})", "null"});
  check(
      R"({"allOf":[{"type":"object","properties":{"a":{"type":"null"}},"required":["a"]},{"properties":{"b":{"type":"null"}},"required":["b"]}]})",
      {R"({"a":null,"b":null})"}, {R"({"a":null})", R"({"b":null})"});
  check(R"({"oneOf":[{"type":"string"},{"type":"integer"}]})", {"1", "\"a\""}, {"null"});
  check(R"({"$id":"https://example.org/s","type":"null"})", {"null"}, {"1"});
}

// What cannot be kept to is refused: never an answer that only looks as if it were kept.
TEST(JsonSchema, RefusesWhatItCannotKeepTo) {
  const auto refuse = [](const char* schema, ErrorCode code, const std::string& phrase) {
    SCOPED_TRACE(schema);
    expect_error(Grammar::from_json_schema(nlohmann::ordered_json::parse(schema)), code, phrase);
  };
  for (const char* key : {"not", "if", "patternProperties", "propertyNames", "minProperties",
                          "contains", "dependentRequired", "unevaluatedProperties",
                          "contentEncoding", "nullable", "$dynamicRef", "anything"}) {
    SCOPED_TRACE(key);
    expect_error(Grammar::from_json_schema({{"type", "object"}, {key, {{"type", "null"}}}}),
                 ErrorCode::Unsupported, std::string("'") + key + "' is not supported");
  }
  refuse(R"({"properties":{"a":{"$id":"x","type":"null"}}})", ErrorCode::Unsupported,
         "'$id' is not supported here");
  refuse(R"({"type":"number","minimum":0})", ErrorCode::Unsupported, "'minimum' of numbers");
  refuse(R"({"type":"integer","multipleOf":3})", ErrorCode::Unsupported, "multipleOf");
  refuse(R"({"type":"array","uniqueItems":true})", ErrorCode::Unsupported, "uniqueItems");
  refuse(R"({"type":"string","format":"email"})", ErrorCode::Unsupported,
         "'email' is not supported");
  refuse(R"({"type":"string","pattern":"(?=a)b"})", ErrorCode::Unsupported, "look-around");
  refuse(R"({"type":"string","pattern":"\\bword"})", ErrorCode::Unsupported,
         "an escape that is not supported");
  refuse(R"({"type":"string","pattern":"a","minLength":3})", ErrorCode::Unsupported,
         "only one of pattern");
  refuse(R"({"oneOf":[{"type":"integer"},{"type":"number"}]})", ErrorCode::Unsupported,
         "cannot be kept apart");
  refuse(R"({"anyOf":[{"type":"string"}],"minLength":2})", ErrorCode::Unsupported,
         "'minLength' is not supported here");
  refuse(R"({"enum":["a"],"minLength":2})", ErrorCode::Unsupported,
         "'minLength' is not supported here");
  refuse(R"({"$ref":"https://example.org/x"})", ErrorCode::Unsupported, "leads nowhere");
  refuse(R"({"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/a"}}})", ErrorCode::Unsupported,
         "left recursion");
  refuse(
      R"({"$ref":"#/$defs/a","$defs":{"a":{"type":"array","items":{"$ref":"#/$defs/a"},"minItems":1}}})",
      ErrorCode::Mismatch, "no finite text");
  refuse(R"({"type":"integer","minimum":3,"maximum":2})", ErrorCode::Mismatch, "no integer");
  refuse(R"({"type":"integer","enum":["a"]})", ErrorCode::Mismatch, "no value of 'enum'");
  refuse(R"({"properties":{"a":{}},"required":["b"],"additionalProperties":false})",
         ErrorCode::Mismatch, "'b' is required");
  refuse(R"({"type":"text"})", ErrorCode::Malformed, "/type");
  refuse(R"([])", ErrorCode::Malformed, "a schema must be");
  refuse(R"(false)", ErrorCode::Mismatch, "nothing satisfies");
  refuse(R"({"type":"string","maxLength":100000})", ErrorCode::OutOfRange, "at most 10000");
}

}  // namespace
}  // namespace pianola
