#include "emulator/naive_interpreter.h"

#include "emulator/naive_machine.h"

namespace pianola {

Status NaiveInterpreter::load(const Roll& roll, uint64_t poison) {
  roll_ = &roll;
  const Target& target = roll.target;
  const size_t bytes = static_cast<size_t>(target.words_per_slice) * target.lanes;
  memory_.words.assign(target.slices(), std::vector<uint8_t>(bytes));
  memory_.written.assign(target.slices(), std::vector<uint8_t>(target.words_per_slice, 0));
  for (int slice = 0; slice < target.slices(); ++slice) {
    for (size_t i = 0; i < bytes; ++i) {
      memory_.words[slice][i] = static_cast<uint8_t>(poison_byte(poison, 0x4d454d + slice, i));
    }
  }
  kv_.resize(roll.metadata.kv_vectors * target.lanes);
  for (size_t i = 0; i < kv_.size(); ++i) kv_[i] = poison_byte(poison, 0x4b56, i);
  return Ok{};
}

Result<LaunchResult> NaiveInterpreter::launch(const LaunchRequest& request) {
  return launch(request, nullptr);
}

Result<LaunchResult> NaiveInterpreter::launch(const LaunchRequest& request,
                                              std::vector<DriveEvent>* drives) {
  if (roll_ == nullptr) return Error{ErrorCode::InvalidArgument, "no roll is loaded", "naive"};
  const auto& entries = roll_->metadata.entries;
  if (request.entry < 0 || request.entry >= static_cast<int>(entries.size())) {
    return Error{ErrorCode::InvalidArgument, "no entry " + std::to_string(request.entry), "naive"};
  }
  const Entry& entry = entries[request.entry];
  TRY_STATUS(check_registers(entry, request.registers));
  const size_t expected = static_cast<size_t>(entry.host_receive_vectors) * roll_->target.lanes;
  if (request.host_input.size() != expected) {
    return Error{ErrorCode::InvalidArgument,
                 "host input has " + std::to_string(request.host_input.size()) +
                     " bytes, the entry takes " + std::to_string(expected),
                 entry.name};
  }
  return naive::Machine(*roll_, entry, request, memory_, kv_, drives).run();
}

}  // namespace pianola
