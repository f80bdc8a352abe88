#include "tests/emulator/gemv_program.h"

#include "isa/arithmetic.h"
#include "tests/support/build_program.h"

namespace pianola::test {
namespace {

constexpr int kPeriod = 18;  // cycles of one window: 34 vectors of the tape, two a cycle

Timing loop(uint32_t n1, uint32_t p1, uint32_t n2 = 0, uint32_t p2 = 0, uint32_t n3 = 0,
            uint32_t p3 = 0) {
  return {.start = 0, .n1 = n1, .p1 = p1, .n2 = n2, .p2 = p2, .n3 = n3, .p3 = p3};
}

}  // namespace

Roll gemv_program(const Target& target, const GemvShape& shape) {
  CHECK(target.name == "sim16");
  ProgramBuilder b(target);
  const auto groups = static_cast<uint32_t>(shape.groups);
  const auto blocks = static_cast<uint32_t>(shape.blocks);
  const uint32_t windows = groups * blocks;
  const uint32_t block_period = groups * kPeriod;
  uint64_t now = 8;
  for (int i = 0; i < 2 * shape.groups; ++i, now += 8) b.fill(now, 4, i);
  for (int g = 0; g < shape.groups; ++g) {
    for (int plane = 0; plane < 4; ++plane, now += 8) b.fill(now, plane, g);
  }
  const uint64_t t = now + 40;
  for (uint32_t w = 0; w <= windows; ++w) {
    const uint64_t first = t + uint64_t{w} * kPeriod;
    if (w < windows) {
      b.push(b.queue(QueueKind::TapeRecv), first,
             PortRecvInstruction{loop(3, 2, 1, 8), 4, 1, 0});
    }
    if (w > 0) b.receive(QueueKind::TapeRecv, first + 16, 4, 2, 1);  // scales of the window before
  }
  b.push(b.queue(QueueKind::MxmLoad), t + 8,
         MxmLoadInstruction{.timing = loop(3, 2, 1, 8, windows - 1, kPeriod),
                            .dir = Direction::East,
                            .row_s1 = 4});
  b.push(b.queue(QueueKind::MemRead, 4), t + 9,
         MemInstruction{.timing = loop(1, 8, groups - 1, kPeriod, blocks - 1, block_period),
                        .op = MemOp::Read,
                        .dir = Direction::East,
                        .stream = 6,
                        .s1 = 1,
                        .s2 = 2});
  b.push(b.queue(QueueKind::MxmMac), t + 15,
         MxmMacInstruction{.timing = loop(0, 0, 1, 8, windows - 1, kPeriod),
                           .dir = Direction::East,
                           .stream = 6,
                           .swap = MxmMacSwap::Always,
                           .clear = MxmMacClear::Level2,
                           .emit = MxmMacEmit::Level2,
                           .out_dir = Direction::West});
  b.push(b.queue(QueueKind::MemRead, 0), t + 33,
         MemInstruction{.timing = loop(groups - 1, kPeriod, blocks - 1, block_period),
                        .op = MemOp::Read,
                        .dir = Direction::West,
                        .stream = 4,
                        .s1 = 1},
         0xf);
  VxmInstruction pass;
  pass.timing = loop(groups - 1, kPeriod, blocks - 1, block_period);
  pass.x_dir = Direction::West;
  pass.x_format = VxmFormat::I32;
  pass.y_stream = 4;
  pass.y_format = VxmFormat::F16;
  pass.z_dir = Direction::West;
  pass.z_stream = 4;
  pass.z_format = VxmFormat::F32Lane0;
  pass.mul1 = VxmOperand::Y;
  pass.mul2 = VxmOperand::Z;
  pass.acc_op = VxmAccOp::Add;
  pass.first = VxmFirst::Level1;
  pass.emit = VxmEmit::Level1;
  pass.out_source = VxmOutSource::W;
  pass.out_format = VxmOutFormat::F32;
  pass.out_dirs = 1;
  pass.out_stream = 8;
  b.push(b.queue(QueueKind::VxmPass), t + 36, pass);
  const uint64_t written =
      t + 36 + (groups - 1) * kPeriod + static_cast<uint64_t>(pass_latency(target, pass)) + 3;
  b.push(b.queue(QueueKind::MemWrite, 8), written,
         MemInstruction{.timing = loop(blocks - 1, block_period),
                        .op = MemOp::Write,
                        .dir = Direction::East,
                        .stream = 8,
                        .s1 = 1},
         0xf);
  const uint64_t done = written + uint64_t{blocks} * block_period;
  b.push(b.queue(QueueKind::MemRead, 8), done,
         MemInstruction{.timing = loop(blocks - 1, 4),
                        .op = MemOp::Read,
                        .dir = Direction::West,
                        .stream = 12,
                        .s1 = 1},
         0xf);
  b.push(b.queue(QueueKind::HostSend), done + 6,
         PortSendInstruction{loop(blocks - 1, 4), 4, Direction::West, 12});
  CHECK(b.build());
  return b.finish("gemv");
}

std::vector<uint32_t> gemv_expected(const Roll& roll, const GemvShape& shape,
                                    std::span<const std::byte> host_input) {
  const auto byte = [](std::span<const std::byte> bytes, size_t i) {
    return std::to_integer<uint32_t>(bytes[i]);
  };
  const auto signed_byte = [&](std::span<const std::byte> bytes, size_t i) {
    return static_cast<int32_t>(static_cast<int8_t>(byte(bytes, i)));
  };
  // The tape: tiles of window 0, then for each window the tiles of the next, if any, and its own
  // scales.
  const auto tiles_at = [](size_t w) { return w == 0 ? 0 : (32 + (w - 1) * 34) * 16; };
  const size_t windows = static_cast<size_t>(shape.groups) * shape.blocks;
  std::vector<uint32_t> result;
  for (size_t block = 0; block < static_cast<size_t>(shape.blocks); ++block) {
    std::vector<uint32_t> sums(16);
    for (size_t g = 0; g < static_cast<size_t>(shape.groups); ++g) {
      const size_t w = block * shape.groups + g;
      const size_t scales = w + 1 == windows ? tiles_at(w) + 34 * 16 : tiles_at(w + 1) + 32 * 16;
      uint32_t z = 0;
      for (size_t plane = 0; plane < 4; ++plane) {
        z |= byte(host_input, (2 * shape.groups + 4 * g + plane) * 16) << (8 * plane);
      }
      for (size_t o = 0; o < 16; ++o) {
        int32_t sum = 0;
        for (size_t k = 0; k < 32; ++k) {
          sum += signed_byte(roll.data, tiles_at(w) + (k / 16 * 16 + o) * 16 + k % 16) *
                 signed_byte(host_input, (2 * g + k / 16) * 16 + k % 16);
        }
        const uint32_t y = byte(roll.data, scales + o) | byte(roll.data, scales + 16 + o) << 8;
        const uint32_t scaled =
            arith::mul(arith::mul(arith::int32_to_f32(sum),
                                  arith::f16_to_f32(static_cast<uint16_t>(y))), z);
        sums[o] = g == 0 ? scaled : arith::add(sums[o], scaled);
      }
    }
    result.insert(result.end(), sums.begin(), sums.end());
  }
  return result;
}

}  // namespace pianola::test
