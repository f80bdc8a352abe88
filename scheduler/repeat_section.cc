// Sections as copies of an earlier one, the model: same distances, streams and accumulators, a fixed period
// apart. What must hold of every copy is tested for the first ones, until nothing new can follow:
// collisions reach as far as a section is long, addresses repeat every kSectionMemories sections, and
// what is left in the FIFOs of the ports must not become less from one copy to the next.
#include <algorithm>
#include <map>

#include "scheduler/placer.h"

namespace pianola {
namespace {

constexpr int kPeriodAttemptsMax = 32;
constexpr int kModelsMax = 4;       // sections that are tried as models
constexpr int64_t kPaceSlack = 256;  // a copy may be slower by this part
constexpr int64_t kPeriodSearchCycles = int64_t{1} << 22;
constexpr int kCollisionsMax = 1000;  // before a copy is given up
constexpr int kShownCopies = 4;  // for which nothing is reserved, before the others are a stretch

bool same(const TimedNest& a, const TimedNest& b) {
  return a.count == b.count && a.period == b.period;
}

bool same(const PlacedInstruction& a, const PlacedInstruction& b) {
  return a.queue == b.queue && a.mask == b.mask && a.first == b.first && a.count == b.count &&
         a.period == b.period && a.instruction.index() == b.instruction.index();
}

bool same(const StreamUse& a, const StreamUse& b) {
  return a.dir == b.dir && a.width == b.width && a.from == b.from && a.to == b.to &&
         a.drive == b.drive && a.twin == b.twin && same(a.nest, b.nest);
}

bool same(const MemoryUse& a, const MemoryUse& b) {
  return a.write == b.write && a.slice == b.slice && a.bank == b.bank && a.offset == b.offset &&
         a.step == b.step && a.reach_low == b.reach_low && a.reach_high == b.reach_high &&
         same(a.nest, b.nest);
}

bool same(const ChainUse& a, const ChainUse& b) {
  return a.chain == b.chain && a.issue == b.issue && a.middle == b.middle && a.back == b.back &&
         a.accumulate == b.accumulate && (a.group < 0) == (b.group < 0) &&
         a.closes_group == b.closes_group && a.accumulator == b.accumulator &&
         a.accumulator_step == b.accumulator_step && same(a.nest, b.nest);
}

bool same(const PortUse& a, const PortUse& b) {
  return a.port == b.port && a.offset == b.offset && a.vectors == b.vectors &&
         same(a.nest, b.nest);
}

template <typename T, typename F>
bool same_all(const std::vector<T>& a, const std::vector<T>& b, F&& part) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](const T& x, const T& y) { return same(part(x), part(y)); });
}

// Whether two stencils take the same at the same distances: all but addresses and data.
bool same_shape(const Stencil& a, const Stencil& b) {
  const auto itself = [](const auto& x) -> const auto& { return x; };
  return same_all(a.parts, b.parts, [](const Part& p) -> const PlacedInstruction& {
           return p.instruction;
         }) &&
         same_all(a.streams, b.streams, itself) && same_all(a.memory, b.memory, itself) &&
         same_all(a.chains, b.chains, itself) && same_all(a.ports, b.ports, itself) &&
         a.mxm == b.mxm && a.first_load == b.first_load && a.last_load == b.last_load &&
         a.last_mac == b.last_mac && a.last_swap == b.last_swap && a.sxm == b.sxm &&
         a.sxm_offset == b.sxm_offset && same(a.sxm_nest, b.sxm_nest);
}

// A row of cycles that repeats.
class CircleRow {
 public:
  explicit CircleRow(int64_t length) : length_(length) {}

  bool is_free(int64_t begin, int64_t end) const {
    for (const auto& [first, last] : taken_) {
      for (const int64_t turn : {-length_, int64_t{0}, length_}) {
        if (at(begin) < last + turn && first + turn < at(begin) + end - begin) return false;
      }
    }
    return true;
  }
  void take(int64_t begin, int64_t end) { taken_.emplace_back(at(begin), at(begin) + end - begin); }

 private:
  int64_t at(int64_t cycle) const { return (cycle % length_ + length_) % length_; }

  int64_t length_;
  std::vector<std::pair<int64_t, int64_t>> taken_;
};

int64_t first_effect(const std::vector<Placed>& section) {
  int64_t first = INT64_MAX;
  for (const Placed& p : section) first = std::min(first, p.base + p.stencil.earliest_offset);
  return first;
}

int64_t last_effect(const std::vector<Placed>& section) {
  int64_t last = 0;
  for (const Placed& p : section) last = std::max(last, p.base + p.stencil.finish);
  return last;
}

}  // namespace

