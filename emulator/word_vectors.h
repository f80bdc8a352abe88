// Four vectors that are only ever the byte planes of one vector of 32-bit words are kept as words: the first of
// their places is that of the words and says so, the others are not looked at. What is made and used by vector
// passes, sums and products alone needs no taking apart and putting together.
#pragma once

#include <cstdint>

#include "emulator/late_places.h"

namespace pianola {

constexpr Place kWordsBit = Place{1} << 61;  // beside a host address

inline bool are_words(const Place* places) { return (places[0] & kWordsBit) != 0; }
inline uint32_t* words_at(const Place* places) {
  return reinterpret_cast<uint32_t*>(places[0] & ~kWordsBit);
}

}  // namespace pianola
