#include "scheduler/placer.h"

#include <algorithm>
#include <span>
#include <utility>

namespace pianola {
namespace {

constexpr int64_t kSearchCyclesMax = int64_t{1} << 20;

// A dense nest keeps others out of its gaps, unless that would delay it by more than this.
constexpr int64_t kDensePatienceCycles = 64;

// Cycles from one iteration of a stretched pass's second level to the next: products with tiles from the tape have
// sums as often.
constexpr int kStretchedPeriod = 8;
constexpr int kStretchedCountMin = 4;

// Instructions are counted in windows of so many cycles: few words, compared with what a queue holds.
constexpr int64_t kWindowCycles = 128;
constexpr int64_t kWordBytes = 32;

// How much later than possible a product may come to follow the one before it as that followed another.
constexpr int64_t kRhythmSlack = 24;

int word_of(const MemoryUse& use, int offset) {
  return use.address + ((use.row + offset) >> use.rows);
}

// The words low .. high - 1 that a use may reach.
void interval(const MemoryUse& use, int& low, int& high) {
  int first = use.reach_low, last = use.reach_high;
  for (int level = 0; level < 3; ++level) {
    const int reach = (use.nest.count[level] - 1) * use.step[level];
    (reach < 0 ? first : last) += reach;
  }
  low = word_of(use, first);
  high = word_of(use, last) + 1;
}

void set_stream(AnyInstruction& instruction, const Part::Link& link, const StreamUse& use,
                int streams) {
  const uint32_t stream = static_cast<uint32_t>(use.chosen);
  switch (link.field) {
    case StreamField::MemStream: {
      std::get<MemInstruction>(instruction).stream =
          static_cast<uint32_t>((use.chosen + link.lane - link.slice + streams) % streams);
      return;
    }
    case StreamField::X: std::get<VxmInstruction>(instruction).x_stream = stream; return;
    case StreamField::Y: std::get<VxmInstruction>(instruction).y_stream = stream; return;
    case StreamField::Z: std::get<VxmInstruction>(instruction).z_stream = stream; return;
    case StreamField::VxmOut: std::get<VxmInstruction>(instruction).out_stream = stream; return;
    case StreamField::Load: std::get<MxmLoadInstruction>(instruction).stream = stream; return;
    case StreamField::Mac: std::get<MxmMacInstruction>(instruction).stream = stream; return;
    case StreamField::MacOut:
      std::get<MxmMacInstruction>(instruction).out_stream = stream;
      return;
    case StreamField::Sxm: std::get<SxmInstruction>(instruction).stream = stream; return;
    case StreamField::SxmOut: std::get<SxmInstruction>(instruction).out_stream = stream; return;
    case StreamField::Recv: std::get<PortRecvInstruction>(instruction).out_stream = stream; return;
    case StreamField::Send: std::get<PortSendInstruction>(instruction).stream = stream; return;
  }
}

// Whether an operation does nothing but load a group's accumulators for the next one.
bool opens_group(const VectorOperation& operation) {
  const auto* pass = std::get_if<VxmOperation>(&operation);
  return pass && pass->group >= 0 && !pass->closes_group && pass->writes.empty() &&
         pass->pass.acc_op == VxmAccOp::Load;
}

// Whether a pass walks so much that it may be worth while to let others in between: then it need not wait for
// them, nor they for it.
bool stretches(const VectorOperation& operation, const Target& target) {
  const auto* pass = std::get_if<VxmOperation>(&operation);
  return target.vxm_chains == 1 && pass && pass->nest.count[1] >= kStretchedCountMin;
}

std::span<const VxmOperation> passes_of(const VectorOperation& operation) {
  if (const auto* pass = std::get_if<VxmOperation>(&operation)) return {pass, 1};
  if (const auto* product = std::get_if<MatmulOperation>(&operation)) return product->consumers;
  return {};
}

}  // namespace

Placer::Placer(const VectorProgram& program, const Target& target, const PlaceOptions& options)
    : program_(program),
      target_(target),
      reservations_(target, options.dense_gap),
      state_{MemoryOrder(target.slices(), target.words_per_slice),
             std::vector(target.vxm_chains, std::vector<Accumulator>(target.vxm_accumulators)),
             std::vector<Mxm>(target.mxm_positions.size()),
             std::vector<Rhythm>(target.mxm_positions.size()),
             PortRates(target, options.memory_permille),
             {}},
      groups_(program.accumulator_groups.size()),
      window_words_max_(kWindowCycles * target.instruction_bytes_per_cycle *
                        options.instruction_percent / (100 * kWordBytes)) {
  schedule_.queues.resize(target.queues.size());
}

// The operation at its earliest place on this chain of the VXM, reserved and in journal_; base -1: there is none.
Placed Placer::find_place(int index, int chain, int pass_period) {
  const VectorOperation& operation = program_.operations[index];
  StencilOptions options;
  options.chain = chain;
  options.pass_period = pass_period;
  Stencil stencil = build_stencil(program_, operation, target_, options);
  int64_t base = find_alone(stencil);
  const auto* matmul = std::get_if<MatmulOperation>(&operation);
  const int sustained = sustained_load_period(target_);
  if (matmul && matmul->source == TileSource::Tape && sustained > 1) {
    options.tape_load_period = sustained;
    Stencil slower = build_stencil(program_, operation, target_, options);
    // Loads as fast as the MXM takes them need a backlog in the FIFO; without one, waiting for it
    // may take longer than loading as the tape comes in.
    const int64_t limit = base < 0 ? INT64_MAX : base + stencil.last_mac - slower.last_mac;
    if (base >= 0) reservations_.undo(journal_);
    const int64_t other = find_alone(slower, limit);
    if (other >= 0 && other < limit) {
      stencil = std::move(slower);
      base = other;
    } else {
      options.tape_load_period = 1;
      if (base >= 0) hold(stencil, base);
    }
  }
  return {index, std::move(stencil), base, options};
}

// The chain that holds the accumulators which the operation goes on with, or -1.
int Placer::chain_of_group(const VectorOperation& operation) const {
  for (const VxmOperation& pass : passes_of(operation)) {
    if (pass.group >= 0 && groups_[pass.group].first_use != INT64_MAX) return groups_[pass.group].chain;
  }
  return -1;
}

// On whichever chain it can be earliest, or in whichever form it ends first. What loads accumulators for the
// next one says nothing about that.
Placed Placer::find_place(int index) {
  const VectorOperation& operation = program_.operations[index];
  const std::span<const VxmOperation> passes = passes_of(operation);
  if (passes.empty()) return find_place(index, -1);
  const int fixed = chain_of_group(operation), own = fixed >= 0 ? fixed : passes.front().chain;
  Placed best = find_place(index, own);
  const auto prefer = [&](int chain, int pass_period, auto&& better) {
    give_up(best);
    Placed other = find_place(index, chain, pass_period);
    if (other.base >= 0 && (best.base < 0 || better(other, best))) {
      best = std::move(other);
    } else {
      give_up(other);
      best = find_place(index, best.options.chain, best.options.pass_period);
    }
  };
  if (stretches(operation, target_)) {
    prefer(own, kStretchedPeriod, [](const Placed& a, const Placed& b) {
      return a.base + a.stencil.finish < b.base + b.stencil.finish;
    });
  }
  if (fixed >= 0 || opens_group(operation) || passes.front().stays_on_chain) return best;
  for (int chain = 0; chain < target_.vxm_chains; ++chain) {
    if (chain == own) continue;
    prefer(chain, 1, [](const Placed& a, const Placed& b) { return a.base < b.base; });
  }
  return best;
}

// Takes back what was found for an operation: its reservations, and the accumulators that groups were given.
void Placer::give_up(const Placed& placed) {
  if (placed.base >= 0) reservations_.undo(journal_);
  journal_.clear();
  for (const ChainUse& use : placed.stencil.chains) {
    if (use.group < 0 || groups_[use.group].base < 0 || groups_[use.group].first_use != INT64_MAX) continue;
    Group& group = groups_[use.group];
    if (!is_brief(placed.stencil)) {
      auto& file = state_.accumulators[static_cast<size_t>(group.chain)];
      for (int a = group.base; a < group.base + accumulators_of(use.group); ++a) file[a].taken = false;
    }
    group = Group{};
  }
}

Status Placer::place(int index, std::vector<Placed>* kept) {
  const VectorOperation& operation = program_.operations[index];
  Placed placed = find_place(index);
  if (placed.base < 0) return no_place(index);
  Stencil& stencil = placed.stencil;
  // The search for another stencil may have been the last one that gave the group its accumulators.
  if (is_brief(stencil)) CHECK(choose_brief(stencil.chains.front(), placed.base));
  const auto* matmul = std::get_if<MatmulOperation>(&operation);
  if (matmul && matmul->source == TileSource::Tape) {
    placed.base = keep_rhythm(*matmul, stencil, placed.options.tape_load_period, placed.base);
  }
  note(stencil, placed.base);
  if (opens_group(operation)) {
    waiting_ = std::move(placed);
    std::swap(waiting_journal_, journal_);
    return Ok{};
  }
  if (waiting_) {
    move_later(placed);
    finish(std::move(*waiting_), kept);
    waiting_.reset();
  }
  finish(std::move(placed), kept);
  return Ok{};
}

// Products at one distance need few instructions: those of several become iterations of one. So a product
// waits a little, if that keeps the distance.
int64_t Placer::keep_rhythm(const MatmulOperation& product, Stencil& stencil, int load_period,
                            int64_t base) {
  Rhythm& rhythm = state_.rhythms[static_cast<size_t>(product.mxm)];
  const Rhythm before = rhythm;
  const bool alike = before.tiles == product.tiles && before.windows == product.windows &&
                     before.load_period == load_period;
  const int64_t regular = before.base + before.distance;
  if (alike && base < regular && regular <= base + kRhythmSlack) {
    const PortLoad load = {&stencil, word_offsets(stencil), 0};
    if (state_.ports.wait(load, regular) == 0 && word_wait(load.words, regular) == 0) {
      const Stencil chosen = stencil;
      reservations_.undo(journal_);
      journal_.clear();
      if (reservations_.reserve(stencil, regular, journal_) &&
          (!is_brief(stencil) || choose_brief(stencil.chains.front(), regular))) {
        base = regular;
      } else {
        reservations_.undo(journal_);
        stencil = chosen;
        hold(stencil, base);
      }
    }
  }
  stencil.continues = alike && before.distance > 0 && base == regular;
  rhythm = {product.tiles, product.windows, load_period, base, alike ? base - before.base : 0};
  return base;
}

// Reserves what was found to be free.
void Placer::hold(Stencil& stencil, int64_t base) {
  journal_.clear();
  CHECK(reservations_.reserve(stencil, base, journal_));
}

void Placer::finish(Placed placed, std::vector<Placed>* kept) {
  emit(placed.stencil, placed.base, placed.operation);
  if (kept) kept->push_back(std::move(placed));
}

// What waits moves to the last place before the accumulators are needed by what comes next: until then
// they are of use to others.
void Placer::move_later(const Placed& next) {
  Placed& placed = *waiting_;
  const ChainUse& opening = placed.stencil.chains.front();
  int64_t needed = INT64_MAX;
  for (const ChainUse& use : next.stencil.chains) {
    if (use.group == opening.group) needed = std::min(needed, next.base + use.accumulate);
  }
  CHECK(needed < INT64_MAX);
  const int64_t ready = opening.accumulate + opening.nest.span() + latency_vxm_add(target_.lanes);
  reservations_.undo(waiting_journal_);
  for (int64_t base = needed - ready; base > placed.base; --base) {
    waiting_journal_.clear();
    if (reservations_.reserve(placed.stencil, base, waiting_journal_)) {
      placed.base = base;
      groups_[opening.group].first_use = INT64_MAX;
      note(placed.stencil, base);
      return;
    }
    reservations_.undo(waiting_journal_);
  }
  waiting_journal_.clear();
  CHECK(reservations_.reserve(placed.stencil, placed.base, waiting_journal_));
}

Error Placer::no_place(int index) const {
  VectorProgram one;
  one.arrays = program_.arrays;
  one.operations = {program_.operations[index]};
  std::string text = to_text(one);
  text = text.substr(text.find_last_of('\n', text.size() - 2) + 1);
  return Error{ErrorCode::OutOfRange,
               "operation " + std::to_string(index) + " finds no place: " + text +
                   "its operands collide with each other, or accumulators of the VXM (" +
                   std::to_string(target_.vxm_accumulators) + ") run out",
               "scheduler, target " + target_.name};
}

// As find, with dense nests alone in their queues where that costs little.
int64_t Placer::find_alone(Stencil& stencil, int64_t limit) {
  stencil.alone = false;
  const int64_t mixed = find(stencil, 0, limit);
  if (mixed < 0 || !reservations_.has_dense(stencil)) return mixed;
  reservations_.undo(journal_);
  stencil.alone = true;
  const int64_t alone = find(stencil, mixed, std::min(limit, mixed + kDensePatienceCycles));
  if (alone >= 0) return alone;
  stencil.alone = false;
  return find(stencil, mixed, limit);  // again, because the choice of streams belongs to the place
}

// Earliest base from `from` on and below `limit`, with the stencil reserved there and in journal_; or -1.
int64_t Placer::find(Stencil& stencil, int64_t from, int64_t limit) {
  const bool brief = is_brief(stencil);
  if (brief) groups_[stencil.chains.front().group].base = -1;
  const int64_t earliest = earliest_base(stencil);
  if (earliest < 0 || !state_.ports.can_serve(stencil)) return -1;
  const PortLoad load = {&stencil, word_offsets(stencil), 0};
  for (int64_t base = std::max(from, earliest); base < earliest + kSearchCyclesMax && base < limit; ++base) {
    const int64_t skip = std::max(state_.ports.wait(load, base), word_wait(load.words, base));
    if (skip > 0) {
      base += skip - 1;
      continue;
    }
    journal_.clear();
    const bool fits = reservations_.reserve(stencil, base, journal_);
    if (fits && (!brief || choose_brief(stencil.chains.front(), base))) return base;
    reservations_.undo(journal_);
    if (!fits) base += reservations_.skip() - 1;
  }
  return -1;
}

int64_t Placer::earliest_base(Stencil& stencil) {
  int64_t base = std::max(-stencil.earliest_offset, dependence_base(stencil));
  if (is_brief(stencil)) return base;
  for (ChainUse& use : stencil.chains) {
    if (use.group < 0) continue;
    const int64_t ready = accumulator_base(use, base);
    if (ready < 0) return -1;
    base = std::max(base, ready);
  }
  return base;
}

// What data, tiles and the order of the ports demand.
int64_t Placer::dependence_base(const Stencil& stencil) const {
  int64_t base = INT64_MIN;
  for (const MemoryUse& use : stencil.memory) base = std::max(base, memory_base(use));
  if (stencil.mxm >= 0) {
    const Mxm& mxm = state_.mxms[stencil.mxm];
    base = std::max({base, mxm.last_swap - stencil.first_load,
                     mxm.last_load + 1 - stencil.first_load,
                     mxm.last_mac + 1 - stencil.first_mac});
  }
  return std::max(base, state_.ports.earliest_base(stencil));
}

int64_t Placer::memory_base(const MemoryUse& use) const {
  int64_t base = 0;
  if (use.reach_high != use.reach_low || use.reach_low != 0) {
    int low = 0, high = 0;
    interval(use, low, high);
    const int64_t ready = use.write ? state_.order.write_from(use.slice, low, high)
                                    : state_.order.read_from(use.slice, low, high);
    return ready - use.offset;
  }
  for_each_iteration(use.nest, [&](int64_t time, int i1, int i2, int i3) {
    const int word = word_of(use, i1 * use.step[0] + i2 * use.step[1] + i3 * use.step[2]);
    const int64_t ready = use.write ? state_.order.write_from(use.slice, word, word + 1)
                                    : state_.order.read_from(use.slice, word, word + 1);
    base = std::max(base, ready - use.offset - time);
    return true;
  });
  return base;
}

// Gives the group its accumulators, if it has none yet, and says from which base they are free.
int64_t Placer::accumulator_base(ChainUse& use, int64_t base) {
  Group& group = groups_[use.group];
  std::vector<Accumulator>& file = state_.accumulators[use.chain];
  if (group.base < 0) {
    const int size = accumulators_of(use.group);
    int64_t best = INT64_MAX;
    for (int first = 0; first + size <= static_cast<int>(file.size()); ++first) {
      int64_t free_at = 0;
      bool taken = false;
      for (int a = first; a < first + size && !taken; ++a) {
        taken = file[a].taken;
        free_at = std::max(free_at, file[a].last_use);
      }
      // What is free by the time that the operands are there is as good as anything.
      free_at = std::max(free_at, base + use.accumulate);
      if (!taken && free_at < best) {
        best = free_at;
        group = {use.chain, first, INT64_MAX};
      }
    }
    if (group.base < 0) return -1;
    for (int a = group.base; a < group.base + size; ++a) file[a].taken = true;
  }
  CHECK(group.chain == use.chain);
  return accumulators_ready(use);
}

// Whether the operation opens and closes its group, so that it is known how long accumulators are in use:
// then those between two others' stays will do.
bool Placer::is_brief(const Stencil& stencil) const {
  if (stencil.chains.size() != 1) return false;
  const ChainUse& use = stencil.chains.front();
  if (use.group < 0 || !use.closes_group) return false;
  return groups_[use.group].first_use == INT64_MAX;
}

// Gives the group of a brief use the first accumulators that nothing else has in the meantime; false: none.
bool Placer::choose_brief(const ChainUse& use, int64_t base) {
  const int64_t add = latency_vxm_add(target_.lanes);
  const int64_t begin = base + use.accumulate - add, end = begin + use.nest.span() + 2 * add;
  const std::vector<Accumulator>& file = state_.accumulators[use.chain];
  const int size = accumulators_of(use.group);
  const auto is_free = [&](const Accumulator& a) {
    if (a.taken) return false;
    const auto later = std::partition_point(a.stays.begin(), a.stays.end(),
                                            [&](const auto& stay) { return stay.second <= begin; });
    return later == a.stays.end() || later->first >= end;
  };
  for (int first = 0, free = 0; first + free < static_cast<int>(file.size());) {
    if (!is_free(file[first + free])) {
      first += free + 1;
      free = 0;
    } else if (++free == size) {
      groups_[use.group] = {use.chain, first, INT64_MAX};
      return true;
    }
  }
  return false;
}

// From which base the group's accumulators hold what the operation needs.
int64_t Placer::accumulators_ready(const ChainUse& use) const {
  const std::vector<Accumulator>& file = state_.accumulators[use.chain];
  int64_t ready = 0;
  const int add = latency_vxm_add(target_.lanes);
  for_each_iteration(use.nest, [&](int64_t time, int i1, int i2, int i3) {
    const Accumulator& a = file[accumulator_number(use, i1, i2, i3)];
    ready = std::max(ready, a.last_use + add - use.accumulate - time);
    return true;
  });
  return ready;
}

int Placer::accumulator_number(const ChainUse& use, int i1, int i2, int i3) const {
  return groups_[use.group].base + use.accumulator + i1 * use.accumulator_step[0] +
         i2 * use.accumulator_step[1] + i3 * use.accumulator_step[2];
}

// First issues of the operation's instruction words, ascending: slices of one position that start
// together share a word.
std::vector<int64_t> Placer::word_offsets(const Stencil& stencil) const {
  if (window_words_max_ == 0 && target_.memory_bytes_per_cycle == 0) return {};
  if (stencil.continues) return {};
  std::vector<std::array<int64_t, 3>> words;  // first issue, what may be shared
  for (const Part& part : stencil.parts) {
    const QueueInfo& info = target_.queues[part.instruction.queue];
    const bool memory = info.kind == QueueKind::MemRead || info.kind == QueueKind::MemWrite;
    words.push_back({part.instruction.first, static_cast<int64_t>(info.kind),
                     memory ? info.position : part.instruction.queue});
  }
  std::sort(words.begin(), words.end());
  words.erase(std::unique(words.begin(), words.end()), words.end());
  std::vector<int64_t> offsets;
  for (const auto& word : words) offsets.push_back(word[0]);
  return offsets;
}

// Cycles that the base must wait at least for a window with room for the words; 0: none. An empty
// window takes any number.
int64_t Placer::word_wait(const std::vector<int64_t>& offsets, int64_t base) const {
  if (window_words_max_ == 0) return 0;
  for (size_t i = 0; i < offsets.size();) {
    const int64_t window = (base + offsets[i]) / kWindowCycles;
    size_t end = i;
    while (end < offsets.size() && (base + offsets[end]) / kWindowCycles == window) ++end;
    const auto index = static_cast<size_t>(window);
    const int64_t there = index < state_.window_words.size() ? state_.window_words[index] : 0;
    if (there > 0 && there + static_cast<int64_t>(end - i) > window_words_max_) {
      return (window + 1) * kWindowCycles - base - offsets[i];
    }
    i = end;
  }
  return 0;
}

void Placer::note(const Stencil& stencil, int64_t base) {
  for (const MemoryUse& use : stencil.memory) note_memory(use, base);
  for (const ChainUse& use : stencil.chains) note_accumulators(use, base);
  const PortLoad load = {&stencil, word_offsets(stencil), base};
  for (const int64_t offset : load.words) {
    const auto window = static_cast<size_t>((base + offset) / kWindowCycles);
    if (window >= state_.window_words.size()) state_.window_words.resize(window + 1);
    ++state_.window_words[window];
  }
  if (stencil.mxm >= 0) {
    state_.mxms[stencil.mxm] = {base + stencil.last_load, base + stencil.last_mac,
                          base + stencil.last_swap};
  }
  state_.ports.take(load);
}

void Placer::note_placement(int index, int64_t base, int64_t finish) {
  base += stretched_;
  schedule_.end = std::max(schedule_.end, base + finish);
  schedule_.placements.push_back({index, base, base + finish});
}

// Into the schedule; `base` is the real time.
void Placer::emit(const Stencil& stencil, int64_t base, int index) {
  base += skipped_;
  std::vector<PlacedInstruction> instructions;
  instructions.reserve(stencil.parts.size());
  for (const Part& part : stencil.parts) {
    PlacedInstruction instruction = part.instruction;
    for (const Part::Link& link : part.links) {
      set_stream(instruction.instruction, link, stencil.streams[link.use], target_.streams);
    }
    instruction.first += base;
    instructions.push_back(std::move(instruction));
  }
  for (const ChainUse& use : stencil.chains) {
    if (use.group < 0) continue;
    auto& instruction = instructions[static_cast<size_t>(use.part)].instruction;
    std::get<VxmInstruction>(instruction).acc += static_cast<uint32_t>(groups_[use.group].base);
  }
  for (PlacedInstruction& p : instructions) {
    schedule_.queues[static_cast<size_t>(p.queue)].push_back(std::move(p));
  }
  note_placement(index, base, stencil.finish);
}

void Placer::note_memory(const MemoryUse& use, int64_t base) {
  const int latency = latency_mem_write(target_.lanes);
  if (use.reach_high != use.reach_low || use.reach_low != 0) {
    int low = 0, high = 0;
    interval(use, low, high);
    const int64_t last = base + use.offset + use.nest.span();
    if (use.write) {
      state_.order.write_at(use.slice, low, high, last, latency);
    } else {
      state_.order.read_at(use.slice, low, high, last);
    }
    return;
  }
  for_each_iteration(use.nest, [&](int64_t time, int i1, int i2, int i3) {
    const int word = word_of(use, i1 * use.step[0] + i2 * use.step[1] + i3 * use.step[2]);
    const int64_t cycle = base + use.offset + time;
    if (use.write) {
      state_.order.write_at(use.slice, word, word + 1, cycle, latency);
    } else {
      state_.order.read_at(use.slice, word, word + 1, cycle);
    }
    return true;
  });
}

void Placer::note_accumulators(const ChainUse& use, int64_t base) {
  if (use.group < 0) return;
  std::vector<Accumulator>& file = state_.accumulators[use.chain];
  Group& group = groups_[use.group];
  group.first_use = std::min(group.first_use, base + use.accumulate);
  const int64_t last = base + use.accumulate + use.nest.span();
  for_each_iteration(use.nest, [&](int64_t time, int i1, int i2, int i3) {
    Accumulator& a = file[accumulator_number(use, i1, i2, i3)];
    a.last_use = std::max(a.last_use, base + use.accumulate + time);
    return true;
  });
  if (!use.closes_group) return;
  for (int a = group.base; a < group.base + accumulators_of(use.group); ++a) {
    file[a].taken = false;
    auto& stays = file[a].stays;
    const std::pair<int64_t, int64_t> stay = {group.first_use, last};
    stays.insert(std::upper_bound(stays.begin(), stays.end(), stay), stay);
  }
}

}  // namespace pianola
