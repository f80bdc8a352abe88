#include "tests/emulator/unit_bench.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>

#include "emulator/naive_interpreter.h"
#include "tests/emulator/compare_executors.h"

namespace pianola::test {

Patterns patterns_of(const std::vector<float>& values) {
  Patterns patterns;
  for (const float value : values) patterns.push_back(std::bit_cast<uint32_t>(value));
  return patterns;
}

Patterns patterns_of(std::span<const Vector> planes) {
  Patterns patterns(planes[0].size(), 0);
  for (size_t b = 0; b < planes.size(); ++b) {
    for (size_t i = 0; i < patterns.size(); ++i) {
      patterns[i] |= static_cast<uint32_t>(planes[b][i]) << (8 * b);
    }
  }
  return patterns;
}

std::vector<float> floats_of(const Patterns& patterns) {
  std::vector<float> values;
  for (const uint32_t pattern : patterns) values.push_back(std::bit_cast<float>(pattern));
  return values;
}

UnitBench::UnitBench() : target_(load_target("sim16").value()), builder_(target_) {}

void UnitBench::fill(int slice, int address, const Vector& vector) {
  CHECK(vector.size() == static_cast<size_t>(lanes()));
  builder_.fill(now_, slice, address);
  now_ += 8;
  const auto* bytes = reinterpret_cast<const std::byte*>(vector.data());
  host_input_.insert(host_input_.end(), bytes, bytes + vector.size());
}

void UnitBench::fill(int first_slice, int address, const Patterns& patterns) {
  for (int b = 0; b < 4; ++b) {
    Vector plane;
    for (const uint32_t pattern : patterns) plane.push_back(static_cast<uint8_t>(pattern >> 8 * b));
    fill(first_slice + b, address, plane);
  }
}

void UnitBench::bring(int slice, int address, int position, uint64_t at, int stream, uint32_t mask,
                      Timing timing, int s1) {
  const int from = target_.slice_position(slice);
  MemInstruction x;
  x.timing = timing;
  x.op = MemOp::Read;
  x.dir = toward(from, position);
  const int offset = slice % target_.slices_per_position;
  x.stream = static_cast<uint32_t>((stream - offset) & (target_.streams - 1));
  x.address = static_cast<uint32_t>(address);
  x.s1 = s1;
  const int hops = distance(from, position) + latency_mem_read(lanes());
  builder_.push(builder_.queue(QueueKind::MemRead, slice), at - static_cast<uint64_t>(hops), x,
                mask);
}

void UnitBench::collect(int from, uint64_t drive, int stream, int count, Timing timing) {
  builder_.push(builder_.queue(QueueKind::HostSend),
                drive + static_cast<uint64_t>(distance(from, target_.port_position)),
                PortSendInstruction{timing, static_cast<uint32_t>(count), Direction::West,
                                    static_cast<uint32_t>(stream)});
}

void UnitBench::dump(int slice, int address) {
  const uint64_t at = later();
  bring(slice, address, target_.port_position, at, 15);
  collect(target_.port_position, at, 15, 1);
}

std::vector<Vector> UnitBench::run(const std::vector<uint32_t>& registers) {
  CHECK(builder_.build());
  const Roll roll = builder_.finish("unit");
  LaunchRequest request;
  request.registers = registers;
  request.host_input = host_input_;
  EXPECT_TRUE(executors_agree(roll, {request, request}, 1));
  EXPECT_TRUE(executors_agree(roll, {request}, 2));
  NaiveInterpreter naive;
  CHECK(naive.load(roll, 1).ok());
  const auto result = naive.launch(request);
  std::vector<Vector> vectors;
  if (!result.ok()) return vectors;
  EXPECT_EQ(result->cycles, roll.metadata.entries[0].cycles);
  const size_t size = static_cast<size_t>(lanes());
  for (size_t i = 0; i < result->host_output.size(); i += size) {
    Vector& vector = vectors.emplace_back(size);
    std::memcpy(vector.data(), result->host_output.data() + i, size);
  }
  return vectors;
}

}  // namespace pianola::test
