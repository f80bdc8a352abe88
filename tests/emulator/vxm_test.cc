// Every stage of the VXM by hand: values small enough that the expected results are exact.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "tests/emulator/unit_bench.h"

namespace pianola::test {
namespace {

constexpr int kVxm = 1;  // position on sim16
constexpr uint32_t kOne = 0x3f800000;

std::vector<float> lanes_of(const std::function<float(int)>& f) {
  std::vector<float> values;
  for (int i = 0; i < 16; ++i) values.push_back(f(i));
  return values;
}

struct Case {
  VxmInstruction pass;
  std::vector<Patterns> x, y, z;   // by iteration of level 1
  std::vector<uint32_t> registers;  // by index
};

// The values that the pass drives, one for each drive.
std::vector<Patterns> play(Case c, int drives = 1) {
  UnitBench bench;
  for (size_t i = 0; i < c.x.size(); ++i) bench.fill(0, static_cast<int>(i), c.x[i]);
  for (size_t i = 0; i < c.y.size(); ++i) bench.fill(4, static_cast<int>(i), c.y[i]);
  for (size_t i = 0; i < c.z.size(); ++i) bench.fill(8, static_cast<int>(i), c.z[i]);
  for (size_t i = 1; i < c.registers.size(); ++i) {
    bench.builder().declare(static_cast<int>(i), 0, ~uint32_t{0});
  }
  const uint64_t at = bench.later();
  const auto n1 = static_cast<uint32_t>(c.x.size() - 1);
  c.pass.timing = n1 == 0 ? Timing{} : repeat(n1, 8);
  const Timing timing = c.pass.timing;
  bench.bring(0, 0, kVxm, at, 0, 0xf, timing, n1 > 0);
  c.pass.x_dir = Direction::West;
  if (c.pass.x_format == VxmFormat::None) c.pass.x_format = VxmFormat::F32;
  if (!c.y.empty()) {
    bench.bring(4, 0, kVxm, at, 4, 0xf, timing, n1 > 0);
    c.pass.y_dir = Direction::West;
    c.pass.y_stream = 4;
    if (c.pass.y_format == VxmFormat::None) c.pass.y_format = VxmFormat::F32;
  }
  if (!c.z.empty()) {
    bench.bring(8, 0, kVxm, at, 8, 0xf, timing, n1 > 0);
    c.pass.z_dir = Direction::West;
    c.pass.z_stream = 8;
    if (c.pass.z_format == VxmFormat::None) c.pass.z_format = VxmFormat::F32;
  }
  if (c.pass.out_format == VxmOutFormat::None) c.pass.out_format = VxmOutFormat::F32;
  c.pass.out_dirs = 2;
  c.pass.out_stream = 12;
  bench.builder().push(bench.builder().queue(QueueKind::VxmPass), at, c.pass);
  const bool half =
      c.pass.out_format == VxmOutFormat::F16 || c.pass.out_format == VxmOutFormat::Bf16;
  const int planes = c.pass.out_format == VxmOutFormat::I8 ? 1 : half ? 2 : 4;
  const uint64_t drive =
      at + static_cast<uint64_t>(pass_latency(bench.builder().target(), c.pass));
  const uint64_t skipped = static_cast<uint64_t>(n1 + 1 - static_cast<uint32_t>(drives)) * 8;
  bench.collect(kVxm, drive + skipped, 12, planes,
                drives > 1 ? repeat(static_cast<uint32_t>(drives - 1), 8) : Timing{});
  const std::vector<Vector> sent = bench.run(c.registers);
  EXPECT_EQ(sent.size(), static_cast<size_t>(drives * planes));
  std::vector<Patterns> result;
  for (size_t i = 0; i + planes <= sent.size(); i += planes) {
    result.push_back(patterns_of(std::span(sent).subspan(i, planes)));
  }
  return result;
}

void expect_floats(const Case& c, const std::function<float(int)>& expected) {
  const std::vector<Patterns> out = play(c);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0], patterns_of(lanes_of(expected)));
}

Case with_x(const std::function<float(int)>& x) {
  Case c;
  c.x = {patterns_of(lanes_of(x))};
  return c;
}

float ramp(int i) { return static_cast<float>(i) - 3.5f; }

