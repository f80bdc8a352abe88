// Hostile vocabularies and hostile texts: a clean error or an answer, in bounded time and memory.
// PIANOLA_LONG=1 runs a hundred times as many.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstdlib>
#include <ctime>
#include <functional>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "host/tokenizer/gguf_vocabulary.h"
#include "host/tokenizer/tokenizer.h"
#include "host/tokenizer/unicode.h"
#include "tests/fuzz/fuzz_cases.h"
#include "tests/support/shared_files.h"

namespace pianola {
namespace {

const std::vector<std::string> kFragments = {"0",
                                             "-1",
                                             "1e999",
                                             "18446744073709551616",
                                             "2147483647",
                                             "null",
                                             "true",
                                             "[]",
                                             "{}",
                                             "\"\"",
                                             "\"",
                                             "\\ud800",
                                             "\xFF",
                                             "\xC3",
                                             "\u2581",
                                             "(a*)*",
                                             "(?:a|aa)+$",
                                             "{1,9999}",
                                             "[[:",
                                             "\\p{L}",
                                             "(?=",
                                             "*",
                                             "a{99}{99}{99}",
                                             "\\g<1>",
                                             "(?<n>a\\g<n>)",
                                             "\"Sequence\"",
                                             "\"Regex\"",
                                             "\"content\"",
                                             "\"id\"",
                                             ",",
                                             ":",
                                             std::string("\0", 1),
                                             "\x08\x02",
                                             "\x1A\xFF\xFF\x03",
                                             "\x80\x80\x80\x80"};

void mutate_once(FuzzRandom& random, std::string& bytes) {
  const std::size_t at = random.below(bytes.size() + 1);
  switch (random.below(7)) {
    case 0:
      if (at < bytes.size()) bytes[at] = static_cast<char>(random.next());
      break;
    case 1:
      if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.below(8)));
      break;
    case 2:
      bytes.erase(at, random.below(20));
      break;
    case 3:
      bytes.insert(at, random.pick(kFragments));
      break;
    case 4: {
      const std::string& fragment = random.pick(kFragments);
      bytes.replace(at, std::min(fragment.size(), bytes.size() - at), fragment);
      break;
    }
    case 5: {  // a slice from elsewhere
      const std::string slice = bytes.substr(random.below(bytes.size() + 1), random.below(60));
      bytes.insert(at, slice);
      break;
    }
    default:
      if (random.below(10) == 0) bytes.resize(at);
  }
}

std::string mutate(FuzzRandom& random, std::string bytes) {
  for (std::size_t count = 1 + random.below(4); count > 0; --count) mutate_once(random, bytes);
  return bytes;
}

// Changes one value of a JSON text, which stays JSON.
std::string mutate_value(FuzzRandom& random, const std::string& file) {
  static const std::vector<nlohmann::json> kValues = {nullptr,
                                                      true,
                                                      0,
                                                      -1,
                                                      2,
                                                      13,
                                                      70000,
                                                      1e300,
                                                      "",
                                                      "a",
                                                      "ab",
                                                      " ",
                                                      "Sequence",
                                                      "ByteLevel",
                                                      "NFD",
                                                      "Split",
                                                      "Replace",
                                                      "(a|aa)+$",
                                                      "\\s+$",
                                                      "(?=a)",
                                                      "a*",
                                                      "\u2581",
                                                      "never",
                                                      "MergedWithPrevious",
                                                      "Removed",
                                                      std::string(2000, 'x'),
                                                      nlohmann::json::array(),
                                                      nlohmann::json::object(),
                                                      {{"Regex", "a*|b"}},
                                                      {{"String", ""}},
                                                      {{"type", "Fuse"}},
                                                      {"a", "b"}};
  nlohmann::json flat = nlohmann::json::parse(file).flatten();
  for (std::size_t count = 1 + random.below(3); count > 0; --count) {
    auto value = flat.begin();
    std::advance(value, static_cast<std::ptrdiff_t>(random.below(flat.size())));
    if (random.below(6) == 0) {
      flat.erase(value);
    } else {
      const auto type = value->type();
      *value = random.pick(kValues);
      for (int tries = 0; tries < 8 && value->type() != type; ++tries)
        *value = random.pick(kValues);
      if (!value->is_primitive()) {  // unflatten wants flat values
        const std::string key = value.key();
        const nlohmann::json members = value->flatten();
        flat.erase(value);
        for (const auto& [path, member] : members.items()) flat[key + path] = member;
      }
    }
    if (flat.empty()) break;
  }
  try {
    return flat.unflatten().dump();
  } catch (const nlohmann::json::exception&) {  // an array's index that is a key elsewhere
    return file;
  }
}

