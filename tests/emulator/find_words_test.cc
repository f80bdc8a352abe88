// Which vectors may be kept as words, and which may not; what late places hold.
#include "emulator/find_words.h"

#include <gtest/gtest.h>

#include <vector>

namespace pianola::test {
namespace {

// Passes that make four vectors, and passes and copies that use some.
class Bench {
 public:
  Bench() {
    program_.lanes = 16;
    VxmControl makes, uses;
    makes.out_count = makes.places_per_pass = 4;
    uses.x_count = uses.places_per_pass = 4;
    program_.vxm_controls = {makes, uses};
  }
  Place make() {
    const Place first = kVectorBit | vectors_;
    vectors_ += 4;
    add_pass(0, {first, first + 1, first + 2, first + 3});
    return first;
  }
  void use(Place a, Place b, Place c, Place d) { add_pass(1, {a, b, c, d}); }
  void use(Place first) { use(first, first + 1, first + 2, first + 3); }
  void copy(Place from) {
    program_.operations.push_back({OperationKind::Copy, 1, static_cast<uint32_t>(program_.copies.size())});
    program_.copies.push_back({0, from});
  }
  Program& program() { return program_; }
  void set_home(Place vector) { home_ = vector & ~kVectorBit; }

  bool are_words(Place first) {
    PagedVector<Place> homes(vectors_, 0);
    if (home_ < vectors_) homes[home_] = 64;
    PagedVector<uint8_t> words(vectors_, kNoWords);
    find_words(program_, homes, words);
    const uint64_t at = first & ~kVectorBit;
    const bool found = words[at] == kFirstOfWords;
    for (uint64_t i = 0; i < 4; ++i) {
      EXPECT_EQ(words[at + i], !found ? kNoWords : i == 0 ? kFirstOfWords : kOtherOfWords);
    }
    return found;
  }

 private:
  void add_pass(uint32_t control, std::vector<Place> places) {
    VxmBatch batch;
    batch.control = control;
    batch.passes = 1;
    batch.first_place = program_.vxm_places.size();
    program_.vxm_places.insert(program_.vxm_places.end(), places.begin(), places.end());
    program_.operations.push_back(
        {OperationKind::Vxm, 1, static_cast<uint32_t>(program_.vxm_batches.size())});
    program_.vxm_batches.push_back(batch);
  }

  Program program_;
  uint64_t vectors_ = 0, home_ = ~uint64_t{0};
};

TEST(FindWords, TakesWhatOnlyPassesMakeAndUse) {
  Bench bench;
  const Place a = bench.make(), b = bench.make();
  bench.use(a);
  bench.use(a);
  EXPECT_TRUE(bench.are_words(a));
  EXPECT_TRUE(bench.are_words(b));
}

TEST(FindWords, LeavesWhatIsUsedOtherwise) {
  Bench bench;
  const Place copied = bench.make(), mixed = bench.make(), other = bench.make(), kept = bench.make();
  const Place late = bench.make(), good = bench.make();
  for (const Place first : {copied, mixed, kept, late, good}) bench.use(first);
  bench.copy(copied + 2);
  bench.use(mixed, mixed + 1, other + 2, mixed + 3);
  bench.set_home(kept + 1);
  const std::vector<Place> rows = {late + 3};
  bench.program().late_places.add(64, 1, 0, rows);
  for (const Place first : {copied, mixed, other, kept, late}) EXPECT_FALSE(bench.are_words(first));
  EXPECT_TRUE(bench.are_words(good));
}

TEST(LatePlaces, HoldTheRowThatTheRegisterChooses) {
  LatePlaces places;
  const std::vector<Place> rows = {1000, 1001, 1002}, others = {2000};
  // Rows 0 to 2 go to the words that follow the register's; word 7 gets one of them if it is 5, 6 or 7.
  const Place seven = places.add(70, 1, 7, rows);
  const Place eight = places.add(80, 1, 8, std::span(rows).subspan(1));
  const Place again = places.add(seven, 2, 3, others);
  EXPECT_EQ(places.rows().size(), 4u);  // rows are shared
  std::vector<Place> uses = {seven, eight, again};
  for (Place& use : uses) places.add_use(&use);
  const auto bind = [&](uint32_t first, uint32_t second) {
    std::array<uint32_t, kLaunchRegisters> registers{};
    registers[1] = first;
    registers[2] = second;
    places.bind(registers);
    return uses;
  };
  using Places = std::vector<Place>;
  EXPECT_EQ(bind(4, 0), (Places{70, 80, 70}));
  EXPECT_EQ(bind(5, 0), (Places{1002, 80, 1002}));
  EXPECT_EQ(bind(7, 0), (Places{1000, 1002, 1000}));
  EXPECT_EQ(bind(8, 3), (Places{70, 1001, 2000}));
  EXPECT_EQ(bind(6, 2), (Places{1001, 80, 1001}));
  EXPECT_EQ(bind(9, 3), (Places{70, 80, 2000}));
}

}  // namespace
}  // namespace pianola::test
