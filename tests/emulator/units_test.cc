// MEM, MXM, SXM and the ports by hand on sim16: MEM at positions 2 to 5, SXM 6, MXM 7.
#include <gtest/gtest.h>

#include <functional>

#include "emulator/emulator.h"
#include "emulator/naive_interpreter.h"
#include "tests/emulator/compare_executors.h"
#include "tests/emulator/unit_bench.h"

namespace pianola::test {
namespace {

constexpr int kSxm = 6, kMxm = 7;

Vector vector_of(const std::function<int(int)>& f) {
  Vector vector;
  for (int i = 0; i < 16; ++i) vector.push_back(static_cast<uint8_t>(f(i)));
  return vector;
}
Vector ramp(int step, int first = 0) {
  return vector_of([=](int i) { return first + step * i; });
}

TEST(Mem, ReadsWhatWasWrittenWithSteps) {
  UnitBench bench;
  for (int i = 0; i < 8; ++i) bench.fill(3, 100 + 7 * i, ramp(1, 16 * i));
  // Backwards, by three levels.
  MemInstruction x;
  x.op = MemOp::Read;
  x.dir = Direction::West;
  x.stream = 5;  // slice 3 drives stream 8
  x.address = 100 + 7 * 7;
  x.s1 = -7;
  x.s2 = -14;
  x.s3 = -28;
  x.timing.n1 = x.timing.n2 = x.timing.n3 = 1;
  x.timing.p1 = 2;
  x.timing.p2 = 5;
  x.timing.p3 = 11;
  const uint64_t at = bench.later();
  bench.builder().push(bench.builder().queue(QueueKind::MemRead, 3), at, x);
  bench.collect(2, at + 2, 8, 1, x.timing);
  const std::vector<Vector> out = bench.run();
  ASSERT_EQ(out.size(), 8u);
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(out[i], ramp(1, 16 * (7 - static_cast<int>(i))));
}

TEST(Mem, AddsARegisterAndReachesTheOtherBank) {
  UnitBench bench;
  bench.fill(0, 4090, ramp(3));
  bench.builder().declare(7, 0, 90);
  MemInstruction x;
  x.op = MemOp::Read;
  x.dir = Direction::West;
  x.address = 4005;
  x.reg = 7;
  const uint64_t at = bench.later();
  bench.builder().push(bench.builder().queue(QueueKind::MemRead, 0), at, x);
  bench.collect(2, at + 2, 0, 1);
  // Address 4090 needs 85; the words beside it were never written.
  const std::vector<Vector> out = bench.run({0, 0, 0, 0, 0, 0, 0, 85});
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0], ramp(3));
}

TEST(Mem, GathersByIndexAndClampsIt) {
  UnitBench bench;
  for (int i = 0; i < 4; ++i) bench.fill(8, 300 + i, ramp(1, 50 * i));
  bench.fill(0, 0, Vector(16, 2));   // index 2
  bench.fill(1, 0, Vector(16, 0));
  bench.fill(0, 1, Vector(16, 1));   // index 257, clamped to 3
  bench.fill(1, 1, Vector(16, 1));
  const uint64_t at = bench.later();
  bench.bring(0, 0, 4, at, 2, 0x3, repeat(1, 4), 1);  // slices 0 and 1 onto streams 2 and 3
  MemInstruction x;
  x.timing = repeat(1, 4);
  x.op = MemOp::Gather;
  x.dir = Direction::West;
  x.stream = 9;
  x.address = 300;
  x.index_dir = Direction::East;
  x.index_stream = 2;
  x.limit = 3;
  bench.builder().push(bench.builder().queue(QueueKind::MemRead, 8), at, x);
  bench.collect(4, at + 2, 9, 1, repeat(1, 4));
  const std::vector<Vector> out = bench.run();
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0], ramp(1, 100));
  EXPECT_EQ(out[1], ramp(1, 150));
}

