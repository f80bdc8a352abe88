// Schemas for the comparison with an independent validator: a request a line on standard input, an
// answer a line on standard output.
//
//   {"schema": ..., "documents": [text, ...], "walks": count, "seed": n}
//   -> {"accepted": [true, ...], "walks": [text, ...], "unfinished": count}, or {"error": ...}
//
// A walk draws tokens at random from the masks until the text ends.
#include <iostream>
#include <optional>
#include <random>
#include <string>

#include "tests/grammar/byte_vocabulary.h"

namespace pianola {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kTokensMax = 600;

std::optional<std::string> walk(const Grammar& grammar, const TokenVocabulary& vocabulary,
                                std::mt19937_64& random) {
  GrammarMatcher matcher(grammar, vocabulary);
  std::string text;
  for (int count = 0; count < kTokensMax; ++count) {
    const auto mask = matcher.allowed_tokens();
    if (!mask.ok()) throw std::runtime_error(to_string(mask.error()));
    std::vector<int> allowed, closing;
    for (int token = 0; token < static_cast<int>(vocabulary.size()); ++token) {
      if (!is_allowed(*mask, token)) continue;
      allowed.push_back(token);
      const std::string& bytes = vocabulary.bytes(token);
      if (bytes == "\"" || bytes == "]" || bytes == "}") closing.push_back(token);
    }
    const int eos = eos_of(vocabulary);
    const bool end_now = is_allowed(*mask, eos) && random() % 2 == 0;
    const bool close = !closing.empty() && random() % 100 < static_cast<unsigned>(10 + count / 3);
    const int token = end_now ? eos
                      : close ? closing[random() % closing.size()]
                              : allowed[random() % allowed.size()];
    if (!matcher.accept(token).ok()) throw std::runtime_error("a token of the mask was refused");
    if (token == eos) return text;
    text += vocabulary.bytes(token);
  }
  return std::nullopt;
}

Json answer(const Json& request, const TokenVocabulary& vocabulary) {
  const auto grammar = Grammar::from_json_schema(request.at("schema"));
  if (!grammar.ok()) return {{"error", to_string(grammar.error())}};
  Json accepted = Json::array(), walks = Json::array();
  for (const Json& document : request.at("documents"))
    accepted.push_back(matches(*grammar, document.get<std::string>()));
  std::mt19937_64 random(request.at("seed").get<std::uint64_t>());
  int unfinished = 0;
  for (int i = 0; i < request.at("walks").get<int>(); ++i) {
    if (auto text = walk(*grammar, vocabulary, random)) {
      walks.push_back(std::move(*text));
    } else {
      ++unfinished;
    }
  }
  return {{"accepted", accepted}, {"walks", walks}, {"unfinished", unfinished}};
}

}  // namespace
}  // namespace pianola

int main() {
  const pianola::TokenVocabulary vocabulary = pianola::byte_vocabulary();
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << pianola::answer(nlohmann::ordered_json::parse(line), vocabulary).dump() << '\n';
  }
}