std::string make_text(FuzzRandom& random) {
  static const std::vector<std::string> kPieces = {
      "a",      "b",      " ",      "  ",         "\n",           "\r",
      "\t",     "'s",     "'",      "aa",         "the",          "1",
      "123",    ".",      "!?",     "\u00e9",     "e\u0301",      "\u0323\u0301",
      "\u2581", "\u4e00", "\u0644", "\U0001F999", "\u200d",       "\uFDFA",
      "\u0130", "\u017F", "\xFF",   "\xF0\x9F",   "\xED\xA0\x80", std::string("\0", 1),
      "<s>",    "</s>",   "<|x|>",  "<0x41>",     "\u00a0",       "\u2028",
      "\uFFFD"};
  std::string text;
  const std::size_t length = random.below(12) == 0 ? 3000 : random.below(40);
  switch (random.below(4)) {
    case 0:  // one piece over and over
      for (const std::string& piece = random.pick(kPieces); text.size() < length;) text += piece;
      return text + random.pick(kPieces);
    case 1: {  // two
      const std::string& first = random.pick(kPieces);
      const std::string& second = random.pick(kPieces);
      while (text.size() < length) text += random.below(2) == 0 ? first : second;
      return text;
    }
    case 2:  // bytes
      while (text.size() < length) text += static_cast<char>(random.next());
      return text;
    default:
      while (text.size() < length) text += random.pick(kPieces);
      return text;
  }
}

void use(const Tokenizer& tokenizer, const std::string& text, bool parse_special) {
  const auto ids = tokenizer.encode(text, {.add_bos = true, .parse_special = parse_special});
  if (!ids.ok()) {
    EXPECT_FALSE(ids.error().message.empty());
    return;
  }
  for (const int id : ids.value()) {
    ASSERT_TRUE(id >= 0 && id < tokenizer.vocab_size()) << id;
  }
  EXPECT_TRUE(is_valid_utf8(tokenizer.decode(ids.value(), {.skip_special = parse_special})));
  TextStream stream(tokenizer);
  const std::size_t streamed = std::min<std::size_t>(ids->size(), 50);
  for (std::size_t i = 0; i < streamed; ++i) EXPECT_TRUE(is_valid_utf8(stream.push((*ids)[i])));
  EXPECT_TRUE(is_valid_utf8(stream.flush()));
}

// Whether it was accepted.
bool use_if_ok(FuzzRandom& random, const Result<Tokenizer>& tokenizer) {
  if (!tokenizer.ok()) {
    EXPECT_FALSE(tokenizer.error().message.empty());
    return false;
  }
  for (int i = 0; i < 3; ++i) use(*tokenizer, make_text(random), i > 0);
  return true;
}

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

// Small files that use as much of the format as possible.
const std::vector<std::string>& json_files() {
  static const std::string kModel =
      R"("model":{"type":"BPE","unk_token":"a","fuse_unk":true,"byte_fallback":true,)"
      R"("merges":["a b",["t","h"],"th e"],"vocab":{"a":0,"b":1,"ab":2,"t":3,"h":4,"e":5,"th":6,)"
      R"("the":7,"\u2581":8,"<0x41>":9,"\u0120":10}})";
  static const std::string kAdded =
      R"("added_tokens":[{"id":11,"content":"<s>","special":true,"lstrip":true},)"
      R"({"id":12,"content":"</s>","special":false,"rstrip":true,"normalized":true,)"
      R"("single_word":true}],)";
  static const std::vector<std::string> kFiles = {
      "{" + kAdded +
          R"("normalizer":{"type":"Sequence","normalizers":[{"type":"NFKC"},{"type":"Prepend",)"
          R"("prepend":"\u2581"},)"
          R"({"type":"Replace","pattern":{"String":" "},"content":"\u2581"},{"type":"Lowercase"},)"
          R"({"type":"Replace","pattern":{"Regex":"\\s+"},"content":"b"},{"type":"StripAccents"},)"
          R"({"type":"Strip","strip_left":true,"strip_right":false}]},)"
          R"("pre_tokenizer":{"type":"Sequence",)"
          R"("pretokenizers":[{"type":"Metaspace","replacement":"\u2581",)"
          R"("prepend_scheme":"first","split":true},)"
          R"({"type":"Digits","individual_digits":true},{"type":"Punctuation",)"
          R"("behavior":"Contiguous"}]},)"
          R"("post_processor":{"type":"TemplateProcessing",)"
          R"("single":[{"SpecialToken":{"id":"<s>","type_id":0}},)"
          R"({"Sequence":{"id":"A","type_id":0}}],"special_tokens":{"<s>":{"id":"<s>",)"
          R"("ids":[11],"tokens":["<s>"]}}},)"
          R"("decoder":{"type":"Sequence","decoders":[{"type":"Replace",)"
          R"("pattern":{"String":"\u2581"},"content":" "},)"
          R"({"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,)"
          R"("stop":0}]},)" +
          kModel + "}",
      "{" + kAdded +
          R"("normalizer":null,"pre_tokenizer":{"type":"Sequence",)"
          R"("pretokenizers":[{"type":"Split","pattern":{"Regex":)"
          R"("(?i:'s|'t|'re)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|)"
          R"( ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},)"
          R"("behavior":"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":true,)"
          R"("use_regex":true}]},)"
          R"("post_processor":{"type":"Sequence","processors":[{"type":"ByteLevel"},)"
          R"({"type":"BertProcessing","sep":["a",1],)"
          R"("cls":["b",2]}]},"decoder":{"type":"ByteLevel"},)" +
          kModel + "}",
      "{" + kAdded +
          R"("pre_tokenizer":{"type":"Split","pattern":{"String":"a"},)"
          R"("behavior":"MergedWithNext","invert":true},)"
          R"("decoder":{"type":"BPEDecoder","suffix":"e"},)" +
          kModel + "}"};
  return kFiles;
}

