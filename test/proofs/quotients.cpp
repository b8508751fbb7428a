// Quotient of native/quantize-inl.h multiplies in place of dividing. Its product is exact to 2^-22 units of the last
// place before it is rounded, so it differs from the quotient only for an x so near to a midpoint of two floats, which
// of each midpoint the nearest x alone can be; and it is another level only where one of the two floats is a half.
// This tries those x of all levels that a zero point of 8 bits allows, for every significand of a scale.
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static float from_bits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

static uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

int main() {
  constexpr int HALVES = 384;
  static double midpoints[2 * HALVES];
  for (int k = 0; k < HALVES; k++) {
    const float half = static_cast<float>(k) + 0.5f;
    midpoints[2 * k] = (static_cast<double>(half) + static_cast<double>(from_bits(bits_of(half) - 1))) / 2;
    midpoints[2 * k + 1] = (static_cast<double>(half) + static_cast<double>(from_bits(bits_of(half) + 1))) / 2;
  }
  int64_t differences = 0, by_one_product = 0;
  for (uint32_t significand = 0; significand < 1u << 23; significand++) {
    const float scale = from_bits(bits_of(1.0f) | significand), reciprocal = 1 / scale;
    const float rest = static_cast<float>(1 / static_cast<double>(scale) - static_cast<double>(reciprocal));
    int32_t here = 0, simple = 0;
    for (int i = 0; i < 2 * HALVES; i++) {
      const float x = static_cast<float>(midpoints[i] * static_cast<double>(scale)), quotient = x / scale;
      here += fmaf(x, reciprocal, x * rest) != quotient;
      simple += x * reciprocal != quotient;
    }
    differences += here;
    by_one_product += simple;
  }
  printf("%d quotients of each of 2^23 significands: %lld differ; by one product %lld would\n", 2 * HALVES,
         static_cast<long long>(differences), static_cast<long long>(by_one_product));
  return differences == 0 && by_one_product > 0 ? 0 : 1;
}
