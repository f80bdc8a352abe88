#include "host/tokenizer/tokenizer.h"

#include <algorithm>
#include <cstdint>

#include "formats/parse_json.h"
#include "host/tokenizer/pipeline.h"
#include "host/tokenizer/unicode.h"

namespace pianola {
namespace {

// The serialized form: magic, kind, number of EOS ids and they, number of sources and they, each
// with its size before. Numbers are u32, little-endian.
constexpr std::string_view kMagic = "PTOK0001";
constexpr std::size_t kSourcesMax = 3;
constexpr std::size_t kContextIdsMax = 16;

void append_u32(std::vector<std::byte>& out, std::size_t value) {
  for (int shift = 0; shift < 32; shift += 8) out.push_back(static_cast<std::byte>(value >> shift));
}

void append_text(std::vector<std::byte>& out, std::string_view text) {
  for (const char c : text) out.push_back(static_cast<std::byte>(c));
}

Error truncated() {
  return Error{ErrorCode::Malformed, "not a serialized tokenizer, or one that was cut off",
               "tokenizer"};
}

Result<std::string_view> take(std::string_view& rest, std::size_t size) {
  if (size > rest.size()) return truncated();
  const std::string_view taken = rest.substr(0, size);
  rest.remove_prefix(size);
  return taken;
}

Result<std::size_t> take_u32(std::string_view& rest) {
  TRY(const std::string_view bytes, take(rest, 4));
  std::size_t value = 0;
  for (std::size_t i = 4; i-- > 0;) value = (value << 8) | static_cast<unsigned char>(bytes[i]);
  return value;
}

Result<Tokenizer> read_sources(unsigned char kind, std::vector<std::string> sources) {
  if (kind == static_cast<unsigned char>(SourceKind::HfJson) && sources.size() == 3) {
    return read_hf_sources(std::move(sources));
  }
  if (kind == static_cast<unsigned char>(SourceKind::SentencePiece) && sources.size() == 1) {
    return read_sentencepiece_source(std::move(sources[0]));
  }
  if (kind == static_cast<unsigned char>(SourceKind::Gguf) && sources.size() == 1) {
    return read_gguf_source(std::move(sources[0]));
  }
  return truncated();
}

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<Pipeline> pipeline) : pipeline_(std::move(pipeline)) {
  CHECK(pipeline_ != nullptr);
}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

Result<std::vector<int>> Tokenizer::encode(std::string_view text,
                                           const EncodeOptions& options) const {
  return encode_text(*pipeline_, text, options);
}

std::string Tokenizer::decode(std::span<const int> ids, const DecodeOptions& options) const {
  return to_valid_utf8(decode_ids(*pipeline_, ids, options, BadBytes::Replace));
}

int Tokenizer::vocab_size() const { return static_cast<int>(pipeline_->vocabulary.size()); }
std::optional<int> Tokenizer::bos_id() const { return pipeline_->bos_id; }
const std::vector<int>& Tokenizer::eos_ids() const { return pipeline_->eos_ids; }

bool Tokenizer::is_eos(int id) const {
  return std::find(eos_ids().begin(), eos_ids().end(), id) != eos_ids().end();
}

bool Tokenizer::is_special(int id) const {
  return pipeline_->has_token(id) && pipeline_->is_special[static_cast<std::size_t>(id)];
}

std::string_view Tokenizer::token_text(int id) const {
  if (!pipeline_->has_token(id)) return {};
  return pipeline_->vocabulary.texts[static_cast<std::size_t>(id)];
}

std::string Tokenizer::chat_template() const {
  if (pipeline_->source_kind != SourceKind::HfJson || pipeline_->sources.size() < 2) return {};
  const Result<Json> config = parse_json(pipeline_->sources[1], "tokenizer_config.json");
  if (!config.ok()) return {};  // absent; a malformed one was refused when it was read
  const Json* found = find_member(*config, "chat_template");
  if (found == nullptr) return {};
  if (found->is_string()) return found->get<std::string>();
  for (const Json& named : *found) {
    const Json* name = find_member(named, "name");
    const Json* source = find_member(named, "template");
    if (name != nullptr && *name == "default" && source != nullptr && source->is_string()) {
      return source->get<std::string>();
    }
  }
  return {};
}

std::optional<int> Tokenizer::token_id(std::string_view text) const {
  return find_token(pipeline_->all_tokens, text);
}

std::vector<std::string> Tokenizer::token_bytes() const {
  const DecodeOptions options{.skip_special = false};
  const auto decode = [&](std::vector<int> ids) {
    return decode_ids(*pipeline_, ids, options, BadBytes::Keep);
  };
  // A token of one letter stands before each: some tokenizers write a first token differently.
  std::vector<int> ids;
  std::string before;
  for (int id = 0; id < vocab_size() && ids.empty(); ++id) {
    before = is_special(id) ? "" : decode({id});
    const bool is_letter = before.size() == 1 && before[0] >= 'a' && before[0] <= 'z';
    if (is_letter) ids = {id};
  }
  if (ids.empty()) before.clear();
  std::vector<std::string> bytes(static_cast<std::size_t>(vocab_size()));
  for (int id = 0; id < vocab_size(); ++id) {
    if (is_special(id) || token_text(id).empty()) continue;
    ids.push_back(id);
    const std::string text = decode(ids);
    ids.pop_back();
    if (text.starts_with(before)) bytes[static_cast<std::size_t>(id)] = text.substr(before.size());
  }
  return bytes;
}

Status Tokenizer::set_eos_ids(std::vector<int> ids) {
  for (const int id : ids) {
    if (!pipeline_->has_token(id)) {
      return Error{ErrorCode::OutOfRange,
                   "the end-of-text id " + std::to_string(id) + " is not in the vocabulary of " +
                       std::to_string(vocab_size()) + " tokens",
                   "tokenizer"};
    }
  }
  pipeline_->eos_ids = std::move(ids);
  return Ok{};
}

std::vector<std::byte> Tokenizer::serialize() const {
  std::vector<std::byte> out;
  append_text(out, kMagic);
  append_u32(out, static_cast<std::size_t>(pipeline_->source_kind));
  append_u32(out, pipeline_->eos_ids.size());
  for (const int id : pipeline_->eos_ids) append_u32(out, static_cast<std::size_t>(id));
  append_u32(out, pipeline_->sources.size());
  for (const std::string& source : pipeline_->sources) {
    append_u32(out, source.size());
    append_text(out, source);
  }
  return out;
}

Result<Tokenizer> load_tokenizer(std::span<const std::byte> bytes) {
  std::string_view rest = text_of(bytes);
  TRY(const std::string_view magic, take(rest, kMagic.size()));
  if (magic != kMagic) return truncated();
  TRY(const std::size_t kind, take_u32(rest));
  TRY(const std::size_t eos_count, take_u32(rest));
  if (eos_count > rest.size() / 4) return truncated();
  std::vector<int> eos_ids;
  for (std::size_t i = 0; i < eos_count; ++i) {
    TRY(const std::size_t id, take_u32(rest));
    eos_ids.push_back(static_cast<int>(id));
  }
  TRY(const std::size_t source_count, take_u32(rest));
  if (source_count > kSourcesMax || kind > 255) return truncated();
  std::vector<std::string> sources;
  for (std::size_t i = 0; i < source_count; ++i) {
    TRY(const std::size_t size, take_u32(rest));
    TRY(const std::string_view source, take(rest, size));
    sources.emplace_back(source);
  }
  if (!rest.empty()) return truncated();
  TRY(Tokenizer tokenizer, read_sources(static_cast<unsigned char>(kind), std::move(sources)));
  TRY_STATUS(tokenizer.set_eos_ids(std::move(eos_ids)));
  return tokenizer;
}

TextStream::TextStream(const Tokenizer& tokenizer, const DecodeOptions& options)
    : pipeline_(tokenizer.pipeline_.get()), options_(options) {}

std::string TextStream::push(int id) {
  if (!pipeline_->has_token(id)) return {};
  if (options_.skip_special && pipeline_->is_special[static_cast<std::size_t>(id)]) return {};
  std::vector<int> with_id = context_;
  with_id.push_back(id);
  std::string bytes = decode_ids(*pipeline_, with_id, options_, BadBytes::Keep);
  const auto differ =
      std::mismatch(context_bytes_.begin(), context_bytes_.end(), bytes.begin(), bytes.end());
  pending_.append(differ.second, bytes.end());
  std::string alone = decode_ids(*pipeline_, std::span(&id, 1), options_, BadBytes::Keep);
  if (!alone.empty()) {
    context_ = {id};
    context_bytes_ = std::move(alone);
  } else if (context_bytes_.empty() && context_.size() < kContextIdsMax) {
    context_ = std::move(with_id);
    context_bytes_ = std::move(bytes);
  }
  return take_complete_utf8(pending_);
}

std::string TextStream::flush() {
  std::string out = to_valid_utf8(pending_);
  context_.clear();
  context_bytes_.clear();
  pending_.clear();
  return out;
}

}  // namespace pianola
