// AVX-512 (F, BW, VL, DQ) with VNNI: u8 x s8 in one instruction; signed activations are shifted by 128.
#include <immintrin.h>
#include <string.h>

#include "../kernels.h"
#include "../pool.h"

namespace sq {
namespace {

constexpr bool FUSED = true;
constexpr int W = 16, WD = 8, ROWS = 12;

using VF = __m512;
using VI = __m512i;
using VD = __m512d;

inline __mmask16 lanes(int n) { return static_cast<__mmask16>(_bzhi_u32(0xffff, static_cast<uint32_t>(n))); }

inline VF vf_set(float x) { return _mm512_set1_ps(x); }
inline VF vf_load(const float* p) { return _mm512_loadu_ps(p); }
inline VF vf_load_n(const float* p, int n) { return _mm512_maskz_loadu_ps(lanes(n), p); }
inline void vf_store(float* p, VF x) { _mm512_storeu_ps(p, x); }
/** Whole vectors without a mask: masked stores are microcode on some processors. */
inline void vf_store_n(float* p, VF x, int n) {
  if (n == W) return _mm512_storeu_ps(p, x);
  _mm512_mask_storeu_ps(p, lanes(n), x);
}
/** Past the caches; p lies at a whole vector. Whoever reads it waits for stream_end. */
inline void vf_stream(float* p, VF x) { _mm512_stream_ps(p, x); }
inline void stream_end() { _mm_sfence(); }
inline VF vf_add(VF a, VF b) { return _mm512_add_ps(a, b); }
inline VF vf_mul(VF a, VF b) { return _mm512_mul_ps(a, b); }
inline VF vf_muladd(VF a, VF b, VF c) { return _mm512_fmadd_ps(a, b, c); }
inline VF vf_min(VF a, VF b) { return _mm512_min_ps(a, b); }
inline VF vf_max(VF a, VF b) { return _mm512_max_ps(a, b); }

/** Asks for the cache line of p; any address will do. */
inline void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }

inline VD vd_set(double x) { return _mm512_set1_pd(x); }
inline VD vd_load(const double* p) { return _mm512_loadu_pd(p); }
inline VD vd_widen(const float* p) { return _mm512_cvtps_pd(_mm256_loadu_ps(p)); }
inline void vd_store(double* p, VD x) { _mm512_storeu_pd(p, x); }
inline VD vd_add(VD a, VD b) { return _mm512_add_pd(a, b); }
inline VD vd_sub(VD a, VD b) { return _mm512_sub_pd(a, b); }
inline VD vd_mul(VD a, VD b) { return _mm512_mul_pd(a, b); }
/** For exact products only, where fusing changes nothing. */
inline VD vd_exact_muladd(VD a, VD b, VD c) { return _mm512_fmadd_pd(a, b, c); }

// Integer products: unsigned bytes times signed bytes, four deep. What the shift adds is taken away again with
// the column sums of the packed weights.
using Activation = uint8_t;
using Weight = int8_t;
constexpr int STEP = 4;
constexpr bool SHIFTED = true;

inline VI vi_set(int32_t x) { return _mm512_set1_epi32(x); }
inline VI vi_load(const int32_t* p) { return _mm512_loadu_si512(p); }
inline void vi_store_n(int32_t* p, VI x, int n) {
  if (n == W) return _mm512_storeu_si512(p, x);
  _mm512_mask_storeu_epi32(p, lanes(n), x);
}
inline VI vi_add(VI a, VI b) { return _mm512_add_epi32(a, b); }
inline VF vi_float(VI a) { return _mm512_cvtepi32_ps(a); }

inline VI weights_load(const Weight* p) { return _mm512_loadu_si512(p); }
inline VI activations_broadcast(const Activation* p) {
  int32_t four;
  memcpy(&four, p, sizeof four);
  return _mm512_set1_epi32(four);
}
inline VI vi_dot(VI acc, VI w, VI a) {
#if defined(__GNUC__)
  // Not the intrinsic: g++ 12 may copy and spill its accumulators, 2.6 times slower.
  __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(w));
  return acc;
#else
  return _mm512_dpbusd_epi32(acc, a, w);
#endif
}

/** 32 activations, their sign bits flipped where they are signed. */
constexpr int ACTIVATIONS = 32;
inline void activations_copy(const uint8_t* from, Activation* to, int32_t flip, bool) {
  const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_xor_si256(x, _mm256_set1_epi8(static_cast<char>(flip))));
}
inline void activations_copy_n(const uint8_t* from, Activation* to, int32_t flip, bool, int n) {
  const __mmask32 some = _bzhi_u32(0xffffffff, static_cast<uint32_t>(n));
  const __m256i x = _mm256_maskz_loadu_epi8(some, from);
  _mm256_mask_storeu_epi8(to, some, _mm256_xor_si256(x, _mm256_set1_epi8(static_cast<char>(flip))));
}

/** n (<= W) bytes as int32 lanes, the rest zero. */
inline VI bytes_widen(const uint8_t* p, int n, bool is_signed) {
  const __m128i x = n == W ? _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)) : _mm_maskz_loadu_epi8(lanes(n), p);
  return is_signed ? _mm512_cvtepi8_epi32(x) : _mm512_cvtepu8_epi32(x);
}
/** acc + a*w where both fit 16 bits and the upper half of w is zero. */
inline VI vi_short_muladd(VI a, VI w, VI acc) { return _mm512_dpwssd_epi32(acc, a, w); }
/** n bytes of rne(min(max(x, low), high)) + zero_point; the limits are already less the zero point. */
inline void bytes_round_n(uint8_t* p, VF x, VF low, VF high, VI zero_point, int n) {
  const VI q = _mm512_add_epi32(_mm512_cvtps_epi32(vf_min(vf_max(x, low), high)), zero_point);
  const __m128i bytes = _mm512_cvtepi32_epi8(q);
  if (n == W) return _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
  _mm_mask_storeu_epi8(p, lanes(n), bytes);
}

// The limit of integer products (peak-inl.h): calls loop(multiply-adds of a step, step) with the instructions that
// the products of this width are made of; a step takes and gives one vector of sums.
template <class Loop>
int64_t dot_steps(int32_t, Loop loop) {
  const VI w = _mm512_set1_epi8(3);
  return loop(64, [w](VI x) { return vi_dot(x, w, w); });
}

}  // namespace
}  // namespace sq

#define SQ_KERNELS avx512vnni_kernels
#define SQ_NAME "avx512vnni"
#include "../all-inl.h"
