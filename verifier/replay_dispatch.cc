// The dispatcher and the queues: what is pushed when, and when it issues. Times follow from the tape
// alone; no unit has to be played for them.
#include <algorithm>
#include <deque>

#include "verifier/step.h"

namespace pianola::verifier {
namespace {

constexpr int kWordBytes = kWordBits / 8;

struct QueueState {
  std::deque<uint64_t> last_issues;  // of the instructions that the queue holds
  uint64_t free_from = 0;            // cycle after the last issue of the latest instruction
  uint64_t finish = 0;               // cycle of the last drive of its operations
  bool used = false;
};

class Dispatcher {
 public:
  Dispatcher(const Target& target, const RegisterRanges& registers, const VerifyOptions& options,
             Program& program, EntryFacts& facts, Findings& findings)
      : target_(target), registers_(registers), options_(options), program_(program),
        facts_(facts), findings_(findings), states_(target.queues.size()),
        words_(int64_t{target.instruction_fifo_words} * kWordBytes,
               target.instruction_bytes_per_cycle) {
    program_.queues.resize(target.queues.size());
    facts_.queues.resize(target.queues.size());
  }

  bool decode(std::span<const Word> words);
  bool play(std::span<const Word> words);

 private:
  bool decode_push(const Word& word, const Header& header, uint32_t index);
  void push(uint32_t queue, uint32_t step_index, uint64_t cycle);
  void illegal(uint64_t word, uint64_t cycle, const std::string& reason, std::string unit) {
    findings_.violation(Rule::IllegalEncoding, cycle, std::move(unit), reason, word);
  }
  void check_end(uint64_t cycle);

