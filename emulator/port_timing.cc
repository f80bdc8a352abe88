#include "emulator/port_timing.h"

#include <algorithm>

namespace pianola {
namespace {

// Bytes that a port may move: a bucket that the rate fills and that never holds more than the
// vectors that the port takes at one edge.
struct Rate {
  uint64_t per_edge = 0, unit = 1, held = 0;
  uint32_t most() {
    held = std::min(held + per_edge, (per_edge + unit - 1) / unit * unit);
    return static_cast<uint32_t>(held / unit);
  }
  void take(uint32_t n) { held -= n * unit; }
};

// The memory that tape, KV and words share, if they do: what an edge moves beyond the rate is missing at
// the next one. Whoever asks first is served first.
struct SharedRate {
  int64_t per_edge = 0, left = 0;
  void next_edge() { left = std::min(left + per_edge, per_edge); }
  uint64_t most(uint64_t wanted, int64_t unit) const {
    if (per_edge == 0) return wanted;
    return left <= 0 ? 0 : std::min(wanted, static_cast<uint64_t>((left + unit - 1) / unit));
  }
  void take(uint32_t n, int64_t unit) { left -= n * unit; }
};

uint64_t vectors_of(const QueueInstruction& instruction) {
  if (const auto* receive = std::get_if<PortRecvInstruction>(&instruction)) return receive->count;
  if (const auto* send = std::get_if<PortSendInstruction>(&instruction)) return send->count;
  return 0;
}

struct ReceivePort {
  uint64_t total = 0, fifo = 0, capacity = 0;
  Rate rate;
  uint64_t level = 0, arrived = 0;
  uint32_t in = 0;  // at this edge
};

struct SendPort {
  uint64_t capacity = 0;
  Rate rate;
  uint64_t used = 0, level = 0;
  uint32_t take = 0;                 // at this edge
  std::vector<uint32_t> on_the_way;  // from front to back, by edge modulo depth
};

// The state of the front and of the pipeline behind it; step() is one clock edge.
class Front {
 public:
  Front(const Target& target, const PortSchedule& schedule, const PortTimingRequest& request);
  PortTimingResult play();

 private:
  uint32_t allowed(uint32_t port, uint64_t most) {
    if (most == 0) return 0;
    return std::min(
        static_cast<uint32_t>(most),
        request_.allow(request_.allow_context, port, edges_, static_cast<uint32_t>(most)));
  }
  void feed();
  void feed_words();
  void feed_receive(uint32_t i);
  void step();
  bool ports_ready() const;
  bool wants(const IssueCursor& cursor) const {
    return !cursor.done() && cursor.cycle() == front_cycle_;
  }

  const PortTimingRequest& request_;
  std::span<const uint64_t> word_cycles_;
  std::vector<IssueCursor> cursors_;
  std::array<ReceivePort, 3> receive_;
  std::array<SendPort, 2> send_;
  Rate word_rate_;
  SharedRate memory_;
  int64_t lanes_ = 0;
  uint64_t word_depth_ = 0, words_max_ = 0;
  size_t depth_ = 1, slot_ = 0;            // of the pipeline of grants
  std::vector<uint8_t> granted_, ending_;  // by edge modulo depth

