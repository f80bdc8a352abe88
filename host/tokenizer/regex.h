// Oniguruma, the engine that the pre-tokenizers' patterns are written for, behind bounds.
//
// A backtracking engine can be made to run for years by a hostile pattern or text, so every use
// draws from a MatchBudget: when it is spent the answer is an error, after a bounded, repeatable
// amount of work.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "isa/result.h"

struct re_pattern_buffer;  // Oniguruma's compiled pattern

namespace pianola {

struct Match {
  std::size_t begin = 0;
  std::size_t end = 0;
};

// How many times matching may step back; shared by all the searches in one text. Also carries what
// the engine needs to work in, so that texts of many small pieces do not allocate it for each.
struct MatchBudget {
  explicit MatchBudget(std::size_t text_size_bytes);
  ~MatchBudget();
  MatchBudget(const MatchBudget&) = delete;
  MatchBudget& operator=(const MatchBudget&) = delete;

  struct Scratch;
  std::uint64_t retries_left;
  std::unique_ptr<Scratch> scratch;
};

class Regex {
 public:
  // Errors: Malformed (not a pattern), OutOfRange (longer than 64 KiB).
  static Result<Regex> compile(std::string_view pattern);
  // The pattern that matches exactly this text.
  static Result<Regex> literal(std::string_view text);

  // All matches in valid UTF-8, left to right, without an empty one at the end of its
  // predecessor. Thread-safe. Error OutOfRange: the budget is spent.
  Result<std::vector<Match>> find_all(std::string_view text, MatchBudget& budget) const;

 private:
  struct Free {
    void operator()(re_pattern_buffer* program) const;
  };
  explicit Regex(re_pattern_buffer* program) : program_(program) {}
  std::unique_ptr<re_pattern_buffer, Free> program_;
};

}  // namespace pianola
