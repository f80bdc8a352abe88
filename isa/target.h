// A target: the numbers that make one machine out of the machine spec. Read from targets/<name>.toml,
// checked once (impossible combinations are refused with a reason), then constant.
//
// From the floorplan follow the positions of the units and the numbers of the queues: positions are
// walked west to east, and each unit takes the next numbers:
//   PORT      tape.recv, kv.recv, host.recv, kv.send, host.send
//   VXM       one pass queue per chain
//   MEM       the read queues of its slices, then the write queues of its slices
//   SXM       move
//   MXM       load, mac
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "isa/result.h"

namespace pianola {

enum class UnitKind : uint8_t { Port, Vxm, Mem, Sxm, Mxm };
enum class QueueKind : uint8_t {
  TapeRecv, KvRecv, HostRecv, KvSend, HostSend, VxmPass, MemRead, MemWrite, SxmMove, MxmLoad, MxmMac,
};
enum class Residence : uint8_t { Tape, Mem };   // where weights live
enum class KvResidence : uint8_t { Port, Mem };  // where the KV cache lives
enum class ScaleFormat : uint8_t { F16, BF16 };

// Stages of a VXM chain that a target may leave out, as bits of Target::vxm_stages.
enum VxmStage : uint32_t {
  kStageMul1 = 1 << 0, kStageMul2 = 1 << 1, kStageAdd = 1 << 2, kStageSelect = 1 << 3,
  kStageSfu = 1 << 4, kStageMul3 = 1 << 5, kStageTree = 1 << 6, kStageRoot = 1 << 7,
  kStageCombine = 1 << 8, kStageAccumulate = 1 << 9, kStageRound = 1 << 10,
};

struct QueueInfo {
  QueueKind kind;
  int position;  // index into the floorplan
  int unit;      // MEM: global slice number; MXM, SXM, VXM chain: number among its kind, west to east
  int slice;     // MEM: slice number within the position; VXM: chain; else 0
};

struct WeightScheme {
  int bits = 8;
  int group = 32;  // elements of K per scale; 0: one scale per output channel
};

struct Target {
  std::string name;
  std::string doc;
  int lanes = 0;
  int streams = 0;  // per direction, a power of two
  double clock_mhz = 0;
  std::string clock_source;
  std::vector<UnitKind> floorplan;  // west to east
  int slices_per_position = 0;
  int words_per_slice = 0;  // even: two banks of half as many; bank 1 is the upper half
  int mxm_load_streams = 0;
  int mxm_accumulators = 0;
  int vxm_chains = 0;
  int vxm_accumulators = 0;
  uint32_t vxm_stages = 0;
  int queue_depth = 0;
  int freeze_depth = 0;
  int port_width_vectors = 0;
  int tape_bytes_per_cycle = 0;
  int tape_fifo_vectors = 0;
  int kv_bytes_per_cycle = 0;
  int kv_fifo_vectors = 0;
  int host_bytes_per_cycle = 0;
  int host_fifo_vectors = 0;
  int instruction_bytes_per_cycle = 0;
  int instruction_fifo_words = 0;
  // One memory behind tape, KV and instructions: what they move together at most. 0: each port has a
  // memory of its own.
  int memory_bytes_per_cycle = 0;
  Residence weights = Residence::Tape;
  WeightScheme w8, w4;
  ScaleFormat scale = ScaleFormat::F16;
  int activation_group = 64;
  KvResidence kv = KvResidence::Port;
  // Of a core that is synthesized: the FPGA that it has to fit (fpga_parts.h; empty: none), and the
  // clock edges of a machine cycle, in each of which lanes / beats lanes are computed.
  std::string part;
  int beats = 1;

  // Derived by make_derived().
  std::vector<QueueInfo> queues;           // by queue number
  std::vector<int> first_queue;            // by position: its first queue number
  std::vector<int> mem_positions, mxm_positions, sxm_positions;
  int vxm_position = -1, port_position = -1;

  int positions() const { return static_cast<int>(floorplan.size()); }
  int slices() const { return static_cast<int>(mem_positions.size()) * slices_per_position; }
  int queue_of(QueueKind kind, int unit) const;  // MEM: unit is the global slice number
  int slice_position(int slice) const { return mem_positions[slice / slices_per_position]; }
};

constexpr int kLaunchRegisters = 32;  // visible in the machine; 0 always reads as zero

// Parses and checks a target file. Errors name the key, what was expected and what was found; all
// problems are reported together.
Result<Target> parse_target(std::string_view toml_text, std::string_view where);
// Loads targets/<name>.toml from the target directory, or the file itself if name is a path.
Result<Target> load_target(std::string_view name_or_path);
// Fills the derived members from the others. For targets built by hand; parse_target has done it.
void make_derived(Target& target);
// Names of the targets that load_target finds, sorted.
Result<std::vector<std::string>> target_names();
// The canonical text of a target, without its doc; parse_target accepts it. Two targets are the same
// machine if and only if it is equal.
std::string canonical_text(const Target& target);

}  // namespace pianola
