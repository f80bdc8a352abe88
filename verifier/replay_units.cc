// The replay of all issues, window by window: first every drive of the window is entered, then every
// read is judged, then each unit's own rules.
//
// Streams. A value driven east at position p in cycle t is at q > p in cycle t + q - p: it moves along
// the diagonal t - p. So one 64-bit mask per diagonal and stream, with a bit for each position that
// drove onto it, tells everything: a second drive of one bit is a conflict, and a read at q is of a
// defined register if and only if a bit below q is set (west: t + p, a bit above q). Masks of diagonals
// that have left the row of positions are recycled, so memory does not grow with the launch.
#include <algorithm>
#include <memory>
#include <optional>

#include "verifier/unit_rules.h"

namespace pianola::verifier {
namespace {

constexpr uint64_t kWindowCycles = 1024;

// Walks the instructions of one queue in order of time.
struct Cursor {
  size_t at = 0;
  uint32_t i1 = 0, i2 = 0, i3 = 0;
};

class Replay {
 public:
  Replay(const Target& target, const Program& program, MemoryImage& memory, EntryFacts& facts,
         Findings& findings);
  void run();

 private:
  uint64_t next_cycle(size_t queue) const;
  void collect(size_t queue);
  void enter_drives(size_t queue);
  void judge_reads(size_t queue);
  void judge_read(size_t queue, const Step& step, uint64_t cycle, const StreamRead& read);
  void play_units();
  void finish();
  size_t row(uint64_t diagonal) const {
    return static_cast<size_t>(diagonal & ring_mask_) * static_cast<size_t>(columns_);
  }
  void recycle(uint64_t limit);
  int queue_of(QueueKind kind, int unit) const {
    for (size_t i = 0; i < target_.queues.size(); ++i) {
      if (target_.queues[i].kind == kind && target_.queues[i].unit == unit) {
        return static_cast<int>(i);
      }
    }
    return -1;
  }
  void build_units();

  const Target& target_;
  const Program& program_;
  MemoryImage& memory_;
  EntryFacts& facts_;
  Findings& findings_;
  Window window_;
  std::vector<Cursor> cursors_;
  std::vector<QueueIssues> issues_;
  int columns_ = 0;             // east streams, then west streams
  uint64_t positions_ = 0;
  uint64_t reach_ = 0;          // diagonals from the window's end that a drive can enter
  uint64_t ring_mask_ = 0;
  uint64_t recycled_until_ = 0;  // masks of diagonals below this are in use or were
  std::vector<uint64_t> masks_;

