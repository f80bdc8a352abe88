// Speed of the emulator beside the speed at which this machine reads memory, in one run and one
// thread:
//
//     emulator_speed ROLL [--tokens N] [--prompt N] [--kernels NAME] [--operations]
//
// decode: tokens one by one; prefill: a prompt in launches of the engine's choice. Device time is
// the time inside Device::launch, the rest is the engine's. `tape` is what an entry reads of the
// data tape; its bytes per second stand beside a plain sum over as many bytes of the same data.
// Times are of the thread on its processor; percentages are of the fastest launch and the fastest
// sum.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <numeric>
#include <string>
#include <vector>

#include "emulator/emulator.h"
#include "host/engine.h"
#include "isa/roll.h"

namespace pianola {
namespace {

// Seconds of this thread on a processor: what it waits for others does not count.
double now() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Another device with a watch.
class TimedDevice : public Device {
 public:
  explicit TimedDevice(Device& device) : device_(device) {}
  std::string_view name() const override { return device_.name(); }
  Status load(const Roll& roll, uint64_t poison) override { return device_.load(roll, poison); }
  Result<LaunchResult> launch(const LaunchRequest& request) override {
    const double start = now();
    Result<LaunchResult> result = device_.launch(request);
    launches.push_back(now() - start);
    return result;
  }
  std::span<std::byte> kv_region() override { return device_.kv_region(); }
  std::vector<double> launches;  // seconds of each

