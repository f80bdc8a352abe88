// Hostile grammars and JSON schemas: a matcher that keeps its word or a clean error, in bounded
// time and memory.
#include "host/grammar/grammar_matcher.h"
#include "tests/fuzz/fuzz_cases.h"
#include "tests/grammar/byte_vocabulary.h"

namespace pianola {
namespace {

using Json = nlohmann::ordered_json;

// A walk through the masks: every allowed token is accepted, and the end only where the text is
// complete.
bool walk(FuzzRandom& random, const Grammar& grammar, const TokenVocabulary& vocabulary) {
  GrammarMatcher matcher(grammar, vocabulary);
  for (int step = 0; step < 12; ++step) {
    const auto mask = matcher.allowed_tokens();
    if (!mask.ok()) {
      EXPECT_FALSE(mask.error().message.empty());
      return false;
    }
    EXPECT_EQ(is_allowed(*mask, eos_of(vocabulary)), matcher.is_complete());
    std::vector<int> allowed;
    for (int token = 0; token < static_cast<int>(vocabulary.size()); ++token) {
      if (is_allowed(*mask, token)) allowed.push_back(token);
    }
    const int token = random.pick(allowed);
    EXPECT_TRUE(matcher.accept(token).ok());
    if (matcher.has_ended()) break;
  }
  return true;
}

TEST(GrammarFuzz, MutatedGrammars) {
  const std::vector<std::string> sources = {
      "root ::= object\nobject ::= \"{\" (pair (\",\" pair)*)? \"}\"\npair ::= string \":\" "
      "(string | object | [0-9]+)\n"
      "string ::= \"\\\"\" [^\"\\\\\\x00-\\x1f]* \"\\\"\"",
      "root ::= (\"a\" | \"b\"{2,4} [à-ü]?)+ \".\" # end\n",
      "root ::= item (\"\\n\" item){0,3}\nitem ::= \"- \" [^\\n]{1,20}",
      "root ::= \"(\" root* \")\" | [a-z] tail\ntail ::= \"\" | \"x\" tail"};
  const std::vector<std::string> fragments = {
      "root", " ::= ", "|",    "*",    "+",    "?",    "{1,3}", "{9999}", "{,",          "(",
      ")",    "[",     "]",    "[^",   "-",    "\"",   "\\",    "\\x41",  "\\U0010FFFF", "\n",
      "#",    ".",     "\"\"", "tail", "item", "\xFF", "é",     "{0,0}",  "()"};
  const TokenVocabulary vocabulary = byte_vocabulary();
  int walked = 0;
  run_fuzz_cases(fuzz_case_count(), [&](FuzzRandom& random) {
    const auto grammar = Grammar::parse(mutate_text(random, random.pick(sources), fragments));
    if (!grammar.ok()) {
      EXPECT_FALSE(grammar.error().message.empty());
      return;
    }
    walked += walk(random, *grammar, vocabulary);
  });
  std::printf("%d walked\n", walked);
  EXPECT_GT(walked, fuzz_case_count() / 20);
}

// Schemas of random keywords with random values.
Json make_schema(FuzzRandom& random, int depth) {
  static const std::vector<std::string> kKeys = {
      "type",      "properties",  "required", "additionalProperties",
      "items",     "prefixItems", "minItems", "maxItems",
      "enum",      "const",       "anyOf",    "oneOf",
      "allOf",     "$ref",        "pattern",  "minLength",
      "maxLength", "minimum",     "maximum",  "format",
      "title",     "not"};
  static const std::vector<Json> kValues = {nullptr,
                                            true,
                                            false,
                                            0,
                                            3,
                                            -5,
                                            1e300,
                                            0.5,
                                            "string",
                                            "object",
                                            "array",
                                            "integer",
                                            "#",
                                            "#/$defs/a",
                                            "^a+$",
                                            "(a|b)*",
                                            "[^\"]{2,3}",
                                            "\\d",
                                            "(",
                                            "date",
                                            Json::array(),
                                            Json::object(),
                                            {"a", "b"}};
  if (random.below(12) == 0) return random.pick(kValues);
  static const std::vector<std::string> kTypes = {"string", "integer", "number", "object",
                                                  "array",  "boolean", "null"};
  Json schema = Json::object();
  if (random.below(2) == 0) schema["type"] = random.pick(kTypes);
  for (std::size_t count = random.below(3); count > 0; --count) {
    const std::string& key = random.pick(kKeys);
    const bool has_list =
        key == "anyOf" || key == "oneOf" || key == "allOf" || key == "prefixItems";
    if (random.below(5) == 0 || depth > 3) {
      schema[key] = random.pick(kValues);
    } else if (key == "properties") {
      schema[key] = {{"a", make_schema(random, depth + 1)},
                     {"b\"", make_schema(random, depth + 1)}};
    } else if (key == "required" || key == "enum") {
      schema[key] = {"a", random.pick(kValues)};
    } else if (has_list) {
      schema[key] = Json::array({make_schema(random, depth + 1), make_schema(random, depth + 1)});
    } else if (key == "items" || key == "additionalProperties") {
      schema[key] = make_schema(random, depth + 1);
    } else {
      schema[key] = random.pick(kValues);
    }
  }
  return schema;
}

TEST(GrammarFuzz, RandomSchemas) {
  const TokenVocabulary vocabulary = byte_vocabulary();
  int walked = 0;
  run_fuzz_cases(fuzz_case_count(), [&](FuzzRandom& random) {
    Json schema = make_schema(random, 0);
    if (schema.is_object()) schema["$defs"] = {{"a", make_schema(random, 1)}};
    const auto grammar = Grammar::from_json_schema(schema);
    if (!grammar.ok()) {
      EXPECT_FALSE(grammar.error().message.empty());
      return;
    }
    walked += walk(random, *grammar, vocabulary);
  });
  std::printf("%d walked\n", walked);
  EXPECT_GT(walked, fuzz_case_count() / 20);
}

}  // namespace
}  // namespace pianola
