#include "host/tokenizer/read_hf_parts.h"

#include <array>
#include <functional>
#include <limits>
#include <utility>

#include "formats/quote.h"
#include "host/tokenizer/unicode.h"

namespace pianola {
namespace {

constexpr std::size_t kStepsMax = 64;
constexpr std::size_t kContentSizeMax = 1024;

// The pattern of GPT-2, which "ByteLevel" means by use_regex.
constexpr std::string_view kByteLevelPattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
// "Whitespace": \w+|[^\w\s]+, with \w as Rust's regex crate defines it.
constexpr std::string_view kWordPattern =
    R"([\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200C}\x{200D}]+)"
    R"(|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200C}\x{200D}\s]+)";

Error malformed(const char* part, std::string message) {
  return Error{ErrorCode::Malformed, std::move(message), std::string("tokenizer.json: ") + part};
}

Error unsupported(const char* part, std::string_view type) {
  return Error{ErrorCode::Unsupported,
               "the type " + quote_name(type) + " is not supported by this build",
               std::string("tokenizer.json: ") + part};
}

Result<std::string> read_type(const Json& part, const char* name) {
  if (!part.is_object()) return malformed(name, "expected an object");
  TRY(const auto type, string_member(part, "type"));
  if (!type) return malformed(name, "has no \"type\"");
  return *type;
}

Result<bool> read_flag(const Json& part, const char* key, bool otherwise) {
  TRY(const auto flag, bool_member(part, key));
  return flag.value_or(otherwise);
}

Result<std::string> read_text(const Json& part, const char* name, const char* key) {
  TRY(const auto text, string_member(part, key));
  if (!text) return malformed(name, std::string("has no \"") + key + "\"");
  return *text;
}

// A replacement: short, because a text may grow by it at every character.
Result<std::string> read_content(const Json& part, const char* name, const char* key) {
  TRY(std::string content, read_text(part, name, key));
  if (content.size() > kContentSizeMax) {
    return Error{ErrorCode::OutOfRange,
                 "a replacement of " + std::to_string(content.size()) + " bytes; at most " +
                     std::to_string(kContentSizeMax) + " are accepted",
                 std::string("tokenizer.json: ") + name};
  }
  return content;
}

Result<Regex> read_pattern(const Json& part, const char* name) {
  const Json* pattern = find_member(part, "pattern");
  if (pattern == nullptr || !pattern->is_object()) {
    return malformed(name, R"(expected "pattern": {"String": ...} or {"Regex": ...})");
  }
  TRY(const auto literal, string_member(*pattern, "String"));
  if (literal) return Regex::literal(*literal);
  TRY(const std::string regex, read_text(*pattern, name, "Regex"));
  return Regex::compile(regex);
}

using Visit = std::function<Status(const Json& step, const std::string& type)>;

// Calls `visit` for the part, or for the members of the sequences it is made of. The depth is
// bounded by parse_json.
Status for_each_step(const Json& part, const char* name, const char* members_key,
                     std::size_t& count, const Visit& visit) {
  TRY(const std::string type, read_type(part, name));
  if (type != "Sequence") {
    if (++count > kStepsMax) return malformed(name, "more than 64 steps");
    return visit(part, type);
  }
  const Json* members = find_member(part, members_key);
  if (members == nullptr || !members->is_array()) {
    return malformed(name, std::string("a Sequence needs an array \"") + members_key + "\"");
  }
  for (const Json& member : *members) {
    TRY_STATUS(for_each_step(member, name, members_key, count, visit));
  }
  return Ok{};
}

Result<NormalizeStep> read_normalize_step(const Json& part, const std::string& type) {
  constexpr const char* kPart = "normalizer";
  using Kind = NormalizeStep::Kind;
  NormalizeStep step;
  if (type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD") {
    step.kind = Kind::Form;
    step.form = type == "NFC"    ? UnicodeForm::Nfc
                : type == "NFD"  ? UnicodeForm::Nfd
                : type == "NFKC" ? UnicodeForm::Nfkc
                                 : UnicodeForm::Nfkd;
  } else if (type == "Prepend") {
    step.kind = Kind::Prepend;
    TRY(step.content, read_content(part, kPart, "prepend"));
  } else if (type == "Replace") {
    step.kind = Kind::Replace;
    TRY(step.pattern, read_pattern(part, kPart));
    TRY(step.content, read_content(part, kPart, "content"));
  } else if (type == "Lowercase") {
    step.kind = Kind::Lowercase;
  } else if (type == "Strip") {
    step.kind = Kind::Strip;
    TRY(step.strip_left, read_flag(part, "strip_left", true));
    TRY(step.strip_right, read_flag(part, "strip_right", true));
  } else if (type == "StripAccents") {
    step.kind = Kind::StripAccents;
  } else if (type == "ByteLevel") {
    step.kind = Kind::ByteLevel;
  } else {
    return unsupported(kPart, type);
  }
  return step;
}

Result<SplitBehavior> read_behavior(const Json& part, SplitBehavior otherwise) {
  static constexpr std::array<std::pair<std::string_view, SplitBehavior>, 5> kBehaviors = {{
      {"Isolated", SplitBehavior::Isolated},
      {"Removed", SplitBehavior::Removed},
      {"MergedWithPrevious", SplitBehavior::MergedWithPrevious},
      {"MergedWithNext", SplitBehavior::MergedWithNext},
      {"Contiguous", SplitBehavior::Contiguous},
  }};
  TRY(const auto name, string_member(part, "behavior"));
  if (!name) return otherwise;
  for (const auto& [known, behavior] : kBehaviors) {
    if (*name == known) return behavior;
  }
  return unsupported("pre_tokenizer: behavior", *name);
}

Result<SplitStep> read_metaspace(const Json& part) {
  constexpr const char* kPart = "pre_tokenizer: Metaspace";
  SplitStep step;
  step.kind = SplitStep::Kind::Metaspace;
  TRY(step.replacement, read_text(part, kPart, "replacement"));
  if (step.replacement.empty() ||
      decode_utf8(step.replacement, 0).size_bytes != step.replacement.size()) {
    return malformed(kPart, "\"replacement\" must be one character");
  }
  TRY(const bool adds_prefix, read_flag(part, "add_prefix_space", true));
  TRY(const auto scheme, string_member(part, "prepend_scheme"));
  const std::string name = scheme.value_or(adds_prefix ? "always" : "never");
  if (name == "always") {
    step.prepend_scheme = PrependScheme::Always;
  } else if (name == "first") {
    step.prepend_scheme = PrependScheme::First;
  } else if (name == "never") {
    step.prepend_scheme = PrependScheme::Never;
  } else {
    return unsupported(kPart, name);
  }
  TRY(step.cut, read_flag(part, "split", true));
  return step;
}

Result<SplitStep> read_class_step(const Json& part, const std::string& type) {
  SplitStep step;
  step.kind = SplitStep::Kind::Class;
  if (type == "Digits") {
    step.character_class = CharacterClass::Number;
    TRY(const bool individual, read_flag(part, "individual_digits", false));
    step.behavior = individual ? SplitBehavior::Isolated : SplitBehavior::Contiguous;
  } else if (type == "Punctuation") {
    step.character_class = CharacterClass::Punctuation;
    TRY(step.behavior, read_behavior(part, SplitBehavior::Isolated));
  } else {  // WhitespaceSplit
    step.character_class = CharacterClass::WhiteSpace;
    step.behavior = SplitBehavior::Removed;
  }
  return step;
}

Result<SplitStep> read_pattern_step(const Json& part, const std::string& type) {
  constexpr const char* kPart = "pre_tokenizer";
  SplitStep step;
  if (type == "Split") {
    TRY(step.pattern, read_pattern(part, kPart));
    TRY(step.behavior, read_behavior(part, SplitBehavior::Isolated));
    TRY(step.invert, read_flag(part, "invert", false));
  } else if (type == "Whitespace") {
    TRY(step.pattern, Regex::compile(kWordPattern));
    step.behavior = SplitBehavior::Removed;
    step.invert = true;
  } else if (type == "CharDelimiterSplit") {
    TRY(const std::string delimiter, read_text(part, kPart, "delimiter"));
    TRY(step.pattern, Regex::literal(delimiter));
    step.behavior = SplitBehavior::Removed;
  } else {  // ByteLevel
    step.kind = SplitStep::Kind::ByteLevel;
    TRY(step.add_prefix_space, read_flag(part, "add_prefix_space", true));
    TRY(const bool use_regex, read_flag(part, "use_regex", true));
    if (use_regex) {
      TRY(step.pattern, Regex::compile(kByteLevelPattern));
    }
  }
  return step;
}

Status read_split_steps(const Json& part, const std::string& type, std::vector<SplitStep>& steps) {
  if (type == "Metaspace") {
    TRY(SplitStep step, read_metaspace(part));
    steps.push_back(std::move(step));
  } else if (type == "Digits" || type == "Punctuation" || type == "WhitespaceSplit") {
    TRY(SplitStep step, read_class_step(part, type));
    steps.push_back(std::move(step));
  } else if (type == "Split" || type == "Whitespace" || type == "CharDelimiterSplit" ||
             type == "ByteLevel") {
    TRY(SplitStep step, read_pattern_step(part, type));
    steps.push_back(std::move(step));
  } else if (type == "BertPreTokenizer") {
    TRY(SplitStep spaces, read_class_step(part, "WhitespaceSplit"));
    TRY(SplitStep punctuation, read_class_step(part, "Punctuation"));
    steps.push_back(std::move(spaces));
    steps.push_back(std::move(punctuation));
  } else {
    return unsupported("pre_tokenizer", type);
  }
  return Ok{};
}

Result<int> read_id(const Json& value, const char* name) {
  if (!value.is_number_integer() || value < 0 || value > std::numeric_limits<int>::max()) {
    return malformed(name, "expected a token id");
  }
  return value.get<int>();
}

Status append_template_item(const Json& item, const Json* special_tokens, bool& text_seen,
                            HfTemplate& out) {
  constexpr const char* kPart = "post_processor: TemplateProcessing";
  if (find_member(item, "Sequence") != nullptr) {
    if (text_seen) return Error{ErrorCode::Unsupported, "the text occurs twice", kPart};
    text_seen = true;
    return Ok{};
  }
  const Json* special = find_member(item, "SpecialToken");
  if (special == nullptr || !special->is_object()) {
    return malformed(kPart, "expected a Sequence or a SpecialToken");
  }
  TRY(const std::string name, read_text(*special, kPart, "id"));
  const Json* entry = special_tokens == nullptr ? nullptr : find_member(*special_tokens, name);
  const Json* ids = entry == nullptr ? nullptr : find_member(*entry, "ids");
  if (ids == nullptr || !ids->is_array()) {
    return malformed(kPart, "no ids for the token " + quote_name(name));
  }
  for (const Json& value : *ids) {
    TRY(const int id, read_id(value, kPart));
    (text_seen ? out.after : out.before).push_back(id);
  }
  return Ok{};
}

Result<HfTemplate> read_template(const Json& part) {
  constexpr const char* kPart = "post_processor: TemplateProcessing";
  const Json* single = find_member(part, "single");
  if (single == nullptr || !single->is_array()) return malformed(kPart, "has no \"single\" array");
  HfTemplate out;
  bool text_seen = false;
  for (const Json& item : *single) {
    TRY_STATUS(append_template_item(item, find_member(part, "special_tokens"), text_seen, out));
  }
  if (!text_seen) return malformed(kPart, "the text itself does not occur in it");
  return out;
}

// BertProcessing and RobertaProcessing: "cls": [text, id] before, "sep": [text, id] after.
Result<HfTemplate> read_classifier_template(const Json& part) {
  constexpr const char* kPart = "post_processor";
  HfTemplate out;
  for (const auto& [key, ids] : {std::pair{"cls", &out.before}, std::pair{"sep", &out.after}}) {
    const Json* token = find_member(part, key);
    if (token == nullptr || !token->is_array() || token->size() != 2) {
      return malformed(kPart, std::string("expected \"") + key + "\": [text, id]");
    }
    TRY(const int id, read_id((*token)[1], kPart));
    ids->push_back(id);
  }
  return out;
}

Result<DecodeStep> read_strip_step(const Json& part) {
  constexpr const char* kPart = "decoder: Strip";
  DecodeStep step;
  step.kind = DecodeStep::Kind::Strip;
  TRY(step.content, read_content(part, kPart, "content"));
  TRY(const auto left, integer_member(part, "start"));
  TRY(const auto right, integer_member(part, "stop"));
  if (step.content.empty() || left.value_or(0) < 0 || right.value_or(0) < 0) {
    return malformed(kPart, "expected one character and two counts");
  }
  step.strip_left = static_cast<std::size_t>(left.value_or(0));
  step.strip_right = static_cast<std::size_t>(right.value_or(0));
  return step;
}

Result<DecodeStep> read_decode_step(const Json& part, const std::string& type) {
  constexpr const char* kPart = "decoder";
  using Kind = DecodeStep::Kind;
  DecodeStep step;
  if (type == "Strip") return read_strip_step(part);
  if (type == "ByteLevel") {
    step.kind = Kind::ByteLevel;
  } else if (type == "Replace") {
    step.kind = Kind::Replace;
    TRY(step.pattern, read_pattern(part, kPart));
    TRY(step.content, read_content(part, kPart, "content"));
  } else if (type == "ByteFallback") {
    step.kind = Kind::ByteFallback;
  } else if (type == "Fuse") {
    step.kind = Kind::Fuse;
  } else if (type == "Metaspace") {
    TRY(const SplitStep metaspace, read_metaspace(part));
    step.kind = Kind::Metaspace;
    step.content = metaspace.replacement;
    step.strip_first = metaspace.prepend_scheme != PrependScheme::Never;
  } else if (type == "BPEDecoder") {
    step.kind = Kind::Suffix;
    TRY(step.content, read_text(part, kPart, "suffix"));
    if (step.content.empty()) return malformed(kPart, "BPEDecoder: an empty \"suffix\"");
  } else {
    return unsupported(kPart, type);
  }
  return step;
}

}  // namespace

Result<std::vector<NormalizeStep>> read_hf_normalizer(const Json* part) {
  std::vector<NormalizeStep> steps;
  if (part == nullptr) return steps;
  std::size_t count = 0;
  TRY_STATUS(for_each_step(*part, "normalizer", "normalizers", count,
                           [&](const Json& json, const std::string& type) -> Status {
                             TRY(NormalizeStep step, read_normalize_step(json, type));
                             steps.push_back(std::move(step));
                             return Ok{};
                           }));
  return steps;
}

Result<std::vector<SplitStep>> read_hf_pre_tokenizer(const Json* part) {
  std::vector<SplitStep> steps;
  if (part == nullptr) return steps;
  std::size_t count = 0;
  TRY_STATUS(for_each_step(*part, "pre_tokenizer", "pretokenizers", count,
                           [&](const Json& json, const std::string& type) {
                             return read_split_steps(json, type, steps);
                           }));
  return steps;
}

Result<HfTemplate> read_hf_post_processor(const Json* part) {
  HfTemplate out;
  if (part == nullptr) return out;
  std::size_t count = 0;
  TRY_STATUS(for_each_step(
      *part, "post_processor", "processors", count,
      [&](const Json& json, const std::string& type) -> Status {
        if (type == "ByteLevel") return Ok{};  // moves offsets only
        const bool is_classifier = type == "BertProcessing" || type == "RobertaProcessing";
        if (type != "TemplateProcessing" && !is_classifier) {
          return unsupported("post_processor", type);
        }
        TRY(HfTemplate added, is_classifier ? read_classifier_template(json) : read_template(json));
        out.before.insert(out.before.begin(), added.before.begin(), added.before.end());
        out.after.insert(out.after.end(), added.after.begin(), added.after.end());
        return Ok{};
      }));
  return out;
}

Result<std::vector<DecodeStep>> read_hf_decoder(const Json* part) {
  std::vector<DecodeStep> steps;
  if (part == nullptr) {
    DecodeStep join;
    join.kind = DecodeStep::Kind::Join;
    join.content = " ";
    steps.push_back(std::move(join));
    return steps;
  }
  std::size_t count = 0;
  TRY_STATUS(for_each_step(*part, "decoder", "decoders", count,
                           [&](const Json& json, const std::string& type) -> Status {
                             TRY(DecodeStep step, read_decode_step(json, type));
                             steps.push_back(std::move(step));
                             return Ok{};
                           }));
  return steps;
}

}  // namespace pianola
