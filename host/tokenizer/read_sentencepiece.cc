// Reads SentencePiece's tokenizer.model: a protobuf (sentencepiece_model.proto of
// github.com/google/sentencepiece), of which only the fields that encoding needs are looked at.
#include <bit>
#include <cstdint>
#include <memory>

#include "host/tokenizer/pipeline.h"
#include "host/tokenizer/unicode.h"

namespace pianola {
namespace {

Error malformed(std::string message) {
  return Error{ErrorCode::Malformed, std::move(message), "tokenizer.model"};
}

struct ProtoField {
  std::uint64_t number = 0;
  std::uint64_t integer = 0;  // varint and fixed wire types
  std::string_view bytes;     // length-delimited
  bool is_bytes = false;
};

// Walks over the fields of one message.
class ProtoReader {
 public:
  explicit ProtoReader(std::string_view bytes) : rest_(bytes) {}
  bool at_end() const { return rest_.empty(); }

  Result<ProtoField> next() {
    TRY(const std::uint64_t key, varint());
    ProtoField field;
    field.number = key >> 3;
    switch (key & 7) {
      case 0: {
        TRY(field.integer, varint());
        return field;
      }
      case 1: {
        TRY(field.integer, fixed(8));
        return field;
      }
      case 2: {
        TRY(const std::uint64_t size, varint());
        TRY(field.bytes, take(size));
        field.is_bytes = true;
        return field;
      }
      case 5: {
        TRY(field.integer, fixed(4));
        return field;
      }
      default:
        return malformed("not a protobuf: wire type " + std::to_string(key & 7));
    }
  }

 private:
  Result<std::string_view> take(std::uint64_t size) {
    if (size > rest_.size()) return malformed("not a protobuf, or one that was cut off");
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  Result<std::uint64_t> varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      TRY(const std::string_view byte, take(1));
      const auto bits = static_cast<unsigned char>(byte[0]);
      value |= std::uint64_t{bits & 0x7Fu} << shift;
      if (bits < 0x80) return value;
    }
    return malformed("not a protobuf: a number of more than ten bytes");
  }
  Result<std::uint64_t> fixed(std::size_t size) {
    TRY(const std::string_view bytes, take(size));
    std::uint64_t value = 0;
    for (std::size_t i = size; i-- > 0;) {
      value = (value << 8) | static_cast<unsigned char>(bytes[i]);
    }
    return value;
  }

  std::string_view rest_;
};

// TrainerSpec and NormalizerSpec, with the format's defaults.
struct ModelSpec {
  std::uint64_t model_type = 1;  // 1 unigram, 2 BPE, 3 word, 4 char
  bool byte_fallback = false;
  std::string unknown_surface = " \xE2\x81\x87 ";
  SentencePieceNormalizer normalizer;
  std::vector<float> scores;
};

Status read_piece(std::string_view bytes, Vocabulary& vocabulary, ModelSpec& spec) {
  std::string text;
  float score = 0;
  std::uint64_t kind = 1;
  for (ProtoReader reader(bytes); !reader.at_end();) {
    TRY(const ProtoField field, reader.next());
    if (field.number == 1 && field.is_bytes) text = field.bytes;
    if (field.number == 2) score = std::bit_cast<float>(static_cast<std::uint32_t>(field.integer));
    if (field.number == 3) kind = field.integer;
  }
  if (kind < 1 || kind > 6) {
    return malformed("piece " + std::to_string(vocabulary.size()) + " is of type " +
                     std::to_string(kind) + "; expected 1 to 6");
  }
  vocabulary.texts.push_back(to_valid_utf8(text));
  vocabulary.kinds.push_back(static_cast<TokenKind>(kind));
  spec.scores.push_back(score);
  return Ok{};
}

Status read_trainer_spec(std::string_view bytes, ModelSpec& spec) {
  for (ProtoReader reader(bytes); !reader.at_end();) {
    TRY(const ProtoField field, reader.next());
    if (field.number == 3) spec.model_type = field.integer;
    if (field.number == 24) spec.normalizer.space_is_suffix = field.integer != 0;
    if (field.number == 35) spec.byte_fallback = field.integer != 0;
    if (field.number == 44 && field.is_bytes) spec.unknown_surface = field.bytes;
  }
  return Ok{};
}

Status read_normalizer_spec(std::string_view bytes, ModelSpec& spec) {
  for (ProtoReader reader(bytes); !reader.at_end();) {
    TRY(const ProtoField field, reader.next());
    if (field.number == 2 && field.is_bytes) {
      TRY(spec.normalizer.map, CharacterMap::parse(field.bytes));
    }
    if (field.number == 3) spec.normalizer.add_dummy_prefix = field.integer != 0;
    if (field.number == 4) spec.normalizer.remove_extra_spaces = field.integer != 0;
    if (field.number == 5) spec.normalizer.escape_spaces = field.integer != 0;
  }
  return Ok{};
}

Status read_model(std::string_view bytes, Vocabulary& vocabulary, ModelSpec& spec) {
  for (ProtoReader reader(bytes); !reader.at_end();) {
    TRY(const ProtoField field, reader.next());
    if (!field.is_bytes) continue;
    if (field.number == 1) TRY_STATUS(read_piece(field.bytes, vocabulary, spec));
    if (field.number == 2) TRY_STATUS(read_trainer_spec(field.bytes, spec));
    if (field.number == 3) TRY_STATUS(read_normalizer_spec(field.bytes, spec));
  }
  if (vocabulary.size() == 0) return malformed("it has no pieces");
  if (spec.model_type != 2) {
    return Error{ErrorCode::Unsupported,
                 "the model type is " + std::to_string(spec.model_type) +
                     " (1 unigram, 3 word, 4 char); this build does 2, BPE",
                 "tokenizer.model"};
  }
  return Ok{};
}

// The conventional names; the file has no other way to say which token begins a text.
std::optional<int> find_control(const Pipeline& pipeline, std::string_view text) {
  const auto id = find_token(pipeline.all_tokens, text);
  if (!id || !pipeline.is_special[static_cast<std::size_t>(*id)]) return std::nullopt;
  return id;
}

}  // namespace