Status Placer::place_section(int section, std::vector<Placed>* kept) {
  if (kept) kept->clear();
  const int end = section_end(program_, section);
  for (int i = program_.sections[section].first; i < end; ++i) TRY_STATUS(place(i, kept));
  return Ok{};
}

// Sections are placed by themselves until one of them repeats at nearly the pace at which it followed the
// one before it, which the first one can not tell; in the end at any pace.
Status Placer::place_run(const SectionRun& run) {
  std::vector<Placed> model, copy;
  TRY_STATUS(place_section(run.first, &model));
  int64_t before = model.back().base;
  TRY_STATUS(place_section(run.first + 1, &model));
  int alike = 2;
  const auto is_alike = [&](int i) {
    return (i >= 2 + kSectionMemories &&
            same_sections(program_, run.first + i - kSectionMemories, run.first + i)) ||
           copy_section(model, run.first + i, copy);
  };
  while (alike < run.count && is_alike(alike)) ++alike;
  copy = std::vector<Placed>();  // they take much memory
  for (int placed = 2; placed < run.count; ++placed) {
    const int left = alike - placed;
    if (left >= kSectionRunMin - 2) {
      reservations_.close(first_effect(model));
      const int64_t pace = model.back().base - before;
      const bool last = placed == 1 + kModelsMax || left == kSectionRunMin - 2;
      const int64_t limit = last ? kPeriodSearchCycles : pace + pace / kPaceSlack;
      if (repeat({run.first + placed - 2, left + 2}, model, limit)) {
        placed += left - 1;
        continue;
      }
    }
    before = model.back().base;
    TRY_STATUS(place_section(run.first + placed, &model));
  }
  return Ok{};
}

// The operations of a section, at the places of the model's; false if they are not the same work.
bool Placer::copy_section(const std::vector<Placed>& model, int section,
                          std::vector<Placed>& copy) const {
  copy.clear();
  const int first = program_.sections[section].first;
  if (section_end(program_, section) - first != static_cast<int>(model.size())) return false;
  for (size_t i = 0; i < model.size(); ++i) {
    const int operation = first + static_cast<int>(i);
    Placed placed = {operation,
                     build_stencil(program_, program_.operations[operation], target_,
                                   model[i].options),
                     model[i].base, model[i].options};
    const Stencil& other = model[i].stencil;
    if (!same_shape(placed.stencil, other)) return false;
    placed.stencil.alone = other.alone;
    placed.stencil.continues = other.continues;
    placed.stencil.streams_chosen = true;
    for (size_t s = 0; s < other.streams.size(); ++s) {
      placed.stencil.streams[s].chosen = other.streams[s].chosen;
    }
    copy.push_back(std::move(placed));
  }
  return true;
}

// Gives the groups of the copy numbered `turn` the accumulators that were chosen for them.
void Placer::set_accumulators(const std::vector<Placed>& copy,
                              const std::vector<AccumulatorStay>& stays, int turn) {
  std::map<AccumulatorGroup, size_t> order;
  for (const Placed& p : copy) {
    for (const ChainUse& use : p.stencil.chains) {
      if (use.group >= 0) order[use.group] = 0;
    }
  }
  size_t next = 0;
  for (auto& [group, index] : order) {
    const AccumulatorStay& stay = stays[next++];
    groups_[group] = {stay.chain, stay.base[turn % kSectionMemories], INT64_MAX};
  }
}

// How much later than the model the copy may happen, as far as what came before decides.
int64_t Placer::least_shift(const std::vector<Placed>& copy) const {
  int64_t shift = 1;
  for (const Placed& p : copy) shift = std::max(shift, dependence_base(p.stencil) - p.base);
  return shift;
}

// When the model's groups are in the accumulators, in the order of the groups.
std::vector<Placer::AccumulatorStay> Placer::accumulator_stays(
    const std::vector<Placed>& model) const {
  std::map<AccumulatorGroup, AccumulatorStay> stays;
  for (const Placed& p : model) {
    for (const ChainUse& use : p.stencil.chains) {
      if (use.group < 0) continue;
      const int64_t first = p.base + use.accumulate, last = first + use.nest.span();
      AccumulatorStay& stay =
          stays.emplace(use.group, AccumulatorStay{use.chain, accumulators_of(use.group), first,
                                                   last, {-1, -1}})
              .first->second;
      stay.first = std::min(stay.first, first);
      stay.last = std::max(stay.last, last);
    }
  }
  std::vector<AccumulatorStay> out;
  for (const auto& [group, stay] : stays) out.push_back(stay);
  return out;
}

