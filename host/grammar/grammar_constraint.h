// A grammar as the engine's constraint on the tokens of one generation.
#pragma once

#include "host/grammar/grammar_matcher.h"
#include "host/token_constraint.h"

namespace pianola {

class GrammarConstraint : public TokenConstraint {
 public:
  // The vocabulary must outlive it.
  GrammarConstraint(Grammar grammar, const TokenVocabulary& vocabulary)
      : grammar_(std::move(grammar)), matcher_(grammar_, vocabulary) {}
  GrammarConstraint(const GrammarConstraint&) = delete;
  GrammarConstraint& operator=(const GrammarConstraint&) = delete;

  // Logits beyond the tokenizer's vocabulary are masked, too.
  Status mask(std::span<float> logits) override;
  Status accept(int token) override { return matcher_.accept(token); }

 private:
  Grammar grammar_;
  GrammarMatcher matcher_;  // of grammar_
};

}  // namespace pianola
