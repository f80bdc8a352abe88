#include "verifier/unit_rules.h"

#include <algorithm>

namespace pianola::verifier {
namespace {

std::string text(int64_t value) { return std::to_string(value); }

int64_t value_of(const Step& step, const Issue& issue) {
  return step.value(issue.i1, issue.i2, issue.i3);
}
bool when(When condition, const Step& step, const Issue& issue) {
  return holds(condition, step.timing, issue.i1, issue.i2, issue.i3);
}

}  // namespace

// MEM

MemoryImage empty_image(const Target& target) {
  return MemoryImage(static_cast<size_t>(target.slices()),
                     std::vector<uint64_t>(static_cast<size_t>(target.words_per_slice + 63) / 64));
}

void mark_words(std::vector<uint64_t>& bits, int64_t low, int64_t high) {
  for (int64_t word = low; word <= high; ++word) {
    bits[static_cast<size_t>(word / 64)] |= uint64_t{1} << (word % 64);
  }
}

bool all_marked(const std::vector<uint64_t>& bits, int64_t low, int64_t high) {
  for (int64_t i = low / 64; i <= high / 64; ++i) {
    uint64_t wanted = ~uint64_t{0};
    if (i == low / 64) wanted &= ~uint64_t{0} << (low % 64);
    if (i == high / 64) wanted &= ~uint64_t{0} >> (63 - high % 64);
    if ((bits[static_cast<size_t>(i)] & wanted) != wanted) return false;
  }
  return true;
}

// Makes the writes before `cycle` visible. Only a write of one certain word defines anything.
void SliceRules::apply_until(uint64_t cycle) {
  while (first_write_ < writes_.size() && writes_[first_write_].cycle < cycle) {
    const Write& write = writes_[first_write_++];
    if (write.certain) mark_words(written_, write.words.low, write.words.high);
  }
}

SliceRules::Write SliceRules::write_of(uint64_t cycle, const Issue& issue) const {
  const Step& step = steps_[issue.step];
  const int64_t value = value_of(step, issue);
  Interval values{value + step.offset.low, value + step.offset.high};
  Write write{cycle, step.words(values), {}, values.low == values.high};
  // Of the rows it may be, the first and the last one of this slice.
  const int64_t others = (int64_t{1} << step.rows) - 1;
  values.low += (slice_ - values.low) & others;
  values.high -= (values.high - slice_) & others;
  write.words = step.words(values);
  if (values.low > values.high) write.words = {0, -1};
  write.certain = write.certain && values.low == values.high;
  return write;
}

void SliceRules::read(uint64_t cycle, const Issue& issue, int queue) {
  const Step& step = steps_[issue.step];
  const int64_t value = value_of(step, issue);
  const Interval words{value + step.offset.low, value + step.offset.high};
  const uint64_t visible = static_cast<uint64_t>(latency_mem_write(target_.lanes));
  apply_until(cycle + 1 >= visible ? cycle + 1 - visible : 0);
  const int64_t half = target_.words_per_slice / 2;
  for (size_t i = first_write_; i < writes_.size() && writes_[i].cycle <= cycle; ++i) {
    const Interval& other = writes_[i].issued;
    const Interval banks{words.low >= half, words.high >= half};
    if (writes_[i].cycle == cycle && banks.meets({other.low >= half, other.high >= half})) {
      findings_.violation(Rule::BankConflict, cycle, queue_name(target_, queue),
                          "reads words " + text(words.low) + " to " + text(words.high) +
                              " while words " + text(other.low) + " to " + text(other.high) +
                              " may be written in one bank",
                          step.word);
    }
    if (words.meets(writes_[i].words)) {
      findings_.violation(Rule::MemoryHazard, cycle, queue_name(target_, queue),
                          "may read a word written in cycle " +
                              text(static_cast<int64_t>(writes_[i].cycle)),
                          step.word);
    }
  }
  if (issue.step != judged_step_) {
    const Interval box = step.box();
    judged_step_ = issue.step;
    judged_covered_ = all_marked(written_, box.low + step.offset.low, box.high + step.offset.high);
  }
  if (!judged_covered_ && !all_marked(written_, words.low, words.high)) {
    judged_covered_ = true;  // one report per instruction
    findings_.violation(Rule::MemoryUndefined, cycle, queue_name(target_, queue),
                        "words " + text(words.low) + " to " + text(words.high) +
                            " are not surely written before they are read",
                        step.word);
  }
}

void SliceRules::play(const Window& window, const QueueIssues& reads, const QueueIssues& writes) {
  writes_.erase(writes_.begin(), writes_.begin() + static_cast<ptrdiff_t>(first_write_));
  first_write_ = 0;
  for (const Issue& issue : writes.issues) {
    writes_.push_back(write_of(window.from + issue.offset, issue));
  }
  for (const Issue& issue : reads.issues) read(window.from + issue.offset, issue, reads.queue);
  const uint64_t visible = static_cast<uint64_t>(latency_mem_write(target_.lanes));
  apply_until(window.until + 1 >= visible ? window.until + 1 - visible : 0);
}

// MXM

void MatrixRules::apply_until(uint64_t cycle) {
  while (first_load_ < loads_.size() && loads_[first_load_].cycle < cycle) {
    const Load& load = loads_[first_load_++];
    const int64_t rows = int64_t{target_.mxm_load_streams} * steps_[load.step].count;
    for (int64_t row = load.row; row < std::min<int64_t>(load.row + rows, target_.lanes); ++row) {
      rows_.set(static_cast<size_t>(row));
    }
  }
}

void MatrixRules::mac(uint64_t cycle, const Issue& issue, int queue) {
  const Step& step = steps_[issue.step];
  if (when(step.swap_when, step, issue)) {
    const uint64_t visible = static_cast<uint64_t>(latency_mxm_load(target_.lanes));
    apply_until(cycle + 1 >= visible ? cycle + 1 - visible : 0);
    const int64_t loaded = static_cast<int64_t>(rows_.count());
    if (loaded != target_.lanes) {
      findings_.violation(Rule::TileIncomplete, cycle, queue_name(target_, queue),
                          "a swap with " + text(loaded) + " of " + text(target_.lanes) +
                              " rows loaded",
                          step.word);
    }
    rows_.reset();
    installed_ = true;
  }
  if (!installed_) {
    findings_.violation(Rule::AccumulatorUndefined, cycle, queue_name(target_, queue),
                        "no tile was installed in this launch", step.word);
  }
  const size_t accumulator = static_cast<size_t>(value_of(step, issue));
  if (when(step.set_when, step, issue)) {
    cleared_[accumulator] = 1;
  } else if (cleared_[accumulator] == 0) {
    findings_.violation(Rule::AccumulatorUndefined, cycle, queue_name(target_, queue),
                        "accumulator " + text(static_cast<int64_t>(accumulator)) +
                            " was never cleared in this launch",
                        step.word);
  }
}

void MatrixRules::play(const Window& window, const QueueIssues& loads, const QueueIssues& macs) {
  loads_.erase(loads_.begin(), loads_.begin() + static_cast<ptrdiff_t>(first_load_));
  first_load_ = 0;
  for (const Issue& issue : loads.issues) {
    const Step& step = steps_[issue.step];
    const int64_t row = value_of(step, issue), weights = step.count;
    loads_.push_back({window.from + issue.offset, row, issue.step});
    const int64_t rest = target_.lanes - row;
    if (rest > 0 && rest % weights != 0 && rest < weights * target_.mxm_load_streams) {
      findings_.violation(Rule::AddressRange, window.from + issue.offset,
                          queue_name(target_, loads.queue),
                          "a stream from tile row " + text(row + rest / weights * weights) +
                              " on lies partly beyond the last row " + text(target_.lanes - 1),
                          step.word);
    }
  }
  for (const Issue& issue : macs.issues) mac(window.from + issue.offset, issue, macs.queue);
  const uint64_t visible = static_cast<uint64_t>(latency_mxm_load(target_.lanes));
  apply_until(window.until + 1 >= visible ? window.until + 1 - visible : 0);
}

// VXM

ChainRules::ChainRules(const Target& target, const std::vector<Step>& steps, Findings& findings)
    : target_(target), steps_(steps), findings_(findings), mul3_(kStageCycles),
      combine_(kStageCycles), last_use_(static_cast<size_t>(target.vxm_accumulators)),
      set_(static_cast<size_t>(target.vxm_accumulators)) {
  const int lanes = target.lanes;
  enter_min_ = static_cast<uint64_t>(latency_vxm_in(lanes) + 4 * latency_vxm_mul(lanes) +
                                     latency_vxm_add(lanes) + latency_vxm_select(lanes));
}

void ChainRules::enter(std::vector<uint64_t>& stage, uint64_t cycle, const char* name,
                       const Step& step) {
  uint64_t& latest = stage[cycle % kStageCycles];
  if (latest == cycle + 1) {
    findings_.violation(Rule::StageConflict, cycle, queue_name(target_, queue_),
                        std::string("two passes enter stage ") + name, step.word);
  }
  latest = cycle + 1;
}

// Judges the uses of accumulators before `cycle`: none of them can come any more.
void ChainRules::judge_until(uint64_t cycle) {
  std::stable_sort(uses_.begin(), uses_.end(),
                   [](const Use& a, const Use& b) { return a.cycle < b.cycle; });
  const uint64_t apart = static_cast<uint64_t>(latency_vxm_add(target_.lanes));
  size_t judged = 0;
  for (; judged < uses_.size() && uses_[judged].cycle < cycle; ++judged) {
    const Use& use = uses_[judged];
    uint64_t& last = last_use_[use.accumulator];
    if (last != 0 && use.cycle + 1 - last < apart) {
      findings_.violation(Rule::AccumulatorHazard, use.cycle, queue_name(target_, queue_),
                          "accumulator " + text(use.accumulator) + " was used " +
                              text(static_cast<int64_t>(use.cycle + 1 - last)) +
                              " cycles before, expected at least " +
                              text(static_cast<int64_t>(apart)),
                          steps_[use.step].word);
    }
    last = use.cycle + 1;
    if (use.use != AccumulatorUse::Set && set_[use.accumulator] == 0) {
      findings_.violation(Rule::AccumulatorUndefined, use.cycle, queue_name(target_, queue_),
                          "accumulator " + text(use.accumulator) +
                              " was never loaded in this launch",
                          steps_[use.step].word);
    }
    set_[use.accumulator] = 1;
  }
  uses_.erase(uses_.begin(), uses_.begin() + static_cast<ptrdiff_t>(judged));
}

void ChainRules::play(const Window& window, const QueueIssues& passes) {
  queue_ = passes.queue;
  const uint64_t to_accumulator = static_cast<uint64_t>(latency_vxm_mul(target_.lanes));
  for (const Issue& issue : passes.issues) {
    const Step& step = steps_[issue.step];
    const uint64_t cycle = window.from + issue.offset;
    enter(mul3_, cycle + step.enter_mul3, "mul3", step);
    enter(combine_, cycle + step.enter_combine, "combine", step);
    if (step.use == AccumulatorUse::None) continue;
    const AccumulatorUse use = when(step.set_when, step, issue) ? AccumulatorUse::Set : step.use;
    uses_.push_back({cycle + step.enter_combine + to_accumulator, issue.step,
                     static_cast<uint16_t>(value_of(step, issue)), use});
  }
  judge_until(window.until + enter_min_);
}

// SXM

void MoveRules::play(const Window& window, const QueueIssues& moves) {
  const uint64_t visible = static_cast<uint64_t>(latency_sxm_transpose(target_.lanes));
  for (const Issue& issue : moves.issues) {
    const Step& step = steps_[issue.step];
    const uint64_t cycle = window.from + issue.offset;
    if (step.action == Action::TransposeIn) {
      uint64_t& row = row_cycle_[static_cast<size_t>(value_of(step, issue))];
      if (row == 0) row = cycle + 1;
    } else if (step.action == Action::TransposeOut) {
      const bool complete =
          std::all_of(row_cycle_.begin(), row_cycle_.end(),
                      [&](uint64_t row) { return row != 0 && row - 1 + visible <= cycle; });
      if (!complete) {
        findings_.violation(Rule::AccumulatorUndefined, cycle, queue_name(target_, moves.queue),
                            "a row of the transpose buffer was never written in this launch",
                            step.word);
      }
    }
  }
}

// Ports

void PortRules::play(const Window& window, const QueueIssues& operations) {
  for (const Issue& issue : operations.issues) {
    const Step& step = steps_[issue.step];
    const uint64_t cycle = window.from + issue.offset;
    if (!bucket_.take(cycle, int64_t{step.count} * target_.lanes)) {
      findings_.violation(Rule::PortRate, cycle, queue_name(target_, operations.queue),
                          "the port moves more than its rate and FIFO allow", step.word);
    }
    if (facts_.moved <= facts_.declared && facts_.moved + step.count > facts_.declared) {
      findings_.violation(Rule::PortExhausted, cycle, queue_name(target_, operations.queue),
                          "moves vector " +
                              text(static_cast<int64_t>(facts_.moved + step.count)) + " of " +
                              text(static_cast<int64_t>(facts_.declared)),
                          step.word);
    }
    facts_.moved += step.count;
  }
}

void MemoryRules::play(const Window& window, std::span<const QueueIssues* const> ports) {
  takes_.clear();
  const std::vector<uint64_t>& words = program_.word_cycles;
  for (; next_word_ < words.size() && words[next_word_] < window.until; ++next_word_) {
    takes_.push_back({words[next_word_], kWordBits / 8, -1, static_cast<uint32_t>(next_word_)});
  }
  for (const QueueIssues* operations : ports) {
    for (const Issue& issue : operations->issues) {
      const Step& step = program_.steps[issue.step];
      takes_.push_back({window.from + issue.offset, int64_t{step.count} * target_.lanes,
                        operations->queue, step.word});
    }
  }
  std::stable_sort(takes_.begin(), takes_.end(),
                   [](const Take& a, const Take& b) { return a.cycle < b.cycle; });
  for (const Take& take : takes_) {
    if (bucket_.take(take.cycle, take.bytes)) continue;
    findings_.violation(Rule::PortRate, take.cycle,
                        take.queue < 0 ? "dispatcher" : queue_name(target_, take.queue),
                        "tape, KV and instructions together move more than the memory's rate and the "
                        "FIFO of the tape allow",
                        take.word);
  }
}

}  // namespace pianola::verifier
