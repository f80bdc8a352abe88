// Published vectors: texts with the ids that the model's own tokenizer gives.
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>
#include <unordered_map>

#include "formats/read_gguf.h"
#include "host/tokenizer/byte_level.h"
#include "host/tokenizer/gguf_vocabulary.h"
#include "host/tokenizer/tokenizer.h"
#include "tests/support/shared_files.h"

namespace pianola {
namespace {

using nlohmann::json;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

// Blocks separated by a line of their own, which ends the file, too.
std::vector<std::string> read_texts(const std::string& name) {
  const std::string all = read_file(shared_path("data/tokenizers/" + name + ".gguf.inp"));
  const std::string separator = "\n__ggml_vocab_test__\n";
  std::vector<std::string> texts;
  std::size_t begin = 0;
  for (std::size_t at = all.find(separator); at != std::string::npos;
       at = all.find(separator, begin)) {
    texts.push_back(all.substr(begin, at - begin));
    begin = at + separator.size();
  }
  return texts;
}

std::vector<std::vector<int>> read_id_lines(const std::filesystem::path& path) {
  std::istringstream lines(read_file(path));
  std::vector<std::vector<int>> out;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream numbers(line);
    out.emplace_back();
    for (int id = 0; numbers >> id;) out.back().push_back(id);
  }
  return out;
}

void expect_vectors(const Tokenizer& tokenizer, const std::string& name) {
  const auto texts = read_texts(name);
  const auto expected = read_id_lines(shared_path("data/tokenizers/" + name + ".gguf.out"));
  ASSERT_EQ(texts.size(), 46u);
  ASSERT_EQ(expected.size(), texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto ids = tokenizer.encode(texts[i], {.add_bos = false, .parse_special = false});
    ASSERT_TRUE(ids.ok()) << to_string(ids.error());
    EXPECT_EQ(ids.value(), expected[i]) << name << " vector " << i << ": " << texts[i];
    EXPECT_EQ(tokenizer.decode(ids.value()), texts[i]);
    TextStream stream(tokenizer);
    std::string streamed;
    for (const int id : ids.value()) streamed += stream.push(id);
    EXPECT_EQ(streamed + stream.flush(), texts[i]);
  }
}

void expect_gguf_vectors(const std::string& name) {
  if (shared_is_missing()) GTEST_SKIP() << kSharedSkip;
  const std::string bytes = read_file(shared_path("data/tokenizers/" + name + ".gguf"));
  const auto file = GgufFile::parse(bytes_of(bytes), name);
  ASSERT_TRUE(file.ok()) << to_string(file.error());
  const auto tokenizer = tokenizer_from_gguf(file.value());
  ASSERT_TRUE(tokenizer.ok()) << to_string(tokenizer.error());
  expect_vectors(*tokenizer, name);
  const auto loaded = load_tokenizer(tokenizer->serialize());
  ASSERT_TRUE(loaded.ok()) << to_string(loaded.error());
  expect_vectors(*loaded, name);
}

TEST(GgufVectors, Gpt2) { expect_gguf_vectors("ggml-vocab-gpt-2"); }
TEST(GgufVectors, StarCoder) { expect_gguf_vectors("ggml-vocab-starcoder"); }
TEST(GgufVectors, DeepSeekLlm) { expect_gguf_vectors("ggml-vocab-deepseek-llm"); }
TEST(GgufVectors, LlamaSentencePiece) { expect_gguf_vectors("ggml-vocab-llama-spm"); }

TEST(SentencePieceVectors, Llama2Model) {
  if (shared_is_missing()) GTEST_SKIP() << kSharedSkip;
  const std::string bytes = read_file(shared_path("data/tokenizers/llama2-32000.spm.model"));
  const auto tokenizer = tokenizer_from_sentencepiece(bytes_of(bytes));
  ASSERT_TRUE(tokenizer.ok()) << to_string(tokenizer.error());
  EXPECT_EQ(tokenizer->vocab_size(), 32000);
  EXPECT_EQ(tokenizer->bos_id(), 1);
  EXPECT_EQ(tokenizer->eos_ids(), std::vector<int>{2});
  expect_vectors(*tokenizer, "ggml-vocab-llama-spm");
}

// A tiktoken file has the ranks of tokens, not merges. A token's merge is what its bytes are
// merged to by the tokens of lower rank.
class Tiktoken {
 public:
  explicit Tiktoken(const std::string& file) {
    std::istringstream lines(file);
    for (std::string line; std::getline(lines, line);) {
      const std::size_t space = line.find(' ');
      tokens_.push_back(decode_base64(line.substr(0, space)));
    }
    for (std::size_t i = 0; i < tokens_.size(); ++i) ranks_[tokens_[i]] = static_cast<int>(i);
  }

