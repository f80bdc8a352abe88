#include "tests/programs/rtl_player.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace pianola::test {
namespace {

constexpr uint64_t kMemTag = 0x4d454d, kKvTag = 0x4b56;
constexpr uint64_t kStuckEdges = 20'000;

// Follows a launch edge by edge. A clock edge at which memory is asked, but no machine cycle has
// passed since it was asked last, is frozen.
struct Observer {
  Jitter* jitter = nullptr;
  std::vector<bool> frozen_after;
  uint64_t last_edge = UINT64_MAX;
  bool moved = false;

  static void drives(void* context, uint64_t cycle, const PianolaRtlDrive*, uint32_t) {
    auto& self = *static_cast<Observer*>(context);
    self.frozen_after.resize(cycle + 1);
    self.moved = true;
  }
  static uint32_t allow(void* context, uint32_t port, uint64_t edge, uint32_t most) {
    auto& self = *static_cast<Observer*>(context);
    if (edge != self.last_edge) {
      if (!self.moved && !self.frozen_after.empty()) self.frozen_after.back() = true;
      self.moved = false;
      self.last_edge = edge;
    }
    return self.jitter ? Jitter::allow(self.jitter, port, edge, most) : most;
  }
};

PianolaRtlReceive source(std::span<const std::byte> bytes, const std::vector<uint64_t>* index,
                         uint64_t count) {
  return {reinterpret_cast<const uint8_t*>(bytes.data()), index ? index->data() : nullptr, count};
}

}  // namespace

uint32_t Jitter::allow(void* jitter, uint32_t, uint64_t, uint32_t most) {
  auto& self = *static_cast<Jitter*>(jitter);
  self.state_ = self.state_ * 6364136223846793005u + 1442695040888963407u;
  const auto random = static_cast<uint32_t>(self.state_ >> 33);
  if (static_cast<int>(random % 100) >= self.percent_) return 0;
  return 1 + random / 100 % most;
}

bool RtlOutcome::has_fault(Rule rule) const {
  return std::any_of(result.faults, result.faults + result.fault_count, [&](const auto& fault) {
    return fault.rule == static_cast<uint32_t>(rule);
  });
}

BuildRtlOptions rtl_build_options() {
  BuildRtlOptions options;
  options.on_progress = [](std::string_view line) {
    std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
  };
  return options;
}

std::string describe_faults(const Target& target, const PianolaRtlResult& result) {
  std::string text;
  for (uint32_t i = 0; i < result.fault_count; ++i) {
    text += describe_fault(target, result.faults[i]) + "\n";
  }
  return text;
}

RtlPlayer::RtlPlayer(const Target& target, bool synthesis_form) {
  BuildRtlOptions options = rtl_build_options();
  options.synthesis_form = synthesis_form;
  core_ = RtlCore::open(build_rtl(target, options).value()).value();
}

void RtlPlayer::load(const Roll& roll, uint64_t poison) {
  roll_ = &roll;
  const auto lanes = static_cast<size_t>(roll.target.lanes);
  std::vector<uint8_t> words(static_cast<size_t>(roll.target.words_per_slice) * lanes);
  for (int slice = 0; slice < roll.target.slices(); ++slice) {
    for (size_t i = 0; i < words.size(); ++i) {
      words[i] = std::to_integer<uint8_t>(
          poison_byte(poison, kMemTag + static_cast<uint64_t>(slice), i));
    }
    core_->set_slice(slice, words, {});
  }
  kv_.resize(roll.metadata.kv_vectors * lanes);
  for (size_t i = 0; i < kv_.size(); ++i) kv_[i] = poison_byte(poison, kKvTag, i);
}

RtlOutcome RtlPlayer::launch(const LaunchRequest& request, Jitter* jitter) {
  const Entry& entry = roll_->metadata.entries[static_cast<size_t>(request.entry)];
  const auto lanes = static_cast<size_t>(roll_->target.lanes);
  const std::span<const Word> words = roll_->entry_words(entry);
  const std::vector<uint64_t> tape = expand_segments(entry.tape, request.registers);
  const std::vector<uint64_t> kv_read = expand_segments(entry.kv_read, request.registers);
  const std::vector<uint64_t> kv_write = expand_segments(entry.kv_write, request.registers);
  uint32_t registers[kLaunchRegisters] = {};
  for (size_t i = 1; i < request.registers.size() && i < size_t{kLaunchRegisters}; ++i) {
    registers[i] = request.registers[i];
  }
  RtlOutcome out;
  out.host_output.resize(entry.host_send_vectors * lanes);
  std::vector<uint8_t> kv_sent(kv_write.size() * lanes);
  Observer observer;
  observer.jitter = jitter;

  PianolaRtlLaunch launch = {};
  launch.words = words[0].data();
  launch.word_count = words.size();
  launch.registers = registers;
  launch.receive[0] = source(roll_->data, &tape, tape.size());
  launch.receive[1] = source(kv_, &kv_read, kv_read.size());
  launch.receive[2] = source(request.host_input, nullptr, entry.host_receive_vectors);
  launch.send[0] = kv_sent.data();
  launch.send[1] = reinterpret_cast<uint8_t*>(out.host_output.data());
  launch.send_count[0] = kv_write.size();
  launch.send_count[1] = entry.host_send_vectors;
  launch.stuck_edges_max = kStuckEdges;
  launch.keep_going = 1;
  launch.allow = Observer::allow;
  launch.allow_context = &observer;
  launch.drives = Observer::drives;
  launch.drives_context = &observer;
  core_->launch(launch, out.result);
  for (size_t i = 0; i < kv_write.size(); ++i) {
    std::memcpy(kv_.data() + kv_write[i] * lanes, kv_sent.data() + i * lanes, lanes);
  }
  out.frozen_after = std::move(observer.frozen_after);
  return out;
}

}  // namespace pianola::test
