// A roll: everything that a machine needs to play one model, in one file. Instruction tapes, the data
// tape, KV layout, launch registers, and what the host must know (tokenizer, model facts).
//
// On disk: a 64-byte header (magic, version, section table bounds, xxh3 of each section), then
// sections, each aligned to 4096 bytes and read by mmap: metadata (FlatBuffers, isa/roll.fbs,
// verified before use), instruction words, the data tape, tokenizer. Times, paths and host names
// never enter a roll: same model, target and options give the same bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "isa/result.h"
#include "isa/target.h"
#include "isa/word.h"

namespace pianola {

constexpr uint32_t kRollVersion = 2;
constexpr int kLaunchParametersMax = 1024;  // registers of the machine included

enum class EntryKind : uint8_t { Load, Prefill, Decode, Verify };

// A launch parameter that the host sets. Indices below kLaunchRegisters are registers of the machine;
// all may serve as bases of indirect segments. A constant has minimum == maximum.
struct RegisterDeclaration {
  enum class Role : uint8_t {
    Constant,       // value fixed by the roll (minimum)
    Position,       // first position p of this launch
    PositionBlock,  // p / lanes
    PositionLane,   // p mod lanes
    Token,          // id of token `argument` of the launch
    KvRow,          // first position times `argument`: word offset of a row (argument words each)
    KvBlockWord,    // (p / lanes) times `argument`
  };
  int index = 0;
  std::string name;
  Role role = Role::Constant;
  int argument = 0;
  uint32_t minimum = 0, maximum = 0, multiple = 1;
};

// A piece of what a port delivers or takes, in vectors. Address of vector j of repetition i:
//   base + i * stride + j + min(parameter, limit) * parameter_stride      j < count, i < repeat
struct Segment {
  uint64_t base = 0;
  uint32_t count = 0;
  uint32_t repeat = 1;
  int64_t stride = 0;
  int parameter = -1;  // index of a launch parameter; -1: none
  uint64_t parameter_stride = 0;
  uint32_t limit = 0;  // largest parameter value; clamped in hardware
};

// Machine cycles that no schedule of this entry can beat, each from separate code.
struct Bound {
  std::string name;
  uint64_t cycles = 0;
};

// What leaves at the host port, in groups of four vectors of fp32.
enum class EntryOutput : uint8_t {
  None,
  Logits,  // [block of `lanes` vocabulary entries][token]: lane = vocabulary index mod lanes
  Tokens,  // [2][token]: the largest logit, then the lowest vocabulary index that has it, in all lanes
};
// Vectors that leave for `tokens` tokens.
uint64_t output_vectors(EntryOutput output, int vocabulary, int lanes, int tokens);

struct Entry {
  EntryKind kind = EntryKind::Decode;
  std::string name;       // "decode@256"
  int tokens = 0;         // T
  int context = 0;        // N: largest position + 1
  uint64_t first_word = 0, word_count = 0;  // in the instruction section
  uint64_t cycles = 0;    // predicted machine cycles
  std::vector<RegisterDeclaration> registers;
  std::vector<Segment> tape;      // into the data tape section
  std::vector<Segment> kv_read;   // into the KV region
  std::vector<Segment> kv_write;  // into the KV region
  uint32_t host_receive_vectors = 0;
  uint32_t host_send_vectors = 0;
  std::vector<Bound> bounds;
  EntryOutput output = EntryOutput::Logits;
};

// A named region of MEM words that keeps its contents between launches (weights, KV).
struct PersistentRegion {
  std::string name;
  int slice = 0;
  int first_word = 0, words = 0;
};

struct RollModel {
  std::string architecture, quantization;
  int vocabulary = 0, hidden = 0, layers = 0, heads = 0, kv_heads = 0, head_size = 0,
      feed_forward = 0, context = 0;
  int bos = -1;
  std::vector<int> eos;
};

struct RollMetadata {
  uint32_t version = kRollVersion;
  std::string target_name;
  std::string target_text;  // canonical text of the target; parse_target accepts it
  RollModel model;
  std::vector<Entry> entries;
  std::vector<PersistentRegion> persistent;
  uint64_t kv_vectors = 0;  // size of the KV region
};

// The sections in memory. Spans point into `owner` (a mapped file) or into the vectors beside them.
struct Roll {
  RollMetadata metadata;
  Target target;
  std::span<const Word> words;
  std::span<const std::byte> data;       // data tape: whole vectors of `lanes` bytes
  std::span<const std::byte> tokenizer;  // serialized tokenizer, may be empty

  std::vector<Word> owned_words;
  std::vector<std::byte> owned_data, owned_tokenizer;
  struct Mapping {
    virtual ~Mapping() = default;
  };
  std::unique_ptr<Mapping> owner;

  std::span<const Word> entry_words(const Entry& entry) const {
    return words.subspan(entry.first_word, entry.word_count);
  }
};

// What a reader would refuse about the metadata: every count, index and range against the target and
// the sizes of the sections. write_roll and the assembler check it too.
Status check_roll(const Roll& roll);
// Mismatch, with the first number that differs, unless the roll was made for exactly this machine.
Status check_roll_target(const Roll& roll, const Target& machine);
// Writes to a temporary name beside `path` and renames: never a partial file.
Status write_roll(const Roll& roll, const std::filesystem::path& path);
// Serialized bytes of the same file. Equal rolls give equal bytes, and a roll has only one encoding.
std::vector<std::byte> serialize_roll(const Roll& roll);
// Maps and checks container, checksums and metadata (not the schedule: that is verify_roll's work).
Result<Roll> read_roll(const std::filesystem::path& path);
// The same for bytes in memory; the roll keeps copies of the sections.
Result<Roll> parse_roll(std::span<const std::byte> bytes, std::string_view where);

}  // namespace pianola
