#include "host/shared_engine.h"

#include <algorithm>
#include <string>

namespace pianola {
namespace {

int common_prefix(std::span<const int> a, std::span<const int> b) {
  const std::size_t most = std::min(a.size(), b.size());
  return static_cast<int>(
      std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(most), b.begin()).first -
      a.begin());
}

// The last token of a prompt is always put in: its logits are wanted.
int reusable(std::span<const int> held, std::span<const int> prompt) {
  return common_prefix(held, prompt.first(prompt.size() - 1));
}

}  // namespace

SharedEngine::SharedEngine(Engine engine, const Roll& roll, Device& device,
                           const Tokenizer* tokenizer, const SharedEngineOptions& options)
    : roll_(&roll),
      tokenizer_(tokenizer),
      options_(options),
      ordinary_slots_(allowed_slots(roll, options.slots)),
      logits_(static_cast<std::size_t>(roll.metadata.model.vocabulary)) {
  const int slots = allowed_slots(roll, 2 * ordinary_slots_);
  slots_.resize(static_cast<std::size_t>(slots));
  model_ = std::make_unique<Lane>(Lane{std::move(engine), KvSlots(roll, device, slots), &roll});
}

Result<SharedEngine> SharedEngine::create(const Roll& roll, Device& device,
                                          const Tokenizer* tokenizer,
                                          const SharedEngineOptions& options,
                                          std::optional<DraftModel> draft) {
  TRY(Engine engine, Engine::create(roll, device));
  SharedEngine shared(std::move(engine), roll, device, tokenizer, options);
  if (!draft) return shared;
  const RollModel& small = draft->roll->metadata.model;
  if (small.vocabulary != roll.metadata.model.vocabulary) {
    return Error{ErrorCode::Mismatch,
                 "the draft has a vocabulary of " + std::to_string(small.vocabulary) +
                     ", the model of " + std::to_string(roll.metadata.model.vocabulary) +
                     "; a draft needs the model's tokenizer",
                 "draft"};
  }
  if (sends_tokens(*draft->roll) && !sends_tokens(roll)) {
    return Error{
        ErrorCode::Unsupported,
        "the draft's roll sends tokens, the model's logits, from which other tokens can be "
        "drawn; compile the draft with --send logits",
        "draft"};
  }
  if (draft->roll->target.kv == KvResidence::Mem && shared.slots_.size() > 1) {
    return Error{ErrorCode::Unsupported,
                 "the draft's target keeps one sequence in MEM, the model's several; compile both "
                 "for a target with kv.residence = \"port\"",
                 "draft"};
  }
  TRY(Engine draft_engine, Engine::create(*draft->roll, *draft->device));
  shared.draft_ = std::make_unique<Lane>(Lane{
      std::move(draft_engine),
      KvSlots(*draft->roll, *draft->device, static_cast<int>(shared.slots_.size())), draft->roll});
  return shared;
}

Result<std::uint64_t> SharedEngine::submit(GenerationOptions options, Sink sink) {
  const RollModel& model = roll_->metadata.model;
  TRY_STATUS(check_generation(options, model.vocabulary, model.context));
  if (sends_tokens(*roll_)) TRY_STATUS(check_greedy(options));
  auto request = std::make_unique<Request>(Request{next_id_,
                                                   Generation(std::move(options), tokenizer_),
                                                   std::move(sink),
                                                   {},
                                                   {},
                                                   -1,
                                                   0,
                                                   {},
                                                   false});
  request->cost.prompt_tokens = static_cast<int>(request->generation.options().prompt.size());
  request->cost.submitted_at = totals_.cycles;
  if (request->generation.options().deadline_cycles) {
    request->deadline = totals_.cycles + *request->generation.options().deadline_cycles;
    TRY_STATUS(check_deadline(*request));
  }
  ++next_id_;
  ++totals_.requests;
  Request& added = *queue_.emplace_back(std::move(request));
  GenerationUpdate update;
  update.accepted = true;
  deliver(added, std::move(update));
  return added.id;
}

