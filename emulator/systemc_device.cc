#include "emulator/systemc_device.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <tuple>
#include <vector>

#include "emulator/emulator.h"
#include "emulator/port_timing.h"
#include "emulator/rtl_device.h"
#include "emulator/segment_walker.h"
#include "emulator/systemc_platform.h"

namespace pianola {
namespace {

constexpr uint64_t kMemTag = 0x4d454d, kKvTag = 0x4b56;
constexpr uint64_t kStuckEdges = 10'000'000;  // no machine cycle in so many: memory never answers

void poison_bytes(std::span<std::byte> bytes, uint64_t poison, uint64_t tag) {
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = poison_byte(poison, tag, i);
}

Error stuck_error(const Entry& entry, uint64_t cycles) {
  return Error{ErrorCode::Io,
               "no machine cycle was granted for " + std::to_string(kStuckEdges) +
                   " clock edges, after cycle " + std::to_string(cycles) + ": a port is starved",
               "entry " + entry.name};
}

// What the cores take from a launch, checked.
struct CoreLaunch {
  const Roll* roll = nullptr;
  const Entry* entry = nullptr;
  const LaunchRequest* request = nullptr;
  uint64_t kv_reads = 0, kv_writes = 0, tape_vectors = 0;
};

// A core of the platform: persistent memory, and one launch at a time.
class DeviceCore : public PlatformCore {
 public:
  virtual Status load(const Roll& roll, uint64_t poison) = 0;
  virtual std::span<std::byte> kv_region() = 0;
  // Before and after the platform plays the launch.
  virtual Status prepare(const CoreLaunch& launch) = 0;
  virtual Result<LaunchResult> finish() = 0;
};

// -- The Verilated core
// ----------------------------------------------------------------------------

class RtlPlatformCore final : public DeviceCore {
 public:
  explicit RtlPlatformCore(BuildRtlOptions build) : build_(std::move(build)) {}

  Status load(const Roll& roll, uint64_t poison) override {
    const Target& target = roll.target;
    if (!core_ || canonical_text(target) != target_text_) {
      TRY(const std::filesystem::path library, build_rtl(target, build_));
      TRY(core_, RtlCore::open(library));
      target_text_ = canonical_text(target);
    }
    const auto lanes = static_cast<size_t>(target.lanes);
    std::vector<std::byte> words(static_cast<size_t>(target.words_per_slice) * lanes);
    for (int slice = 0; slice < target.slices(); ++slice) {
      poison_bytes(words, poison, kMemTag + static_cast<uint64_t>(slice));
      core_->set_slice(slice, {reinterpret_cast<const uint8_t*>(words.data()), words.size()}, {});
    }
    kv_.resize(roll.metadata.kv_vectors * lanes);
    poison_bytes(kv_, poison, kKvTag);
    return Ok{};
  }
  std::span<std::byte> kv_region() override { return kv_; }
  Status prepare(const CoreLaunch& launch) override {
    launch_ = launch;
    return Ok{};
  }
  bool play(const CorePorts& ports) override;
  Result<LaunchResult> finish() override;

