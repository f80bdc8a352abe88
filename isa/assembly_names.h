// The names that assembler and disassembler share.
#pragma once

#include <string_view>

#include "isa/instruction_tables.h"
#include "isa/target.h"

namespace pianola {

// What `push` calls the queues of a kind, by QueueKind.
struct QueueName {
  std::string_view name;
  std::string_view unit_key;  // the key of the unit's number; empty where a target has only one
  UnitTable unit;
};
inline constexpr QueueName kQueueNames[] = {
    {"tape.recv", "", UnitTable::PortRecv}, {"kv.recv", "", UnitTable::PortRecv},
    {"host.recv", "", UnitTable::PortRecv}, {"kv.send", "", UnitTable::PortSend},
    {"host.send", "", UnitTable::PortSend}, {"vxm.pass", "chain", UnitTable::Vxm},
    {"mem.read", "slice", UnitTable::Mem},  {"mem.write", "slice", UnitTable::Mem},
    {"sxm.move", "unit", UnitTable::Sxm},   {"mxm.load", "unit", UnitTable::MxmLoad},
    {"mxm.mac", "unit", UnitTable::MxmMac},
};

// By EntryKind, EntryOutput and RegisterDeclaration::Role.
inline constexpr std::string_view kEntryKindNames[] = {"load", "prefill", "decode", "verify"};
inline constexpr std::string_view kEntryOutputNames[] = {"none", "logits", "tokens"};
inline constexpr std::string_view kRoleNames[] = {
    "constant", "position", "position_block", "position_lane", "token", "kv_row", "kv_block_word"};

// Units with a queue of this kind. Where there is only one, its number may be left out.
inline int unit_count(const Target& target, QueueKind kind) {
  switch (kind) {
    case QueueKind::MemRead:
    case QueueKind::MemWrite:
      return target.slices();
    case QueueKind::VxmPass:
      return target.vxm_chains;
    case QueueKind::SxmMove:
      return static_cast<int>(target.sxm_positions.size());
    case QueueKind::MxmLoad:
    case QueueKind::MxmMac:
      return static_cast<int>(target.mxm_positions.size());
    case QueueKind::TapeRecv:
    case QueueKind::KvRecv:
    case QueueKind::HostRecv:
    case QueueKind::KvSend:
    case QueueKind::HostSend:
      return 1;
  }
  return 0;
}

inline const UnitInfo& unit_info(UnitTable unit) { return kUnits[static_cast<int>(unit)]; }

}  // namespace pianola
