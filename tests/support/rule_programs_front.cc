// Rules of the queues, of encodings, and of the ports.
#include <algorithm>

#include "tests/support/rule_writer.h"

namespace pianola::test {

void RuleWriter::queues() {
  // Reads that wait for a late start; the builder would never push one too many, so the mutant's
  // word is put in by hand where the dispatcher idles.
  add(
      Rule::QueueOverrun, "one_too_many",
      [&](ProgramBuilder& b, bool) {
        b.fill(kBegin, 0, 0);
        const uint64_t late = kBegin + 4096;
        for (int i = 0; i < target_.queue_depth; ++i) {
          b.read(0, late + static_cast<uint64_t>(i), Direction::East, 0, 0);
        }
      },
      [&](ProgramBuilder& b) {
        std::vector<Word>& words = b.words();
        MemInstruction x;
        x.op = MemOp::Read;
        x.timing.start =
            static_cast<uint32_t>(kBegin + 4096 + static_cast<uint64_t>(target_.queue_depth));
        // Before the NOP that leads to END.
        words.insert(words.end() - 2, encode_push(b.queue(QueueKind::MemRead), 1, x));
        const Word nop = words[words.size() - 2];
        words[words.size() - 2] = encode_nop(decode_header(nop).nop_count - 1);
      });
  // The mutant's dispatcher sleeps through the start; 2^16 cycles later the low bits would match
  // again.
  add(
      Rule::QueueLate, "pushed_after_its_start",
      [&](ProgramBuilder& b, bool) {
        b.prepend(encode_nop(20));
        push_pass(b, 101, plain_pass(), false);
      },
      [](ProgramBuilder& b) { b.words()[0] = encode_nop(100); });
  add(Rule::EndBusy, "instruction_waits", [&](ProgramBuilder& b, bool mutant) {
    VxmInstruction pass = plain_pass();
    push_pass(b, kBegin, pass, false);
    if (mutant) b.end_at(kBegin - 8);
  });
  add(Rule::EndBusy, "result_not_driven", [&](ProgramBuilder& b, bool mutant) {
    VxmInstruction pass = plain_pass();
    push_pass(b, kBegin, pass, false);
    if (mutant) b.end_at(kBegin + static_cast<uint64_t>(pass_latency(target_, pass)) - 4);
  });
}

void RuleWriter::encoding() {
  const auto patched = [&](const std::string& name, const std::function<void(Word&)>& change) {
    add(
        Rule::IllegalEncoding, name,
        [&](ProgramBuilder& b, bool) { push_pass(b, kBegin, plain_pass(), false); },
        [&](ProgramBuilder& b) {
          for (Word& word : b.words()) {
            if (decode_header(word).kind == WordKind::Push) change(word);
          }
        });
  };
  const auto set = [](Word& word, int lsb, int bits, uint64_t value) {
    const uint64_t mask = ((uint64_t{1} << bits) - 1) << (lsb % 64);
    CHECK(lsb % 64 + bits <= 64);
    word[static_cast<size_t>(lsb / 64)] =
        (word[static_cast<size_t>(lsb / 64)] & ~mask) | value << (lsb % 64);
  };
  patched("no_such_kind", [&](Word& word) { set(word, 0, 3, 5); });
  patched("no_such_queue",
          [&](Word& word) { set(word, 3, 10, static_cast<uint64_t>(target_.queues.size())); });
  patched("mask_of_a_pass", [&](Word& word) { set(word, 13, 8, 3); });
  patched("bit_above_the_fields", [&](Word& word) { set(word, 255, 1, 1); });
  patched("unused_field", [&](Word& word) { set(word, 100, 6, 4); });  // x_stream with format NONE
  patched("levels_that_do_not_nest", [&](Word& word) { set(word, 37, 8, 1); });  // n1 = 1, p1 = 0
  const auto pass_with = [&](const std::string& name,
                             const std::function<void(VxmInstruction&)>& f) {
    add(Rule::IllegalEncoding, name, [&](ProgramBuilder& b, bool mutant) {
      VxmInstruction pass = plain_pass();
      if (mutant) f(pass);
      push_pass(b, kBegin, pass, false);
    });
  };
  pass_with("unaligned_output", [](VxmInstruction& pass) { pass.out_stream = 2; });
  pass_with("no_output_direction", [](VxmInstruction& pass) { pass.out_dirs = 0; });
  pass_with("replace_without_a_tree",
            [](VxmInstruction& pass) { pass.combine = VxmCombine::Replace; });
  if (target_.lanes % 256 != 0 && has(kStageTree)) {
    pass_with("segment_that_does_not_divide", [](VxmInstruction& pass) {
      pass.tree = VxmTree::Sum;
      pass.segment = LaneSegment::S256;
    });
  }
  if (!has(kStageSfu)) {
    pass_with("missing_stage", [](VxmInstruction& pass) { pass.sfu = VxmSfu::Exp2; });
  }
  add(Rule::IllegalEncoding, "write_in_the_read_queue", [&](ProgramBuilder& b, bool mutant) {
    const uint64_t drive = input(b);
    const int port = target_.port_position;
    MemInstruction x;
    x.op = MemOp::Write;
    x.dir = toward(port, target_.slice_position(0));
    b.push(b.queue(mutant ? QueueKind::MemRead : QueueKind::MemWrite),
           arrival(drive, port, target_.slice_position(0)), x);
  });
  add(Rule::IllegalEncoding, "port_too_wide", [&](ProgramBuilder& b, bool mutant) {
    if (target_.port_width_vectors < 15) {
      b.receive(QueueKind::HostRecv, kBegin, 0, target_.port_width_vectors + (mutant ? 1 : 0));
    } else {
      b.receive(QueueKind::HostRecv, kBegin, 0, mutant ? 0 : 1);
    }
  });
}

void RuleWriter::ports() {
  const int lanes = target_.lanes, width = target_.port_width_vectors;
  const auto rate_program = [&](const std::string& name, QueueKind port, int bytes, int fifo) {
    const int gain = width * lanes - bytes;  // bytes that a full issue takes beyond the rate
    if (gain <= 0) return;
    const uint32_t issues = static_cast<uint32_t>(fifo * lanes / gain + 4);
    const uint32_t slow = static_cast<uint32_t>((width * lanes + bytes - 1) / bytes);
    add(Rule::PortRate, name, [&](ProgramBuilder& b, bool mutant) {
      const uint32_t p1 = mutant ? 1 : slow;
      PortRecvInstruction x{
          .timing = {}, .count = static_cast<uint32_t>(width), .out_dirs = 3, .out_stream = 0};
      uint32_t left = issues;
      uint64_t start = kBegin;
      while (left > 0) {
        const uint32_t now = std::min<uint32_t>(left, 256);
        x.timing.n1 = now - 1;
        x.timing.p1 = now > 1 ? p1 : 0;
        b.push(b.queue(port), start, x);
        start += uint64_t{now} * p1;
        left -= now;
      }
    });
  };
  rate_program("tape", QueueKind::TapeRecv, target_.tape_bytes_per_cycle,
               target_.tape_fifo_vectors);
  rate_program("kv_read", QueueKind::KvRecv, target_.kv_bytes_per_cycle, target_.kv_fifo_vectors);
  rate_program("host_receive", QueueKind::HostRecv, target_.host_bytes_per_cycle,
               target_.host_fifo_vectors);
  const int tape_bytes = target_.tape_bytes_per_cycle, kv_bytes = target_.kv_bytes_per_cycle;
  if (target_.memory_bytes_per_cycle > 0 && tape_bytes + kv_bytes > target_.memory_bytes_per_cycle &&
      tape_bytes % lanes == 0 && kv_bytes % lanes == 0) {
    add(Rule::PortRate, "memory", [&](ProgramBuilder& b, bool mutant) {
      const int excess = tape_bytes + kv_bytes - target_.memory_bytes_per_cycle;
      const auto issues =
          static_cast<uint32_t>(target_.tape_fifo_vectors * lanes / excess + 4);
      const auto receive = [&](QueueKind port, int bytes, uint32_t stream, uint32_t p1) {
        PortRecvInstruction x{.timing = {},
                              .count = static_cast<uint32_t>(bytes / lanes),
                              .out_dirs = 3,
                              .out_stream = stream};
        x.timing.n1 = std::min<uint32_t>(issues / p1, 256) - 1;
        x.timing.p1 = p1;
        b.push(b.queue(port), kBegin, x);
      };
      receive(QueueKind::TapeRecv, tape_bytes, 0, 1);
      receive(QueueKind::KvRecv, kv_bytes, 8, mutant ? 1 : 4);
    });
  }
  if (target_.instruction_bytes_per_cycle < kWordBits / 8) {
    add(
        Rule::PortRate, "instruction_words", [](ProgramBuilder& b, bool) { b.end_at(8); },
        [&](ProgramBuilder& b) {
          const int bytes = kWordBits / 8, rate = target_.instruction_bytes_per_cycle;
          const int burst = target_.instruction_fifo_words * bytes / (bytes - rate) + 4;
          b.words().assign(static_cast<size_t>(burst), encode_nop(1));
          b.words().push_back(encode_end());
        });
  }
  RuleProgram& receive = add(Rule::PortExhausted, "receive", [](ProgramBuilder& b, bool) {
    b.receive(QueueKind::HostRecv, kBegin, 0);
    b.receive(QueueKind::HostRecv, kBegin + 1, 0);
  });
  receive.mutant.metadata.entries[0].host_receive_vectors = 1;
  RuleProgram& tape = add(Rule::PortExhausted, "tape", [](ProgramBuilder& b, bool) {
    b.receive(QueueKind::TapeRecv, kBegin, 0);
    b.receive(QueueKind::TapeRecv, kBegin + 1, 0);
  });
  tape.mutant.metadata.entries[0].tape[0].count = 1;
  const auto send_twice = [&](QueueKind port) {
    return [this, port](ProgramBuilder& b, bool) {
      for (const uint64_t issue : {kBegin, kBegin + 4}) {
        VxmInstruction pass = plain_pass();
        push_pass(b, issue, pass, false);
        b.send(port, target_.vxm_position,
               issue + static_cast<uint64_t>(pass_latency(target_, pass)), 0);
      }
    };
  };
  RuleProgram& send = add(Rule::PortExhausted, "send", send_twice(QueueKind::HostSend));
  send.mutant.metadata.entries[0].host_send_vectors = 1;
  RuleProgram& kv = add(Rule::PortExhausted, "kv_write", send_twice(QueueKind::KvSend));
  kv.mutant.metadata.entries[0].kv_write[0].count = 1;
}

}  // namespace pianola::test
