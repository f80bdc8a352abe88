#include "host/tokenizer/normalize_sentencepiece.h"

#include "host/tokenizer/unicode.h"

namespace pianola {
namespace {

// The fields of a Darts-clone unit.
bool has_leaf(std::uint32_t unit) { return (unit >> 8) & 1; }
std::uint32_t leaf_value(std::uint32_t unit) { return unit & 0x7FFFFFFFu; }
std::uint32_t label_of(std::uint32_t unit) { return unit & 0x800000FFu; }
std::uint32_t offset_of(std::uint32_t unit) { return (unit >> 10) << ((unit & 0x200u) >> 6); }

// What is looked up at one place; the maps in use replace sequences of a few characters.
constexpr std::size_t kReplacedSizeMax = 256;

std::uint32_t read_u32(std::string_view bytes, std::size_t position) {
  std::uint32_t value = 0;
  for (std::size_t i = 4; i-- > 0;) {
    value = (value << 8) | static_cast<unsigned char>(bytes[position + i]);
  }
  return value;
}

}  // namespace

Result<CharacterMap> CharacterMap::parse(std::string_view bytes) {
  CharacterMap map;
  if (bytes.empty()) return map;
  const std::size_t trie_size = bytes.size() < 4 ? 0 : read_u32(bytes, 0);
  if (bytes.size() < 4 || trie_size > bytes.size() - 4 || trie_size % 4 != 0 || trie_size == 0) {
    return Error{ErrorCode::Malformed,
                 "the size of the character map's trie is " + std::to_string(trie_size) +
                     " bytes, of " + std::to_string(bytes.size()) + " in all",
                 "tokenizer.model: normalizer_spec.precompiled_charsmap"};
  }
  map.units_.reserve(trie_size / 4);
  for (std::size_t i = 0; i < trie_size; i += 4) map.units_.push_back(read_u32(bytes, 4 + i));
  map.replacements_ = std::string(bytes.substr(4 + trie_size));
  return map;
}

CharacterMap::Replacement CharacterMap::longest_prefix(std::string_view text) const {
  Replacement longest;
  if (units_.empty()) return longest;
  std::size_t node = offset_of(units_[0]);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    node ^= byte;
    if (byte == 0 || node >= units_.size() || label_of(units_[node]) != byte) break;
    const std::uint32_t unit = units_[node];
    node ^= offset_of(unit);
    if (node >= units_.size()) break;
    if (!has_leaf(unit)) continue;
    const std::size_t at = leaf_value(units_[node]);
    if (at >= replacements_.size()) break;
    const std::size_t end = replacements_.find('\0', at);
    if (end == std::string::npos) break;
    longest = {i + 1, std::string_view(replacements_).substr(at, end - at)};
  }
  // Only whole characters may be replaced, or the rest would not be UTF-8; nor by what is none.
  const std::size_t size = longest.size_bytes;
  const bool cuts_character =
      size < text.size() && (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80;
  if (cuts_character || !is_valid_utf8(longest.text)) return {};
  return longest;
}

std::string SentencePieceNormalizer::normalize(std::string_view text,
                                               const UserDefinedSize& user_defined_size,
                                               std::size_t size_bytes_max) const {
  const std::string_view space = escape_spaces ? kSpaceSymbol : std::string_view(" ");
  std::string out;
  bool after_space = remove_extra_spaces;  // so that those at the start go
  bool started = false;
  for (std::size_t i = 0; i < text.size() && out.size() <= size_bytes_max;) {
    CharacterMap::Replacement part{user_defined_size(text, i), {}};
    if (part.size_bytes > 0) {
      part.text = text.substr(i, part.size_bytes);
    } else {
      part = map.longest_prefix(text.substr(i, kReplacedSizeMax));
      if (part.size_bytes == 0) {
        part.size_bytes = decode_utf8(text, i).size_bytes;
        part.text = text.substr(i, part.size_bytes);
      }
    }
    i += part.size_bytes;
    if (remove_extra_spaces && !started && part.text == " ") continue;
    if (!started && add_dummy_prefix && !space_is_suffix) out += space;
    started = true;
    std::string_view rest = part.text;
    while (after_space && rest.starts_with(' ')) rest.remove_prefix(1);
    for (const char c : rest) {
      if (c == ' ') {
        out += space;
      } else {
        out += c;
      }
    }
    if (!rest.empty()) after_space = rest.ends_with(' ');
    if (!remove_extra_spaces) after_space = false;
  }
  if (!started) return out;
  while (remove_extra_spaces && out.ends_with(space)) out.resize(out.size() - space.size());
  if (add_dummy_prefix && space_is_suffix) out += space;
  return out;
}

}  // namespace pianola
