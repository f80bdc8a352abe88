// What the words of MEM hold while an entry is lifted. A word written at a constant address is
// known by the place of the vector, so that a later READ needs no copy of it; the store itself
// waits until something looks at MEM that may be the word and does not know what it holds, or until
// the end, and is dropped if the word is written again before. A WRITE whose address has a register in
// it leaves a note on every word that it may be: see emulator/late_places.h.
#pragma once

#include <cstdint>
#include <vector>

#include "emulator/lift.h"

namespace pianola {

class MemoryContents {
 public:
  struct Store {
    Place from = 0;
    uint64_t cycle = 0;
    int slice = 0, word = 0;
  };

  MemoryContents(int slices, int words) : words_(words), slices_(slices) {}
  // Zero: not known.
  Place at(int slice, int64_t word) const {
    const std::vector<Word>& words = slices_[slice];
    return words.empty() ? 0 : words[word].place;
  }
  // Writes that may have been to the word since it was known, and only then, are in `notes`, the
  // latest first.
  uint32_t notes_at(int slice, int64_t word) const {
    const std::vector<Word>& words = slices_[slice];
    return words.empty() ? kNoNote : words[word].note;
  }
  struct Note {
    Place written = 0;
    uint32_t reg = 0, value = 0;  // the word was written if the register has this value
    uint32_t earlier = 0;
  };
  const Note& note(uint32_t number) const { return notes_[number]; }
  static constexpr uint32_t kNoNote = ~uint32_t{0};
  // The word may have been written.
  void annotate(int slice, int64_t word, Place written, uint32_t reg, uint32_t value);
  void write(int slice, int64_t word, Place from, uint64_t cycle);
  // The word was read into `place`.
  void learn(int slice, int64_t word, Place place);
  // Stores that wait in words `first` to `last` - 1, which then wait no more.
  void take_stores(int slice, int64_t first, int64_t last, std::vector<Store>& stores);
  // Something unknown was written, perhaps over what waits here: stores keep waiting, as they come
  // first anyway.
  void forget(int slice, int64_t first, int64_t last);

 private:
  struct Word {
    Place place = 0;  // known content
    Place store = 0;  // waits to be stored
    uint64_t cycle = 0;  // of the write that waits
    uint32_t note = kNoNote;
  };
  std::vector<Word>& words_of(int slice) {
    if (slices_[slice].empty()) slices_[slice].resize(words_);
    return slices_[slice];
  }

  int words_;
  std::vector<Note> notes_;
  std::vector<std::vector<Word>> slices_;  // empty: nothing is known
};

}  // namespace pianola
