// Mutates model files and reads them back: whatever the bytes, the readers and the importer return
// a value or a clean error, in bounded memory. 10,000 mutations of each kind of file; with
// PIANOLA_LONG=1 in the environment 1,000,000. Meant to run under the sanitizers as well.
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <functional>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "compiler/import/import_gguf.h"
#include "compiler/import/import_hugging_face.h"
#include "formats/parse_json.h"
#include "tests/support/make_llama.h"

namespace {

// Live and peak bytes of the C++ heap of this one-threaded program.
std::size_t live_bytes = 0;
std::size_t peak_bytes = 0;

void* counted_allocate(std::size_t size) {
  void* memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  live_bytes += malloc_usable_size(memory);
  peak_bytes = std::max(peak_bytes, live_bytes);
  return memory;
}

void counted_free(void* memory) {
  if (memory == nullptr) return;
  live_bytes -= malloc_usable_size(memory);
  std::free(memory);
}

}  // namespace

void* operator new(std::size_t size) { return counted_allocate(size); }
void* operator new[](std::size_t size) { return counted_allocate(size); }
void operator delete(void* memory) noexcept { counted_free(memory); }
void operator delete[](void* memory) noexcept { counted_free(memory); }
void operator delete(void* memory, std::size_t) noexcept { counted_free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { counted_free(memory); }

namespace pianola {
namespace {

// What a reader may allocate beside the file: a multiple of its size and some constant.
constexpr std::size_t kAllocationFactor = 64;
constexpr std::size_t kAllocationConstant = std::size_t{1} << 20;
constexpr std::size_t kMessageBytesMax = std::size_t{32} << 10;

std::size_t mutation_count() {
  const char* is_long = std::getenv("PIANOLA_LONG");
  return is_long != nullptr && std::string_view(is_long) == "1" ? 1'000'000 : 10'000;
}

const LlamaShape kShape{.hidden = 6,
                        .layers = 1,
                        .heads = 2,
                        .kv_heads = 1,
                        .head_dim = 2,
                        .ffn = 4,
                        .vocab = 5,
                        .dtype = "BF16"};

// Changes bytes at random; equal seeds make equal changes.
class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : random_(seed) {}

  Bytes mutate(const Bytes& original) {
    Bytes bytes = original;
    for (std::size_t i = 0, count = 1 + below(5) / 3; i < count && !bytes.empty(); ++i)
      mutate_once(bytes);
    return {bytes.begin(),
            bytes.end()};  // without spare capacity, so that a sanitizer sees overruns
  }

 private:
  std::size_t below(std::size_t bound) { return random_() % bound; }

  void mutate_once(Bytes& bytes) {
    const std::size_t kind = below(16);
    if (kind < 6) return flip_bits(bytes);
    if (kind < 9) return attack_length(bytes);
    if (kind < 11) return attack_number(bytes);
    if (kind < 12) return duplicate(bytes);
    if (kind < 13) return remove(bytes);
    if (kind < 14) return bytes.resize(below(bytes.size() + 1));
    bytes[below(bytes.size())] = static_cast<std::byte>(below(256));
  }

  void flip_bits(Bytes& bytes) {
    for (std::size_t i = 0, count = 1 + below(3); i < count; ++i) {
      bytes[below(bytes.size())] ^= static_cast<std::byte>(1u << below(8));
    }
  }

  // Writes an extreme 4- or 8-byte number; often near the front, where counts are.
  void attack_length(Bytes& bytes) {
    static constexpr std::uint64_t kNumbers[] = {0,
                                                 1,
                                                 2,
                                                 7,
                                                 8,
                                                 9,
                                                 13,
                                                 255,
                                                 65536,
                                                 1u << 20,
                                                 0x7fffffff,
                                                 0x80000000,
                                                 0xffffffff,
                                                 std::uint64_t{1} << 32,
                                                 std::uint64_t{1} << 60,
                                                 std::uint64_t{1} << 61,
                                                 std::uint64_t{1} << 62,
                                                 std::uint64_t{1} << 63,
                                                 ~std::uint64_t{0},
                                                 ~std::uint64_t{6}};
    const std::uint64_t number =
        below(4) == 0 ? bytes.size() + below(33) - 16 : kNumbers[below(std::size(kNumbers))];
    const std::size_t width = below(2) == 0 ? 4 : 8;
    const std::size_t front =
        below(2) == 0 ? std::min<std::size_t>(64, bytes.size()) : bytes.size();
    const std::size_t at = below(front);
    for (std::size_t i = 0; i < width && at + i < bytes.size(); ++i) {
      bytes[at + i] = static_cast<std::byte>(number >> (8 * i) & 255);
    }
  }

  // Replaces a decimal number of a text.
  void attack_number(Bytes& bytes) {
    static constexpr std::array<std::string_view, 12> kTexts = {"0",
                                                                "-1",
                                                                "1e308",
                                                                "4294967296",
                                                                "9223372036854775807",
                                                                "18446744073709551615",
                                                                "99999999999999999999999",
                                                                "null",
                                                                "[[[[",
                                                                "{}",
                                                                "\"x\"",
                                                                "1.5"};
    const auto is_digit = [](std::byte b) { return b >= std::byte{'0'} && b <= std::byte{'9'}; };
    const auto begin = std::find_if(
        bytes.begin() + static_cast<std::ptrdiff_t>(below(bytes.size())), bytes.end(), is_digit);
    const auto end = std::find_if_not(begin, bytes.end(), is_digit);
    Bytes out(bytes.begin(), begin);
    append(out, kTexts[below(kTexts.size())]);
    append(out, std::span<const std::byte>(end, bytes.end()));
    bytes = std::move(out);
  }

  void duplicate(Bytes& bytes) {
    const std::size_t from = below(bytes.size());
    const std::size_t count = std::min(below(200), bytes.size() - from);
    const std::size_t to = below(bytes.size());
    Bytes out(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(to));
    append(out, std::span<const std::byte>(bytes).subspan(from, count));
    append(out, std::span<const std::byte>(bytes).subspan(to));
    bytes = std::move(out);
  }

  void remove(Bytes& bytes) {
    const std::size_t from = below(bytes.size());
    const std::size_t count = std::min(below(40), bytes.size() - from);
    const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(from);
    bytes.erase(begin, begin + static_cast<std::ptrdiff_t>(count));
  }

  std::mt19937_64 random_;
};

// Reads every byte that the graph's tensors promise.
void touch(const Graph& graph) {
  ASSERT_EQ(find_problems(graph), std::vector<std::string>());
  EXPECT_FALSE(to_text(graph).empty());
  float sum = 0;
  for (const Tensor& tensor : graph.tensors) {
    std::vector<float> row(tensor.cols);
    for (std::size_t r = 0; r < tensor.rows; ++r) {
      tensor.dequantize_row(r, row);
      sum += row[0];
    }
  }
  volatile float sink = sum;
  static_cast<void>(sink);
}

struct Tally {
  std::size_t read = 0;
  std::size_t refused = 0;
};

void check_error(const Error& error, Tally& tally) {
  ++tally.refused;
  EXPECT_FALSE(error.message.empty());
  EXPECT_LT(to_string(error).size(), kMessageBytesMax);
  EXPECT_NE(static_cast<int>(error.code), static_cast<int>(ErrorCode::Io));
}

void check_graph(const Result<Graph>& graph, Tally& tally) {
  if (!graph.ok()) return check_error(graph.error(), tally);
  ++tally.read;
  touch(*graph);
}

// Mutates one file many times; `read` sees each result.
void fuzz(const Bytes& original, const std::function<void(const Bytes&, Tally&)>& read) {
  Tally tally;
  read(original, tally);
  ASSERT_EQ(tally.read, 1u) << "the seed itself must be read";
  std::size_t worst = 0;
  for (std::size_t i = 0; i < mutation_count(); ++i) {
    const Bytes bytes = Mutator(i).mutate(original);
    const std::size_t before = live_bytes;
    peak_bytes = live_bytes;
    read(bytes, tally);
    const std::size_t spent = peak_bytes - before;
    worst = std::max(worst, spent);
    ASSERT_LE(spent, kAllocationFactor * bytes.size() + kAllocationConstant) << "mutation " << i;
    if (testing::Test::HasFailure()) FAIL() << "mutation " << i;
  }
  std::printf("%zu read, %zu refused, at most %zu bytes allocated for a file of %zu\n", tally.read,
              tally.refused, worst, original.size());
  EXPECT_GT(tally.read, 10u);
  EXPECT_GT(tally.refused, 100u);
}

TEST(ModelFilesFuzz, ReadsMutatedSafetensors) {
  const std::string config = make_llama_config(kShape);
  fuzz(write_safetensors(make_llama_tensors(kShape)), [&](const Bytes& bytes, Tally& tally) {
    auto file = SafetensorsFile::parse(bytes, "fuzz.safetensors");
    if (!file.ok()) return check_error(file.error(), tally);
    const std::vector<SafetensorsFile> shards = {std::move(file).value()};
    check_graph(import_hugging_face(config, "", shards, "fuzz"), tally);
  });
}

TEST(ModelFilesFuzz, ReadsMutatedConfigs) {
  const Bytes data = write_safetensors(make_llama_tensors(kShape));
  auto file = SafetensorsFile::parse(data, "fuzz.safetensors");
  ASSERT_TRUE(file.ok());
  const std::vector<SafetensorsFile> shards = {std::move(file).value()};
  Bytes config;
  append(config, make_llama_config(kShape));
  fuzz(config, [&](const Bytes& bytes, Tally& tally) {
    check_graph(import_hugging_face(as_text(bytes), "", shards, "fuzz"), tally);
  });
  Bytes generation;
  append(generation, R"({"bos_token_id": 1, "eos_token_id": [2, 3], "x": {"y": ["z", null]}})");
  const std::string sound = make_llama_config(kShape);
  fuzz(generation, [&](const Bytes& bytes, Tally& tally) {
    check_graph(import_hugging_face(sound, as_text(bytes), shards, "fuzz"), tally);
  });
}

TEST(ModelFilesFuzz, ReadsMutatedIndexes) {
  Bytes index;
  append(index, R"({"metadata": {"total_size": 123}, "weight_map": {
    "model.embed_tokens.weight": "model-00001-of-00002.safetensors",
    "model.norm.weight": "model-00002-of-00002.safetensors"}})");
  fuzz(index, [&](const Bytes& bytes, Tally& tally) {
    const auto map = parse_safetensors_index(as_text(bytes), "fuzz.json");
    if (!map.ok()) return check_error(map.error(), tally);
    ++tally.read;
    for (const auto& [tensor, path] : *map) {
      EXPECT_EQ(path.find('/'), std::string::npos);
      EXPECT_NE(path, "..");
    }
  });
}

