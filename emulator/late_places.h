// Operands that depend on launch registers: what a READ of a constant address sees after WRITEs whose
// addresses have a register in them is one of the written vectors, if the register has one of certain values,
// else what the word held before. Which of them is known when a launch begins, so operations that use such a
// *late place* keep pointers that are set anew whenever the registers change; nothing is copied.
//
// The rows that one launch appends to a cache go to words that follow each other. Every word may get every one
// of them, each for another value of the register: so words share one list of rows.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "emulator/paged_vector.h"
#include "isa/target.h"

namespace pianola {

// Where an operand lies: a host address, or the number of a vector with kVectorBit until the arena is
// laid out, or the number of a late place with kLateBit until a launch. Zero: nothing.
using Place = uint64_t;
constexpr Place kVectorBit = Place{1} << 63;
constexpr Place kLateBit = Place{1} << 62;

inline bool is_vector(Place place) { return (place & kVectorBit) != 0; }
inline bool is_late(Place place) { return (place & (kVectorBit | kLateBit)) == kLateBit; }
inline bool is_in_place(Place place) { return (place & (kVectorBit | kLateBit)) == 0; }

class LatePlaces {
 public:
  struct Late {
    Place before = 0;        // may be late itself, of a lower number
    uint32_t reg = 0;
    uint32_t value = 0;      // rows[first + i] is seen if the register is value - i, modulo 2^32
    uint32_t first = 0, count = 0;  // of rows()
  };

  // The place of a word that held `before`, and got written[i] if the register is value - i.
  Place add(Place before, uint32_t reg, uint32_t value, std::span<const Place> written);
  PagedVector<Place>& rows() { return rows_; }
  PagedVector<Late>& all() { return lates_; }
  const Late& of(Place place) const { return lates_[place & ~kLateBit]; }

  // Calls visit for every place that a use of `place` may read: itself, if it is not late. `seen` is the first
  // row of the list that was visited last, or kNothingSeen; it is not visited twice in a row.
  static constexpr uint64_t kNothingSeen = ~uint64_t{0};
  template <typename Visit>
  void visit(Place place, uint64_t& seen, Visit visit_one) const {
    while (is_late(place)) {
      const Late& late = of(place);
      const uint64_t list = uint64_t{late.first} << 32 | late.count;
      if (list != seen) {
        for (uint32_t i = 0; i < late.count; ++i) visit_one(rows_[late.first + i]);
      }
      seen = list;
      place = late.before;
    }
    visit_one(place);
  }

  // An operand that holds a late place; it must stay where it is.
  void add_use(Place* operand);
  // To be called before every launch: sets the operands whose places have changed.
  void bind(std::span<const uint32_t, kLaunchRegisters> registers);

 private:
  void prepare();
  void evaluate(uint32_t number);

  uint32_t find_rows(std::span<const Place> written);

  PagedVector<Late> lates_;
  PagedVector<Place> rows_;
  std::vector<uint32_t> lists_;  // where lists begin in rows_
  uint32_t longest_ = 0;         // list
  PagedVector<std::pair<uint32_t, Place*>> uses_;  // by number of the late place once prepared
  std::vector<uint32_t> first_use_;
  std::vector<std::vector<uint32_t>> dependents_;  // lates whose `before` is this one
  std::map<std::pair<uint32_t, uint32_t>, std::vector<uint32_t>> conditions_;  // register, value
  std::vector<Place> now_;
  std::array<uint32_t, kLaunchRegisters> registers_{};
  bool bound_ = false;
};

}  // namespace pianola
