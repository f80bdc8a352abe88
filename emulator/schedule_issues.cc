#include "emulator/schedule_issues.h"

#include <algorithm>
#include <string>

namespace pianola {
namespace {

Error malformed(Rule rule, uint64_t cycle, const std::string& what) {
  return Error{ErrorCode::Malformed, std::string(rule_name(rule)) + ": " + what,
               "cycle " + std::to_string(cycle)};
}

template <typename T>
bool decode_into(const Word& word, QueueInstruction& instruction) {
  T decoded;
  if (!decode(word, decoded) || !timing_is_legal(decoded.timing)) return false;
  instruction = decoded;
  return true;
}

bool decode_for(QueueKind kind, const Word& word, QueueInstruction& instruction) {
  switch (kind) {
    case QueueKind::TapeRecv:
    case QueueKind::KvRecv:
    case QueueKind::HostRecv: return decode_into<PortRecvInstruction>(word, instruction);
    case QueueKind::KvSend:
    case QueueKind::HostSend: return decode_into<PortSendInstruction>(word, instruction);
    case QueueKind::VxmPass: return decode_into<VxmInstruction>(word, instruction);
    case QueueKind::MemRead:
    case QueueKind::MemWrite: {
      if (!decode_into<MemInstruction>(word, instruction)) return false;
      const MemOp op = std::get<MemInstruction>(instruction).op;
      return (op == MemOp::Read || op == MemOp::Gather) == (kind == QueueKind::MemRead);
    }
    case QueueKind::SxmMove: return decode_into<SxmInstruction>(word, instruction);
    case QueueKind::MxmLoad: return decode_into<MxmLoadInstruction>(word, instruction);
    case QueueKind::MxmMac: return decode_into<MxmMacInstruction>(word, instruction);
  }
  return false;
}

}  // namespace

Result<IssueSchedule> schedule_issues(const Target& target, std::span<const Word> words) {
  IssueSchedule schedule;
  schedule.queues.resize(target.queues.size());
  std::vector<uint64_t> free_from(target.queues.size(), 0);
  uint64_t cycle = 0;
  for (const Word& word : words) {
    const Header header = decode_header(word);
    if (!header.legal) return malformed(Rule::IllegalEncoding, cycle, "bad header");
    if (header.kind == WordKind::End) {
      schedule.end_cycle = cycle;
      for (size_t i = 0; i < free_from.size(); ++i) {
        if (free_from[i] > cycle) {
          return malformed(Rule::EndBusy, cycle, "queue " + std::to_string(i) + " is busy");
        }
      }
      return schedule;
    }
    if (header.kind == WordKind::Nop) {
      cycle += header.nop_count;
      continue;
    }
    for (uint32_t i = 0; i < 8; ++i) {
      if ((header.mask >> i & 1) == 0) continue;
      const uint32_t queue = header.queue + i;
      if (queue >= target.queues.size()) {
        return malformed(Rule::IllegalEncoding, cycle, "no queue " + std::to_string(queue));
      }
      TimedInstruction timed;
      if (!decode_for(target.queues[queue].kind, word, timed.instruction)) {
        return malformed(Rule::IllegalEncoding, cycle, "queue " + std::to_string(queue));
      }
      const Timing& timing = timing_of(timed.instruction);
      const uint64_t able =
          std::max(cycle + latency_dispatch(target.lanes), free_from[queue]);
      const uint64_t wait = (timing.start - able) & 0xffff;
      if (wait >= 0x8000) {
        return malformed(Rule::QueueLate, cycle, "queue " + std::to_string(queue));
      }
      timed.start = able + wait;
      free_from[queue] = timed.start + timing_span(timing) + 1;
      schedule.queues[queue].push_back(std::move(timed));
    }
    ++cycle;
  }
  return malformed(Rule::IllegalEncoding, cycle, "the tape ends without END");
}

}  // namespace pianola