TEST(Mem, WritesLanesAcrossTheEndOfAWord) {
  UnitBench bench;
  bench.fill(5, 40, Vector(16, 7));
  bench.fill(5, 41, Vector(16, 8));
  bench.fill(0, 0, ramp(10));
  bench.builder().declare(3, 0, 15);
  const uint64_t at = bench.later();
  bench.bring(0, 0, 3, at, 1, 1, repeat(2, 1));
  MemInstruction x;
  x.timing = repeat(2, 1);
  x.op = MemOp::WriteLane;
  x.dir = Direction::East;
  x.stream = 0;  // slice 5 is slice 1 of its position
  x.address = 40;
  x.lane_reg = 3;
  x.lane = 1;
  x.lane_step = 1;
  bench.builder().push(bench.builder().queue(QueueKind::MemWrite, 5), at, x);
  bench.dump(5, 40);
  bench.dump(5, 41);
  const std::vector<Vector> out = bench.run({0, 0, 0, 13});  // lanes 14, 15, 16
  ASSERT_EQ(out.size(), 2u);
  Vector first(16, 7), second(16, 8);
  first[14] = 140;
  first[15] = 150;
  second[0] = 0;
  EXPECT_EQ(out[0], first);
  EXPECT_EQ(out[1], second);
}

// Six vectors on stream 9 at slices 4 to 7, whose words 40 + i were ramp(1, 16 * i + k) in slice
// 4 + k before `x` writes its rows. Returns words 40 to 43, by slice.
std::vector<std::vector<Vector>> write_rows(MemInstruction x, const Timing& timing,
                                            const std::vector<uint32_t>& registers,
                                            uint32_t mask = 0xf) {
  UnitBench bench;
  for (int i = 0; i < 6; ++i) bench.fill(0, i, Vector(16, static_cast<uint8_t>(200 + i)));
  for (int k = 0; k < 4; ++k) {
    for (int i = 0; i < 4; ++i) bench.fill(4 + k, 40 + i, ramp(1, 16 * i + k));
  }
  if (x.reg != 0) bench.builder().declare(static_cast<int>(x.reg), 0, 7);
  const uint64_t at = bench.later();
  for (uint32_t i = 0; i < 6; ++i) {  // in the rhythm of the writes
    const uint32_t offset = timing.n2 > 0 ? i / 3 * timing.p2 + i % 3 * timing.p1 : i * timing.p1;
    bench.bring(0, static_cast<int>(i), 3, at + offset, 9);
  }
  x.timing = timing;
  x.op = MemOp::Write;
  x.dir = Direction::East;
  x.stream = 9;
  bench.builder().push(bench.builder().queue(QueueKind::MemWrite, 4), at, x, mask);
  for (int k = 0; k < 4; ++k) {
    for (int i = 0; i < 4; ++i) bench.dump(4 + k, 40 + i);
  }
  const std::vector<Vector> out = bench.run(registers);
  EXPECT_EQ(out.size(), 16u);
  std::vector<std::vector<Vector>> words(4);
  for (size_t i = 0; i < out.size(); ++i) words[i / 4].push_back(out[i]);
  return words;
}

// What write_rows shows when vector `vector` went to word 40 + `word` of slice 4 + `slice`.
struct RowWritten {
  int vector, slice, word;
};
std::vector<std::vector<Vector>> rows_written(const std::vector<RowWritten>& rows) {
  std::vector<std::vector<Vector>> words(4);
  for (int k = 0; k < 4; ++k) {
    for (int i = 0; i < 4; ++i) words[static_cast<size_t>(k)].push_back(ramp(1, 16 * i + k));
  }
  for (const RowWritten& row : rows) {
    words[static_cast<size_t>(row.slice)][static_cast<size_t>(row.word)] =
        Vector(16, static_cast<uint8_t>(200 + row.vector));
  }
  return words;
}