// Whether nothing before the run's copies is in the accumulators at the time of this stay.
bool Placer::accumulators_free(const AccumulatorStay& stay, int base, int64_t shift) const {
  const int64_t add = latency_vxm_add(target_.lanes);
  const auto& file = state_.accumulators[static_cast<size_t>(stay.chain)];
  for (int a = base; a < base + stay.count; ++a) {
    for (const auto& [first, last] : file[static_cast<size_t>(a)].stays) {
      if (stay.first + shift < last + add && first < stay.last + shift + add) return false;
    }
  }
  return true;
}

// Gives the groups of every second copy the same accumulators: what two copies of them use together is then
// repeated every two periods. False: they do not suffice.
bool Placer::choose_accumulators(std::vector<AccumulatorStay>& stays, int64_t period) const {
  const int64_t circle = kSectionMemories * period, add = latency_vxm_add(target_.lanes);
  // By chain and accumulator: what is taken of the circle.
  std::vector<std::vector<CircleRow>> taken(
      state_.accumulators.size(),
      std::vector<CircleRow>(static_cast<size_t>(target_.vxm_accumulators), CircleRow(circle)));
  for (int turn = 0; turn < kSectionMemories; ++turn) {
    for (AccumulatorStay& stay : stays) {
      if (stay.last + add - stay.first > circle) return false;
      auto& rows = taken[static_cast<size_t>(stay.chain)];
      const int64_t begin = stay.first + turn * period, end = stay.last + add + turn * period;
      int base = 0, free = 0;
      for (; base + stay.count <= target_.vxm_accumulators && free < stay.count; ++base) {
        for (free = 0; free < stay.count && rows[base + free].is_free(begin, end);) ++free;
        if (free == stay.count && !accumulators_free(stay, base, (turn + 1) * period)) free = 0;
        if (free == stay.count) break;
      }
      if (free < stay.count) return false;
      for (int a = base; a < base + stay.count; ++a) rows[a].take(begin, end);
      stay.base[turn] = base;
    }
  }
  return true;
}

// The first shift from `shift` to `limit` at which the copy fits, with everything reserved; -1: none.
int64_t Placer::reserve_copy(std::vector<Placed>& copy, int64_t shift, int64_t limit,
                             Journal& journal) {
  std::vector<PortLoad> loads;
  for (const Placed& p : copy) loads.push_back({&p.stencil, word_offsets(p.stencil), p.base});
  // What the ports deliver in time at one shift they mostly deliver at later ones.
  const int64_t first = loads.empty() ? 0 : first_effect(copy);
  for (int64_t skip; shift <= limit && (skip = state_.ports.wait_again(loads, shift)) > 0;) {
    if (first + shift > state_.ports.full_from()) return -1;
    shift += skip;
  }
  size_t start = 0;  // with what collided last
  for (int collisions = 0; shift <= limit && collisions < kCollisionsMax; ++collisions) {
    journal.clear();
    int64_t skip = 0;
    for (size_t i = 0; i < copy.size() && skip == 0; ++i) {
      const size_t index = (start + i) % copy.size();
      if (reservations_.reserve(copy[index].stencil, copy[index].base + shift, journal)) continue;
      skip = reservations_.skip();
      start = index;
    }
    if (skip == 0) skip = state_.ports.wait_again(loads, shift);
    if (skip == 0) return shift;
    reservations_.undo(journal);
    shift += skip;
  }
  journal.clear();
  return -1;
}

// What each port's FIFO holds when a copy at `shift` begins to take from it.
PortRates::Levels Placer::port_levels(const std::vector<Placed>& model, int64_t shift) const {
  PortRates::Levels levels;
  levels.fill(INT64_MIN);
  for (const Placed& p : model) state_.ports.note_levels(p.stencil, p.base + shift, levels);
  return levels;
}

// Up to which section of the run copies are reserved, and not only written down: the last one has the
// memory of the run's last section, so that what follows meets the same addresses.
int Placer::reserved_sections(const SectionRun& run, const std::vector<Placed>& model,
                              int64_t period) const {
  const int64_t length = last_effect(model) - first_effect(model) + 2 * target_.positions();
  const int64_t reach = std::max<int64_t>(length / period + 1, kSectionMemories);
  int last = static_cast<int>(std::min<int64_t>(run.count - 1, 2 + reach));
  while ((run.count - 1 - last) % kSectionMemories != 0) ++last;
  return std::min(last, run.count - 1);
}