void SharedEngine::cancel(std::uint64_t id) {
  for (const auto& request : queue_) request->cancelled |= request->id == id;
  for (const auto& request : running_) request->cancelled |= request->id == id;
}

void SharedEngine::cancel_all() {
  for (const auto& request : queue_) request->cancelled = true;
  for (const auto& request : running_) request->cancelled = true;
}

int SharedEngine::cached_tokens(std::span<const int> prompt) const {
  int best = 0;
  for (const Slot& slot : slots_) {
    if (!prompt.empty()) best = std::max(best, reusable(slot.tokens, prompt));
  }
  return best;
}

// ---- Turns ----------------------------------------------------------------------------------

bool SharedEngine::step() {
  drop_cancelled();
  admit();
  Request* request = choose_request();
  if (request == nullptr) return false;
  const std::uint64_t id = request->id;
  const Status status = advance(*request);
  if (!status.ok()) finish(*request, {}, FinishReason::Failed, status.error());
  if (request->slot < 0) release(id);
  return true;
}

SharedEngine::Request* SharedEngine::choose_request() {
  Request* urgent = nullptr;
  for (const auto& request : running_) {
    if (!request->deadline) continue;
    if (urgent == nullptr || *request->deadline < *urgent->deadline) urgent = request.get();
  }
  if (urgent != nullptr || running_.empty()) return urgent;
  return running_[turn_++ % running_.size()].get();
}

void SharedEngine::drop_cancelled() {
  const auto finish_cancelled = [this](const auto& requests) {
    for (const auto& request : requests) {
      if (request->cancelled) finish(*request, {}, FinishReason::Cancelled);
    }
  };
  finish_cancelled(queue_);
  finish_cancelled(running_);
  const auto is_cancelled = [](const auto& request) { return request->cancelled; };
  std::erase_if(queue_, is_cancelled);
  std::erase_if(running_, is_cancelled);
}

void SharedEngine::admit() {
  // In the order of the queue, but what has a deadline passes what has none.
  for (std::size_t i = 0; i < queue_.size();) {
    const int slot = choose_slot(*queue_[i]);
    if (slot < 0) {
      ++i;
      continue;
    }
    std::unique_ptr<Request> request = std::move(queue_[i]);
    queue_.erase(queue_.begin() + static_cast<std::ptrdiff_t>(i));
    request->slot = slot;
    take_slot(*request);
    running_.push_back(std::move(request));
  }
}

// A free slot: the one with the longest part of the prompt, of equal ones the longest unused.
int SharedEngine::choose_slot(const Request& request) const {
  const auto most = request.deadline ? slots_.size() : static_cast<std::size_t>(ordinary_slots_);
  std::size_t ordinary = 0;
  for (const auto& other : running_) ordinary += other->deadline ? 0 : 1;
  if (!request.deadline && ordinary >= most) return -1;
  int best = -1, best_prefix = -1;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    const Slot& slot = slots_[i];
    if (slot.busy) continue;
    const int prefix = reusable(slot.tokens, request.generation.options().prompt);
    const bool older = best >= 0 && slot.used < slots_[static_cast<std::size_t>(best)].used;
    if (prefix > best_prefix || (prefix == best_prefix && older)) {
      best = static_cast<int>(i);
      best_prefix = prefix;
    }
  }
  return best;
}

void SharedEngine::take_slot(Request& request) {
  const GenerationOptions& options = request.generation.options();
  Slot& slot = slots_[static_cast<std::size_t>(request.slot)];
  int kept = 0;
  if (options.reuse_prefix && !options.score_prompt) {
    kept = reusable(slot.tokens, options.prompt);
    // Another slot, busy or not, may hold more of it.
    int source = -1, most = std::max(kept, options_.prefix_tokens_min - 1);
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      const int held = reusable(slots_[i].tokens, options.prompt);
      if (held <= most) continue;
      most = held;
      source = static_cast<int>(i);
    }
    if (source >= 0 && source != request.slot) {
      model_->kv.copy(source, request.slot, most);
      kept = most;
      if (draft_) {
        slot.draft_positions =
            std::min(slots_[static_cast<std::size_t>(source)].draft_positions, kept);
        draft_->kv.copy(source, request.slot, slot.draft_positions);
      }
    }
  }
  slot.busy = true;
  slot.used = ++uses_;
  slot.tokens.assign(options.prompt.begin(), options.prompt.begin() + kept);
  slot.draft_positions = std::min(slot.draft_positions, kept);
  request.position = kept;
  request.cost.cached_tokens = kept;
  request.cost.started_at = totals_.cycles;
  totals_.cached_tokens += static_cast<std::uint64_t>(kept);
}

