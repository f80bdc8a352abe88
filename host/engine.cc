#include "host/engine.h"

#include <algorithm>
#include <bit>
#include <limits>

namespace pianola {
namespace {

bool has_room(const Entry& entry, int position) {
  return entry.kind != EntryKind::Load && position + entry.tokens <= entry.context;
}

// Of a group of four vectors, bytes of fp32 from the lowest on.
float read_lane(const std::byte* group, size_t lanes, size_t lane) {
  uint32_t bits = 0;
  for (size_t b = 0; b < 4; ++b) bits |= static_cast<uint32_t>(group[b * lanes + lane]) << (8 * b);
  return std::bit_cast<float>(bits);
}

}  // namespace

bool sends_tokens(const Roll& roll) {
  const auto& entries = roll.metadata.entries;
  return std::any_of(entries.begin(), entries.end(),
                     [](const Entry& entry) { return entry.output == EntryOutput::Tokens; });
}

int choose_entry(const Roll& roll, int position, int remaining) {
  int best = -1;
  double best_cost = 0;
  const auto& entries = roll.metadata.entries;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (!has_room(entries[i], position)) continue;
    const int taken = std::min(remaining, entries[i].tokens);
    const double cost = static_cast<double>(entries[i].cycles) / taken;
    if (best < 0 || cost < best_cost) {
      best = static_cast<int>(i);
      best_cost = cost;
    }
  }
  return best;
}

int choose_entry_for_all(const Roll& roll, int position, int tokens) {
  int best = -1;
  const auto& entries = roll.metadata.entries;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (!has_room(entries[i], position) || entries[i].tokens < tokens) continue;
    if (best < 0 || entries[i].cycles < entries[static_cast<size_t>(best)].cycles) {
      best = static_cast<int>(i);
    }
  }
  return best;
}

std::vector<uint32_t> launch_registers(const Entry& entry, int lane_count, int first_position,
                                       std::span<const int> tokens) {
  using Role = RegisterDeclaration::Role;
  const uint32_t position = static_cast<uint32_t>(first_position);
  const uint32_t lanes = static_cast<uint32_t>(lane_count);
  std::vector<uint32_t> values;
  for (const RegisterDeclaration& r : entry.registers) {
    if (values.size() <= static_cast<size_t>(r.index)) values.resize(r.index + 1);
    uint32_t& value = values[r.index];
    const uint32_t argument = static_cast<uint32_t>(r.argument);
    switch (r.role) {
      case Role::Constant:
        value = r.minimum;
        break;
      case Role::Position:
        value = position;
        break;
      case Role::PositionBlock:
        value = position / lanes;
        break;
      case Role::PositionLane:
        value = position % lanes;
        break;
      case Role::Token:
        value = argument < tokens.size() ? static_cast<uint32_t>(tokens[argument]) : 0;
        break;
      case Role::KvRow:
        value = position * argument;
        break;
      case Role::KvBlockWord:
        value = position / lanes * argument;
        break;
    }
  }
  return values;
}

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
    request.registers = launch_registers(entries[i], roll_->target.lanes, position_, {});
    TRY([[maybe_unused]] LaunchResult result, device_->launch(request));
  }
  return Ok{};
}

bool Engine::can_launch(int index) const {
  return has_room(roll_->metadata.entries[static_cast<size_t>(index)], position_);
}

void Engine::read_logits(int index, std::span<float> logits) const {
  const size_t lanes = static_cast<size_t>(roll_->target.lanes);
  const size_t all = static_cast<size_t>(output_tokens_);
  const size_t vocabulary = static_cast<size_t>(roll_->metadata.model.vocabulary);
  CHECK(index >= 0 && index < output_tokens_ && logits.size() == vocabulary);
  if (sends_tokens_) return read_choice(index, logits);
  for (size_t first = 0; first < vocabulary; first += lanes) {
    const std::byte* group =
        output_.data() + (first / lanes * all + static_cast<size_t>(index)) * 4 * lanes;
    const size_t count = std::min(lanes, vocabulary - first);
    for (size_t i = 0; i < count; ++i) logits[first + i] = read_lane(group, lanes, i);
  }
}

