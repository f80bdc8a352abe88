#include "emulator/memory_contents.h"

#include <algorithm>

namespace pianola {

void MemoryContents::write(int slice, int64_t word, Place from, uint64_t cycle) {
  words_of(slice)[word] = {from, from, cycle, kNoNote};
}

void MemoryContents::learn(int slice, int64_t word, Place place) {
  Word& known = words_of(slice)[word];
  known.place = place;
  known.note = kNoNote;
}

void MemoryContents::annotate(int slice, int64_t word, Place written, uint32_t reg,
                              uint32_t value) {
  if (at(slice, word) == 0) return;  // stays unknown
  Word& known = slices_[slice][word];
  notes_.push_back({written, reg, value, known.note});
  known.note = static_cast<uint32_t>(notes_.size() - 1);
}

void MemoryContents::take_stores(int slice, int64_t first, int64_t last,
                                 std::vector<Store>& stores) {
  std::vector<Word>& words = slices_[slice];
  if (words.empty()) return;
  for (int64_t i = std::max<int64_t>(first, 0); i < std::min<int64_t>(last, words_); ++i) {
    Word& word = words[i];
    if (word.store == 0) continue;
    stores.push_back({word.store, word.cycle, slice, static_cast<int>(i)});
    word.store = 0;
  }
}

void MemoryContents::forget(int slice, int64_t first, int64_t last) {
  std::vector<Word>& words = slices_[slice];
  if (words.empty()) return;
  for (int64_t i = std::max<int64_t>(first, 0); i < std::min<int64_t>(last, words_); ++i) {
    words[i].place = 0;
    words[i].note = kNoNote;
  }
}

}  // namespace pianola
