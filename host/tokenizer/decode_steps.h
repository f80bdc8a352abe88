// The "decoder" of a tokenizer.json as a flat list of steps: the texts of the tokens in, the text
// they stand for out. Names and semantics are Hugging Face's.
//
// The result is bytes, not yet text: a token may be a part of a character.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "host/tokenizer/regex.h"

namespace pianola {

struct DecodeStep {
  enum class Kind {
    ByteLevel,     // joins, and goes back to bytes
    Replace,       // in each token, each match of pattern by content
    ByteFallback,  // "<0x41>" to its byte
    Fuse,          // joins
    Strip,         // in each token, up to strip_left and strip_right times content
    Metaspace,     // content to a space; dropped from the first token if strip_first
    Suffix,        // content (the end of a word) to a space, dropped from the last token
    Spaces,        // SentencePiece's: U+2581 to a space; one dropped at the start of the text if
                   // strip_first, one of every token that the text starts with if strip_all
    Join,          // with content between: what happens where a file has no decoder
  };
  Kind kind = Kind::Fuse;
  std::string content;
  std::optional<Regex> pattern;
  std::size_t strip_left = 0;
  std::size_t strip_right = 0;
  bool strip_first = false;
  bool strip_all = false;
};

// What ByteFallback makes of bytes that are no text: Hugging Face turns every byte of a bad run to
// U+FFFD, even its good characters; a stream cannot know, and keeps the bytes.
enum class BadBytes { Replace, Keep };

std::string decode_texts(std::span<const DecodeStep> steps, std::vector<std::string> texts,
                         BadBytes bad_bytes);

}  // namespace pianola
