// Inputs for the tests of the arithmetic: the borders of fp32 and random bit patterns shaped so
// that ties, cancellation, overflow and underflow are frequent. Seeds are explicit.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <vector>

namespace pianola {

// PIANOLA_LONG=1 asks for the exhaustive sweeps and the 10^8 random vectors.
inline bool long_tests() {
  const char* value = std::getenv("PIANOLA_LONG");
  return value != nullptr && value[0] == '1';
}

// splitmix64.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    state_ += 0x9e3779b97f4a7c15u;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

 private:
  uint64_t state_;
};

// Both signs of zeros, subnormals, the smallest normals, powers of two and their neighbours,
// integer and half-integer borders of the conversions, the largest numbers, infinity and NaNs.
inline std::vector<uint32_t> directed_values() {
  std::vector<uint32_t> magnitudes = {
      0x00000000, 0x00000001, 0x00000002, 0x00400000, 0x007ffffe, 0x007fffff, 0x7f7ffffe,
      0x7f7fffff, 0x7f800000, 0x7f800001, 0x7fa00000, 0x7fbfffff, 0x7fc00000, 0x7fc00001,
      0x7fffffff, 0x3effffff, 0x3f000001, 0x42fe0000, 0x42fe8000, 0x42ff0000, 0x42ffffff,
      0x4effffff, 0x477fe000, 0x477fefff, 0x477ff000, 0x477fffff, 0x387fc000, 0x387fe000,
      0x387ff000, 0x33000001, 0x3f008000, 0x3f018000, 0x3f7f8000, 0x3f7fffff, 0x3f800001,
      0x3fb504f3, 0x3fb504f4, 0x3fbfffff, 0x3fc00000, 0x3fc00001, 0x42fbffff, 0x42fc0000,
      0x42fc0001, 0x42ffffff, 0x43000000, 0x43000001, 0x3f801000, 0x3f803000, 0x7f7f8000,
      0x7f7f7fff, 0x4b7fffff, 0x4b800001};
  for (uint32_t exponent = 1; exponent < 255; ++exponent) {
    const bool border = exponent < 4 || exponent > 250 || (exponent > 100 && exponent < 160);
    if (!border && exponent % 8 != 0) continue;
    magnitudes.push_back(exponent << 23);
    if (border) {
      magnitudes.push_back((exponent << 23) | 1u);
      magnitudes.push_back((exponent << 23) | 0x7fffffu);
      magnitudes.push_back((exponent << 23) | 0x400000u);
    }
  }
  std::vector<uint32_t> values;
  for (const uint32_t magnitude : magnitudes) {
    values.push_back(magnitude);
    values.push_back(magnitude | 0x80000000u);
  }
  return values;
}

struct Operands {
  uint32_t a, b;
};

// A pair in one of eight shapes, chosen by `kind`.
inline Operands random_operands(Random& random, uint64_t kind) {
  const uint64_t bits = random.next();
  uint32_t a = static_cast<uint32_t>(bits);
  uint32_t b = static_cast<uint32_t>(bits >> 32);
  const uint32_t sparse = 0xff800000u | (0x7fffffu << ((bits >> 17) % 24));
  switch (kind & 7u) {
    case 0:  // any bits
      break;
    case 1:  // near exponents: cancellation and alignment
      b = (b & 0x807fffffu) | ((a + (((b >> 23) % 60u) << 23) - (30u << 23)) & 0x7f800000u);
      break;
    case 2:  // product near the smallest normal
      b = (b & 0x807fffffu) |
          ((0x3f800000u - (a & 0x7f800000u) + ((b >> 23) % 4u << 23)) & 0x7f800000u);
      break;
    case 3:  // product near the largest
      b = (b & 0x807fffffu) |
          ((0xbe800000u - (a & 0x7f800000u) + ((b >> 23) % 4u << 23)) & 0x7f800000u);
      break;
    case 4:  // few significand bits: ties
      a &= sparse;
      b &= 0xff800000u | (0x7fffffu << ((bits >> 5) % 24));
      b = (b & 0x807fffffu) | ((a + (((b >> 23) % 60u) << 23) - (30u << 23)) & 0x7f800000u);
      break;
    case 5:  // near equal magnitudes
      b = (a ^ (b & 0x80000000u)) + ((b >> 8) & 7u) - 3u;
      break;
    case 6:  // both small
      a &= 0x83ffffffu;
      b &= 0x83ffffffu;
      break;
    default:  // all-ones and all-zeros runs
      a = (a & 0xff800000u) |
          ((a & 1u) != 0 ? (a & 0x7fffffu) >> ((bits >> 40) % 24)
                         : 0x7fffffu & ~((a & 0x7fffffu) >> ((bits >> 40) % 24)));
      b = (b & 0xff800000u) | (0x7fffffu & ~((b & 0x7fffffu) >> ((bits >> 9) % 24)));
      break;
  }
  return {a, b};
}

}  // namespace pianola