TEST(Mem, WritesRowsToTheSlicesThatHoldThemInTurn) {
  MemInstruction x;
  x.address = 40;
  x.rows = 2;
  x.row = 3;  // rows 3 to 8
  x.s1 = 1;
  EXPECT_EQ(write_rows(x, repeat(5, 1), {}),
            rows_written({{0, 3, 0}, {1, 0, 1}, {2, 1, 1}, {3, 2, 1}, {4, 3, 1}, {5, 0, 2}}));
  x.rows = 1;  // rows 5, 3, 1 and 6, 4, 2; slices 0 and 2 take even ones, 1 and 3 odd ones
  x.row = 5;
  x.s1 = -2;
  x.s2 = 1;
  Timing timing = repeat(2, 2);
  timing.n2 = 1;
  timing.p2 = 7;
  EXPECT_EQ(write_rows(x, timing, {}),
            rows_written({{0, 1, 2}, {0, 3, 2}, {1, 1, 1}, {1, 3, 1}, {2, 1, 0}, {2, 3, 0},
                          {3, 0, 3}, {3, 2, 3}, {4, 0, 2}, {4, 2, 2}, {5, 0, 1}, {5, 2, 1}}));
  x.rows = 3;  // rows 20, 13, 6 and 27, 20, 13; the four slices have those of 0 to 3 modulo 8
  x.row = 20;
  x.s1 = -7;
  x.s2 = 7;
  EXPECT_EQ(write_rows(x, timing, {}), rows_written({{3, 3, 3}}));
}

TEST(Mem, ChoosesTheSliceOfARowByRegister) {
  MemInstruction x;
  x.address = 40;
  x.rows = 2;
  x.row = 1;
  x.s1 = 1;
  x.reg = 5;
  EXPECT_EQ(write_rows(x, repeat(5, 1), {0, 0, 0, 0, 0, 0}),
            rows_written({{0, 1, 0}, {1, 2, 0}, {2, 3, 0}, {3, 0, 1}, {4, 1, 1}, {5, 2, 1}}));
  EXPECT_EQ(write_rows(x, repeat(5, 1), {0, 0, 0, 0, 0, 7}),
            rows_written({{0, 0, 2}, {1, 1, 2}, {2, 2, 2}, {3, 3, 2}, {4, 0, 3}, {5, 1, 3}}));
  // Slices that the instruction does not go to write nothing.
  EXPECT_EQ(write_rows(x, repeat(5, 1), {0, 0, 0, 0, 0, 7}, 0x3),
            rows_written({{0, 0, 2}, {1, 1, 2}, {4, 0, 3}, {5, 1, 3}}));
}

// Loads a tile from four slices and multiplies; the sums of the last vector.
std::vector<int32_t> multiply(MxmLoadFormat format, MxmLoadOrientation orientation,
                              const std::vector<Vector>& packed, const std::vector<Vector>& xs,
                              MxmMacInstruction mac, int emissions = 1) {
  UnitBench bench;
  for (size_t i = 0; i < packed.size(); ++i) {
    bench.fill(static_cast<int>(i % 4), static_cast<int>(i / 4), packed[i]);
  }
  for (size_t i = 0; i < xs.size(); ++i) bench.fill(8, static_cast<int>(i), xs[i]);
  const auto loads = static_cast<uint32_t>(packed.size() / 4);
  const uint64_t at = bench.later();
  bench.bring(0, 0, kMxm, at, 0, 0xf, loads > 1 ? repeat(loads - 1, 1) : Timing{}, loads > 1);
  MxmLoadInstruction load;
  load.timing = loads > 1 ? repeat(loads - 1, 1) : Timing{};
  load.format = format;
  load.orientation = orientation;
  load.row_s1 = loads > 1 ? 4 << static_cast<int>(format) : 0;
  bench.builder().push(bench.builder().queue(QueueKind::MxmLoad), at, load);
  const uint64_t start = at + loads;
  const auto n = static_cast<uint32_t>(xs.size() - 1);
  if (mac.timing == Timing{} && n > 0) mac.timing = repeat(n, 2);
  bench.bring(8, 0, kMxm, start, 8, 1, n > 0 ? repeat(n, 2) : Timing{}, n > 0);
  mac.stream = 8;
  mac.out_dir = Direction::West;
  bench.builder().push(bench.builder().queue(QueueKind::MxmMac), start, mac);
  const uint64_t skipped = 2 * (n + 1 - static_cast<uint32_t>(emissions));
  bench.collect(kMxm, start + 7 + skipped, 0, 4,
                emissions > 1 ? repeat(static_cast<uint32_t>(emissions - 1), 2) : Timing{});
  const std::vector<Vector> out = bench.run();
  EXPECT_EQ(out.size(), static_cast<size_t>(4 * emissions));
  std::vector<int32_t> sums;
  if (out.size() < 4) return sums;
  for (const uint32_t p : patterns_of(std::span(out).last(4))) {
    sums.push_back(static_cast<int32_t>(p));
  }
  return sums;
}

