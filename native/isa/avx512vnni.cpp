// AVX-512 (F, BW, VL, DQ) with VNNI: u8 x s8 in one instruction; signed activations are shifted by 128.
#include <immintrin.h>
#include <string.h>

#include "../kernels.h"
#include "../pool.h"

namespace sq {
namespace {

constexpr bool FUSED = true;
constexpr int W = 16, WD = 8, ROWS = 12, REGISTERS = 32;

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
inline VF vf_sub(VF a, VF b) { return _mm512_sub_ps(a, b); }
/** The greater size of the two, a being one already; NaN counts as nothing. */
inline VF vf_max_size(VF a, VF b) { return _mm512_range_ps(a, b, 0b1011); }
inline bool vf_all_below(VF a, VF b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ) == 0xffff; }
inline VF vf_mul(VF a, VF b) { return _mm512_mul_ps(a, b); }
inline VF vf_muladd(VF a, VF b, VF c) { return _mm512_fmadd_ps(a, b, c); }
/** min and max are b where a or b is NaN. */
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

inline VI vi_set(int32_t x) { return _mm512_set1_epi32(x); }
inline VI vi_load(const int32_t* p) { return _mm512_loadu_si512(p); }
inline void vi_store_n(int32_t* p, VI x, int n) {
  if (n == W) return _mm512_storeu_si512(p, x);
  _mm512_mask_storeu_epi32(p, lanes(n), x);
}
inline VI vi_add(VI a, VI b) { return _mm512_add_epi32(a, b); }
inline VF vi_float(VI a) { return _mm512_cvtepi32_ps(a); }

inline VF vf_div(VF a, VF b) { return _mm512_div_ps(a, b); }
/** rne, |x| < 2^22. */
inline VF vf_round(VF x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

// Four vectors of floats beside one of bytes.
constexpr int WB = 4 * W;
using VB = __m512i;

inline VB vb_set(uint8_t x) { return _mm512_set1_epi8(static_cast<char>(x)); }
inline VB vb_load(const uint8_t* p) { return _mm512_loadu_si512(p); }
inline void vb_store(uint8_t* p, VB x) { _mm512_storeu_si512(p, x); }
/** As vf_stream. */
inline void vb_stream(uint8_t* p, VB x) { _mm512_stream_si512(reinterpret_cast<VB*>(p), x); }
/** Modulo 256. */
inline VB vb_add(VB a, VB b) { return _mm512_add_epi8(a, b); }
inline VB vb_sub(VB a, VB b) { return _mm512_sub_epi8(a, b); }
/** Of unsigned bytes. */
inline VB vb_max(VB a, VB b) { return _mm512_max_epu8(a, b); }
inline VB vb_min(VB a, VB b) { return _mm512_min_epu8(a, b); }
inline VB vb_and(VB a, VB b) { return _mm512_and_si512(a, b); }
inline VB vb_or(VB a, VB b) { return _mm512_or_si512(a, b); }
inline VB vb_xor(VB a, VB b) { return _mm512_xor_si512(a, b); }
/** Shifts of 16-bit lanes; the caller masks what crosses bytes. */
inline VB vb_right(VB x, int by) { return _mm512_srli_epi16(x, static_cast<unsigned>(by)); }
inline VB vb_left(VB x, int by) { return _mm512_slli_epi16(x, static_cast<unsigned>(by)); }

#if defined(__GNUC__) && !defined(SQ_EMULATED)
/** Half of a table in two registers. Only where the processor has VBMI. */
__attribute__((target("avx512vbmi"))) int64_t lookup_by_permuting(const uint8_t* a, int64_t n, const uint8_t* table, uint8_t* out) {
  const VB t0 = vb_load(table), t1 = vb_load(table + WB), t2 = vb_load(table + 2 * WB), t3 = vb_load(table + 3 * WB);
  int64_t done = 0;
  for (; done + WB <= n; done += WB) {
    const VB at = vb_load(a + done);
    const VB low = _mm512_permutex2var_epi8(t0, at, t1), high = _mm512_permutex2var_epi8(t2, at, t3);
    vb_store(out + done, _mm512_mask_blend_epi8(_mm512_movepi8_mask(at), low, high));
  }
  return done;
}
inline bool has_vbmi() { return __builtin_cpu_supports("avx512vbmi"); }
#else
inline int64_t lookup_by_permuting(const uint8_t*, int64_t, const uint8_t*, uint8_t*) { return 0; }
inline bool has_vbmi() { return false; }
#endif

/** Sixteen bytes in every part of 128 bits. */
inline VB vb_sixteen(const uint8_t* p) {
  return _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
/** Bytes of the table by the low four bits of each place of its part; zeros for negative places. */
inline VB vb_shuffle(VB table, VB at) { return _mm512_shuffle_epi8(table, at); }
/** a - b of signed bytes, never above a. */
inline VB vb_lower(VB a, VB b) { return _mm512_subs_epi8(a, b); }
#include "tables-inl.h"
inline int64_t lookup_vectors(const uint8_t* a, int64_t n, const uint8_t* table, uint8_t* out) {
  return has_vbmi() ? lookup_by_permuting(a, n, table, out) : lookup_by_shuffles(a, n, table, out);
}

/** The low bytes of rne(x) for |x| < 2^15, in order; NaN gives 0, the low byte of what its conversion gives. */
inline VB vb_round(const VF (&x)[4]) {
  const VI low = _mm512_set1_epi16(255);
  const VI a = _mm512_packs_epi32(_mm512_cvtps_epi32(x[0]), _mm512_cvtps_epi32(x[1]));
  const VI b = _mm512_packs_epi32(_mm512_cvtps_epi32(x[2]), _mm512_cvtps_epi32(x[3]));
  const VI fours = _mm512_packus_epi16(_mm512_and_si512(a, low), _mm512_and_si512(b, low));
  // Each part of 128 bits holds four bytes of every vector.
  return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), fours);
}
inline VI vi_set_words(int16_t x) { return _mm512_set1_epi16(x); }
/**
 * rne(x) + zero, saturated to unsigned bytes, in order; zero in words. `far` where an x is NaN or beyond int32, perhaps
 * also where it is beyond 2^15: then the bytes mean nothing.
 */
inline VB vb_round_from(const VF (&x)[4], VI zero, bool& far) {
  const VI a = _mm512_packs_epi32(_mm512_cvtps_epi32(x[0]), _mm512_cvtps_epi32(x[1]));
  const VI b = _mm512_packs_epi32(_mm512_cvtps_epi32(x[2]), _mm512_cvtps_epi32(x[3]));
  far = _mm512_cmple_epi16_mask(_mm512_min_epi16(a, b), _mm512_set1_epi16(INT16_MIN)) != 0;
  const VI order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return _mm512_permutexvar_epi32(order, _mm512_packus_epi16(_mm512_adds_epi16(a, zero), _mm512_adds_epi16(b, zero)));
}
/** The same of |x| < 2^31. */
inline VB vb_round_from(const VF (&x)[4], VI zero) {
  bool far;
  return vb_round_from(x, zero, far);
}
/** 2 * W of the bytes: the first or the second half. */
inline void vb_store_half(uint8_t* p, VB x, int half) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), half ? _mm512_extracti64x4_epi64(x, 1) : _mm512_castsi512_si256(x));
}
/** W of the bytes. */
inline void vb_store_quarter(uint8_t* p, VB x, int quarter) {
  const __m256i half = quarter < 2 ? _mm512_castsi512_si256(x) : _mm512_extracti64x4_epi64(x, 1);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), quarter % 2 ? _mm256_extracti128_si256(half, 1) : _mm256_castsi256_si128(half));
}
/** n (<= W) bytes as int32 lanes, the rest zero. */
inline VI bytes_widen(const uint8_t* p, int n, bool is_signed) {
  const __m128i x = n == W ? _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)) : _mm_maskz_loadu_epi8(lanes(n), p);
  return is_signed ? _mm512_cvtepi8_epi32(x) : _mm512_cvtepu8_epi32(x);
}

