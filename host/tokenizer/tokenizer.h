// Text to token ids and back, exactly as the model was trained with.
//
//   TRY(Tokenizer tokenizer, tokenizer_from_hf_json(json_bytes, {.config = config_bytes}));
//   TRY(std::vector<int> ids, tokenizer.encode("Once upon a time"));
//   std::string text = tokenizer.decode(ids);
//   TextStream stream(tokenizer);                  // for generation, token by token
//   for (int id : ids) show(stream.push(id));
//   show(stream.flush());
//
// Three families of files are read: Hugging Face's tokenizer.json (BPE), SentencePiece's
// tokenizer.model (BPE), and the tokenizer.* metadata of a GGUF file ("gpt2" and "llama").
// All are hostile: errors, never a crash, and work bounded by the input's size.
//
// A Tokenizer is immutable but for its special ids, and const functions are thread-safe.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "isa/result.h"

namespace pianola {

class GgufFile;
struct Pipeline;

struct EncodeOptions {
  // Puts around the text what the file says belongs there: the BOS token for most models, nothing
  // for some (Qwen), an EOS as well for a few.
  bool add_bos = true;
  // Text such as "<|end_of_text|>" becomes the special token; false for text nobody vouches for.
  bool parse_special = true;
};

struct DecodeOptions {
  bool skip_special = true;  // special tokens (BOS, EOS, roles) leave no trace in the text
};

class Tokenizer {
 public:
  explicit Tokenizer(std::unique_ptr<Pipeline> pipeline);  // for the readers
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  // Invalid UTF-8 becomes U+FFFD. Error OutOfRange: the text is larger than 64 MiB, or needs more
  // than the allowed work to split (only hostile files or texts do).
  Result<std::vector<int>> encode(std::string_view text, const EncodeOptions& options = {}) const;

  // Valid UTF-8; bytes that are none become U+FFFD. Ids outside the vocabulary are ignored.
  std::string decode(std::span<const int> ids, const DecodeOptions& options = {}) const;

  int vocab_size() const;  // one more than the largest id
  std::optional<int> bos_id() const;
  const std::vector<int>& eos_ids() const;  // every id that ends a generation
  bool is_eos(int id) const;
  bool is_special(int id) const;
  std::string_view token_text(int id) const;  // as the file writes it; empty: no such token
  std::optional<int> token_id(std::string_view text) const;  // by the text that the file writes

  // What each token adds to a text that it does not begin, as bytes: parts of characters, too.
  // [vocabulary]; empty for special tokens and ids without a token.
  std::vector<std::string> token_bytes() const;

  // The chat template that came with the vocabulary (tokenizer_config.json), as its source; of several
  // the one named "default". Empty: none.
  std::string chat_template() const;

  // For models whose configuration (generation_config.json) knows better. Kept by serialize.
  // Error OutOfRange: not in the vocabulary.
  Status set_eos_ids(std::vector<int> ids);

  // Everything needed to make this tokenizer again, as bytes; the same for the same input files.
  std::vector<std::byte> serialize() const;

 private:
  friend class TextStream;
  std::unique_ptr<Pipeline> pipeline_;
};

// Decodes token by token. Every string it returns is valid UTF-8; characters split over tokens
// come with their last byte. The strings together are what decode() gives, except that where
// bytes are no text the number of U+FFFD may differ. The tokenizer must outlive it.
class TextStream {
 public:
  explicit TextStream(const Tokenizer& tokenizer, const DecodeOptions& options = {});
  std::string push(int id);
  std::string flush();  // what is left of an incomplete character; then starts anew

 private:
  const Pipeline* pipeline_;
  DecodeOptions options_;
  // A token's text depends on whether it is the first: the last token that had a text, or the
  // first few if none has.
  std::vector<int> context_;
  std::string context_bytes_;
  std::string pending_;  // an incomplete character
};

// The files that may lie beside a tokenizer.json and name the special tokens; empty: absent.
// Without them BOS and EOS are found by the file's template and by well-known names.
struct HfSideFiles {
  std::span<const std::byte> config{};             // tokenizer_config.json
  std::span<const std::byte> generation_config{};  // generation_config.json, for the EOS ids
};

// Errors of all: Malformed, Unsupported (a kind of model, normalizer, ... this build lacks),
// OutOfRange (over a limit). They say which part of the file.
Result<Tokenizer> tokenizer_from_hf_json(std::span<const std::byte> json,
                                         const HfSideFiles& side_files = {});
Result<Tokenizer> tokenizer_from_sentencepiece(std::span<const std::byte> model);
Result<Tokenizer> tokenizer_from_gguf(const GgufFile& file);

// What serialize() gave. Errors: Malformed, and those above.
Result<Tokenizer> load_tokenizer(std::span<const std::byte> bytes);

}  // namespace pianola