int weight(int row, int lane) { return (row * 31 + lane * 17) % 251 - 125; }

std::vector<int32_t> dot(const std::function<int(int, int)>& w, const Vector& x, bool by_input) {
  std::vector<int32_t> sums(16, 0);
  for (int o = 0; o < 16; ++o) {
    for (int k = 0; k < 16; ++k) {
      sums[static_cast<size_t>(o)] +=
          (by_input ? w(k, o) : w(o, k)) * static_cast<int8_t>(x[static_cast<size_t>(k)]);
    }
  }
  return sums;
}

MxmMacInstruction single_mac() {
  MxmMacInstruction mac;
  mac.swap = MxmMacSwap::Level1;
  mac.clear = MxmMacClear::Always;
  mac.emit = MxmMacEmit::Always;
  return mac;
}

TEST(Mxm, MultipliesInt8TilesInBothOrientations) {
  std::vector<Vector> rows;
  for (int r = 0; r < 16; ++r) rows.push_back(vector_of([r](int i) { return weight(r, i); }));
  const Vector x = vector_of([](int i) { return i * 37 % 256; });  // -128 among them
  EXPECT_EQ(multiply(MxmLoadFormat::Int8, MxmLoadOrientation::Output, rows, {x}, single_mac()),
            dot(weight, x, false));
  EXPECT_EQ(multiply(MxmLoadFormat::Int8, MxmLoadOrientation::Input, rows, {x}, single_mac()),
            dot(weight, x, true));
}

TEST(Mxm, UnpacksNibblesLowFirst) {
  const auto w = [](int r, int i) { return (r * 5 + i * 3) % 16 - 8; };
  std::vector<Vector> packed;
  for (int r = 0; r < 16; r += 2) {
    packed.push_back(vector_of([&](int i) { return (w(r, i) & 15) | (w(r + 1, i) & 15) << 4; }));
  }
  const Vector x = ramp(9, -60);
  EXPECT_EQ(multiply(MxmLoadFormat::Int4, MxmLoadOrientation::Output, packed, {x}, single_mac()),
            dot(w, x, false));
  EXPECT_EQ(multiply(MxmLoadFormat::Int4, MxmLoadOrientation::Input, packed, {x}, single_mac()),
            dot(w, x, true));
}

TEST(Mxm, UnpacksTernaryPairsLowFirst) {
  const auto code = [](int r, int i) { return (r * 7 + i * 5 + r * i) % 4; };
  const auto w = [&](int r, int i) {
    constexpr int kWeights[] = {0, 1, 0, -1};
    return kWeights[code(r, i)];
  };
  std::vector<Vector> packed;
  for (int r = 0; r < 16; r += 4) {
    packed.push_back(vector_of([&](int i) {
      return code(r, i) | code(r + 1, i) << 2 | code(r + 2, i) << 4 | code(r + 3, i) << 6;
    }));
  }
  const Vector x = ramp(13, -100);
  EXPECT_EQ(
      multiply(MxmLoadFormat::Ternary, MxmLoadOrientation::Output, packed, {x}, single_mac()),
      dot(w, x, false));
}

TEST(Mxm, ClearsForEveryVectorAndStepsTheAccumulator) {
  std::vector<Vector> rows;
  for (int r = 0; r < 16; ++r) rows.push_back(vector_of([r](int i) { return weight(r, i); }));
  const std::vector<Vector> xs = {ramp(1), ramp(2), ramp(-3)};
  MxmMacInstruction mac = single_mac();
  mac.acc = 31;
  EXPECT_EQ(multiply(MxmLoadFormat::Int8, MxmLoadOrientation::Output, rows, xs, mac, 3),
            dot(weight, xs[2], false));
  mac.acc = 4;
  mac.acc_s1 = -2;
  EXPECT_EQ(multiply(MxmLoadFormat::Int8, MxmLoadOrientation::Output, rows, xs, mac, 3),
            dot(weight, xs[2], false));
}

