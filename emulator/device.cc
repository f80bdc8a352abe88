#include "emulator/device.h"

#include <algorithm>

namespace pianola {

Status check_registers(const Entry& entry, std::span<const uint32_t> registers) {
  for (size_t i = 0; i < entry.registers.size(); ++i) {
    const RegisterDeclaration& declared = entry.registers[i];
    const auto index = static_cast<size_t>(declared.index);
    const uint32_t value = index < registers.size() ? registers[index] : 0;
    const std::string where = "entry " + entry.name + ", register " +
                              std::to_string(declared.index) + " (" + declared.name + ")";
    if (value < declared.minimum || value > declared.maximum) {
      return Error{ErrorCode::OutOfRange,
                   "value " + std::to_string(value) + " is not in " +
                       std::to_string(declared.minimum) + ".." + std::to_string(declared.maximum),
                   where};
    }
    if (declared.multiple > 1 && value % declared.multiple != 0) {
      return Error{ErrorCode::OutOfRange,
                   "value " + std::to_string(value) + " is not a multiple of " +
                       std::to_string(declared.multiple),
                   where};
    }
  }
  for (size_t i = 0; i < registers.size(); ++i) {
    const bool declared = std::any_of(
        entry.registers.begin(), entry.registers.end(),
        [&](const RegisterDeclaration& r) { return static_cast<size_t>(r.index) == i; });
    if (!declared && registers[i] != 0) {
      return Error{ErrorCode::InvalidArgument,
                   "register " + std::to_string(i) + " has value " + std::to_string(registers[i]) +
                       ", but the entry declares no such register",
                   "entry " + entry.name};
    }
  }
  return Ok{};
}

std::vector<uint64_t> expand_segments(std::span<const Segment> segments,
                                      std::span<const uint32_t> registers) {
  std::vector<uint64_t> indices;
  size_t total = 0;
  for (const Segment& segment : segments) total += size_t{segment.count} * segment.repeat;
  indices.reserve(total);
  for (const Segment& segment : segments) {
    uint64_t base = segment.base;
    if (segment.parameter >= 0) {
      const auto index = static_cast<size_t>(segment.parameter);
      const uint32_t value = index < registers.size() ? registers[index] : 0;
      base += uint64_t{std::min(value, segment.limit)} * segment.parameter_stride;
    }
    for (uint32_t i = 0; i < segment.repeat; ++i) {
      const uint64_t start = base + static_cast<uint64_t>(int64_t{i} * segment.stride);
      for (uint32_t j = 0; j < segment.count; ++j) indices.push_back(start + j);
    }
  }
  return indices;
}

}  // namespace pianola