  uint64_t edges_ = 0, front_cycle_ = 0;
  uint64_t words_fed_ = 0, words_stored_ = 0, next_word_ = 0;
  bool word_in_ = false, word_valid_ = false;
  bool running_ = true, filled_ = false, started_ = false;
  PortTimingResult result_;
};

Front::Front(const Target& target, const PortSchedule& schedule, const PortTimingRequest& request)
    : request_(request), word_cycles_(schedule.word_cycles) {
  for (const auto& queue : schedule.queues) cursors_.emplace_back(queue);
  const auto lanes = static_cast<uint64_t>(target.lanes);
  const auto width = [lanes](int rate) {
    return (static_cast<uint64_t>(rate) + lanes - 1) / lanes;
  };
  const int rates[] = {target.tape_bytes_per_cycle, target.kv_bytes_per_cycle,
                       target.host_bytes_per_cycle};
  const int fifos[] = {target.tape_fifo_vectors, target.kv_fifo_vectors, target.host_fifo_vectors};
  depth_ = static_cast<size_t>(target.freeze_depth);
  // Capacities as in rtl/recv_port.sv, rtl/send_port.sv and rtl/instruction_fifo.sv: tests/systemc
  // compares the frozen edges of both.
  for (size_t i = 0; i < 3; ++i) {
    const auto fifo = static_cast<uint64_t>(fifos[i]);
    receive_[i].total = request.receive_count[i];
    receive_[i].fifo = fifo;
    receive_[i].capacity = fifo + 2 * width(rates[i]);
    receive_[i].rate = {static_cast<uint64_t>(rates[i]), lanes, 0};
  }
  for (size_t s = 0; s < 2; ++s) {
    send_[s].capacity = static_cast<uint64_t>(fifos[s + 1]) + (depth_ + 4) * width(rates[s + 1]);
    send_[s].rate = {static_cast<uint64_t>(rates[s + 1]), lanes, 0};
    send_[s].on_the_way.assign(depth_, 0);
  }
  word_rate_ = {static_cast<uint64_t>(target.instruction_bytes_per_cycle), 32, 0};
  memory_ = {target.memory_bytes_per_cycle, 0};
  lanes_ = target.lanes;
  word_depth_ = static_cast<uint64_t>(target.instruction_fifo_words);
  words_max_ = word_depth_ + 2;
  granted_.assign(depth_, 0);
  ending_.assign(depth_, 0);
}

void Front::feed_words() {
  word_in_ = false;
  if (words_fed_ == word_cycles_.size()) return;
  const uint64_t space = words_max_ - words_stored_ - (word_valid_ ? 1 : 0);
  const uint64_t most = std::min<uint64_t>({memory_.most(word_rate_.most(), 32), space, 1});
  if (allowed(3, most) == 0) return;
  word_in_ = true;
  word_rate_.take(1);
  memory_.take(1, 32);
  ++words_fed_;
}

void Front::feed_receive(uint32_t i) {
  ReceivePort& port = receive_[i];
  port.in = 0;
  const uint64_t left = port.total - port.arrived;
  if (left == 0) return;
  const bool shares = i != 2;
  uint64_t most = port.rate.most();
  if (shares) most = memory_.most(most, lanes_);
  port.in = allowed(i, std::min<uint64_t>({most, port.capacity - port.level, left}));
  port.rate.take(port.in);
  if (shares) memory_.take(port.in, lanes_);
  if (port.in > 0 && request_.received) {
    request_.received(request_.received_context, i, port.arrived, port.in);
  }
}

// In the order of rtl/harness: of what shares a memory the tape comes last.
void Front::feed() {
  memory_.next_edge();
  feed_words();
  feed_receive(1);
  for (uint32_t s = 0; s < 2; ++s) {
    SendPort& port = send_[s];
    uint64_t most = std::min<uint64_t>(port.rate.most(), port.level);
    if (s == 0) most = memory_.most(most, lanes_);
    port.take = allowed(4 + s, most);
    port.rate.take(port.take);
    if (s == 0) memory_.take(port.take, lanes_);
    result_.sent[s] += port.take;
  }
  feed_receive(0);
  feed_receive(2);
}

bool Front::ports_ready() const {
  for (size_t i = 0; i < 3; ++i) {
    const IssueCursor& cursor = cursors_[i];
    if (wants(cursor) && receive_[i].level < vectors_of(cursor.instruction())) return false;
  }
  for (size_t s = 0; s < 2; ++s) {
    const IssueCursor& cursor = cursors_[3 + s];
    if (wants(cursor) && send_[s].used + vectors_of(cursor.instruction()) > send_[s].capacity) {
      return false;
    }
  }
  return true;
}

void Front::step() {
  const bool needs_word =
      next_word_ < word_cycles_.size() && word_cycles_[next_word_] == front_cycle_;
  const bool grant = running_ && filled_ && (!needs_word || word_valid_) && ports_ready();
  const bool pop = grant && needs_word;
  const bool last = pop && next_word_ + 1 == word_cycles_.size();

  // The back.
  if (granted_[slot_]) {
    ++result_.cycles;
    started_ = true;
    result_.done = ending_[slot_] != 0;
  } else if (!result_.done) {
    ++result_.frozen;
    if (started_) ++result_.frozen_after_first;
  }
  granted_[slot_] = grant;
  ending_[slot_] = last;

  // The FIFOs of the ports.
  bool ports_filled = true;
  for (size_t i = 0; i < 3; ++i) {
    ReceivePort& port = receive_[i];
    ports_filled = ports_filled && (port.level >= port.fifo || port.arrived == port.total);
    if (grant && wants(cursors_[i])) {
      port.level -= vectors_of(cursors_[i].instruction());
      cursors_[i].advance();
    }
    port.level += port.in;
    port.arrived += port.in;
  }
  for (size_t s = 0; s < 2; ++s) {
    SendPort& port = send_[s];
    uint32_t reserved = 0;
    if (grant && wants(cursors_[3 + s])) {
      reserved = static_cast<uint32_t>(vectors_of(cursors_[3 + s].instruction()));
      cursors_[3 + s].advance();
    }
    port.used += reserved;
    port.used -= port.take;
    port.level += port.on_the_way[slot_];
    port.level -= port.take;
    port.on_the_way[slot_] = reserved;
  }

  // The FIFO of the words; its head is a register.
  if (ports_filled && (words_stored_ + (word_valid_ ? 1 : 0) >= word_depth_ ||
                       words_fed_ - (word_in_ ? 1 : 0) == word_cycles_.size())) {
    filled_ = true;
  }
  const bool refill = words_stored_ > 0 && (!word_valid_ || pop);
  words_stored_ += word_in_ ? 1 : 0;
  words_stored_ -= refill ? 1 : 0;
  word_valid_ = refill || (word_valid_ && !pop);
  if (pop) ++next_word_;
  if (grant) ++front_cycle_;
  if (last) running_ = false;
  slot_ = slot_ + 1 == depth_ ? 0 : slot_ + 1;
}

PortTimingResult Front::play() {
  uint64_t stuck = 0;
  while (!result_.done) {
    if (granted_[slot_]) {
      stuck = 0;
    } else if (++stuck == request_.stuck_edges_max) {
      return result_;
    }
    feed();
    step();
    ++edges_;
  }
  // What is still in the send FIFOs; no clock edge counts any more.
  while (send_[0].level > 0 || send_[1].level > 0) {
    feed();
    step();
  }
  return result_;
}

}  // namespace

Result<PortSchedule> schedule_ports(const Target& target, std::span<const Word> words) {
  TRY(IssueSchedule issues, schedule_issues(target, words));
  PortSchedule ports;
  constexpr QueueKind kKinds[] = {QueueKind::TapeRecv, QueueKind::KvRecv, QueueKind::HostRecv,
                                  QueueKind::KvSend, QueueKind::HostSend};
  for (size_t i = 0; i < ports.queues.size(); ++i) {
    const int queue = target.queue_of(kKinds[i], 0);
    ports.queues[i] = std::move(issues.queues[static_cast<size_t>(queue)]);
  }
  uint64_t cycle = 0;
  for (const Word& word : words) {
    ports.word_cycles.push_back(cycle);
    const Header header = decode_header(word);
    cycle += header.kind == WordKind::Nop ? header.nop_count : 1;
  }
  if (words.empty() || ports.word_cycles.back() != issues.end_cycle) {
    return Error{ErrorCode::Malformed, "words follow END", "instruction tape"};
  }
  return ports;
}

PortTimingResult play_port_timing(const Target& target, const PortSchedule& schedule,
                                  const PortTimingRequest& request) {
  return Front(target, schedule, request).play();
}

}  // namespace pianola