TEST(Mxm, SumsOverTilesOfAWindow) {
  // One tile loaded twice; the sums of both vectors meet in one accumulator.
  UnitBench bench;
  for (int i = 0; i < 16; ++i) {
    bench.fill(i % 4, i / 4, vector_of([i](int lane) { return weight(i, lane); }));
  }
  const Vector a = ramp(5, -30), b = ramp(-7, 90);
  bench.fill(8, 0, a);
  bench.fill(8, 1, b);
  const uint64_t at = bench.later();
  Timing twice = repeat(3, 1);
  twice.n2 = 1;
  twice.p2 = 8;
  bench.bring(0, 0, kMxm, at, 0, 0xf, twice, 1);
  MxmLoadInstruction load;
  load.timing = twice;
  load.row_s1 = 4;
  bench.builder().push(bench.builder().queue(QueueKind::MxmLoad), at, load);
  bench.bring(8, 0, kMxm, at + 4, 8, 1, repeat(1, 8), 1);
  MxmMacInstruction mac;
  mac.timing.n2 = 1;
  mac.timing.p2 = 8;
  mac.stream = 8;
  mac.swap = MxmMacSwap::Level1;
  mac.clear = MxmMacClear::Level2;
  mac.emit = MxmMacEmit::Level2;
  mac.acc = 9;
  mac.out_dir = Direction::West;
  mac.out_stream = 12;
  bench.builder().push(bench.builder().queue(QueueKind::MxmMac), at + 4, mac);
  bench.collect(kMxm, at + 4 + 8 + 7, 12, 4);
  const std::vector<Vector> out = bench.run();
  ASSERT_EQ(out.size(), 4u);
  const Patterns sums = patterns_of(out);
  const std::vector<int32_t> da = dot(weight, a, false), db = dot(weight, b, false);
  for (size_t o = 0; o < 16; ++o) EXPECT_EQ(static_cast<int32_t>(sums[o]), da[o] + db[o]);
}

// Moves four planes that slices 0..3 hold; what arrives, `width` vectors.
std::vector<Vector> move(SxmInstruction x, const std::vector<Vector>& planes,
                         const Vector& index = {}) {
  UnitBench bench;
  for (size_t b = 0; b < planes.size(); ++b) bench.fill(static_cast<int>(b), 0, planes[b]);
  if (!index.empty()) bench.fill(4, 0, index);
  const uint64_t at = bench.later();
  bench.bring(0, 0, kSxm, at, 0, (1u << planes.size()) - 1);
  if (!index.empty()) bench.bring(4, 0, kSxm, at, 7);
  x.out_dirs = 2;
  x.out_stream = 4;
  bench.builder().push(bench.builder().queue(QueueKind::SxmMove), at, x);
  bench.collect(kSxm, at + 3, 4, static_cast<int>(planes.size()));
  return bench.run();
}

SxmInstruction move_of(SxmOp op, int amount, SxmWidth width = SxmWidth::W1) {
  SxmInstruction x;
  x.op = op;
  x.amount = amount;
  x.width = width;
  return x;
}

