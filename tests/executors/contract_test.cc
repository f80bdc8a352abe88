// The contract of Device (emulator/device.h), the same tests for every executor.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <numeric>

#include "emulator/lockstep.h"
#include "emulator/naive_interpreter.h"
#include "isa/target.h"
#include "tests/executors/contract_program.h"
#include "tests/executors/play_model.h"
#include "tests/support/random_program.h"
#include "verifier/verify_roll.h"

namespace pianola::test {
namespace {

std::unique_ptr<Device> make_any(std::string_view name) {
  if (name == "naive") return std::make_unique<NaiveInterpreter>();
  if (name == "lockstep") return make_lockstep_device({});
  return make_device(name);
}

std::vector<std::byte> copy_of(std::span<const std::byte> bytes) {
  return {bytes.begin(), bytes.end()};
}

class DeviceContract : public testing::TestWithParam<const char*> {
 protected:
  DeviceContract()
      : program_(contract_program(must(load_target("sim16")))), device_(make_any(GetParam())) {}

  void load(uint64_t poison = 1) {
    const Status loaded = device_->load(program_.roll, poison);
    ASSERT_TRUE(loaded.ok()) << to_string(loaded.error());
  }
  LaunchResult launch(const LaunchRequest& request) { return must(device_->launch(request)); }
  void expect_refused(const LaunchRequest& request, ErrorCode code, const char* what) {
    const Result<LaunchResult> result = device_->launch(request);
    ASSERT_FALSE(result.ok()) << what;
    EXPECT_EQ(result.error().code, code) << what << ": " << to_string(result.error());
  }
  std::vector<std::byte> kv_row(uint32_t row) const {
    const auto lanes = static_cast<size_t>(program_.roll.target.lanes);
    return copy_of(device_->kv_region().subspan(ContractProgram::kv_vector(row) * lanes, lanes));
  }
  std::vector<std::byte> first_of(uint64_t seed) const {
    std::vector<std::byte> bytes = program_.vectors(seed);
    bytes.resize(static_cast<size_t>(program_.roll.target.lanes));
    return bytes;
  }

