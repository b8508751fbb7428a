// AVX-VNNI: unsigned times signed bytes, four deep, in one instruction of 256 bits.
#include "ymm-inl.h"

namespace sq {
namespace {

constexpr int FEW_ROWS = 2;

struct Dot : BytesOfFour {
  static constexpr bool NARROW = false;
  static VI widen(VI x) { return x; }
  static VI dot(VI sum, VI w, VI a) {
#if defined(__GNUC__) && !defined(SQ_EMULATED)
    // Not the intrinsic: g++ 12 may copy and spill its accumulators, 2.6 times slower.
    __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(a), "x"(w));
    return sum;
#else
    return _mm256_dpbusd_avx_epi32(sum, a, w);
#endif
  }
  static VI stored_dot(VI sum, VI w, VI a) { return dot(sum, a, w); }
  /** A sum without its lowest bits, which are zeros; with so many more where there are less than none. */
  static VI without_low(VI sum, int bits) { return bits > 0 ? _mm256_srai_epi32(sum, bits) : _mm256_slli_epi32(sum, -bits); }
  /** A vector that is used several times: loaded once, not again as an operand of every use. */
  static VB held(VB x) {
#if defined(__GNUC__) && !defined(SQ_EMULATED)
    __asm__("" : "+x"(x));
#endif
    return x;
  }
  static void together(VB&, VB&) {}
};

template <class Use>
inline auto with_dot(int32_t, Use use) {
  return use(Dot{});
}

}  // namespace
}  // namespace sq

#define SQ_KERNELS avxvnni_kernels
#define SQ_NAME "avxvnni"
#include "../all-inl.h"
