// AVX2 with FMA and BMI2. pmaddubsw adds pairs of products of unsigned and signed bytes in 16 bits: exact below 8 bits.
// Up to 6 bits several such sums fit before they are widened; 8 bits are split so that pairs fit, or else multiply in 16
// bits from the start.
#include "ymm-inl.h"

namespace sq {
namespace {

constexpr int FEW_ROWS = 2;

struct PairedDot : BytesOfFour {
  static constexpr bool NARROW = false;
  static VI widen(VI x) { return x; }
  static VI dot(VI sum, VI w, VI a) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(a, w), _mm256_set1_epi16(1)));
  }
  static VI stored_dot(VI sum, VI w, VI a) { return dot(sum, a, w); }
};

struct NarrowDot : BytesOfFour {
  using Wide = PairedDot;
  static constexpr bool NARROW = true;
  static VI widen(VI x) { return _mm256_madd_epi16(x, _mm256_set1_epi16(1)); }
  static VI dot(VI sum, VI w, VI a) { return _mm256_add_epi16(sum, _mm256_maddubs_epi16(a, w)); }
  static VI stored_dot(VI sum, VI w, VI a) { return dot(sum, a, w); }
};

/** For split weights of 8 bits. */
struct SplitDot : PairedDot {
  static VI rest(VI sum, VI w, VI a) { return _mm256_add_epi32(sum, _mm256_madd_epi16(w, a)); }
};

struct WordDot {
  using Split = SplitDot;
  using Activation = int16_t;
  using Weights = VI;
  static constexpr int STEP = 2;
  static constexpr bool NARROW = false;
  static VI widen(VI x) { return x; }
  static VI weights(const uint8_t* p) { return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
  static VI activations(const int16_t* p) { return four_bytes(reinterpret_cast<const uint8_t*>(p)); }
  static VI column(const int16_t* p) { return vb_load(reinterpret_cast<const uint8_t*>(p)); }
  static VI dot(VI sum, VI w, VI a) { return _mm256_add_epi32(sum, _mm256_madd_epi16(w, a)); }
  /** V * W bytes of each of two lines, side by side. */
  template <bool SIGNED, int V>
  static void interleave(const uint8_t* const (&line)[STEP], int64_t at, int16_t* to) {
    for (int v = 0; v < V; v++) {
      const __m128i pairs = _mm_unpacklo_epi8(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(line[0] + at + v * W)),
                                              _mm_loadl_epi64(reinterpret_cast<const __m128i*>(line[1] + at + v * W)));
      vb_store(reinterpret_cast<uint8_t*>(to + v * W * STEP), SIGNED ? _mm256_cvtepi8_epi16(pairs) : _mm256_cvtepu8_epi16(pairs));
    }
  }
};

template <class Use>
inline auto with_dot(int32_t bits, Use use) {
  return bits <= 6 ? use(NarrowDot{}) : bits == 7 ? use(PairedDot{}) : use(WordDot{});
}

}  // namespace
}  // namespace sq

#define SQ_KERNELS avx2_kernels
#define SQ_NAME "avx2"
#include "../all-inl.h"