// Asks every look-up for every key.
void look_up_all(const GgufFile& file) {
  for (const auto& [key, value] : file.metadata()) {
    static_cast<void>(file.integer_value(key).ok());
    static_cast<void>(file.float_value(key).ok());
    static_cast<void>(file.bool_value(key).ok());
    static_cast<void>(file.integer_array(key).ok());
    static_cast<void>(file.float_array(key).ok());
    std::size_t length = 0;
    if (const auto text = file.string_value(key); text.ok()) length += std::string(*text).size();
    if (const auto texts = file.string_array(key); texts.ok()) {
      for (const std::string_view text : *texts) length += std::string(text).size();
    }
    EXPECT_LT(length, std::size_t{1} << 30);
  }
}

void read_gguf(const Bytes& bytes, Tally& tally) {
  const auto file = GgufFile::parse(bytes, "fuzz.gguf");
  if (!file.ok()) return check_error(file.error(), tally);
  look_up_all(*file);
  check_graph(import_gguf(*file), tally);
}

TEST(ModelFilesFuzz, ReadsMutatedGguf) { fuzz(make_llama_gguf(kShape), read_gguf); }

TEST(ModelFilesFuzz, ReadsMutatedGgufMetadata) {
  GgufWriter writer;
  writer.add_string("general.architecture", "llama");
  writer.add_strings("tokenizer.ggml.tokens", {"a", "bb", "", "ccc", "<s>"});
  Bytes inner;
  append_number(inner, std::uint32_t{6});
  append_number(inner, std::uint64_t{2});
  append_number(inner, std::uint64_t{0});
  Bytes nested;
  append_number(nested, std::uint32_t{9});
  append_number(nested, std::uint64_t{2});
  append(nested, inner);
  append(nested, inner);
  writer.add_raw("nested", 9, nested);
  writer.add_number("u64", 10, std::uint64_t{5});
  writer.add_number("bool", 7, std::uint8_t{1});
  const std::pair<const char*, std::uint32_t> tensors[] = {
      {"q8_0", 8}, {"q4_0", 2}, {"q4_1", 3}, {"q5_0", 6}, {"q5_1", 7}, {"iq4_nl", 20}};
  for (const auto& [name, type] : tensors) writer.add_tensor(name, {32, 2}, type, Bytes(80));
  fuzz(writer.finish(), [](const Bytes& bytes, Tally& tally) {
    const auto file = GgufFile::parse(bytes, "fuzz.gguf");
    if (!file.ok()) return check_error(file.error(), tally);
    ++tally.read;
    look_up_all(*file);
    std::size_t sum = 0;
    for (const GgufTensor& tensor : file->tensors()) {
      for (const std::byte byte : tensor.bytes) sum += std::to_integer<std::size_t>(byte);
    }
    EXPECT_LT(sum, std::size_t{1} << 40);
    const auto graph = import_gguf(*file);
    EXPECT_FALSE(graph.ok());
  });
}