 private:
  BuildRtlOptions build_;
  std::unique_ptr<RtlCore> core_;
  std::string target_text_;
  std::vector<std::byte> kv_;
  CoreLaunch launch_;
  PianolaRtlResult result_{};
};

bool RtlPlatformCore::play(const CorePorts& ports) {
  const LaunchRequest& request = *launch_.request;
  uint32_t registers[kLaunchRegisters] = {};
  for (size_t i = 1; i < request.registers.size() && i < size_t{kLaunchRegisters}; ++i) {
    registers[i] = request.registers[i];
  }
  const uint64_t counts[3] = {launch_.tape_vectors, launch_.kv_reads,
                              launch_.entry->host_receive_vectors};
  std::vector<uint64_t> index[3];
  PianolaRtlLaunch launch = {};
  for (size_t i = 0; i < 3; ++i) {
    for (uint64_t j = 0; j < counts[i]; ++j) index[i].push_back(j % ports.receive[i].vectors);
    launch.receive[i] = {reinterpret_cast<const uint8_t*>(ports.receive[i].ring), index[i].data(),
                         counts[i]};
  }
  launch.words = ports.words;
  launch.word_count = launch_.entry->word_count;
  launch.registers = registers;
  for (size_t s = 0; s < 2; ++s) launch.send[s] = reinterpret_cast<uint8_t*>(ports.send[s]);
  launch.send_count[0] = launch_.kv_writes;
  launch.send_count[1] = launch_.entry->host_send_vectors;
  launch.stuck_edges_max = kStuckEdges;
  launch.allow = ports.allow;
  launch.allow_context = ports.allow_context;
  core_->launch(launch, result_);
  return result_.status == PIANOLA_RTL_DONE && result_.sent[0] == launch.send_count[0] &&
         result_.sent[1] == launch.send_count[1];
}

Result<LaunchResult> RtlPlatformCore::finish() {
  const Entry& entry = *launch_.entry;
  if (result_.status == PIANOLA_RTL_FAULT) {
    std::string text;
    for (uint32_t i = 0; i < result_.fault_count; ++i) {
      text += (i ? "; " : "") + describe_fault(launch_.roll->target, result_.faults[i]);
    }
    return Error{ErrorCode::Malformed, text, "entry " + entry.name};
  }
  if (result_.status != PIANOLA_RTL_DONE) return stuck_error(entry, result_.cycles);
  for (const auto& [what, sent, declared] :
       {std::tuple{"KV", result_.sent[0], launch_.kv_writes},
        std::tuple{"host", result_.sent[1], uint64_t{entry.host_send_vectors}}}) {
    if (sent != declared) {
      return Error{ErrorCode::Mismatch,
                   std::string(what) + " port sent " + std::to_string(sent) +
                       " vectors, the entry declares " + std::to_string(declared),
                   "entry " + entry.name};
    }
  }
  LaunchResult out;
  out.cycles = result_.cycles;
  out.frozen_cycles = result_.frozen;
  out.frozen_after_first = result_.frozen_after_first;
  return out;
}

// -- The emulator
// ----------------------------------------------------------------------------------

// The emulator plays the launch at once; on the platform its ports are then timed, and what arrives
// is compared with what the emulator has read.
class EmulatorPlatformCore final : public DeviceCore {
 public:
  Status load(const Roll& roll, uint64_t poison) override {
    schedules_.clear();
    schedules_.resize(roll.metadata.entries.size());
    return emulator_.load(roll, poison);
  }
  std::span<std::byte> kv_region() override { return emulator_.kv_region(); }
  Status prepare(const CoreLaunch& launch) override;
  bool play(const CorePorts& ports) override;
  Result<LaunchResult> finish() override;

 private:
  void compare(uint32_t port, uint64_t first, uint32_t count);

