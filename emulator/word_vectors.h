// Four vectors that are only ever the byte planes of one vector of 32-bit words are kept as words: of their four
// places the first is then that of the words, and the second says so. What is made and used by vector passes, sums
// and products alone needs no taking apart and putting together.
#pragma once

#include <cstdint>

#include "emulator/late_places.h"

namespace pianola {

constexpr Place kWords = 1;  // as a second place; no vector lies there

inline bool are_words(const Place* places) { return places[1] == kWords; }
inline uint32_t* words_at(const Place* places) { return reinterpret_cast<uint32_t*>(places[0]); }

}  // namespace pianola
