#include "compiler/lower_bounds.h"

#include <algorithm>
#include <cstdlib>

#include "compiler/passes/quantize_matrix.h"
#include "isa/instructions.h"

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
  uint64_t bits = 0, all = 0;
  for (const QuantizedMatrix& matrix : graph.matrices) {
    const uint64_t size = static_cast<uint64_t>(matrix.rows) * matrix.cols;
    all += size;
    bits += size * static_cast<uint64_t>(matrix.bits);
  }
  Traffic traffic;
  if (all > 0) {
    traffic.weight_bytes = static_cast<uint64_t>(
        static_cast<double>(weights) / 8 * static_cast<double>(bits) / static_cast<double>(all));
  }
  const uint64_t group = target.w8.group > 0 ? target.w8.group : hidden;
  traffic.scale_bytes = weights / group * 2;
  traffic.macs = weights * tokens;
  return traffic;
}

// What one result waits for where weights stay in MEM, so that nothing but tile storage can run ahead of data.
// Latencies and distances alone: every unit is free, operands are in the nearest slices.
class Path {
 public:
  explicit Path(const Target& target) : target_(target), lanes_(target.lanes) {
    distance_ = target.positions();
    for (const int position : target.mxm_positions) {
      distance_ = std::min(distance_, std::abs(position - target.vxm_position));
    }
  }

  // A pass, until its result is driven.
  uint64_t pass(bool sfu, bool tree, bool root = false) const {
    return static_cast<uint64_t>(latency_vxm_in(lanes_) + 4 * latency_vxm_mul(lanes_) +
                                 2 * latency_vxm_add(lanes_) + latency_vxm_select(lanes_) +
                                 latency_vxm_out(lanes_) + (sfu ? latency_vxm_sfu(lanes_) : 0) +
                                 (tree ? latency_vxm_tree(lanes_) : 0) +
                                 (root ? latency_vxm_root(lanes_) : 0));
  }
  // Through MEM next to the VXM and back.
  uint64_t trip() const { return memory() + 2; }
  // Codes through MEM and a matrix unit to the VXM.
  uint64_t product() const {
    return memory() + static_cast<uint64_t>(latency_mxm_mac(lanes_) + 2 * distance_);
  }
  // A vector to codes with a scale for many vectors: the largest magnitude, its reciprocal, rounding.
  uint64_t quantize() const {
    if (target_.activation_group == lanes_) return pass(false, true, true);
    return pass(false, true) + trip() + pass(true, false) + trip() + pass(false, false);
  }
  // From a layer's input, all of it, to that of its feed-forward part.
  uint64_t attention(int head_vectors) const {
    const uint64_t query = head_vectors > 1 ? quantize() : pass(false, true, true);
    const uint64_t projection = quantize() + product() + pass(false, false) + trip();
    const uint64_t rotation = pass(false, false) + trip();
    const uint64_t scores = query + product() + pass(false, true) + trip();
    const uint64_t softmax = pass(true, true) + trip() + pass(false, true, true);
    const uint64_t values = product() + pass(false, false) + trip() + pass(false, false) + trip();
    return projection + rotation + scores + softmax + values + quantize() + product() +
           pass(false, false) + trip();
  }
  // Before the first and after the last tile of the feed-forward part.
  uint64_t feed_forward() const { return quantize() + product() + pass(false, false) + trip(); }

 private:
  uint64_t memory() const {
    return static_cast<uint64_t>(latency_mem_write(lanes_) + latency_mem_read(lanes_));
  }

  const Target& target_;
  int lanes_, distance_;
};

// All tiles of a layer's feed-forward part come after attention, and attention after all of those of the
// layer before; of the head after the last layer. A matrix unit stores two tiles.
uint64_t path_cycles(const QuantizedGraph& graph, const Target& target, uint64_t tokens) {
  const RollModel& m = graph.model;
  const uint64_t units = target.mxm_positions.size(), lanes = static_cast<uint64_t>(target.lanes);
  const auto tiles = [&](uint64_t weights, int bits) {
    const uint64_t rate = units * static_cast<uint64_t>(target.mxm_load_streams) * lanes;
    const uint64_t loads = weights * static_cast<uint64_t>(bits) / 8 / rate;
    const uint64_t stored = 2 * lanes / static_cast<uint64_t>(target.mxm_load_streams);
    return std::max(loads - std::min(loads, stored), weights * tokens / (units * lanes * lanes));
  };
  int bits = 8;
  for (const QuantizedMatrix& matrix : graph.matrices) bits = std::min(bits, matrix.bits);
  const uint64_t hidden = static_cast<uint64_t>(m.hidden);
  const Path path(target);
  const int head_vectors = head_width(m.head_size, target.lanes) / target.lanes;
  const uint64_t layer = path.attention(head_vectors) + path.feed_forward() +
                         tiles(3 * hidden * static_cast<uint64_t>(m.feed_forward), bits);
  return static_cast<uint64_t>(m.layers) * layer +
         tiles(hidden * static_cast<uint64_t>(m.vocabulary), bits);
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
  const uint64_t kv = target.kv == KvResidence::Port ? kv_bytes : 0;
  const uint64_t words = instruction_words * kInstructionWordBytes;
  // A launch starts with full FIFOs.
  const auto lanes = static_cast<uint64_t>(target.lanes);
  const auto beyond = [](uint64_t bytes, uint64_t fifo) { return bytes - std::min(bytes, fifo); };
  const uint64_t tape_left = beyond(tape, static_cast<uint64_t>(target.tape_fifo_vectors) * lanes);
  const uint64_t kv_left = beyond(kv, static_cast<uint64_t>(target.kv_fifo_vectors) * lanes);
  const uint64_t words_left = beyond(
      words, static_cast<uint64_t>(target.instruction_fifo_words) * kInstructionWordBytes);
  bounds.push_back({"tape", over(tape_left, target.tape_bytes_per_cycle)});
  if (target.kv == KvResidence::Port) {
    bounds.push_back({"kv", over(kv_left, target.kv_bytes_per_cycle)});
  }
  bounds.push_back({"instructions", over(words_left, target.instruction_bytes_per_cycle)});
  if (target.memory_bytes_per_cycle > 0) {
    bounds.push_back({"memory", over(tape_left + kv_left + words_left,
                                     target.memory_bytes_per_cycle)});
  }
  const uint64_t units = target.mxm_positions.size();
  const uint64_t load_rate = units * target.mxm_load_streams * target.lanes;
  bounds.push_back({"weight_load", over(traffic.weight_bytes + row_bytes, load_rate)});
  const uint64_t attention_macs = static_cast<uint64_t>(m.layers) * m.heads * m.head_size * 2 * n * t;
  const uint64_t cells = units * static_cast<uint64_t>(target.lanes) * target.lanes;
  bounds.push_back({"mac", over(traffic.macs + attention_macs, cells)});
  if (!streams) bounds.push_back({"path", path_cycles(graph, target, t)});
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