  Emulator emulator_;
  std::vector<std::optional<PortSchedule>> schedules_;  // by entry, when first launched
  CoreLaunch launch_;
  LaunchResult played_;
  std::vector<std::byte> kv_sent_;     // in the order of the port
  std::vector<uint64_t> received_[2];  // vectors of tape and KV that the emulator has read
  CorePorts ports_;
  PortTimingResult timing_;
  std::string difference_;
};

Status EmulatorPlatformCore::prepare(const CoreLaunch& launch) {
  launch_ = launch;
  const Entry& entry = *launch.entry;
  const auto number = static_cast<size_t>(launch.request->entry);
  if (!schedules_[number]) {
    TRY(schedules_[number], schedule_ports(launch.roll->target, launch.roll->entry_words(entry)));
  }
  const std::vector<uint32_t>& registers = launch.request->registers;
  received_[0] = expand_segments(entry.tape, registers);
  received_[1] = expand_segments(entry.kv_read, registers);
  // New rows reach the KV region through the platform: the emulator's are taken back.
  const std::vector<uint64_t> rows = expand_segments(entry.kv_write, registers);
  const auto lanes = static_cast<size_t>(launch.roll->target.lanes);
  std::vector<std::byte> before(rows.size() * lanes);
  kv_sent_.resize(before.size());
  std::byte* kv = emulator_.kv_region().data();
  for (size_t i = 0; i < rows.size(); ++i) {
    std::memcpy(before.data() + i * lanes, kv + rows[i] * lanes, lanes);
  }
  TRY(played_, emulator_.launch(*launch.request));
  for (size_t i = 0; i < rows.size(); ++i) {
    std::memcpy(kv_sent_.data() + i * lanes, kv + rows[i] * lanes, lanes);
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    std::memcpy(kv + rows[i] * lanes, before.data() + i * lanes, lanes);
  }
  return Ok{};
}

bool EmulatorPlatformCore::play(const CorePorts& ports) {
  ports_ = ports;
  difference_.clear();
  if (!kv_sent_.empty()) std::memcpy(ports.send[0], kv_sent_.data(), kv_sent_.size());
  if (!played_.host_output.empty()) {
    std::memcpy(ports.send[1], played_.host_output.data(), played_.host_output.size());
  }
  PortTimingRequest request;
  request.receive_count = {launch_.tape_vectors, launch_.kv_reads,
                           launch_.entry->host_receive_vectors};
  request.send_count = {launch_.kv_writes, launch_.entry->host_send_vectors};
  request.stuck_edges_max = kStuckEdges;
  request.allow = ports.allow;
  request.allow_context = ports.allow_context;
  request.received = [](void* context, uint32_t port, uint64_t first, uint32_t count) {
    static_cast<EmulatorPlatformCore*>(context)->compare(port, first, count);
  };
  request.received_context = this;
  timing_ = play_port_timing(launch_.roll->target,
                             *schedules_[static_cast<size_t>(launch_.request->entry)], request);
  return timing_.done && difference_.empty();
}

void EmulatorPlatformCore::compare(uint32_t port, uint64_t first, uint32_t count) {
  const auto lanes = static_cast<size_t>(launch_.roll->target.lanes);
  const std::byte* sources[] = {launch_.roll->data.data(), emulator_.kv_region().data(),
                                launch_.request->host_input.data()};
  for (uint64_t i = first; i < first + count; ++i) {
    const uint64_t vector = port < 2 ? received_[port][i] : i;
    const std::byte* got = ports_.receive[port].ring + i % ports_.receive[port].vectors * lanes;
    if (std::memcmp(got, sources[port] + vector * lanes, lanes) == 0) continue;
    difference_ = "vector " + std::to_string(i) + " of port " + std::to_string(port) +
                  " is not what the emulator has read";
    return;
  }
}

Result<LaunchResult> EmulatorPlatformCore::finish() {
  const std::string where = "entry " + launch_.entry->name;
  if (!difference_.empty()) return Error{ErrorCode::Mismatch, difference_, where};
  if (!timing_.done) return stuck_error(*launch_.entry, timing_.cycles);
  if (timing_.cycles != played_.cycles) {
    return Error{ErrorCode::Mismatch,
                 "the ports took " + std::to_string(timing_.cycles) +
                     " machine cycles, the emulator " + std::to_string(played_.cycles),
                 where};
  }
  LaunchResult out;
  out.cycles = timing_.cycles;
  out.frozen_cycles = timing_.frozen;
  out.frozen_after_first = timing_.frozen_after_first;
  return out;
}

// -- The device
// ------------------------------------------------------------------------------------

Status check_timing(const MemoryTiming& timing) {
  const char* problem = nullptr;
  if (!(timing.efficiency > 0 && timing.efficiency <= 1)) {
    problem = "efficiency must be above 0 and at most 1";
  } else if (timing.burst_bytes == 0 || timing.burst_bytes > 65536) {
    problem = "burst_bytes must be in 1..65536";
  } else if (timing.latency_cycles > 1'000'000 || timing.jitter_cycles > 1'000'000) {
    problem = "latency_cycles and jitter_cycles must be at most 1000000";
  } else if (timing.refresh_cycles > 0 && timing.refresh_cycles >= timing.refresh_interval_cycles) {
    problem = "refresh_cycles must be less than refresh_interval_cycles";
  } else if (timing.starve_first > 1'000'000'000'000 || timing.starve_cycles > 1'000'000'000'000) {
    problem = "starve_first and starve_cycles must be at most 10^12";
  }
  if (!problem) return Ok{};
  return Error{ErrorCode::InvalidArgument, problem, "memory timing of the systemc device"};
}

class SystemcDevice final : public Device {
 public:
  explicit SystemcDevice(SystemcOptions options) : options_(std::move(options)) {
    if (options_.core == SystemcCore::Rtl) {
      core_ = std::make_unique<RtlPlatformCore>(options_.build);
    } else {
      core_ = std::make_unique<EmulatorPlatformCore>();
    }
  }
  std::string_view name() const override { return "systemc"; }
  Status load(const Roll& roll, uint64_t poison) override {
    roll_ = nullptr;
    TRY_STATUS(check_platform());
    TRY_STATUS(check_timing(options_.timing));
    TRY_STATUS(core_->load(roll, poison));
    roll_ = &roll;
    return Ok{};
  }
  Result<LaunchResult> launch(const LaunchRequest& request) override;
  std::span<std::byte> kv_region() override { return core_->kv_region(); }

