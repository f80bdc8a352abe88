#include "host/tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "formats/read_gguf.h"
#include "host/tokenizer/gguf_vocabulary.h"
#include "host/tokenizer/regex.h"
#include "host/tokenizer/unicode.h"
#include "tests/support/expect_error.h"
#include "tests/support/write_containers.h"

namespace pianola {
namespace {

using nlohmann::json;

// Characters a to e, three merges, two special tokens, one added word.
json small_file() {
  return json::parse(R"({
    "added_tokens": [
      {"id": 8, "content": "<s>", "special": true},
      {"id": 9, "content": "</s>", "special": true},
      {"id": 10, "content": "edd", "special": false, "normalized": false}],
    "normalizer": null,
    "pre_tokenizer": {"type": "WhitespaceSplit"},
    "post_processor": {"type": "TemplateProcessing",
       "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                  {"Sequence": {"id": "A", "type_id": 0}}],
      "special_tokens": {"<s>": {"id": "<s>", "ids": [8], "tokens": ["<s>"]}}},
    "decoder": {"type": "Fuse"},
    "model": {"type": "BPE", "merges": ["a b", ["ab", "c"], "d e"],
      "vocab": {"a": 0, "b": 1, "c": 2, "d": 3, "e": 4, "ab": 5, "abc": 6, "de": 7}}})");
}

Result<Tokenizer> read(const json& file, const std::string& config = "",
                       const std::string& generation = "") {
  const std::string text = file.dump();
  return tokenizer_from_hf_json(std::as_bytes(std::span(text)),
                                {.config = std::as_bytes(std::span(config)),
                                 .generation_config = std::as_bytes(std::span(generation))});
}

Result<Tokenizer> read_with(const char* pointer, const json& value) {
  json file = small_file();
  file[json::json_pointer(pointer)] = value;
  return read(file);
}

using Ids = std::vector<int>;

TEST(Tokenizer, MergesByRankAndFindsAddedTokens) {
  const auto tokenizer = read(small_file());
  ASSERT_TRUE(tokenizer.ok()) << to_string(tokenizer.error());
  EXPECT_EQ(tokenizer->encode("abc abde").value(), (Ids{8, 6, 5, 7}));
  EXPECT_EQ(tokenizer->encode("abc", {.add_bos = false}).value(), Ids{6});
  EXPECT_EQ(tokenizer->encode("a</s>edd", {.add_bos = false}).value(), (Ids{0, 9, 10}));
  // Neither "<" nor "/" is in the vocabulary, and there is no unknown token.
  EXPECT_EQ(tokenizer->encode("a</s>edd", {.add_bos = false, .parse_special = false}).value(),
            (Ids{0, 10}));
  EXPECT_EQ(tokenizer->vocab_size(), 11);
  EXPECT_EQ(tokenizer->token_text(6), "abc");
  EXPECT_EQ(tokenizer->token_text(99), "");
  EXPECT_EQ(tokenizer->token_id("edd"), 10);
  EXPECT_TRUE(tokenizer->is_special(8));
  EXPECT_FALSE(tokenizer->is_special(10));
}

TEST(Tokenizer, LeavesSpecialTokensOutOfTheTextUnlessAsked) {
  const auto tokenizer = read(small_file());
  ASSERT_TRUE(tokenizer.ok());
  const Ids ids = {8, 6, 10, 9, -5, 5000};
  EXPECT_EQ(tokenizer->decode(ids), "abcedd");
  EXPECT_EQ(tokenizer->decode(ids, {.skip_special = false}), "<s>abcedd</s>");
}

TEST(Tokenizer, TakesSpecialIdsFromTheFilesBesideIt) {
  const auto alone = read(small_file());
  EXPECT_EQ(alone->bos_id(), 8);
  EXPECT_EQ(alone->eos_ids(), Ids{9});  // by its well-known name
  const auto configured =
      read(small_file(), R"({"bos_token": {"content": "edd"}, "eos_token": "de"})");
  EXPECT_EQ(configured->bos_id(), 10);
  EXPECT_EQ(configured->eos_ids(), Ids{7});
  const auto generation =
      read(small_file(), R"({"eos_token": "</s>"})", R"({"eos_token_id": [3, 4]})");
  EXPECT_EQ(generation->eos_ids(), (Ids{3, 4, 9}));
  EXPECT_TRUE(generation->is_eos(4));
  const auto llama = read(small_file(),
                          R"({"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>",
                              "eos_token": "</s>", "add_bos_token": false,
                              "add_eos_token": true})");
  EXPECT_EQ(llama->encode("a").value(), (Ids{0, 9}));
  expect_error(read(small_file(), "", R"({"eos_token_id": 11})"), ErrorCode::Malformed,
               "generation_config.json");
  expect_error(read(small_file(), "[]"), ErrorCode::Malformed, "tokenizer_config.json");
}

