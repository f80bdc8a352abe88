// One word of the instruction tape.
#pragma once

#include <array>
#include <cstdint>

namespace pianola {

using Word = std::array<uint64_t, 4>;  // 256 bits; bit 0 is bit 0 of element 0

}  // namespace pianola
