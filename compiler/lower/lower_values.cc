// Attention that begins before its values are there. While queries and keys become scores and probabilities, the
// tape's FIFO would fill up and its memory rest; the weights of the values' product come in that time, if it takes
// turns with the scores: while weights are loaded at the tape's rate, the MXM loads from MEM as fast again.
#include <algorithm>

#include "compiler/lower/lowering.h"

namespace pianola {

// Whether this product makes the values of an attention that begins before it: then scores and softmax go beside it,
// and its weights come while others would have to wait. Not where the FIFO behind the tape holds a good part of a
// layer: there it is not the tape that limits. Nor for few tokens and narrow weights: their product is over
// before the scores are, and then its sums delay them.
bool Lowering::makes_values_later(const QNode& node) const {
  constexpr int64_t kFifosPerLayer = 8;
  if (shape_.values_first) return false;
  int64_t bytes = 0;
  for (const QuantizedMatrix& matrix : graph_.matrices) {
    if (matrix.bits < 8 && shape_.kind != EntryKind::Prefill) return false;
    bytes += int64_t{matrix.rows} * matrix.cols * matrix.bits / 8;
  }
  const int64_t fifo = int64_t{target_.tape_fifo_vectors} * lanes_;
  if (bytes < kFifosPerLayer * fifo * graph_.model.layers) return false;
  return std::any_of(graph_.nodes.begin(), graph_.nodes.end(), [&](const QNode& other) {
    return std::holds_alternative<QAttention>(other.op) && other.inputs[2] == node.output;
  });
}

// The operations that make the first `blocks` blocks of the values.
void Lowering::emit_values(int blocks) {
  while (values_emitted_ < blocks && values_next_ < values_waiting_.size()) {
    VectorOperation& next = values_waiting_[values_next_++];
    const auto* product = std::get_if<MatmulOperation>(&next);
    if (product && product->consumers.back().closes_group) ++values_emitted_;
    emit(std::move(next));
  }
}

}  // namespace pianola