TEST(Tokenizer, SurvivesSerializingWithChangedEosIds) {
  auto tokenizer = read(small_file(), R"({"bos_token": "a"})");
  ASSERT_TRUE(tokenizer.ok());
  ASSERT_TRUE(tokenizer->set_eos_ids({2, 3}).ok());
  expect_error(tokenizer->set_eos_ids({11}), ErrorCode::OutOfRange, "11");
  const std::vector<std::byte> bytes = tokenizer->serialize();
  const auto loaded = load_tokenizer(bytes);
  ASSERT_TRUE(loaded.ok()) << to_string(loaded.error());
  EXPECT_EQ(loaded->eos_ids(), (Ids{2, 3}));
  EXPECT_EQ(loaded->bos_id(), 0);
  EXPECT_EQ(loaded->encode("abcde").value(), (Ids{8, 6, 7}));
  EXPECT_EQ(loaded->serialize(), bytes);
  for (std::size_t size = 0; size < 60; ++size) {
    EXPECT_FALSE(load_tokenizer(std::span(bytes).first(size)).ok());
  }
  std::vector<std::byte> longer = bytes;
  longer.push_back(std::byte{0});
  expect_error(load_tokenizer(longer), ErrorCode::Malformed, "cut off");
}

TEST(TokenizerJson, SaysWhatIsWrong) {
  expect_error(read(json::array()), ErrorCode::Malformed, "expected an object");
  expect_error(read(json::object()), ErrorCode::Malformed, "\"model\"");
  expect_error(read_with("/model/type", "Unigram"), ErrorCode::Unsupported, "'Unigram'");
  expect_error(read_with("/model/vocab/x", 5), ErrorCode::Malformed, "the same id 5");
  expect_error(read_with("/model/vocab/x", -1), ErrorCode::Malformed, "has the id -1");
  expect_error(read_with("/model/vocab/x", 1 << 30), ErrorCode::Malformed, "has the id 1073741824");
  expect_error(read_with("/model/vocab/x", "y"), ErrorCode::Malformed, "integer ids");
  expect_error(read_with("/model/merges/0", "a"), ErrorCode::Malformed, "not two tokens");
  expect_error(read_with("/model/merges/0", "a c"), ErrorCode::Malformed, "'ac'");
  expect_error(read_with("/model/merges", 1), ErrorCode::Malformed, "merges");
  expect_error(read_with("/model/unk_token", "?"), ErrorCode::Malformed, "unk_token");
  expect_error(read_with("/added_tokens/0/id", 7), ErrorCode::Malformed, "the same id 7");
  expect_error(read_with("/added_tokens/0", json::object()), ErrorCode::Malformed, "added_tokens");
  expect_error(read_with("/added_tokens/0/content", std::string(5000, 'x')), ErrorCode::OutOfRange,
               "5000 bytes");
  expect_error(read_with("/normalizer", {{"type", "Nmt"}}), ErrorCode::Unsupported, "'Nmt'");
  expect_error(read_with("/pre_tokenizer", {{"type", "UnicodeScripts"}}), ErrorCode::Unsupported,
               "pre_tokenizer");
  expect_error(read_with("/pre_tokenizer", {{"type", "Sequence"}}), ErrorCode::Malformed,
               "pretokenizers");
  expect_error(read_with("/pre_tokenizer/type", "Split"), ErrorCode::Malformed, "\"pattern\"");
  expect_error(read_with("/pre_tokenizer", {{"type", "Split"}, {"pattern", {{"Regex", "(a"}}}}),
               ErrorCode::Malformed, "regular expression");
  expect_error(read_with("/pre_tokenizer",
                         {{"type", "Split"}, {"pattern", {{"Regex", "a"}}}, {"behavior", "Odd"}}),
               ErrorCode::Unsupported, "'Odd'");
  expect_error(read_with("/pre_tokenizer", {{"type", "Metaspace"}, {"replacement", "ab"}}),
               ErrorCode::Malformed, "one character");
  expect_error(read_with("/decoder", {{"type", "WordPiece"}}), ErrorCode::Unsupported, "decoder");
  expect_error(read_with("/decoder", {{"type", "Strip"}, {"content", ""}}), ErrorCode::Malformed,
               "Strip");
  expect_error(read_with("/post_processor/special_tokens/<s>/ids/0", 99), ErrorCode::Malformed,
               "id 99");
  expect_error(read_with("/post_processor/single/1", {{"SpecialToken", {{"id", "x"}}}}),
               ErrorCode::Malformed, "'x'");
}

