// 256-bit vectors with FMA and BMI2: what AVX2 and AVX-VNNI share. Included by isa/NAME.cpp, which adds its integer dots.
#include <immintrin.h>
#include <string.h>

#include "../kernels.h"
#include "../pool.h"

namespace sq {
namespace {

constexpr bool FUSED = true;
constexpr int W = 8, WD = 4, ROWS = 6, REGISTERS = 16;

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
inline VF vf_sub(VF a, VF b) { return _mm256_sub_ps(a, b); }
/** The greater size of the two, a being one already; NaN counts as nothing. */
inline VF vf_max_size(VF a, VF b) { return _mm256_max_ps(_mm256_andnot_ps(_mm256_set1_ps(-0.0f), b), a); }
inline bool vf_all_below(VF a, VF b) { return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_LT_OQ)) == 0xff; }
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

inline VI vi_set(int32_t x) { return _mm256_set1_epi32(x); }
inline VI vi_load(const int32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const VI*>(p)); }
inline void vi_store_n(int32_t* p, VI x, int n) {
  if (n == W) return _mm256_storeu_si256(reinterpret_cast<VI*>(p), x);
  _mm256_maskstore_epi32(p, lanes(n), x);
}
inline VI vi_add(VI a, VI b) { return _mm256_add_epi32(a, b); }
inline VF vi_float(VI a) { return _mm256_cvtepi32_ps(a); }

inline VF vf_div(VF a, VF b) { return _mm256_div_ps(a, b); }
/** rne, |x| < 2^22. */
inline VF vf_round(VF x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

// Four vectors of floats beside one of bytes.
constexpr int WB = 4 * W;
using VB = __m256i;

inline VB vb_set(uint8_t x) { return _mm256_set1_epi8(static_cast<char>(x)); }
inline VB vb_load(const uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const VB*>(p)); }
inline void vb_store(uint8_t* p, VB x) { _mm256_storeu_si256(reinterpret_cast<VB*>(p), x); }
/** As vf_stream. */
inline void vb_stream(uint8_t* p, VB x) { _mm256_stream_si256(reinterpret_cast<VB*>(p), x); }
/** Modulo 256. */
inline VB vb_add(VB a, VB b) { return _mm256_add_epi8(a, b); }
inline VB vb_sub(VB a, VB b) { return _mm256_sub_epi8(a, b); }
/** Of unsigned bytes. */
inline VB vb_max(VB a, VB b) { return _mm256_max_epu8(a, b); }
inline VB vb_min(VB a, VB b) { return _mm256_min_epu8(a, b); }
inline VB vb_and(VB a, VB b) { return _mm256_and_si256(a, b); }
inline VB vb_or(VB a, VB b) { return _mm256_or_si256(a, b); }
inline VB vb_xor(VB a, VB b) { return _mm256_xor_si256(a, b); }
/** Shifts of 16-bit lanes; the caller masks what crosses bytes. */
inline VB vb_right(VB x, int by) { return _mm256_srli_epi16(x, by); }
inline VB vb_left(VB x, int by) { return _mm256_slli_epi16(x, by); }

