#include "emulator/lockstep.h"

#include <algorithm>

#include "emulator/emulator.h"

namespace pianola {
namespace {

class LockstepDevice : public Device {
 public:
  explicit LockstepDevice(RtlDeviceOptions options) {
    options.build.probes = true;
    options.lockstep = [this](const LaunchRequest&) { return std::move(expected_); };
    rtl_ = make_rtl_device(std::move(options));
  }
  std::string_view name() const override { return rtl_->name(); }
  std::span<std::byte> kv_region() override { return rtl_->kv_region(); }

  Status load(const Roll& roll, uint64_t poison) override {
    TRY_STATUS(emulator_.load(roll, poison));
    return rtl_->load(roll, poison);
  }

  // The KV region that the host sees and may write is the RTL's.
  Result<LaunchResult> launch(const LaunchRequest& request) override {
    const std::span<const std::byte> kv = rtl_->kv_region();
    std::copy(kv.begin(), kv.end(), emulator_.kv_region().begin());
    LaunchResult emulated;
    TRY(std::vector<DriveEvent> events, emulator_.drive_events(request, &emulated));
    expected_ = expected_of(events);
    expected_.result = std::move(emulated);
    expected_.kv = emulator_.kv_region();
    return rtl_->launch(request);
  }

 private:
  static ExpectedDrives expected_of(const std::vector<DriveEvent>& events) {
    ExpectedDrives expected;
    size_t bytes = 0;
    for (const DriveEvent& event : events) bytes += event.bytes.size();
    expected.storage.reserve(bytes);
    for (const DriveEvent& event : events) {
      PianolaRtlDrive drive{};
      drive.cycle = event.cycle;
      drive.position = static_cast<uint32_t>(event.position);
      drive.direction = static_cast<uint32_t>(event.direction);
      drive.stream = static_cast<uint32_t>(event.stream);
      drive.bytes = expected.storage.data() + expected.storage.size();
      for (std::byte b : event.bytes) expected.storage.push_back(static_cast<uint8_t>(b));
      expected.drives.push_back(drive);
    }
    return expected;
  }

  Emulator emulator_;
  std::unique_ptr<Device> rtl_;
  ExpectedDrives expected_;
};

}  // namespace

std::unique_ptr<Device> make_lockstep_device(RtlDeviceOptions options) {
  return std::make_unique<LockstepDevice>(std::move(options));
}

}  // namespace pianola