  GgufVocabulary vocabulary(const std::string& pre) const {
    GgufVocabulary out;
    out.model = "gpt2";
    out.pre = pre;
    for (std::size_t rank = 0; rank < tokens_.size(); ++rank) {
      out.tokens.push_back(to_byte_level(tokens_[rank]));
      const auto parts = split_token(tokens_[rank], static_cast<int>(rank));
      if (parts.size() != 2) continue;
      out.merges.push_back(to_byte_level(parts[0]) + " " + to_byte_level(parts[1]));
    }
    return out;
  }

 private:
  static std::string decode_base64(std::string_view text) {
    static constexpr std::string_view kDigits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    unsigned bits = 0;
    int count = 0;
    for (const char c : text) {
      const std::size_t digit = kDigits.find(c);
      if (digit == std::string_view::npos) break;
      bits = (bits << 6) | static_cast<unsigned>(digit);
      count += 6;
      if (count < 8) continue;
      count -= 8;
      out += static_cast<char>((bits >> count) & 0xFF);
    }
    return out;
  }

  int rank_of(const std::string& text) const {
    const auto entry = ranks_.find(text);
    return entry == ranks_.end() ? std::numeric_limits<int>::max() : entry->second;
  }

  std::vector<std::string> split_token(const std::string& token, int limit) const {
    std::vector<std::string> parts;
    for (const char c : token) parts.emplace_back(1, c);
    while (parts.size() > 1) {
      std::size_t best = 0;
      int best_rank = limit;
      for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
        const int rank = rank_of(parts[i] + parts[i + 1]);
        if (rank >= best_rank) continue;
        best = i;
        best_rank = rank;
      }
      if (best_rank == limit) break;
      parts[best] += parts[best + 1];
      parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    }
    return parts;
  }

  std::vector<std::string> tokens_;
  std::unordered_map<std::string, int> ranks_;
};

