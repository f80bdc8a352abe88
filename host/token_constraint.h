// What may come next in a constrained generation: the seam between the engine and grammars
// (host/grammar). It never fails open: where nothing may follow but the end, everything else is
// masked.
#pragma once

#include <memory>
#include <span>

#include "isa/result.h"

namespace pianola {

class TokenConstraint {
 public:
  virtual ~TokenConstraint() = default;
  // Sets the logits of tokens that must not come next to -infinity. `logits` [vocabulary].
  // End-of-text tokens stay where the text may end. Error: nothing can follow.
  virtual Status mask(std::span<float> logits) = 0;
  // The token that was drawn. Error: it was not allowed.
  virtual Status accept(int token) = 0;
};

}  // namespace pianola
