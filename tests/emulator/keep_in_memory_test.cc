// Which vectors may live in the words that they are copied from or to, and which may not.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "emulator/keep_in_memory.h"

namespace pianola::test {
namespace {

constexpr int kLanes = 16, kWords = 8;

// A program over one slice of MEM. Vectors are made by moves between lanes and used by others.
class Bench {
 public:
  Bench() : memory_(kLanes * kWords), outside_(kLanes) { program_.lanes = kLanes; }

  Place word(int number) const {
    return reinterpret_cast<uintptr_t>(memory_.data()) + static_cast<Place>(number * kLanes);
  }
  Place outside() const { return reinterpret_cast<uintptr_t>(outside_.data()); }
  Place new_vector() { return kVectorBit | vectors_++; }

  void copy(Place to, Place from) {
    add(OperationKind::Copy, program_.copies.size());
    program_.copies.push_back({to, from});
  }
  void move(Place to, Place from) {
    add(OperationKind::Sxm, program_.sxm_steps.size());
    SxmStep step;
    step.from[0] = from;
    step.to[0] = to;
    program_.sxm_steps.push_back(step);
  }
  // An access to one of some words that only a launch knows.
  void access(OperationKind kind, Place vector, uint32_t first, uint32_t last) {
    add(kind, program_.memory_steps.size());
    MemoryStep step;
    step.vector = vector;
    step.slice = memory_.data();
    step.first_word = first;
    step.last_word = last;
    program_.memory_steps.push_back(step);
  }

  PagedVector<Place> homes() {
    PagedVector<Place> homes(vectors_, 0);
    keep_in_memory(program_, memory_, homes);
    return homes;
  }
  size_t copies() const {
    return static_cast<size_t>(std::ranges::count_if(program_.operations, [](const Operation& o) {
      return o.kind == OperationKind::Copy;
    }));
  }

 private:
  void add(OperationKind kind, size_t first) {
    program_.operations.push_back({kind, 1, static_cast<uint32_t>(first)});
  }

  std::vector<uint8_t> memory_, outside_;
  uint64_t vectors_ = 0;
  Program program_;
};

TEST(KeepInMemory, UsesALoadedWordWhereItLies) {
  Bench bench;
  const Place loaded = bench.new_vector(), made = bench.new_vector();
  bench.copy(loaded, bench.word(3));
  bench.move(made, loaded);
  bench.access(OperationKind::WriteLane, bench.outside(), 3, 4);  // after the last use
  EXPECT_EQ(bench.homes(), (PagedVector<Place>{bench.word(3), 0}));
  EXPECT_EQ(bench.copies(), 0u);
}

TEST(KeepInMemory, CopiesALoadedWordThatMayBeWrittenBeforeItsLastUse) {
  for (const OperationKind kind : {OperationKind::Write, OperationKind::WriteLane}) {
    Bench bench;
    const Place loaded = bench.new_vector(), made = bench.new_vector(), again = bench.new_vector();
    bench.copy(loaded, bench.word(3));
    bench.move(made, loaded);
    bench.access(kind, bench.outside(), 2, 5);
    bench.move(again, loaded);
    EXPECT_EQ(bench.homes(), (PagedVector<Place>{0, 0, 0}));
    EXPECT_EQ(bench.copies(), 1u);
  }
}

TEST(KeepInMemory, MakesAStoredVectorInItsWord) {
  Bench bench;
  const Place made = bench.new_vector(), later = bench.new_vector();
  bench.access(OperationKind::Read, bench.new_vector(), 1, 6);  // before it is made
  bench.move(made, bench.outside());
  bench.access(OperationKind::WriteLane, bench.outside(), 4, 8);  // of other words
  bench.copy(bench.word(3), made);
  bench.move(later, made);
  EXPECT_EQ(bench.homes(), (PagedVector<Place>{bench.word(3), 0, 0}));
  EXPECT_EQ(bench.copies(), 0u);
}

TEST(KeepInMemory, StoresAVectorLaterIfItsWordIsLookedAtBefore) {
  for (const OperationKind kind :
       {OperationKind::Read, OperationKind::Gather, OperationKind::Write, OperationKind::WriteLane}) {
    Bench bench;
    const Place made = bench.new_vector(), other = bench.new_vector();
    bench.move(made, bench.outside());
    bench.access(kind, kind == OperationKind::Read || kind == OperationKind::Gather
                           ? other : bench.outside(), 0, 4);
    bench.copy(bench.word(3), made);
    EXPECT_EQ(bench.homes(), (PagedVector<Place>{0, 0}));
    EXPECT_EQ(bench.copies(), 1u);
  }
}

TEST(KeepInMemory, StoresAVectorThatOutlivesItsWord) {
  Bench bench;
  const Place made = bench.new_vector(), other = bench.new_vector(), later = bench.new_vector();
  bench.move(made, bench.outside());
  bench.move(other, bench.outside());
  bench.copy(bench.word(3), made);
  bench.copy(bench.word(3), other);
  bench.move(later, made);
  EXPECT_EQ(bench.homes(), (PagedVector<Place>{0, 0, 0}));
  EXPECT_EQ(bench.copies(), 2u);
}

TEST(KeepInMemory, MakesNoVectorInAWordWhoseLoadedContentIsStillUsed) {
  Bench bench;
  const Place loaded = bench.new_vector(), made = bench.new_vector(), used = bench.new_vector();
  bench.copy(loaded, bench.word(3));
  bench.move(made, loaded);
  bench.move(used, loaded);
  bench.copy(bench.word(3), made);
  EXPECT_EQ(bench.homes(), (PagedVector<Place>{bench.word(3), 0, 0}));
  EXPECT_EQ(bench.copies(), 1u);
}

}  // namespace
}  // namespace pianola::test
