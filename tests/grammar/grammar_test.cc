#include "host/grammar/grammar.h"

#include <gtest/gtest.h>

#include "tests/grammar/byte_vocabulary.h"
#include "tests/support/expect_error.h"

namespace pianola {
namespace {

Grammar parse(std::string_view text) {
  auto grammar = Grammar::parse(text);
  EXPECT_TRUE(grammar.ok()) << text << ": " << to_string(grammar.error());
  return std::move(grammar).value();
}

TEST(Grammar, MatchesLiteralsAlternativesAndGroups) {
  const Grammar grammar =
      parse("root ::= \"a\" (\"b\" | \"c\\n\" | word) # comment\n\nword ::= [x-z]+\n  | \"\"");
  for (const char* text : {"ab", "ac\n", "axyz", "a"}) EXPECT_TRUE(matches(grammar, text)) << text;
  for (const char* text : {"", "b", "abb", "ac", "aw", "axb"})
    EXPECT_FALSE(matches(grammar, text)) << text;
}

TEST(Grammar, CountsRepetitions) {
  const Grammar grammar = parse(R"(root ::= "a"{2} "b"{1,3} "c"{2,} "d"? "e"* "f"+)");
  for (const char* text : {"aabccf", "aabbbccccdeeeff"})
    EXPECT_TRUE(matches(grammar, text)) << text;
  for (const char* text : {"abccf", "aaabccf", "aabbbbccf", "aabcf", "aabccddf", "aabcc"})
    EXPECT_FALSE(matches(grammar, text)) << text;
}

TEST(Grammar, MatchesCharactersInUtf8) {
  const Grammar letters = parse("root ::= [а-я]");
  EXPECT_TRUE(matches(letters, "ж"));
  EXPECT_FALSE(matches(letters, "z"));
  const Grammar other = parse(R"(root ::= [^a-z\u0416\U0001F600])");
  for (const char* text : {"A", "ж", "日", "😁", "\x7F", "\xEF\xBF\xBF"})
    EXPECT_TRUE(matches(other, text)) << text;
  for (const char* text :
       {"b", "Ж", "😀", "\xFF", "\xC3", "\xED\xA0\x80", "\xC0\x80", "\xF4\x90\x80\x80"}) {
    EXPECT_FALSE(matches(other, text)) << text;
  }
  EXPECT_TRUE(matches(parse(R"(root ::= "\x41\u00e9\"\\")"), "Aé\"\\"));
}

// Every code point, against the definition of UTF-8.
TEST(Grammar, SplitsRangesOfCharactersExactly) {
  const std::pair<char32_t, char32_t> ranges[] = {
      {0x7E, 0x81}, {0x7FE, 0x802}, {0xFFD, 0x1003}, {0xFFFE, 0x10002}, {0x3FFE, 0x20001}};
  for (const auto& [first, last] : ranges) {
    char text[64];
    std::snprintf(text, sizeof(text), "root ::= [\\U%08x-\\U%08x]", static_cast<unsigned>(first),
                  static_cast<unsigned>(last));
    const Grammar grammar = parse(text);
    const std::vector<char32_t> codes = {first - 1, first, first + 1, (first + last) / 2,
                                         last - 1,  last,  last + 1};
    for (const char32_t code : codes) {
      std::string character;
      if (code < 0x80) {
        character = {static_cast<char>(code)};
      } else if (code < 0x800) {
        character = {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 63))};
      } else if (code < 0x10000) {
        character = {static_cast<char>(0xE0 | code >> 12),
                     static_cast<char>(0x80 | (code >> 6 & 63)),
                     static_cast<char>(0x80 | (code & 63))};
      } else {
        character = {
            static_cast<char>(0xF0 | code >> 18), static_cast<char>(0x80 | (code >> 12 & 63)),
            static_cast<char>(0x80 | (code >> 6 & 63)), static_cast<char>(0x80 | (code & 63))};
      }
      EXPECT_EQ(matches(grammar, character), code >= first && code <= last)
          << text << " " << static_cast<unsigned>(code);
    }
  }
}

TEST(Grammar, MatchesRecursion) {
  const Grammar grammar = parse("root ::= \"(\" root* \")\"");
  EXPECT_TRUE(matches(grammar, "(()(()))"));
  EXPECT_FALSE(matches(grammar, "(()"));
  EXPECT_FALSE(matches(grammar, "())"));
  EXPECT_TRUE(matches(grammar, std::string(5000, '(') + std::string(5000, ')')));
}

TEST(Grammar, RefusesWhatItCannotKeepTo) {
  const auto refuse = [](const std::string& text, ErrorCode code, const std::string& phrase) {
    SCOPED_TRACE(text.substr(0, 100));
    expect_error(Grammar::parse(text), code, phrase);
  };
  refuse("root ::= root \"a\" | \"b\"", ErrorCode::Unsupported, "'root' can begin with itself");
  refuse("root ::= a\na ::= \"\" b\nb ::= a \"x\"", ErrorCode::Unsupported, "left recursion");
  refuse("root ::= (\"a\"*)*", ErrorCode::Unsupported, "repeats what may be empty");
  refuse("root ::= \"a\" root", ErrorCode::Mismatch, "no finite text");
  refuse("root ::= x", ErrorCode::Malformed, "'x' is used but not defined");
  refuse("x ::= \"a\"", ErrorCode::Malformed, "no rule 'root'");
  refuse("root ::= \"a\"\nroot ::= \"b\"", ErrorCode::Malformed,
         "line 2: the rule 'root' is defined twice");
  refuse("root ::= \"a", ErrorCode::Malformed, "without its end");
  refuse("root ::= [b-a]", ErrorCode::Malformed, "whose end comes before");
  refuse("root ::= (\"a\"", ErrorCode::Malformed, "without its ')'");
  refuse("root ::= \"\\q\"", ErrorCode::Malformed, "an escape");
  refuse("root = \"a\"", ErrorCode::Malformed, "expected ::=");
  refuse("root ::= \"a\"{3,2}", ErrorCode::Malformed, "at least more than at most");
  refuse("root ::= \"a\"{99999}", ErrorCode::OutOfRange, "a count above");
  std::string long_rule = "root ::=";
  for (int i = 0; i < 40; ++i) long_rule += " \"a\"{9999}";
  refuse(long_rule, ErrorCode::OutOfRange, "more than 300000 symbols");
  refuse("root ::= " + std::string(100, '(') + "\"a\"" + std::string(100, ')'),
         ErrorCode::OutOfRange, "nested deeper");
  refuse(std::string(300'000, ' '), ErrorCode::OutOfRange, "has 300000 bytes");
}

TEST(Grammar, MatchesJsonObjects) {
  const Grammar grammar = Grammar::json_object();
  for (const char* text :
       {"{}", "{ }", R"({"a":1,"b":[true,null,{"c":"\u00e9\ud83d\ude00\n"}],"d":-1.5e-9})",
        "{\n  \"a\": [\n    1\n  ]\n}"}) {
    EXPECT_TRUE(matches(grammar, text)) << text;
  }
  for (const char* text :
       {"", "[]", "{\"a\":01}", "{\"a\":1,}", "{a:1}", "{\"a\":\"\\ud83d\"}", "{\"a\":\"\n\"}",
        "{\"a\":+1}", "{}{}", "{\"a\":.5}", "{\"a\":1.}", "{\"a\":\"\xFF\"}"}) {
    EXPECT_FALSE(matches(grammar, text)) << text;
  }
}

}  // namespace
}  // namespace pianola
