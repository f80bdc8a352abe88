// A program around one unit of sim16: vectors from the host into MEM, what the test pushes, vectors back to
// the host. run() plays it on every executor, which must agree, and returns what the host received.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tests/support/build_program.h"

namespace pianola::test {

using Vector = std::vector<uint8_t>;       // a byte per lane
using Patterns = std::vector<uint32_t>;    // 32 bits per lane

Patterns patterns_of(const std::vector<float>& values);
Patterns patterns_of(std::span<const Vector> planes);  // one, two or four
std::vector<float> floats_of(const Patterns& patterns);

class UnitBench {
 public:
  UnitBench();

  ProgramBuilder& builder() { return builder_; }
  int lanes() const { return target_.lanes; }
  // A cycle after everything pushed so far has happened; advances.
  uint64_t later(uint64_t cycles = 64) { return now_ += cycles; }

  void fill(int slice, int address, const Vector& vector);
  // Byte plane b goes to slice first_slice + b.
  void fill(int first_slice, int address, const Patterns& patterns);
  // Brings a word onto a stream so that it passes `position` in cycle `at`; `mask` as in a PUSH:
  // slice k of it uses stream + k.
  void bring(int slice, int address, int position, uint64_t at, int stream, uint32_t mask = 1,
             Timing timing = {}, int s1 = 0);
  // Sends `count` vectors that leave `from` in cycle `drive` on their way west.
  void collect(int from, uint64_t drive, int stream, int count, Timing timing = {});
  // Sends a word of MEM.
  void dump(int slice, int address);
  // Plays the program twice; the output of the first launch, vector by vector.
  std::vector<Vector> run(const std::vector<uint32_t>& registers = {});

 private:
  Target target_;
  ProgramBuilder builder_;
  std::vector<std::byte> host_input_;
  uint64_t now_ = 16;
};

inline Timing repeat(uint32_t n1, uint32_t p1) {
  Timing timing;
  timing.n1 = n1;
  timing.p1 = p1;
  return timing;
}

}  // namespace pianola::test
