// Arrays get addresses. An array lives from the first operation that names it to the last; two arrays
// whose lives meet must not share words. Persistent arrays come first, in order, so that every entry
// of a roll finds them at the same place. The search starts where the last one ended: words are
// reused as late as possible, which leaves the scheduler more freedom.
#include <algorithm>

#include "scheduler/schedule.h"

namespace pianola {
namespace {

struct Life {
  int first = -1, last = -1;
};

class LifeCollector {
 public:
  explicit LifeCollector(const VectorProgram& program) : lives_(program.arrays.size()) {
    for (size_t i = 0; i < program.operations.size(); ++i) {
      now_ = static_cast<int>(i);
      std::visit([this](const auto& op) { visit(op); }, program.operations[i]);
    }
  }
  std::vector<Life> take() { return std::move(lives_); }

 private:
  void use(const ArrayRef& ref) {
    if (ref.array < 0) return;
    Life& life = lives_[ref.array];
    if (life.first < 0) life.first = now_;
    life.last = now_;
  }
  void visit(const VxmOperation& op) {
    for (const Operand* o : {&op.x, &op.y, &op.z}) {
      if (o->source == OperandSource::Array) use(o->ref);
    }
    for (const ArrayRef& write : op.writes) use(write);
  }
  void visit(const MatmulOperation& op) {
    if (op.source == TileSource::Array) use(op.rows);
    use(op.activation);
    for (const VxmOperation& consumer : op.consumers) visit(consumer);
  }
  void visit(const CopyInOperation& op) { use(op.destination); }
  void visit(const CopyOutOperation& op) { use(op.source); }
  void visit(const SxmOperation& op) {
    use(op.source);
    use(op.destination);
  }

  std::vector<Life> lives_;
  int now_ = 0;
};

struct Block {
  int slice_first, slice_last;  // within the home
  int begin, end;               // words within the bank
  Life life;
};

bool overlaps(const Block& a, const Block& b) {
  return a.slice_first <= b.slice_last && b.slice_first <= a.slice_last && a.begin < b.end &&
         b.begin < a.end && a.life.first <= b.life.last && b.life.first <= a.life.last;
}

// One bank of one home.
class BankAllocator {
 public:
  // The word of the bank where the block starts, or -1.
  int place(Block block, int words_per_bank) {
    // Blocks come in order of their first use: what died before is of no more interest.
    std::erase_if(blocks_, [&](const Block& b) { return b.life.last < block.life.first; });
    const int words = block.end - block.begin;
    int start = cursor_ + words <= words_per_bank ? cursor_ : 0;
    const int origin = start;
    bool wrapped = false;
    while (true) {
      if (start + words > words_per_bank) {
        if (wrapped) return -1;
        wrapped = true;
        start = 0;
        continue;
      }
      if (wrapped && start > origin) return -1;
      block.begin = start;
      block.end = start + words;
      const Block* obstacle = find_obstacle(block);
      if (!obstacle) break;
      start = obstacle->end;
    }
    blocks_.push_back(block);
    cursor_ = block.end;
    return block.begin;
  }

 private:
  const Block* find_obstacle(const Block& block) const {
    for (const Block& other : blocks_) {
      if (overlaps(block, other)) return &other;
    }
    return nullptr;
  }

  std::vector<Block> blocks_;
  int cursor_ = 0;
};

}  // namespace

std::vector<std::array<int, 4>> homes_of(const Target& target) {
  std::vector<std::array<int, 4>> homes;
  for (int slice = 0; slice + 4 <= target.slices(); slice += 4) {
    // A home must not straddle the VXM: its four slices are reached in one direction.
    const bool west = target.slice_position(slice) < target.vxm_position;
    if (west != (target.slice_position(slice + 3) < target.vxm_position)) {
      slice -= 3;
      continue;
    }
    homes.push_back({slice, slice + 1, slice + 2, slice + 3});
  }
  return homes;
}

Status allocate_memory(VectorProgram& program, const Target& target) {
  const int words_per_bank = target.words_per_slice / 2;
  const std::vector<Life> lives = LifeCollector(program).take();
  const size_t homes = homes_of(target).size();
  std::vector<BankAllocator> banks(homes * 2);

  std::vector<int> order;
  for (size_t i = 0; i < program.arrays.size(); ++i) order.push_back(static_cast<int>(i));
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    const bool pa = program.arrays[a].persistent, pb = program.arrays[b].persistent;
    if (pa != pb) return pa;
    return !pa && lives[a].first < lives[b].first;
  });
  const int forever = static_cast<int>(program.operations.size());
  for (int id : order) {
    Array& array = program.arrays[id];
    Life life = lives[id];
    if (array.persistent) life = {-1, forever};
    if (!array.persistent && life.first < 0) continue;  // never used
    CHECK(static_cast<size_t>(array.home) < homes);
    const int slices = array.streams * array.copies;
    CHECK(array.slice + slices <= 4);
    const Block block{array.slice, array.slice + slices - 1, 0, array.vectors, life};
    const int begin = banks[array.home * 2 + array.bank].place(block, words_per_bank);
    if (begin < 0) {
      return Error{ErrorCode::OutOfRange,
                   "array " + array.name + " needs " + std::to_string(array.vectors) +
                       " words in bank " + std::to_string(array.bank) + " of home " +
                       std::to_string(array.home) + ", which has " +
                       std::to_string(words_per_bank) +
                       " and no room for them; use a shorter --context or a target with more "
                       "words_per_slice",
                   "memory of target " + target.name};
    }
    array.address = array.bank * words_per_bank + begin;
  }
  return Ok{};
}

}  // namespace pianola
