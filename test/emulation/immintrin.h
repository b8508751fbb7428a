// AVX-512 and VNNI for processors that lack them, so that every instruction-set file runs in every test run. Found
// before the compiler's own header where CMake's SQ_EMULATE is on. SIMDe gives what it has; the rest stands here, lane
// by lane, as Intel's intrinsics guide defines it. A masked access touches the lanes of its mask only, as the
// processor does, so that the address sanitizer sees a wrong one. What is missing fails to compile: "inlining failed"
// (g++) or "requires target feature" (clang) names it.
#pragma once
#include_next <immintrin.h>

#include <string.h>

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>

namespace sq {
namespace {
namespace emulated {

/** A vector as the array of its lanes. */
template <class T, class Vector>
struct Lanes {
  static constexpr int COUNT = sizeof(Vector) / sizeof(T);
  T v[COUNT];
  Lanes() : v{} {}
  explicit Lanes(Vector x) { memcpy(v, &x, sizeof v); }
  Vector vector() const {
    Vector x;
    memcpy(&x, v, sizeof v);
    return x;
  }
};

/** Lanes of the mask from memory, the others from `rest`. */
template <class T, class Vector>
inline Vector load(Vector rest, uint64_t mask, const void* from) {
  Lanes<T, Vector> r(rest);
  for (int i = 0; i < r.COUNT; i++)
    if (mask >> i & 1) memcpy(r.v + i, static_cast<const T*>(from) + i, sizeof(T));
  return r.vector();
}

template <class T, class Vector>
inline void store(void* to, uint64_t mask, Vector x) {
  const Lanes<T, Vector> lanes(x);
  for (int i = 0; i < lanes.COUNT; i++)
    if (mask >> i & 1) memcpy(static_cast<T*>(to) + i, lanes.v + i, sizeof(T));
}

/** Each lane through `change`; lanes that the result has beyond the argument's are zero. */
template <class From, class To, class Result, class Vector, class Change>
inline Result map(Vector x, Change change) {
  const Lanes<From, Vector> from(x);
  Lanes<To, Result> to;
  for (int i = 0; i < to.COUNT && i < from.COUNT; i++) to.v[i] = change(from.v[i]);
  return to.vector();
}

/** The current rounding, to nearest even; out of range gives the indefinite integer. */
inline int32_t rounded(float x) { return _mm_cvtss_si32(_mm_set_ss(x)); }
inline int32_t truncated(float x) { return _mm_cvttss_si32(_mm_set_ss(x)); }

/** Four (or two) products per lane, added to it without saturation. */
template <class A, class B, class Vector>
inline Vector dot(Vector sum, Vector a, Vector b) {
  constexpr int DEPTH = 4 / sizeof(A);
  Lanes<uint32_t, Vector> r(sum);
  const Lanes<A, Vector> x(a);
  const Lanes<B, Vector> y(b);
  for (int i = 0; i < x.COUNT; i++) r.v[i / DEPTH] += uint32_t(int32_t(x.v[i]) * int32_t(y.v[i]));
  return r.vector();
}

/** Each byte: eight bits of its quadword, rotated right by the control's lower six bits. */
inline __m512i multishift(__m512i control, __m512i x) {
  const Lanes<uint8_t, __m512i> by(control);
  const Lanes<uint64_t, __m512i> from(x);
  Lanes<uint8_t, __m512i> r;
  for (int i = 0; i < 64; i++) {
    const uint64_t word = from.v[i / 8];
    const int shift = by.v[i] & 63;
    r.v[i] = uint8_t(word >> shift | (shift ? word << (64 - shift) : 0));
  }
  return r.vector();
}

/** Bit i of the result: the table's bit for the three bits i. */
inline __m512i ternary(__m512i a, __m512i b, __m512i c, int table) {
  const Lanes<uint64_t, __m512i> x(a), y(b), z(c);
  Lanes<uint64_t, __m512i> r;
  for (int i = 0; i < 8; i++)
    for (int row = 0; row < 8; row++)
      if (table >> row & 1)
        r.v[i] |= (row & 4 ? x.v[i] : ~x.v[i]) & (row & 2 ? y.v[i] : ~y.v[i]) & (row & 1 ? z.v[i] : ~z.v[i]);
  return r.vector();
}

template <class T, class Vector>
inline T sum(Vector x) {
  Lanes<T, Vector> lanes(x);
  for (int half = lanes.COUNT / 2; half >= 1; half /= 2)
    for (int i = 0; i < half; i++) lanes.v[i] = T(lanes.v[i] + lanes.v[i + half]);
  return lanes.v[0];
}

}  // namespace emulated

// Named as the intrinsics, inside the namespace that uses them: there they come before the compiler's own.

#define SQ_MASKED(prefix, suffix, type, vector, zero)                                                                     \
  inline vector prefix##_maskz_loadu_##suffix(uint64_t k, const void* p) { return emulated::load<type>(zero(), k, p); }    \
  inline vector prefix##_mask_loadu_##suffix(vector x, uint64_t k, const void* p) { return emulated::load<type>(x, k, p); } \
  inline void prefix##_mask_storeu_##suffix(void* p, uint64_t k, vector x) { emulated::store<type>(p, k, x); }
SQ_MASKED(_mm, epi8, uint8_t, __m128i, _mm_setzero_si128)
SQ_MASKED(_mm, epi16, uint16_t, __m128i, _mm_setzero_si128)
SQ_MASKED(_mm, epi32, uint32_t, __m128i, _mm_setzero_si128)
SQ_MASKED(_mm, ps, float, __m128, _mm_setzero_ps)
SQ_MASKED(_mm256, epi8, uint8_t, __m256i, _mm256_setzero_si256)
SQ_MASKED(_mm256, epi16, uint16_t, __m256i, _mm256_setzero_si256)
SQ_MASKED(_mm256, epi32, uint32_t, __m256i, _mm256_setzero_si256)
SQ_MASKED(_mm256, ps, float, __m256, _mm256_setzero_ps)
SQ_MASKED(_mm512, epi8, uint8_t, __m512i, _mm512_setzero_si512)
SQ_MASKED(_mm512, epi16, uint16_t, __m512i, _mm512_setzero_si512)
SQ_MASKED(_mm512, epi32, uint32_t, __m512i, _mm512_setzero_si512)
SQ_MASKED(_mm512, epi64, uint64_t, __m512i, _mm512_setzero_si512)
SQ_MASKED(_mm512, ps, float, __m512, _mm512_setzero_ps)
SQ_MASKED(_mm512, pd, double, __m512d, _mm512_setzero_pd)
#undef SQ_MASKED

// Past the caches, or not: what is stored is the same. An address that is no whole vector faults there, and here under
// the sanitizer.
inline void _mm512_stream_ps(void* p, __m512 x) { *static_cast<__m512*>(p) = x; }
inline void _mm512_stream_si512(void* p, __m512i x) { *static_cast<__m512i*>(p) = x; }

#define SQ_MAP(name, from, to, vector, result, change) \
  inline result name(vector x) { return emulated::map<from, to, result>(x, [](from y) { return change(y); }); }
SQ_MAP(_mm512_cvtepi8_epi32, int8_t, int32_t, __m128i, __m512i, int32_t)
SQ_MAP(_mm512_cvtepu8_epi32, uint8_t, int32_t, __m128i, __m512i, int32_t)
SQ_MAP(_mm512_cvtepu8_epi16, uint8_t, int16_t, __m256i, __m512i, int16_t)
SQ_MAP(_mm512_cvtepi16_epi32, int16_t, int32_t, __m256i, __m512i, int32_t)
SQ_MAP(_mm512_cvtepu16_epi32, uint16_t, int32_t, __m256i, __m512i, int32_t)
SQ_MAP(_mm512_cvtepi32_epi8, int32_t, uint8_t, __m512i, __m128i, uint8_t)
SQ_MAP(_mm512_cvtepi32_epi16, int32_t, uint16_t, __m512i, __m256i, uint16_t)
SQ_MAP(_mm256_cvtepi32_epi8, int32_t, uint8_t, __m256i, __m128i, uint8_t)
SQ_MAP(_mm256_cvtepi32_epi16, int32_t, uint16_t, __m256i, __m128i, uint16_t)
SQ_MAP(_mm512_cvtepi32_ps, int32_t, float, __m512i, __m512, float)
SQ_MAP(_mm512_cvtps_epi32, float, int32_t, __m512, __m512i, emulated::rounded)
SQ_MAP(_mm512_cvttps_epi32, float, int32_t, __m512, __m512i, emulated::truncated)
SQ_MAP(_mm512_cvtps_pd, float, double, __m256, __m512d, double)
SQ_MAP(_mm512_cvtpd_ps, double, float, __m512d, __m256, float)
SQ_MAP(_mm512_cvtepi32_pd, int32_t, double, __m256i, __m512d, double)
#undef SQ_MAP
#undef _mm512_cvtepi8_epi16
inline __m512i _mm512_cvtepi8_epi16(__m256i x) {
  return emulated::map<int8_t, int16_t, __m512i>(x, [](int8_t y) { return int16_t(y); });
}

// The dot products of AVX-512 VNNI and of AVX-VNNI.
#undef _mm512_dpbusd_epi32
#undef _mm512_dpwssd_epi32
#undef _mm256_dpbusd_epi32
#undef _mm256_dpwssd_epi32
#undef _mm_dpbusd_epi32
#define SQ_DOT(name, vector, a, b) \
  inline vector name(vector sum, vector x, vector y) { return emulated::dot<a, b>(sum, x, y); }
SQ_DOT(_mm512_dpbusd_epi32, __m512i, uint8_t, int8_t)
SQ_DOT(_mm512_dpwssd_epi32, __m512i, int16_t, int16_t)
SQ_DOT(_mm256_dpbusd_epi32, __m256i, uint8_t, int8_t)
SQ_DOT(_mm256_dpwssd_epi32, __m256i, int16_t, int16_t)
SQ_DOT(_mm256_dpbusd_avx_epi32, __m256i, uint8_t, int8_t)
SQ_DOT(_mm256_dpwssd_avx_epi32, __m256i, int16_t, int16_t)
SQ_DOT(_mm_dpbusd_epi32, __m128i, uint8_t, int8_t)
SQ_DOT(_mm_dpbusd_avx_epi32, __m128i, uint8_t, int8_t)
#undef SQ_DOT

// Shifts by what no constant is: SIMDe asks for one.
#undef _mm512_srli_epi16
#undef _mm512_slli_epi16
inline __m512i _mm512_srli_epi16(__m512i x, unsigned by) {
  return emulated::map<uint16_t, uint16_t, __m512i>(x, [by](uint16_t y) { return uint16_t(by > 15 ? 0 : y >> by); });
}
inline __m512i _mm512_slli_epi16(__m512i x, unsigned by) {
  return emulated::map<uint16_t, uint16_t, __m512i>(x, [by](uint16_t y) { return uint16_t(by > 15 ? 0 : y << by); });
}
#undef _mm512_srai_epi32
inline __m512i _mm512_srai_epi32(__m512i x, unsigned by) {
  return emulated::map<int32_t, int32_t, __m512i>(x, [by](int32_t y) { return y >> (by > 31 ? 31 : by); });
}

#undef _mm512_multishift_epi64_epi8
inline __m512i _mm512_multishift_epi64_epi8(__m512i control, __m512i x) { return emulated::multishift(control, x); }
#undef _mm512_ternarylogic_epi32
#undef _mm512_ternarylogic_epi64
inline __m512i _mm512_ternarylogic_epi32(__m512i a, __m512i b, __m512i c, int table) { return emulated::ternary(a, b, c, table); }
inline __m512i _mm512_ternarylogic_epi64(__m512i a, __m512i b, __m512i c, int table) { return emulated::ternary(a, b, c, table); }

inline float _mm512_reduce_add_ps(__m512 x) { return emulated::sum<float>(x); }
inline double _mm512_reduce_add_pd(__m512d x) { return emulated::sum<double>(x); }
inline int32_t _mm512_reduce_add_epi32(__m512i x) { return int32_t(emulated::sum<uint32_t>(x)); }

}  // namespace
}  // namespace sq
