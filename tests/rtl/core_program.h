// A hand-written program for a Verilated core: instructions with absolute start cycles, pushed as
// early as the dispatcher can, and the data of the ports. For tests.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "emulator/rtl_device.h"
#include "isa/instructions.h"
#include "isa/target.h"

namespace pianola {

struct CoreOutcome {
  PianolaRtlResult result{};
  std::vector<uint8_t> kv, host;  // what left by the send ports
  // Drives that were seen, with their bytes.
  struct Drive {
    uint64_t cycle;
    uint32_t position, direction, stream;
    std::vector<uint8_t> bytes;
  };
  std::vector<Drive> drives;

  bool has_fault(Rule rule) const {
    for (uint32_t i = 0; i < result.fault_count; ++i) {
      if (result.faults[i].rule == static_cast<uint32_t>(rule)) return true;
    }
    return false;
  }
};

class CoreProgram {
 public:
  explicit CoreProgram(const Target& target) : target_(target) {}

  template <typename Instruction>
  void push(int queue, const Instruction& instruction, uint32_t mask = 1) {
    words_.push_back(encode_push(queue, mask, instruction));
    cycle_ += 1;
  }
  void push_word(const Word& word) {
    words_.push_back(word);
    cycle_ += 1;
  }
  // The dispatcher waits until its next word is executed in `cycle`.
  void wait_until(uint64_t cycle) {
    if (cycle <= cycle_) return;
    words_.push_back(encode_nop(static_cast<uint32_t>(cycle - cycle_)));
    cycle_ = cycle;
  }
  void end_at(uint64_t cycle) {
    wait_until(cycle);
    words_.push_back(encode_end());
  }

  std::vector<uint8_t> tape, kv_in, host_in;
  uint64_t kv_sends = 0, host_sends = 0;
  uint32_t registers[32] = {};
  bool record = false;
  PianolaRtlLaunch launch{};  // further options

  CoreOutcome play(RtlCore& core) {
    CoreOutcome out;
    const auto lanes = static_cast<size_t>(target_.lanes);
    out.kv.resize(kv_sends * lanes);
    out.host.resize(host_sends * lanes);
    PianolaRtlLaunch request = launch;
    request.words = words_[0].data();
    request.word_count = words_.size();
    request.registers = registers;
    request.receive[0] = {tape.data(), nullptr, tape.size() / lanes};
    request.receive[1] = {kv_in.data(), nullptr, kv_in.size() / lanes};
    request.receive[2] = {host_in.data(), nullptr, host_in.size() / lanes};
    request.send[0] = out.kv.data();
    request.send[1] = out.host.data();
    request.send_count[0] = kv_sends;
    request.send_count[1] = host_sends;
    if (request.stuck_edges_max == 0) request.stuck_edges_max = 20000;
    struct Context {
      CoreOutcome* out;
      size_t lanes;
    } context{&out, lanes};
    if (record) {
      request.drives_context = &context;
      request.drives = [](void* opaque, uint64_t cycle, const PianolaRtlDrive* drives,
                          uint32_t count) {
        auto& c = *static_cast<Context*>(opaque);
        for (uint32_t i = 0; i < count; ++i) {
          c.out->drives.push_back({cycle, drives[i].position, drives[i].direction,
                                   drives[i].stream,
                                   {drives[i].bytes, drives[i].bytes + c.lanes}});
        }
      };
    }
    core.launch(request, out.result);
    return out;
  }

 private:
  const Target& target_;
  std::vector<Word> words_;
  uint64_t cycle_ = 0;
};

inline std::vector<uint8_t> counting_vectors(size_t vectors, size_t lanes, uint32_t seed = 1) {
  std::vector<uint8_t> bytes(vectors * lanes);
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<uint8_t>((i * 2654435761u + seed * 40503u) >> 13);
  }
  return bytes;
}

}  // namespace pianola
