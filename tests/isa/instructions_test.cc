#include "isa/instructions.h"

#include <gtest/gtest.h>

#include <random>

#include "isa/instruction_tables.h"

namespace pianola {
namespace {

// A second opinion on the encoding: bits set one by one, at positions counted by hand from the
// field widths in isa/machine.toml.
struct Bits {
  Word word{};
  Bits& set(int lsb, int bits, uint64_t value) {
    for (int i = 0; i < bits; ++i) {
      if (value >> i & 1) word[(lsb + i) / 64] |= uint64_t{1} << ((lsb + i) % 64);
    }
    return *this;
  }
};

TEST(Encoding, NopAndEndMatchHandCountedBits) {
  EXPECT_EQ(encode_nop(1), (Word{uint64_t{1} << 21, 0, 0, 0}));
  EXPECT_EQ(encode_nop(0xabcdef), (Word{uint64_t{0xabcdef} << 21, 0, 0, 0}));
  EXPECT_EQ(encode_end(), (Word{2, 0, 0, 0}));
}

TEST(Encoding, MemReadMatchesHandCountedBits) {
  MemInstruction x;
  x.timing = {
      .start = 0x8001, .n1 = 0x81, .p1 = 0xc3, .n2 = 0xa5, .p2 = 0x801, .n3 = 0x201, .p3 = 0x8003};
  x.op = MemOp::Read;
  x.dir = Direction::West;
  x.stream = 0x21;
  x.address = 0x8005;
  x.s1 = -1;
  x.s2 = -32768;
  x.s3 = 0x4001;
  x.reg = 17;
  Bits bits;
  bits.set(0, 3, 1).set(3, 10, 0x203).set(13, 8, 0x8f);
  bits.set(21, 16, 0x8001).set(37, 8, 0x81).set(45, 8, 0xc3).set(53, 8, 0xa5);
  bits.set(61, 12, 0x801).set(73, 10, 0x201).set(83, 16, 0x8003);
  bits.set(99, 2, 0).set(101, 1, 1).set(102, 6, 0x21).set(108, 16, 0x8005);
  bits.set(124, 16, 0xffff).set(140, 16, 0x8000).set(156, 16, 0x4001).set(172, 5, 17);
  EXPECT_EQ(encode_push(0x203, 0x8f, x), bits.word);
}

TEST(Encoding, MemGatherAndWriteLaneMatchHandCountedBits) {
  MemInstruction gather;
  gather.op = MemOp::Gather;
  gather.index_dir = Direction::West;
  gather.index_stream = 0x2a;
  gather.limit = 0x9001;
  EXPECT_EQ(encode_push(0, 1, gather), Bits()
                                           .set(0, 3, 1)
                                           .set(13, 1, 1)
                                           .set(99, 2, 2)
                                           .set(192, 1, 1)
                                           .set(193, 6, 0x2a)
                                           .set(199, 16, 0x9001)
                                           .word);
  MemInstruction lane;
  lane.op = MemOp::WriteLane;
  lane.lane_reg = 21;
  lane.lane = 0x155;
  lane.lane_step = 1;
  EXPECT_EQ(encode_push(0, 1, lane), Bits()
                                         .set(0, 3, 1)
                                         .set(13, 1, 1)
                                         .set(99, 2, 3)
                                         .set(177, 5, 21)
                                         .set(182, 9, 0x155)
                                         .set(191, 1, 1)
                                         .word);
}

TEST(Encoding, MemWriteOfRowsMatchesHandCountedBits) {
  MemInstruction row;
  row.op = MemOp::Write;
  row.rows = 2;
  row.row = 0x1a5;
  const Word word = Bits()
                        .set(0, 3, 1)
                        .set(13, 1, 1)
                        .set(99, 2, 1)
                        .set(215, 2, 2)
                        .set(217, 9, 0x1a5)
                        .word;
  EXPECT_EQ(encode_push(0, 1, row), word);
  MemInstruction read_back;
  EXPECT_TRUE(decode(word, read_back));
  EXPECT_EQ(read_back, row);
  for (const int lsb : {215, 217, 226}) {  // rows and row of WRITE_LANE, a bit above the last field
    Word wrong = Bits().set(0, 3, 1).set(13, 1, 1).set(99, 2, lsb == 226 ? 1 : 3).word;
    detail::put(wrong, lsb, 1, 1);
    EXPECT_FALSE(decode(wrong, read_back)) << lsb;
  }
}

TEST(Encoding, VxmMatchesHandCountedBits) {
  VxmInstruction x;
  x.x_dir = Direction::West;
  x.x_stream = 5;
  x.x_format = VxmFormat::F32Lane0;  // 7
  x.mul1 = VxmOperand::Lane;         // 5
  x.select = VxmSelect::Eq;          // 3
  x.select_imm = -2;
  x.select_s2 = -512;
  x.sfu = VxmSfu::Log2;  // 4
  x.acc_op = VxmAccOp::Read;
  x.acc = 33;
  x.acc_s3 = -32;
  x.k1 = 31;
  x.k2 = 1;
  x.out_source = VxmOutSource::W;
  x.out_format = VxmOutFormat::F16;  // 5
  x.out_dirs = 2;
  x.out_stream = 0x2d;
  Bits bits;
  bits.set(0, 3, 1).set(3, 10, 1).set(13, 8, 1);
  // x 99, y 109, z 119, mul1 129, mul2 132, add_op 135, add_operand 138, select 141, reg 143, imm
  // 148
  bits.set(99, 1, 1).set(100, 6, 5).set(106, 3, 7).set(129, 3, 5).set(141, 2, 3).set(148, 16,
                                                                                     0xfffe);
  // s1 164, s2 174, sfu 184, mul3 187, tree 190, segment 193, root 196, combine 198, source 201, op
  // 202
  bits.set(174, 10, 0x200).set(184, 3, 4).set(202, 3, 6).set(205, 6, 33).set(223, 6, 0x20);
  // first 229, emit 231, k1 233, k2 238, out_source 243, format 244, dirs 247, stream 249
  bits.set(233, 5, 31)
      .set(238, 5, 1)
      .set(243, 1, 1)
      .set(244, 3, 5)
      .set(247, 2, 2)
      .set(249, 6, 0x2d);
  EXPECT_EQ(encode_push(1, 1, x), bits.word);
  EXPECT_EQ(kPayloadBitsVxm, 156);
}

TEST(Encoding, MatrixUnitsMatchHandCountedBits) {
  MxmLoadInstruction load;
  load.stream = 3;
  load.format = MxmLoadFormat::Ternary;
  load.orientation = MxmLoadOrientation::Input;
  load.row = 319;
  load.row_s1 = -4;
  load.row_s3 = 511;
  EXPECT_EQ(encode_push(2, 1, load), Bits()
                                         .set(0, 3, 1)
                                         .set(3, 10, 2)
                                         .set(13, 8, 1)
                                         .set(100, 6, 3)
                                         .set(106, 2, 2)
                                         .set(108, 1, 1)
                                         .set(109, 9, 319)
                                         .set(118, 10, 0x3fc)
                                         .set(138, 10, 511)
                                         .word);
  MxmMacInstruction mac;
  mac.swap = MxmMacSwap::Level1;
  mac.clear = MxmMacClear::Always;
  mac.emit = MxmMacEmit::Level2;
  mac.acc = 127;
  mac.acc_s2 = -64;
  mac.out_dir = Direction::West;
  mac.out_stream = 60;
  EXPECT_EQ(encode_push(2, 1, mac), Bits()
                                        .set(0, 3, 1)
                                        .set(3, 10, 2)
                                        .set(13, 8, 1)
                                        .set(106, 2, 2)
                                        .set(108, 2, 1)
                                        .set(110, 2, 2)
                                        .set(112, 7, 127)
                                        .set(126, 7, 64)
                                        .set(140, 1, 1)
                                        .set(141, 6, 60)
                                        .word);
}

TEST(Encoding, SxmAndPortsMatchHandCountedBits) {
  SxmInstruction rotate;
  rotate.op = SxmOp::Rotate;
  rotate.stream = 9;
  rotate.width = SxmWidth::W4;
  rotate.amount = -7;
  rotate.segment = LaneSegment::S256;
  rotate.out_dirs = 3;
  rotate.out_stream = 8;
  EXPECT_EQ(encode_push(0, 1, rotate), Bits()
                                           .set(0, 3, 1)
                                           .set(13, 8, 1)
                                           .set(99, 3, 1)
                                           .set(103, 6, 9)
                                           .set(109, 2, 2)
                                           .set(111, 10, 0x3f9)
                                           .set(131, 3, 5)
                                           .set(141, 2, 3)
                                           .set(143, 6, 8)
                                           .word);
  PortRecvInstruction recv;
  recv.count = 15;
  recv.out_dirs = 2;
  recv.out_stream = 63;
  EXPECT_EQ(encode_push(0, 1, recv),
            Bits().set(0, 3, 1).set(13, 8, 1).set(99, 4, 15).set(103, 2, 2).set(105, 6, 63).word);
  PortSendInstruction send;
  send.count = 1;
  send.dir = Direction::West;
  send.stream = 1;
  EXPECT_EQ(encode_push(0, 1, send),
            Bits().set(0, 3, 1).set(13, 8, 1).set(99, 4, 1).set(103, 1, 1).set(104, 6, 1).word);
}

TEST(Encoding, HeadersAreJudged) {
  EXPECT_EQ(decode_header(encode_nop(77)),
            (Header{.kind = WordKind::Nop, .nop_count = 77, .legal = true}));
  EXPECT_TRUE(decode_header(encode_end()).legal);
  const Header push = decode_header(encode_push(1023, 0xff, PortSendInstruction{}));
  EXPECT_EQ(push, (Header{.kind = WordKind::Push, .queue = 1023, .mask = 0xff, .legal = true}));
  EXPECT_FALSE(decode_header(Word{}).legal);            // a NOP of no cycles
  EXPECT_FALSE(decode_header(Word{1, 0, 0, 0}).legal);  // a PUSH without bit 0 of mask
  EXPECT_FALSE(decode_header(Word{3, 0, 0, 0}).legal);  // no such kind
  EXPECT_FALSE(decode_header(Word{2, 0, 0, uint64_t{1} << 63}).legal);     // END with bits above
  EXPECT_FALSE(decode_header(Word{(1 << 21) | (1 << 3), 0, 0, 0}).legal);  // NOP with a queue
  EXPECT_FALSE(decode_header(Word{uint64_t{1} << 45 | 1 << 21, 0, 0, 0}).legal);
}

// Random legal words of one unit, from the tables.
template <typename X>
void round_trips(const UnitInfo& unit) {
  std::mt19937_64 random(unit.used_bits);
  for (int round = 0; round < 2000; ++round) {
    Word word = detail::push_header(static_cast<int>(random() % 1024), random() % 128 * 2 + 1);
    for (const FieldInfo& field : tables::kTimingFields) {
      detail::put(word, field.lsb, field.bits, random() & ((uint64_t{1} << field.bits) - 1));
    }
    for (const FieldInfo& field : unit.fields) {
      uint64_t value = random() & ((uint64_t{1} << field.bits) - 1);
      if (!field.values.empty()) value = random() % field.values.size();
      detail::put(word, field.lsb, field.bits, value);
    }
    for (const FieldInfo& field : unit.fields) {
      if (field.used_by < 0) continue;
      const FieldInfo& selector = unit.fields[static_cast<size_t>(field.used_by)];
      if (field.used_values >> detail::get(word, selector.lsb, selector.bits) & 1) continue;
      const uint64_t value = detail::get(word, field.lsb, field.bits);
      Word clear{};
      detail::put(clear, field.lsb, field.bits, value);
      for (int i = 0; i < 4; ++i) word[i] ^= clear[i];
      // With the unused field as it was, the word is refused.
      Word unused = word;
      for (int i = 0; i < 4; ++i) unused[i] |= clear[i];
      X x;
      EXPECT_EQ(decode(unused, x), value == 0 && decode(word, x)) << unit.name << " " << field.name;
    }
    X x;
    ASSERT_TRUE(decode(word, x)) << unit.name;
    const Header header = decode_header(word);
    EXPECT_EQ(encode_push(static_cast<int>(header.queue), header.mask, x), word);
    X again;
    ASSERT_TRUE(decode(word, again));
    EXPECT_EQ(again, x);
    word[3] |= uint64_t{1} << 63;
    EXPECT_FALSE(decode(word, x));
  }
}

TEST(Encoding, EveryUnitRoundTrips) {
  round_trips<MemInstruction>(kUnits[static_cast<int>(UnitTable::Mem)]);
  round_trips<VxmInstruction>(kUnits[static_cast<int>(UnitTable::Vxm)]);
  round_trips<MxmLoadInstruction>(kUnits[static_cast<int>(UnitTable::MxmLoad)]);
  round_trips<MxmMacInstruction>(kUnits[static_cast<int>(UnitTable::MxmMac)]);
  round_trips<SxmInstruction>(kUnits[static_cast<int>(UnitTable::Sxm)]);
  round_trips<PortRecvInstruction>(kUnits[static_cast<int>(UnitTable::PortRecv)]);
  round_trips<PortSendInstruction>(kUnits[static_cast<int>(UnitTable::PortSend)]);
}

TEST(Encoding, ValuesWithoutANameAreRefused) {
  Word word = encode_push(0, 1, SxmInstruction{});
  detail::put(word, 99, 3, 6);
  SxmInstruction sxm;
  EXPECT_FALSE(decode(word, sxm));
  word = encode_push(0, 1, MxmMacInstruction{});
  detail::put(word, 106, 2, 3);
  MxmMacInstruction mac;
  EXPECT_FALSE(decode(word, mac));
}

TEST(EncodingDeathTest, ValuesThatDoNotFitAreProgrammerErrors) {
  MemInstruction x;
  x.s1 = 32768;
  EXPECT_DEATH(encode_push(0, 1, x), "CHECK");
  x.s1 = 0;
  x.stream = 64;
  EXPECT_DEATH(encode_push(0, 1, x), "CHECK");
  x.stream = 0;
  x.limit = 1;  // only GATHER has a limit
  EXPECT_DEATH(encode_push(0, 1, x), "CHECK");
  EXPECT_DEATH(encode_push(0, 2, MemInstruction{}), "CHECK");
  EXPECT_DEATH(encode_push(1024, 1, MemInstruction{}), "CHECK");
  EXPECT_DEATH(encode_nop(0), "CHECK");
}

TEST(Timing, NestsAndCounts) {
  EXPECT_TRUE(timing_is_legal({}));
  EXPECT_TRUE(timing_is_legal({.n1 = 3, .p1 = 1, .n2 = 2, .p2 = 4, .n3 = 1, .p3 = 12}));
  EXPECT_FALSE(timing_is_legal({.n1 = 3}));
  EXPECT_FALSE(timing_is_legal({.p1 = 1}));
  EXPECT_FALSE(timing_is_legal({.n1 = 3, .p1 = 1, .n2 = 2, .p2 = 3}));
  EXPECT_FALSE(timing_is_legal({.n1 = 3, .p1 = 1, .n3 = 2, .p3 = 3}));
  EXPECT_FALSE(timing_is_legal({.n2 = 1, .p2 = 9, .n3 = 2, .p3 = 9}));
  EXPECT_EQ(timing_span({.n1 = 3, .p1 = 2, .n2 = 2, .p2 = 10, .n3 = 1, .p3 = 100}), 126u);
  EXPECT_EQ(timing_issues({.n1 = 3, .n2 = 2, .n3 = 1}), 24u);
}

TEST(Latency, ValuesFollowFromTheLanes) {
  EXPECT_EQ(latency_vxm_tree(16), 4 * 4 + 2);
  EXPECT_EQ(latency_vxm_tree(320), 4 * 9 + 2 * 20);
  EXPECT_EQ(latency_mxm_mac(16), 7);
  EXPECT_EQ(latency_mxm_mac(12), 7);
  EXPECT_EQ(latency_mxm_mac(320), 3 + 9 + 19);
  EXPECT_EQ(latency_sxm(16), 3);
  EXPECT_EQ(latency_sxm(320), 7 + 19);
  // From the first of the superlanes of 16 lanes to the last one; narrow machines are one.
  for (const int lanes : {4, 12, 16, 32, 48}) EXPECT_EQ(latency_skew(lanes), 0) << lanes;
  EXPECT_EQ(latency_skew(64), 3);
  EXPECT_EQ(latency_skew(128), 7);
  EXPECT_EQ(latency_skew(320), 19);
}

TEST(Rules, HaveNamesAndCodes) {
  EXPECT_EQ(rule_name(Rule::StreamConflict), "stream_conflict");
  EXPECT_EQ(static_cast<int>(Rule::PortExhausted), 16);
  for (Rule rule : kRules) EXPECT_FALSE(rule_doc(rule).empty());
}

}  // namespace
}  // namespace pianola
