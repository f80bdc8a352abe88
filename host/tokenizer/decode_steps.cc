#include "host/tokenizer/decode_steps.h"

#include "host/tokenizer/byte_level.h"
#include "host/tokenizer/normalize_text.h"
#include "host/tokenizer/unicode.h"
#include "host/tokenizer/vocabulary.h"

namespace pianola {
namespace {

using Texts = std::vector<std::string>;

std::string join(const Texts& texts, std::string_view between) {
  std::string out;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (i > 0) out += between;
    out += texts[i];
  }
  return out;
}

Texts decode_byte_level(const Texts& texts) {
  std::string bytes;
  for (const std::string& text : texts) bytes += from_byte_level(text);
  return {bytes};
}

// The budget can only be spent by a hostile file; such a text stays as it is.
Texts decode_replace(const DecodeStep& step, Texts texts, MatchBudget& budget) {
  for (std::string& text : texts) {
    if (!is_valid_utf8(text)) continue;
    auto replaced = replace_all(*step.pattern, text, step.content, budget);
    if (replaced.ok()) text = std::move(replaced).value();
  }
  return texts;
}

Texts decode_byte_fallback(const Texts& texts, BadBytes bad_bytes) {
  Texts out;
  std::string run;
  const auto flush = [&] {
    if (run.empty()) return;
    if (bad_bytes == BadBytes::Keep || is_valid_utf8(run)) {
      out.push_back(run);
    } else {
      for (std::size_t i = 0; i < run.size(); ++i) {
        out.emplace_back();
        append_utf8(out.back(), kReplacementCharacter);
      }
    }
    run.clear();
  };
  for (const std::string& text : texts) {
    if (const auto byte = parse_byte_token(text)) {
      run += static_cast<char>(*byte);
    } else {
      flush();
      out.push_back(text);
    }
  }
  flush();
  return out;
}

void strip(const DecodeStep& step, std::string& text) {
  for (std::size_t i = 0; i < step.strip_left && text.starts_with(step.content); ++i) {
    text.erase(0, step.content.size());
  }
  for (std::size_t i = 0; i < step.strip_right && text.ends_with(step.content); ++i) {
    text.resize(text.size() - step.content.size());
  }
}

std::string replace_text(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  std::size_t done = 0;
  for (std::size_t at = text.find(from); at != std::string_view::npos; at = text.find(from, done)) {
    out += text.substr(done, at - done);
    out += to;
    done = at + from.size();
  }
  out += text.substr(done);
  return out;
}

Texts decode_spaces(const DecodeStep& step, Texts texts) {
  bool at_start = step.strip_first || step.strip_all;
  for (std::string& text : texts) {
    if (at_start && text.starts_with(kSpaceSymbol)) {
      text.erase(0, kSpaceSymbol.size());
      at_start = step.strip_all;
    }
    if (!text.empty()) at_start = false;
    text = replace_text(text, kSpaceSymbol, " ");
  }
  return texts;
}

Texts apply(const DecodeStep& step, Texts texts, BadBytes bad_bytes, MatchBudget& budget) {
  switch (step.kind) {
    case DecodeStep::Kind::ByteLevel:
      return decode_byte_level(texts);
    case DecodeStep::Kind::Replace:
      return decode_replace(step, std::move(texts), budget);
    case DecodeStep::Kind::ByteFallback:
      return decode_byte_fallback(texts, bad_bytes);
    case DecodeStep::Kind::Fuse:
      return {join(texts, "")};
    case DecodeStep::Kind::Strip:
      for (std::string& text : texts) strip(step, text);
      return texts;
    case DecodeStep::Kind::Metaspace:
      for (std::size_t i = 0; i < texts.size(); ++i) {
        const bool drops = i == 0 && step.strip_first;
        texts[i] = replace_text(texts[i], step.content, drops ? "" : " ");
      }
      return texts;
    case DecodeStep::Kind::Suffix:
      for (std::size_t i = 0; i < texts.size(); ++i) {
        texts[i] = replace_text(texts[i], step.content, i + 1 == texts.size() ? "" : " ");
      }
      return texts;
    case DecodeStep::Kind::Spaces:
      return decode_spaces(step, std::move(texts));
    case DecodeStep::Kind::Join:
      return {join(texts, step.content)};
  }
  CHECK(false);
}

}  // namespace

std::string decode_texts(std::span<const DecodeStep> steps, Texts texts, BadBytes bad_bytes) {
  MatchBudget budget(0);
  budget.retries_left = 1'000'000 + 1000 * texts.size();
  for (const DecodeStep& step : steps) texts = apply(step, std::move(texts), bad_bytes, budget);
  return join(texts, "");
}

}  // namespace pianola
