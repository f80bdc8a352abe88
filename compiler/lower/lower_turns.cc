// Products whose weights come from the tape take turns with attention in the matrix units, in the order that tape_order.h
// says. The attention of a KV group goes beside the queries of the next one, the last group's beside what the product
// that reads attention makes of the others. While weights are loaded at the tape's rate, a matrix unit loads from MEM
// as fast again.
#include <algorithm>
#include <utility>

#include "compiler/lower/lowering.h"
#include "compiler/lower/tile_format.h"

namespace pianola {
namespace {

// Estimates, on which nothing but the order of tiles depends: from the last tile of queries to their codes, and from the
// last tile of keys to the codes of probabilities, but for what takes longer the more there is.
constexpr int64_t kQueryCycles = 225, kSoftmaxCycles = 200;

// The product that reads attention has waited for codes, and the tape's FIFO is full: so long it goes on alone.
constexpr int64_t kDrainCycles = 600;

}  // namespace

std::vector<VectorOperation> Lowering::take_back(size_t first) {
  std::vector<VectorOperation>& operations = out_.program.operations;
  const auto begin = operations.begin() + static_cast<std::ptrdiff_t>(first);
  std::vector<VectorOperation> taken(std::make_move_iterator(begin),
                                     std::make_move_iterator(operations.end()));
  operations.erase(begin, operations.end());
  return taken;
}

// Operations from `first` on wait until the next product has its place: passes find room between its sums more easily
// than it does between theirs.
void Lowering::hold_passes(size_t first) {
  for (VectorOperation& pass : take_back(first)) held_passes_.push_back(std::move(pass));
}

void Lowering::release_passes() {
  if (held_passes_.empty()) return;
  for (VectorOperation& pass : std::exchange(held_passes_, {})) emit(std::move(pass));
}

// Values, and the queries behind them.
bool Lowering::waits_for_turns(const QNode& node) const {
  const QNode* next = &node + 1;
  return graph_.attention_takes_turns && next < graph_.nodes.data() + graph_.nodes.size() &&
         std::holds_alternative<QAttention>(next->op);
}

int64_t Lowering::next_block_vectors() const {
  int64_t vectors = 0;
  for (size_t i = waiting_next_; i < waiting_.size(); ++i) {
    const auto* product = std::get_if<MatmulOperation>(&waiting_[i]);
    if (product == nullptr) continue;
    const int bits = product->format == MxmLoadFormat::Int8 ? 8 : product->format == MxmLoadFormat::Int4 ? 4 : 2;
    vectors += int64_t{product->tiles} * product->windows * tile_vectors(bits, lanes_);
    if (closes_product(waiting_[i])) break;
  }
  return vectors;
}

void Lowering::emit_block(const Attention& a) {
  clock_.load_from_tape(next_block_vectors());
  std::vector<VectorOperation> passes = std::exchange(held_passes_, {});
  do {
    emit(std::move(waiting_[waiting_next_++]));
  } while (!closes_product(out_.program.operations.back()));
  // The next scales come from the tape right behind the tiles, if nothing else is in their bank.
  while (waiting_next_ < waiting_.size() && std::holds_alternative<CopyInOperation>(waiting_[waiting_next_])) {
    emit(std::move(waiting_[waiting_next_++]));
  }
  for (VectorOperation& pass : passes) emit(std::move(pass));
  ++blocks_emitted_;
  const Heads& h = a.heads;
  if (values_appended_ == h.op->kv_heads || blocks_emitted_ < (values_appended_ + 1) * h.vectors) return;
  append_value(h, a.caches[values_appended_], values_appended_, a.values, 0);
  ++values_appended_;
}

// Whether by this cycle no block that waits can be multiplied, but for less than half of it.
bool Lowering::is_time_for(int64_t cycle) const {
  TurnClock after = clock_;
  after.load_from_tape(next_block_vectors());
  return after.now() + clock_.now() > 2 * cycle;
}

void Lowering::emit_blocks_until(const Attention& a, int64_t cycle) {
  while (waiting_next_ < waiting_.size() && !is_time_for(cycle)) emit_block(a);
}

// Blocks until so many are emitted, and the sums of the work before as soon as it is time for them.
void Lowering::emit_blocks(AttentionTurns& turns, int blocks) {
  while (blocks_emitted_ < blocks) {
    if (turns.before && is_time_for(turns.sums_from)) finish_work(turns);
    emit_block(turns.attention);
  }
}

// Scores and probabilities. Its sums come when there is time.
void Lowering::begin_work(AttentionTurns& turns, AttentionWork& work) {
  const Heads& h = turns.attention.heads;
  const Cache& cache = turns.attention.caches[work.head];
  const int rows = h.group * work.softmax.chunk.count;
  clock_.load(turns.cache_vectors);
  work.softmax = lower_scores(h, cache, turns.attention.query, work.head, work.softmax.chunk);
  release_passes();
  if (turns.before) finish_work(turns);
  // Probabilities are multiplied by the scales of their values.
  emit_blocks(turns, (work.head + 1) * h.vectors);
  lower_weights(h, cache, work.softmax, work.head);
  lower_weight_codes(h, work.softmax, work.head);
  turns.before = &work;
  turns.softmax_cycles = kSoftmaxCycles + std::max(rows, 4) * h.blocks;
  turns.sums_from = clock_.now() + turns.softmax_cycles;
}

// The sums of the work that has begun, and the codes that the next product reads.
void Lowering::finish_work(AttentionTurns& turns) {
  const Attention& a = turns.attention;
  const Heads& h = a.heads;
  AttentionWork& work = *std::exchange(turns.before, nullptr);
  emit_blocks_until(a, turns.sums_from);
  clock_.wait_until(turns.sums_from);
  clock_.load(turns.cache_vectors);
  lower_weighted_sum(h, a.caches[work.head], work.softmax, work.head);
  const size_t passes = out_.program.operations.size();
  lower_attention_out(h, work.softmax, work.head, a.out);
  const TokenChunk& chunk = work.softmax.chunk;
  if (chunk.first + chunk.count == tokens_) {
    const int per_group = target_.activation_group / lanes_;
    const int there = (work.head + 1) * h.group * h.vectors;
    const int whole = work.head + 1 == h.op->kv_heads ? there : there / per_group * per_group;
    if (whole > turns.quantized) quantize_vectors(*turns.reader, turns.codes, turns.quantized, whole);
    turns.quantized = whole;
  }
  hold_passes(passes);
}

// Every work has its scores, then its sums, each as soon as probably all is there that it needs: a matrix unit goes
// through its tiles in order, whatever they wait for. The last work goes beside the product that reads attention.
void Lowering::lower_attention_in_turns(const Attention& a) {
  const Heads& h = a.heads;
  clock_ = TurnClock(target_);
  blocks_emitted_ = values_appended_ = 0;
  rotate_keys(a, 0, h.op->kv_heads, 0);
  for (int head = 0; head < h.op->kv_heads; ++head) append_key(h, a.caches[head], head, a.keys, 0);
  const QNode* reader = a.node + 1;
  CHECK(reader->inputs[0] == a.node->output);
  std::vector<AttentionWork> works = attention_works(h);
  AttentionTurns turns = {a, reader, declare_codes(*reader, std::get<QQuantize>(reader->op)),
                          int64_t{shape_.context} * h.vectors};
  const bool ends_late = vectors_before_last_group(graph_, target_, a.node->output) > 0;
  int64_t scores_from = 0;
  for (AttentionWork& work : works) {
    if (work.softmax.chunk.first == 0) {
      if (work.head > 0) emit_blocks(turns, (h.op->kv_heads + work.head * h.group) * h.vectors);
      rotate_queries(a, work.head, 1, 0);
      quantize_queries(h, a.queries, a.query, work.head, 0);
      scores_from = clock_.now() + kQueryCycles;
    }
    const bool is_late = ends_late && &work == &works.back();
    if (turns.before && (is_late || turns.sums_from <= scores_from)) finish_work(turns);
    if (is_late) break;
    emit_blocks_until(a, scores_from);
    clock_.wait_until(scores_from);
    begin_work(turns, work);
  }
  if (!ends_late) finish_work(turns);
  release_passes();
  CHECK(waiting_next_ == waiting_.size());
  if (!ends_late) return;
  const TurnClock clock = clock_;
  size_t first = out_.program.operations.size();
  begin_work(turns, works.back());
  late_steps_.push_back(take_back_step(first, std::max(scores_from, clock.now() + kDrainCycles)));
  finish_work(turns);
  late_steps_.push_back(take_back_step(first, turns.softmax_cycles));
  for (LateStep& step : late_steps_) step.vectors = turns.cache_vectors;
  clock_ = clock;
}

// What was emitted from `first` on, products and the passes behind them, for later.
Lowering::LateStep Lowering::take_back_step(size_t first, int64_t from) {
  std::vector<VectorOperation> products = take_back(first);
  return {std::move(products), std::exchange(held_passes_, {}), from};
}

// One of an attention's late steps; the time of the next one counts from its end.
void Lowering::emit_late_step() {
  const LateStep step = std::move(late_steps_.front());
  late_steps_.pop_front();
  for (const VectorOperation& operation : step.operations) emit(operation);
  for (const VectorOperation& operation : step.passes) held_passes_.push_back(operation);
  clock_.load(step.vectors);
  if (!late_steps_.empty()) late_steps_.front().from += clock_.now();
}

void Lowering::emit_late_steps() {
  while (!late_steps_.empty()) {
    emit_late_step();
    release_passes();
  }
}

}  // namespace pianola
