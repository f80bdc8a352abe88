// Finds the vectors that can be kept as 32-bit words: see emulator/word_vectors.h.
#pragma once

#include <cstdint>
#include <vector>

#include "emulator/lift.h"

namespace pianola {

constexpr uint8_t kNoWords = 0, kFirstOfWords = 1, kOtherOfWords = 2;

// Four vectors that follow each other are words if one result has made them, they have no home, and every use
// takes all four as one operand. words: by vector, all kNoWords.
void find_words(Program& program, const PagedVector<Place>& homes, PagedVector<uint8_t>& words);

// Where an operand or the result of all passes of a batch are words, one place is left of the four.
void shorten_passes(Program& program, const PagedVector<uint8_t>& words);

}  // namespace pianola
