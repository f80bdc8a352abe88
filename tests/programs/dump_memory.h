// MEM as every executor can show it: a second entry that sends words of MEM to the host.
#pragma once

#include <vector>

#include "isa/roll.h"

namespace pianola::test {

// Numbers of the words, ascending, by slice.
using WordSets = std::vector<std::vector<int>>;

// The words that a launch of an entry writes.
WordSets written_words(const Roll& roll, int entry, const std::vector<uint32_t>& registers);
// Words of any of the sets.
WordSets merge(const WordSets& a, const WordSets& b);
// Adds an entry that reads these words in order and sends them to the host, and names them as persistent.
// It relies on what other launches wrote, so the verifier would refuse it. Returns its index.
int add_dump_entry(Roll& roll, const WordSets& words);

}  // namespace pianola::test
