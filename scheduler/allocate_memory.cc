// Arrays get addresses. An array lives from the first operation that names it to the last; two arrays
// whose lives meet must not share words. Words are reused as late as possible, which leaves the
// scheduler more freedom. The sections of a run have their arrays at the same distances, so that
// the scheduler can repeat them.
#include <algorithm>
#include <map>
#include <set>

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
    for (const ArrayRef& rows : op.rows) use(rows);
    use(op.activation);
    use(op.sums);
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

// Words of one bank of one home, from `begin` to `end`.
class WordAllocator {
 public:
  WordAllocator(int begin, int end) : begin_(begin), end_(end), cursor_(begin) {}

  // The word where the block starts, or -1. The search starts where the last one ended.
  int place(Block block) {
    const int words = block.end - block.begin;
    int start = cursor_ + words <= end_ ? cursor_ : begin_;
    const int origin = start;
    bool wrapped = false;
    while (true) {
      if (start + words > end_) {
        if (wrapped) return -1;
        wrapped = true;
        start = begin_;
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
    top_ = std::max(top_, block.end);
    return block.begin;
  }
  // The next search starts at the beginning, so that little is used.
  void rewind() { cursor_ = begin_; }
  int top() const { return top_; }

 private:
  const Block* find_obstacle(const Block& block) const {
    for (const Block& other : blocks_) {
      if (overlaps(block, other)) return &other;
    }
    return nullptr;
  }

  std::vector<Block> blocks_;
  int begin_, end_, cursor_, top_ = 0;
};

// Arrays of one section of a run, in order of first use.
using SectionArrays = std::vector<int>;

class MemoryAllocator {
 public:
  MemoryAllocator(VectorProgram& program, const Target& target)
      : program_(program),
        target_(target),
        bank_words_(target.words_per_slice / 2),
        lives_(LifeCollector(program).take()),
        placed_(program.arrays.size(), false),
        top_(homes_of(target).size() * 2, 0) {}

  Status run() {
    for (const SectionRun& run : section_runs(program_)) find_repeated(run);
    std::vector<WordAllocator> banks(top_.size(), WordAllocator(0, bank_words_));
    TRY_STATUS(place_others(banks, true));
    for (const std::vector<SectionArrays>& sections : repeated_) {
      TRY_STATUS(place_repeated(sections));
    }
    return place_others(banks, false);
  }

 private:
  int bank_of(const Array& array) const { return array.home * 2 + array.bank; }

  static Block block_of(const Array& array, Life life) {
    return {array.slice, array.slice + array.streams - 1, 0, array.vectors, life};
  }

  // The arrays of a run that live in their section and the next one, if all sections have the same.
  void find_repeated(const SectionRun& run) {
    std::vector<SectionArrays> sections(run.count);
    std::vector<int> ends;
    for (int i = 0; i < run.count; ++i) ends.push_back(section_end(program_, run.first + i));
    const int begin = program_.sections[run.first].first;
    for (size_t id = 0; id < lives_.size(); ++id) {
      const Life& life = lives_[id];
      if (program_.arrays[id].persistent || life.first < begin || life.first >= ends.back()) {
        continue;
      }
      const auto at = std::upper_bound(ends.begin(), ends.end(), life.first) - ends.begin();
      const int after = run.first + static_cast<int>(at) + 1;
      const int limit = after < static_cast<int>(program_.sections.size())
                            ? section_end(program_, after)
                            : ends.back();
      if (life.last < limit) sections[at].push_back(static_cast<int>(id));
    }
    for (SectionArrays& arrays : sections) {
      std::stable_sort(arrays.begin(), arrays.end(),
                       [&](int a, int b) { return lives_[a].first < lives_[b].first; });
    }
    for (const SectionArrays& arrays : sections) {
      const bool alike = std::equal(
          arrays.begin(), arrays.end(), sections[0].begin(), sections[0].end(), [&](int a, int b) {
            const Array &x = program_.arrays[a], &y = program_.arrays[b];
            return x.home == y.home && x.bank == y.bank && x.slice == y.slice &&
                   x.streams == y.streams && x.vectors == y.vectors;
          });
      if (!alike) return;
    }
    const int last = run.first + run.count;
    spans_.push_back({begin, last < static_cast<int>(program_.sections.size())
                                 ? section_end(program_, last)
                                 : ends.back()});
    for (const SectionArrays& arrays : sections) {
      for (int id : arrays) {
        placed_[id] = true;
        repeats_in_.insert(bank_of(program_.arrays[id]));
      }
    }
    repeated_.push_back(std::move(sections));
  }

  // Whether words of repeated sections may be in use while the array lives.
  bool meets_repeated(const Array& array, const Life& life) const {
    if (array.persistent || repeats_in_.count(bank_of(array)) == 0) return true;
    return std::any_of(spans_.begin(), spans_.end(), [&](const Life& span) {
      return life.first < span.last && span.first <= life.last;
    });
  }

  // The arrays that live in no section alone; those that meet repeated sections before the sections get
  // what is left, the others after that. Persistent arrays first, in order, so that every entry of a
  // roll finds them at the same place.
  Status place_others(std::vector<WordAllocator>& banks, bool meet) {
    std::vector<int> order;
    for (size_t i = 0; i < program_.arrays.size(); ++i) {
      if (placed_[i] || (!program_.arrays[i].persistent && lives_[i].first < 0)) continue;
      if (meets_repeated(program_.arrays[i], lives_[i]) == meet) {
        order.push_back(static_cast<int>(i));
      }
    }
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
      const bool pa = program_.arrays[a].persistent, pb = program_.arrays[b].persistent;
      if (pa != pb) return pa;
      return !pa && lives_[a].first < lives_[b].first;
    });
    const int forever = static_cast<int>(program_.operations.size());
    for (int id : order) {
      Array& array = program_.arrays[id];
      const Life life = array.persistent ? Life{-1, forever} : lives_[id];
      CHECK(static_cast<size_t>(bank_of(array)) < banks.size());
      CHECK(array.slice + array.streams <= 4);
      WordAllocator& bank = banks[bank_of(array)];
      // Other entries have no repeated sections and must find persistent arrays at the same place.
      if (meet && !array.persistent && repeats_in_.count(bank_of(array)) > 0) bank.rewind();
      const int begin = bank.place(block_of(array, life));
      if (begin < 0) return no_room(array);
      array.address = array.bank * bank_words_ + begin;
      if (meet) top_[bank_of(array)] = std::max(top_[bank_of(array)], bank.top());
    }
    return Ok{};
  }

