#include "bench/measure_emulator.h"

#include <algorithm>
#include <numeric>
#include <span>

#include "bench/host_limits.h"
#include "emulator/emulator.h"
#include "host/engine.h"

namespace pianola {
namespace {

constexpr int kPrefillRounds = 4;
constexpr int kDecodeRounds = 5;

// Another device with a watch.
class TimedDevice : public Device {
 public:
  explicit TimedDevice(Device& device) : device_(device) {}
  std::string_view name() const override { return device_.name(); }
  Status load(const Roll& roll, uint64_t poison) override { return device_.load(roll, poison); }
  Result<LaunchResult> launch(const LaunchRequest& request) override {
    const double start = thread_seconds();
    Result<LaunchResult> result = device_.launch(request);
    launches.push_back(thread_seconds() - start);
    return result;
  }
  std::span<std::byte> kv_region() override { return device_.kv_region(); }
  double total() const { return std::accumulate(launches.begin(), launches.end(), 0.0); }
  std::vector<double> launches;  // seconds of each

 private:
  Device& device_;
};

uint64_t tape_bytes_of(const Roll& roll, const Entry& entry) {
  uint64_t vectors = 0;
  for (const Segment& segment : entry.tape) vectors += uint64_t{segment.count} * segment.repeat;
  return vectors * static_cast<uint64_t>(roll.target.lanes);
}

// Ids that are no two neighbours alike.
std::vector<int> some_ids(int count, int vocabulary) {
  std::vector<int> ids;
  for (int i = 0; i < count; ++i) ids.push_back((i * 7919 + 13) % vocabulary);
  return ids;
}

Status measure_prefill(Engine& engine, TimedDevice& device, std::span<const int> ids,
                       const std::vector<uint64_t>& macs, EmulatorMeasurement& result) {
  double best = 0;
  for (int round = 0; round < kPrefillRounds; ++round) {
    TRY_STATUS(engine.rewind(0));
    engine.clear_launches();
    device.launches.clear();
    TRY(const auto logits, engine.extend(ids));
    (void)logits;
    if (round == 0 || device.total() < best) best = device.total();
  }
  uint64_t all = 0;
  for (const LaunchRecord& launch : engine.launches()) all += macs[launch.entry];
  result.prefill_tokens = static_cast<int>(ids.size());
  result.prefill_tokens_per_second = static_cast<double>(ids.size()) / best;
  result.prefill_macs_per_second = static_cast<double>(all) / best;
  return Ok{};
}

Status measure_decode(const Roll& roll, Engine& engine, TimedDevice& device,
                      std::span<const int> ids, EmulatorMeasurement& result) {
  for (int round = 0; round < kDecodeRounds; ++round) {
    TRY_STATUS(engine.rewind(0));
    engine.clear_launches();
    device.launches.clear();
    const double start = thread_seconds();
    for (size_t i = 0; i < ids.size(); ++i) {
      TRY(const auto logits, engine.extend(ids.subspan(i, 1)));
      (void)logits;
    }
    const double speed = static_cast<double>(ids.size()) / (thread_seconds() - start);
    result.decode_tokens_per_second_engine =
        std::max(result.decode_tokens_per_second_engine, speed);
    result.decode_tokens_per_second = std::max(
        result.decode_tokens_per_second, 1 / *std::ranges::min_element(device.launches));
  }
  for (const LaunchRecord& launch : engine.launches()) {
    const Entry& entry = roll.metadata.entries[launch.entry];
    result.tape_bytes = std::max(result.tape_bytes, tape_bytes_of(roll, entry));
  }
  result.decode_tokens = static_cast<int>(ids.size());
  result.tape_bytes_per_second =
      static_cast<double>(result.tape_bytes) * result.decode_tokens_per_second;
  result.plain_read_bytes_per_second = plain_read_speed(result.tape_bytes);
  return Ok{};
}

}  // namespace

Result<EmulatorMeasurement> measure_emulator(const Roll& roll, const std::vector<uint64_t>& macs,
                                             const EmulatorMeasurementOptions& options) {
  const int context = roll.metadata.model.context;
  if (options.tokens < 1 || options.tokens > context || options.prompt < 0 ||
      options.prompt > context) {
    return Error{ErrorCode::InvalidArgument,
                 "tokens and prompt must fit the context of the roll, " + std::to_string(context) +
                     ", and there must be a token; got " + std::to_string(options.tokens) +
                     " and " + std::to_string(options.prompt),
                 "measure_emulator"};
  }
  EmulatorMeasurement result;
  Emulator emulator(options.kernels);
  TimedDevice device(emulator);
  TRY_STATUS(device.load(roll, 1));
  const auto& entries = roll.metadata.entries;
  for (size_t i = 0; i < entries.size(); ++i) {
    const double start = thread_seconds();
    TRY(const Program* program, emulator.program(static_cast<int>(i)));
    result.lifts.push_back({entries[i].name, thread_seconds() - start, describe_program(*program)});
  }
  TRY(Engine engine, Engine::create(roll, device));
  const std::vector<int> ids =
      some_ids(std::max(options.prompt, options.tokens), roll.metadata.model.vocabulary);
  if (options.prompt > 0) {
    TRY_STATUS(measure_prefill(engine, device, std::span(ids).first(options.prompt), macs, result));
  }
  TRY_STATUS(measure_decode(roll, engine, device, std::span(ids).first(options.tokens), result));
  return result;
}

}  // namespace pianola
