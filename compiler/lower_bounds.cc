#include "compiler/lower_bounds.h"

namespace pianola {
namespace {

constexpr uint64_t kInstructionWordBytes = 32;

uint64_t over(uint64_t amount, uint64_t rate) { return rate == 0 ? 0 : (amount + rate - 1) / rate; }

struct Traffic {
  uint64_t weight_bytes = 0, scale_bytes = 0, macs = 0;
};

// Of the weights proper: true sizes, without the padding to lanes.
Traffic weight_traffic(const QuantizedGraph& graph, const Target& target, uint64_t tokens) {
  const RollModel& m = graph.model;
  const uint64_t hidden = m.hidden, ffn = m.feed_forward, head = m.head_size;
  const uint64_t attention = hidden * head * (2 * m.heads + 2 * m.kv_heads);
  const uint64_t per_layer = attention + 3 * hidden * ffn;
  const uint64_t weights = per_layer * m.layers + hidden * m.vocabulary;
  uint64_t four_bit = 0, all = 0;
  for (const QuantizedMatrix& matrix : graph.matrices) {
    const uint64_t size = static_cast<uint64_t>(matrix.rows) * matrix.cols;
    all += size;
    if (matrix.bits == 4) four_bit += size;
  }
  Traffic traffic;
  const uint64_t fours = all == 0 ? 0 : static_cast<uint64_t>(
      static_cast<double>(weights) * static_cast<double>(four_bit) / static_cast<double>(all));
  traffic.weight_bytes = weights - fours + fours / 2;
  const uint64_t group = target.w8.group > 0 ? target.w8.group : hidden;
  traffic.scale_bytes = weights / group * 2;
  traffic.macs = weights * tokens;
  return traffic;
}

}  // namespace

std::vector<Bound> lower_bounds(const QuantizedGraph& graph, const Target& target, int tokens,
                                int context, uint64_t instruction_words) {
  const RollModel& m = graph.model;
  const uint64_t t = static_cast<uint64_t>(tokens), n = static_cast<uint64_t>(context);
  const Traffic traffic = weight_traffic(graph, target, t);
  const uint64_t rows = static_cast<uint64_t>(m.layers) * m.kv_heads * 2 * n;
  const uint64_t row_bytes = rows * m.head_size, kv_bytes = row_bytes + rows * 4;
  const uint64_t input_bytes = t * (static_cast<uint64_t>(m.hidden) + m.head_size) * 4;
  const bool streams = target.weights == Residence::Tape;

  std::vector<Bound> bounds;
  const uint64_t tape = input_bytes + (streams ? traffic.weight_bytes + traffic.scale_bytes : 0);
  bounds.push_back({"tape", over(tape, target.tape_bytes_per_cycle)});
  if (target.kv == KvResidence::Port) {
    bounds.push_back({"kv", over(kv_bytes, target.kv_bytes_per_cycle)});
  }
  bounds.push_back({"instructions", over(instruction_words * kInstructionWordBytes,
                                         target.instruction_bytes_per_cycle)});
  const uint64_t units = target.mxm_positions.size();
  const uint64_t load_rate = units * target.mxm_load_streams * target.lanes;
  bounds.push_back({"weight_load", over(traffic.weight_bytes + row_bytes, load_rate)});
  const uint64_t attention_macs = static_cast<uint64_t>(m.layers) * m.heads * m.head_size * 2 * n * t;
  const uint64_t cells = units * static_cast<uint64_t>(target.lanes) * target.lanes;
  bounds.push_back({"mac", over(traffic.macs + attention_macs, cells)});
  return bounds;
}

const Bound* active_bound(const std::vector<Bound>& bounds) {
  const Bound* active = nullptr;
  for (const Bound& bound : bounds) {
    if (!active || bound.cycles > active->cycles) active = &bound;
  }
  return active;
}

}  // namespace pianola