nlohmann::json make_steps(FuzzRandom& random, const char* key,
                          const std::vector<nlohmann::json>& palette) {
  nlohmann::json steps = nlohmann::json::array();
  for (std::size_t count = random.below(5); count > 0; --count)
    steps.push_back(random.pick(palette));
  return {{"type", "Sequence"}, {key, steps}};
}

// A sound file with random steps.
std::string make_json(FuzzRandom& random) {
  using nlohmann::json;
  static const std::vector<std::string> kPatterns = {
      "a", "a*", "\\s+(?!\\S)|\\s+", "(a|aa)+$", "(?<=a)b|", "\\X", "^", "[^\\p{L}]+", "\\b"};
  static const std::vector<std::string> kBehaviors = {"Isolated", "Removed", "MergedWithPrevious",
                                                      "MergedWithNext", "Contiguous"};
  const json split = {{"type", "Split"},
                      {"pattern", {{"Regex", random.pick(kPatterns)}}},
                      {"behavior", random.pick(kBehaviors)},
                      {"invert", random.below(2) == 0}};
  const json replace = {{"type", "Replace"},
                        {"pattern", {{"Regex", random.pick(kPatterns)}}},
                        {"content", random.pick(kPatterns)}};
  const json metaspace = {{"type", "Metaspace"},
                          {"replacement", "\u2581"},
                          {"prepend_scheme", random.below(2) == 0 ? "first" : "always"},
                          {"split", random.below(2) == 0}};
  json file = json::parse(random.pick(json_files()));
  file["normalizer"] = make_steps(random, "normalizers",
                                  {{{"type", "NFC"}},
                                   {{"type", "NFKD"}},
                                   {{"type", "Lowercase"}},
                                   {{"type", "StripAccents"}},
                                   replace,
                                   {{"type", "Strip"}},
                                   {{"type", "ByteLevel"}},
                                   {{"type", "Prepend"}, {"prepend", "a"}}});
  file["pre_tokenizer"] =
      make_steps(random, "pretokenizers",
                 {split,
                  split,
                  metaspace,
                  {{"type", "ByteLevel"}},
                  {{"type", "Digits"}},
                  {{"type", "Whitespace"}},
                  {{"type", "Punctuation"}, {"behavior", random.pick(kBehaviors)}},
                  {{"type", "BertPreTokenizer"}}});
  file["decoder"] = make_steps(random, "decoders",
                               {replace,
                                metaspace,
                                {{"type", "ByteLevel"}},
                                {{"type", "ByteFallback"}},
                                {{"type", "Fuse"}},
                                {{"type", "Strip"}, {"content", "a"}, {"start", 2}, {"stop", 1}},
                                {{"type", "BPEDecoder"}, {"suffix", "e"}}});
  file["model"]["ignore_merges"] = random.below(2) == 0;
  file["model"]["byte_fallback"] = random.below(2) == 0;
  if (random.below(3) == 0) file["model"]["end_of_word_suffix"] = "b";
  if (random.below(3) == 0) file["model"].erase("unk_token");
  return file.dump();
}