  // Sections take turns in equal parts of what the others left of a bank, or share it where an array
  // needs more than a part.
  Status place_repeated(const std::vector<SectionArrays>& sections) {
    const SectionArrays& model = sections[0];
    std::map<int, std::vector<size_t>> by_bank;
    for (size_t i = 0; i < model.size(); ++i) {
      by_bank[bank_of(program_.arrays[model[i]])].push_back(i);
    }
    if (model.empty()) return Ok{};
    const int end = section_end_of(model.front());
    for (const auto& [bank, members] : by_bank) {
      const int left = bank_words_ - top_[bank];
      std::vector<int> offsets;
      int part = left / kSectionMemories;
      if (!place_members(model, members, part, end, {}, offsets)) {
        part = 0;
        if (!place_members(model, members, left, end, {.shared = true}, offsets) &&
            !place_members(model, members, left, end, {.shared = true, .packed = true}, offsets)) {
          return no_room(program_.arrays[model[members[offsets.size()]]]);
        }
      }
      for (size_t s = 0; s < sections.size(); ++s) {
        const int base = top_[bank] + static_cast<int>(s) % kSectionMemories * part;
        for (size_t m = 0; m < members.size(); ++m) {
          Array& array = program_.arrays[sections[s][members[m]]];
          array.address = array.bank * bank_words_ + base + offsets[m];
        }
      }
    }
    return Ok{};
  }

  // The end of the section that the array is first used in.
  int section_end_of(int array) const {
    const int operation = lives_[array].first;
    int section = 0;
    while (section_end(program_, section) <= operation) ++section;
    return section_end(program_, section);
  }

  // Shared: the next section has the same words, so that what lives into it must keep clear of its first arrays.
  // Packed: words are reused as early as possible.
  struct Placing {
    bool shared = false, packed = false;
  };

  // Places within `words`.
  bool place_members(const SectionArrays& model, const std::vector<size_t>& members, int words,
                     int end, Placing how, std::vector<int>& offsets) const {
    offsets.clear();
    WordAllocator allocator(0, words);
    for (size_t m : members) {
      const Array& array = program_.arrays[model[m]];
      Life life = lives_[model[m]];
      if (life.last >= end) life = {how.shared ? -1 : life.first, end};
      if (how.packed) allocator.rewind();
      const int begin = allocator.place(block_of(array, life));
      if (begin < 0) return false;
      offsets.push_back(begin);
    }
    return true;
  }

  Error no_room(const Array& array) const {
    return Error{ErrorCode::OutOfRange,
                 "array " + array.name + " needs " + std::to_string(array.vectors) +
                     " words in bank " + std::to_string(array.bank) + " of home " +
                     std::to_string(array.home) + ", which has " + std::to_string(bank_words_) +
                     " and no room for them; use a shorter --context or a target with more "
                     "words_per_slice",
                 "memory of target " + target_.name};
  }

  VectorProgram& program_;
  const Target& target_;
  int bank_words_;
  std::vector<Life> lives_;
  std::vector<bool> placed_;  // by array: belongs to a repeated section
  std::vector<int> top_;      // by bank: words that others than repeated sections take
  std::set<int> repeats_in_;  // banks
  std::vector<Life> spans_;   // operations while which the words of repeated sections are in use, end excluded
  std::vector<std::vector<SectionArrays>> repeated_;
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
  return MemoryAllocator(program, target).run();
}

}  // namespace pianola
