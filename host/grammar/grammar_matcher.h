// Follows one text through a grammar, token by token, and says which tokens may come next.
//
//   GrammarMatcher matcher(grammar, vocabulary);       // both outlive it
//   TRY(std::span<const std::uint64_t> allowed, matcher.allowed_tokens());
//   TRY_STATUS(matcher.accept(token));
//
// The text so far is a set of stacks of grammar positions. Stacks share their lower parts, states
// (sets of stacks) are found again by content, and a state keeps where each byte leads and which
// tokens it allows, so that a second visit costs a look-up. It never fails open: where an answer
// would take more work or memory than allowed, it is an error.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "host/grammar/grammar.h"
#include "host/grammar/token_vocabulary.h"
#include "isa/result.h"

namespace pianola {

class GrammarMatcher {
 public:
  GrammarMatcher(const Grammar& grammar, const TokenVocabulary& vocabulary);

  // A bit per token, 64 a word; valid until the next call. End-of-text tokens only where the text
  // is complete. Errors: OutOfRange (too ambiguous), Mismatch (no token of this vocabulary goes
  // on), and what allowed_tokens or accept gave before.
  Result<std::span<const std::uint64_t>> allowed_tokens();

  // Errors: InvalidArgument (the grammar does not allow it; the text stays as it was), OutOfRange.
  Status accept(int token);

  // True if the text so far is one of the grammar. After an end-of-text token nothing may follow.
  bool is_complete() const;
  bool has_ended() const { return ended_; }

  static constexpr std::size_t kStacksMax = 1000;             // of one state
  static constexpr std::size_t kExpansionsMax = 20'000;       // of one byte
  static constexpr std::size_t kWorkPerMaskMax = 20'000'000;  // stacks looked at
  static constexpr std::size_t kStatesKept = 4'000;           // before they are forgotten
  static constexpr std::size_t kStatesMax = 200'000;          // during one mask

 private:
  static constexpr int kDead = -1, kUnknown = -2;
  static constexpr std::uint32_t kBottom = 0xFFFFFFFF;

  // What is left to match: a position, then what the parent says.
  struct Stack {
    std::uint32_t position = 0, parent = kBottom;
    bool operator==(const Stack&) const = default;
    bool operator<(const Stack& other) const {
      return position != other.position ? position < other.position : parent < other.parent;
    }
  };
  struct StackHash {
    std::size_t operator()(const Stack& stack) const {
      return (std::uint64_t{stack.position} << 32 | stack.parent) * 0x9E3779B97F4A7C15u >> 7;
    }
  };
  struct State {
    std::vector<Stack> stacks;  // sorted; at a byte set each
    bool is_complete = false;
    std::unique_ptr<std::array<int, 256>> next;  // states by byte
    std::vector<std::uint64_t> mask;
  };
  struct StateHash {
    std::size_t operator()(const std::pair<std::vector<Stack>, bool>& state) const;
  };

  Result<int> step(int state, unsigned char byte);
  Result<int> step_bytes(int state, std::string_view bytes);
  Status expand(std::vector<Stack> open, std::vector<Stack>& stacks, bool& is_complete);
  std::uint32_t intern_parent(Stack stack);
  Result<int> intern_state(std::vector<Stack> stacks, bool is_complete);
  Status compute_mask(int state, std::vector<std::uint64_t>& mask);
  Status forget_states();

  const Grammar& grammar_;
  const TokenVocabulary& vocabulary_;
  std::vector<Stack> parents_;
  std::unordered_map<Stack, std::uint32_t, StackHash> known_parents_;
  std::vector<State> states_;
  std::unordered_map<std::pair<std::vector<Stack>, bool>, int, StateHash> known_states_;
  int state_ = 0;
  std::size_t work_ = 0;
  bool ended_ = false;
  Status status_ = Ok{};
};

}  // namespace pianola