GgufVocabulary small_llama() {
  GgufVocabulary vocabulary;
  vocabulary.model = "llama";
  const auto add = [&](const std::string& text, int kind, float score) {
    vocabulary.tokens.push_back(text);
    vocabulary.kinds.push_back(kind);
    vocabulary.scores.push_back(score);
  };
  add("<unk>", 2, 0);
  add("<s>", 3, 0);
  add("</s>", 3, 0);
  for (int byte = 0; byte < 256; ++byte) {
    char text[8];
    std::snprintf(text, sizeof text, "<0x%02X>", byte);
    add(text, 6, 0);
  }
  add("\u2581", 1, -3);
  add("a", 1, -4);
  add("\u2581a", 1, -1);
  add("aa", 1, -2);
  add("<tool>", 4, 0);
  vocabulary.bos_id = 1;
  vocabulary.eos_ids = {2};
  vocabulary.add_bos = true;
  return vocabulary;
}

TEST(GgufVocabulary, ReadsLlamaScoresBytesAndUserDefinedTokens) {
  const auto tokenizer = tokenizer_from_gguf_vocabulary(small_llama());
  ASSERT_TRUE(tokenizer.ok()) << to_string(tokenizer.error());
  EXPECT_EQ(tokenizer->encode("aaa").value(), (Ids{1, 261, 262}));
  EXPECT_EQ(tokenizer->encode("a\u00e9", {.add_bos = false}).value(),
            (Ids{261, 3 + 0xC3, 3 + 0xA9}));
  EXPECT_EQ(
      tokenizer->encode("a<tool>a</s>", {.add_bos = false, .parse_special = false}).value().size(),
      3u + 4u);
  EXPECT_EQ(tokenizer->encode("a<tool>a</s>", {.add_bos = false}).value(), (Ids{261, 263, 261, 2}));
  EXPECT_EQ(tokenizer->decode(Ids{1, 261, 262, 0, 2}), "aaa \u2047 ");
  EXPECT_EQ(tokenizer->encode("").value(), Ids{1});
}

TEST(GgufVocabulary, ReadsAFile) {
  GgufWriter writer;
  writer.add_string("tokenizer.ggml.model", "gpt2");
  writer.add_string("tokenizer.ggml.pre", "llama-bpe");
  writer.add_strings("tokenizer.ggml.tokens", {"a", "b", "ab", "<|x|>"});
  writer.add_strings("tokenizer.ggml.merges", {"a b"});
  writer.add_u32("tokenizer.ggml.bos_token_id", 3);
  const Bytes bytes = writer.finish();
  const auto file = GgufFile::parse(bytes, "small.gguf");
  ASSERT_TRUE(file.ok()) << to_string(file.error());
  const auto tokenizer = tokenizer_from_gguf(file.value());
  ASSERT_TRUE(tokenizer.ok()) << to_string(tokenizer.error());
  EXPECT_EQ(tokenizer->encode("ab").value(), (Ids{3, 2}));  // llama-bpe adds BOS by default
}

