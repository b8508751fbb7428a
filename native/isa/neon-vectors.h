// What the arm64 instruction sets share: vectors of 128 bits of which every arm64 processor has 32. Included by
// isa/neon*.cpp and isa/i8mm.cpp; the integer products stand there.
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

/** n (<= W) bytes as int32 lanes, the rest zero. */
inline VI bytes_widen(const uint8_t* p, int n, bool is_signed) {
  uint32_t four = 0;
  if (n == W)
    memcpy(&four, p, W);
  else
    for (int i = 0; i < n; i++) four |= uint32_t(p[i]) << (8 * i);
  const uint8x8_t x = vreinterpret_u8_u32(vdup_n_u32(four));
  return is_signed ? vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u8(x))))
                   : vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(vmovl_u8(x))));
}
/** acc + a*w where both fit 16 bits and the upper half of w is zero. */
inline VI vi_short_muladd(VI a, VI w, VI acc) { return vmlal_s16(acc, vmovn_s32(a), vmovn_s32(w)); }
/** n bytes of rne(min(max(x, low), high)) + zero_point; the limits are already less the zero point. */
inline void bytes_round_n(uint8_t* p, VF x, VF low, VF high, VI zero_point, int n) {
  const int16x4_t q = vmovn_s32(vaddq_s32(vcvtnq_s32_f32(vf_min(vf_max(x, low), high)), zero_point));
  const uint8x8_t bytes = vmovn_u16(vreinterpretq_u16_s16(vcombine_s16(q, q)));
  const uint32_t four = vget_lane_u32(vreinterpret_u32_u8(bytes), 0);
  if (n == W)
    memcpy(p, &four, W);
  else
    for (int i = 0; i < n; i++) p[i] = uint8_t(four >> (8 * i));
}

}  // namespace
}  // namespace sq
