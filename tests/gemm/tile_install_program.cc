#include "tests/gemm/tile_install_program.h"

#include <random>
#include <stdexcept>

#include "compiler/schedule_entry.h"

namespace pianola::test {
namespace {

constexpr int kUnits = 4, kHomesPerTile = 4, kHomesPerSide = 11;

ArrayRef walk(ArrayId array, int step) {
  ArrayRef ref;
  ref.array = array;
  ref.step = {step, 0, 0};
  return ref;
}

// A tile for each matrix unit out of 16 slices of its side, one vector past each, sums to the host.
class Install {
 public:
  explicit Install(const Target& target) : target_(target) {
    for (int unit = 0; unit < kUnits; ++unit) {
      const int first = unit / 2 * kHomesPerSide, turn = unit % 2;
      for (int i = 0; i < kHomesPerTile; ++i) {
        rows_[unit][i] = declare({.name = "rows", .home = first + turn * kHomesPerTile + i, .streams = 4,
                                  .vectors = target.lanes / target.mxm_load_streams, .persistent = true});
      }
      vector_[unit] = declare({.name = "vector", .home = first + 8, .slice = turn, .vectors = 1, .persistent = true});
      sums_[unit] = declare({.name = "sums", .home = first + 9 + turn, .streams = 4, .vectors = 1});
    }
  }

  VectorProgram load() const {
    VectorProgram program = program_;
    for (const Array& array : program_.arrays) {
      if (!array.persistent) continue;
      CopyInOperation copy;
      copy.nest.count[0] = array.vectors;
      copy.destination = walk(static_cast<ArrayId>(&array - program_.arrays.data()), 1);
      program.operations.push_back(copy);
    }
    return program;
  }

  VectorProgram install() const {
    VectorProgram program = program_;
    for (int unit = 0; unit < kUnits; ++unit) {
      MatmulOperation op;
      op.mxm = unit;
      op.source = TileSource::Array;
      for (const ArrayId rows : rows_[unit]) op.rows.push_back(walk(rows, 1));
      op.activation = walk(vector_[unit], 0);
      op.sums = walk(sums_[unit], 0);
      program.operations.push_back(op);
    }
    for (const ArrayId sums : sums_) {
      VxmOperation send;
      send.x = {OperandSource::Array, VxmFormat::Raw, walk(sums, 0)};
      send.pass.out_format = VxmOutFormat::F32;
      send.to_host = true;
      program.operations.push_back(send);
    }
    return program;
  }

 private:
  ArrayId declare(const Array& array) {
    program_.arrays.push_back(array);
    return static_cast<ArrayId>(program_.arrays.size()) - 1;
  }

  const Target& target_;
  VectorProgram program_;
  ArrayId rows_[kUnits][kHomesPerTile]{}, vector_[kUnits]{}, sums_[kUnits]{};
};

void add_entry(Roll& roll, VectorProgram program, EntryKind kind, const std::string& name) {
  const Status allocated = allocate_memory(program, roll.target);
  if (!allocated.ok()) throw std::runtime_error(to_string(allocated.error()));
  Result<ScheduledEntry> made = schedule_entry(program, roll.target);
  if (!made.ok()) throw std::runtime_error(to_string(made.error()));
  made->entry.kind = kind;
  made->entry.name = name;
  made->entry.output = EntryOutput::None;
  made->entry.first_word = roll.owned_words.size();
  roll.owned_words.insert(roll.owned_words.end(), made->words.begin(), made->words.end());
  roll.words = roll.owned_words;
  roll.metadata.persistent = made->persistent;
  roll.metadata.entries.push_back(made->entry);
}

}  // namespace

Roll tile_install_program(const Target& target) {
  const auto lanes = static_cast<size_t>(target.lanes);
  Roll roll;
  roll.target = target;
  roll.metadata.target_name = target.name;
  roll.metadata.target_text = canonical_text(target);
  const Install programs(target);
  add_entry(roll, programs.load(), EntryKind::Load, "load");
  add_entry(roll, programs.install(), EntryKind::Decode, "install");
  roll.metadata.entries[1].host_send_vectors = 4 * kUnits;
  std::mt19937 random(5);
  for (size_t i = 0; i < kUnits * (lanes + 1) * lanes; ++i) {
    roll.owned_data.push_back(static_cast<std::byte>(random() >> 24));
  }
  roll.data = roll.owned_data;
  Segment all;
  all.count = static_cast<uint32_t>(roll.owned_data.size() / lanes);
  roll.metadata.entries[0].tape = {all};
  return roll;
}

}  // namespace pianola::test
