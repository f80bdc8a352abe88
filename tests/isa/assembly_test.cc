#include "isa/assembly.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/isa/sample_roll.h"

namespace pianola {
namespace {

#define EXPECT_CONTAINS(text, part) \
  EXPECT_NE(std::string(text).find(part), std::string::npos) << "in: " << (text)

void expect_round_trip(const Roll& roll) {
  const std::string text = disassemble(roll);
  const auto again = assemble(text, "x.s");
  ASSERT_TRUE(again.ok()) << to_string(again.error()) << "\n" << text;
  EXPECT_EQ(serialize_roll(*again), serialize_roll(roll)) << text;
  EXPECT_EQ(disassemble(*again), text);
}

TEST(Assembly, RoundTripsByteForByte) { expect_round_trip(sample_roll()); }

TEST(Assembly, RoundTripsWordsThatEntriesShare) {
  Roll roll = sample_roll();
  roll.metadata.entries[1].first_word = 4;
  EXPECT_CONTAINS(disassemble(roll), "first_word=4 words=4\n");
  EXPECT_CONTAINS(disassemble(roll), ".words\nnop 12\n");
  expect_round_trip(roll);
}

TEST(Assembly, RoundTripsLongDataCompressed) {
  Roll roll = sample_roll();
  roll.owned_data.resize(16 * 5000);
  for (size_t i = 0; i < roll.owned_data.size(); ++i)
    roll.owned_data[i] = std::byte(i * i >> 5 & 255);
  roll.data = roll.owned_data;
  EXPECT_CONTAINS(disassemble(roll), ".data zstd bytes=80000\n| ");
  expect_round_trip(roll);
}

TEST(Assembly, RoundTripsAnEmptyRoll) {
  Roll roll = sample_roll();
  roll.metadata.entries.clear();
  roll.metadata.persistent.clear();
  roll.metadata.kv_vectors = 0;
  roll.metadata.model = {};
  roll.words = {};
  roll.data = {};
  roll.tokenizer = {};
  expect_round_trip(roll);
}

TEST(Assembly, ReadsAsText) {
  const std::string text = disassemble(sample_roll());
  EXPECT_CONTAINS(text,
                  "\n.entry kind=decode name=\"decode@256\" tokens=1 context=256 cycles=123456 "
                  "host_send=128 output=logits\n");
  EXPECT_CONTAINS(text,
                  "\n.register index=2 name=\"row\" role=kv_row argument=4 minimum=0 maximum=1020 "
                  "multiple=4\n");
  EXPECT_CONTAINS(text,
                  "\n.tape base=38 count=2 repeat=20 stride=-1\n"
                  ".tape base=0 count=2 parameter=40 parameter_stride=2 limit=19\n");
  EXPECT_CONTAINS(text, "\npush tape.recv : count=4 out_dirs=1\n");
  EXPECT_CONTAINS(
      text,
      "\npush mem.read slice=4 mask=0xf : start=120 n1=7 p1=1 n2=3 p2=8 n3=1023 p3=65535 "
      "READ dir=EAST stream=4 address=0x10 s1=1 s2=-32768\n");
  EXPECT_CONTAINS(
      text, "\npush mem.write slice=7 : WRITE_LANE dir=WEST lane_reg=3 lane=15 lane_step=1\n");
  EXPECT_CONTAINS(text, "\npush vxm.pass : start=65535 n1=15 p1=1 x_dir=WEST x_format=F32 ");
  EXPECT_CONTAINS(text, "\nend\n");
  EXPECT_CONTAINS(text,
                  "\nword 0000000000000003000000000000000200000000000000"
                  "01ffffffffffffffff\n");
}

TEST(Assembly, WordsRoundTripOneByOne) {
  const Roll roll = sample_roll();
  for (const Word& word : roll.words) {
    const std::string text = disassemble_word(roll.target, word);
    const auto again = assemble_word(roll.target, text);
    ASSERT_TRUE(again.ok()) << text << ": " << to_string(again.error());
    EXPECT_EQ(*again, word) << text;
  }
}

TEST(Assembly, RowsOfAWriteRoundTrip) {
  const Target target = sample_roll().target;
  MemInstruction x;
  x.op = MemOp::Write;
  x.address = 40;
  x.reg = 2;
  x.rows = 2;
  x.row = 3;
  const Word word = encode_push(target.queue_of(QueueKind::MemWrite, 4), 0xf, x);
  const std::string text = disassemble_word(target, word);
  EXPECT_EQ(text, "push mem.write slice=4 mask=0xf : WRITE dir=EAST address=0x28 reg=2 rows=2 row=3");
  const auto again = assemble_word(target, text);
  ASSERT_TRUE(again.ok()) << to_string(again.error());
  EXPECT_EQ(*again, word);
}

TEST(Assembly, WordsThatAreNoInstructionAreRaw) {
  const Target target = sample_roll().target;
  const auto is_raw = [&](const Word& word) {
    return disassemble_word(target, word).starts_with("word ");
  };
  EXPECT_TRUE(is_raw(Word{}));
  EXPECT_TRUE(is_raw(encode_push(1000, 1, MemInstruction{})));  // no such queue
  Word word = encode_push(target.queue_of(QueueKind::MemRead, 0), 1, MemInstruction{});
  EXPECT_FALSE(is_raw(word));
  word[3] |= 1;  // lane_step or index bits that READ does not use
  EXPECT_TRUE(is_raw(word));
  word = encode_push(target.queue_of(QueueKind::SxmMove, 0), 1, SxmInstruction{});
  detail::put(word, 99, 3, 7);  // no such op
  EXPECT_TRUE(is_raw(word));
}

std::string complaint(const std::string& body) {
  use_test_targets();
  const auto roll = assemble(".target small16\n" + body, "x.s");
  return roll.ok() ? "accepted" : to_string(roll.error());
}
const std::string kEntry = ".entry kind=decode name=\"a\" tokens=1 context=8 cycles=9\n";

TEST(Assemble, AcceptsARollWrittenByHand) {
  use_test_targets();
  const auto roll =
      assemble("# by hand\n\n.target small16  # the machine\r\n" + kEntry +
                   "nop 3   # wait\n\tpush mem.read slice=15 : start=0x10 READ address=7\nend\n"
                   ".data hex\n| 000102030405060708090a0b0c0d0e0f\n.data hex\n| "
                   "FF0102030405060708090a0b0c0d0e0f",
               "x.s");
  ASSERT_TRUE(roll.ok()) << to_string(roll.error());
  EXPECT_EQ(roll->words.size(), 3u);
  EXPECT_EQ(roll->metadata.entries[0].word_count, 3u);
  EXPECT_EQ(roll->data.size(), 32u);
  EXPECT_EQ(roll->data[16], std::byte{0xff});
}

TEST(Assemble, NamesTheLineOfEveryMistake) {
  const std::pair<std::string, const char*> cases[] = {
      {"foo", "x.s:2: expected an .entry or .words before instructions"},
      {kEntry + "foo", "x.s:3: expected nop, push, end, word or a directive, got \"foo\""},
      {".foo", "x.s:2: there is no directive .foo"},
      {".tape base=0 count=1", "x.s:2: expected an .entry before .tape"},
      {".target small16", "expected one .target, got another"},
      {"| 00", "expected a .target, .data or .tokenizer before | lines"},
      {kEntry, "entry 0: expected at least one word, got none"},
      {kEntry + "end\nend x", "x.s:4: \"x\" does not belong here"},
      {kEntry + "end x=1", "x.s:3: there is no key \"x\" here"},
      {kEntry + "nop 0", "nop: expected 1 to 16777215 cycles"},
      {kEntry + "nop", "nop: expected 1 to 16777215 cycles"},
      {kEntry + "nop 16777216", "nop: expected 1 to 16777215 cycles"},
      {kEntry + "word 12", "word: expected 64 hexadecimal digits"},
      {kEntry + "word " + std::string(64, 'g'), "word: expected 64 hexadecimal digits"},
      {kEntry + "push mem : READ", "push: expected one of tape.recv, kv.recv"},
      {kEntry + "push mem.read : READ", "slice: expected 0 to 15, got nothing"},
      {kEntry + "push mem.read slice=16 : READ", "slice: expected 0 to 15, got \"16\""},
      {kEntry + "push mem.read slice=0 mask=2 : READ", "mask: expected bit 0"},
      {kEntry + "push mem.read slice=0 mask=256 : READ", "mask: expected 0 to 255"},
      {kEntry + "push mem.read slice=0 READ", "push: expected : behind the queue"},
      {kEntry + "push mem.read slice=0 :",
       "expected one of READ WRITE GATHER WRITE_LANE, got \"\""},
      {kEntry + "push mem.read slice=0 : JUMP",
       "expected one of READ WRITE GATHER WRITE_LANE, got \"JUMP\""},
      {kEntry + "push mem.read slice=0 : READ s1=32768",
       "s1: expected -32768 to 32767, got \"32768\""},
      {kEntry + "push mem.read slice=0 : READ start=x", "start: expected 0 to 65535, got \"x\""},
      {kEntry + "push mem.read slice=0 : READ dir=UP",
       "dir: expected one of EAST, WEST, got \"UP\""},
      {kEntry + "push mem.read slice=0 : READ limit=1",
       "limit: expected 0, because it is not used with op=READ"},
      {kEntry + "push mem.write slice=0 : WRITE_LANE rows=1",
       "rows: expected 0, because it is not used with op=WRITE_LANE"},
      {kEntry + "push mem.read slice=0 : READ speed=1", "there is no key \"speed\" here"},
      {kEntry + "push mem.read slice=0 : READ s1=1 s1=2", "the key \"s1\" is given twice"},
      {kEntry + "push tape.recv =1", "expected a key before ="},
      {".entry kind=play", "kind: expected one of load, prefill, decode, verify, got \"play\""},
      {".entry kind=load", "name: expected a text, got nothing"},
      {".entry kind=load name=\"a", "a quote is not closed"},
      {".entry kind=load name=\"a\\", "a quote is not closed"},
      {".entry kind=load name=\"a\"b", "expected a space behind a quote"},
      {".entry kind=load name=a tokens=-1", "tokens: expected 0 to 2147483647, got \"-1\""},
      {".entry kind=load name=a tokens=0 context=0 cycles=1 output=maybe",
       "output: expected one of none, logits, tokens"},
      {".entry kind=load name=a tokens=0 context=0 cycles=1 first_word=0", "words: expected 0 to"},
      {".entry kind=load name=a tokens=0 context=0 cycles=1 first_word=0 words=1\nend",
       "x.s:3: the entry names its words"},
      {kEntry + ".register index=1 name=a role=king", "role: expected one of constant, position"},
      {kEntry + ".tape base=0", "count: expected 0 to 4294967295, got nothing"},
      {kEntry + ".tape base=0 count=1 stride=9223372036854775808", "stride: expected"},
      {kEntry + ".tape base=0 count=1 limit=1", "there is no key \"limit\" here"},
      {kEntry + ".tape base=0 count=1\nend",
       "entry 0 tape segment 0: reaches beyond the 0 vectors"},
      {kEntry + ".bound name=a", "cycles: expected 0 to"},
      {".model architecture=a", "quantization: expected a text"},
      {".model architecture=a quantization=b vocabulary=1 hidden=1 layers=1 heads=1 kv_heads=1 "
       "head_size=1 feed_forward=1 context=1 eos=1,,2",
       "eos: expected token ids"},
      {".persistent slice=0 first_word=0", "words: expected 0"},
      {".persistent slice=99 first_word=0 words=1", "persistent 0 slice: expected 0 to 15, got 99"},
      {".kv", "vectors: expected 0 to"},
      {".data", "expected hex or zstd"},
      {".data hex\n| 0", "block of line 2: expected an even number of hexadecimal digits"},
      {".data hex\n| 0g", "not a hexadecimal digit"},
      {".data hex\n| 00", "data: expected whole vectors of 16 bytes, got 1 bytes"},
      {".data zstd bytes=99999999999", "bytes: expected 0 to 1073741824"},
      {".data zstd bytes=16\n| AAAA", "cannot decompress"},
      {".data zstd bytes=16\n| AAA", "expected groups of four base64 digits"},
      {".data zstd bytes=16\n| AA?A", "not a base64 digit"},
  };
  for (const auto& [body, expected] : cases) EXPECT_CONTAINS(complaint(body), expected);
}

TEST(Assemble, TheTargetComesFirst) {
  const auto message = [](std::string_view text) {
    const auto roll = assemble(text, "x.s");
    return roll.ok() ? std::string("accepted") : to_string(roll.error());
  };
  EXPECT_CONTAINS(message(""), "x.s: expected a .target");
  EXPECT_CONTAINS(message(".kv vectors=1"), "x.s:1: expected the .target first");
  EXPECT_CONTAINS(message("nop 1"), "x.s:1: expected the .target first");
  EXPECT_CONTAINS(message(".target ../x.toml"), "expected the name of a target");
  EXPECT_CONTAINS(message(".target nosuch"), "no target \"nosuch\"");
  EXPECT_CONTAINS(message(".target\n| lanes = 3\n.kv vectors=1"),
                  ".target in line 1: name: expected");
  EXPECT_CONTAINS(message("\n.target\n| lanes = 3"), "x.s:2, .target in line 2");
}

TEST(Assemble, CompressedBlocksGiveWhatTheyPromise) {
  Roll roll = sample_roll();
  roll.owned_data.assign(16 * 5000, std::byte{0});
  roll.data = roll.owned_data;
  const std::string text = disassemble(roll);
  const auto with = [&](const std::string& bytes) {
    std::string changed = text;
    changed.replace(changed.find("bytes=80000"), 11, "bytes=" + bytes);
    const auto again = assemble(changed, "x.s");
    return again.ok() ? std::string("accepted") : to_string(again.error());
  };
  EXPECT_EQ(with("80000"), "accepted");
  EXPECT_CONTAINS(with("79999"), "more than the promised 79999");
  EXPECT_CONTAINS(with("80001"), "expected 80001 bytes from one frame, got 80000");
  const auto small = assemble(text, "x.s", {.section_bytes_max = 1000});
  ASSERT_FALSE(small.ok());
  EXPECT_CONTAINS(small.error().message, "bytes: expected 0 to 1000");
}

}  // namespace
}  // namespace pianola
