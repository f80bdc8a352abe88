#include "tests/emulator/compare_executors.h"

#include <algorithm>
#include <sstream>

#include "emulator/emulator.h"
#include "emulator/naive_interpreter.h"

namespace pianola::test {
namespace {

using testing::AssertionFailure;
using testing::AssertionResult;
using testing::AssertionSuccess;

std::string text_of(const DriveEvent& e) {
  std::ostringstream text;
  text << "cycle " << e.cycle << " position " << e.position
       << (e.direction == Direction::East ? " east " : " west ") << e.stream << ":";
  for (const std::byte b : e.bytes) text << ' ' << std::to_integer<int>(b);
  return text.str();
}

// What a launch shows.
struct Seen {
  Result<LaunchResult> result = LaunchResult{};
  std::vector<DriveEvent> drives;
  std::vector<std::byte> kv;
};

AssertionResult same(const Seen& a, const Seen& b) {
  if (!a.result.ok()) return AssertionFailure() << "naive: " << to_string(a.result.error());
  if (!b.result.ok()) return AssertionFailure() << "emulator: " << to_string(b.result.error());
  if (a.result->cycles != b.result->cycles) return AssertionFailure() << "cycles differ";
  for (size_t i = 0; i < std::min(a.drives.size(), b.drives.size()); ++i) {
    if (a.drives[i] == b.drives[i]) continue;
    return AssertionFailure() << "first different drive:\nnaive    " << text_of(a.drives[i])
                              << "\nemulator " << text_of(b.drives[i]);
  }
  if (a.drives.size() != b.drives.size()) return AssertionFailure() << "numbers of drives differ";
  if (a.result->host_output != b.result->host_output) {
    return AssertionFailure() << "host outputs differ";
  }
  if (a.kv != b.kv) return AssertionFailure() << "KV regions differ";
  return AssertionSuccess();
}

std::vector<std::byte> copy_of(std::span<const std::byte> bytes) {
  return {bytes.begin(), bytes.end()};
}

}  // namespace

std::vector<std::byte> random_host_input(const Roll& roll, int entry, uint64_t seed) {
  const size_t vectors = roll.metadata.entries[static_cast<size_t>(entry)].host_receive_vectors;
  std::vector<std::byte> bytes(vectors * static_cast<size_t>(roll.target.lanes));
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = poison_byte(seed, 0x484f5354, i);
  return bytes;
}

testing::AssertionResult executors_agree(const Roll& roll,
                                         const std::vector<LaunchRequest>& launches,
                                         uint64_t poison) {
  std::vector<Seen> expected;
  NaiveInterpreter naive;
  if (!naive.load(roll, poison).ok()) return AssertionFailure() << "naive: load";
  for (const LaunchRequest& launch : launches) {
    Seen seen;
    seen.result = naive.launch(launch, &seen.drives);
    std::sort(seen.drives.begin(), seen.drives.end());
    seen.kv = copy_of(naive.kv_region());
    if (!seen.result.ok()) {
      return AssertionFailure() << "naive: " << to_string(seen.result.error());
    }
    expected.push_back(std::move(seen));
  }
  int count = 0;
  const Kernels* const* kernels = host_kernels(count);
  for (int k = 0; k < count; ++k) {
    Emulator plain(kernels[k]), recording(kernels[k]);
    if (!plain.load(roll, poison).ok() || !recording.load(roll, poison).ok()) {
      return AssertionFailure() << "emulator: load";
    }
    for (size_t i = 0; i < launches.size(); ++i) {
      const auto where = [&](const char* what) {
        return std::string(what) + " with kernels " + kernels[k]->name + ", launch " +
               std::to_string(i) + ": ";
      };
      Seen seen;
      LaunchResult launched;
      auto drives = recording.drive_events(launches[i], &launched);
      if (!drives.ok()) {
        return AssertionFailure() << where("recording") << to_string(drives.error());
      }
      seen.result = launched;
      seen.drives = std::move(drives).value();
      std::sort(seen.drives.begin(), seen.drives.end());
      seen.kv = copy_of(recording.kv_region());
      if (const AssertionResult r = same(expected[i], seen); !r) {
        return AssertionFailure() << where("recording") << r.message();
      }
      seen.result = plain.launch(launches[i]);
      seen.kv = copy_of(plain.kv_region());
      if (const AssertionResult r = same(expected[i], seen); !r) {
        return AssertionFailure() << where("playing") << r.message();
      }
    }
  }
  return AssertionSuccess();
}

}  // namespace pianola::test