/** Sixteen bytes in every part of 128 bits. */
inline VB vb_sixteen(const uint8_t* p) {
  return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
/** Bytes of the table by the low four bits of each place of its part; zeros for negative places. */
inline VB vb_shuffle(VB table, VB at) { return _mm256_shuffle_epi8(table, at); }
/** a - b of signed bytes, never above a. */
inline VB vb_lower(VB a, VB b) { return _mm256_subs_epi8(a, b); }
#include "tables-inl.h"
inline int64_t lookup_vectors(const uint8_t* a, int64_t n, const uint8_t* table, uint8_t* out) {
  return lookup_by_shuffles(a, n, table, out);
}

/** The low bytes of rne(x) for |x| < 2^15, in order; NaN gives 0, the low byte of what its conversion gives. */
inline VB vb_round(const VF (&x)[4]) {
  const VI low = _mm256_set1_epi16(255);
  const VI a = _mm256_packs_epi32(_mm256_cvtps_epi32(x[0]), _mm256_cvtps_epi32(x[1]));
  const VI b = _mm256_packs_epi32(_mm256_cvtps_epi32(x[2]), _mm256_cvtps_epi32(x[3]));
  const VI fours = _mm256_packus_epi16(_mm256_and_si256(a, low), _mm256_and_si256(b, low));
  // Each part of 128 bits holds four bytes of every vector.
  return _mm256_permutevar8x32_epi32(fours, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}
inline VI vi_set_words(int16_t x) { return _mm256_set1_epi16(x); }
/**
 * rne(x) + zero, saturated to unsigned bytes, in order; zero in words. `far` where an x is NaN or beyond int32, perhaps
 * also where it is beyond 2^15: then the bytes mean nothing.
 */
inline VB vb_round_from(const VF (&x)[4], VI zero, bool& far) {
  const VI a = _mm256_packs_epi32(_mm256_cvtps_epi32(x[0]), _mm256_cvtps_epi32(x[1]));
  const VI b = _mm256_packs_epi32(_mm256_cvtps_epi32(x[2]), _mm256_cvtps_epi32(x[3]));
  far = _mm256_movemask_epi8(_mm256_cmpeq_epi16(_mm256_min_epi16(a, b), _mm256_set1_epi16(INT16_MIN))) != 0;
  const VI fours = _mm256_packus_epi16(_mm256_adds_epi16(a, zero), _mm256_adds_epi16(b, zero));
  return _mm256_permutevar8x32_epi32(fours, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}
/** The same of |x| < 2^31. */
inline VB vb_round_from(const VF (&x)[4], VI zero) {
  bool far;
  return vb_round_from(x, zero, far);
}
/** 2 * W of the bytes: the first or the second half. */
inline void vb_store_half(uint8_t* p, VB x, int half) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), half ? _mm256_extracti128_si256(x, 1) : _mm256_castsi256_si128(x));
}
/** W of the bytes. */
inline void vb_store_quarter(uint8_t* p, VB x, int quarter) {
  const __m128i half = quarter < 2 ? _mm256_castsi256_si128(x) : _mm256_extracti128_si256(x, 1);
  if (quarter % 2)
    _mm_storeh_pi(reinterpret_cast<__m64*>(p), _mm_castsi128_ps(half));  // of any alignment, unlike a double's
  else
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), half);
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

inline VI four_bytes(const uint8_t* p) {
  int32_t four;
  memcpy(&four, p, sizeof four);
  return _mm256_set1_epi32(four);
}

/** Unsigned activations times signed weights, four deep, as bytes. */
struct BytesOfFour {
  using Activation = uint8_t;
  using Weights = VI;
  static constexpr int STEP = 4;
  static VI weights(const uint8_t* p) { return vb_load(p); }
  static VI from_bytes(VB x) { return x; }
  static VI activations(const uint8_t* p) { return four_bytes(p); }
  static VI column(const uint8_t* p) { return vb_load(p); }
  /** V * W bytes of each of four lines, side by side. */
  template <bool SIGNED, int V>
  static void interleave(const uint8_t* const (&line)[STEP], int64_t at, uint8_t* to) {
    const __m128i flip = _mm_set1_epi8(static_cast<char>(SIGNED ? 0x80 : 0));
    const auto load = [&](int i) {
      const auto* p = reinterpret_cast<const __m128i*>(line[i] + at);
      const __m128i x = V == 2 ? _mm_loadu_si128(p) : _mm_loadl_epi64(p);
      return SIGNED ? _mm_xor_si128(x, flip) : x;
    };
    const auto store = [&](int i, __m128i x) { _mm_storeu_si128(reinterpret_cast<__m128i*>(to) + i, x); };
    const __m128i a = load(0), b = load(1), c = load(2), d = load(3);
    const __m128i upper = _mm_unpacklo_epi8(a, b), lower = _mm_unpacklo_epi8(c, d);
    store(0, _mm_unpacklo_epi16(upper, lower));
    store(1, _mm_unpackhi_epi16(upper, lower));
    if (V == 1) return;
    const __m128i upper2 = _mm_unpackhi_epi8(a, b), lower2 = _mm_unpackhi_epi8(c, d);
    store(2, _mm_unpacklo_epi16(upper2, lower2));
    store(3, _mm_unpackhi_epi16(upper2, lower2));
  }
};

}  // namespace
}  // namespace sq
