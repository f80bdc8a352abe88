// Copies of whole vectors: the sizes that there are most often are known to the compiler, which spares
// the call.
#pragma once

#include <cstddef>
#include <cstring>

namespace pianola {

[[gnu::always_inline]] inline void copy_vector(void* to, const void* from, int lanes) {
  if (lanes == 16) {
    std::memcpy(to, from, 16);
  } else if (lanes == 32) {
    std::memcpy(to, from, 32);
  } else {
    std::memcpy(to, from, static_cast<size_t>(lanes));
  }
}

}  // namespace pianola
