#include "host/tokenizer/regex.h"

#include <oniguruma.h>

#include <algorithm>

#include "host/tokenizer/unicode.h"

namespace pianola {

constexpr unsigned kMatchStackMax = 8 << 20;  // entries, of some 40 bytes

struct MatchBudget::Scratch {
  Scratch() : region(onig_region_new()), param(onig_new_match_param()) {
    CHECK(region != nullptr && param != nullptr);
    onig_set_match_stack_limit_size_of_match_param(param, kMatchStackMax);
  }
  ~Scratch() {
    onig_region_free(region, 1);
    onig_free_match_param(param);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  OnigRegion* region;
  OnigMatchParam* param;
};

namespace {

constexpr std::size_t kPatternSizeMax = 64 << 10;
constexpr unsigned kParseDepthMax = 256;
constexpr std::uint64_t kFirstRetryLimit = 1000;  // almost every search needs fewer
constexpr std::uint64_t kRetryLimitGrowth = 8;

const OnigUChar* bytes_of(std::string_view text) {
  return reinterpret_cast<const OnigUChar*>(text.data());
}

std::string describe(int code, OnigErrorInfo* info) {
  OnigUChar buffer[ONIG_MAX_ERROR_MESSAGE_LEN];
  const int size = onig_error_code_to_str(buffer, code, info);
  return std::string(reinterpret_cast<const char*>(buffer), static_cast<std::size_t>(size));
}

bool initialize_engine() {
  OnigEncoding encodings[] = {ONIG_ENCODING_UTF8};
  const bool ready = onig_initialize(encodings, 1) == ONIG_NORMAL;
  onig_set_parse_depth_limit(kParseDepthMax);
  return ready;
}

bool is_limit(int code) {
  return code == ONIGERR_RETRY_LIMIT_IN_MATCH_OVER || code == ONIGERR_RETRY_LIMIT_IN_SEARCH_OVER;
}

// Searches with a small limit first and larger ones after, so that what a search cost is known
// within a factor, although the engine does not tell.
int search_within(regex_t* program, std::string_view text, std::size_t from, MatchBudget& budget) {
  const OnigUChar* begin = bytes_of(text);
  const OnigUChar* end = begin + text.size();
  std::uint64_t limit = std::min(kFirstRetryLimit, budget.retries_left);
  while (limit > 0) {
    onig_set_retry_limit_in_search_of_match_param(budget.scratch->param, limit);
    onig_set_retry_limit_in_match_of_match_param(budget.scratch->param, limit);
    const int found =
        onig_search_with_param(program, begin, end, begin + from, end, budget.scratch->region,
                               ONIG_OPTION_NONE, budget.scratch->param);
    if (!is_limit(found)) return found;
    budget.retries_left -= limit;
    limit = std::min(limit * kRetryLimitGrowth, budget.retries_left);
  }
  return ONIGERR_RETRY_LIMIT_IN_SEARCH_OVER;
}

}  // namespace

MatchBudget::MatchBudget(std::size_t text_size_bytes)
    : retries_left(std::uint64_t{50'000'000} + 256 * std::uint64_t{text_size_bytes}),
      scratch(std::make_unique<Scratch>()) {}
MatchBudget::~MatchBudget() = default;

void Regex::Free::operator()(re_pattern_buffer* program) const { onig_free(program); }

Result<Regex> Regex::compile(std::string_view pattern) {
  static const bool ready = initialize_engine();
  CHECK(ready);
  if (pattern.size() > kPatternSizeMax) {
    return Error{ErrorCode::OutOfRange,
                 "a pattern of " + std::to_string(pattern.size()) + " bytes; at most " +
                     std::to_string(kPatternSizeMax) + " are accepted",
                 "regular expression"};
  }
  if (!is_valid_utf8(pattern)) {
    return Error{ErrorCode::Malformed, "the pattern is not UTF-8", "regular expression"};
  }
  regex_t* program = nullptr;
  OnigErrorInfo info;
  const int code = onig_new(&program, bytes_of(pattern), bytes_of(pattern) + pattern.size(),
                            ONIG_OPTION_NONE, ONIG_ENCODING_UTF8, ONIG_SYNTAX_DEFAULT, &info);
  if (code != ONIG_NORMAL) {
    return Error{ErrorCode::Malformed, describe(code, &info), "regular expression"};
  }
  return Regex(program);
}

Result<Regex> Regex::literal(std::string_view text) {
  std::string pattern;
  for (const char c : text) {
    if (std::string_view("\\.+*?()|[]{}^$").find(c) != std::string_view::npos) {
      pattern += '\\';
    }
    pattern += c;
  }
  return compile(pattern);
}

Result<std::vector<Match>> Regex::find_all(std::string_view text, MatchBudget& budget) const {
  std::vector<Match> matches;
  std::size_t from = 0;
  while (from <= text.size()) {
    const int found = search_within(program_.get(), text, from, budget);
    if (found == ONIG_MISMATCH) break;
    if (found < 0) {
      return Error{ErrorCode::OutOfRange,
                   "the text needs more than the allowed work to split (" +
                       describe(found, nullptr) +
                       "); split it up, or remove long runs of one character",
                   "regular expression"};
    }
    const Match match{static_cast<std::size_t>(budget.scratch->region->beg[0]),
                      static_cast<std::size_t>(budget.scratch->region->end[0])};
    const bool repeats_end =
        match.begin == match.end && !matches.empty() && matches.back().end == match.end;
    if (!repeats_end) {
      matches.push_back(match);
      from = match.end;
    } else if (from < text.size()) {
      from += decode_utf8(text, from).size_bytes;
    } else {
      break;
    }
  }
  return matches;
}

}  // namespace pianola
