// Makes a tokenizer of a GGUF file's tokenizer.* metadata, with the meaning that llama.cpp gives
// it (github.com/ggml-org/llama.cpp).
#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>

#include "formats/quote.h"
#include "formats/read_gguf.h"
#include "host/tokenizer/byte_level.h"
#include "host/tokenizer/gguf_vocabulary.h"
#include "host/tokenizer/pipeline.h"
#include "host/tokenizer/unicode.h"

namespace pianola {
namespace {

Error malformed(std::string message) {
  return Error{ErrorCode::Malformed, std::move(message), "tokenizer.ggml"};
}

class ByteWriter {
 public:
  void number(std::uint64_t value) {
    for (int shift = 0; shift < 64; shift += 8) out_ += static_cast<char>(value >> shift);
  }
  void text(std::string_view text) {
    number(text.size());
    out_ += text;
  }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}
  bool at_end() const { return rest_.empty(); }
  Result<std::uint64_t> number() {
    if (rest_.size() < 8) return malformed("the serialized vocabulary is cut off");
    std::uint64_t value = 0;
    for (std::size_t i = 8; i-- > 0;) value = (value << 8) | static_cast<unsigned char>(rest_[i]);
    rest_.remove_prefix(8);
    return value;
  }
  // A count of things of at least eight bytes each.
  Result<std::size_t> count() {
    TRY(const std::uint64_t value, number());
    if (value > rest_.size() / 8) return malformed("the serialized vocabulary is cut off");
    return static_cast<std::size_t>(value);
  }
  Result<std::string> text() {
    TRY(const std::uint64_t size, number());
    if (size > rest_.size()) return malformed("the serialized vocabulary is cut off");
    std::string out(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return out;
  }

 private:
  std::string_view rest_;
};

Status place_tokens(const GgufVocabulary& source, Pipeline& pipeline) {
  Vocabulary& vocabulary = pipeline.vocabulary;
  if (source.tokens.empty()) return malformed("there are no tokens");
  if (!source.kinds.empty() && source.kinds.size() != source.tokens.size()) {
    return malformed(std::to_string(source.kinds.size()) + " token types for " +
                     std::to_string(source.tokens.size()) + " tokens");
  }
  vocabulary.kinds.assign(source.tokens.size(), TokenKind::Normal);
  for (std::size_t i = 0; i < source.tokens.size(); ++i) {
    vocabulary.texts.push_back(to_valid_utf8(source.tokens[i]));
    if (source.kinds.empty()) continue;
    // 0 is "undefined", which some converters wrote.
    const int kind = std::max(source.kinds[i], 1);
    if (kind > 6) return malformed("token type " + std::to_string(kind) + "; expected 1 to 6");
    vocabulary.kinds[i] = static_cast<TokenKind>(kind);
  }
  return Ok{};
}

Status place_special_ids(const GgufVocabulary& source, Pipeline& pipeline) {
  const auto check = [&](std::int64_t id) -> Status {
    if (id >= 0 && static_cast<std::uint64_t>(id) < pipeline.vocabulary.size()) return Ok{};
    return malformed("the special id " + std::to_string(id) + " is not in the vocabulary of " +
                     std::to_string(pipeline.vocabulary.size()) + " tokens");
  };
  if (source.bos_id >= 0) {
    TRY_STATUS(check(source.bos_id));
    pipeline.bos_id = static_cast<int>(source.bos_id);
    if (source.add_bos) pipeline.before.push_back(*pipeline.bos_id);
  }
  for (const std::int64_t id : source.eos_ids) {
    TRY_STATUS(check(id));
    const int eos = static_cast<int>(id);
    if (std::find(pipeline.eos_ids.begin(), pipeline.eos_ids.end(), eos) !=
        pipeline.eos_ids.end()) {
      continue;
    }
    pipeline.eos_ids.push_back(eos);
  }
  if (source.add_eos && !pipeline.eos_ids.empty()) {
    pipeline.after.push_back(pipeline.eos_ids.front());
  }
  add_well_known_eos(pipeline);
  return Ok{};
}

Status add_token(const Pipeline& pipeline, std::size_t i, bool special, AddedTokenSet& set) {
  AddedToken token;
  token.id = static_cast<int>(i);
  token.content = pipeline.vocabulary.texts[i];
  token.special = special;
  return set.insert(std::move(token));
}

TokenIndex index_mergeable(const Vocabulary& vocabulary) {
  TokenIndex index;
  for (const bool user_defined : {false, true}) {
    for (std::size_t i = 0; i < vocabulary.size(); ++i) {
      const TokenKind kind = vocabulary.kinds[i];
      if (kind == TokenKind::Control || kind == TokenKind::Unknown) continue;
      if ((kind == TokenKind::UserDefined) != user_defined) continue;
      index.emplace(vocabulary.texts[i], static_cast<int>(i));
    }
  }
  return index;
}

Status build_bpe(const GgufVocabulary& source, Pipeline& pipeline) {
  TRY(const GgufSplit split, find_gguf_split(source.pre));
  for (const std::string_view pattern : split.patterns) {
    SplitStep step;
    TRY(step.pattern, Regex::compile(pattern));
    pipeline.split.push_back(std::move(step));
  }
  SplitStep byte_level;
  byte_level.kind = SplitStep::Kind::ByteLevel;
  pipeline.split.push_back(std::move(byte_level));
  const Vocabulary& vocabulary = pipeline.vocabulary;
  index_tokens(pipeline);
  pipeline.is_special.assign(vocabulary.size(), false);
  for (std::size_t i = 0; i < vocabulary.size(); ++i) {
    const TokenKind kind = vocabulary.kinds[i];
    const bool special = kind == TokenKind::Control || kind == TokenKind::Unknown;
    pipeline.is_special[i] = special;
    if (special || kind == TokenKind::UserDefined) {
      TRY_STATUS(add_token(pipeline, i, special, pipeline.added));
    }
  }
  std::vector<TextPair> merges;
  merges.reserve(source.merges.size());
  for (const std::string& merge : source.merges) {
    const std::size_t space = merge.find(' ', 1);
    if (space == std::string::npos)
      return malformed("the merge " + quote_name(merge) + " is no pair");
    const std::string_view pair = merge;
    merges.emplace_back(pair.substr(0, space), pair.substr(space + 1));
  }
  BpeOptions options;
  options.ignore_merges = split.ignore_merges;
  options.skip_unknown_merges = true;
  TRY(pipeline.model, BpeModel::build(index_mergeable(vocabulary), merges, std::move(options)));
  pipeline.decode.emplace_back();
  pipeline.decode.back().kind = DecodeStep::Kind::ByteLevel;
  pipeline.added_are_plain_text = true;
  return Ok{};
}

Status build_sentencepiece(const GgufVocabulary& source, Pipeline& pipeline) {
  const Vocabulary& vocabulary = pipeline.vocabulary;
  const bool has_bytes = std::find(vocabulary.kinds.begin(), vocabulary.kinds.end(),
                                   TokenKind::Byte) != vocabulary.kinds.end();
  SentencePieceNormalizer normalizer;
  normalizer.add_dummy_prefix = source.add_space_prefix;
  normalizer.remove_extra_spaces = false;
  TRY_STATUS(finish_sentencepiece(pipeline, source.scores, has_bytes, std::move(normalizer)));
  for (std::size_t i = 0; i < vocabulary.size(); ++i) {
    if (vocabulary.kinds[i] != TokenKind::UserDefined) continue;
    TRY_STATUS(add_token(pipeline, i, false, pipeline.added));
  }
  pipeline.unknown_surface = " \xE2\x81\x87 ";
  return Ok{};
}

Result<bool> bool_or(const GgufFile& file, std::string_view key, bool otherwise) {
  if (!file.has(key)) return otherwise;
  return file.bool_value(key);
}

Result<std::vector<std::string>> texts_of(const GgufFile& file, std::string_view key) {
  TRY(const std::span<const std::string_view> views, file.string_array(key));
  return std::vector<std::string>(views.begin(), views.end());
}

Status extract_lists(const GgufFile& file, GgufVocabulary& out) {
  TRY(out.tokens, texts_of(file, "tokenizer.ggml.tokens"));
  if (file.has("tokenizer.ggml.token_type")) {
    TRY(const std::vector<std::int64_t> kinds, file.integer_array("tokenizer.ggml.token_type"));
    for (const std::int64_t kind : kinds) {
      out.kinds.push_back(static_cast<int>(std::clamp<std::int64_t>(kind, 0, 1000)));
    }
  }
  if (out.model == "llama") {
    TRY(out.scores, file.float_array("tokenizer.ggml.scores"));
  } else {
    TRY(out.merges, texts_of(file, "tokenizer.ggml.merges"));
  }
  return Ok{};
}

Result<GgufVocabulary> extract(const GgufFile& file) {
  GgufVocabulary out;
  TRY(out.model, file.string_value("tokenizer.ggml.model"));
  if (file.has("tokenizer.ggml.pre")) {
    TRY(out.pre, file.string_value("tokenizer.ggml.pre"));
  }
  TRY_STATUS(extract_lists(file, out));
  const bool is_llama = out.model == "llama";
  bool adds_bos = is_llama;
  if (out.model == "gpt2") {
    TRY(const GgufSplit split, find_gguf_split(out.pre));
    adds_bos = split.adds_bos;
  }
  TRY(out.add_bos, bool_or(file, "tokenizer.ggml.add_bos_token", adds_bos));
  TRY(out.add_eos, bool_or(file, "tokenizer.ggml.add_eos_token", false));
  TRY(out.add_space_prefix, bool_or(file, "tokenizer.ggml.add_space_prefix", true));
  if (file.has("tokenizer.ggml.bos_token_id")) {
    TRY(out.bos_id, file.integer_value("tokenizer.ggml.bos_token_id"));
  }
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                          "tokenizer.ggml.eom_token_id"}) {
    if (!file.has(key)) continue;
    TRY(const std::int64_t id, file.integer_value(key));
    out.eos_ids.push_back(id);
  }
  return out;
}

}  // namespace

