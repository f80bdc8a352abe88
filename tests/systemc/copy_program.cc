#include "tests/systemc/copy_program.h"

#include "tests/support/build_program.h"
#include "tests/support/tiny_targets.h"

namespace pianola::test {

Target copy_target() { return tiny_target({.name = "copy4", .words_per_slice = 512}); }

Roll copy_program(const Target& target) {
  ProgramBuilder b(target);
  const Timing loop = {.start = 0, .n1 = kCopiedVectors - 1, .p1 = 4};
  constexpr uint64_t kPass = 4 * kCopiedVectors + 40;  // cycles until the last vector has gone
  for (int i = 0; i < 60; ++i) b.prepend(encode_nop(4));
  uint64_t start = 400;
  for (int k = 0; k < 3; ++k, start += kPass) {
    const QueueKind from[] = {QueueKind::TapeRecv, QueueKind::KvRecv, QueueKind::HostRecv};
    const QueueKind to[] = {QueueKind::HostSend, QueueKind::KvSend, QueueKind::HostSend};
    const int slice = k;
    const int write = b.queue(QueueKind::MemWrite, slice),
              read = b.queue(QueueKind::MemRead, slice);
    const int offset = target.queues[static_cast<size_t>(write)].slice;
    const auto far = static_cast<uint64_t>(distance(b.position(write), target.port_position));
    const uint32_t stream = 4;
    b.push(b.queue(from[k]), start, PortRecvInstruction{loop, 1, 1, stream});
    MemInstruction access;
    access.timing = loop;
    access.op = MemOp::Write;
    access.dir = Direction::East;
    access.stream = stream - static_cast<uint32_t>(offset);
    access.s1 = 1;
    b.push(write, start + static_cast<uint64_t>(latency_port_recv(target.lanes)) + far, access);
    access.op = MemOp::Read;
    access.dir = Direction::West;
    const uint64_t again = start + kPass;
    b.push(read, again, access);
    b.push(b.queue(to[k]), again + static_cast<uint64_t>(latency_mem_read(target.lanes)) + far,
           PortSendInstruction{loop, 1, Direction::West, stream});
  }
  CHECK(b.build());
  return b.finish("copy");
}

LaunchRequest copy_request(const Roll& roll, uint64_t seed) {
  LaunchRequest request;
  request.host_input.resize(roll.metadata.entries[0].host_receive_vectors *
                            static_cast<size_t>(roll.target.lanes));
  for (size_t i = 0; i < request.host_input.size(); ++i) {
    request.host_input[i] = poison_byte(seed, 0x484f5354, i);
  }
  return request;
}

}  // namespace pianola::test
