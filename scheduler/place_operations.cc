// The placer: operations in program order, each at the earliest base cycle where its stencil collides
// with nothing. Later operations may fill gaps that earlier ones left, except where order is part of
// the contract: tape, KV and host vectors, and the tiles of one MXM.
#include <algorithm>

#include "scheduler/memory_order.h"
#include "scheduler/schedule.h"
#include "scheduler/stencil.h"
#include "scheduler/timetable.h"

namespace pianola {
namespace {

constexpr int64_t kSearchCyclesMax = int64_t{1} << 20;

// A queue executes one nest after the other: nests that interleave are cut into many instructions. A nest
// that issues at least every kDenseGap cycles keeps others out of its gaps, unless that would delay it by
// more than kDensePatienceCycles.
constexpr int64_t kDenseGap = 4;
constexpr int64_t kDensePatienceCycles = 64;

// Instructions are counted in windows of so many cycles: few words, compared with what a queue holds.
constexpr int64_t kWindowCycles = 128;
constexpr int64_t kWordBytes = 32;

bool is_dense(const TimedNest& nest) {
  return nest.iterations() > 1 && nest.span() < nest.iterations() * kDenseGap;
}

class Placer {
 public:
  Placer(const VectorProgram& program, const Target& target, const PlaceOptions& options)
      : program_(program),
        target_(target),
        table_(target),
        order_(target.slices(), target.words_per_slice),
        groups_(program.accumulator_groups.size()),
        accumulators_(target.vxm_chains,
                      std::vector<Accumulator>(target.vxm_accumulators)),
        mxms_(target.mxm_positions.size()),
        window_words_max_(kWindowCycles * target.instruction_bytes_per_cycle *
                          options.instruction_percent / (100 * kWordBytes)) {}

  Result<Schedule> run() {
    for (size_t i = 0; i < program_.operations.size(); ++i) {
      TRY_STATUS(place(static_cast<int>(i)));
    }
    return std::move(schedule_);
  }

 private:
  struct Accumulator {
    int64_t last_use = -1000;  // entry into the accumulator stage
    bool taken = false;
  };
  struct Group {
    int chain = -1, base = -1;
  };
  struct Mxm {
    int64_t last_load = -1, last_mac = -1, last_swap = -1;
  };
  // Undo list of one attempt.
  struct Journal {
    std::vector<std::pair<BitRow*, int64_t>> bits;
    struct Hop {
      Direction dir;
      int stream, from, to;
      int64_t drive;
    };
    std::vector<Hop> hops;
  };

  Status place(int index) {
    const VectorOperation& operation = program_.operations[index];
    StencilOptions options;
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
      const int64_t other = find_alone(slower, limit);
      if (other >= 0 && other < limit) {
        stencil = std::move(slower);
        base = other;
      }
    }
    if (base < 0) return no_place(index);
    commit(stencil, base, index);
    return Ok{};
  }