TEST(Vxm, ConvertsOperandFormats) {
  Case c;
  Patterns integers, bytes, bf16, f16;
  for (uint32_t i = 0; i < 16; ++i) {
    integers.push_back(static_cast<uint32_t>(-70000 + static_cast<int>(i) * 9999));
    bytes.push_back(static_cast<uint8_t>(-8 + static_cast<int>(i)));
    bf16.push_back(0x3f80 + (i << 7));      // 2^i
    f16.push_back(i == 0 ? 1 : i << 10);    // 2^-24, then 2^(i - 15)
  }
  c.x = {integers};
  c.pass.x_format = VxmFormat::I32;
  expect_floats(c, [](int i) { return static_cast<float>(-70000 + i * 9999); });
  c.x = {bytes};
  c.pass.x_format = VxmFormat::I8;
  expect_floats(c, [](int i) { return static_cast<float>(i - 8); });
  c.x = {bf16};
  c.pass.x_format = VxmFormat::Bf16;
  expect_floats(c, [](int i) { return std::ldexp(1.0f, i); });
  c.x = {f16};
  c.pass.x_format = VxmFormat::F16;
  expect_floats(c, [](int i) { return std::ldexp(1.0f, i == 0 ? -24 : i - 15); });
  c = with_x(ramp);
  c.pass.x_format = VxmFormat::F32Lane0;
  expect_floats(c, [](int) { return -3.5f; });
  c.pass.x_format = VxmFormat::Raw;
  expect_floats(c, ramp);
}

TEST(Vxm, MultipliesByEachOperand) {
  Case c = with_x(ramp);
  c.y = {patterns_of(lanes_of([](int i) { return static_cast<float>(i); }))};
  c.z = {patterns_of(lanes_of([](int) { return 0.25f; }))};
  c.registers = {0, 0x40000000, 0x40400000};  // 2, 3
  c.pass.k1 = 1;
  c.pass.k2 = 2;
  const auto factor = [](VxmOperand which, int i) {
    switch (which) {
      case VxmOperand::None: return 1.0f;
      case VxmOperand::Y:
      case VxmOperand::Lane: return static_cast<float>(i);
      case VxmOperand::Z: return 0.25f;
      case VxmOperand::K1: return 2.0f;
      case VxmOperand::K2: return 3.0f;
    }
    return 0.0f;
  };
  for (uint32_t o = 0; o <= 5; ++o) {
    const auto which = static_cast<VxmOperand>(o);
    for (int stage = 0; stage < 4; ++stage) {
      c.pass.mul1 = stage == 0 ? which : VxmOperand::None;
      c.pass.mul2 = stage == 1 ? which : VxmOperand::None;
      c.pass.mul3 = stage == 2 ? which : VxmOperand::None;
      c.pass.combine = stage == 3 ? static_cast<VxmCombine>(o) : VxmCombine::None;
      expect_floats(c, [&](int i) { return ramp(i) * factor(which, i); });
    }
  }
}

TEST(Vxm, AddsAndCompares) {
  Case c = with_x(ramp);
  const auto other = [](int i) { return static_cast<float>(2 * i) - 15.0f; };
  c.y = {patterns_of(lanes_of(other))};
  c.pass.add_operand = VxmOperand::Y;
  c.pass.add_op = VxmAddOp::Add;
  expect_floats(c, [&](int i) { return ramp(i) + other(i); });
  c.pass.add_op = VxmAddOp::Sub;
  expect_floats(c, [&](int i) { return ramp(i) - other(i); });
  c.pass.add_op = VxmAddOp::Rsub;
  expect_floats(c, [&](int i) { return other(i) - ramp(i); });
  c.pass.add_op = VxmAddOp::Min;
  expect_floats(c, [&](int i) { return std::min(ramp(i), other(i)); });
  c.pass.add_op = VxmAddOp::Max;
  expect_floats(c, [&](int i) { return std::max(ramp(i), other(i)); });
  c.pass.add_op = VxmAddOp::Iadd;
  c.pass.x_format = c.pass.y_format = VxmFormat::Raw;
  const std::vector<Patterns> out = play(c);
  ASSERT_EQ(out.size(), 1u);
  for (size_t i = 0; i < 16; ++i) EXPECT_EQ(out[0][i], c.x[0][i] + c.y[0][i]);
}

TEST(Vxm, SelectsByLane) {
  Case c = with_x(ramp);
  c.registers = {0, 4, 0x42f60000};  // threshold 4 + imm, else 123
  c.pass.select_reg = 1;
  c.pass.select_imm = 2;
  c.pass.k2 = 2;
  c.pass.select = VxmSelect::Lt;
  expect_floats(c, [](int i) { return i < 6 ? ramp(i) : 123.0f; });
  c.pass.select = VxmSelect::Ge;
  expect_floats(c, [](int i) { return i >= 6 ? ramp(i) : 123.0f; });
  c.pass.select = VxmSelect::Eq;
  expect_floats(c, [](int i) { return i == 6 ? ramp(i) : 123.0f; });
  c.pass.select_imm = -20;  // negative thresholds are signed
  c.pass.select = VxmSelect::Ge;
  expect_floats(c, ramp);
}

