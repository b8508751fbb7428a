// What the arm64 instruction sets share: vectors of 128 bits of which every arm64 processor has 32. Included by
// isa/NAME.cpp, which adds its integer dots.
#pragma once
#include <arm_neon.h>
#include <string.h>

#include "../kernels.h"
#include "../pool.h"

namespace sq {
namespace {

constexpr bool FUSED = true;
constexpr int W = 4, WD = 2;

using VF = float32x4_t;
using VI = int32x4_t;
using VD = float64x2_t;

inline VF vf_set(float x) { return vdupq_n_f32(x); }
inline VF vf_load(const float* p) { return vld1q_f32(p); }
inline VF vf_load_n(const float* p, int n) {
  if (n == W) return vld1q_f32(p);
  const VF zero = vdupq_n_f32(0);
  if (n < 2) return n < 1 ? zero : vld1q_lane_f32(p, zero, 0);
  const VF two = vcombine_f32(vld1_f32(p), vget_high_f32(zero));
  return n < 3 ? two : vld1q_lane_f32(p + 2, two, 2);
}
inline void vf_store(float* p, VF x) { vst1q_f32(p, x); }
inline void vf_store_n(float* p, VF x, int n) {
  if (n == W) return vst1q_f32(p, x);
  if (n & 2) vst1_f32(p, vget_low_f32(x));
  if (n == 3) vst1q_lane_f32(p + 2, x, 2);
  if (n == 1) vst1q_lane_f32(p, x, 0);
}
/** The processors see by themselves that whole lines are written and do not fetch them. */
inline void vf_stream(float* p, VF x) { vst1q_f32(p, x); }
inline void stream_end() {}
inline VF vf_add(VF a, VF b) { return vaddq_f32(a, b); }
inline VF vf_mul(VF a, VF b) { return vmulq_f32(a, b); }
inline VF vf_muladd(VF a, VF b, VF c) { return vfmaq_f32(c, a, b); }
/** As on x86, b where they compare false (NaN, two zeros): fmin and fmax would differ there. */
inline VF vf_min(VF a, VF b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
inline VF vf_max(VF a, VF b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }

/** Asks for the cache line of p; any address will do. */
inline void prefetch(const void* p) {
#if defined(__GNUC__)
  __builtin_prefetch(p);
#else
  __prefetch(p);
#endif
}

inline VD vd_set(double x) { return vdupq_n_f64(x); }
inline VD vd_load(const double* p) { return vld1q_f64(p); }
inline VD vd_widen(const float* p) { return vcvt_f64_f32(vld1_f32(p)); }
inline void vd_store(double* p, VD x) { vst1q_f64(p, x); }
inline VD vd_add(VD a, VD b) { return vaddq_f64(a, b); }
inline VD vd_sub(VD a, VD b) { return vsubq_f64(a, b); }
inline VD vd_mul(VD a, VD b) { return vmulq_f64(a, b); }
/** For exact products only, where fusing changes nothing. */
inline VD vd_exact_muladd(VD a, VD b, VD c) { return vfmaq_f64(c, a, b); }

inline VI vi_set(int32_t x) { return vdupq_n_s32(x); }
inline VI vi_load(const int32_t* p) { return vld1q_s32(p); }
inline void vi_store_n(int32_t* p, VI x, int n) {
  vf_store_n(reinterpret_cast<float*>(p), vreinterpretq_f32_s32(x), n);
}
inline VI vi_add(VI a, VI b) { return vaddq_s32(a, b); }
inline VF vi_float(VI a) { return vcvtq_f32_s32(a); }

using VB = uint8x16_t;
inline VB vb_set(uint8_t x) { return vdupq_n_u8(x); }
inline VB vb_load(const uint8_t* p) { return vld1q_u8(p); }
inline void vb_store(uint8_t* p, VB x) { vst1q_u8(p, x); }
inline VB vb_and(VB a, VB b) { return vandq_u8(a, b); }
inline VB vb_or(VB a, VB b) { return vorrq_u8(a, b); }
inline VB vb_xor(VB a, VB b) { return veorq_u8(a, b); }
inline VB vb_sub(VB a, VB b) { return vsubq_u8(a, b); }
/** Operators: the intrinsics want a constant, which `by` is only once it is inlined. */
inline VB vb_right(VB x, int by) { return x >> static_cast<uint8_t>(by); }
inline VB vb_left(VB x, int by) { return x << static_cast<uint8_t>(by); }

/** rne(min(max(x, low), high)) + zero_point; the limits are already less the zero point. */
struct Rounding {
  VF low, high;
  VB zero_point;
};
inline Rounding rounding(float low, float high, int32_t zero_point) {
  return {vf_set(low), vf_set(high), vb_set(static_cast<uint8_t>(zero_point))};
}
inline int16x4_t rounded(VF x, const Rounding& r) { return vmovn_s32(vcvtnq_s32_f32(vf_min(vf_max(x, r.low), r.high))); }

/** Four vectors to bytes, one after the other. */
inline VB bytes_round_four(const VF (&x)[4], const Rounding& r) {
  const int16x8_t first = vcombine_s16(rounded(x[0], r), rounded(x[1], r));
  const int16x8_t second = vcombine_s16(rounded(x[2], r), rounded(x[3], r));
  return vaddq_u8(vreinterpretq_u8_s8(vcombine_s8(vmovn_s16(first), vmovn_s16(second))), r.zero_point);
}
/** 2 * W of the bytes: the first or the second half. */
inline void vb_store_half(uint8_t* p, VB x, int half) { vst1_u8(p, half ? vget_high_u8(x) : vget_low_u8(x)); }
/** W of the bytes. */
inline void vb_store_quarter(uint8_t* p, VB x, int quarter) {
  uint32_t fours[4];
  vst1q_u32(fours, vreinterpretq_u32_u8(x));
  memcpy(p, fours + quarter, W);
}
/** One vector, n bytes of it. */
inline void bytes_store_n(uint8_t* p, VF x, const Rounding& r, int n) {
  const int16x4_t words = rounded(x, r);
  const int8x8_t bytes = vmovn_s16(vcombine_s16(words, words));
  const uint32_t four = vget_lane_u32(vreinterpret_u32_u8(vadd_u8(vreinterpret_u8_s8(bytes), vget_low_u8(r.zero_point))), 0);
  if (n == W)
    memcpy(p, &four, W);
  else
    for (int i = 0; i < n; i++) p[i] = static_cast<uint8_t>(four >> (8 * i));
}

/** Four bytes in the first lane: dots take them from there for all columns. */
inline uint8x8_t four_bytes(const uint8_t* p) {
  uint32_t four;
  memcpy(&four, p, sizeof four);
  return vreinterpret_u8_u32(vset_lane_u32(four, vdup_n_u32(0), 0));
}

/** V * W bytes of each of two lines, side by side; the bits of `flip` flipped. */
template <int V>
inline VB side_by_side(const uint8_t* p, const uint8_t* q, uint8_t flip) {
  const uint8x8_t x = V == 2 ? vld1_u8(p) : four_bytes(p), y = V == 2 ? vld1_u8(q) : four_bytes(q);
  return vb_xor(vcombine_u8(vzip1_u8(x, y), vzip2_u8(x, y)), vb_set(flip));
}

/** Weights of four columns and activations A, four deep, as bytes. */
template <class A>
struct BytesOfFour {
  using Activation = A;
  using Weights = int8x16_t;
  static constexpr int STEP = 4;
  static constexpr bool NARROW = false;
  static VI widen(VI x) { return x; }
  static Weights weights(const uint8_t* p) { return vreinterpretq_s8_u8(vb_load(p)); }
  static Weights from_bytes(VB x) { return vreinterpretq_s8_u8(x); }
  static constexpr uint8_t flip(bool is_signed) { return is_signed == (A(-1) < A(0)) ? 0 : 0x80; }
  /** V * W bytes of each of four lines, side by side. */
  template <bool SIGNED, int V>
  static void interleave(const uint8_t* const (&line)[STEP], int64_t at, A* to) {
    auto* bytes = reinterpret_cast<uint8_t*>(to);
    const uint16x8_t upper = vreinterpretq_u16_u8(side_by_side<V>(line[0] + at, line[1] + at, flip(SIGNED)));
    const uint16x8_t lower = vreinterpretq_u16_u8(side_by_side<V>(line[2] + at, line[3] + at, flip(SIGNED)));
    vb_store(bytes, vreinterpretq_u8_u16(vzip1q_u16(upper, lower)));
    if (V == 2) vb_store(bytes + 4 * W, vreinterpretq_u8_u16(vzip2q_u16(upper, lower)));
  }
};

}  // namespace
}  // namespace sq