  Error no_place(int index) const {
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
  int64_t find_alone(Stencil& stencil, int64_t limit = INT64_MAX) {
    stencil.alone = false;
    const int64_t mixed = find(stencil, limit);
    if (mixed < 0) return -1;
    stencil.alone = true;
    const int64_t alone = find(stencil, std::min(limit, mixed + kDensePatienceCycles));
    if (alone >= 0) return alone;
    stencil.alone = false;
    return find(stencil, limit);  // again, because the choice of streams belongs to the place
  }

  // Earliest base below `limit`, or -1. Leaves nothing reserved.
  int64_t find(Stencil& stencil, int64_t limit = INT64_MAX) {
    const int64_t earliest = earliest_base(stencil);
    if (earliest < 0) return -1;
    const std::vector<int64_t> words = word_offsets(stencil);
    for (int64_t base = earliest; base < earliest + kSearchCyclesMax && base < limit; ++base) {
      const int64_t skip = std::max(port_wait(stencil, base), word_wait(words, base));
      if (skip > 0) {
        base += skip - 1;
        continue;
      }
      journal_.bits.clear();
      journal_.hops.clear();
      const bool fits = reserve(stencil, base, journal_);
      undo(journal_);
      if (fits) return base;
      base += skip_ - 1;
    }
    return -1;
  }

  int64_t earliest_base(Stencil& stencil) {
    int64_t base = -stencil.earliest_offset;
    for (const MemoryUse& use : stencil.memory) base = std::max(base, memory_base(use));
    if (stencil.mxm >= 0) {
      const Mxm& mxm = mxms_[stencil.mxm];
      base = std::max({base, mxm.last_swap - stencil.first_load,
                       mxm.last_load + 1 - stencil.first_load,
                       mxm.last_mac + 1 - stencil.first_mac});
    }
    for (const PortUse& use : stencil.ports) {
      base = std::max(base, port_last_[static_cast<size_t>(use.port)] + 1 - use.offset);
    }
    for (ChainUse& use : stencil.chains) {
      if (use.group < 0) continue;
      const int64_t ready = accumulator_base(use, base);
      if (ready < 0) return -1;
      base = std::max(base, ready);
    }
    return base;
  }

  int64_t memory_base(const MemoryUse& use) const {
    int64_t base = 0;
    if (use.reach_high != use.reach_low || use.reach_low != 0) {
      int low = 0, high = 0;
      interval(use, low, high);
      const int64_t ready = use.write ? order_.write_from(use.slice, low, high)
                                      : order_.read_from(use.slice, low, high);
      return ready - use.offset;
    }
    for_each_iteration(use.nest, [&](int64_t time, int i1, int i2, int i3) {
      const int word = use.address + i1 * use.step[0] + i2 * use.step[1] + i3 * use.step[2];
      const int64_t ready = use.write ? order_.write_from(use.slice, word, word + 1)
                                      : order_.read_from(use.slice, word, word + 1);
      base = std::max(base, ready - use.offset - time);
      return true;
    });
    return base;
  }

  static void interval(const MemoryUse& use, int& low, int& high) {
    low = use.address + use.reach_low;
    high = use.address + use.reach_high;
    for (int level = 0; level < 3; ++level) {
      const int reach = (use.nest.count[level] - 1) * use.step[level];
      (reach < 0 ? low : high) += reach;
    }
    ++high;
  }

  // Gives the group its accumulators, if it has none yet, and says from which base they are free.
  int64_t accumulator_base(ChainUse& use, int64_t base) {
    Group& group = groups_[use.group];
    std::vector<Accumulator>& file = accumulators_[use.chain];
    if (group.base < 0) {
      const int size = program_.accumulator_groups[use.group];
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
          group = {use.chain, first};
        }
      }
      if (group.base < 0) return -1;
      for (int a = group.base; a < group.base + size; ++a) file[a].taken = true;
    }
    CHECK(group.chain == use.chain);
    int64_t ready = 0;
    const int add = latency_vxm_add(target_.lanes);
    for_each_iteration(use.nest, [&](int64_t time, int i1, int i2, int i3) {
      const Accumulator& a = file[accumulator_number(use, i1, i2, i3)];
      ready = std::max(ready, a.last_use + add - use.accumulate - time);
      return true;
    });
    return ready;
  }

  int accumulator_number(const ChainUse& use, int i1, int i2, int i3) const {
    return groups_[use.group].base + use.accumulator + i1 * use.accumulator_step[0] +
           i2 * use.accumulator_step[1] + i3 * use.accumulator_step[2];
  }

  PortBucket& bucket(Port port) {
    switch (port) {
      case Port::Tape: return table_.tape;
      case Port::KvIn: return table_.kv_in;
      case Port::KvOut: return table_.kv_out;
      case Port::HostOut: return table_.host_out;
    }
    return table_.tape;
  }

  // Cycles that the base must wait at least for the ports' rates; 0: none.
  int64_t port_wait(const Stencil& stencil, int64_t base) {
    for (const PortUse& use : stencil.ports) {
      PortBucket copy = bucket(use.port);
      const int64_t bytes = int64_t{use.vectors} * target_.lanes;
      const int64_t rate = use.port == Port::Tape      ? target_.tape_bytes_per_cycle
                           : use.port == Port::HostOut ? target_.host_bytes_per_cycle
                                                       : target_.kv_bytes_per_cycle;
      int64_t wait = 0;
      for_each_iteration(use.nest, [&](int64_t time, int, int, int) {
        const int64_t cycle = base + use.offset + time;
        const int64_t level = copy.level_at(cycle);
        if (level < bytes) {
          wait = (bytes - level + rate - 1) / rate;
          return false;
        }
        copy.take(cycle, bytes);
        return true;
      });
      if (wait > 0) return wait;
    }
    return 0;
  }

