#include "host/grammar/grammar_matcher.h"

#include <gtest/gtest.h>

#include <random>

#include "host/grammar/grammar_constraint.h"
#include "host/tokenizer/tokenizer.h"
#include "tests/grammar/byte_vocabulary.h"
#include "tests/support/expect_error.h"
#include "tests/support/shared_files.h"

namespace pianola {
namespace {

Grammar parse(std::string_view text) { return Grammar::parse(text).value(); }

std::vector<std::string> allowed_texts(GrammarMatcher& matcher, const TokenVocabulary& vocabulary) {
  const auto mask = matcher.allowed_tokens();
  EXPECT_TRUE(mask.ok());
  std::vector<std::string> texts;
  for (int token = 0; token < static_cast<int>(vocabulary.size()); ++token) {
    if (is_allowed(*mask, token))
      texts.push_back(vocabulary.is_eos(token) ? "<end>" : vocabulary.bytes(token));
  }
  return texts;
}

TEST(GrammarMatcher, MasksAllButTheTokensThatGoOn) {
  const TokenVocabulary vocabulary({"y", "yes", "no", "n", "o", "ye", "s", "yesno", "", "maybe"},
                                   {8});
  const Grammar grammar = parse(R"(root ::= "yes" | "no")");
  GrammarMatcher matcher(grammar, vocabulary);
  EXPECT_EQ(allowed_texts(matcher, vocabulary),
            (std::vector<std::string>{"y", "yes", "no", "n", "ye"}));
  EXPECT_FALSE(matcher.is_complete());
  EXPECT_TRUE(matcher.accept(5).ok());
  EXPECT_EQ(allowed_texts(matcher, vocabulary), (std::vector<std::string>{"s"}));
  expect_error(matcher.accept(2), ErrorCode::InvalidArgument, "does not allow token 2");
  expect_error(matcher.accept(8), ErrorCode::InvalidArgument, "does not allow token 8");
  expect_error(matcher.accept(-1), ErrorCode::InvalidArgument, "does not allow token -1");
  EXPECT_TRUE(matcher.accept(6).ok());
  EXPECT_TRUE(matcher.is_complete());
  EXPECT_EQ(allowed_texts(matcher, vocabulary), (std::vector<std::string>{"<end>"}));
  EXPECT_TRUE(matcher.accept(8).ok());
  EXPECT_TRUE(matcher.has_ended());
  expect_error(matcher.accept(8), ErrorCode::InvalidArgument, "does not allow");
  expect_error(matcher.allowed_tokens(), ErrorCode::InvalidArgument, "has ended");
}

TEST(GrammarMatcher, FailsWhereTheVocabularyCannotGoOn) {
  const TokenVocabulary vocabulary({"a", ""}, {1});
  const Grammar grammar = parse(R"(root ::= "ab")");
  GrammarMatcher matcher(grammar, vocabulary);
  EXPECT_TRUE(matcher.accept(0).ok());
  expect_error(matcher.allowed_tokens(), ErrorCode::Mismatch,
               "no token of this model's vocabulary");
  expect_error(matcher.allowed_tokens(), ErrorCode::Mismatch,
               "no token of this model's vocabulary");
}

// In every state of random walks each token's bit says whether its bytes can be accepted one by
// one.
TEST(GrammarMatcher, MasksAgreeWithBytesAcceptedOneByOne) {
  const TokenVocabulary vocabulary = byte_vocabulary();
  const Grammar grammars[] = {
      Grammar::json_object(),
      parse("root ::= (\"the\" | \" the\" | [a-c]+ \"\\n\" | [é日]{1,3} | \"\\\"\" root)"),
      parse("root ::= item (\", \" item){0,4} \".\"?\nitem ::= [0-9]{1,3} | \"ab\" \"c\"? | \"(\" "
            "item \")\"")};
  std::mt19937_64 random(1);
  int checked = 0;
  for (const Grammar& grammar : grammars) {
    for (int walk = 0; walk < 15; ++walk) {
      GrammarMatcher matcher(grammar, vocabulary);
      std::string text;
      for (int step = 0; step < 25; ++step) {
        const auto result = matcher.allowed_tokens();
        ASSERT_TRUE(result.ok());
        const std::vector<std::uint64_t> mask(result->begin(), result->end());
        std::vector<int> allowed;
        for (int token = 0; token < static_cast<int>(vocabulary.size()) - 1; ++token) {
          GrammarMatcher alone(grammar, vocabulary);
          bool accepted = true;
          for (const char byte : text + vocabulary.bytes(token)) {
            accepted = accepted && alone.accept(static_cast<unsigned char>(byte)).ok();
            if (!accepted) break;
          }
          ASSERT_EQ(is_allowed(mask, token), accepted)
              << "'" << text << "' + '" << vocabulary.bytes(token) << "'";
          ++checked;
          if (accepted) allowed.push_back(token);
        }
        EXPECT_EQ(is_allowed(mask, eos_of(vocabulary)), matcher.is_complete());
        if (allowed.empty()) break;
        const int token = allowed[random() % allowed.size()];
        ASSERT_TRUE(matcher.accept(token).ok());
        text += vocabulary.bytes(token);
      }
    }
  }
  EXPECT_GT(checked, 50'000);
}

// States are forgotten when there are many; the text goes on as before.
TEST(GrammarMatcher, StaysBoundedOverALongText) {
  const TokenVocabulary vocabulary = byte_vocabulary();
  const Grammar grammar = Grammar::json_object();
  GrammarMatcher matcher(grammar, vocabulary);
  std::string text;
  for (int i = 0; i < 3000; ++i) text += "{\"a\":[";
  for (int i = 0; i < 3000; ++i) text += "]}";
  for (const char byte : text) {
    ASSERT_TRUE(matcher.accept(static_cast<unsigned char>(byte)).ok());
    if (byte == '[') {
      ASSERT_TRUE(matcher.allowed_tokens().ok());
    }
  }
  EXPECT_TRUE(matcher.is_complete());
}

TEST(GrammarMatcher, RefusesHopelessAmbiguity) {
  std::string text = "root ::= r0\n";
  for (int i = 0; i < 40; ++i) {
    const std::string next = "r" + std::to_string(i + 1);
    text += "r" + std::to_string(i) + " ::= " + next + " \"x\" | " + next + " \"y\"\n";
  }
  const Grammar grammar = parse(text + "r40 ::= \"a\"");
  const TokenVocabulary vocabulary = byte_vocabulary();
  GrammarMatcher matcher(grammar, vocabulary);
  expect_error(matcher.allowed_tokens(), ErrorCode::OutOfRange, "too many ways to read");
  expect_error(matcher.accept('a'), ErrorCode::OutOfRange, "too many ways to read");
}

TEST(GrammarConstraint, MasksLogits) {
  const TokenVocabulary vocabulary({"a", "b", "", ""}, {3});
  GrammarConstraint constraint(parse(R"(root ::= "b")"), vocabulary);
  const auto masked = [&] {
    std::vector<float> logits(70, 1.0f);  // a model may have more than its tokenizer
    EXPECT_TRUE(constraint.mask(logits).ok());
    std::vector<std::size_t> left;
    for (std::size_t i = 0; i < logits.size(); ++i) {
      if (logits[i] == 1.0f) left.push_back(i);
    }
    return left;
  };
  EXPECT_EQ(masked(), std::vector<std::size_t>{1});
  expect_error(constraint.accept(0), ErrorCode::InvalidArgument, "does not allow token 0");
  EXPECT_TRUE(constraint.accept(1).ok());
  EXPECT_EQ(masked(), std::vector<std::size_t>{3});
  EXPECT_TRUE(constraint.accept(3).ok());
  std::vector<float> logits(4);
  expect_error(constraint.mask(logits), ErrorCode::InvalidArgument, "has ended");
}

TEST(TokenVocabulary, HasTheBytesThatTokensDecodeTo) {
  if (shared_is_missing()) GTEST_SKIP() << kSharedSkip;
  const std::string file = read_file(shared_path("models/nursery-llama/tokenizer.json"));
  const auto tokenizer = tokenizer_from_hf_json(std::as_bytes(std::span(file)));
  ASSERT_TRUE(tokenizer.ok());
  const TokenVocabulary vocabulary = TokenVocabulary::from_tokenizer(*tokenizer);
  ASSERT_EQ(vocabulary.size(), static_cast<std::size_t>(tokenizer->vocab_size()));
  const std::string text = "Once upon a time, {\"a\": [1, \"é\"]}\n";
  const auto ids = tokenizer->encode(text, {.add_bos = false});
  std::string bytes;
  for (const int id : *ids) bytes += vocabulary.bytes(id);
  EXPECT_EQ(bytes, text);
  EXPECT_TRUE(vocabulary.bytes(*tokenizer->bos_id()).empty());
}

}  // namespace
}  // namespace pianola