void Engine::read_choice(int index, std::span<float> logits) const {
  const size_t lanes = static_cast<size_t>(roll_->target.lanes);
  const std::byte* group = output_.data() + static_cast<size_t>(index) * 4 * lanes;
  const float value = read_lane(group, lanes, 0);
  const float token = read_lane(group + static_cast<size_t>(output_tokens_) * 4 * lanes, lanes, 0);
  std::fill(logits.begin(), logits.end(), -std::numeric_limits<float>::infinity());
  if (token >= 0 && token < static_cast<float>(logits.size())) {
    logits[static_cast<size_t>(token)] = value;
  }
}

std::vector<std::vector<float>> Engine::all_logits(int tokens) const {
  std::vector<std::vector<float>> logits(static_cast<size_t>(tokens));
  for (int t = 0; t < tokens; ++t) {
    logits[static_cast<size_t>(t)].resize(static_cast<size_t>(roll_->metadata.model.vocabulary));
    read_logits(t, logits[static_cast<size_t>(t)]);
  }
  return logits;
}

Result<std::vector<std::vector<float>>> Engine::extend_with(int index,
                                                            std::span<const int> tokens) {
  TRY(const int taken, launch(index, tokens));
  return all_logits(taken);
}

Result<int> Engine::launch(int index, std::span<const int> tokens) {
  CHECK(index >= 0 && static_cast<size_t>(index) < roll_->metadata.entries.size());
  const Entry& entry = roll_->metadata.entries[index];
  CHECK(!tokens.empty() && tokens.size() <= static_cast<size_t>(entry.tokens));
  if (entry.output == EntryOutput::None) {
    return Error{ErrorCode::Unsupported, "it sends neither logits nor tokens",
                 "entry " + entry.name};
  }
  if (!can_launch(index)) {
    return Error{ErrorCode::OutOfRange,
                 "position " + std::to_string(position_) + " plus " + std::to_string(entry.tokens) +
                     " tokens is beyond the " + std::to_string(entry.context) +
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
  request.registers = launch_registers(entry, roll_->target.lanes, position_, tokens);
  TRY(LaunchResult result, device_->launch(request));
  const size_t expected = size_t{entry.host_send_vectors} * roll_->target.lanes;
  if (result.host_output.size() != expected) {
    return Error{ErrorCode::Mismatch,
                 "the device sent " + std::to_string(result.host_output.size()) +
                     " bytes, expected " + std::to_string(expected),
                 "entry " + entry.name};
  }
  launches_.push_back({index, position_, static_cast<int>(tokens.size()), entry.cycles,
                       result.cycles, result.frozen_cycles, result.frozen_after_first});
  position_ += static_cast<int>(tokens.size());
  output_ = std::move(result.host_output);
  output_tokens_ = entry.tokens;
  sends_tokens_ = entry.output == EntryOutput::Tokens;
  return static_cast<int>(tokens.size());
}

Result<int> Engine::launch_some(std::span<const int> tokens) {
  const int entry = choose_entry(*roll_, position_, static_cast<int>(tokens.size()));
  if (entry < 0) {
    return Error{ErrorCode::OutOfRange,
                 "position " + std::to_string(position_) + " is beyond the roll's context of " +
                     std::to_string(context()) + "; compile with a longer --context",
                 "engine"};
  }
  const auto most = static_cast<size_t>(roll_->metadata.entries[static_cast<size_t>(entry)].tokens);
  return launch(entry, tokens.first(std::min(tokens.size(), most)));
}

Result<std::vector<std::vector<float>>> Engine::extend(std::span<const int> tokens) {
  std::vector<std::vector<float>> all;
  while (!tokens.empty()) {
    TRY(const int taken, launch_some(tokens));
    std::vector<std::vector<float>> logits = all_logits(taken);
    std::move(logits.begin(), logits.end(), std::back_inserter(all));
    tokens = tokens.subspan(static_cast<size_t>(taken));
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

void Engine::resume(int position) {
  CHECK(position >= 0 && position <= context());
  position_ = position;
}

}  // namespace pianola
