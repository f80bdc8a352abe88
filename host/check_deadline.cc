#include <algorithm>
#include <string>

#include "host/shared_engine.h"

namespace pianola {

// The cycles that a request needs until its last token at most, as an ordinary sequence of
// launches.
std::uint64_t SharedEngine::cycles_left(const Request& request) const {
  const GenerationOptions& options = request.generation.options();
  const int prompt = static_cast<int>(options.prompt.size());
  const auto whole = quote_generation(*roll_, prompt, request.position, options.tokens_max);
  return whole.ok() ? whole->cycles : 0;  // a request without room fails when it comes to it
}

// Requests with deadlines are served in the order of their deadlines, before all others and from
// the next launch on; so each is complete when it and those before it have had their cycles.
Status SharedEngine::check_deadline(const Request& request) const {
  struct Load {
    std::uint64_t deadline = 0, cycles = 0;
  };
  std::vector<Load> loads;
  const std::uint64_t own = cycles_left(request);
  std::size_t holders = 0;
  const auto add = [&](const auto& requests) {
    for (const auto& other : requests) {
      if (!other->deadline || other->cancelled) continue;
      loads.push_back({*other->deadline, cycles_left(*other)});
      ++holders;
    }
  };
  add(queue_);
  add(running_);
  const bool slot_is_sure =
      slots_.size() > static_cast<std::size_t>(ordinary_slots_)
          ? holders < slots_.size() - static_cast<std::size_t>(ordinary_slots_)
          : queue_.empty() && running_.empty();
  if (!slot_is_sure) {
    return Error{ErrorCode::OutOfRange,
                 "no slot is certain to be free for another request with a deadline", "deadline"};
  }
  loads.push_back({*request.deadline, own});
  std::stable_sort(loads.begin(), loads.end(),
                   [](const Load& a, const Load& b) { return a.deadline < b.deadline; });
  std::uint64_t at = totals_.cycles;
  for (const Load& load : loads) {
    at += load.cycles;
    if (at <= load.deadline) continue;
    return Error{ErrorCode::OutOfRange,
                 "the request needs " + std::to_string(own) + " machine cycles, the deadline is " +
                     std::to_string(*request.deadline - totals_.cycles) +
                     " cycles away, and requests with deadlines before it need " +
                     std::to_string(at - totals_.cycles - load.cycles) + " first",
                 "deadline"};
  }
  return Ok{};
}

}  // namespace pianola
