// The Verilated core as a Device. Optionally in lockstep: each launch is compared, drive by drive,
// with what another executor says; the first difference is an error that names cycle, position,
// direction and stream, and the launch is played again with a waveform around that cycle.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "emulator/build_rtl.h"
#include "emulator/device.h"
#include "rtl/harness/rtl_abi.h"

namespace pianola {

// A loaded library and one model in it: the C interface with an owner.
class RtlCore {
 public:
  static Result<std::unique_ptr<RtlCore>> open(const std::filesystem::path& library);
  ~RtlCore();
  RtlCore(const RtlCore&) = delete;
  RtlCore& operator=(const RtlCore&) = delete;

  bool can_trace() const { return functions_->can_trace() != 0; }
  // All words of a slice of MEM: [words_per_slice, lanes] bytes; written: [words_per_slice], not 0 for
  // each word that counts as written, or empty for none. Other sizes are errors of the program.
  void set_slice(int slice, std::span<const uint8_t> words, std::span<const uint8_t> written);
  // The same; written may be empty.
  void get_slice(int slice, std::span<uint8_t> words, std::span<uint8_t> written) const;
  void launch(const PianolaRtlLaunch& launch, PianolaRtlResult& result) {
    functions_->launch(model_, &launch, &result);
  }

 private:
  RtlCore() = default;
  void check_slice(int slice, size_t word_bytes, size_t written_bytes) const;
  void* handle_ = nullptr;
  const PianolaRtlFunctions* functions_ = nullptr;
  PianolaRtlModel* model_ = nullptr;
};

// All drives that a launch must do, sorted by cycle. `drives[i].bytes` point into `storage` or
// into memory that outlives the launch.
struct ExpectedDrives {
  std::vector<PianolaRtlDrive> drives;
  std::vector<uint8_t> storage;
  bool complete = true;  // a drive that is not listed is a difference
  // What is there after the launch, where it is known: what leaves by ports is no stream drive.
  std::optional<LaunchResult> result;  // cycles and host output
  std::span<const std::byte> kv;       // the KV region; outlives the launch
};

// One bit of the core's state that is flipped before a machine cycle: a test of what the checks find.
struct FaultInjection {
  uint64_t cycle = 0;
  uint64_t seed = 0;  // which bit
  uint32_t classes = PIANOLA_RTL_STATE_STREAM | PIANOLA_RTL_STATE_MEM | PIANOLA_RTL_STATE_SEQUENCER |
                     PIANOLA_RTL_STATE_OTHER;
};

struct RtlDeviceOptions {
  BuildRtlOptions build;
  std::function<ExpectedDrives(const LaunchRequest& request)> lockstep;  // empty: none
  std::filesystem::path waveform;        // empty: no waveform of a difference
  uint64_t waveform_cycles_around = 32;
  uint64_t stuck_edges_max = 10'000'000;  // no machine cycle in so many: memory never answers
  // The fault to inject into a launch, by its number since load(). A launch that ends before the
  // cycle is refused, for it has tested nothing.
  std::function<std::optional<FaultInjection>(uint64_t launch)> inject;
  std::function<void(std::string_view bit, uint64_t cycle)> on_injected;
  // External timing: see rtl_abi.h; null is ideal memory.
  uint32_t (*allow)(void* context, uint32_t port, uint64_t edge, uint32_t most) = nullptr;
  void* allow_context = nullptr;
};

std::unique_ptr<Device> make_rtl_device(RtlDeviceOptions options);

// The name of a rule in the machine spec, for messages.
std::string describe_fault(const Target& target, const PianolaRtlFault& fault);

}  // namespace pianola