 private:
  Result<CoreLaunch> check_request(const LaunchRequest& request) const;

  SystemcOptions options_;
  std::unique_ptr<DeviceCore> core_;
  const Roll* roll_ = nullptr;
};

// The vectors of a list, if all of them lie in a region of `vectors`.
Result<uint64_t> count_vectors(std::span<const Segment> segments,
                               std::span<const uint32_t> registers, uint64_t vectors,
                               const char* what, const Entry& entry) {
  SegmentWalker walker(segments, registers);
  const uint64_t total = walker.vectors();
  while (!walker.done()) {
    const SegmentWalker::Run run = walker.next(total);
    if (run.first >= vectors || run.count > vectors - run.first) {
      return Error{ErrorCode::OutOfRange, std::string(what) + " segments reach beyond their region",
                   "entry " + entry.name};
    }
  }
  return total;
}

Result<CoreLaunch> SystemcDevice::check_request(const LaunchRequest& request) const {
  if (!roll_) return Error{ErrorCode::InvalidArgument, "no roll is loaded", "systemc device"};
  const std::vector<Entry>& entries = roll_->metadata.entries;
  if (request.entry < 0 || static_cast<size_t>(request.entry) >= entries.size()) {
    return Error{ErrorCode::InvalidArgument,
                 "entry " + std::to_string(request.entry) + " of a roll with " +
                     std::to_string(entries.size()),
                 "systemc device"};
  }
  CoreLaunch launch;
  launch.roll = roll_;
  launch.entry = &entries[static_cast<size_t>(request.entry)];
  launch.request = &request;
  const Entry& entry = *launch.entry;
  const auto lanes = static_cast<size_t>(roll_->target.lanes);
  const size_t need = size_t{entry.host_receive_vectors} * lanes;
  if (request.host_input.size() != need) {
    return Error{ErrorCode::InvalidArgument,
                 "host input has " + std::to_string(request.host_input.size()) +
                     " bytes, the entry takes " + std::to_string(need),
                 "entry " + entry.name};
  }
  TRY_STATUS(check_registers(entry, request.registers));
  const uint64_t kv_vectors = roll_->metadata.kv_vectors;
  TRY(launch.tape_vectors,
      count_vectors(entry.tape, request.registers, roll_->data.size() / lanes, "tape", entry));
  TRY(launch.kv_reads,
      count_vectors(entry.kv_read, request.registers, kv_vectors, "KV read", entry));
  TRY(launch.kv_writes,
      count_vectors(entry.kv_write, request.registers, kv_vectors, "KV write", entry));
  return launch;
}

Result<LaunchResult> SystemcDevice::launch(const LaunchRequest& request) {
  TRY(const CoreLaunch checked, check_request(request));
  TRY_STATUS(core_->prepare(checked));
  const Entry& entry = *checked.entry;
  std::vector<std::byte> host_output(entry.host_send_vectors *
                                     static_cast<size_t>(roll_->target.lanes));
  PlatformLaunch launch;
  launch.target = &roll_->target;
  launch.entry = &entry;
  launch.timing = &options_.timing;
  launch.registers = request.registers;
  launch.words = roll_->entry_words(entry);
  launch.tape = roll_->data;
  launch.host_input = request.host_input;
  launch.kv = core_->kv_region();
  launch.host_output = host_output;
  launch.core = core_.get();
  TRY_STATUS(play_on_platform(launch));
  TRY(LaunchResult result, core_->finish());
  result.host_output = std::move(host_output);
  return result;
}

}  // namespace

// Micron MT40A1G8 at DDR4-2400, as gem5's DDR4_2400_8x8 has it: tREFI 7.8 us, tRFC 350 ns,
// tRCD = CL = 14.16 ns. 60 ns for controller, PHY and bus are assumed.
MemoryTiming ddr4_timing(double clock_mhz) {
  const auto cycles = [clock_mhz](double nanoseconds) {
    return static_cast<uint32_t>(std::ceil(nanoseconds * clock_mhz / 1000));
  };
  MemoryTiming timing;
  timing.latency_cycles = cycles(2 * 14.16 + 60);
  timing.refresh_interval_cycles = cycles(7800);
  timing.refresh_cycles = cycles(350);
  return timing;
}

std::unique_ptr<Device> make_systemc_device(SystemcOptions options) {
  return std::make_unique<SystemcDevice>(std::move(options));
}

}  // namespace pianola