// Files of the smallest entries that their formats have: what is allocated stays in proportion.
TEST(ModelFilesFuzz, BoundsTheAllocationForDenseFiles) {
  const auto expect_bounded = [](const Bytes& bytes, const char* what, const auto& read) {
    const std::size_t before = live_bytes;
    peak_bytes = live_bytes;
    read(bytes);
    const std::size_t spent = peak_bytes - before;
    std::printf("%s: %.1f bytes per byte\n", what,
                static_cast<double>(spent) / static_cast<double>(bytes.size()));
    EXPECT_LE(spent, kAllocationFactor * bytes.size() + kAllocationConstant) << what;
  };
  constexpr std::size_t kEntries = 99'999;
  for (const std::string_view item : {"0,", "[],", "{},", "\"\",", "[[]],"}) {
    Bytes text;
    append(text, "{\"weight_map\":[");
    for (std::size_t i = 0; i < kEntries; ++i) append(text, item);
    append(text, "0]}");
    expect_bounded(text, item.data(), [](const Bytes& bytes) {
      EXPECT_FALSE(parse_safetensors_index(as_text(bytes), "x").ok());
    });
  }
  Bytes keys;
  append(keys, "{");
  for (std::size_t i = 0; i < kEntries; ++i) {
    const std::string number = std::to_string(i);
    append(keys, "\"");
    append(keys, number);
    append(keys, "\":0,");
  }
  append(keys, "\"x\":0}");
  expect_bounded(keys, "keys", [](const Bytes& bytes) {
    EXPECT_FALSE(parse_safetensors_index(as_text(bytes), "x").ok());
  });
  Bytes empty_strings(8 * kEntries);
  Bytes empty_arrays(12 * kEntries);
  GgufWriter entries;
  GgufWriter tensors;
  for (std::size_t i = 0; i < kEntries; ++i) {
    const std::string name = std::to_string(i);
    entries.add_number(name, 0, std::uint8_t{0});
    tensors.add_tensor_at(name, {1}, 0, 32 * i);
  }
  const auto array = [](std::uint32_t type, const Bytes& elements) {
    Bytes value;
    append_number(value, type);
    append_number(value, std::uint64_t{kEntries});
    append(value, elements);
    GgufWriter writer;
    writer.add_raw("key", 9, value);
    return writer.finish();
  };
  const auto parse = [](const Bytes& bytes) {
    static_cast<void>(GgufFile::parse(bytes, "x").ok());
  };
  expect_bounded(array(8, empty_strings), "gguf strings", parse);
  expect_bounded(array(9, empty_arrays), "gguf arrays", parse);
  expect_bounded(entries.finish(), "gguf entries", parse);
  expect_bounded(tensors.finish(), "gguf tensors", parse);
}

