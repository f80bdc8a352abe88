#include "compiler/passes/rotary_table.h"

#include <mpfr.h>

namespace pianola {
namespace {

constexpr mpfr_prec_t kWorkingBits = 192;
constexpr mpfr_prec_t kFloatBits = 24;

struct Number {
  explicit Number(mpfr_prec_t bits) { mpfr_init2(value, bits); }
  ~Number() { mpfr_clear(value); }
  Number(const Number&) = delete;
  Number& operator=(const Number&) = delete;
  mpfr_t value;
};

// MPFR keeps constants and numbers for the thread, which may be one that ends. The first object of
// a function, so that it goes last.
struct ThreadCache {
  ~ThreadCache() { mpfr_free_cache2(MPFR_FREE_LOCAL_CACHE); }
};

// log2(e) = 1 / ln 2
void set_log2_e(mpfr_t value) {
  mpfr_const_log2(value, MPFR_RNDN);
  mpfr_ui_div(value, 1, value, MPFR_RNDN);
}

}  // namespace

RotaryTable make_rotary_table(int positions, int head_size, double theta) {
  const int half = head_size / 2;
  const ThreadCache cache;
  RotaryTable table;
  table.cosine.resize(static_cast<size_t>(positions) * half);
  table.sine.resize(table.cosine.size());
  Number frequency(kWorkingBits), exponent(kWorkingBits), angle(kWorkingBits);
  Number cosine(kFloatBits), sine(kFloatBits);
  for (int j = 0; j < half; ++j) {
    mpfr_set_d(frequency.value, theta, MPFR_RNDN);
    mpfr_set_si(exponent.value, -2 * j, MPFR_RNDN);
    mpfr_div_si(exponent.value, exponent.value, head_size, MPFR_RNDN);
    mpfr_pow(frequency.value, frequency.value, exponent.value, MPFR_RNDN);
    for (int position = 0; position < positions; ++position) {
      mpfr_mul_si(angle.value, frequency.value, position, MPFR_RNDN);
      mpfr_sin_cos(sine.value, cosine.value, angle.value, MPFR_RNDN);
      const size_t at = static_cast<size_t>(position) * half + j;
      table.cosine[at] = mpfr_get_flt(cosine.value, MPFR_RNDN);
      table.sine[at] = mpfr_get_flt(sine.value, MPFR_RNDN);
    }
  }
  return table;
}

float score_constant(int head_size) {
  const ThreadCache cache;
  Number value(kWorkingBits), root(kWorkingBits), rounded(kFloatBits);
  set_log2_e(value.value);
  mpfr_sqrt_ui(root.value, static_cast<unsigned long>(head_size), MPFR_RNDN);
  mpfr_mul_ui(root.value, root.value, 127, MPFR_RNDN);
  mpfr_div(rounded.value, value.value, root.value, MPFR_RNDN);
  return mpfr_get_flt(rounded.value, MPFR_RNDN);
}

float minus_log2_e() {
  const ThreadCache cache;
  Number value(kWorkingBits), rounded(kFloatBits);
  set_log2_e(value.value);
  mpfr_neg(rounded.value, value.value, MPFR_RNDN);
  return mpfr_get_flt(rounded.value, MPFR_RNDN);
}

}  // namespace pianola