void SharedEngine::release(std::uint64_t id) {
  std::erase_if(running_, [id](const auto& request) { return request->id == id; });
}

// ---- Launches -------------------------------------------------------------------------------

Status SharedEngine::advance(Request& request) {
  const auto pending =
      request.generation.tokens().size() - static_cast<std::size_t>(request.position);
  if (pending > 1 || request.generation.generated() == 0) return prefill(request);
  const int propose = tokens_to_propose(request);
  if (propose > static_cast<int>(request.proposed.size())) return draft(request);
  const int put_in = 1 + static_cast<int>(request.proposed.size());
  return decode(request, put_in > 1 ? choose_entry_for_all(*roll_, request.position, put_in) : -1);
}

// One launch for one of the slots of a device; entry -1: of the engine's choice.
Result<int> SharedEngine::launch(Lane& lane, Request& request, int position, int entry,
                                 std::span<const int> tokens) {
  lane.kv.activate(request.slot, position);
  lane.engine.resume(position);
  TRY(const int taken,
      entry < 0 ? lane.engine.launch_some(tokens) : lane.engine.launch(entry, tokens));
  lane.kv.mark_written(position, position + taken);
  const LaunchRecord record = lane.engine.launches().back();
  lane.engine.clear_launches();
  if (&lane == draft_.get()) {
    ++request.cost.draft_launches;
    ++totals_.draft_launches;
    request.cost.draft_cycles += record.cycles;
    totals_.draft_cycles += record.cycles;
    return taken;
  }
  ++request.cost.launches;
  ++totals_.launches;
  request.cost.cycles += record.cycles;
  request.cost.frozen_cycles += record.frozen_cycles;
  totals_.cycles += record.cycles;
  totals_.frozen_cycles += record.frozen_cycles;
  return taken;
}

Status SharedEngine::prefill(Request& request) {
  Generation& generation = request.generation;
  Slot& slot = slots_[static_cast<std::size_t>(request.slot)];
  const std::span<const int> rest =
      std::span(generation.tokens()).subspan(static_cast<std::size_t>(request.position));
  // Rows from here on are overwritten, whatever becomes of the launch.
  slot.tokens.resize(static_cast<std::size_t>(request.position));
  TRY(const int taken, launch(*model_, request, request.position, -1, rest));
  if (generation.options().score_prompt) {
    std::vector<std::vector<float>> logits(static_cast<std::size_t>(taken), logits_);
    for (int i = 0; i < taken; ++i) {
      model_->engine.read_logits(i, logits[static_cast<std::size_t>(i)]);
    }
    generation.score_prompt(request.position, logits);
  }
  slot.tokens.insert(slot.tokens.end(), rest.begin(), rest.begin() + taken);
  request.position += taken;
  totals_.prompt_tokens += static_cast<std::uint64_t>(taken);
  if (static_cast<std::size_t>(taken) < rest.size()) return Ok{};
  model_->engine.read_logits(taken - 1, logits_);
  GenerationUpdate update;
  TRY(const bool ended, generation.accept(logits_, update));
  if (ended) {
    finish(request, std::move(update), generation.ended());
  } else {
    deliver(request, std::move(update));
  }
  return Ok{};
}

