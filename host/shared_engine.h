// Many requests on one device. Each gets a slot for its KV rows; the device plays one launch at a
// time, and sequences take turns launch by launch (rolls have no batched entries). What a request
// gets is the same bits whatever else runs, in whichever slot, with or without reuse of a prefix or
// a draft: logits depend on the tokens alone (entry invariance), draws on seed and index alone.
//
//   TRY(SharedEngine engine, SharedEngine::create(roll, device, &tokenizer, {.slots = 8}));
//   engine.submit({.prompt = ids, .tokens_max = 64}, [](const GenerationUpdate& update) { ... });
//   while (engine.step()) {}
//
// Turns. Requests with a deadline go first, the earliest deadline first: as launches are short,
// their number and cycles known, and nothing else delays them, a deadline that was accepted is met.
// The others take turns in the order in which they came. The clock is the machine's: cycles of all
// launches.
//
// A request that is finished leaves its rows in its slot, for the next that begins with the same
// tokens.
//
// With a draft, a small model proposes what the `verify` entry then confirms in one launch.
//
// Not thread-safe; host/engine_thread.h is.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "emulator/device.h"
#include "host/engine.h"
#include "host/generation.h"
#include "host/kv_slots.h"
#include "isa/roll.h"

namespace pianola {

struct SharedEngineOptions {
  int slots = 8;  // sequences that hold KV rows; as many again for deadlines. See KvSlots
  int prefix_tokens_min = 8;  // shorter prefixes are not worth a copy from another slot
};

// A smaller model of the same vocabulary on a device of its own. Both must outlive the engine.
struct DraftModel {
  const Roll* roll = nullptr;
  Device* device = nullptr;
};

// The exact cost of a request before it is run, alone and without draft.
struct GenerationQuote {
  int launches = 0;
  std::uint64_t cycles = 0;              // if all tokens are generated
  std::uint64_t first_token_cycles = 0;  // until the first
};
// Error OutOfRange: no entry has room for it.
Result<GenerationQuote> quote_generation(const Roll& roll, int prompt_tokens, int cached_tokens,
                                         int generated_tokens);

struct SharedEngineTotals {
  std::uint64_t cycles = 0, frozen_cycles = 0, launches = 0, draft_cycles = 0, draft_launches = 0;
  std::uint64_t prompt_tokens = 0, cached_tokens = 0, generated_tokens = 0;
  std::uint64_t drafted_tokens = 0, accepted_tokens = 0;
  std::uint64_t requests = 0, cancelled = 0, failed = 0;
};

class SharedEngine {
 public:
  using Sink = std::function<void(GenerationUpdate)>;

  // The devices have loaded their rolls. Error Mismatch: the draft has another vocabulary.
  static Result<SharedEngine> create(const Roll& roll, Device& device, const Tokenizer* tokenizer,
                                     const SharedEngineOptions& options = {},
                                     std::optional<DraftModel> draft = std::nullopt);

  // Errors of check_generation, and OutOfRange for a deadline that cannot be met: then the sink is
  // never called. Else it is called as GenerationUpdate says, from submit and step.
  Result<std::uint64_t> submit(GenerationOptions options, Sink sink);
  // Takes effect before the next launch. Ids that are not known (any more) are ignored.
  void cancel(std::uint64_t id);
  void cancel_all();
  // Plays one launch. False: there is nothing to do.
  bool step();

  int waiting() const { return static_cast<int>(queue_.size()); }
  int running() const { return static_cast<int>(running_.size()); }
  // Machine cycles of all launches so far, the clock of deadlines.
  std::uint64_t clock_cycles() const { return totals_.cycles; }
  const SharedEngineTotals& totals() const { return totals_; }
  // Tokens of the prompt that are in a slot, as submit would find them now.
  int cached_tokens(std::span<const int> prompt) const;

 private:
  // A device with the rows of all slots.
  struct Lane {
    Engine engine;
    KvSlots kv;
    const Roll* roll;
  };
  struct Slot {
    std::vector<int> tokens;  // whose rows the slot holds
    int draft_positions = 0;  // rows of the draft, of the same tokens and what was proposed
    std::uint64_t used = 0;   // when it was last taken
    bool busy = false;
  };
  struct Request {
    std::uint64_t id = 0;
    Generation generation;
    Sink sink;
    GenerationCost cost;
    std::optional<std::uint64_t> deadline;  // by the clock
    int slot = -1;
    int position = 0;  // rows of the model in the slot
    std::vector<int> proposed;
    bool cancelled = false;
  };

  SharedEngine(Engine engine, const Roll& roll, Device& device, const Tokenizer* tokenizer,
               const SharedEngineOptions& options);

  Status check_deadline(const Request& request) const;
  std::uint64_t cycles_left(const Request& request) const;
  void drop_cancelled();
  void admit();
  int choose_slot(const Request& request) const;
  void take_slot(Request& request);
  Request* choose_request();
  Status advance(Request& request);
  Status prefill(Request& request);
  Status decode(Request& request, int entry);
  Status draft(Request& request);
  int tokens_to_propose(const Request& request) const;
  Result<int> launch(Lane& lane, Request& request, int position, int entry,
                     std::span<const int> tokens);
  void deliver(Request& request, GenerationUpdate update);
  void finish(Request& request, GenerationUpdate update, FinishReason reason,
              std::optional<Error> error = std::nullopt);
  void release(std::uint64_t id);

  const Roll* roll_;
  const Tokenizer* tokenizer_;
  SharedEngineOptions options_;
  std::unique_ptr<Lane> model_, draft_;
  std::vector<Slot> slots_;
  int ordinary_slots_ = 1;  // the others are for deadlines
  std::deque<std::unique_ptr<Request>> queue_;
  std::vector<std::unique_ptr<Request>> running_;
  std::size_t turn_ = 0;
  std::uint64_t next_id_ = 1, uses_ = 0;
  SharedEngineTotals totals_;
  std::vector<float> logits_;  // [vocabulary]
};

}  // namespace pianola