std::string varint(std::size_t value) {
  std::string out;
  for (; value >= 128; value >>= 7) out += static_cast<char>(0x80 | (value & 127));
  return out + static_cast<char>(value);
}

std::string field(int number, const std::string& bytes) {
  return varint(static_cast<std::size_t>(number) * 8 + 2) + varint(bytes.size()) + bytes;
}

std::string flag(int number, std::size_t value) {
  return varint(static_cast<std::size_t>(number) * 8) + varint(value);
}

std::string make_sentencepiece(FuzzRandom& random) {
  const auto piece = [](const std::string& text, std::size_t kind, std::uint8_t score) {
    return field(1, field(1, text) + std::string("\x15\0\0", 3) + static_cast<char>(score) +
                        "\xC0" + flag(3, kind));
  };
  std::string file = piece("<unk>", 2, 0) + piece("<s>", 3, 0) + piece("</s>", 3, 0);
  for (const char* text : {"a", "b", "\u2581", "t", "h", "e"}) file += piece(text, 1, 90);
  file +=
      piece("ab", 1, 10) + piece("\u2581t", 5, 5) + piece("\u2581th", 1, 20) + piece("the", 4, 0);
  file += piece("<0x41>", 6, 0) + piece("<0xC3>", 6, 0) + piece("<0xA9>", 6, 0);
  file += field(
      2, flag(3, 2) + flag(35, random.below(2)) + flag(24, random.below(2)) + field(44, " ? "));
  std::string trie;  // 64 random units, biased to small offsets so that walks get somewhere
  for (int i = 0; i < 64; ++i) {
    const std::size_t unit =
        (random.below(64) << 10) | (random.below(2) << 8) | (random.next() & 0xFF);
    for (int shift = 0; shift < 32; shift += 8) trie += static_cast<char>(unit >> shift);
  }
  std::string map = std::string("\0\1\0\0", 4) + trie + std::string("x\0yy\0 \0", 7);
  file += field(3, (random.below(2) == 0 ? field(2, map) : "") + flag(3, random.below(2)) +
                       flag(4, random.below(2)));
  return file;
}

GgufVocabulary make_gguf(FuzzRandom& random) {
  static const std::vector<std::string> kPre = {
      "default",   "gpt-2",  "llama-bpe", "qwen2",  "deepseek-llm", "deepseek-v3", "deepseek-coder",
      "starcoder", "falcon", "tekken",    "gpt-4o", "bloom",        "viking"};
  GgufVocabulary vocabulary;
  vocabulary.model = random.below(3) == 0 ? "llama" : "gpt2";
  vocabulary.pre = random.pick(kPre);
  vocabulary.tokens = {"<s>",     "</s>",   "a",   "b", "ab", "\u0120", "\u0120a", "\u2581",
                       "\u2581a", "<0x41>", "the", "t", "h",  "e",      "th"};
  vocabulary.kinds = {3, 3, 1, 1, 1, 1, 1, 1, 1, 6, 4, 1, 1, 1, 1};
  for (std::size_t i = 0; i < vocabulary.tokens.size(); ++i)
    vocabulary.scores.push_back(-static_cast<float>(random.below(9)));
  vocabulary.merges = {"a b", "\u0120 a", "t h", "th e"};
  vocabulary.bos_id = 0;
  vocabulary.eos_ids = {1};
  vocabulary.add_bos = true;
  return vocabulary;
}

TEST(TokenizerFuzz, MutatedJson) {
  for (const std::string& file : json_files()) {
    const auto tokenizer = tokenizer_from_hf_json(bytes_of(file));
    ASSERT_TRUE(tokenizer.ok()) << to_string(tokenizer.error());
  }
  int accepted = 0;
  run_fuzz_cases(fuzz_case_count(), [&](FuzzRandom& random) {
    const std::string& sound = random.pick(json_files());
    const std::size_t way = random.below(3);
    const std::string file = way == 0   ? mutate(random, sound)
                             : way == 1 ? mutate_value(random, sound)
                                        : make_json(random);
    accepted += use_if_ok(random, tokenizer_from_hf_json(bytes_of(file)));
  });
  EXPECT_GT(accepted, fuzz_case_count() / 4);
  std::printf("%d accepted\n", accepted);
}