json qwen_tokenizer_json(const GgufVocabulary& vocabulary) {
  json vocab = json::object();
  for (std::size_t i = 0; i < vocabulary.tokens.size(); ++i) vocab[vocabulary.tokens[i]] = i;
  const std::string pattern =
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
      R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
  return {{"normalizer", {{"type", "NFC"}}},
          {"pre_tokenizer",
           {{"type", "Sequence"},
            {"pretokenizers",
             {{{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}},
              {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}}},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", vocabulary.merges}}}};
}

TEST(TiktokenVectors, QwenByGgufAndByJson) {
  if (shared_is_missing()) GTEST_SKIP() << kSharedSkip;
  const Tiktoken file(read_file(shared_path("data/tokenizers/qwen-151k.tiktoken")));
  for (const char* pre : {"qwen2", "deepseek-r1-qwen"}) {
    const auto tokenizer = tokenizer_from_gguf_vocabulary(file.vocabulary(pre));
    ASSERT_TRUE(tokenizer.ok()) << to_string(tokenizer.error());
    EXPECT_EQ(tokenizer->vocab_size(), 151643);
    expect_vectors(*tokenizer, std::string("ggml-vocab-") + pre);
  }
  const std::string text = qwen_tokenizer_json(file.vocabulary("qwen2")).dump();
  const auto tokenizer = tokenizer_from_hf_json(bytes_of(text));
  ASSERT_TRUE(tokenizer.ok()) << to_string(tokenizer.error());
  expect_vectors(*tokenizer, "ggml-vocab-qwen2");
}

TEST(NurseryGoldens, EveryDirectory) {
  if (shared_is_missing()) GTEST_SKIP() << kSharedSkip;
  int prompts = 0;
  for (const char* name : {"nursery-llama", "nursery-draft", "nursery-qwen2", "nursery-bitnet",
                           "nursery-deepseek", "nursery-deepseek-fp8"}) {
    const std::string directory = std::string("models/") + name + "/";
    const std::string file = read_file(shared_path(directory + "tokenizer.json"));
    const std::string config = read_file(shared_path(directory + "tokenizer_config.json"));
    const std::string generation = read_file(shared_path(directory + "generation_config.json"));
    const auto tokenizer = tokenizer_from_hf_json(
        bytes_of(file), {.config = bytes_of(config), .generation_config = bytes_of(generation)});
    ASSERT_TRUE(tokenizer.ok()) << to_string(tokenizer.error());
    EXPECT_EQ(tokenizer->vocab_size(), 1024);
    EXPECT_EQ(tokenizer->bos_id(), 1022);
    EXPECT_EQ(tokenizer->eos_ids(), std::vector<int>{1023});
    const json golden = json::parse(read_file(shared_path(directory + "golden.json")));
    for (const json& prompt : golden["prompts"]) {
      const auto ids = tokenizer->encode(prompt["prompt"].get<std::string>());
      ASSERT_TRUE(ids.ok());
      EXPECT_EQ(ids.value(), prompt["prompt_ids"].get<std::vector<int>>());
      EXPECT_EQ(tokenizer->decode(prompt["greedy_ids"].get<std::vector<int>>()),
                prompt["greedy_text"].get<std::string>());
      ++prompts;
    }
  }
  EXPECT_EQ(prompts, 24);
}

void expect_stories(const Tokenizer& tokenizer) {
  const json golden = json::parse(read_file(shared_path("data/stories260K/golden.json")));
  const auto text = golden["text"].get<std::string>();
  const auto ids = tokenizer.encode(text);
  ASSERT_TRUE(ids.ok());
  EXPECT_EQ(ids.value(), golden["ids"].get<std::vector<int>>());
  EXPECT_EQ(tokenizer.decode(ids.value()), text);
  // Sampled, so not always the ids that encoding gives, but their texts.
  const auto stories = read_id_lines(shared_path("data/stories260K/stories20.ids.txt"));
  ASSERT_EQ(stories.size(), 20u);
  for (const std::vector<int>& story : stories) {
    const std::string story_text = tokenizer.decode(story);
    const auto again = tokenizer.encode(story_text);
    ASSERT_TRUE(again.ok());
    EXPECT_EQ(tokenizer.decode(again.value()), story_text);
  }
}

TEST(StoriesGoldens, SentencePieceModelAndGguf) {
  if (shared_is_missing()) GTEST_SKIP() << kSharedSkip;
  const std::string model = read_file(shared_path("data/stories260K/hf/tokenizer.model"));
  const auto tokenizer = tokenizer_from_sentencepiece(bytes_of(model));
  ASSERT_TRUE(tokenizer.ok()) << to_string(tokenizer.error());
  expect_stories(*tokenizer);
  const auto loaded = load_tokenizer(tokenizer->serialize());
  ASSERT_TRUE(loaded.ok()) << to_string(loaded.error());
  expect_stories(*loaded);
  const std::string gguf = read_file(shared_path("data/stories260K/stories260K-f32.gguf"));
  const auto file = GgufFile::parse(bytes_of(gguf), "stories260K-f32.gguf");
  ASSERT_TRUE(file.ok()) << to_string(file.error());
  const auto from_gguf = tokenizer_from_gguf(file.value());
  ASSERT_TRUE(from_gguf.ok()) << to_string(from_gguf.error());
  EXPECT_EQ(from_gguf->eos_ids(), std::vector<int>{2});
  expect_stories(*from_gguf);
}

TEST(NurseryGguf, AgreesWithTokenizerJson) {
  if (shared_is_missing()) GTEST_SKIP() << kSharedSkip;
  const std::string json_bytes = read_file(shared_path("models/nursery-llama/tokenizer.json"));
  const auto from_json = tokenizer_from_hf_json(bytes_of(json_bytes));
  ASSERT_TRUE(from_json.ok());
  const std::string bytes = read_file(shared_path("models/gguf/nursery-llama-f32.gguf"));
  const auto file = GgufFile::parse(bytes_of(bytes), "nursery-llama-f32.gguf");
  ASSERT_TRUE(file.ok()) << to_string(file.error());
  const auto from_gguf = tokenizer_from_gguf(file.value());
  ASSERT_TRUE(from_gguf.ok()) << to_string(from_gguf.error());
  for (const std::string& text : read_texts("ggml-vocab-llama-bpe")) {
    EXPECT_EQ(from_json->encode(text).value(), from_gguf->encode(text).value()) << text;
  }
  std::istringstream paragraphs(read_file(shared_path("models/heldout.txt")));
  for (std::string line; std::getline(paragraphs, line);) {
    EXPECT_EQ(from_json->encode(line).value(), from_gguf->encode(line).value());
  }
}

}  // namespace
}  // namespace pianola