  // First issues of the operation's instruction words, ascending: slices of one position that start
  // together share a word.
  std::vector<int64_t> word_offsets(const Stencil& stencil) const {
    if (window_words_max_ == 0) return {};
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
  int64_t word_wait(const std::vector<int64_t>& offsets, int64_t base) const {
    for (size_t i = 0; i < offsets.size();) {
      const int64_t window = (base + offsets[i]) / kWindowCycles;
      size_t end = i;
      while (end < offsets.size() && (base + offsets[end]) / kWindowCycles == window) ++end;
      const auto index = static_cast<size_t>(window);
      const int64_t there = index < window_words_.size() ? window_words_[index] : 0;
      if (there > 0 && there + static_cast<int64_t>(end - i) > window_words_max_) {
        return (window + 1) * kWindowCycles - base - offsets[i];
      }
      i = end;
    }
    return 0;
  }

  // Remembers how far the base must move at least for this collision to end.
  bool is_free(const BitRow& row, int64_t cycle) {
    if (!row.test(cycle)) return true;
    skip_ = row.next_free(cycle) - cycle;
    return false;
  }

  bool take(BitRow& row, int64_t cycle, Journal& journal) {
    if (!is_free(row, cycle)) return false;
    row.set(cycle);
    journal.bits.emplace_back(&row, cycle);
    return true;
  }

  // The cycles of a nest in its queue's row: its issues, or all between if it wants no company.
  bool take_queue(BitRow& row, int64_t first, const TimedNest& nest, bool alone,
                  Journal& journal) {
    if (alone && is_dense(nest)) {
      for (int64_t cycle = first; cycle <= first + nest.span(); ++cycle) {
        if (!take(row, cycle, journal)) return false;
      }
      return true;
    }
    return for_each_iteration(nest, [&](int64_t time, int, int, int) {
      return take(row, first + time, journal);
    });
  }

  bool reserve(Stencil& stencil, int64_t base, Journal& journal) {
    for (const ChainUse& use : stencil.chains) {
      Timetable::Chain& chain = table_.chains[use.chain];
      if (!take_queue(chain.issue, base + use.issue, use.nest, stencil.alone, journal)) return false;
      const bool free = for_each_iteration(use.nest, [&](int64_t time, int, int, int) {
        return take(chain.middle, base + use.middle + time, journal) &&
               take(chain.back, base + use.back + time, journal);
      });
      if (!free) return false;
    }
    for (const MemoryUse& use : stencil.memory) {
      if (!reserve_memory(use, base, stencil.alone, journal)) return false;
    }
    if (stencil.sxm >= 0) {
      const bool free = for_each_iteration(stencil.sxm_nest, [&](int64_t time, int, int, int) {
        return take(table_.sxm[stencil.sxm], base + stencil.sxm_offset + time, journal);
      });
      if (!free) return false;
    }
    return reserve_streams(stencil, base, journal);
  }

  bool reserve_memory(const MemoryUse& use, int64_t base, bool alone, Journal& journal) {
    Timetable::Slice& slice = table_.slices[use.slice];
    BitRow& queue = use.write ? slice.write_queue : slice.read_queue;
    Timetable::Bank& bank = slice.banks[use.bank];
    BitRow& mine = use.write ? bank.writes : bank.reads;
    BitRow& others = use.write ? bank.reads : bank.writes;
    if (!take_queue(queue, base + use.offset, use.nest, alone, journal)) return false;
    return for_each_iteration(use.nest, [&](int64_t time, int, int, int) {
      const int64_t cycle = base + use.offset + time;
      return is_free(others, cycle) && take(mine, cycle, journal);
    });
  }

  bool reserve_streams(Stencil& stencil, int64_t base, Journal& journal) {
    std::vector<bool> done(stencil.streams.size(), false);
    for (size_t i = 0; i < stencil.streams.size(); ++i) {
      if (done[i]) continue;
      StreamUse& use = stencil.streams[i];
      StreamUse* twin = use.twin >= 0 ? &stencil.streams[use.twin] : nullptr;
      if (!choose_streams(use, twin, base)) {
        skip_ = 1;
        return false;
      }
      hold(use, base, journal);
      if (twin) {
        twin->chosen = use.chosen;
        hold(*twin, base, journal);
        done[use.twin] = true;
      }
    }
    return true;
  }

  bool choose_streams(StreamUse& use, const StreamUse* twin, int64_t base) const {
    const int align = use.width > 4 ? 4 : use.width;
    for (int first = 0; first + use.width <= target_.streams; first += align) {
      if (!streams_free(use, first, base)) continue;
      if (twin && !streams_free(*twin, first, base)) continue;
      use.chosen = first;
      return true;
    }
    return false;
  }

  bool streams_free(const StreamUse& use, int first, int64_t base) const {
    return for_each_iteration(use.nest, [&](int64_t time, int, int, int) {
      for (int s = first; s < first + use.width; ++s) {
        if (!table_.streams.is_free(use.dir, s, use.from, use.to, base + use.drive + time)) {
          return false;
        }
      }
      return true;
    });
  }

  void hold(const StreamUse& use, int64_t base, Journal& journal) {
    for_each_iteration(use.nest, [&](int64_t time, int, int, int) {
      for (int s = use.chosen; s < use.chosen + use.width; ++s) {
        table_.streams.reserve(use.dir, s, use.from, use.to, base + use.drive + time);
        journal.hops.push_back({use.dir, s, use.from, use.to, base + use.drive + time});
      }
      return true;
    });
  }

  void undo(const Journal& journal) {
    for (const auto& [row, cycle] : journal.bits) row->clear(cycle);
    for (const Journal::Hop& hop : journal.hops) {
      table_.streams.release(hop.dir, hop.stream, hop.from, hop.to, hop.drive);
    }
  }

  void commit(Stencil& stencil, int64_t base, int index) {
    Journal journal;
    CHECK(reserve(stencil, base, journal));
    for (const MemoryUse& use : stencil.memory) note_memory(use, base);
    for (const ChainUse& use : stencil.chains) note_accumulators(use, base);
    for (const int64_t offset : word_offsets(stencil)) {
      const auto window = static_cast<size_t>((base + offset) / kWindowCycles);
      if (window >= window_words_.size()) window_words_.resize(window + 1);
      ++window_words_[window];
    }
    if (stencil.mxm >= 0) {
      mxms_[stencil.mxm] = {base + stencil.last_load, base + stencil.last_mac,
                            base + stencil.last_swap};
    }
    for (const PortUse& use : stencil.ports) {
      for_each_iteration(use.nest, [&](int64_t time, int, int, int) {
        const int64_t cycle = base + use.offset + time;
        bucket(use.port).take(cycle, int64_t{use.vectors} * target_.lanes);
        port_last_[static_cast<size_t>(use.port)] = cycle;
        return true;
      });
    }
    for (Part& part : stencil.parts) {
      for (const Part::Link& link : part.links) {
        set_stream(part.instruction.instruction, link, stencil.streams[link.use]);
      }
    }
    for (const ChainUse& use : stencil.chains) {
      if (use.group < 0) continue;
      auto& pass = std::get<VxmInstruction>(stencil.parts[use.part].instruction.instruction);
      pass.acc += static_cast<uint32_t>(groups_[use.group].base);
    }
    for (Part& part : stencil.parts) {
      part.instruction.first += base;
      schedule_.instructions.push_back(std::move(part.instruction));
    }
    schedule_.end = std::max(schedule_.end, base + stencil.finish);
    schedule_.placements.push_back({index, base});
  }

  void note_memory(const MemoryUse& use, int64_t base) {
    const int latency = latency_mem_write(target_.lanes);
    if (use.reach_high != use.reach_low || use.reach_low != 0) {
      int low = 0, high = 0;
      interval(use, low, high);
      const int64_t last = base + use.offset + use.nest.span();
      if (use.write) {
        order_.write_at(use.slice, low, high, last, latency);
      } else {
        order_.read_at(use.slice, low, high, last);
      }
      return;
    }
    for_each_iteration(use.nest, [&](int64_t time, int i1, int i2, int i3) {
      const int word = use.address + i1 * use.step[0] + i2 * use.step[1] + i3 * use.step[2];
      const int64_t cycle = base + use.offset + time;
      if (use.write) {
        order_.write_at(use.slice, word, word + 1, cycle, latency);
      } else {
        order_.read_at(use.slice, word, word + 1, cycle);
      }
      return true;
    });
  }

  void note_accumulators(const ChainUse& use, int64_t base) {
    if (use.group < 0) return;
    std::vector<Accumulator>& file = accumulators_[use.chain];
    for_each_iteration(use.nest, [&](int64_t time, int i1, int i2, int i3) {
      Accumulator& a = file[accumulator_number(use, i1, i2, i3)];
      a.last_use = std::max(a.last_use, base + use.accumulate + time);
      return true;
    });
    if (!use.closes_group) return;
    const Group& group = groups_[use.group];
    for (int a = 0; a < program_.accumulator_groups[use.group]; ++a) {
      file[group.base + a].taken = false;
    }
  }

  void set_stream(AnyInstruction& instruction, const Part::Link& link, const StreamUse& use) {
    const uint32_t stream = static_cast<uint32_t>(use.chosen);
    switch (link.field) {
      case StreamField::MemStream: {
        const int streams = target_.streams;
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

  const VectorProgram& program_;
  const Target& target_;
  Timetable table_;
  Journal journal_;
  int64_t skip_ = 1;
  MemoryOrder order_;
  std::vector<Group> groups_;
  std::vector<std::vector<Accumulator>> accumulators_;  // [chain][accumulator]
  std::vector<Mxm> mxms_;
  int64_t window_words_max_;           // 0: no limit
  std::vector<int64_t> window_words_;  // by window: instructions that begin in it
  std::array<int64_t, 4> port_last_{-1, -1, -1, -1};  // by Port
  Schedule schedule_;
};

}  // namespace

Result<Schedule> place_operations(const VectorProgram& program, const Target& target,
                                  const PlaceOptions& options) {
  return Placer(program, target, options).run();
}

}  // namespace pianola