std::string to_bytes(const GgufVocabulary& vocabulary) {
  ByteWriter out;
  out.text(vocabulary.model);
  out.text(vocabulary.pre);
  out.number(vocabulary.tokens.size());
  for (const std::string& token : vocabulary.tokens) out.text(token);
  out.number(vocabulary.kinds.size());
  for (const int kind : vocabulary.kinds) out.number(static_cast<std::uint64_t>(kind));
  out.number(vocabulary.scores.size());
  for (const float score : vocabulary.scores) out.number(std::bit_cast<std::uint32_t>(score));
  out.number(vocabulary.merges.size());
  for (const std::string& merge : vocabulary.merges) out.text(merge);
  out.number(static_cast<std::uint64_t>(vocabulary.bos_id));
  out.number(vocabulary.eos_ids.size());
  for (const std::int64_t id : vocabulary.eos_ids) out.number(static_cast<std::uint64_t>(id));
  out.number((vocabulary.add_bos ? 1u : 0u) | (vocabulary.add_eos ? 2u : 0u) |
             (vocabulary.add_space_prefix ? 4u : 0u));
  return out.take();
}

Result<GgufVocabulary> gguf_vocabulary_from_bytes(std::string_view bytes) {
  ByteReader in(bytes);
  GgufVocabulary out;
  TRY(out.model, in.text());
  TRY(out.pre, in.text());
  TRY(const std::size_t token_count, in.count());
  out.tokens.resize(token_count);
  for (std::string& token : out.tokens) {
    TRY(token, in.text());
  }
  TRY(const std::size_t kind_count, in.count());
  for (std::size_t i = 0; i < kind_count; ++i) {
    TRY(const std::uint64_t kind, in.number());
    out.kinds.push_back(static_cast<int>(std::min<std::uint64_t>(kind, 1000)));
  }
  TRY(const std::size_t score_count, in.count());
  for (std::size_t i = 0; i < score_count; ++i) {
    TRY(const std::uint64_t score, in.number());
    out.scores.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(score)));
  }
  TRY(const std::size_t merge_count, in.count());
  out.merges.resize(merge_count);
  for (std::string& merge : out.merges) {
    TRY(merge, in.text());
  }
  TRY(const std::uint64_t bos_id, in.number());
  out.bos_id = static_cast<std::int64_t>(bos_id);
  TRY(const std::size_t eos_count, in.count());
  for (std::size_t i = 0; i < eos_count; ++i) {
    TRY(const std::uint64_t id, in.number());
    out.eos_ids.push_back(static_cast<std::int64_t>(id));
  }
  TRY(const std::uint64_t flags, in.number());
  out.add_bos = (flags & 1) != 0;
  out.add_eos = (flags & 2) != 0;
  out.add_space_prefix = (flags & 4) != 0;
  if (!in.at_end()) return malformed("the serialized vocabulary has bytes after its end");
  return out;
}