/** Unsigned activations times signed weights, four deep, in one instruction. */
struct Dot {
  using Activation = uint8_t;
  using Weights = VI;
  static constexpr int STEP = 4;
  static constexpr bool NARROW = false;
  static VI widen(VI x) { return x; }
  static VI weights(const uint8_t* p) { return vb_load(p); }
  static VI from_bytes(VB x) { return x; }
  static VI activations(const uint8_t* p) {
    int32_t four;
    memcpy(&four, p, sizeof four);
    return _mm512_set1_epi32(four);
  }
  /** Signed activations as unsigned ones where they lie: beside two dots it costs nothing. */
  static VI flipped(VI a, VB signs) { return _mm512_xor_si512(a, signs); }
  static VI column(const uint8_t* p) { return vb_load(p); }
  static VI dot(VI sum, VI w, VI a) {
#if defined(__GNUC__) && !defined(SQ_EMULATED)
    // Not the intrinsic: g++ 12 may copy and spill its accumulators, 2.6 times slower.
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(w));
    return sum;
#else
    return _mm512_dpbusd_epi32(sum, a, w);
#endif
  }
  static VI stored_dot(VI sum, VI w, VI a) { return dot(sum, a, w); }
  /** A sum without its lowest bits, which are zeros; with so many more where there are less than none. */
  static VI without_low(VI sum, int bits) { return bits > 0 ? _mm512_srai_epi32(sum, static_cast<unsigned>(bits)) : _mm512_slli_epi32(sum, static_cast<unsigned>(-bits)); }
  /** A vector that is used several times: loaded once, not again as an operand of every use. */
  static VB held(VB x) {
#if defined(__GNUC__) && !defined(SQ_EMULATED)
    __asm__("" : "+v"(x));
#endif
    return x;
  }
  /**
   * Both before anything that uses either. Masks in turns with dots leave dots waiting for the pipes that masks took,
   * up to a third longer (Zen 4).
   */
  static void together([[maybe_unused]] VB& a, [[maybe_unused]] VB& b) {
#if defined(__GNUC__) && !defined(SQ_EMULATED)
    __asm__("" : "+v"(a), "+v"(b));
#endif
  }
  /** V * W bytes of each of four lines, side by side. */
  template <bool SIGNED, int V>
  static void interleave(const uint8_t* const (&line)[STEP], int64_t at, uint8_t* to) {
    const auto store = [=](int v, VI x) { vb_store(to + v * W * STEP, SIGNED ? vb_xor(x, vb_set(0x80)) : x); };
    if (V == 2) {
      const auto two = [&](int i, int j) {
        const auto half = [&](int k) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(line[k] + at)); };
        return _mm512_inserti64x4(_mm512_castsi256_si512(half(i)), half(j), 1);
      };
      // Pairs of bytes of two lines, and in the upper half of the others; then one of each for every place.
      const VI even = two(0, 2), odd = two(1, 3);
      const VI low = _mm512_unpacklo_epi8(even, odd), high = _mm512_unpackhi_epi8(even, odd);
      const VI places = _mm512_setr_epi32(0x100000, 0x110001, 0x120002, 0x130003, 0x140004, 0x150005, 0x160006, 0x170007,
                                          0x300020, 0x310021, 0x320022, 0x330023, 0x340024, 0x350025, 0x360026, 0x370027);
      store(0, _mm512_permutex2var_epi16(low, places, high));
      store(1, _mm512_permutex2var_epi16(low, _mm512_add_epi16(places, _mm512_set1_epi16(8)), high));
      return;
    }
    const auto sixteen = [&](int i) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(line[i] + at)); };
    // A line in each quarter; then double words of one place together, then their bytes.
    const VI places = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const VI bytes = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    VI all = _mm512_castsi128_si512(sixteen(0));
    all = _mm512_mask_broadcast_i32x4(all, 0x00f0, sixteen(1));
    all = _mm512_mask_broadcast_i32x4(all, 0x0f00, sixteen(2));
    all = _mm512_mask_broadcast_i32x4(all, 0xf000, sixteen(3));
    store(0, _mm512_shuffle_epi8(_mm512_permutexvar_epi32(places, all), bytes));
  }
};

constexpr int FEW_ROWS = 4;

template <class Use>
inline auto with_dot(int32_t, Use use) {
  return use(Dot{});
}

}  // namespace
}  // namespace sq

#define SQ_KERNELS avx512vnni_kernels
#define SQ_NAME "avx512vnni"
#include "../all-inl.h"
