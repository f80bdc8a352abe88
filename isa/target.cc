#include "isa/target.h"

#include <charconv>

#include "isa/target_keys.h"

namespace pianola {
namespace {

std::string number_text(double value) {
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  std::string text(buffer, end);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

}  // namespace

void make_derived(Target& target) {
  target.queues.clear();
  target.first_queue.clear();
  target.mem_positions.clear();
  target.mxm_positions.clear();
  target.sxm_positions.clear();
  target.vxm_position = target.port_position = -1;
  for (int p = 0; p < target.positions(); ++p) {
    target.first_queue.push_back(static_cast<int>(target.queues.size()));
    const auto add = [&](QueueKind kind, int unit, int slice) {
      target.queues.push_back({kind, p, unit, slice});
    };
    const auto next = [&](std::vector<int>& positions) {
      positions.push_back(p);
      return static_cast<int>(positions.size()) - 1;
    };
    switch (target.floorplan[p]) {
      case UnitKind::Port:
        target.port_position = p;
        for (QueueKind kind : {QueueKind::TapeRecv, QueueKind::KvRecv, QueueKind::HostRecv,
                               QueueKind::KvSend, QueueKind::HostSend}) {
          add(kind, 0, 0);
        }
        break;
      case UnitKind::Vxm:
        target.vxm_position = p;
        for (int chain = 0; chain < target.vxm_chains; ++chain)
          add(QueueKind::VxmPass, chain, chain);
        break;
      case UnitKind::Mem: {
        const int first = next(target.mem_positions) * target.slices_per_position;
        for (QueueKind kind : {QueueKind::MemRead, QueueKind::MemWrite}) {
          for (int k = 0; k < target.slices_per_position; ++k) add(kind, first + k, k);
        }
        break;
      }
      case UnitKind::Sxm:
        add(QueueKind::SxmMove, next(target.sxm_positions), 0);
        break;
      case UnitKind::Mxm: {
        const int unit = next(target.mxm_positions);
        add(QueueKind::MxmLoad, unit, 0);
        add(QueueKind::MxmMac, unit, 0);
        break;
      }
    }
  }
}

int Target::queue_of(QueueKind kind, int unit) const {
  for (size_t queue = 0; queue < queues.size(); ++queue) {
    if (queues[queue].kind == kind && queues[queue].unit == unit) return static_cast<int>(queue);
  }
  CHECK(false);  // the target has no such unit
  return -1;
}

std::string canonical_text(const Target& target) {
  std::string out = "name = " + quote_all(target.name) + "\n";
  const auto integers = [&](std::string_view section) {
    for (const IntegerKey& key : kIntegerKeys) {
      if (section == key.section && !(key.optional && target.*key.member == 0)) {
        out += std::string(key.key) + " = " + std::to_string(target.*key.member) + "\n";
      }
    }
  };
  const auto scheme = [&](const char* key, const WeightScheme& value) {
    out += std::string(key) + " = { bits = " + std::to_string(value.bits) +
           ", group = " + std::to_string(value.group) + " }\n";
  };
  integers("");
  out += "clock_mhz = " + number_text(target.clock_mhz) + "\n";
  out += "clock_source = " + quote_all(target.clock_source) + "\n";
  out += "floorplan = [";
  for (size_t p = 0; p < target.floorplan.size(); ++p) {
    out += (p == 0 ? "\"" : ", \"") + name_of(kUnitNames, target.floorplan[p]) + '"';
  }
  out += "]\n";
  for (const char* section : {"mem", "mxm", "vxm", "queues", "ports", "activations"}) {
    out += "[" + std::string(section) + "]\n";
    integers(section);
    if (section == std::string_view("vxm")) {
      out += "stages = [";
      bool first = true;
      for (const auto& stage : kStageNames) {
        if (!(target.vxm_stages & stage.value)) continue;
        out += (first ? "\"" : ", \"") + std::string(stage.name) + '"';
        first = false;
      }
      out += "]\n";
    }
  }
  out += "[weights]\nresidence = \"" + name_of(kResidenceNames, target.weights) + "\"\n";
  scheme("w8", target.w8);
  scheme("w4", target.w4);
  out += "scale = \"" + name_of(kScaleNames, target.scale) + "\"\n";
  out += "[kv]\nresidence = \"" + name_of(kKvResidenceNames, target.kv) + "\"\n";
  if (!target.part.empty() || target.beats != 1) {
    out += "[fpga]\n";
    if (!target.part.empty()) out += "part = " + quote_all(target.part) + "\n";
    out += "beats = " + std::to_string(target.beats) + "\n";
  }
  return out;
}

}  // namespace pianola
