#include "isa/write_target_package.h"

#include <string_view>
#include <vector>

namespace pianola {
namespace {

// A flat vector of `width` bits per element, element 0 in the lowest bits.
std::string flat(std::string_view name, int width, const std::vector<uint32_t>& elements) {
  std::string out = "  localparam logic [" + std::to_string(width * elements.size() - 1) + ":0] " +
                    std::string(name) + " = {";
  constexpr size_t kPerLine = 8;
  for (size_t i = 0; i < elements.size(); ++i) {
    out += i == 0 ? "\n    " : i % kPerLine == 0 ? ",\n    " : ", ";
    out += std::to_string(width) + "'d" + std::to_string(elements[elements.size() - 1 - i]);
  }
  return out + "\n  };\n";
}

class PackageText {
 public:
  void number(std::string_view name, int64_t value) {
    text_ +=
        "  localparam int unsigned " + std::string(name) + " = " + std::to_string(value) + ";\n";
  }
  void comment(std::string_view line) { text_ += "\n  // " + std::string(line) + "\n"; }
  void add(const std::string& text) { text_ += text; }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

void write_floorplan(const Target& target, PackageText& out) {
  out.comment("Units of the positions, 4 bits each, and the values they take.");
  out.number("UnitPort", static_cast<int>(UnitKind::Port));
  out.number("UnitVxm", static_cast<int>(UnitKind::Vxm));
  out.number("UnitMem", static_cast<int>(UnitKind::Mem));
  out.number("UnitSxm", static_cast<int>(UnitKind::Sxm));
  out.number("UnitMxm", static_cast<int>(UnitKind::Mxm));
  std::vector<uint32_t> kinds, first_queues, indices, queue_kinds, queue_positions;
  std::vector<uint32_t> seen(5, 0);
  for (int p = 0; p < target.positions(); ++p) {
    const auto kind = static_cast<uint32_t>(target.floorplan[p]);
    kinds.push_back(kind);
    first_queues.push_back(static_cast<uint32_t>(target.first_queue[p]));
    indices.push_back(seen[kind]++);
  }
  for (const QueueInfo& queue : target.queues) {
    queue_kinds.push_back(static_cast<uint32_t>(queue.kind));
    queue_positions.push_back(static_cast<uint32_t>(queue.position));
  }
  out.number("Positions", target.positions());
  out.number("PortPosition", target.port_position);
  out.number("VxmPosition", target.vxm_position);
  out.number("MemCount", static_cast<int64_t>(target.mem_positions.size()));
  out.number("SxmCount", static_cast<int64_t>(target.sxm_positions.size()));
  out.number("MxmCount", static_cast<int64_t>(target.mxm_positions.size()));
  out.add(flat("UnitKinds", 4, kinds));
  out.comment("Number of a position among its kind, west to east, 16 bits each.");
  out.add(flat("UnitIndices", 16, indices));
  out.comment("First queue number of the positions, 16 bits each.");
  out.number("QueueCount", static_cast<int64_t>(target.queues.size()));
  out.add(flat("FirstQueues", 16, first_queues));
  out.comment("What the queues drive, 4 bits each, and the values they take; their positions.");
  constexpr const char* kQueueNames[] = {"TapeRecv", "KvRecv",  "HostRecv", "KvSend",
                                         "HostSend", "VxmPass", "MemRead",  "MemWrite",
                                         "SxmMove",  "MxmLoad", "MxmMac"};
  for (size_t i = 0; i < std::size(kQueueNames); ++i) {
    out.number(std::string("Queue") + kQueueNames[i], static_cast<int64_t>(i));
  }
  out.add(flat("QueueKinds", 4, queue_kinds));
  out.add(flat("QueuePositions", 16, queue_positions));
}

}  // namespace

std::string write_target_package(const Target& target) {
  PackageText out;
  out.add("// Generated from target " + target.name +
          " by isa/write_target_package.cc. Do not edit.\n"
          "// Flat vectors hold element 0 in their lowest bits: element i is Name[i*W +: W].\n"
          "`default_nettype none\n\n"
          "// No module uses every number.\n"
          "/* verilator lint_off UNUSEDPARAM */\n"
          "package target_pkg;\n\n");
  out.number("Lanes", target.lanes);
  out.number("Streams", target.streams);
  write_floorplan(target, out);
  out.comment("MEM");
  out.number("SlicesPerPosition", target.slices_per_position);
  out.number("SliceCount", target.slices());
  out.number("WordsPerSlice", target.words_per_slice);
  out.comment("MXM");
  out.number("MxmLoadStreams", target.mxm_load_streams);
  out.number("MxmAccumulators", target.mxm_accumulators);
  out.comment("VXM; VxmStages has one bit per stage that is present");
  out.number("VxmChains", target.vxm_chains);
  out.number("VxmAccumulators", target.vxm_accumulators);
  constexpr const char* kStages[] = {"Mul1", "Mul2", "Add",     "Select",     "Sfu",  "Mul3",
                                     "Tree", "Root", "Combine", "Accumulate", "Round"};
  for (size_t i = 0; i < std::size(kStages); ++i) {
    out.number(std::string("Stage") + kStages[i], static_cast<int64_t>(i));
  }
  out.add("  localparam logic [" + std::to_string(std::size(kStages) - 1) + ":0] VxmStages = " +
          std::to_string(std::size(kStages)) + "'d" + std::to_string(target.vxm_stages) + ";\n");
  out.comment("Queues, freeze and ports");
  out.number("QueueDepth", target.queue_depth);
  out.number("FreezeDepth", target.freeze_depth);
  out.number("PortWidthVectors", target.port_width_vectors);
  out.number("TapeBytesPerCycle", target.tape_bytes_per_cycle);
  out.number("TapeFifoVectors", target.tape_fifo_vectors);
  out.number("KvBytesPerCycle", target.kv_bytes_per_cycle);
  out.number("KvFifoVectors", target.kv_fifo_vectors);
  out.number("HostBytesPerCycle", target.host_bytes_per_cycle);
  out.number("HostFifoVectors", target.host_fifo_vectors);
  out.number("InstructionBytesPerCycle", target.instruction_bytes_per_cycle);
  out.number("InstructionFifoWords", target.instruction_fifo_words);
  out.number("MemoryBytesPerCycle", target.memory_bytes_per_cycle);
  out.comment("Clock edges of a machine cycle in the synthesis form");
  out.number("Beats", target.beats);
  out.add("\nendpackage\n/* verilator lint_on UNUSEDPARAM */\n\n`default_nettype wire\n");
  return out.text();
}

}  // namespace pianola
