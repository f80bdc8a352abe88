// What the keys of a target file are called, which values they take, and how text is quoted: for
// the files that read and write targets.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "isa/instructions.h"
#include "isa/target.h"

namespace pianola {

constexpr size_t kTargetBytesMax = 64 * 1024;
constexpr int kFifoMax = 65536;

// Every key that holds an integer, in the order of the canonical text.
struct IntegerKey {
  const char* section;  // "" for the top level
  const char* key;
  int Target::*member;
  int minimum, maximum, multiple;
  bool optional = false;  // zero if it is not there, and then not written
};
inline constexpr IntegerKey kIntegerKeys[] = {
    {"", "lanes", &Target::lanes, 4, 320, 4},
    {"", "streams", &Target::streams, 16, kMemStreamMax + 1, 1},
    {"mem", "slices_per_position", &Target::slices_per_position, 1, 8, 1},
    {"mem", "words_per_slice", &Target::words_per_slice, 2, kMemAddressMax + 1, 2},
    {"mxm", "load_streams", &Target::mxm_load_streams, 1, kMxmLoadStreamMax + 1, 1},
    {"mxm", "accumulators", &Target::mxm_accumulators, 1, kMxmMacAccMax + 1, 1},
    {"vxm", "chains", &Target::vxm_chains, 1, 8, 1},
    {"vxm", "accumulators", &Target::vxm_accumulators, 1, kVxmAccMax + 1, 1},
    {"queues", "depth", &Target::queue_depth, 2, 256, 1},
    {"ports", "freeze_depth", &Target::freeze_depth, 1, 64, 1},
    {"ports", "width_vectors", &Target::port_width_vectors, 1, kPortRecvCountMax, 1},
    {"ports", "tape_bytes_per_cycle", &Target::tape_bytes_per_cycle, 1, 65536, 1},
    {"ports", "tape_fifo_vectors", &Target::tape_fifo_vectors, 2, kFifoMax, 1},
    {"ports", "kv_bytes_per_cycle", &Target::kv_bytes_per_cycle, 1, 65536, 1},
    {"ports", "kv_fifo_vectors", &Target::kv_fifo_vectors, 2, kFifoMax, 1},
    {"ports", "host_bytes_per_cycle", &Target::host_bytes_per_cycle, 1, 65536, 1},
    {"ports", "host_fifo_vectors", &Target::host_fifo_vectors, 2, kFifoMax, 1},
    {"ports", "instruction_bytes_per_cycle", &Target::instruction_bytes_per_cycle, 1, kWordBits / 8,
     1},
    {"ports", "instruction_fifo_words", &Target::instruction_fifo_words, 2, kFifoMax, 1},
    {"ports", "memory_bytes_per_cycle", &Target::memory_bytes_per_cycle, 1, 65536, 1, true},
    {"activations", "group", &Target::activation_group, 4, 1 << 20, 1},
};

template <typename T>
struct Named {
  const char* name;
  T value;
};
inline constexpr Named<UnitKind> kUnitNames[] = {{"PORT", UnitKind::Port},
                                                 {"VXM", UnitKind::Vxm},
                                                 {"MEM", UnitKind::Mem},
                                                 {"SXM", UnitKind::Sxm},
                                                 {"MXM", UnitKind::Mxm}};
inline constexpr Named<VxmStage> kStageNames[] = {
    {"mul1", kStageMul1},       {"mul2", kStageMul2},
    {"add", kStageAdd},         {"select", kStageSelect},
    {"sfu", kStageSfu},         {"mul3", kStageMul3},
    {"tree", kStageTree},       {"root", kStageRoot},
    {"combine", kStageCombine}, {"accumulate", kStageAccumulate},
    {"round", kStageRound}};
inline constexpr Named<Residence> kResidenceNames[] = {{"tape", Residence::Tape},
                                                       {"mem", Residence::Mem}};
inline constexpr Named<KvResidence> kKvResidenceNames[] = {{"port", KvResidence::Port},
                                                           {"mem", KvResidence::Mem}};
inline constexpr Named<ScaleFormat> kScaleNames[] = {{"f16", ScaleFormat::F16},
                                                     {"bf16", ScaleFormat::BF16}};

template <typename T, size_t N>
std::string name_of(const Named<T> (&names)[N], T value) {
  for (const auto& entry : names) {
    if (entry.value == value) return entry.name;
  }
  CHECK(false);
  return "";
}

inline std::string quote_all(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? '?' : c;
  }
  return out + '"';
}

// For messages: not the whole of a hostile file.
inline std::string quote(std::string_view text) {
  return text.size() <= 60 ? quote_all(text) : quote_all(text.substr(0, 60)) + "...";
}

}  // namespace pianola