  const Target& target_;
  const RegisterRanges& registers_;
  const VerifyOptions& options_;
  Program& program_;
  EntryFacts& facts_;
  Findings& findings_;
  std::vector<QueueState> states_;
  Bucket words_;
  uint64_t issues_ = 0;
};

bool Dispatcher::decode_push(const Word& word, const Header& header, uint32_t index) {
  const uint32_t count = static_cast<uint32_t>(target_.queues.size());
  Step step;
  step.word = index;
  std::string reason;
  const auto fail = [&](const std::string& text) {
    illegal(index, 0, text, header.queue < count ? queue_name(target_, header.queue) : "dispatcher");
    return false;
  };
  if (header.queue >= count) {
    return fail("queue " + std::to_string(header.queue) + " does not exist, the target has " +
                std::to_string(count));
  }
  const QueueInfo& first = target_.queues[header.queue];
  for (uint32_t i = 1; i < 8; ++i) {
    if ((header.mask >> i & 1) == 0) continue;
    const uint32_t queue = header.queue + i;
    const bool is_mem = first.kind == QueueKind::MemRead || first.kind == QueueKind::MemWrite;
    if (!is_mem || queue >= count || target_.queues[queue].kind != first.kind ||
        target_.queues[queue].position != first.position) {
      return fail("a mask beyond the read or the write queues of one MEM position");
    }
  }
  if (!decode_step(target_, registers_, static_cast<int>(header.queue), word, step, reason)) {
    return fail(reason);
  }
  const std::string range = find_range_violation(target_, first.kind, step);
  if (!range.empty()) {
    findings_.violation(Rule::AddressRange, 0, queue_name(target_, header.queue), range, index);
    return false;
  }
  program_.steps.push_back(step);
  return true;
}

// Steps of all PUSH words in order; false if a word is illegal.
bool Dispatcher::decode(std::span<const Word> words) {
  bool good = true;
  uint64_t cycle = 0;
  for (size_t i = 0; i < words.size() && !findings_.full(); ++i) {
    const Header header = decode_header(words[i]);
    if (!header.legal) {
      illegal(i, cycle, "a header without meaning", "dispatcher");
      good = false;
      continue;
    }
    if (header.kind == WordKind::Push) {
      good = decode_push(words[i], header, static_cast<uint32_t>(i)) && good;
    }
    const bool last = i + 1 == words.size();
    if ((header.kind == WordKind::End) != last) {
      illegal(i, cycle, last ? "the tape does not end with END" : "words after END", "dispatcher");
      return false;
    }
    cycle += header.kind == WordKind::Nop ? header.nop_count : 1;
  }
  if (words.empty()) findings_.problem("an empty instruction tape, expected at least END");
  return good && !words.empty() && !findings_.full();
}

void Dispatcher::push(uint32_t queue, uint32_t step_index, uint64_t cycle) {
  QueueState& state = states_[queue];
  QueueFacts& facts = facts_.queues[queue];
  const Step& step = program_.steps[step_index];
  while (!state.last_issues.empty() && state.last_issues.front() <= cycle) {
    state.last_issues.pop_front();
  }
  if (static_cast<int>(state.last_issues.size()) >= target_.queue_depth) {
    findings_.violation(Rule::QueueOverrun, cycle, queue_name(target_, static_cast<int>(queue)),
                        "a push into a queue that holds " + std::to_string(target_.queue_depth) +
                            " instructions",
                        step.word);
  }
  const uint64_t ready =
      std::max(cycle + static_cast<uint64_t>(latency_dispatch(target_.lanes)), state.free_from);
  const uint64_t wait = (step.timing.start - ready) & 0xffff;
  if (wait >= 0x8000) {
    findings_.violation(Rule::QueueLate, ready, queue_name(target_, static_cast<int>(queue)),
                        "ready " + std::to_string(0x10000 - wait) + " cycles after its start",
                        step.word);
  }
  const uint64_t start = ready + wait;
  const uint64_t last = start + timing_span(step.timing);
  state.last_issues.push_back(last);
  state.free_from = last + 1;
  state.finish = std::max(state.finish, last + step.finish_latency);
  state.used = true;
  program_.queues[queue].push_back({step_index, start});
  ++facts.instructions;
  facts.issues += timing_issues(step.timing);
  issues_ += timing_issues(step.timing);
  facts.peak_occupancy =
      std::max(facts.peak_occupancy, static_cast<int>(state.last_issues.size()));
}

void Dispatcher::check_end(uint64_t cycle) {
  for (size_t queue = 0; queue < states_.size(); ++queue) {
    const QueueState& state = states_[queue];
    if (!state.used) continue;
    const uint64_t word = program_.steps[program_.queues[queue].back().step].word;
    if (state.free_from > cycle) {
      findings_.violation(Rule::EndBusy, cycle, queue_name(target_, static_cast<int>(queue)),
                          "an instruction issues until cycle " + std::to_string(state.free_from - 1),
                          word);
    } else if (state.finish > cycle) {
      findings_.violation(Rule::EndBusy, cycle, queue_name(target_, static_cast<int>(queue)),
                          "an operation is under way until cycle " + std::to_string(state.finish),
                          word);
    }
  }
}

bool Dispatcher::play(std::span<const Word> words) {
  uint64_t cycle = 0;
  uint32_t next_step = 0;
  for (size_t i = 0; i < words.size(); ++i) {
    if (!words_.take(cycle, kWordBytes)) {
      findings_.violation(Rule::PortRate, cycle, "dispatcher",
                          "instruction words are executed faster than they arrive", i);
    }
    program_.word_cycles.push_back(cycle);
    const Header header = decode_header(words[i]);
    if (header.kind == WordKind::Push) {
      for (uint32_t k = 0; k < 8; ++k) {
        if ((header.mask >> k & 1) != 0) push(header.queue + k, next_step, cycle);
      }
      ++next_step;
    }
    if (issues_ > options_.issues_max) {
      findings_.problem("more than " + std::to_string(options_.issues_max) +
                        " issues, the verifier's limit");
      return false;
    }
    if (cycle > options_.cycles_max) {
      findings_.problem("more than " + std::to_string(options_.cycles_max) +
                        " cycles, the verifier's limit");
      return false;
    }
    if (header.kind == WordKind::End) break;
    cycle += header.kind == WordKind::Nop ? header.nop_count : 1;
  }
  program_.end_cycle = cycle;
  facts_.cycles = cycle + 1;
  PortFacts& port = facts_.ports[static_cast<int>(PortKind::Instructions)];
  port.moved = port.declared = words.size();
  port.level_bytes_min = words_.level_min();
  const bool queues_sound = std::none_of(
      findings_.violations.begin(), findings_.violations.end(), [](const Violation& violation) {
        return violation.rule == Rule::QueueOverrun || violation.rule == Rule::QueueLate;
      });
  if (!queues_sound) return false;
  check_end(cycle);
  return true;
}

}  // namespace

std::string queue_name(const Target& target, int queue) {
  const QueueInfo& info = target.queues[queue];
  const std::string unit = std::to_string(info.unit);
  std::string name;
  switch (info.kind) {
    case QueueKind::TapeRecv: name = "tape RECV"; break;
    case QueueKind::KvRecv: name = "KV RECV"; break;
    case QueueKind::HostRecv: name = "host RECV"; break;
    case QueueKind::KvSend: name = "KV SEND"; break;
    case QueueKind::HostSend: name = "host SEND"; break;
    case QueueKind::VxmPass: name = "VXM chain " + unit; break;
    case QueueKind::MemRead: name = "MEM slice " + unit + " read"; break;
    case QueueKind::MemWrite: name = "MEM slice " + unit + " write"; break;
    case QueueKind::SxmMove: name = "SXM " + unit; break;
    case QueueKind::MxmLoad: name = "MXM " + unit + " load"; break;
    case QueueKind::MxmMac: name = "MXM " + unit + " mac"; break;
  }
  return name + " (queue " + std::to_string(queue) + ")";
}

bool replay_dispatch(const Target& target, std::span<const Word> words,
                     const RegisterRanges& registers, const VerifyOptions& options,
                     Program& program, EntryFacts& facts, Findings& findings) {
  if (words.size() > options.words_max) {
    findings.problem("more than " + std::to_string(options.words_max) +
                     " instruction words, the verifier's limit");
    return false;
  }
  Dispatcher dispatcher(target, registers, options, program, facts, findings);
  return dispatcher.decode(words) && dispatcher.play(words);
}

}  // namespace pianola::verifier
