// Reads Hugging Face's tokenizer.json, after github.com/huggingface/tokenizers, and the two
// configurations beside it.
#include <algorithm>
#include <limits>

#include "formats/parse_json.h"
#include "formats/quote.h"
#include "host/tokenizer/pipeline.h"
#include "host/tokenizer/read_hf_parts.h"

namespace pianola {
namespace {

Error malformed(std::string message, const char* where = "tokenizer.json") {
  return Error{ErrorCode::Malformed, std::move(message), where};
}

Result<const Json*> require_object(const Json& parent, const char* key) {
  const Json* member = find_member(parent, key);
  if (member == nullptr || !member->is_object()) {
    return malformed(std::string("expected an object \"") + key + "\"");
  }
  return member;
}

// Ids may have holes, but what is allocated stays bounded by the file's size.
Status place_token(Vocabulary& vocabulary, std::int64_t id, std::string_view text, TokenKind kind,
                   std::size_t token_count) {
  const std::size_t limit = 8 * token_count + 65536;
  if (id < 0 || static_cast<std::uint64_t>(id) >= limit) {
    return malformed("token " + quote_name(text) + " has the id " + std::to_string(id) +
                     "; expected 0 to " + std::to_string(limit - 1) + " for " +
                     std::to_string(token_count) + " tokens");
  }
  const auto i = static_cast<std::size_t>(id);
  if (i >= vocabulary.size()) {
    vocabulary.texts.resize(i + 1);
    vocabulary.kinds.resize(i + 1, TokenKind::Unused);
  }
  if (vocabulary.kinds[i] != TokenKind::Unused) {
    return malformed("the tokens " + quote_name(vocabulary.texts[i]) + " and " + quote_name(text) +
                     " have the same id " + std::to_string(id));
  }
  vocabulary.texts[i] = text;
  vocabulary.kinds[i] = kind;
  return Ok{};
}

Result<AddedToken> read_added_token(const Json& json) {
  if (!json.is_object()) return malformed("added_tokens: expected an array of objects");
  AddedToken token;
  TRY(const auto content, string_member(json, "content"));
  TRY(const auto id, integer_member(json, "id"));
  if (!content || !id || *id < 0 || *id > std::numeric_limits<int>::max()) {
    return malformed("added_tokens: each needs a \"content\" and an \"id\"");
  }
  token.content = *content;
  token.id = static_cast<int>(*id);
  TRY(const auto special, bool_member(json, "special"));
  TRY(const auto single_word, bool_member(json, "single_word"));
  TRY(const auto strip_left, bool_member(json, "lstrip"));
  TRY(const auto strip_right, bool_member(json, "rstrip"));
  TRY(const auto normalized, bool_member(json, "normalized"));
  token.special = special.value_or(false);
  token.single_word = single_word.value_or(false);
  token.strip_left = strip_left.value_or(false);
  token.strip_right = strip_right.value_or(false);
  token.normalized = normalized.value_or(!token.special);
  return token;
}

Result<std::vector<AddedToken>> read_added_tokens(const Json& file) {
  std::vector<AddedToken> tokens;
  const Json* array = find_member(file, "added_tokens");
  if (array == nullptr) return tokens;
  if (!array->is_array()) return malformed("added_tokens: expected an array");
  for (const Json& json : *array) {
    TRY(AddedToken token, read_added_token(json));
    tokens.push_back(std::move(token));
  }
  return tokens;
}

// The tokens of the model, then the added ones that the model does not have. Gives added tokens
// that it has the model's id.
Status read_vocabulary(const Json& vocab, std::vector<AddedToken>& added, Pipeline& pipeline,
                       TokenIndex& model_tokens) {
  Vocabulary& vocabulary = pipeline.vocabulary;
  const std::size_t count = vocab.size() + added.size();
  for (const auto& [text, id] : vocab.items()) {
    if (!id.is_number_integer()) return malformed("model.vocab: expected texts with integer ids");
    TRY_STATUS(place_token(vocabulary, id.get<std::int64_t>(), text, TokenKind::Normal, count));
  }
  for (AddedToken& token : added) {
    const auto known = vocab.find(token.content);
    if (known != vocab.end()) {
      token.id = known->get<int>();
      continue;
    }
    const TokenKind kind = token.special ? TokenKind::Control : TokenKind::UserDefined;
    const auto i = static_cast<std::size_t>(token.id);
    if (i < vocabulary.size() && vocabulary.kinds[i] != TokenKind::Unused &&
        vocabulary.texts[i] == token.content) {
      continue;  // listed twice
    }
    TRY_STATUS(place_token(vocabulary, token.id, token.content, kind, count));
  }
  for (std::size_t i = 0; i < vocabulary.size(); ++i) {
    if (vocabulary.kinds[i] == TokenKind::Normal) {
      model_tokens.emplace(vocabulary.texts[i], static_cast<int>(i));
    }
  }
  index_tokens(pipeline);
  return Ok{};
}

Status place_added_tokens(std::vector<AddedToken> added, Pipeline& pipeline) {
  pipeline.is_special.assign(pipeline.vocabulary.size(), false);
  for (AddedToken& token : added) {
    if (token.special) pipeline.is_special[static_cast<std::size_t>(token.id)] = true;
    if (!token.normalized) {
      TRY_STATUS(pipeline.added.insert(std::move(token)));
      continue;
    }
    MatchBudget budget(token.content.size());
    TRY(token.content, normalize_text(pipeline.normalize, token.content, budget));
    TRY_STATUS(pipeline.added_normalized.insert(std::move(token)));
  }
  return Ok{};
}

// "a b", or ["a", "b"].
Result<std::vector<TextPair>> read_merges(const Json& model) {
  std::vector<TextPair> merges;
  const Json* array = find_member(model, "merges");
  if (array == nullptr || !array->is_array())
    return malformed("model: expected an array \"merges\"");
  merges.reserve(array->size());
  for (const Json& merge : *array) {
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      merges.emplace_back(merge[0].get_ref<const std::string&>(),
                          merge[1].get_ref<const std::string&>());
      continue;
    }
    const std::string_view pair =
        merge.is_string() ? std::string_view(merge.get_ref<const std::string&>()) : "";
    const std::size_t space = pair.find(' ');
    if (space == std::string_view::npos || pair.find(' ', space + 1) != std::string_view::npos) {
      return malformed("model.merges: number " + std::to_string(merges.size()) +
                       " is not two tokens");
    }
    merges.emplace_back(pair.substr(0, space), pair.substr(space + 1));
  }
  return merges;
}

Result<BpeModel> read_bpe_model(const Json& model, TokenIndex tokens) {
  BpeOptions options;
  TRY(const auto prefix, string_member(model, "continuing_subword_prefix"));
  TRY(const auto suffix, string_member(model, "end_of_word_suffix"));
  TRY(const auto unknown, string_member(model, "unk_token"));
  TRY(const auto fuse_unknown, bool_member(model, "fuse_unk"));
  TRY(const auto byte_fallback, bool_member(model, "byte_fallback"));
  TRY(const auto ignore_merges, bool_member(model, "ignore_merges"));
  options.continuing_prefix = prefix.value_or("");
  options.end_of_word_suffix = suffix.value_or("");
  options.fuse_unknown = fuse_unknown.value_or(false);
  options.byte_fallback = byte_fallback.value_or(false);
  options.ignore_merges = ignore_merges.value_or(false);
  if (unknown) {
    options.unknown_id = find_token(tokens, *unknown);
    if (!options.unknown_id) {
      return malformed("model.unk_token: " + quote_name(*unknown) + " is not in the vocabulary");
    }
  }
  TRY(const std::vector<TextPair> merges, read_merges(model));
  return BpeModel::build(std::move(tokens), merges, std::move(options));
}

Status check_model_type(const Json& model) {
  TRY(const auto type, string_member(model, "type"));
  if (type.value_or("BPE") == "BPE") return Ok{};
  return Error{ErrorCode::Unsupported,
               "the model type is " + quote_name(*type) + "; this build does BPE",
               "tokenizer.json: model"};
}

Status check_ids(const std::vector<int>& ids, const Pipeline& pipeline) {
  for (const int id : ids) {
    if (!pipeline.has_token(id)) {
      return malformed("post_processor: the id " + std::to_string(id) +
                       " is not in the vocabulary");
    }
  }
  return Ok{};
}

// "bos_token": "text", or {"content": "text"}; nullopt: none, or not a token.
Result<std::optional<int>> read_named_token(const Json& config, const char* key,
                                            const Pipeline& pipeline) {
  const Json* value = find_member(config, key);
  std::optional<std::string> text;
  if (value != nullptr && value->is_object()) {
    TRY(text, string_member(*value, "content"));
  } else {
    TRY(text, string_member(config, key));
  }
  if (!text) return std::optional<int>();
  return find_token(pipeline.all_tokens, *text);
}

Status apply_config(std::string_view text, Pipeline& pipeline) {
  TRY(const Json config, parse_json(text, "tokenizer_config.json"));
  if (!config.is_object()) return malformed("expected an object", "tokenizer_config.json");
  TRY(const auto bos, read_named_token(config, "bos_token", pipeline));
  TRY(const auto eos, read_named_token(config, "eos_token", pipeline));
  if (bos) pipeline.bos_id = bos;
  if (eos) pipeline.eos_ids = {*eos};
  // These two classes ignore the file's template and make their own.
  TRY(const auto class_name, string_member(config, "tokenizer_class"));
  TRY(const auto add_bos, bool_member(config, "add_bos_token"));
  TRY(const auto add_eos, bool_member(config, "add_eos_token"));
  if (class_name == "LlamaTokenizer" || class_name == "LlamaTokenizerFast") {
    pipeline.before.clear();
    pipeline.after.clear();
    if (add_bos.value_or(true) && bos) pipeline.before.push_back(*bos);
    if (add_eos.value_or(false) && eos) pipeline.after.push_back(*eos);
  }
  return Ok{};
}

// "eos_token_id": 2, or [2, 3]; in front of what tokenizer_config.json says.
Status apply_generation_config(std::string_view text, Pipeline& pipeline) {
  constexpr const char* kFile = "generation_config.json";
  TRY(const Json config, parse_json(text, kFile));
  const Json* value = config.is_object() ? find_member(config, "eos_token_id") : nullptr;
  if (value == nullptr) return Ok{};
  const Json list = value->is_array() ? *value : Json::array({*value});
  std::vector<int> ids;
  for (const Json& id : list) {
    if (!id.is_number_integer() || id < 0 || id >= pipeline.vocabulary.size()) {
      return malformed("\"eos_token_id\" is no token of the vocabulary", kFile);
    }
    ids.push_back(id.get<int>());
  }
  for (const int id : pipeline.eos_ids) {
    if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
  }
  pipeline.eos_ids = std::move(ids);
  return Ok{};
}

Status read_file(std::string_view text, Pipeline& pipeline) {
  TRY(const Json file, parse_json(text, "tokenizer.json"));
  if (!file.is_object()) return malformed("expected an object");
  TRY(const Json* model, require_object(file, "model"));
  TRY_STATUS(check_model_type(*model));
  TRY(const Json* vocab, require_object(*model, "vocab"));
  TRY(pipeline.normalize, read_hf_normalizer(find_member(file, "normalizer")));
  TRY(pipeline.split, read_hf_pre_tokenizer(find_member(file, "pre_tokenizer")));
  TRY(pipeline.decode, read_hf_decoder(find_member(file, "decoder")));
  TRY(std::vector<AddedToken> added, read_added_tokens(file));
  TokenIndex model_tokens;
  TRY_STATUS(read_vocabulary(*vocab, added, pipeline, model_tokens));
  TRY_STATUS(place_added_tokens(std::move(added), pipeline));
  TRY(pipeline.model, read_bpe_model(*model, std::move(model_tokens)));
  TRY(HfTemplate around, read_hf_post_processor(find_member(file, "post_processor")));
  TRY_STATUS(check_ids(around.before, pipeline));
  TRY_STATUS(check_ids(around.after, pipeline));
  pipeline.before = std::move(around.before);
  pipeline.after = std::move(around.after);
  if (!pipeline.before.empty()) pipeline.bos_id = pipeline.before.front();
  return Ok{};
}

}  // namespace

Result<Tokenizer> read_hf_sources(std::vector<std::string> sources) {
  CHECK(sources.size() == 3);
  auto pipeline = std::make_unique<Pipeline>();
  TRY_STATUS(read_file(sources[0], *pipeline));
  if (!sources[1].empty()) TRY_STATUS(apply_config(sources[1], *pipeline));
  if (!sources[2].empty()) TRY_STATUS(apply_generation_config(sources[2], *pipeline));
  if (pipeline->eos_ids.empty()) add_well_known_eos(*pipeline);
  pipeline->source_kind = SourceKind::HfJson;
  pipeline->sources = std::move(sources);
  return Tokenizer(std::move(pipeline));
}

Result<Tokenizer> tokenizer_from_hf_json(std::span<const std::byte> json,
                                         const HfSideFiles& side_files) {
  return read_hf_sources({std::string(text_of(json)), std::string(text_of(side_files.config)),
                          std::string(text_of(side_files.generation_config))});
}

}  // namespace pianola