Status finish_sentencepiece(Pipeline& pipeline, std::vector<float> scores, bool byte_fallback,
                            SentencePieceNormalizer normalizer) {
  const Vocabulary& vocabulary = pipeline.vocabulary;
  index_tokens(pipeline);
  SentencePieceOptions options{byte_fallback, 0};
  pipeline.is_special.assign(vocabulary.size(), false);
  for (std::size_t i = 0; i < vocabulary.size(); ++i) {
    const int id = static_cast<int>(i);
    if (vocabulary.kinds[i] == TokenKind::Unknown) options.unknown_id = id;
    if (vocabulary.kinds[i] != TokenKind::Control) continue;
    pipeline.is_special[i] = true;
    AddedToken token;
    token.id = id;
    token.content = vocabulary.texts[i];
    token.special = true;
    TRY_STATUS(pipeline.added.insert(std::move(token)));
  }
  DecodeStep spaces;
  spaces.kind = DecodeStep::Kind::Spaces;
  spaces.strip_first = normalizer.add_dummy_prefix;
  spaces.strip_all = normalizer.remove_extra_spaces;
  TRY(pipeline.model, SentencePieceModel::build(vocabulary, std::move(scores), options));
  NormalizeStep step;
  step.kind = NormalizeStep::Kind::SentencePiece;
  step.sentencepiece = std::move(normalizer);
  step.user_defined_size = [&pipeline](std::string_view text, std::size_t position) {
    return std::get<SentencePieceModel>(pipeline.model).user_defined_size(text, position);
  };
  pipeline.normalize.push_back(std::move(step));
  DecodeStep bytes;
  bytes.kind = DecodeStep::Kind::ByteFallback;
  pipeline.decode.push_back(std::move(spaces));
  pipeline.decode.push_back(std::move(bytes));
  return Ok{};
}

Result<Tokenizer> read_sentencepiece_source(std::string source) {
  auto pipeline = std::make_unique<Pipeline>();
  ModelSpec spec;
  TRY_STATUS(read_model(source, pipeline->vocabulary, spec));
  TRY_STATUS(finish_sentencepiece(*pipeline, std::move(spec.scores), spec.byte_fallback,
                                  std::move(spec.normalizer)));
  pipeline->unknown_surface = to_valid_utf8(spec.unknown_surface);
  pipeline->bos_id = find_control(*pipeline, "<s>");
  if (!pipeline->bos_id) pipeline->bos_id = find_control(*pipeline, "<bos>");
  if (pipeline->bos_id) pipeline->before.push_back(*pipeline->bos_id);
  add_well_known_eos(*pipeline);
  pipeline->source_kind = SourceKind::SentencePiece;
  pipeline->sources.push_back(std::move(source));
  return Tokenizer(std::move(pipeline));
}

Result<Tokenizer> tokenizer_from_sentencepiece(std::span<const std::byte> model) {
  return read_sentencepiece_source(std::string(text_of(model)));
}

}  // namespace pianola