TEST(Vxm, StepsTheThresholdPerIteration) {
  Case c;
  c.x.assign(3, patterns_of(lanes_of(ramp)));
  c.pass.select = VxmSelect::Lt;
  c.pass.select_imm = 1;
  c.pass.select_s1 = 5;
  const std::vector<Patterns> out = play(c, 3);
  ASSERT_EQ(out.size(), 3u);
  for (int n = 0; n < 3; ++n) {
    EXPECT_EQ(out[static_cast<size_t>(n)],
              patterns_of(lanes_of([n](int i) { return i < 1 + 5 * n ? ramp(i) : 0.0f; })));
  }
}

TEST(Vxm, AppliesSpecialFunctions) {
  Case c = with_x([](int i) { return static_cast<float>(i - 8); });
  c.pass.sfu = VxmSfu::Exp2;
  expect_floats(c, [](int i) { return std::ldexp(1.0f, i - 8); });
  c = with_x([](int i) { return std::ldexp(1.0f, i - 8); });
  c.pass.sfu = VxmSfu::Reciprocal;
  expect_floats(c, [](int i) { return std::ldexp(1.0f, 8 - i); });
  c.pass.sfu = VxmSfu::Log2;
  expect_floats(c, [](int i) { return static_cast<float>(i - 8); });
  c = with_x([](int i) { return std::ldexp(1.0f, 2 * i - 8); });
  c.pass.sfu = VxmSfu::Rsqrt;
  expect_floats(c, [](int i) { return std::ldexp(1.0f, 4 - i); });
}

TEST(Vxm, ReducesSegments) {
  Case c = with_x(ramp);
  c.pass.combine = VxmCombine::Replace;
  for (const LaneSegment segment : {LaneSegment::All, LaneSegment::S16}) {
    c.pass.segment = segment;
    c.pass.tree = VxmTree::Sum;
    expect_floats(c, [](int) { return 64.0f; });
    c.pass.tree = VxmTree::Max;
    expect_floats(c, [](int) { return 11.5f; });
    c.pass.tree = VxmTree::Absmax;
    expect_floats(c, [](int) { return 11.5f; });
    c.pass.tree = VxmTree::Argmax;
    expect_floats(c, [](int) { return 15.0f; });
  }
  c = with_x([](int i) { return i == 5 || i == 9 ? 7.0f : i == 3 ? -9.0f : i == 6 ? NAN : 0.0f; });
  c.pass.combine = VxmCombine::Replace;
  c.pass.tree = VxmTree::Argmax;  // ties to the lowest lane, NaN loses
  expect_floats(c, [](int) { return 5.0f; });
  c = with_x([](int i) { return i == 3 ? -9.0f : 1.0f; });
  c.pass.combine = VxmCombine::Replace;
  c.pass.tree = VxmTree::Absmax;
  expect_floats(c, [](int) { return 9.0f; });
}

TEST(Vxm, AppliesTheRoot) {
  Case c = with_x([](int) { return 2.0f; });  // sum 32
  c.registers = {0, 0x3e000000, 0x41400000};  // 1/8, 12
  c.pass.k1 = 1;
  c.pass.k2 = 2;
  c.pass.tree = VxmTree::Sum;
  c.pass.combine = VxmCombine::R;
  c.pass.root = VxmRoot::Scale;
  expect_floats(c, [](int) { return 8.0f; });  // 2 * (32 / 8)
  c.pass.root = VxmRoot::Reciprocal;
  expect_floats(c, [](int) { return 0.5f; });
  c.pass.root = VxmRoot::Rsqrt;
  expect_floats(c, [](int) { return 0.5f; });  // 2 / sqrt(4 + 12)
}