  struct Slice {
    int reads, writes;
    SliceRules rules;
  };
  struct Matrix {
    int loads, macs;
    MatrixRules rules;
  };
  struct Chain {
    int passes;
    ChainRules rules;
  };
  struct Mover {
    int moves;
    MoveRules rules;
  };
  struct Port {
    int operations;
    PortRules rules;
  };
  std::vector<Slice> slices_;
  std::vector<Matrix> matrices_;
  std::vector<Chain> chains_;
  std::vector<Mover> movers_;
  std::vector<Port> ports_;
  std::optional<MemoryRules> shared_memory_;  // of the ports
  std::vector<const QueueIssues*> memory_ports_;
};

Replay::Replay(const Target& target, const Program& program, MemoryImage& memory,
               EntryFacts& facts, Findings& findings)
    : target_(target), program_(program), memory_(memory), facts_(facts), findings_(findings),
      cursors_(target.queues.size()), issues_(target.queues.size()),
      columns_(2 * target.streams), positions_(static_cast<uint64_t>(target.positions())) {
  uint64_t latency_max = 0;
  for (const Step& step : program.steps) {
    latency_max = std::max<uint64_t>(latency_max, step.drive_latency);
  }
  reach_ = latency_max + 2 * positions_ + 2;
  uint64_t ring = 1;
  while (ring < kWindowCycles + reach_) ring *= 2;
  ring_mask_ = ring - 1;
  masks_.resize(ring * static_cast<size_t>(columns_));
  for (size_t i = 0; i < issues_.size(); ++i) issues_[i].queue = static_cast<int>(i);
  build_units();
}

void Replay::build_units() {
  const std::vector<Step>& steps = program_.steps;
  if (target_.memory_bytes_per_cycle > 0) {
    shared_memory_.emplace(target_, program_, findings_);
    for (const QueueKind kind : {QueueKind::TapeRecv, QueueKind::KvRecv, QueueKind::KvSend}) {
      memory_ports_.push_back(&issues_[static_cast<size_t>(queue_of(kind, 0))]);
    }
  }
  const auto port = [&](int queue, PortKind kind, int fifo_vectors, int bytes_per_cycle) {
    ports_.push_back({queue, PortRules(target_, steps, findings_,
                                       facts_.ports[static_cast<size_t>(kind)], fifo_vectors,
                                       bytes_per_cycle)});
  };
  for (size_t i = 0; i < target_.queues.size(); ++i) {
    const QueueInfo& info = target_.queues[i];
    const int queue = static_cast<int>(i);
    switch (info.kind) {
      case QueueKind::TapeRecv:
        port(queue, PortKind::Tape, target_.tape_fifo_vectors, target_.tape_bytes_per_cycle);
        break;
      case QueueKind::KvRecv:
        port(queue, PortKind::KvRead, target_.kv_fifo_vectors, target_.kv_bytes_per_cycle);
        break;
      case QueueKind::KvSend:
        port(queue, PortKind::KvWrite, target_.kv_fifo_vectors, target_.kv_bytes_per_cycle);
        break;
      case QueueKind::HostRecv:
        port(queue, PortKind::HostReceive, target_.host_fifo_vectors,
             target_.host_bytes_per_cycle);
        break;
      case QueueKind::HostSend:
        port(queue, PortKind::HostSend, target_.host_fifo_vectors, target_.host_bytes_per_cycle);
        break;
      case QueueKind::VxmPass:
        chains_.push_back({queue, ChainRules(target_, steps, findings_)});
        break;
      case QueueKind::MemRead:
        slices_.push_back({queue, queue_of(QueueKind::MemWrite, info.unit),
                           SliceRules(target_, steps, findings_,
                                      memory_[static_cast<size_t>(info.unit)], info.slice)});
        break;
      case QueueKind::SxmMove:
        movers_.push_back({queue, MoveRules(target_, steps, findings_)});
        break;
      case QueueKind::MxmLoad:
        matrices_.push_back({queue, queue_of(QueueKind::MxmMac, info.unit),
                             MatrixRules(target_, steps, findings_)});
        break;
      case QueueKind::MemWrite:
      case QueueKind::MxmMac: break;  // with the other queue of the unit
    }
  }
}

uint64_t Replay::next_cycle(size_t queue) const {
  const Cursor& cursor = cursors_[queue];
  if (cursor.at >= program_.queues[queue].size()) return UINT64_MAX;
  const Pushed& pushed = program_.queues[queue][cursor.at];
  const Timing& t = program_.steps[pushed.step].timing;
  return pushed.start + cursor.i1 * t.p1 + cursor.i2 * t.p2 + uint64_t{cursor.i3} * t.p3;
}

// The queue's issues of the window.
void Replay::collect(size_t queue) {
  std::vector<Issue>& issues = issues_[queue].issues;
  issues.clear();
  Cursor& c = cursors_[queue];
  const std::vector<Pushed>& instructions = program_.queues[queue];
  while (c.at < instructions.size()) {
    const Pushed& pushed = instructions[c.at];
    const Timing& t = program_.steps[pushed.step].timing;
    uint64_t cycle = next_cycle(queue);
    for (; c.i1 <= t.n1 && cycle < window_.until; ++c.i1, cycle += t.p1) {
      issues.push_back({static_cast<uint32_t>(cycle - window_.from), pushed.step,
                        static_cast<uint16_t>(c.i1), static_cast<uint16_t>(c.i2),
                        static_cast<uint16_t>(c.i3)});
    }
    if (c.i1 <= t.n1) return;
    c.i1 = 0;
    if (++c.i2 <= t.n2) continue;
    c.i2 = 0;
    if (++c.i3 <= t.n3) continue;
    c.i3 = 0;
    ++c.at;
  }
}

void Replay::recycle(uint64_t limit) {
  for (uint64_t d = std::max(recycled_until_, window_.from); d < limit; ++d) {
    std::fill_n(masks_.begin() + static_cast<ptrdiff_t>(row(d)), columns_, 0);
  }
  recycled_until_ = std::max(recycled_until_, limit);
}

void Replay::enter_drives(size_t queue) {
  const QueueInfo& info = target_.queues[queue];
  const uint64_t position = static_cast<uint64_t>(info.position);
  const uint64_t bit = uint64_t{1} << position;
  for (const Issue& issue : issues_[queue].issues) {
    const Step& step = program_.steps[issue.step];
    if (!holds(step.drive_when, step.timing, issue.i1, issue.i2, issue.i3)) continue;
    const uint64_t cycle = window_.from + issue.offset + step.drive_latency;
    const int first = step.drive_stream + (step.rotates ? info.slice : 0);
    for (int side = 0; side < 2; ++side) {
      if ((step.drive_directions >> side & 1) == 0) continue;
      const uint64_t diagonal = side == 0 ? cycle + positions_ - position : cycle + position;
      uint64_t* masks = masks_.data() + row(diagonal) + static_cast<size_t>(side * target_.streams);
      for (int k = 0; k < step.drive_count; ++k) {
        const int stream = (first + k) & (target_.streams - 1);
        if ((masks[stream] & bit) != 0) {
          findings_.violation(Rule::StreamConflict, cycle,
                              queue_name(target_, static_cast<int>(queue)),
                              std::string("another unit at position ") + std::to_string(position) +
                                  " drives " + (side == 0 ? "east" : "west") + " stream " +
                                  std::to_string(stream) + " in this cycle too",
                              step.word);
        }
        masks[stream] |= bit;
      }
    }
  }
}

void Replay::judge_read(size_t queue, const Step& step, uint64_t cycle, const StreamRead& read) {
  const QueueInfo& info = target_.queues[queue];
  const uint64_t position = static_cast<uint64_t>(info.position);
  const bool east = read.direction == 0;
  const uint64_t below = (uint64_t{1} << position) - 1;
  const uint64_t upstream = east ? below : ~(below | uint64_t{1} << position);
  const uint64_t diagonal = east ? cycle + positions_ - position : cycle + position;
  const uint64_t* masks =
      masks_.data() + row(diagonal) + static_cast<size_t>(east ? 0 : target_.streams);
  const bool rotates = step.rotates &&
                       (step.action == Action::Write || step.action == Action::WriteLane);
  const int first = read.stream + (rotates ? info.slice : 0);
  for (int k = 0; k < read.count; ++k) {
    const int stream = (first + k) & (target_.streams - 1);
    if ((masks[stream] & upstream) != 0) continue;
    findings_.violation(Rule::StreamUndefined, cycle, queue_name(target_, static_cast<int>(queue)),
                        std::string("reads ") + (east ? "east" : "west") + " stream " +
                            std::to_string(stream) + " at position " + std::to_string(position) +
                            ", which holds no value",
                        step.word);
    return;
  }
}

void Replay::judge_reads(size_t queue) {
  for (const Issue& issue : issues_[queue].issues) {
    const Step& step = program_.steps[issue.step];
    const uint64_t cycle = window_.from + issue.offset;
    if (step.action == Action::Load) {
      // Streams whose tile rows all lie beyond the last are not read.
      StreamRead read = step.read[0];
      const int64_t rest = target_.lanes - step.value(issue.i1, issue.i2, issue.i3);
      const int64_t needed = rest <= 0 ? 0 : (rest + step.count - 1) / step.count;
      read.count = static_cast<uint8_t>(std::min<int64_t>(read.count, needed));
      judge_read(queue, step, cycle, read);
      continue;
    }
    for (int i = 0; i < step.reads; ++i) judge_read(queue, step, cycle, step.read[i]);
  }
}

void Replay::play_units() {
  const auto issues = [&](int queue) -> const QueueIssues& {
    return issues_[static_cast<size_t>(queue)];
  };
  const auto busy = [&](int queue) { return !issues(queue).issues.empty(); };
  for (Slice& unit : slices_) {
    if (busy(unit.reads) || busy(unit.writes)) {
      unit.rules.play(window_, issues(unit.reads), issues(unit.writes));
    }
  }
  for (Matrix& unit : matrices_) {
    if (busy(unit.loads) || busy(unit.macs)) {
      unit.rules.play(window_, issues(unit.loads), issues(unit.macs));
    }
  }
  for (Chain& unit : chains_) unit.rules.play(window_, issues(unit.passes));
  for (Mover& unit : movers_) unit.rules.play(window_, issues(unit.moves));
  for (Port& unit : ports_) unit.rules.play(window_, issues(unit.operations));
  if (shared_memory_) shared_memory_->play(window_, memory_ports_);
}

void Replay::finish() {
  for (Slice& unit : slices_) unit.rules.finish();
  for (Chain& unit : chains_) unit.rules.finish();
  for (Port& unit : ports_) unit.rules.finish();
}

void Replay::run() {
  const size_t queues = target_.queues.size();
  while (!findings_.full()) {
    window_.from = UINT64_MAX;
    for (size_t i = 0; i < queues; ++i) window_.from = std::min(window_.from, next_cycle(i));
    if (window_.from > program_.end_cycle) break;
    window_.until = std::min(window_.from + kWindowCycles, program_.end_cycle + 1);
    recycle(window_.until + reach_);
    for (size_t i = 0; i < queues; ++i) {
      collect(i);
      enter_drives(i);
    }
    for (size_t i = 0; i < queues; ++i) judge_reads(i);
    play_units();
  }
  finish();
}

}  // namespace

void replay_units(const Target& target, const Program& program, MemoryImage& memory,
                  EntryFacts& facts, Findings& findings) {
  Replay(target, program, memory, facts, findings).run();
}

}  // namespace pianola::verifier
