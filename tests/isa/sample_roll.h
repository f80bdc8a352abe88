// A small roll with something in every field, for the tests of the container and the assembler.
#pragma once

#include <cstdlib>

#include "isa/instructions.h"
#include "isa/roll.h"

namespace pianola {

// The targets of the tests are found by name from then on.
inline void use_test_targets() {
  setenv("PIANOLA_TARGETS", PIANOLA_SOURCE_DIR "/tests/isa/targets", 1);
}

inline Roll sample_roll() {
  use_test_targets();
  static const Result<Target> target = load_target("small16");  // read once: fuzzers ask a lot
  CHECK(target.ok());
  Roll roll;
  roll.target = *target;
  roll.metadata.target_name = roll.target.name;
  roll.metadata.target_text = canonical_text(roll.target);
  roll.metadata.model = {.architecture = "llama \"x\" \\ ; #",
                         .quantization = "w8",
                         .vocabulary = 512,
                         .hidden = 64,
                         .layers = 2,
                         .heads = 4,
                         .kv_heads = 2,
                         .head_size = 16,
                         .feed_forward = 128,
                         .context = 256,
                         .bos = -1,
                         .eos = {2, 7}};
  roll.metadata.kv_vectors = 1000;
  roll.metadata.persistent = {{"weights", 3, 16, 64}, {"", 15, 0, 4096}};

  const Target& t = roll.target;
  VxmInstruction vxm;
  vxm.timing = {.start = 65535, .n1 = 15, .p1 = 1};
  vxm.x_format = VxmFormat::F32;
  vxm.x_dir = Direction::West;
  vxm.select = VxmSelect::Lt;
  vxm.select_imm = -32768;
  vxm.tree = VxmTree::Sum;
  vxm.root = VxmRoot::Rsqrt;
  vxm.combine = VxmCombine::R;
  vxm.k1 = 31;
  vxm.out_format = VxmOutFormat::F32;
  vxm.out_source = VxmOutSource::W;
  vxm.out_dirs = 3;
  vxm.out_stream = 12;
  MemInstruction read;
  read.timing = {.start = 120, .n1 = 7, .p1 = 1, .n2 = 3, .p2 = 8, .n3 = 1023, .p3 = 65535};
  read.stream = 4;
  read.address = 16;
  read.s1 = 1;
  read.s2 = -32768;
  MemInstruction lane;
  lane.op = MemOp::WriteLane;
  lane.dir = Direction::West;
  lane.lane_reg = 3;
  lane.lane = 15;
  lane.lane_step = 1;
  PortRecvInstruction recv;
  recv.count = 4;
  recv.out_dirs = 1;
  MxmMacInstruction mac;
  mac.acc_s1 = -64;
  roll.owned_words = {
      encode_nop(12),
      encode_push(t.queue_of(QueueKind::TapeRecv, 0), 1, recv),
      encode_push(t.queue_of(QueueKind::MemRead, 4), 0xf, read),
      encode_push(t.queue_of(QueueKind::MemWrite, 7), 1, lane),
      encode_push(t.queue_of(QueueKind::VxmPass, 0), 1, vxm),
      encode_end(),
      encode_push(t.queue_of(QueueKind::MxmMac, 0), 1, mac),
      encode_push(t.queue_of(QueueKind::MxmLoad, 0), 1, MxmLoadInstruction{}),
      Word{~uint64_t{0}, 1, 2, 3},  // no instruction at all
      encode_end(),
  };
  roll.owned_data.resize(16 * 40);
  for (size_t i = 0; i < roll.owned_data.size(); ++i) roll.owned_data[i] = std::byte(i * 37 % 256);
  roll.owned_tokenizer.assign(5, std::byte{0x5a});
  roll.words = roll.owned_words;
  roll.data = roll.owned_data;
  roll.tokenizer = roll.owned_tokenizer;

  using Role = RegisterDeclaration::Role;
  Entry load;
  load.kind = EntryKind::Load;
  load.name = "load";
  load.first_word = 0;
  load.word_count = 6;
  load.cycles = 99;
  load.output = EntryOutput::None;
  load.tape = {{.base = 0, .count = 40}};
  Entry decode;
  decode.name = "decode@256";
  decode.tokens = 1;
  decode.context = 256;
  decode.first_word = 6;
  decode.word_count = 4;
  decode.cycles = 123456;
  decode.registers = {{1, "position", Role::Position, 0, 0, 255, 1},
                      {2, "row", Role::KvRow, 4, 0, 1020, 4},
                      {40, "token", Role::Token, 0, 0, 511, 1},
                      {5, "epsilon", Role::Constant, 0, 0x3727c5ac, 0x3727c5ac, 4}};
  decode.tape = {{.base = 38, .count = 2, .repeat = 20, .stride = -1, .parameter = -1},
                 {.base = 0, .count = 2, .parameter = 40, .parameter_stride = 2, .limit = 19}};
  decode.kv_read = {{.base = 10, .count = 3, .repeat = 5, .stride = 100}};
  decode.kv_write = {{.base = 0, .count = 1, .parameter = 1, .parameter_stride = 3, .limit = 1000}};
  decode.host_receive_vectors = 0;
  decode.host_send_vectors = 128;
  decode.bounds = {{"tape", 1000}, {"kv", 17}};
  roll.metadata.entries = {load, decode};
  return roll;
}

}  // namespace pianola