TEST(Sxm, ShiftsRotatesDistributesAndPermutes) {
  const std::vector<Vector> four = {ramp(1), ramp(3), ramp(5, 7), ramp(-1, 200)};
  const auto expect = [&](const SxmInstruction& x, size_t width, const Vector& index,
                          const std::function<int(const Vector&, int)>& f) {
    const std::vector<Vector> planes(four.begin(), four.begin() + static_cast<long>(width));
    const std::vector<Vector> out = move(x, planes, index);
    ASSERT_EQ(out.size(), width);
    for (size_t b = 0; b < width; ++b) {
      EXPECT_EQ(out[b], vector_of([&](int i) { return f(planes[b], i); }));
    }
  };
  const auto lane = [](const Vector& v, int i) { return int{v[static_cast<size_t>(i)]}; };
  expect(move_of(SxmOp::Shift, 3, SxmWidth::W4), 4, {},
         [&](const Vector& v, int i) { return i + 3 < 16 ? lane(v, i + 3) : 0; });
  expect(move_of(SxmOp::Shift, -5, SxmWidth::W2), 2, {},
         [&](const Vector& v, int i) { return i >= 5 ? lane(v, i - 5) : 0; });
  expect(move_of(SxmOp::Rotate, 6), 1, {},
         [&](const Vector& v, int i) { return lane(v, (i + 6) % 16); });
  expect(move_of(SxmOp::Rotate, -6, SxmWidth::W4), 4, {},
         [&](const Vector& v, int i) { return lane(v, (i + 10) % 16); });
  expect(move_of(SxmOp::Distribute, 11, SxmWidth::W2), 2, {},
         [&](const Vector& v, int) { return lane(v, 11); });
  SxmInstruction permute = move_of(SxmOp::Permute, 0, SxmWidth::W4);
  permute.index_stream = 7;
  const Vector index = vector_of([](int i) { return i * 7 + 250; });  // modulo the lanes
  expect(permute, 4, index, [&](const Vector& v, int i) { return lane(v, (i * 7 + 250) % 256 % 16); });
}

TEST(Sxm, TransposesATile) {
  UnitBench bench;
  const auto cell = [](int r, int c) { return r * 16 + c * 3; };
  for (int r = 0; r < 16; ++r) bench.fill(1, r, vector_of([&](int c) { return cell(r, c); }));
  const uint64_t at = bench.later();
  bench.bring(1, 0, kSxm, at, 2, 1, repeat(15, 1), 1);
  SxmInstruction in = move_of(SxmOp::TransposeIn, 15);  // rows from the last to the first
  in.timing = repeat(15, 1);
  in.amount_s1 = -1;
  in.stream = 2;
  const int queue = bench.builder().queue(QueueKind::SxmMove);
  bench.builder().push(queue, at, in);
  SxmInstruction out = move_of(SxmOp::TransposeOut, 0);
  out.timing = repeat(15, 1);
  out.amount_s1 = 1;
  out.out_dirs = 3;
  out.out_stream = 9;
  bench.builder().push(queue, at + 16, out);
  bench.collect(kSxm, at + 16 + 3, 9, 1, repeat(15, 1));
  const std::vector<Vector> sent = bench.run();
  ASSERT_EQ(sent.size(), 16u);
  for (int c = 0; c < 16; ++c) {
    EXPECT_EQ(sent[static_cast<size_t>(c)], vector_of([&](int i) { return cell(15 - i, c); }));
  }
}

