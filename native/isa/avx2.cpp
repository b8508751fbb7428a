// AVX2 with FMA and BMI2. Integer products by int16 pairs (pmaddwd): pmaddubsw saturates at 8-bit weights.
#include <immintrin.h>
#include <string.h>

#include "../kernels.h"
#include "../pool.h"

namespace sq {
namespace {

constexpr bool FUSED = true;
constexpr int W = 8, WD = 4, ROWS = 6;

using VF = __m256;
using VI = __m256i;
using VD = __m256d;

/** The first n lanes: all bits set. */
inline VI lanes(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

inline VF vf_set(float x) { return _mm256_set1_ps(x); }
inline VF vf_load(const float* p) { return _mm256_loadu_ps(p); }
inline VF vf_load_n(const float* p, int n) { return _mm256_maskload_ps(p, lanes(n)); }
inline void vf_store(float* p, VF x) { _mm256_storeu_ps(p, x); }
inline void vf_store_n(float* p, VF x, int n) { _mm256_maskstore_ps(p, lanes(n), x); }
/** Past the caches; p lies at a whole vector. Whoever reads it waits for stream_end. */
inline void vf_stream(float* p, VF x) { _mm256_stream_ps(p, x); }
inline void stream_end() { _mm_sfence(); }
inline VF vf_add(VF a, VF b) { return _mm256_add_ps(a, b); }
inline VF vf_mul(VF a, VF b) { return _mm256_mul_ps(a, b); }
inline VF vf_muladd(VF a, VF b, VF c) { return _mm256_fmadd_ps(a, b, c); }
inline VF vf_min(VF a, VF b) { return _mm256_min_ps(a, b); }
inline VF vf_max(VF a, VF b) { return _mm256_max_ps(a, b); }

/** Asks for the cache line of p; any address will do. */
inline void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }

inline VD vd_set(double x) { return _mm256_set1_pd(x); }
inline VD vd_load(const double* p) { return _mm256_loadu_pd(p); }
inline VD vd_widen(const float* p) { return _mm256_cvtps_pd(_mm_loadu_ps(p)); }
inline void vd_store(double* p, VD x) { _mm256_storeu_pd(p, x); }
inline VD vd_add(VD a, VD b) { return _mm256_add_pd(a, b); }
inline VD vd_sub(VD a, VD b) { return _mm256_sub_pd(a, b); }
inline VD vd_mul(VD a, VD b) { return _mm256_mul_pd(a, b); }
/** For exact products only, where fusing changes nothing. */
inline VD vd_exact_muladd(VD a, VD b, VD c) { return _mm256_fmadd_pd(a, b, c); }

// Integer products: int16 pairs, the zero point taken away beforehand.
using Activation = int16_t;
using Weight = int16_t;
constexpr int STEP = 2;
constexpr bool SHIFTED = false;

inline VI vi_set(int32_t x) { return _mm256_set1_epi32(x); }
inline VI vi_load(const int32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const VI*>(p)); }
inline void vi_store_n(int32_t* p, VI x, int n) { _mm256_maskstore_epi32(p, lanes(n), x); }
inline VI vi_add(VI a, VI b) { return _mm256_add_epi32(a, b); }
inline VF vi_float(VI a) { return _mm256_cvtepi32_ps(a); }

inline VI weights_load(const Weight* p) { return _mm256_loadu_si256(reinterpret_cast<const VI*>(p)); }
inline VI activations_broadcast(const Activation* p) {
  int32_t pair;
  memcpy(&pair, p, sizeof pair);
  return _mm256_set1_epi32(pair);
}
inline VI vi_dot(VI acc, VI w, VI a) { return _mm256_add_epi32(acc, _mm256_madd_epi16(w, a)); }

/** 16 activations from their bytes, less the zero point. */
constexpr int ACTIVATIONS = 16;
inline void activations_copy(const uint8_t* from, Activation* to, int32_t zero_point, bool is_signed) {
  const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  const VI wide = is_signed ? _mm256_cvtepi8_epi16(x) : _mm256_cvtepu8_epi16(x);
  _mm256_storeu_si256(reinterpret_cast<VI*>(to), _mm256_sub_epi16(wide, _mm256_set1_epi16(static_cast<int16_t>(zero_point))));
}
inline void activations_copy_n(const uint8_t* from, Activation* to, int32_t zero_point, bool is_signed, int n) {
  for (int i = 0; i < n; i++)
    to[i] = static_cast<Activation>((is_signed ? int32_t(int8_t(from[i])) : int32_t(from[i])) - zero_point);
}

/** n (<= W) bytes as int32 lanes, the rest zero. */
inline VI bytes_widen(const uint8_t* p, int n, bool is_signed) {
  uint64_t eight = 0;
  if (n == W)
    memcpy(&eight, p, W);
  else
    for (int i = 0; i < n; i++) eight |= uint64_t(p[i]) << (8 * i);
  const __m128i x = _mm_cvtsi64_si128(int64_t(eight));
  return is_signed ? _mm256_cvtepi8_epi32(x) : _mm256_cvtepu8_epi32(x);
}
/** acc + a*w where both fit 16 bits and the upper half of w is zero. */
inline VI vi_short_muladd(VI a, VI w, VI acc) { return _mm256_add_epi32(acc, _mm256_madd_epi16(a, w)); }
/** n bytes of rne(min(max(x, low), high)) + zero_point; the limits are already less the zero point. */
inline void bytes_round_n(uint8_t* p, VF x, VF low, VF high, VI zero_point, int n) {
  const VI q = _mm256_add_epi32(_mm256_cvtps_epi32(vf_min(vf_max(x, low), high)), zero_point);
  const VI low_bytes = _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 4, 8, 12,
                                        -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const VI halves = _mm256_shuffle_epi8(q, low_bytes);
  const __m128i eight = _mm_unpacklo_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
  const uint64_t value = uint64_t(_mm_cvtsi128_si64(eight));
  if (n == W)
    memcpy(p, &value, W);
  else
    for (int i = 0; i < n; i++) p[i] = uint8_t(value >> (8 * i));
}

// The limit of integer products (peak-inl.h): calls loop(multiply-adds of a step, step) with the instructions that
// the products of this width are made of; a step takes and gives one vector of sums.
template <class Loop>
int64_t dot_steps(int32_t bits, Loop loop) {
  const VI w = _mm256_set1_epi8(3), ones = _mm256_set1_epi16(1);
  if (bits == 8) return loop(16, [w](VI x) { return _mm256_add_epi32(x, _mm256_madd_epi16(x, w)); });
  if (bits >= 5)
    return loop(32, [w, ones](VI x) {
      return _mm256_add_epi32(x, _mm256_madd_epi16(_mm256_maddubs_epi16(x, w), ones));
    });
  return loop(32, [w](VI x) { return _mm256_add_epi16(x, _mm256_maddubs_epi16(x, w)); });
}

}  // namespace
}  // namespace sq

#define SQ_KERNELS avx2_kernels
#define SQ_NAME "avx2"
#include "../all-inl.h"