TEST(GgufVocabulary, SaysWhatIsWrong) {
  const auto with = [](auto change) {
    GgufVocabulary vocabulary = small_llama();
    change(vocabulary);
    return tokenizer_from_gguf_vocabulary(vocabulary);
  };
  expect_error(with([](auto& v) { v.model = "bert"; }), ErrorCode::Unsupported, "'bert'");
  expect_error(with([](auto& v) { v.scores.pop_back(); }), ErrorCode::Malformed, "scores");
  expect_error(with([](auto& v) { v.kinds.pop_back(); }), ErrorCode::Malformed, "token types");
  expect_error(with([](auto& v) { v.kinds[5] = 7; }), ErrorCode::Malformed, "token type 7");
  expect_error(with([](auto& v) { v.bos_id = 264; }), ErrorCode::Malformed, "264");
  expect_error(with([](auto& v) {
                 v.scores[3] = 0.0f / 0.0f;
                 v.scores[4] = 1e30f * 1e30f;
               }),
               ErrorCode::Malformed, "finite");
  expect_error(with([](auto& v) {
                 v.tokens.clear();
                 v.kinds.clear();
                 v.scores.clear();
               }),
               ErrorCode::Malformed, "no tokens");
  const auto gpt2 = [&](const std::string& pre, const std::string& merge) {
    return with([&](auto& v) {
      v.model = "gpt2";
      v.pre = pre;
      v.merges = {merge};
    });
  };
  expect_error(gpt2("new-one", "a a"), ErrorCode::Unsupported, "'new-one'");
  expect_error(gpt2("gpt-2 mpt", "a a"), ErrorCode::Unsupported, "'gpt-2 mpt'");
  expect_error(gpt2("gpt-2", "aa"), ErrorCode::Malformed, "'aa'");
  EXPECT_TRUE(gpt2("gpt-2", "a a").ok());
}

TEST(SentencePiece, SaysWhatIsWrong) {
  const auto read_model = [](std::string_view bytes) {
    return tokenizer_from_sentencepiece(std::as_bytes(std::span(bytes)));
  };
  expect_error(read_model(""), ErrorCode::Malformed, "no pieces");
  expect_error(read_model("\x0A\x05"
                          "ab"),
               ErrorCode::Malformed, "cut off");
  expect_error(read_model("\x0B"), ErrorCode::Malformed, "wire type 3");
  expect_error(read_model("\x0A\x03\x0A\x01"
                          "a"),
               ErrorCode::Unsupported, "model type is 1");
  expect_error(read_model("\x0A\x05\x0A\x01"
                          "a\x18\x09"),
               ErrorCode::Malformed, "of type 9");
  expect_error(read_model("\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"), ErrorCode::Malformed,
               "ten bytes");
  expect_error(read_model("\x1A\x05\x12\x03"
                          "abc"),
               ErrorCode::Malformed, "precompiled_charsmap");
}

TEST(TextStream, GivesOnlyWholeCharacters) {
  const auto tokenizer = tokenizer_from_gguf_vocabulary(small_llama());
  ASSERT_TRUE(tokenizer.ok());
  const std::string text = " a\u00e9\u20ac\U0001F999a";
  const Ids ids = tokenizer->encode(text).value();
  TextStream stream(*tokenizer);
  std::string all;
  for (const int id : ids) {
    const std::string part = stream.push(id);
    EXPECT_TRUE(is_valid_utf8(part));
    EXPECT_EQ(part.find("\uFFFD"), std::string::npos);
    all += part;
  }
  EXPECT_EQ(all, text);
  EXPECT_EQ(stream.flush(), "");
}

TEST(TextStream, ReplacesWhatIsNoCharacter) {
  const auto tokenizer = tokenizer_from_gguf_vocabulary(small_llama());
  ASSERT_TRUE(tokenizer.ok());
  TextStream stream(*tokenizer);
  EXPECT_EQ(stream.push(3 + 0xF0), "");
  EXPECT_EQ(stream.push(3 + 0x9F), "");
  EXPECT_EQ(stream.push(260),
            "\uFFFD"
            "a");
  EXPECT_EQ(stream.push(3 + 0xFF), "\uFFFD");
  EXPECT_EQ(stream.push(3 + 0xE2), "");
  EXPECT_EQ(stream.flush(), "\uFFFD");
  EXPECT_EQ(stream.push(261), "a");  // anew: the first space is dropped
  EXPECT_EQ(stream.push(261), " a");
  EXPECT_EQ(stream.push(-1), "");
}

