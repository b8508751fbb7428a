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
constexpr int W = 4, WD = 2, REGISTERS = 32;

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
inline VF vf_sub(VF a, VF b) { return vsubq_f32(a, b); }
/** The greater size of the two, a being one already; NaN counts as nothing. */
inline VF vf_max_size(VF a, VF b) { return vmaxnmq_f32(vabsq_f32(b), a); }
inline bool vf_all_below(VF a, VF b) { return vminvq_u32(vcltq_f32(a, b)) != 0; }
inline VF vf_mul(VF a, VF b) { return vmulq_f32(a, b); }
inline VF vf_muladd(VF a, VF b, VF c) { return vfmaq_f32(c, a, b); }
/** min and max are b where a or b is NaN, unlike fmin and fmax. */
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

inline VF vf_div(VF a, VF b) { return vdivq_f32(a, b); }
/** rne, |x| < 2^22. */
inline VF vf_round(VF x) { return vrndnq_f32(x); }

// Four vectors of floats beside one of bytes.
constexpr int WB = 4 * W;
using VB = uint8x16_t;

inline VB vb_set(uint8_t x) { return vdupq_n_u8(x); }
inline VB vb_load(const uint8_t* p) { return vld1q_u8(p); }
inline void vb_store(uint8_t* p, VB x) { vst1q_u8(p, x); }
/** As vf_stream. */
inline void vb_stream(uint8_t* p, VB x) { vst1q_u8(p, x); }
/** Modulo 256. */
inline VB vb_add(VB a, VB b) { return vaddq_u8(a, b); }
inline VB vb_sub(VB a, VB b) { return vsubq_u8(a, b); }
/** Of unsigned bytes. */
inline VB vb_max(VB a, VB b) { return vmaxq_u8(a, b); }
inline VB vb_min(VB a, VB b) { return vminq_u8(a, b); }
inline VB vb_and(VB a, VB b) { return vandq_u8(a, b); }
inline VB vb_or(VB a, VB b) { return vorrq_u8(a, b); }
inline VB vb_xor(VB a, VB b) { return veorq_u8(a, b); }
/** Operators: the intrinsics want a constant, which `by` is only once it is inlined. */
inline VB vb_right(VB x, int by) { return x >> static_cast<uint8_t>(by); }
inline VB vb_left(VB x, int by) { return x << static_cast<uint8_t>(by); }

/** As far as whole vectors reach: out[i] = table[a[i]]; returns how many were done. out may be a. */
inline int64_t lookup_vectors(const uint8_t* a, int64_t n, const uint8_t* table, uint8_t* out) {
  const auto quarter = [=](int i) { return vld1q_u8_x4(table + 64 * i); };
  const uint8x16x4_t first = quarter(0), second = quarter(1), third = quarter(2), fourth = quarter(3);
  const VB size = vb_set(64);
  int64_t done = 0;
  for (; done + WB <= n; done += WB) {
    VB at = vb_load(a + done), found = vqtbl4q_u8(first, at);  // places beyond a table leave what was found
    found = vqtbx4q_u8(found, second, at = vb_sub(at, size));
    found = vqtbx4q_u8(found, third, at = vb_sub(at, size));
    vb_store(out + done, vqtbx4q_u8(found, fourth, vb_sub(at, size)));
  }
  return done;
}

/** The low bytes of rne(x) for |x| < 2^15, in order; NaN gives 0. */
inline VB vb_round(const VF (&x)[4]) {
  const auto words = [&](int i) {
    return vcombine_s16(vmovn_s32(vcvtnq_s32_f32(x[i])), vmovn_s32(vcvtnq_s32_f32(x[i + 1])));
  };
  return vreinterpretq_u8_s8(vcombine_s8(vmovn_s16(words(0)), vmovn_s16(words(2))));
}
inline VI vi_set_words(int16_t x) { return vreinterpretq_s32_s16(vdupq_n_s16(x)); }
/** rne(x) + zero, saturated to unsigned bytes, in order; |x| < 2^31, zero in words. */
inline VB vb_round_from(const VF (&x)[4], VI zero) {
  const auto words = [&](int i) {
    const int16x8_t pair = vcombine_s16(vqmovn_s32(vcvtnq_s32_f32(x[i])), vqmovn_s32(vcvtnq_s32_f32(x[i + 1])));
    return vqmovun_s16(vqaddq_s16(pair, vreinterpretq_s16_s32(zero)));
  };
  return vcombine_u8(words(0), words(2));
}
/**
 * The same of any x. `far` where one is NaN or beyond int32, perhaps also where it is beyond 2^15: then the bytes mean
 * nothing.
 */
inline VB vb_round_from(const VF (&x)[4], VI zero, bool& far) {
  const float32x4_t limit = vdupq_n_f32(0x1p15f);
  const uint32x4_t first = vandq_u32(vcaltq_f32(x[0], limit), vcaltq_f32(x[1], limit));
  const uint32x4_t second = vandq_u32(vcaltq_f32(x[2], limit), vcaltq_f32(x[3], limit));
  far = vminvq_u32(vandq_u32(first, second)) == 0;
  return vb_round_from(x, zero);
}
/** 2 * W of the bytes: the first or the second half. */
inline void vb_store_half(uint8_t* p, VB x, int half) { vst1_u8(p, half ? vget_high_u8(x) : vget_low_u8(x)); }
/** W of the bytes. */
inline void vb_store_quarter(uint8_t* p, VB x, int quarter) {
  uint32_t fours[4];
  vst1q_u32(fours, vreinterpretq_u32_u8(x));
  memcpy(p, fours + quarter, W);
}
/** n (<= W) bytes as int32 lanes, the rest zero. */
inline VI bytes_widen(const uint8_t* p, int n, bool is_signed) {
  uint32_t four = 0;
  if (n == W)
    memcpy(&four, p, W);
  else
    for (int i = 0; i < n; i++) four |= uint32_t(p[i]) << (8 * i);
  const uint8x8_t x = vreinterpret_u8_u32(vset_lane_u32(four, vdup_n_u32(0), 0));
  return is_signed ? vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u8(x))))
                   : vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(vmovl_u8(x))));
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
    if (V == 2) vb_store(bytes + WB, vreinterpretq_u8_u16(vzip2q_u16(upper, lower)));
  }
};

}  // namespace
}  // namespace sq