TEST(Ports, DeliverSegmentsAndKeepKvRowsUntilEnd) {
  const Target target = load_target("sim16").value();
  ProgramBuilder builder(target);
  const int port = target.port_position;
  // Three vectors of the tape and two of the KV region return to the host by way of MEM; two of the
  // tape go to the KV region.
  for (int i = 0; i < 3; ++i) {
    const uint64_t drive =
        builder.receive(QueueKind::TapeRecv, 20 + 10 * static_cast<uint64_t>(i), 0, 1, 1);
    builder.write(0, port, drive, 0, i, Direction::East);
  }
  for (int i = 0; i < 2; ++i) {
    const uint64_t drive =
        builder.receive(QueueKind::KvRecv, 60 + 10 * static_cast<uint64_t>(i), 1, 1, 3);
    builder.write(0, port, drive, 1, 3 + i, Direction::East);
  }
  for (int i = 0; i < 5; ++i) {
    const uint64_t drive = builder.read(0, 100 + 10 * static_cast<uint64_t>(i), Direction::West, 2, i);
    builder.send(QueueKind::HostSend, 2, drive, 2);
  }
  for (int i = 0; i < 2; ++i) {
    const uint64_t drive = builder.read(0, 160 + 10 * static_cast<uint64_t>(i), Direction::West, 2, i);
    builder.send(QueueKind::KvSend, 2, drive, 2);
  }
  builder.declare(1, 0, 9);
  builder.declare(40, 0, 100);
  ASSERT_TRUE(builder.build());
  Roll roll = builder.finish("ports");
  Entry& entry = roll.metadata.entries[0];
  // Tape: two vectors two apart, then one chosen by parameter 40, clamped to 3.
  entry.tape = {Segment{.base = 1, .count = 1, .repeat = 2, .stride = 2},
                Segment{.base = 4, .count = 1, .parameter = 40, .parameter_stride = 2, .limit = 3}};
  roll.owned_data.resize(11 * 16);
  for (size_t i = 0; i < roll.owned_data.size(); ++i) {
    roll.owned_data[i] = static_cast<std::byte>(i * 5);
  }
  roll.data = roll.owned_data;
  // KV: reads rows 6 and 7, writes rows from register 1 on.
  roll.metadata.kv_vectors = 12;
  entry.kv_read = {Segment{.base = 6, .count = 2}};
  entry.kv_write = {
      Segment{.base = 0, .count = 2, .parameter = 1, .parameter_stride = 1, .limit = 10}};
  LaunchRequest first;
  first.registers.resize(41);
  first.registers[1] = 6;
  first.registers[40] = 77;
  LaunchRequest second = first;
  second.registers[1] = 0;
  second.registers[40] = 2;
  EXPECT_TRUE(executors_agree(roll, {first, second, first}, 5));

  Emulator emulator;
  ASSERT_TRUE(emulator.load(roll, 5).ok());
  const std::vector<std::byte> kv_before(emulator.kv_region().begin(), emulator.kv_region().end());
  const auto tape = [&](size_t vector, size_t lane) { return roll.data[vector * 16 + lane]; };
  const auto result = emulator.launch(first);
  ASSERT_TRUE(result.ok()) << to_string(result.error());
  const auto again = emulator.launch(second);
  ASSERT_TRUE(again.ok()) << to_string(again.error());
  for (size_t i = 0; i < 16; ++i) {
    EXPECT_EQ(result->host_output[i], tape(1, i));
    EXPECT_EQ(result->host_output[16 + i], tape(3, i));
    EXPECT_EQ(result->host_output[32 + i], tape(4 + 3 * 2, i));  // 77 clamped to 3
    EXPECT_EQ(again->host_output[32 + i], tape(4 + 2 * 2, i));
    // The first launch reads the rows of before, the second what the first wrote.
    EXPECT_EQ(result->host_output[48 + i], kv_before[6 * 16 + i]);
    EXPECT_EQ(again->host_output[48 + i], tape(1, i));
    EXPECT_EQ(again->host_output[64 + i], tape(3, i));
    EXPECT_EQ(emulator.kv_region()[i], tape(1, i));
  }
}

TEST(Device, RefusesWhatTheEntryDoesNotTake) {
  UnitBench bench;
  bench.fill(0, 0, ramp(1));
  bench.builder().declare(1, 2, 8).multiple = 2;
  bench.dump(0, 0);
  ASSERT_TRUE(bench.builder().build());
  const Roll roll = bench.builder().finish("refusals");
  Emulator emulator;
  NaiveInterpreter naive;
  for (Device* device : {static_cast<Device*>(&emulator), static_cast<Device*>(&naive)}) {
    LaunchRequest request;
    EXPECT_FALSE(device->launch(request).ok());  // nothing is loaded
    ASSERT_TRUE(device->load(roll, 0).ok());
    request.host_input.resize(16);
    request.registers = {0, 4};
    EXPECT_TRUE(device->launch(request).ok());
    request.registers = {0, 10};
    EXPECT_FALSE(device->launch(request).ok());
    request.registers = {0, 5};
    EXPECT_FALSE(device->launch(request).ok());
    request.registers = {0, 4};
    request.host_input.resize(15);
    EXPECT_FALSE(device->launch(request).ok());
    request.host_input.resize(16);
    request.entry = 1;
    EXPECT_FALSE(device->launch(request).ok());
  }
}

}  // namespace
}  // namespace pianola::test