// One launch with the latest token and what was proposed to follow; entry -1: of the engine's
// choice.
Status SharedEngine::decode(Request& request, int entry) {
  Generation& generation = request.generation;
  Slot& slot = slots_[static_cast<std::size_t>(request.slot)];
  slot.tokens.resize(static_cast<std::size_t>(request.position));
  std::vector<int> tokens = {generation.tokens().back()};
  tokens.insert(tokens.end(), request.proposed.begin(), request.proposed.end());
  TRY(const int taken, launch(*model_, request, request.position, entry, tokens));
  CHECK(taken == static_cast<int>(tokens.size()));
  request.proposed.clear();
  GenerationUpdate update;
  bool ended = false;
  for (int i = 0; i < taken && !ended; ++i) {
    const int expected = i + 1 < taken ? tokens[static_cast<std::size_t>(i) + 1] : -1;
    slot.tokens.push_back(tokens[static_cast<std::size_t>(i)]);
    ++request.position;
    model_->engine.read_logits(i, logits_);
    TRY(ended, generation.accept(logits_, update));
    if (generation.tokens().back() != expected) break;
    if (!ended) ++request.cost.accepted_tokens;
  }
  // The draft's rows hold as long as the tokens do.
  slot.draft_positions = std::min(slot.draft_positions, request.position);
  if (ended) {
    finish(request, std::move(update), generation.ended());
  } else {
    deliver(request, std::move(update));
  }
  return Ok{};
}

// ---- Speculation ----------------------------------------------------------------------------

// As many as a verify entry takes beside the latest token, and are wanted; 0: none.
int SharedEngine::tokens_to_propose(const Request& request) const {
  const GenerationOptions& options = request.generation.options();
  if (!draft_ || !options.speculate || request.deadline) return 0;
  int most = 0;
  for (const Entry& entry : roll_->metadata.entries) {
    if (entry.kind == EntryKind::Verify && request.position + entry.tokens <= entry.context) {
      most = std::max(most, entry.tokens - 1);
    }
  }
  const int room = draft_->roll->metadata.model.context - request.position - 1;
  return std::clamp(std::min(options.tokens_max - request.generation.generated() - 1, room), 0,
                    most);
}

// One launch of the draft: it catches up with the tokens, then proposes one more with each.
Status SharedEngine::draft(Request& request) {
  Slot& slot = slots_[static_cast<std::size_t>(request.slot)];
  std::vector<int> tokens = request.generation.tokens();
  tokens.insert(tokens.end(), request.proposed.begin(), request.proposed.end());
  const std::span<const int> rest =
      std::span<const int>(tokens).subspan(static_cast<std::size_t>(slot.draft_positions));
  TRY(const int taken, launch(*draft_, request, slot.draft_positions, -1, rest));
  slot.draft_positions += taken;
  if (static_cast<std::size_t>(taken) < rest.size()) return Ok{};
  draft_->engine.read_logits(taken - 1, logits_);
  TRY(const int id, request.generation.propose(logits_, static_cast<int>(request.proposed.size())));
  request.proposed.push_back(id);
  ++request.cost.drafted_tokens;
  return Ok{};
}

// ---- Updates --------------------------------------------------------------------------------

void SharedEngine::deliver(Request& request, GenerationUpdate update) {
  update.id = request.id;
  request.sink(std::move(update));
}

void SharedEngine::finish(Request& request, GenerationUpdate update, FinishReason reason,
                          std::optional<Error> error) {
  request.cost.generated_tokens = request.generation.generated();
  request.cost.finished_at = totals_.cycles;
  totals_.generated_tokens += static_cast<std::uint64_t>(request.cost.generated_tokens);
  totals_.drafted_tokens += static_cast<std::uint64_t>(request.cost.drafted_tokens);
  totals_.accepted_tokens += static_cast<std::uint64_t>(request.cost.accepted_tokens);
  totals_.cancelled += reason == FinishReason::Cancelled ? 1 : 0;
  totals_.failed += reason == FinishReason::Failed ? 1 : 0;
  if (request.slot >= 0) {
    Slot& slot = slots_[static_cast<std::size_t>(request.slot)];
    slot.busy = false;
    slot.draft_positions =
        std::min(slot.draft_positions, static_cast<int>(slot.tokens.size()));  // none of proposals
  }
  request.slot = -1;
  update.finish =
      GenerationFinish{reason, request.generation.stop_string(), std::move(error), request.cost};
  deliver(request, std::move(update));
}

}  // namespace pianola