Result<Tokenizer> tokenizer_from_gguf_vocabulary(const GgufVocabulary& vocabulary) {
  auto pipeline = std::make_unique<Pipeline>();
  TRY_STATUS(place_tokens(vocabulary, *pipeline));
  if (vocabulary.model == "gpt2") {
    TRY_STATUS(build_bpe(vocabulary, *pipeline));
  } else if (vocabulary.model == "llama") {
    TRY_STATUS(build_sentencepiece(vocabulary, *pipeline));
  } else {
    return Error{
        ErrorCode::Unsupported,
        "the model is " + quote_name(vocabulary.model) + "; this build does gpt2 and llama",
        "tokenizer.ggml.model"};
  }
  TRY_STATUS(place_special_ids(vocabulary, *pipeline));
  pipeline->source_kind = SourceKind::Gguf;
  pipeline->sources.push_back(to_bytes(vocabulary));
  return Tokenizer(std::move(pipeline));
}

Result<Tokenizer> read_gguf_source(std::string source) {
  TRY(const GgufVocabulary vocabulary, gguf_vocabulary_from_bytes(source));
  return tokenizer_from_gguf_vocabulary(vocabulary);
}

Result<Tokenizer> tokenizer_from_gguf(const GgufFile& file) {
  TRY(const GgufVocabulary vocabulary, extract(file));
  return tokenizer_from_gguf_vocabulary(vocabulary);
}

}  // namespace pianola
