// Rolls as text, both ways and byte for byte: assemble(disassemble(roll)) serializes to the bytes
// of the roll. For reading, for writing small rolls by hand in tests, and for messages.
//
//   # a comment
//   .target                              the machine: its canonical text follows, or .target sim16
//   | name = "sim16"
//   .model architecture="llama" quantization="w8" vocabulary=512 ... eos=2,7
//   .kv vectors=1000
//   .persistent name="weights" slice=3 first_word=16 words=64
//   .entry kind=decode name="decode@256" tokens=1 context=256 cycles=123456 host_send=128
//   output=logits .register index=1 name="position" role=position minimum=0 maximum=255 .tape base=38
//   count=2 repeat=20 stride=-1      also .kv_read, .kv_write .bound name="tape" cycles=1000 nop 12
//   push mem.read slice=3 mask=0xf : start=120 n1=7 p1=1 READ dir=EAST stream=4 address=0x10 s1=1
//   end
//   .data hex                            also .tokenizer; or zstd bytes=N and lines of base64
//   | 00254a6f
//
// The words of an entry follow it. Where entries do not lie one behind the other, every entry has
// first_word= and words= instead, and all words follow a .words line. Fields that are zero are left
// out, except op and the directions that the instruction uses. A word that is no legal instruction
// of the target is written `word` and 64 hexadecimal digits.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "isa/result.h"
#include "isa/roll.h"

namespace pianola {

// The roll must pass check_roll.
std::string disassemble(const Roll& roll);

struct AssembleOptions {
  // Compressed blocks may be small in the text and huge in memory.
  uint64_t section_bytes_max = uint64_t{1} << 30;
};
// Errors name the line. The result passes check_roll.
Result<Roll> assemble(std::string_view text, std::string_view where,
                      const AssembleOptions& options = {});

// One instruction as one line, without the line's end: "nop 12", "push ...", "end", "word ...".
std::string disassemble_word(const Target& target, const Word& word);
Result<Word> assemble_word(const Target& target, std::string_view line);

}  // namespace pianola