// Quantized tensors of a whole model: every block type through import and dequantization.
TEST(ModelFilesFuzz, ReadsMutatedQuantizedGguf) {
  GgufWriter writer;
  writer.add_string("general.architecture", "llama");
  for (const auto& [key, value] :
       std::vector<std::pair<const char*, std::uint32_t>>{{"llama.embedding_length", 32},
                                                          {"llama.block_count", 1},
                                                          {"llama.attention.head_count", 2},
                                                          {"llama.attention.head_count_kv", 1},
                                                          {"llama.feed_forward_length", 32},
                                                          {"llama.context_length", 8}}) {
    writer.add_u32(key, value);
  }
  writer.add_f32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  const auto matrix = [&](const char* name, std::uint64_t rows, std::uint32_t type,
                          std::size_t block_bytes) {
    writer.add_tensor(name, {32, rows}, type, Bytes(rows * block_bytes, std::byte{0x31}));
  };
  matrix("token_embd.weight", 3, 8, 34);
  matrix("blk.0.attn_q.weight", 32, 2, 18);
  matrix("blk.0.attn_k.weight", 16, 3, 20);
  matrix("blk.0.attn_v.weight", 16, 6, 22);
  matrix("blk.0.attn_output.weight", 32, 7, 24);
  matrix("blk.0.ffn_gate.weight", 32, 8, 34);
  matrix("blk.0.ffn_up.weight", 32, 30, 64);
  matrix("blk.0.ffn_down.weight", 32, 1, 64);
  for (const char* name :
       {"blk.0.attn_norm.weight", "blk.0.ffn_norm.weight", "output_norm.weight"}) {
    writer.add_tensor(name, {32}, 0, Bytes(128, std::byte{0x3f}));
  }
  fuzz(writer.finish(), read_gguf);
}

}  // namespace
}  // namespace pianola