TEST(TokenizerFuzz, MutatedSentencePiece) {
  int accepted = 0;
  run_fuzz_cases(fuzz_case_count(), [&](FuzzRandom& random) {
    std::string file = make_sentencepiece(random);
    if (random.below(4) != 0) file = mutate(random, std::move(file));
    accepted += use_if_ok(random, tokenizer_from_sentencepiece(bytes_of(file)));
  });
  EXPECT_GT(accepted, fuzz_case_count() / 10);
  std::printf("%d accepted\n", accepted);
}

TEST(TokenizerFuzz, MutatedSerializedForm) {
  int accepted = 0;
  run_fuzz_cases(fuzz_case_count(), [&](FuzzRandom& random) {
    const auto tokenizer = tokenizer_from_gguf_vocabulary(make_gguf(random));
    ASSERT_TRUE(tokenizer.ok()) << to_string(tokenizer.error());
    const std::vector<std::byte> bytes = tokenizer->serialize();
    std::string file(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    for (std::size_t count = random.below(3); count > 0; --count) {
      file[random.below(file.size())] = static_cast<char>(random.next());
    }
    accepted += use_if_ok(random, load_tokenizer(bytes_of(file)));
  });
  EXPECT_GT(accepted, fuzz_case_count() / 10);
  std::printf("%d accepted\n", accepted);
}

// Every text must be encoded, and what is encoded must come back where nothing is unknown.
TEST(TokenizerFuzz, HostileTexts) {
  std::vector<Tokenizer> tokenizers;
  for (const std::string& file : json_files()) {
    tokenizers.push_back(tokenizer_from_hf_json(bytes_of(file)).value());
  }
  FuzzRandom vocabularies(1);
  for (int i = 0; i < 20; ++i) {
    tokenizers.push_back(tokenizer_from_gguf_vocabulary(make_gguf(vocabularies)).value());
  }
  run_fuzz_cases(fuzz_case_count(), [&](FuzzRandom& random) {
    const Tokenizer& tokenizer = tokenizers[random.below(tokenizers.size())];
    const std::string text = make_text(random);
    const auto ids = tokenizer.encode(text);
    ASSERT_TRUE(ids.ok()) << to_string(ids.error());
    use(tokenizer, text, random.below(2) == 0);
  });
}

TEST(TokenizerFuzz, HostileTextsComeBackFromByteLevel) {
  if (shared_is_missing()) GTEST_SKIP() << kSharedSkip;
  const std::string file = read_file(shared_path("models/nursery-llama/tokenizer.json"));
  const auto tokenizer = tokenizer_from_hf_json(bytes_of(file));
  ASSERT_TRUE(tokenizer.ok());
  run_fuzz_cases(fuzz_case_count(), [&](FuzzRandom& random) {
    const std::string text = make_text(random);
    const auto ids = tokenizer->encode(text, {.add_bos = true, .parse_special = false});
    ASSERT_TRUE(ids.ok()) << to_string(ids.error());
    EXPECT_EQ(tokenizer->decode(ids.value()), to_valid_utf8(text));
    TextStream stream(*tokenizer);
    std::string streamed;
    for (const int id : ids.value()) streamed += stream.push(id);
    EXPECT_EQ(streamed + stream.flush(), to_valid_utf8(text));
  });
}

// A few megabytes of what is worst for each split pattern.
TEST(TokenizerFuzz, LongHostileTexts) {
  FuzzRandom random(5);
  for (const char* pre :
       {"default", "gpt-2", "llama-bpe", "qwen2", "deepseek-llm", "deepseek-v3", "deepseek-coder",
        "starcoder", "falcon", "tekken", "gpt-4o", "bloom", "viking"}) {
    GgufVocabulary vocabulary = make_gguf(random);
    vocabulary.model = "gpt2";
    vocabulary.pre = pre;
    const auto tokenizer = tokenizer_from_gguf_vocabulary(vocabulary);
    ASSERT_TRUE(tokenizer.ok()) << to_string(tokenizer.error());
    for (const char* piece :
         {"a", " ", "\n", " \n", "'", "1", "\u0301", "a ", "\xFF", "A", "\u4e00"}) {
      std::string text;
      while (text.size() < 300'000) text += piece;
      text += "b";
      const std::clock_t begin = std::clock();
      const auto ids = tokenizer->encode(text);
      const double took = expect_bounded(begin);
      if (took > 1 || !ids.ok()) {
        std::printf("%s, '%s' repeated: %.1f s%s\n", pre, piece, took, ids.ok() ? "" : ", refused");
      }
    }
  }
}

}  // namespace
}  // namespace pianola
