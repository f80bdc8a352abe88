#include "host/tokenizer/pipeline.h"

#include <algorithm>
#include <array>

#include "host/tokenizer/byte_level.h"
#include "host/tokenizer/unicode.h"

namespace pianola {
namespace {

constexpr std::size_t kTextSizeMax = std::size_t{64} << 20;

Status encode_piece(const Pipeline& pipeline, Piece piece, MatchBudget& budget,
                    std::vector<int>& ids) {
  TRY(const std::vector<Piece> words, split_text(pipeline.split, std::move(piece), budget));
  for (const Piece& word : words) {
    std::visit([&](const auto& model) { model.encode(word.text, ids); }, pipeline.model);
  }
  return Ok{};
}

// A part of the text between tokens that were found in it as it came.
Status encode_part(const Pipeline& pipeline, std::string_view part, bool at_start,
                   bool parse_special, MatchBudget& budget, std::vector<int>& ids) {
  TRY(const std::string text, normalize_text(pipeline.normalize, std::string(part), budget));
  for (const TextSpan& span : pipeline.added_normalized.split(text, parse_special)) {
    if (span.id) {
      ids.push_back(*span.id);
      continue;
    }
    Piece piece{text.substr(span.begin, span.end - span.begin), at_start && span.begin == 0};
    TRY_STATUS(encode_piece(pipeline, std::move(piece), budget, ids));
  }
  return Ok{};
}

std::string text_to_decode(const Pipeline& pipeline, std::size_t id) {
  const TokenKind kind = pipeline.vocabulary.kinds[id];
  const std::string& text = pipeline.vocabulary.texts[id];
  if (kind == TokenKind::Unknown && !pipeline.unknown_surface.empty()) {
    return pipeline.unknown_surface;
  }
  const bool is_added = kind == TokenKind::UserDefined || kind == TokenKind::Control;
  return is_added && pipeline.added_are_plain_text ? to_byte_level(text) : text;
}

}  // namespace

Result<std::vector<int>> encode_text(const Pipeline& pipeline, std::string_view text,
                                     const EncodeOptions& options) {
  if (text.size() > kTextSizeMax) {
    return Error{ErrorCode::OutOfRange,
                 "a text of " + std::to_string(text.size()) + " bytes; at most " +
                     std::to_string(kTextSizeMax) + " are accepted at a time",
                 "tokenizer"};
  }
  std::string valid;
  if (!is_valid_utf8(text)) {
    valid = to_valid_utf8(text);
    text = valid;
  }
  MatchBudget budget(text.size());
  std::vector<int> ids;
  if (options.add_bos) ids = pipeline.before;
  for (const TextSpan& span : pipeline.added.split(text, options.parse_special)) {
    if (span.id) {
      ids.push_back(*span.id);
      continue;
    }
    const std::string_view part = text.substr(span.begin, span.end - span.begin);
    TRY_STATUS(encode_part(pipeline, part, span.begin == 0, options.parse_special, budget, ids));
  }
  if (options.add_bos) ids.insert(ids.end(), pipeline.after.begin(), pipeline.after.end());
  return ids;
}

std::string decode_ids(const Pipeline& pipeline, std::span<const int> ids,
                       const DecodeOptions& options, BadBytes bad_bytes) {
  std::vector<std::string> texts;
  texts.reserve(ids.size());
  for (const int id : ids) {
    if (!pipeline.has_token(id)) continue;
    const auto i = static_cast<std::size_t>(id);
    if (options.skip_special && pipeline.is_special[i]) continue;
    texts.push_back(text_to_decode(pipeline, i));
  }
  return decode_texts(pipeline.decode, std::move(texts), bad_bytes);
}

void index_tokens(Pipeline& pipeline) {
  for (std::size_t i = 0; i < pipeline.vocabulary.size(); ++i) {
    const std::string& text = pipeline.vocabulary.texts[i];
    if (!text.empty()) pipeline.all_tokens.emplace(text, static_cast<int>(i));
  }
}

void add_well_known_eos(Pipeline& pipeline) {
  static constexpr std::array<std::string_view, 13> kNames = {
      "</s>",
      "<eos>",
      "<|endoftext|>",
      "<|end_of_text|>",
      "<|eot_id|>",
      "<|eom_id|>",
      "<|im_end|>",
      "<|end|>",
      "<end_of_turn>",
      "<|end_of_turn|>",
      "<EOT>",
      "<|return|>",
      "<\xEF\xBD\x9C"
      "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>"};
  for (const std::string_view name : kNames) {
    const auto id = find_token(pipeline.all_tokens, name);
    if (!id || !pipeline.is_special[static_cast<std::size_t>(*id)]) continue;
    if (std::find(pipeline.eos_ids.begin(), pipeline.eos_ids.end(), *id) ==
        pipeline.eos_ids.end()) {
      pipeline.eos_ids.push_back(*id);
    }
  }
}

}  // namespace pianola
