#include "emulator/keep_in_memory.h"

#include <algorithm>
#include <limits>

#include "emulator/visit_places.h"

namespace pianola {
namespace {

constexpr uint32_t kNever = std::numeric_limits<uint32_t>::max();

struct Event {  // an access to a word
  uint32_t operation;
  bool writes;
  friend auto operator<=>(const Event&, const Event&) = default;
};

class Keeper {
 public:
  Keeper(Program& program, std::span<const uint8_t> memory, PagedVector<Place>& homes)
      : p_(program), memory_(memory), homes_(homes),
        defined_(homes.size(), kNever), last_use_(homes.size(), 0) {}

  void run() {
    find_lives();
    find_words();
    find_events();
    for (uint32_t i = 0; i < p_.operations.size(); ++i) keep_loaded(i);
    add_uses();
    for (uint32_t i = 0; i < p_.operations.size(); ++i) keep_stored(i);
    drop_copies();
  }

 private:
  const CopyStep* copy_at(uint32_t number) const {
    const Operation& operation = p_.operations[number];
    return operation.kind == OperationKind::Copy ? &p_.copies[operation.first] : nullptr;
  }

  bool in_memory(Place place) const {
    const auto begin = reinterpret_cast<uintptr_t>(memory_.data());
    return is_in_place(place) && place >= begin && place < begin + memory_.size();
  }
  size_t word_of(Place place) const {
    return (place - reinterpret_cast<uintptr_t>(memory_.data())) / static_cast<size_t>(p_.lanes);
  }
  static bool within(const Program::Buffer& buffer, Place place) {
    const auto begin = reinterpret_cast<uintptr_t>(buffer.data);
    return is_in_place(place) && place >= begin && place < begin + buffer.size;
  }

  template <typename Visit>
  void visit_uses(uint32_t number, Visit visit) {
    uint64_t seen = LatePlaces::kNothingSeen;
    visit_places(
        p_, p_.operations[number],
        [&](Place& place) {
          p_.late_places.visit(place, seen, [&](Place one) {
            if (is_vector(one)) visit(number_of(one));
          });
        },
        [](Place&) {});
  }

  void find_lives() {
    for (uint32_t i = 0; i < p_.operations.size(); ++i) {
      visit_uses(i, [&](uint64_t vector) { last_use_[vector] = i; });
      visit_places(
          p_, p_.operations[i], [](Place&) {},
          [&](Place& place) {
            if (is_vector(place)) defined_[number_of(place)] = i;
          });
    }
  }

  // The words that copies go from and to get a list of events.
  void find_words() {
    list_of_.assign(memory_.size() / static_cast<size_t>(p_.lanes), kNever);
    for (uint32_t i = 0; i < p_.operations.size(); ++i) {
      const CopyStep* copy = copy_at(i);
      if (copy == nullptr) continue;
      for (const Place place : {copy->from, copy->to}) {
        if (!in_memory(place) || list_of_[word_of(place)] != kNever) continue;
        list_of_[word_of(place)] = static_cast<uint32_t>(events_.size());
        events_.emplace_back();
      }
    }
  }

  void add_event(size_t word, uint32_t operation, bool writes) {
    if (list_of_[word] != kNever) events_[list_of_[word]].push_back({operation, writes});
  }

  void find_events() {
    for (uint32_t i = 0; i < p_.operations.size(); ++i) {
      const Operation& operation = p_.operations[i];
      if (const CopyStep* copy = copy_at(i)) {
        if (in_memory(copy->from)) add_event(word_of(copy->from), i, false);
        if (in_memory(copy->to)) add_event(word_of(copy->to), i, true);
        continue;
      }
      const bool writes = operation.kind == OperationKind::Write ||
                          operation.kind == OperationKind::WriteLane;
      if (!writes && operation.kind != OperationKind::Read &&
          operation.kind != OperationKind::Gather) {
        continue;
      }
      const MemoryStep& step = p_.memory_steps[operation.first];
      const size_t slice = word_of(reinterpret_cast<uintptr_t>(step.slice));
      for (size_t word = step.first_word; word < step.last_word; ++word) {
        add_event(slice + word, i, writes);
      }
    }
  }

  // Whether a word is accessed, or only written, by operations `first` to `last`.
  bool is_touched(Place place, uint32_t first, uint32_t last, bool by_writes_only) const {
    const std::vector<Event>& events = events_[list_of_[word_of(place)]];
    auto event = std::ranges::lower_bound(events, Event{first, false});
    for (; event != events.end() && event->operation <= last; ++event) {
      if (event->writes || !by_writes_only) return true;
    }
    return false;
  }

  void keep_loaded(uint32_t number) {
    const CopyStep* copy = copy_at(number);
    if (copy == nullptr || !is_vector(copy->to) || !in_memory(copy->from)) return;
    const uint64_t vector = number_of(copy->to);
    if (is_touched(copy->from, number + 1, last_use_[vector], true)) return;
    homes_[vector] = copy->from;
  }

  // Every use of a loaded vector is a look at its word.
  void add_uses() {
    for (uint32_t i = 0; i < p_.operations.size(); ++i) {
      visit_uses(i, [&](uint64_t vector) {
        if (homes_[vector] != 0) add_event(word_of(homes_[vector]), i, false);
      });
    }
    for (std::vector<Event>& events : events_) std::ranges::sort(events);
  }

  void keep_stored(uint32_t number) {
    const CopyStep* copy = copy_at(number);
    if (copy == nullptr || !is_vector(copy->from)) return;
    const uint64_t vector = number_of(copy->from);
    const uint32_t defined = defined_[vector];
    if (homes_[vector] != 0 || defined >= number) return;
    if (within(p_.host_output, copy->to) || within(p_.kv_output, copy->to)) {
      homes_[vector] = copy->to;  // written once, read after the launch
      return;
    }
    if (!in_memory(copy->to) || is_touched(copy->to, defined, number - 1, false) ||
        is_touched(copy->to, number + 1, last_use_[vector], true)) {
      return;
    }
    homes_[vector] = copy->to;
    std::vector<Event>& events = events_[list_of_[word_of(copy->to)]];
    const Event event{defined, true};
    events.insert(std::ranges::lower_bound(events, event), event);
    visit_stored_uses(vector, events, defined);
  }

  // From where it is made to its last use, a stored vector is looked at: one event at the end is enough, as
  // a write in between has been ruled out.
  void visit_stored_uses(uint64_t vector, std::vector<Event>& events, uint32_t defined) {
    if (last_use_[vector] <= defined) return;
    const Event event{last_use_[vector], false};
    events.insert(std::ranges::lower_bound(events, event), event);
  }

  Place home_of(Place place) const {
    return is_vector(place) && homes_[number_of(place)] != 0 ? homes_[number_of(place)] : place;
  }

  void drop_copies() {
    PagedVector<Operation> kept;
    for (uint32_t i = 0; i < p_.operations.size(); ++i) {
      const CopyStep* copy = copy_at(i);
      if (copy == nullptr || home_of(copy->from) != home_of(copy->to)) {
        kept.push_back(p_.operations[i]);
      }
    }
    p_.operations = std::move(kept);
  }

  Program& p_;
  std::span<const uint8_t> memory_;
  PagedVector<Place>& homes_;
  PagedVector<uint32_t> defined_, last_use_;  // operations, by vector
  std::vector<uint32_t> list_of_;             // into events_, by word
  std::vector<std::vector<Event>> events_;    // in the order of operations
};

}  // namespace

void keep_in_memory(Program& program, std::span<const uint8_t> memory, PagedVector<Place>& homes) {
  Keeper(program, memory, homes).run();
}

}  // namespace pianola
