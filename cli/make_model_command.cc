// `pianola make-model`: a Hugging Face directory of given dimensions with random weights, to measure with.
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/configuration.h"
#include "cli/progress.h"
#include "isa/arithmetic.h"

namespace pianola {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// The generator splitmix64: state advances by a constant, so that it needs no warming up.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
  }

 private:
  uint64_t state_;
};

// Uniform values of variance 1 / cols: what a product leaves has the variance of what came in. Norms
// have gains of one.
void fill_random(Random& random, const Tensor& tensor, std::vector<uint16_t>& out) {
  out.resize(tensor.rows * tensor.cols);
  if (tensor.rows == 1) {
    std::fill(out.begin(), out.end(), arith::f32_to_bf16(std::bit_cast<uint32_t>(1.0f)));
    return;
  }
  const float scale = std::sqrt(3.0f / static_cast<float>(tensor.cols)) / 32768.0f;
  for (size_t i = 0; i < out.size(); i += 4) {
    uint64_t bits = random.next();
    for (size_t j = i; j < std::min(i + 4, out.size()); ++j, bits >>= 16) {
      const float value = scale * static_cast<float>(static_cast<int16_t>(bits & 0xffff));
      out[j] = arith::f32_to_bf16(std::bit_cast<uint32_t>(value));
    }
  }
}

Error io_error(const std::string& what, const fs::path& path) {
  return Error{ErrorCode::Io, what + ": " + std::strerror(errno), path.string()};
}

Status write_text(const fs::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) return io_error("cannot write", path);
  return Ok{};
}

std::string safetensors_header(const Graph& graph) {
  Json header = Json::object();
  uint64_t offset = 0;
  for (const Tensor& tensor : graph.tensors) {
    const uint64_t bytes = tensor.rows * tensor.cols * 2;
    const Json shape = tensor.rows == 1 ? Json{tensor.cols} : Json{tensor.rows, tensor.cols};
    header[tensor.name] = {
        {"dtype", "BF16"}, {"shape", shape}, {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

// A vocabulary of bytes, then of names that no text contains: any prompt has ids, any id has a text.
std::string tokenizer_text(size_t vocabulary) {
  // GPT-2's alphabet: printable bytes stand for themselves, the others follow from U+0100 on.
  Json vocab = Json::object();
  int next = 256;
  size_t id = 0;
  for (int byte = 0; byte < 256 && id < vocabulary; ++byte) {
    const bool printable = (byte > 32 && byte < 127) || (byte > 160 && byte != 173);
    const int point = printable ? byte : next++;
    std::string text;
    if (point < 128) {
      text = static_cast<char>(point);
    } else {
      text = {static_cast<char>(0xc0 | point >> 6), static_cast<char>(0x80 | (point & 63))};
    }
    vocab[text] = id++;
  }
  for (; id < vocabulary; ++id) vocab["<" + std::to_string(id) + ">"] = id;
  const Json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", false},
                           {"trim_offsets", true}, {"use_regex", false}};
  Json json;
  json["version"] = "1.0";
  json["added_tokens"] = Json::array();
  json["normalizer"] = nullptr;
  json["pre_tokenizer"] = byte_level;
  json["post_processor"] = nullptr;
  json["decoder"] = byte_level;
  json["model"] = {{"type", "BPE"}, {"vocab", vocab}, {"merges", Json::array()}};
  return json.dump();
}

Status write_weights(const Graph& graph, uint64_t seed, const fs::path& path) {
  const fs::path temporary = path.string() + ".partial";
  std::ofstream file(temporary, std::ios::binary);
  const std::string header = safetensors_header(graph);
  const uint64_t length = header.size();
  file.write(reinterpret_cast<const char*>(&length), sizeof length);
  file << header;
  Random random(seed);
  Progress progress("writing random weights", "tensors");
  std::vector<uint16_t> values;
  for (size_t i = 0; i < graph.tensors.size() && file; ++i) {
    fill_random(random, graph.tensors[i], values);
    file.write(reinterpret_cast<const char*>(values.data()),
               static_cast<std::streamsize>(values.size() * sizeof values[0]));
    progress.update(i + 1, graph.tensors.size());
  }
  file.close();
  std::error_code error;
  if (file) fs::rename(temporary, path, error);
  if (file && !error) return Ok{};
  const Error failure = io_error("cannot write the weights", path);
  fs::remove(temporary, error);
  return failure;
}

Status make_model(const std::string& configuration, uint64_t seed, const std::string& output) {
  TRY(std::unique_ptr<MappedFile> config, open_configuration(configuration));
  TRY(Model model, import_dimensions(configuration));
  std::error_code error;
  fs::create_directories(output, error);
  if (error) return Error{ErrorCode::Io, "cannot make the directory: " + error.message(), output};
  const fs::path directory = output;
  TRY_STATUS(write_weights(model.graph, seed, directory / "model.safetensors"));
  TRY_STATUS(write_text(directory / "tokenizer.json", tokenizer_text(model.graph.facts.vocab)));
  const std::string text(reinterpret_cast<const char*>(config->bytes().data()),
                         config->bytes().size());
  TRY_STATUS(write_text(directory / "config.json", text));
  std::printf("%s: %zu layers, random weights of seed %llu\n", output.c_str(),
              model.graph.facts.layers, static_cast<unsigned long long>(seed));
  return Ok{};
}

}  // namespace

void add_make_model_command(CLI::App& app, Action& chosen) {
  CLI::App* command = app.add_subcommand(
      "make-model", "write a Hugging Face directory of given dimensions with random weights");
  auto configuration = std::make_shared<std::string>();
  auto output = std::make_shared<std::string>();
  auto seed = std::make_shared<uint64_t>(1);
  command
      ->add_option("config", *configuration, "a config.json or the name of one in models/configs")
      ->required();
  command->add_option("--seed", *seed, "of the weights")->capture_default_str();
  command->add_option("-o,--output", *output, "the directory")->required();
  command->callback([&chosen, configuration, seed, output] {
    chosen = [configuration, seed, output] {
      return make_model(*configuration, *seed, *output);
    };
  });
}

}  // namespace pianola
