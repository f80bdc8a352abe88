// The placer's state, and its two ways to place: an operation at the earliest base cycle where its stencil
// collides with nothing (placer.cc), and a section as a copy of an earlier one (repeat_section.cc).
// Later operations may fill gaps that earlier ones left, except where order is part of the contract:
// tape, KV and host vectors, and the tiles of one MXM.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "scheduler/memory_order.h"
#include "scheduler/port_rates.h"
#include "scheduler/reservations.h"
#include "scheduler/schedule.h"
#include "scheduler/stencil.h"

namespace pianola {

// An operation with its place: the base cycle of its stencil, streams chosen.
struct Placed {
  int operation = 0;
  Stencil stencil;
  int64_t base = 0;
  StencilOptions options;
};

class Placer {
 public:
  Placer(const VectorProgram& program, const Target& target, const PlaceOptions& options);

  Result<Schedule> run();

 private:
  struct Accumulator {
    int64_t last_use = -1000;  // entry into the accumulator stage
    bool taken = false;
    std::vector<std::pair<int64_t, int64_t>> stays;  // of groups, ascending: first and last use
  };
  struct Group {
    int chain = -1, base = -1;
    int64_t first_use = INT64_MAX;
  };
  // A group of a section that is repeated: when it is in the accumulators of its chain, and in which
  // ones, in every kSectionMemories-th copy.
  struct AccumulatorStay {
    int chain, count;
    int64_t first, last;
    std::array<int, kSectionMemories> base;
  };
  struct Mxm {
    int64_t last_load = -1, last_mac = -1, last_swap = -1;
  };
  // The latest product of an MXM with tiles from the tape, and how long after the one before it came.
  struct Rhythm {
    int tiles = 0, windows = 0, load_period = 0;
    int64_t base = 0, distance = 0;
  };
  // What the place of the next operation depends on, besides the reservations.
  struct State {
    MemoryOrder order;
    std::vector<std::vector<Accumulator>> accumulators;  // [chain][accumulator]
    std::vector<Mxm> mxms;
    std::vector<Rhythm> rhythms;        // by MXM
    PortRates ports;
    std::vector<int64_t> window_words;  // by window: instructions that begin in it
  };
  using Journal = Reservations::Journal;

  // placer.cc
  Status place(int index, std::vector<Placed>* kept);
  Placed find_place(int index);
  Placed find_place(int index, int chain, int pass_period = 1);
  void give_up(const Placed& placed);
  int chain_of_group(const VectorOperation& operation) const;
  void hold(Stencil& stencil, int64_t base);
  void finish(Placed placed, std::vector<Placed>* kept);
  void move_later(const Placed& next);
  int64_t keep_rhythm(const MatmulOperation& product, Stencil& stencil, int load_period,
                      int64_t base);
  Error no_place(int index) const;
  int64_t find_alone(Stencil& stencil, int64_t limit = INT64_MAX);
  int64_t find(Stencil& stencil, int64_t from, int64_t limit);
  int64_t earliest_base(Stencil& stencil);
  int64_t dependence_base(const Stencil& stencil) const;
  int64_t memory_base(const MemoryUse& use) const;
  int64_t accumulator_base(ChainUse& use, int64_t base);
  int64_t accumulators_ready(const ChainUse& use) const;
  bool is_brief(const Stencil& stencil) const;
  bool choose_brief(const ChainUse& use, int64_t base);
  int accumulator_number(const ChainUse& use, int i1, int i2, int i3) const;
  std::vector<int64_t> word_offsets(const Stencil& stencil) const;
  int64_t word_wait(const std::vector<int64_t>& offsets, int64_t base) const;
  void note(const Stencil& stencil, int64_t base);
  void note_memory(const MemoryUse& use, int64_t base);
  void note_accumulators(const ChainUse& use, int64_t base);
  void emit(const Stencil& stencil, int64_t base, int index);
  void note_placement(int index, int64_t base, int64_t finish);

  // repeat_section.cc
  Status place_section(int section, std::vector<Placed>* kept);
  Status place_run(const SectionRun& run);
  bool copy_section(const std::vector<Placed>& model, int section,
                    std::vector<Placed>& copy) const;
  std::vector<AccumulatorStay> accumulator_stays(const std::vector<Placed>& model) const;
  bool accumulators_free(const AccumulatorStay& stay, int base, int64_t shift) const;
  bool choose_accumulators(std::vector<AccumulatorStay>& stays, int64_t period) const;
  void set_accumulators(const std::vector<Placed>& copy, const std::vector<AccumulatorStay>& stays,
                        int turn);
  int accumulators_of(AccumulatorGroup group) const {
    return program_.accumulator_groups[static_cast<size_t>(group)];
  }
  int64_t least_shift(const std::vector<Placed>& copy) const;
  int64_t reserve_copy(std::vector<Placed>& copy, int64_t shift, int64_t limit, Journal& journal);
  bool repeat(const SectionRun& run, const std::vector<Placed>& model, int64_t limit);
  void repeat_rest(const SectionRun& run, const std::vector<Placed>& model,
                   const std::vector<AccumulatorStay>& stays, int64_t period);
  std::vector<size_t> queue_sizes() const;
  int reserved_sections(const SectionRun& run, const std::vector<Placed>& model,
                        int64_t period) const;
  bool try_period(const SectionRun& run, const std::vector<Placed>& model, int64_t& period,
                  int64_t limit, std::vector<AccumulatorStay>& stays);
  PortRates::Levels port_levels(const std::vector<Placed>& model, int64_t shift) const;

  const VectorProgram& program_;
  const Target& target_;
  Reservations reservations_;
  Journal journal_;
  // An operation that loads accumulators for the next one: placed, but not for good.
  std::optional<Placed> waiting_;
  Journal waiting_journal_;
  State state_;
  std::vector<Group> groups_;
  int64_t window_words_max_;  // 0: no limit
  // Cycles of repeated sections for which nothing is reserved: the instructions of what is placed from now on
  // come so much later than its reservations say.
  int64_t skipped_ = 0;
  int64_t stretched_ = 0;  // cycles that the schedule's stretches add
  Schedule schedule_;
};

}  // namespace pianola