TEST(Vxm, Accumulates) {
  Case c;
  for (int n = 0; n < 4; ++n) {
    c.x.push_back(patterns_of(lanes_of([n](int i) { return static_cast<float>((i * 7 + n * 5) % 11); })));
  }
  const auto value = [](int n, int i) { return static_cast<float>((i * 7 + n * 5) % 11); };
  c.pass.emit = VxmEmit::Level1;
  c.pass.first = VxmFirst::Level1;
  c.pass.out_source = VxmOutSource::W;
  c.pass.acc = 5;
  c.pass.acc_op = VxmAccOp::Add;
  expect_floats(c, [&](int i) { return value(0, i) + value(1, i) + value(2, i) + value(3, i); });
  c.pass.acc_op = VxmAccOp::Max;
  expect_floats(c, [&](int i) {
    return std::max({value(0, i), value(1, i), value(2, i), value(3, i)});
  });
  c.pass.acc_op = VxmAccOp::Min;
  expect_floats(c, [&](int i) {
    return std::min({value(0, i), value(1, i), value(2, i), value(3, i)});
  });
  c.pass.acc_op = VxmAccOp::Load;
  c.pass.first = VxmFirst::Never;
  expect_floats(c, [&](int i) { return value(3, i); });
  c.pass.acc = 0;
  c.pass.acc_op = VxmAccOp::AddK2;
  c.registers = {0, kOne};
  c.pass.k2 = 1;
  expect_floats(c, [&](int i) { return value(3, i) + 1.0f; });
  c.pass.acc_op = VxmAccOp::None;
  expect_floats(c, [&](int i) { return value(3, i); });
  c.pass.acc_source = VxmAccSource::R;
  c.pass.tree = VxmTree::Sum;
  expect_floats(c, [&](int) {
    float sum = 0;
    for (int i = 0; i < 16; ++i) sum += value(3, i);
    return sum;
  });
}

TEST(Vxm, DrivesTheValueBesideTheAccumulator) {
  Case c;
  c.x = {patterns_of(lanes_of(ramp)), patterns_of(lanes_of([](int) { return 99.0f; }))};
  c.pass.acc_op = VxmAccOp::Max;
  c.pass.first = VxmFirst::Level1;
  c.pass.out_source = VxmOutSource::V;
  EXPECT_EQ(play(c, 2), c.x);
}

TEST(Vxm, ReadsAnAccumulatorBack) {
  UnitBench bench;
  const Patterns x = patterns_of(lanes_of(ramp));
  bench.fill(0, 0, x);
  const int queue = bench.builder().queue(QueueKind::VxmPass);
  const uint64_t at = bench.later();
  bench.bring(0, 0, kVxm, at, 0, 0xf);
  VxmInstruction load;
  load.x_dir = Direction::West;
  load.x_format = VxmFormat::Raw;
  load.acc_op = VxmAccOp::Load;
  load.acc = 31;
  bench.builder().push(queue, at, load);
  VxmInstruction read;
  read.acc_op = VxmAccOp::Read;
  read.acc = 31;
  read.out_source = VxmOutSource::W;
  read.out_format = VxmOutFormat::F32;
  read.out_dirs = 3;
  bench.builder().push(queue, at + 10, read);
  bench.collect(kVxm,
                at + 10 + static_cast<uint64_t>(pass_latency(bench.builder().target(), read)), 0,
                4);
  const std::vector<Vector> sent = bench.run();
  ASSERT_EQ(sent.size(), 4u);
  EXPECT_EQ(patterns_of(sent), x);
}

TEST(Vxm, RoundsOutputs) {
  const auto values = [](int i) {
    constexpr float kValues[] = {0.5f,   1.5f,   2.5f,    -0.5f, -1.5f, 126.5f, 127.5f, 1000.0f,
                                 -127.6f, -1e9f, 65520.0f, 3e9f, NAN,  -0.0f,  1.0f,   -2.25f};
    return kValues[i];
  };
  Case c = with_x(values);
  c.pass.out_format = VxmOutFormat::I8;
  std::vector<Patterns> out = play(c);
  ASSERT_EQ(out.size(), 1u);
  const std::vector<int> bytes = {0, 2, 2, 0, -2, 126, 127, 127, -127, -127, 127, 127, 0, 0, 1, -2};
  for (size_t i = 0; i < 16; ++i) EXPECT_EQ(static_cast<int8_t>(out[0][i]), bytes[i]) << i;
  c.pass.out_format = VxmOutFormat::I32;
  out = play(c);
  ASSERT_EQ(out.size(), 1u);
  const std::vector<int> integers = {0,    2,           2,     0,       -2, 126, 128, 1000,
                                     -128, -1000000000, 65520, INT32_MAX, 0, 0,   1,   -2};
  for (size_t i = 0; i < 16; ++i) EXPECT_EQ(static_cast<int32_t>(out[0][i]), integers[i]) << i;
  c.pass.out_format = VxmOutFormat::F16;
  out = play(c);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0][0], 0x3800u);
  EXPECT_EQ(out[0][10], 0x7c00u);  // 65520 rounds to infinity
  EXPECT_EQ(out[0][12], 0x7e00u);
  EXPECT_EQ(out[0][15], 0xc080u);
  c.pass.out_format = VxmOutFormat::Bf16;
  out = play(c);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0][1], 0x3fc0u);
  EXPECT_EQ(out[0][12], 0x7fc0u);
  EXPECT_EQ(out[0][15], 0xc010u);
}

}  // namespace
}  // namespace pianola::test
