#include "emulator/unit_activity.h"

#include <algorithm>

namespace pianola {
namespace {

// Adds the issues start, start + period, ... (count of them) to their bins.
void add_series(uint64_t start, uint64_t period, uint64_t count, const ActivityWindow& window,
                std::vector<uint32_t>& bins) {
  uint64_t first = 0;
  if (start < window.from) {
    if (period == 0) return;
    first = (window.from - start + period - 1) / period;
  }
  for (uint64_t i = first; i < count;) {
    const uint64_t cycle = start + i * period;
    if (cycle >= window.to) return;
    const uint64_t bin = (cycle - window.from) / window.cycles_per_bin;
    const uint64_t bin_end = window.from + (bin + 1) * window.cycles_per_bin;
    const uint64_t end = std::min(bin_end, window.to);
    const uint64_t in_bin =
        period == 0 ? count - i : std::min(count - i, (end - cycle + period - 1) / period);
    bins[bin] += static_cast<uint32_t>(in_bin);
    i += in_bin;
  }
}

}  // namespace

std::string queue_label(const Target& target, std::size_t queue) {
  const QueueInfo& info = target.queues[queue];
  const std::string number = std::to_string(info.unit);
  switch (info.kind) {
    case QueueKind::TapeRecv:
      return "tape recv";
    case QueueKind::KvRecv:
      return "kv recv";
    case QueueKind::HostRecv:
      return "host recv";
    case QueueKind::KvSend:
      return "kv send";
    case QueueKind::HostSend:
      return "host send";
    case QueueKind::VxmPass:
      return "vxm " + number;
    case QueueKind::MemRead:
      return "mem " + number + " read";
    case QueueKind::MemWrite:
      return "mem " + number + " write";
    case QueueKind::SxmMove:
      return "sxm " + number;
    case QueueKind::MxmLoad:
      return "mxm " + number + " load";
    case QueueKind::MxmMac:
      return "mxm " + number + " mac";
  }
  return "";
}

std::vector<uint32_t> count_issues(std::span<const TimedInstruction> instructions,
                                   const ActivityWindow& window) {
  CHECK(window.from < window.to && window.cycles_per_bin > 0);
  const uint64_t count =
      (window.to - window.from + window.cycles_per_bin - 1) / window.cycles_per_bin;
  CHECK(count <= kActivityBinsMax);
  std::vector<uint32_t> bins(count);
  for (const TimedInstruction& timed : instructions) {
    const Timing& t = timing_of(timed.instruction);
    if (timed.start >= window.to || timed.start + timing_span(t) < window.from) continue;
    for (uint64_t i3 = 0; i3 <= t.n3; ++i3) {
      for (uint64_t i2 = 0; i2 <= t.n2; ++i2) {
        add_series(timed.start + i3 * t.p3 + i2 * t.p2, t.p1, uint64_t{t.n1} + 1, window, bins);
      }
    }
  }
  return bins;
}

}  // namespace pianola
