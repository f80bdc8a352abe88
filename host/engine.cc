#include "host/engine.h"

#include <algorithm>
#include <bit>

namespace pianola {

Result<Engine> Engine::create(const Roll& roll, Device& device) {
  Engine engine(roll, device);
  TRY_STATUS(engine.play_load_entries());
  return engine;
}

Status Engine::play_load_entries() {
  const auto& entries = roll_->metadata.entries;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].kind != EntryKind::Load) continue;
    LaunchRequest request;
    request.entry = static_cast<int>(i);
    request.registers = registers_for(entries[i], {});
    TRY([[maybe_unused]] LaunchResult result, device_->launch(request));
  }
  return Ok{};
}

bool Engine::can_launch(int index) const {
  const Entry& entry = roll_->metadata.entries[index];
  return entry.kind != EntryKind::Load && position_ + entry.tokens <= entry.context;
}

int Engine::choose_entry(int remaining) const {
  int best = -1;
  double best_cost = 0;
  const auto& entries = roll_->metadata.entries;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (!can_launch(static_cast<int>(i))) continue;
    const int taken = std::min(remaining, entries[i].tokens);
    const double cost = static_cast<double>(entries[i].cycles) / taken;
    if (best < 0 || cost < best_cost) {
      best = static_cast<int>(i);
      best_cost = cost;
    }
  }
  return best;
}

std::vector<uint32_t> Engine::registers_for(const Entry& entry,
                                            std::span<const int> tokens) const {
  using Role = RegisterDeclaration::Role;
  const uint32_t position = static_cast<uint32_t>(position_);
  const uint32_t lanes = static_cast<uint32_t>(roll_->target.lanes);
  std::vector<uint32_t> values;
  for (const RegisterDeclaration& r : entry.registers) {
    if (values.size() <= static_cast<size_t>(r.index)) values.resize(r.index + 1);
    uint32_t& value = values[r.index];
    const uint32_t argument = static_cast<uint32_t>(r.argument);
    switch (r.role) {
      case Role::Constant: value = r.minimum; break;
      case Role::Position: value = position; break;
      case Role::PositionBlock: value = position / lanes; break;
      case Role::PositionLane: value = position % lanes; break;
      case Role::Token:
        value = argument < tokens.size() ? static_cast<uint32_t>(tokens[argument]) : 0;
        break;
      case Role::KvRow: value = position * argument; break;
      case Role::KvBlockWord: value = position / lanes * argument; break;
    }
  }
  return values;
}

std::vector<std::vector<float>> Engine::logits_of(const Entry& entry,
                                                  std::span<const std::byte> output,
                                                  size_t tokens) const {
  const size_t lanes = static_cast<size_t>(roll_->target.lanes);
  const size_t vocabulary = static_cast<size_t>(roll_->metadata.model.vocabulary);
  const size_t all = static_cast<size_t>(entry.tokens);
  std::vector<std::vector<float>> logits(tokens, std::vector<float>(vocabulary));
  for (size_t t = 0; t < tokens; ++t) {
    for (size_t id = 0; id < vocabulary; ++id) {
      const size_t group = id / lanes * all + t;
      uint32_t bits = 0;
      for (size_t b = 0; b < 4; ++b) {
        bits |= static_cast<uint32_t>(output[(group * 4 + b) * lanes + id % lanes]) << (8 * b);
      }
      logits[t][id] = std::bit_cast<float>(bits);
    }
  }
  return logits;
}

Result<std::vector<std::vector<float>>> Engine::extend_with(int index,
                                                            std::span<const int> tokens) {
  CHECK(index >= 0 && static_cast<size_t>(index) < roll_->metadata.entries.size());
  const Entry& entry = roll_->metadata.entries[index];
  CHECK(!tokens.empty() && tokens.size() <= static_cast<size_t>(entry.tokens));
  if (!can_launch(index)) {
    return Error{ErrorCode::OutOfRange,
                 "position " + std::to_string(position_) + " plus " +
                     std::to_string(entry.tokens) + " tokens is beyond the " +
                     std::to_string(entry.context) +
                     " positions of this entry; compile with a longer --context",
                 "entry " + entry.name};
  }
  for (int id : tokens) {
    if (id < 0 || id >= roll_->metadata.model.vocabulary) {
      return Error{ErrorCode::OutOfRange,
                   "token id " + std::to_string(id) + " is not in the vocabulary of " +
                       std::to_string(roll_->metadata.model.vocabulary),
                   "entry " + entry.name};
    }
  }
  LaunchRequest request;
  request.entry = index;
  request.registers = registers_for(entry, tokens);
  TRY(LaunchResult result, device_->launch(request));
  const size_t expected = size_t{entry.host_send_vectors} * roll_->target.lanes;
  if (result.host_output.size() != expected) {
    return Error{ErrorCode::Mismatch,
                 "the device sent " + std::to_string(result.host_output.size()) +
                     " bytes of logits, expected " + std::to_string(expected),
                 "entry " + entry.name};
  }
  launches_.push_back({index, position_, static_cast<int>(tokens.size()), entry.cycles,
                       result.cycles, result.frozen_cycles, result.frozen_after_first});
  position_ += static_cast<int>(tokens.size());
  return logits_of(entry, result.host_output, tokens.size());
}

Result<std::vector<std::vector<float>>> Engine::extend(std::span<const int> tokens) {
  std::vector<std::vector<float>> all;
  while (!tokens.empty()) {
    const int entry = choose_entry(static_cast<int>(tokens.size()));
    if (entry < 0) {
      return Error{ErrorCode::OutOfRange,
                   "position " + std::to_string(position_) + " is beyond the roll's context of " +
                       std::to_string(context()) + "; compile with a longer --context",
                   "engine"};
    }
    const size_t count = std::min(
        tokens.size(), static_cast<size_t>(roll_->metadata.entries[entry].tokens));
    TRY(std::vector<std::vector<float>> logits, extend_with(entry, tokens.first(count)));
    std::move(logits.begin(), logits.end(), std::back_inserter(all));
    tokens = tokens.subspan(count);
  }
  return all;
}

Status Engine::rewind(int position) {
  if (position < 0 || position > position_) {
    return Error{ErrorCode::InvalidArgument,
                 "cannot go back to position " + std::to_string(position) + " from " +
                     std::to_string(position_),
                 "engine"};
  }
  position_ = position;
  return Ok{};
}

}  // namespace pianola