// Copies at `period` or the next longer one at which the first copy fits. False: another copy does not
// fit, `period` is what to try next.
bool Placer::try_period(const SectionRun& run, const std::vector<Placed>& model, int64_t& period,
                        int64_t limit, std::vector<AccumulatorStay>& stays) {
  const State before = state_;
  const std::vector<size_t> written = queue_sizes();
  const size_t placements = schedule_.placements.size();
  const int64_t end = schedule_.end;
  std::vector<Journal> journals;
  std::vector<Placed> copy;
  const auto give_up = [&] {
    for (const Journal& journal : journals) reservations_.undo(journal);
    state_ = before;
    for (size_t q = 0; q < written.size(); ++q) {
      schedule_.queues[q].erase(schedule_.queues[q].begin() + static_cast<ptrdiff_t>(written[q]),
                                schedule_.queues[q].end());
    }
    schedule_.placements.resize(placements);
    schedule_.end = end;
    ++period;
    return false;
  };
  int last = run.count - 1;
  PortRates::Levels levels{};
  for (int i = 2; i <= last; ++i) {
    CHECK(copy_section(model, run.first + i, copy));
    const int64_t least = std::max(least_shift(copy), i == 2 ? period : (i - 1) * period);
    if (i > 2 && least > (i - 1) * period) {
      period = (least - 1) / (i - 1);
      return give_up();
    }
    const int64_t shift =
        reserve_copy(copy, least, i == 2 ? limit : least, journals.emplace_back());
    if (shift < 0) {
      if (i == 2) period = limit;
      return give_up();
    }
    if (i == 2) {
      period = shift;
      last = reserved_sections(run, model, period);
      if (!choose_accumulators(stays, period)) return give_up();
    }
    set_accumulators(copy, stays, i);
    levels = port_levels(model, shift);
    for (const Placed& p : copy) {
      note(p.stencil, p.base + shift);
      emit(p.stencil, p.base + shift, p.operation);
    }
  }
  const int64_t short_of = state_.ports.cycles_between(levels, port_levels(model, last * period));
  if (short_of > 0) {
    period += short_of - 1;
    return give_up();
  }
  return true;
}

// Sections from the third of the run on, copies of the second; false if not at a period of at most `limit`.
bool Placer::repeat(const SectionRun& run, const std::vector<Placed>& model, int64_t limit) {
  int64_t period = 1;
  std::vector<AccumulatorStay> stays = accumulator_stays(model);
  for (int attempt = 1; !try_period(run, model, period, limit, stays); ++attempt) {
    if (attempt == kPeriodAttemptsMax || period > limit) return false;
    period += period / 1024;
  }
  repeat_rest(run, model, stays, period);
  return true;
}

// The copies for which nothing is reserved. If they do the same in the same words as those kSectionMemories
// before them, some are shown and the others are a stretch of the schedule.
void Placer::repeat_rest(const SectionRun& run, const std::vector<Placed>& model,
                         const std::vector<AccumulatorStay>& stays, int64_t period) {
  const int last = reserved_sections(run, model, period);
  int shown = std::min(last + kShownCopies, run.count - 1);
  for (int i = shown + 1; i < run.count && shown < run.count - 1; ++i) {
    if (!same_sections(program_, run.first + i - kSectionMemories, run.first + i)) {
      shown = run.count - 1;
    }
  }
  Schedule::Stretch rest;
  std::vector<Placed> copy;
  for (int i = last + 1; i <= shown; ++i) {
    if (i == shown + 1 - kSectionMemories) rest.from = queue_sizes();
    CHECK(copy_section(model, run.first + i, copy));
    set_accumulators(copy, stays, i);
    for (const Placed& p : copy) emit(p.stencil, p.base + (i - 1) * period, p.operation);
  }
  if (shown < run.count - 1) {
    rest.to = queue_sizes();
    rest.begin = first_effect(model) + (shown - kSectionMemories) * period + skipped_;
    rest.length = kSectionMemories * period;
    rest.times = (run.count - 1 - shown) / kSectionMemories;
    for (int i = shown + 1; i < run.count; ++i) {
      for (size_t k = 0; k < model.size(); ++k) {
        note_placement(program_.sections[run.first + i].first + static_cast<int>(k),
                       model[k].base + (i - 1) * period + skipped_, model[k].stencil.finish);
      }
    }
    stretched_ += rest.times * rest.length;
    schedule_.stretches.push_back(std::move(rest));
  }
  skipped_ += (shown - last) * period;
}

std::vector<size_t> Placer::queue_sizes() const {
  std::vector<size_t> sizes;
  for (const auto& queue : schedule_.queues) sizes.push_back(queue.size());
  return sizes;
}

}  // namespace pianola
