// NEON with dotprod and i8mm: u8 x s8 in one instruction; signed activations are shifted by 128.
#include "neon-vectors.h"

namespace sq {
namespace {

constexpr int ROWS = 12;

// Integer products: unsigned bytes times signed bytes, four deep. What the shift adds is taken away again with the
// column sums of the packed weights.
using Activation = uint8_t;
using Weight = int8_t;
constexpr int STEP = 4;
constexpr bool SHIFTED = true;

inline int8x16_t weights_load(const Weight* p) { return vld1q_s8(p); }
inline uint8x8_t activations_broadcast(const Activation* p) {
  uint32_t four;
  memcpy(&four, p, sizeof four);
  return vreinterpret_u8_u32(vset_lane_u32(four, vdup_n_u32(0), 0));
}
inline VI vi_dot(VI acc, int8x16_t w, uint8x8_t a) { return vsudotq_lane_s32(acc, w, a, 0); }

/** 16 activations, their sign bits flipped where they are signed. */
constexpr int ACTIVATIONS = 16;
inline void activations_copy(const uint8_t* from, Activation* to, int32_t flip, bool) {
  vst1q_u8(to, veorq_u8(vld1q_u8(from), vdupq_n_u8(static_cast<uint8_t>(flip))));
}
inline void activations_copy_n(const uint8_t* from, Activation* to, int32_t flip, bool, int n) {
  for (int i = 0; i < n; i++) to[i] = static_cast<Activation>(from[i] ^ flip);
}

}  // namespace
}  // namespace sq

#define SQ_KERNELS i8mm_kernels
#define SQ_NAME "i8mm"
#include "../all-inl.h"
