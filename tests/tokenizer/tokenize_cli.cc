// Runs a tokenizer on cases from standard input, for hf_oracle.py.
//
//   tokenize_cli tokenizer.json|tokenizer.model|file.gguf [--config=tokenizer_config.json]
//
// One JSON object a line: {"text": "...", "add_bos": true, "parse_special": true} gives
// {"ids": [...]}; {"ids": [...], "skip_special": true} gives {"text": "...", "stream": "..."}.
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "formats/read_gguf.h"
#include "host/tokenizer/tokenizer.h"

namespace pianola {
namespace {

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

Result<Tokenizer> load(const std::string& path, const std::string& config) {
  const std::string bytes = read_file(path);
  const auto span = std::as_bytes(std::span(bytes));
  if (path.ends_with(".model")) return tokenizer_from_sentencepiece(span);
  if (path.ends_with(".gguf")) {
    TRY(const GgufFile file, GgufFile::parse(span, path));
    return tokenizer_from_gguf(file);
  }
  const std::string config_bytes = config.empty() ? "" : read_file(config);
  return tokenizer_from_hf_json(
      span, {.config = std::as_bytes(std::span(config_bytes)), .generation_config = {}});
}

nlohmann::json answer(const Tokenizer& tokenizer, const nlohmann::json& request) {
  if (request.contains("ids")) {
    const auto ids = request["ids"].get<std::vector<int>>();
    const DecodeOptions options{.skip_special = request.value("skip_special", true)};
    TextStream stream(tokenizer, options);
    std::string streamed;
    for (const int id : ids) streamed += stream.push(id);
    streamed += stream.flush();
    return {{"text", tokenizer.decode(ids, options)}, {"stream", streamed}};
  }
  const auto ids = tokenizer.encode(request.at("text").get<std::string>(),
                                    {.add_bos = request.value("add_bos", false),
                                     .parse_special = request.value("parse_special", true)});
  if (!ids.ok()) return {{"error", to_string(ids.error())}};
  return {{"ids", ids.value()}};
}

int run(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: tokenize_cli FILE [--config=FILE] < requests\n";
    return 2;
  }
  const std::string option = argc > 2 ? argv[2] : "";
  const std::string prefix = "--config=";
  const auto tokenizer =
      load(argv[1], option.starts_with(prefix) ? option.substr(prefix.size()) : "");
  if (!tokenizer.ok()) {
    std::cerr << to_string(tokenizer.error()) << "\n";
    return 1;
  }
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << answer(*tokenizer, nlohmann::json::parse(line)).dump() << "\n";
  }
  return 0;
}

}  // namespace
}  // namespace pianola

int main(int argc, char** argv) { return pianola::run(argc, argv); }