  ContractProgram program_;
  std::unique_ptr<Device> device_;
};

TEST_P(DeviceContract, PlaysAVerifiedRoll) {
  const VerifyReport report = verify_roll(program_.roll);
  ASSERT_TRUE(report.ok()) << to_string(report);
  EXPECT_TRUE(check_roll(program_.roll).ok());
}

TEST_P(DeviceContract, RefusesToLaunchWithoutARoll) {
  expect_refused(program_.recall(0, 0), ErrorCode::InvalidArgument, "no roll");
}

TEST_P(DeviceContract, SendsTheOutputInThePredictedCycles) {
  load();
  const LaunchResult stored = launch(program_.store(8, 2, 100));
  EXPECT_TRUE(stored.host_output.empty());
  EXPECT_EQ(stored.cycles, program_.roll.metadata.entries[0].cycles);
  EXPECT_EQ(stored.frozen_after_first, 0u);
  const LaunchResult recalled = launch(program_.recall(8, 2));
  EXPECT_EQ(recalled.host_output, program_.recalled(100, 100));
  EXPECT_EQ(recalled.cycles, program_.roll.metadata.entries[1].cycles);
  EXPECT_EQ(recalled.frozen_after_first, 0u);
}

TEST_P(DeviceContract, KeepsMemoryAndKvBetweenLaunches) {
  load();
  for (uint32_t i = 0; i < 8; ++i) launch(program_.store(8 * i, i, 100 + i));
  for (const uint32_t i : {5u, 0u, 7u, 3u, 3u}) {
    const uint32_t row = 7 - i;
    EXPECT_EQ(launch(program_.recall(8 * i, row)).host_output,
              program_.recalled(100 + i, 100 + row));
  }
  launch(program_.store(24, 3, 200));
  EXPECT_EQ(launch(program_.recall(24, 3)).host_output, program_.recalled(200, 200));
  EXPECT_EQ(launch(program_.recall(32, 4)).host_output, program_.recalled(104, 104));
}

TEST_P(DeviceContract, WritesTheRowsOfItsSegmentsAndNoOthers) {
  load(5);
  const std::vector<std::byte> before = copy_of(device_->kv_region());
  ASSERT_EQ(before.size(), ContractProgram::kKvVectors * 16);
  launch(program_.store(0, 4, 100));
  EXPECT_EQ(kv_row(4), first_of(100));
  std::vector<std::byte> expected = before;
  const std::vector<std::byte> row = first_of(100);
  std::copy(row.begin(), row.end(),
            expected.begin() + static_cast<std::ptrdiff_t>(ContractProgram::kv_vector(4) * 16));
  EXPECT_EQ(copy_of(device_->kv_region()), expected);
}

TEST_P(DeviceContract, ClampsParametersOfSegments) {
  load();
  launch(program_.store(0, 9, 100));  // beyond the limit of 7
  EXPECT_EQ(kv_row(7), first_of(100));
  EXPECT_EQ(launch(program_.recall(0, 8)).host_output, program_.recalled(100, 100));
}

TEST_P(DeviceContract, ReadsWhatTheHostPutsIntoTheKvRegion) {
  load();
  launch(program_.store(0, 0, 100));
  const std::vector<std::byte> row = first_of(300);
  std::copy(row.begin(), row.end(),
            device_->kv_region().begin() +
                static_cast<std::ptrdiff_t>(ContractProgram::kv_vector(6) * 16));
  EXPECT_EQ(launch(program_.recall(0, 6)).host_output, program_.recalled(100, 300));
}

TEST_P(DeviceContract, TakesMissingRegistersAsZero) {
  load();
  LaunchRequest store = program_.store(0, 0, 100), recall = program_.recall(0, 0);
  store.registers.clear();
  recall.registers.resize(3);
  launch(store);
  EXPECT_EQ(launch(recall).host_output, program_.recalled(100, 100));
}

TEST_P(DeviceContract, RefusesWhatIsNotDeclaredAndStaysAsItWas) {
  load();
  launch(program_.store(12, 1, 100));
  const std::vector<std::byte> kv = copy_of(device_->kv_region());
  const auto changed = [&](int index, uint32_t value) {
    LaunchRequest request = program_.store(0, 0, 200);
    if (request.registers.size() <= static_cast<size_t>(index)) {
      request.registers.resize(static_cast<size_t>(index) + 1);
    }
    request.registers[static_cast<size_t>(index)] = value;
    return request;
  };
  expect_refused(changed(ContractProgram::kAddress, 64), ErrorCode::OutOfRange, "too large");
  expect_refused(changed(ContractProgram::kAddress, 0xffffffff), ErrorCode::OutOfRange, "-1");
  expect_refused(changed(ContractProgram::kAddress, 6), ErrorCode::OutOfRange, "no multiple");
  expect_refused(changed(ContractProgram::kRow, 10), ErrorCode::OutOfRange, "row");
  expect_refused(changed(9, 1), ErrorCode::InvalidArgument, "not declared");
  expect_refused(changed(0, 1), ErrorCode::InvalidArgument, "register 0");
  expect_refused(changed(1000, 1), ErrorCode::InvalidArgument, "far away");
  for (const int entry : {-1, 2, 1 << 30}) {
    LaunchRequest request = program_.recall(0, 0);
    request.entry = entry;
    expect_refused(request, ErrorCode::InvalidArgument, "entry");
  }
  LaunchRequest request = program_.store(0, 0, 200);
  request.host_input.pop_back();
  expect_refused(request, ErrorCode::InvalidArgument, "host input too short");
  request.host_input.resize(5 * 16);
  expect_refused(request, ErrorCode::InvalidArgument, "host input too long");
  request = program_.recall(0, 0);
  request.host_input.resize(16);
  expect_refused(request, ErrorCode::InvalidArgument, "host input that nothing takes");
  EXPECT_EQ(copy_of(device_->kv_region()), kv);
  EXPECT_EQ(launch(program_.recall(12, 1)).host_output, program_.recalled(100, 100));
}

TEST_P(DeviceContract, PoisonsTheKvRegionAtEachLoad) {
  for (const uint64_t poison : {1ull, 2ull, 0ull, 1ull}) {
    load(poison);
    const std::span<const std::byte> kv = device_->kv_region();
    for (size_t i = 0; i < kv.size(); ++i) {
      ASSERT_EQ(kv[i], poison_byte(poison, 0x4b56, i)) << "poison " << poison << " byte " << i;
    }
    launch(program_.store(4 * static_cast<uint32_t>(poison), 3, 100 + poison));
    EXPECT_EQ(launch(program_.recall(4 * static_cast<uint32_t>(poison), 3)).host_output,
              program_.recalled(100 + poison, 100 + poison));
  }
}

TEST_P(DeviceContract, LoadsRollsOfOtherTargets) {
  const ContractProgram other = contract_program(must(load_target("sim32")));
  for (int round = 0; round < 2; ++round) {
    load();
    launch(program_.store(20, 1, 100));
    EXPECT_EQ(launch(program_.recall(20, 1)).host_output, program_.recalled(100, 100));
    ASSERT_TRUE(device_->load(other.roll, 1).ok());
    EXPECT_EQ(device_->kv_region().size(), ContractProgram::kKvVectors * 32);
    launch(other.store(20, 1, 300));
    const LaunchResult result = launch(other.recall(20, 1));
    EXPECT_EQ(result.host_output, other.recalled(300, 300));
    EXPECT_EQ(result.cycles, other.roll.metadata.entries[1].cycles);
  }
}

TEST_P(DeviceContract, SharesNothingWithAnotherDevice) {
  const std::unique_ptr<Device> other = make_any(GetParam());
  load();
  ASSERT_TRUE(other->load(program_.roll, 2).ok());
  launch(program_.store(16, 5, 100));
  must(other->launch(program_.store(16, 5, 200)));
  EXPECT_EQ(launch(program_.recall(16, 5)).host_output, program_.recalled(100, 100));
  EXPECT_EQ(must(other->launch(program_.recall(16, 5))).host_output, program_.recalled(200, 200));
}

TEST_P(DeviceContract, MayOutliveADeviceMadeLater) {
  load();
  {
    const std::unique_ptr<Device> other = make_any(GetParam());
    ASSERT_TRUE(other->load(program_.roll, 2).ok());
    must(other->launch(program_.store(16, 5, 200)));
  }
  launch(program_.store(16, 5, 100));
  EXPECT_EQ(launch(program_.recall(16, 5)).host_output, program_.recalled(100, 100));
}

// Every unit of the machine: sound random programs, launched twice, against the naive interpreter.
TEST_P(DeviceContract, PlaysRandomProgramsAsTheNaiveInterpreterDoes) {
  const Target target = must(load_target("sim16"));
  for (uint64_t seed = 0; seed < (is_long() ? 200 : 12); ++seed) {
    const Roll roll = random_program(target, 9000 + seed);
    const Entry& entry = roll.metadata.entries[0];
    NaiveInterpreter naive;
    ASSERT_TRUE(naive.load(roll, seed).ok());
    ASSERT_TRUE(device_->load(roll, seed).ok());
    for (uint64_t round = 0; round < 2; ++round) {
      LaunchRequest request;
      request.registers = random_registers(entry, 10 * seed + round);
      request.host_input = random_host_input(roll, entry, 10 * seed + round);
      const LaunchResult expected = must(naive.launch(request)), found = launch(request);
      ASSERT_EQ(found.host_output, expected.host_output) << "seed " << seed;
      ASSERT_EQ(found.cycles, expected.cycles) << "seed " << seed;
      ASSERT_EQ(found.frozen_after_first, 0u) << "seed " << seed;
      ASSERT_EQ(copy_of(device_->kv_region()), copy_of(naive.kv_region())) << "seed " << seed;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Executors, DeviceContract,
                         testing::Values("naive", "emulator", "rtl", "lockstep", "systemc"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace pianola::test