TEST(Tokenizer, ReplacesInvalidUtf8) {
  const auto tokenizer = tokenizer_from_gguf_vocabulary(small_llama());
  ASSERT_TRUE(tokenizer.ok());
  EXPECT_EQ(tokenizer->encode("a\xFF").value(), tokenizer->encode("a\uFFFD").value());
  EXPECT_EQ(to_valid_utf8("\xF0\x9F\x41\xC0\x80\xED\xA0\x80"),
            "\uFFFD"
            "A\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD");
}

TEST(Tokenizer, IsNotQuadraticInLongWords) {
  const auto llama = tokenizer_from_gguf_vocabulary(small_llama());
  const auto bpe = read_with("/pre_tokenizer", nullptr);
  ASSERT_TRUE(llama.ok() && bpe.ok());
  const std::string text(2'000'000, 'a');
  EXPECT_EQ(llama->encode(text).value().size(), 1 + 1 + 999'999u + 1u);
  EXPECT_EQ(bpe->encode(text).value().size(), 2'000'001u);
  std::string pairs;
  for (int i = 0; i < 500'000; ++i) pairs += "abcde";
  EXPECT_EQ(bpe->encode(pairs).value().size(), 1'000'001u);
}

TEST(Unicode, NormalizesLongRunsOfMarksInTime) {
  EXPECT_EQ(normalize_unicode("e\u0301\u0323 \uFB01 \uD55C\u212B", UnicodeForm::Nfc),
            "\u1EB9\u0301 \uFB01 \uD55C\u00C5");
  EXPECT_EQ(normalize_unicode("\u1EB9\u0301 \uFB01 \uD55C", UnicodeForm::Nfkd),
            "e\u0323\u0301 fi \u1112\u1161\u11AB");
  std::string marks;
  for (int i = 0; i < 300'000; ++i) marks += "\u0301\u0323";
  std::string sorted;
  for (int i = 0; i < 300'000; ++i) sorted += "\u0323";
  for (int i = 0; i < 300'000; ++i) sorted += "\u0301";
  EXPECT_EQ(normalize_unicode(marks, UnicodeForm::Nfd), sorted);
  EXPECT_EQ(normalize_unicode(marks, UnicodeForm::Nfc), sorted);
}

TEST(Regex, StopsWhenTheBudgetIsSpent) {
  const auto regex = Regex::compile("(a|aa)+$");
  ASSERT_TRUE(regex.ok());
  const std::string text = std::string(3000, 'a') + "!";
  MatchBudget budget(text.size());
  budget.retries_left = 1'000'000;
  expect_error(regex->find_all(text, budget), ErrorCode::OutOfRange, "allowed work");
  EXPECT_EQ(budget.retries_left, 0u);
}

TEST(Regex, FindsAllMatchesAndEmptyOnes) {
  const auto regex = Regex::compile("x*");
  ASSERT_TRUE(regex.ok());
  MatchBudget budget(10);
  const auto matches = regex->find_all("a\u00e9xxb", budget);
  ASSERT_TRUE(matches.ok());
  std::vector<std::pair<std::size_t, std::size_t>> found;
  for (const Match& match : matches.value()) found.emplace_back(match.begin, match.end);
  const std::vector<std::pair<std::size_t, std::size_t>> expected = {
      {0, 0}, {1, 1}, {3, 5}, {6, 6}};
  EXPECT_EQ(found, expected);
  expect_error(Regex::compile(std::string(70'000, 'a')), ErrorCode::OutOfRange, "70000");
}

TEST(Tokenizer, RefusesTextsThatAreTooLarge) {
  const auto tokenizer = read(small_file());
  const std::string text((std::size_t{64} << 20) + 1, 'a');
  expect_error(tokenizer->encode(text), ErrorCode::OutOfRange, "67108865 bytes");
}

}  // namespace
}  // namespace pianola
