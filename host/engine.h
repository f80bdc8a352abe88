// The runtime engine: one sequence on one device. It owns the position, picks the entry and bucket
// for the tokens at hand, fills in the launch registers, and turns what leaves the host port into
// logits. The logits at a position do not depend on how the tokens were split over launches.
// Several sequences take turns on a device through host/shared_engine.h.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "emulator/device.h"
#include "isa/result.h"
#include "isa/roll.h"

namespace pianola {

// One launch, as it went.
struct LaunchRecord {
  int entry = 0;
  int position = 0;  // of its first token
  int tokens = 0;    // that were real; the rest was padding
  uint64_t predicted_cycles = 0, cycles = 0, frozen_cycles = 0, frozen_after_first = 0;
};

// The entry that takes the most of `remaining` tokens at a position for the fewest cycles per
// token; -1: no entry has room there.
int choose_entry(const Roll& roll, int position, int remaining);
// The entry that takes `tokens` at once for the fewest cycles; -1: none does.
int choose_entry_for_all(const Roll& roll, int position, int tokens);

// Whether the roll's entries send tokens, so that there is nothing but greedy choice.
bool sends_tokens(const Roll& roll);

// The launch parameters of an entry, by index.
std::vector<uint32_t> launch_registers(const Entry& entry, int lanes, int position,
                                       std::span<const int> tokens);

class Engine {
 public:
  // The device has loaded the roll; both must outlive the engine. Plays the roll's load entry, if
  // it has one.
  static Result<Engine> create(const Roll& roll, Device& device);

  // Appends tokens, in launches of the engine's choice, and returns the logits after each:
  // [tokens][vocabulary]. Errors: OutOfRange beyond the roll's context or vocabulary.
  Result<std::vector<std::vector<float>>> extend(std::span<const int> tokens);
  // The same with one launch of a given entry; at most the entry's tokens, padded to them.
  Result<std::vector<std::vector<float>>> extend_with(int entry, std::span<const int> tokens);

  // One launch of a given entry, or of the engine's choice (then as many of the tokens as it
  // takes); returns how many it took. read_logits gives what came out. Errors as of extend.
  Result<int> launch(int entry, std::span<const int> tokens);
  Result<int> launch_some(std::span<const int> tokens);
  // The logits after token `index` of the latest launch: [vocabulary]. An entry that sends tokens tells the
  // largest alone; the others are -inf here.
  void read_logits(int index, std::span<float> logits) const;

  // Forgets everything from `position` on: the next token goes there. Position 0 starts anew.
  Status rewind(int position);
  // Goes on with another sequence, of which the KV region now holds `position` positions.
  void resume(int position);

  int position() const { return position_; }
  int context() const { return roll_->metadata.model.context; }
  const std::vector<LaunchRecord>& launches() const { return launches_; }
  void clear_launches() { launches_.clear(); }
  // True if the entry can take tokens at the present position.
  bool can_launch(int entry) const;

 private:
  Engine(const Roll& roll, Device& device) : roll_(&roll), device_(&device) {}
  Status play_load_entries();
  void read_choice(int index, std::span<float> logits) const;
  std::vector<std::vector<float>> all_logits(int tokens) const;

  const Roll* roll_;
  Device* device_;
  int position_ = 0;
  std::vector<LaunchRecord> launches_;
  std::vector<std::byte> output_;  // of the latest launch
  int output_tokens_ = 0;          // of its entry
  bool sends_tokens_ = false;      // it does
};

}  // namespace pianola
