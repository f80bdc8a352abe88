#include "bench/measure_memory.h"

#include <algorithm>
#include <memory>
#include <span>
#include <utility>

#include "host/engine.h"
#include "isa/instructions.h"

namespace pianola {
namespace {

constexpr uint64_t kWordBytes = 32;
// Iterations of the levels of one instruction; the outer two have periods of up to 4,095 and 65,535 cycles.
constexpr uint64_t kInner = 64, kMiddle = 64, kOuterMax = 1024;

uint64_t vectors_of(std::span<const Segment> segments) {
  uint64_t vectors = 0;
  for (const Segment& segment : segments) vectors += uint64_t{segment.count} * segment.repeat;
  return vectors;
}

uint64_t bytes_of(const Roll& roll, const Entry& entry) {
  const uint64_t vectors =
      vectors_of(entry.tape) + vectors_of(entry.kv_read) + vectors_of(entry.kv_write);
  return vectors * static_cast<uint64_t>(roll.target.lanes) + entry.word_count * kWordBytes;
}

// A roll whose one entry takes about `bytes` from the tape, as many in every cycle as the port has.
Roll linear_roll(const Target& target, uint64_t bytes) {
  const auto lanes = static_cast<uint64_t>(target.lanes);
  PortRecvInstruction receive;
  receive.count = static_cast<uint32_t>(target.port_width_vectors);
  receive.out_dirs = 1;
  const uint64_t step = receive.count * lanes;
  const uint64_t period = (step + target.tape_bytes_per_cycle - 1) / target.tape_bytes_per_cycle;
  const uint64_t outer = std::clamp<uint64_t>(bytes / (step * kInner * kMiddle), 1, kOuterMax);
  receive.timing.start = static_cast<uint32_t>(latency_dispatch(target.lanes));
  receive.timing.n1 = kInner - 1;
  receive.timing.p1 = static_cast<uint32_t>(period);
  receive.timing.n2 = kMiddle - 1;
  receive.timing.p2 = static_cast<uint32_t>(period * kInner);
  receive.timing.n3 = static_cast<uint32_t>(outer - 1);
  receive.timing.p3 = static_cast<uint32_t>(period * kInner * kMiddle);
  const uint64_t steps = kInner * kMiddle * outer;

  Roll roll;
  roll.target = target;
  roll.owned_words.push_back(encode_push(target.queue_of(QueueKind::TapeRecv, 0), 1, receive));
  uint64_t left = steps * period + static_cast<uint64_t>(target.positions());
  uint64_t cycles = left + 2;
  while (left > 0) {
    const uint64_t count = std::min<uint64_t>(left, kNopCountMax);
    roll.owned_words.push_back(encode_nop(static_cast<uint32_t>(count)));
    left -= count;
  }
  roll.owned_words.push_back(encode_end());
  roll.words = roll.owned_words;
  const auto round_vectors = static_cast<uint32_t>(kInner * kMiddle * receive.count);
  roll.owned_data.resize(round_vectors * lanes);
  roll.data = roll.owned_data;
  Entry entry;
  entry.name = "linear";
  entry.word_count = roll.owned_words.size();
  entry.cycles = cycles;
  Segment segment;
  segment.count = round_vectors;
  segment.repeat = static_cast<uint32_t>(outer);
  entry.tape.push_back(segment);
  entry.output = EntryOutput::None;
  roll.metadata.target_name = target.name;
  roll.metadata.target_text = canonical_text(target);
  roll.metadata.entries.push_back(std::move(entry));
  return roll;
}

Result<LaunchResult> play(const Roll& roll, LaunchRequest request, const MemoryTiming& timing) {
  SystemcOptions options;
  options.core = SystemcCore::Emulator;
  options.timing = timing;
  const std::unique_ptr<Device> device = make_systemc_device(options);
  TRY_STATUS(device->load(roll, 1));
  return device->launch(request);
}

}  // namespace

Result<MemoryMeasurement> measure_memory(const Roll& roll, int entry, const MemoryTiming& timing) {
  const Entry& e = roll.metadata.entries[static_cast<size_t>(entry)];
  LaunchRequest request;
  request.entry = entry;
  request.registers = launch_registers(e, roll.target.lanes, e.context - roll.target.lanes, {});
  TRY(const LaunchResult played, play(roll, std::move(request), timing));
  MemoryMeasurement m;
  m.machine_cycles = played.cycles;
  m.wall_cycles = played.cycles + played.frozen_cycles;
  m.bytes = bytes_of(roll, e);
  const Roll linear = linear_roll(roll.target, m.bytes);
  TRY(const LaunchResult read, play(linear, {}, timing));
  m.linear_bytes = bytes_of(linear, linear.metadata.entries[0]);
  m.linear_cycles = read.cycles + read.frozen_cycles;
  return m;
}

}  // namespace pianola
