#include "host/tokenizer/split_text.h"

#include <algorithm>

#include "host/tokenizer/byte_level.h"
#include "host/tokenizer/unicode.h"

namespace pianola {
namespace {

struct Stretch {
  std::size_t begin = 0;
  std::size_t end = 0;
  bool is_match = false;
};

// Matches and what is between them, in order, covering the text.
std::vector<Stretch> cover(std::string_view text, const std::vector<Match>& matches) {
  std::vector<Stretch> stretches;
  std::size_t done = 0;
  for (const Match& match : matches) {
    if (done != match.begin) stretches.push_back({done, match.begin, false});
    stretches.push_back({match.begin, match.end, true});
    done = match.end;
  }
  if (done != text.size()) stretches.push_back({done, text.size(), false});
  return stretches;
}

bool is_in_class(CharacterClass character_class, char32_t code) {
  switch (character_class) {
    case CharacterClass::WhiteSpace:
      return is_white_space(code);
    case CharacterClass::Number:
      return is_number(code);
    case CharacterClass::Punctuation:
      return is_punctuation(code);
  }
  CHECK(false);
}

std::vector<Match> find_class(std::string_view text, CharacterClass character_class) {
  std::vector<Match> matches;
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Char c = decode_utf8(text, i);
    if (is_in_class(character_class, c.code)) matches.push_back({i, i + c.size_bytes});
    i += c.size_bytes;
  }
  return matches;
}

// Joins a match to the stretch before it, unless that was a match, too.
std::vector<Stretch> merge_with_previous(const std::vector<Stretch>& stretches) {
  std::vector<Stretch> merged;
  bool previous_matched = false;
  for (const Stretch& stretch : stretches) {
    if (stretch.is_match && !previous_matched && !merged.empty()) {
      merged.back().end = stretch.end;
    } else {
      merged.push_back(stretch);
    }
    previous_matched = stretch.is_match;
  }
  return merged;
}

std::vector<Stretch> merge_with_next(const std::vector<Stretch>& stretches) {
  std::vector<Stretch> merged;  // backwards
  bool next_matched = false;
  for (auto stretch = stretches.rbegin(); stretch != stretches.rend(); ++stretch) {
    if (stretch->is_match && !next_matched && !merged.empty()) {
      merged.back().begin = stretch->begin;
    } else {
      merged.push_back(*stretch);
    }
    next_matched = stretch->is_match;
  }
  std::reverse(merged.begin(), merged.end());
  return merged;
}

std::vector<Stretch> merge_contiguous(const std::vector<Stretch>& stretches) {
  std::vector<Stretch> merged;
  bool previous_matched = false;
  for (const Stretch& stretch : stretches) {
    if (stretch.is_match == previous_matched && !merged.empty()) {
      merged.back().end = stretch.end;
    } else {
      merged.push_back(stretch);
    }
    previous_matched = stretch.is_match;
  }
  return merged;
}

std::vector<Stretch> apply_behavior(std::vector<Stretch> stretches, SplitBehavior behavior) {
  switch (behavior) {
    case SplitBehavior::Isolated:
      return stretches;
    case SplitBehavior::Removed:
      std::erase_if(stretches, [](const Stretch& stretch) { return stretch.is_match; });
      return stretches;
    case SplitBehavior::MergedWithPrevious:
      return merge_with_previous(stretches);
    case SplitBehavior::MergedWithNext:
      return merge_with_next(stretches);
    case SplitBehavior::Contiguous:
      return merge_contiguous(stretches);
  }
  CHECK(false);
}

void append_pieces(const Piece& piece, const std::vector<Match>& matches, SplitBehavior behavior,
                   bool invert, std::vector<Piece>& out) {
  std::vector<Stretch> stretches = cover(piece.text, matches);
  for (Stretch& stretch : stretches) stretch.is_match = stretch.is_match != invert;
  for (const Stretch& stretch : apply_behavior(std::move(stretches), behavior)) {
    if (stretch.begin == stretch.end) continue;
    Piece part;
    part.text.assign(piece.text, stretch.begin, stretch.end - stretch.begin);
    part.at_start = piece.at_start && stretch.begin == 0;
    out.push_back(std::move(part));
  }
}

// May take the piece's text.
Status split_byte_level(const SplitStep& step, Piece& piece, MatchBudget& budget,
                        std::vector<Piece>& out) {
  if (step.add_prefix_space && !piece.text.starts_with(' ')) piece.text.insert(0, 1, ' ');
  const std::size_t first = out.size();
  if (step.pattern) {
    TRY(const std::vector<Match> matches, step.pattern->find_all(piece.text, budget));
    append_pieces(piece, matches, SplitBehavior::Isolated, false, out);
  } else {
    out.push_back(std::move(piece));
  }
  for (std::size_t i = first; i < out.size(); ++i) out[i].text = to_byte_level(out[i].text);
  return Ok{};
}

void split_metaspace(const SplitStep& step, const Piece& piece, std::vector<Piece>& out) {
  Piece spaced;
  spaced.at_start = piece.at_start;
  for (const char c : piece.text) {
    if (c == ' ') {
      spaced.text += step.replacement;
    } else {
      spaced.text += c;
    }
  }
  const bool prepends = step.prepend_scheme == PrependScheme::Always ||
                        (step.prepend_scheme == PrependScheme::First && piece.at_start);
  if (prepends && !spaced.text.starts_with(step.replacement)) {
    spaced.text.insert(0, step.replacement);
  }
  if (!step.cut) {
    out.push_back(std::move(spaced));
    return;
  }
  std::vector<Match> matches;
  for (std::size_t at = spaced.text.find(step.replacement); at != std::string::npos;
       at = spaced.text.find(step.replacement, at + step.replacement.size())) {
    matches.push_back({at, at + step.replacement.size()});
  }
  append_pieces(spaced, matches, SplitBehavior::MergedWithNext, false, out);
}

Status split_piece(const SplitStep& step, Piece& piece, MatchBudget& budget,
                   std::vector<Piece>& out) {
  switch (step.kind) {
    case SplitStep::Kind::Pattern: {
      TRY(const std::vector<Match> matches, step.pattern->find_all(piece.text, budget));
      append_pieces(piece, matches, step.behavior, step.invert, out);
      return Ok{};
    }
    case SplitStep::Kind::Class:
      append_pieces(piece, find_class(piece.text, step.character_class), step.behavior, step.invert,
                    out);
      return Ok{};
    case SplitStep::Kind::ByteLevel:
      return split_byte_level(step, piece, budget, out);
    case SplitStep::Kind::Metaspace:
      split_metaspace(step, piece, out);
      return Ok{};
  }
  CHECK(false);
}

}  // namespace

Result<std::vector<Piece>> split_text(std::span<const SplitStep> steps, Piece text,
                                      MatchBudget& budget) {
  std::vector<Piece> pieces;
  if (text.text.empty()) return pieces;
  pieces.push_back(std::move(text));
  for (const SplitStep& step : steps) {
    std::vector<Piece> next;
    for (Piece& piece : pieces) TRY_STATUS(split_piece(step, piece, budget, next));
    pieces = std::move(next);
  }
  return pieces;
}

}  // namespace pianola
