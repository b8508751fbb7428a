// NEON as every arm64 processor has it: integer products by widening multiply-adds of int16.
#include "neon-vectors.h"

namespace sq {
namespace {

constexpr int ROWS = 12;

// Integer products: int16, the zero point taken away beforehand.
using Activation = int16_t;
using Weight = int16_t;
constexpr int STEP = 1;
constexpr bool SHIFTED = false;

inline int16x4_t weights_load(const Weight* p) { return vld1_s16(p); }
inline int16x4_t activations_broadcast(const Activation* p) { return vld1_lane_s16(p, vdup_n_s16(0), 0); }
inline VI vi_dot(VI acc, int16x4_t w, int16x4_t a) { return vmlal_lane_s16(acc, w, a, 0); }

/** 16 activations from their bytes, less the zero point. */
constexpr int ACTIVATIONS = 16;
inline void activations_copy(const uint8_t* from, Activation* to, int32_t zero_point, bool is_signed) {
  const uint8x16_t x = vld1q_u8(from);
  const int8x16_t s = vreinterpretq_s8_u8(x);
  const int16x8_t zero = vdupq_n_s16(static_cast<int16_t>(zero_point));
  const int16x8_t low = is_signed ? vmovl_s8(vget_low_s8(s)) : vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(x)));
  const int16x8_t high = is_signed ? vmovl_high_s8(s) : vreinterpretq_s16_u16(vmovl_high_u8(x));
  vst1q_s16(to, vsubq_s16(low, zero));
  vst1q_s16(to + 8, vsubq_s16(high, zero));
}
inline void activations_copy_n(const uint8_t* from, Activation* to, int32_t zero_point, bool is_signed, int n) {
  for (int i = 0; i < n; i++)
    to[i] = static_cast<Activation>((is_signed ? int32_t(int8_t(from[i])) : int32_t(from[i])) - zero_point);
}

}  // namespace
}  // namespace sq

#define SQ_KERNELS neon_kernels
#define SQ_NAME "neon"
#include "../all-inl.h"