 private:
  Device& device_;
};

uint64_t tape_bytes(const Roll& roll, const Entry& entry) {
  uint64_t vectors = 0;
  for (const Segment& segment : entry.tape) vectors += uint64_t{segment.count} * segment.repeat;
  return vectors * static_cast<uint64_t>(roll.target.lanes);
}

[[gnu::target_clones("default", "avx2", "arch=x86-64-v4")]] uint64_t sum_of(const uint64_t* words,
                                                                           size_t count) {
  uint64_t sums[32] = {};
  for (size_t i = 0; i + 32 <= count; i += 32) {
    for (size_t j = 0; j < 32; ++j) sums[j] += words[i + j];
  }
  uint64_t total = 0;
  for (uint64_t s : sums) total += s;
  return total;
}

// Bytes per second of the best of some rounds.
double read_speed(std::span<const std::byte> data, size_t bytes) {
  bytes = std::min(bytes, data.size());
  std::vector<uint64_t> words(bytes / 8);
  std::memcpy(words.data(), data.data(), words.size() * 8);
  double best = 0;
  volatile uint64_t sink = 0;
  for (int round = 0; round < 15; ++round) {
    const double start = now();
    sink = sink + sum_of(words.data(), words.size());
    best = std::max(best, static_cast<double>(words.size() * 8) / (now() - start));
  }
  return best;
}

// int8 multiplications of the fused products of an entry.
uint64_t multiplications_of(Emulator& emulator, int entry) {
  const auto program = emulator.program(entry);
  if (!program.ok()) return 0;
  uint64_t tiles = 0;
  for (const Product& product : (*program)->products) {
    const ProductInput& input = (*program)->product_inputs[product.input];
    tiles += uint64_t{input.tiles} * input.columns;
  }
  return tiles * static_cast<uint64_t>((*program)->lanes) * (*program)->lanes;
}

int run(int count, char** arguments) {
  int tokens = 64, prompt = 0;
  bool operations = false;
  const Kernels* kernels = nullptr;
  std::string path;
  for (int i = 1; i < count; ++i) {
    const std::string argument = arguments[i];
    const bool has_value = i + 1 < count;
    if (argument == "--tokens" && has_value) {
      tokens = std::stoi(arguments[++i]);
    } else if (argument == "--prompt" && has_value) {
      prompt = std::stoi(arguments[++i]);
    } else if (argument == "--kernels" && has_value) {
      int known = 0;
      const Kernels* const* list = host_kernels(known);
      for (int k = 0; k < known; ++k) {
        if (std::string(list[k]->name) == arguments[i + 1]) kernels = list[k];
      }
      ++i;
    } else if (argument == "--operations") {
      operations = true;
    } else {
      path = argument;
    }
  }
  Result<Roll> roll = read_roll(path);
  if (!roll.ok()) {
    std::fprintf(stderr, "%s\n", to_string(roll.error()).c_str());
    return 1;
  }
  Emulator emulator(kernels);
  TimedDevice device(emulator);
  if (!device.load(*roll, 1).ok()) return 1;
  const auto& entries = roll->metadata.entries;
  for (size_t i = 0; i < entries.size(); ++i) {
    const double start = now();
    const auto lifted = emulator.program(static_cast<int>(i));
    if (!lifted.ok()) std::fprintf(stderr, "%s\n", to_string(lifted.error()).c_str());
    std::printf("lift %-14s %7.3f s\n", entries[i].name.c_str(), now() - start);
    if (operations && lifted.ok()) std::printf("%s", describe_program(**lifted).c_str());
  }
  Result<Engine> engine = Engine::create(*roll, device);
  if (!engine.ok()) return 1;
  const int vocabulary = roll->metadata.model.vocabulary;
  std::vector<int> ids;
  for (int i = 0; i < std::max(prompt, tokens); ++i) ids.push_back((i * 7919 + 13) % vocabulary);

  if (prompt > 0) {
    double seconds = 0, inside = 0;
    uint64_t multiplications = 0;
    for (int round = 0; round < 4; ++round) {
      if (!engine->rewind(0).ok()) return 1;
      engine->clear_launches();
      device.launches.clear();
      const double start = now();
      if (const auto r = engine->extend(std::span(ids).first(prompt)); !r.ok()) {
        std::fprintf(stderr, "%s\n", to_string(r.error()).c_str());
        return 1;
      }
      const double all = std::accumulate(device.launches.begin(), device.launches.end(), 0.0);
      if (round == 0 || all < inside) {
        seconds = now() - start;
        inside = all;
      }
    }
    double best = 0;
    for (const LaunchRecord& launch : engine->launches()) {
      const uint64_t one = multiplications_of(emulator, launch.entry);
      multiplications += one;
      const size_t i = static_cast<size_t>(&launch - engine->launches().data());
      best = std::max(best, static_cast<double>(one) / device.launches[i]);
    }
    std::printf("prefill of %d: %.1f tokens/s in the device, %.1f with the engine\n", prompt,
                prompt / inside, prompt / seconds);
    std::printf("products: %.1f GMAC/s, %.1f in the fastest launch\n",
                static_cast<double>(multiplications) / inside / 1e9, best / 1e9);
  }
  // A machine that does other work too shows in the mean, less so in the fastest launch.
  double mean = 0, with_engine = 0, fastest = 0;
  uint64_t bytes = 0;
  for (int round = 0; round < 5; ++round) {
    if (!engine->rewind(0).ok()) return 1;
    engine->clear_launches();
    device.launches.clear();
    const double start = now();
    for (int i = 0; i < tokens; ++i) {
      if (!engine->extend(std::span(ids).subspan(i, 1)).ok()) return 1;
    }
    with_engine = std::max(with_engine, tokens / (now() - start));
    const double all = std::accumulate(device.launches.begin(), device.launches.end(), 0.0);
    mean = std::max(mean, tokens / all);
    fastest = std::max(fastest, 1 / *std::ranges::min_element(device.launches));
  }
  for (const LaunchRecord& launch : engine->launches()) {
    bytes = std::max(bytes, tape_bytes(*roll, entries[launch.entry]));
  }
  const double plain = read_speed(roll->data, bytes);
  std::printf("decode: %.1f tokens/s in the fastest launch, %.1f in the device, %.1f with the "
              "engine\n", fastest, mean, with_engine);
  const double read = static_cast<double>(bytes) * fastest;
  std::printf("tape: %.2f MB a token, %.2f GB/s; plain read %.2f GB/s; %.1f %%\n",
              static_cast<double>(bytes) / 1e6, read / 1e9, plain / 1e9, 100 * read / plain);
  return 0;
}

}  // namespace
}  // namespace pianola

int main(int count, char** arguments) { return pianola::run(count, arguments); }
