// Rotary position tables, correctly rounded: compile-time constants must not depend on a libm.
#pragma once

#include <vector>

namespace pianola {

struct RotaryTable {
  std::vector<float> cosine, sine;  // [positions][half]
};

// cos and sin of position * theta^(-2 j / head_size), j < half = head_size / 2.
RotaryTable make_rotary_table(int positions, int head_size, double theta);

// fp32 nearest to log2(e) / (127 sqrt(head_size)), and to -log2(e).
float score_constant(int head_size);
float minus_log2_e();

}  // namespace pianola
