#include "host/grammar/grammar_matcher.h"

#include <algorithm>
#include <unordered_set>

namespace pianola {
namespace {

Error too_ambiguous() {
  return {
      ErrorCode::OutOfRange,
      "too many ways to read the text so far; make the grammar's alternatives begin differently",
      "grammar"};
}

}  // namespace

std::size_t GrammarMatcher::StateHash::operator()(
    const std::pair<std::vector<Stack>, bool>& state) const {
  std::uint64_t hash = state.second ? 1 : 2;
  for (const Stack& stack : state.first) hash = (hash ^ StackHash()(stack)) * 0xBF58476D1CE4E5B9u;
  return hash ^ (hash >> 29);
}

GrammarMatcher::GrammarMatcher(const Grammar& grammar, const TokenVocabulary& vocabulary)
    : grammar_(grammar), vocabulary_(vocabulary) {
  std::vector<Stack> open, stacks;
  for (const std::uint32_t alternative : grammar.rules()[grammar.root()].alternatives) {
    open.push_back({alternative, kBottom});
  }
  bool is_complete = false;
  status_ = expand(std::move(open), stacks, is_complete);
  if (!status_.ok()) return;
  const auto state = intern_state(std::move(stacks), is_complete);
  if (state.ok()) {
    state_ = *state;
  } else {
    status_ = state.error();
  }
}

bool GrammarMatcher::is_complete() const {
  return status_.ok() && states_[static_cast<std::size_t>(state_)].is_complete;
}

std::uint32_t GrammarMatcher::intern_parent(Stack stack) {
  const auto next = static_cast<std::uint32_t>(parents_.size());
  const auto [known, is_new] = known_parents_.emplace(stack, next);
  if (is_new) parents_.push_back(stack);
  return known->second;
}

// Goes into rules and out of ended ones until every stack is at a byte set.
Status GrammarMatcher::expand(std::vector<Stack> open, std::vector<Stack>& stacks,
                              bool& is_complete) {
  const std::vector<GrammarSymbol>& symbols = grammar_.symbols();
  std::unordered_set<Stack, StackHash> seen(open.begin(), open.end());
  while (!open.empty()) {
    const Stack stack = open.back();
    open.pop_back();
    if (seen.size() > kExpansionsMax || stacks.size() > kStacksMax) return too_ambiguous();
    const GrammarSymbol symbol = symbols[stack.position];
    const auto visit = [&](Stack next) {
      if (seen.insert(next).second) open.push_back(next);
    };
    switch (symbol.kind) {
      case GrammarSymbol::Kind::Bytes:
        stacks.push_back(stack);
        break;
      case GrammarSymbol::Kind::End:
        if (stack.parent == kBottom) {
          is_complete = true;
        } else {
          visit(parents_[stack.parent]);
        }
        break;
      case GrammarSymbol::Kind::Rule: {
        const std::uint32_t after = stack.position + 1;
        const bool is_last =
            symbols[after].kind == GrammarSymbol::Kind::End;  // nothing to come back for
        const std::uint32_t parent = is_last ? stack.parent : intern_parent({after, stack.parent});
        for (const std::uint32_t alternative : grammar_.rules()[symbol.index].alternatives)
          visit({alternative, parent});
        break;
      }
    }
  }
  std::sort(stacks.begin(), stacks.end());
  return Ok{};
}

Result<int> GrammarMatcher::intern_state(std::vector<Stack> stacks, bool is_complete) {
  if (stacks.empty() && !is_complete) return kDead;
  if (states_.size() >= kStatesMax) return too_ambiguous();
  const auto [known, is_new] =
      known_states_.emplace(std::pair(stacks, is_complete), static_cast<int>(states_.size()));
  if (is_new) {
    State& state = states_.emplace_back();
    state.stacks = std::move(stacks);
    state.is_complete = is_complete;
  }
  return known->second;
}

Result<int> GrammarMatcher::step(int from, unsigned char byte) {
  const auto index = static_cast<std::size_t>(from);
  if (states_[index].next && (*states_[index].next)[byte] != kUnknown)
    return (*states_[index].next)[byte];
  std::vector<Stack> open, stacks;
  for (const Stack& stack : states_[index].stacks) {
    const ByteSet& set = grammar_.byte_sets()[grammar_.symbols()[stack.position].index];
    if (set[byte]) open.push_back({stack.position + 1, stack.parent});
  }
  work_ += states_[index].stacks.size() + 1;
  bool is_complete = false;
  TRY_STATUS(expand(std::move(open), stacks, is_complete));
  work_ += stacks.size();
  TRY(const int to, intern_state(std::move(stacks), is_complete));
  State& state = states_[index];
  if (!state.next) {
    state.next = std::make_unique<std::array<int, 256>>();
    state.next->fill(kUnknown);
  }
  (*state.next)[byte] = to;
  return to;
}

Result<int> GrammarMatcher::step_bytes(int state, std::string_view bytes) {
  for (const char byte : bytes) {
    TRY(state, step(state, static_cast<unsigned char>(byte)));
    if (state == kDead) break;
  }
  return state;
}

Status GrammarMatcher::compute_mask(int state, std::vector<std::uint64_t>& mask) {
  mask.assign((vocabulary_.size() + 63) / 64, 0);
  const auto allow = [&](int token) {
    mask[static_cast<std::size_t>(token) / 64] |= std::uint64_t{1}
                                                  << (static_cast<std::size_t>(token) % 64);
  };
  work_ = 0;
  const std::vector<TokenVocabulary::Node>& nodes = vocabulary_.nodes();
  std::vector<int> path(TokenVocabulary::kTokenBytesMax + 1, kDead);  // states by depth
  path[0] = state;
  for (std::uint32_t i = 0; i < nodes.size();) {
    const TokenVocabulary::Node& node = nodes[i];
    TRY(const int next, step(path[node.depth - 1u], node.byte));
    if (++work_ > kWorkPerMaskMax) return too_ambiguous();
    path[node.depth] = next;
    if (next == kDead) {
      i = node.end;
      continue;
    }
    for (std::uint32_t k = 0; k < node.token_count; ++k)
      allow(vocabulary_.tokens()[node.first_token + k]);
    ++i;
  }
  if (states_[static_cast<std::size_t>(state)].is_complete) {
    for (const int token : vocabulary_.eos_ids()) allow(token);
  }
  return Ok{};
}

// Bounds what is kept: forgets every state but the one that the text is in.
Status GrammarMatcher::forget_states() {
  if (states_.size() <= kStatesKept) return Ok{};
  State now = std::move(states_[static_cast<std::size_t>(state_)]);
  const std::vector<Stack> parents = std::exchange(parents_, {});
  states_.clear();
  known_states_.clear();
  known_parents_.clear();
  // A parent's own parent was interned before it, so that one pass in order renumbers those in use.
  std::vector<bool> used(parents.size());
  for (const Stack& stack : now.stacks) {
    for (std::uint32_t p = stack.parent; p != kBottom && !used[p]; p = parents[p].parent)
      used[p] = true;
  }
  std::vector<std::uint32_t> renumbered(parents.size(), kBottom);
  const auto translate = [&](std::uint32_t parent) {
    return parent == kBottom ? kBottom : renumbered[parent];
  };
  for (std::size_t p = 0; p < parents.size(); ++p) {
    if (used[p]) renumbered[p] = intern_parent({parents[p].position, translate(parents[p].parent)});
  }
  for (Stack& stack : now.stacks) stack.parent = translate(stack.parent);
  std::sort(now.stacks.begin(), now.stacks.end());
  TRY(state_, intern_state(std::move(now.stacks), now.is_complete));
  return Ok{};
}

Result<std::span<const std::uint64_t>> GrammarMatcher::allowed_tokens() {
  TRY_STATUS(status_);
  if (ended_) {
    status_ = Error{ErrorCode::InvalidArgument, "the text has ended", "grammar"};
    return status_.error();
  }
  if (states_[static_cast<std::size_t>(state_)].mask.empty()) {
    std::vector<std::uint64_t> mask;
    status_ = forget_states();
    if (status_.ok()) status_ = compute_mask(state_, mask);
    TRY_STATUS(status_);
    if (std::all_of(mask.begin(), mask.end(), [](std::uint64_t word) { return word == 0; })) {
      status_ = Error{ErrorCode::Mismatch,
                      "no token of this model's vocabulary goes on with the text", "grammar"};
      return status_.error();
    }
    states_[static_cast<std::size_t>(state_)].mask = std::move(mask);
  }
  return std::span<const std::uint64_t>(states_[static_cast<std::size_t>(state_)].mask);
}

Status GrammarMatcher::accept(int token) {
  TRY_STATUS(status_);
  const auto refuse = [&] {
    return Error{ErrorCode::InvalidArgument,
                 "the grammar does not allow token " + std::to_string(token) + " here", "grammar"};
  };
  if (ended_ || token < 0 || static_cast<std::size_t>(token) >= vocabulary_.size()) return refuse();
  if (vocabulary_.is_eos(token)) {
    if (!is_complete()) return refuse();
    ended_ = true;
    return Ok{};
  }
  const std::string& bytes = vocabulary_.bytes(token);
  if (bytes.empty() || bytes.size() > TokenVocabulary::kTokenBytesMax) return refuse();
  const auto next = step_bytes(state_, bytes);
  if (!next.ok()) {
    status_ = next.error();
    return status_;
  }
  if (*next == kDead) return refuse();
  state_ = *next;
  return forget_states();
}

}  // namespace pianola
